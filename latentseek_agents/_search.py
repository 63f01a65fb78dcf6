"""What a search needs besides its state: the model, the judge and the settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from latentseek_agents.config import ANSWER_TOKENS, MARK_TOKENS, LatentSeekConfig
from latentseek_agents.decisions import accepts
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.thinking import template_options
from latentseek_agents.errors import BackboneError, ConfigError, VerdictError
from latentseek_agents.tools.named import DEFAULT_VERIFIERS, named_verifier
from latentseek_agents.tools.steps import StepVerifier
from latentseek_agents.verdict import (
    Attempt,
    Check,
    Prepared,
    Usage,
    Verdict,
    VerifierLike,
    ask,
    checked_verifier,
    judging_above,
    prepare,
)

_NO_ANSWER = (
    "it ends within its thought, without an answer; raise max_new_tokens, or set max_thinking_tokens, which "
    f"closes the thought in time, to at least {MARK_TOKENS + ANSWER_TOKENS} less"
)
_CUT_OFF = "it was cut off before it stated an answer, and only a model's opinion speaks for it"
_NO_ANSWER_CHECK = Check("answer", passed=False, reason="the thought is all that was written")


class Search:
    """What a search needs besides its state: the model, the judge and the settings.

    Args:
        backbone: The frozen policy.
        verifier: The reward; by default the step checker, in a search for agreement beside a program for the
            question.
        config: Settings; by default those of ``LatentSeekConfig.agreement()``.
        on_token: Called with each token id that the policy's layers write.
        control_flow: Exceptions by which a verifier steers the program around the search, such as
            LangGraph's interrupt: they pass through. Any other one counts as "cannot judge".

    Raises:
        BackboneError: ``backbone`` is no backbone.
        ConfigError: ``config`` is no configuration or asks for what the model's chat template does not know,
            or ``verifier`` cannot be called as one.
    """

    def __init__(
        self,
        backbone: Backbone,
        verifier: VerifierLike | None = None,
        config: LatentSeekConfig | None = None,
        *,
        on_token: Callable[[int], None] | None = None,
        control_flow: tuple[type[BaseException], ...] = (),
    ) -> None:
        if config is not None and not isinstance(config, LatentSeekConfig):
            raise ConfigError(
                f"config must be a LatentSeekConfig, but is a {type(config).__name__}; "
                "write LatentSeekConfig(learning_rate=0.03, ...)"
            )
        self.backbone = checked_backbone(backbone)
        self.config = config or LatentSeekConfig.agreement()
        self.verifier = self._default_verifier() if verifier is None else checked_verifier(verifier)
        # Refused now, and not when the first question is asked.
        template_options(
            self.backbone.tokenizer,
            enable_thinking=self.config.enable_thinking,
            reasoning_effort=self.config.reasoning_effort,
            name=self.backbone.name,
        )
        self.on_token = on_token
        self.control_flow = control_flow

    def _default_verifier(self) -> VerifierLike:
        if self.config.acceptance != "agreement":
            return StepVerifier()
        return named_verifier(DEFAULT_VERIFIERS, self.backbone, agreement=True)

    def prepare(self, question: str) -> Prepared:
        """What the verifier finds out about a question once, for :meth:`judge` of each attempt.

        Raises:
            VerdictError: It is nothing that a state can hold.
        """
        with judging_above(self.config.reward_threshold):
            return prepare(self.verifier, question, control_flow=self.control_flow)

    def judge(
        self,
        question: str,
        attempt: Attempt,
        reference: str | None,
        earlier: Sequence[Attempt] = (),
        *,
        prepared: Any = None,
    ) -> tuple[Attempt, Usage]:
        """The attempt with its verdict, and what the verdict cost.

        Args:
            question: What was to be solved.
            attempt: What to judge.
            reference: The known answer, if there is one.
            earlier: Attempts that a :class:`VerdictError` carries, besides this one.
            prepared: The value of :meth:`prepare` for this question.

        An attempt that ends within its thought does not pass, and no verifier is asked. One that was cut off
        before it stated an answer does not pass on a model's opinion alone, unless the score alone decides.

        Raises:
            VerdictError: The verdict is outside its contract.
        """
        if attempt.ends_in_thought:
            verdict = Verdict(-1.0, passed=False, reason=_NO_ANSWER, checks=[_NO_ANSWER_CHECK])
            return attempt.judged(verdict, passed=accepts(verdict, self.config)), Usage()
        try:
            with judging_above(self.config.reward_threshold):
                verdict = ask(
                    self.verifier,
                    question,
                    attempt.text,
                    reference=reference,
                    prepared=prepared,
                    control_flow=self.control_flow,
                )
        except VerdictError as error:
            error.attempts = [*(entry.to_dict() for entry in earlier), attempt.to_dict()]
            raise
        passed = accepts(verdict, self.config)
        if passed and self.config.acceptance != "score" and _says_nothing(attempt, verdict):
            verdict = replace(verdict, passed=False, reason=_CUT_OFF)
            passed = False
        return attempt.judged(verdict, passed=passed), verdict.usage

    def configured(self, config: LatentSeekConfig) -> "Search":
        """The same search with other settings."""
        return type(self)(
            self.backbone, self.verifier, config, on_token=self.on_token, control_flow=self.control_flow
        )

    def heard_by(self, listener: Callable[[int], None]) -> "Search":
        """The same search with one more listener to its tokens."""
        first = self.on_token

        def on_token(token: int) -> None:
            if first is not None:
                first(token)
            listener(token)

        return type(self)(
            self.backbone, self.verifier, self.config, on_token=on_token, control_flow=self.control_flow
        )


def _says_nothing(attempt: Attempt, verdict: Verdict) -> bool:
    """Whether an attempt was cut off without an answer, and only a model's opinion speaks for it."""
    weighty = [check for check in verdict.checks if check.weight > 0]
    # With a low threshold an attempt passes though each of its checks failed.
    reasons = [check for check in weighty if check.passed] or weighty
    opinions = bool(reasons) and all(check.opinion for check in reasons)
    return opinions and attempt.finish_reason == "length" and attempt.answer is None


def checked_backbone(backbone: object) -> Backbone:
    """The backbone, if it is one.

    Raises:
        BackboneError: It is something else.
    """
    if not isinstance(backbone, Backbone):
        raise BackboneError(
            f"a search needs a Backbone, but got {type(backbone).__name__}; wrap a loaded model with "
            "Backbone.from_model(model, tokenizer), or load one with Backbone.from_pretrained(name)"
        )
    return backbone
