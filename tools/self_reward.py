"""Self-reward: the frozen model reviews its own solution."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from latentseek_agents.engine._decoding.decode import DecodeRequest, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.tools._self_reward.opinions import (
    Opinion,
    VerdictLine,
    format_opinion,
    shared_start,
    spoken_opinion,
)
from latentseek_agents.tools._self_reward.prompts import NEED_ALL, STATEMENTS, Mode, Quoter, review_prompts
from latentseek_agents.tools._self_reward.replies import FormatRule, checked_format_rule
from latentseek_agents.verdict import Check, Usage, Verdict, reward_threshold

__all__ = ["SelfReward"]

_T = TypeVar("_T")

_WEIGHTS: Mapping[str, float] = {
    "calculation": 2.0,
    "answer": 1.0,
    "completeness": 2.0,
    "understanding": 1.0,
    "format": 2.0,
}
_CUT = "not asked: the solution is too long for the context window, and the model read only its two ends"


class SelfReward:
    """Ask the frozen model itself: four checks, each a statement about the solution it calls true or false.

    The checks of the paper (arXiv 2505.13308) and their weights:

    ================= ====== ===============================================================
    check             weight the model is asked whether
    ================= ====== ===============================================================
    ``calculation``   2      every calculation has the right result
    ``answer``        1      the final answer is right
    ``completeness``  2      no step is missing and all that is asked is answered
    ``understanding`` 1      the question was understood
    ``format``        2      (not the model: only with ``format_rule``) the format is kept
    ================= ====== ===============================================================

    **Score**: minus the share, by weight, of failed checks among those that judged; so in [-1, 0]. In mode
    ``"logprob"`` a check fails by degrees, by the probability of FALSE. If too little judged (below), what
    did not judge counts as failed: near -1 then says that little is known, not that much is wrong.

    **Passed**, the first that applies:

    1. False if ``answer`` failed, whatever the others say.
    2. None if the checks of the model that judged weigh less than ``min_judged`` of all of them. A kept
       format is no judgement.
    3. False if the score is not above the threshold of the search.
    4. None if ``answer`` was asked and did not judge.
    5. True.

    An empty solution is refused without asking. A solution too long for the context window loses its middle:
    then ``calculation`` and ``completeness`` cannot judge, and with the default settings it never passes.

    All checks are one call of the decoder, greedy, and what their prompts share is read once. Question and
    solution are quoted so that they can neither open a turn nor close the quotation, nor give a verdict
    through a model that repeats them; and a verdict is read from the reply alone.

    **Time**: a call takes what the model takes for one prompt and, in mode ``"generate"``, at most
    ``max_new_tokens`` tokens for each check, which may be more than the 2 s that exact verifiers keep to. Its
    bounds are ``max_new_tokens`` and ``max_seconds``; so are those of a verifier that asks this one.

    Args:
        backbone: The model that judges; as a rule the one that wrote the solution.
        mode: ``"generate"``: short reasons, then a verdict line; a reply without a clear one is no vote.
            ``"logprob"``: the verdict line is forced, and the probability of its last word read from one
            short forward pass per check; cheaper, and graded.
        max_new_tokens: Most tokens of a reply in mode ``"generate"``.
        weights: Weights that differ from the table, each at least 0. A check of weight 0 is not asked.
        format_rule: ``"boxed"``, ``"json"`` (an object with a ``"final answer"``) or a compiled pattern that
            must be found in the solution.
        prompts: Statements in other words, by the names in the table.
        min_judged: Least share, by weight, of the model's checks that must have judged; in (0, 1].
        max_seconds: Time for one call; replies that are not finished by then are no votes. None: as long as
            the tokens take.

    Raises:
        ConfigError: A setting is out of range or names an unknown check.

    Example:
        >>> from latentseek_agents.testing import tiny_backbone
        >>> verifier = SelfReward(tiny_backbone(max_position_embeddings=4096), max_new_tokens=4)
        >>> verdict = verifier("What is 3 * 24?", "It is 72.")  # by a random model, which says nothing
        >>> verdict.passed, [check.name for check in verdict.checks]
        (None, ['calculation', 'answer', 'completeness', 'understanding'])
        >>> verdict.usage.verifier_tokens
        16
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        mode: Mode = "generate",
        max_new_tokens: int = 256,
        weights: Mapping[str, float] | None = None,
        format_rule: FormatRule | None = None,
        prompts: Mapping[str, str] | None = None,
        min_judged: float = 0.8,
        max_seconds: float | None = None,
    ) -> None:
        if mode not in ("generate", "logprob"):
            raise ConfigError(f"mode={mode!r} is unknown; use 'generate' or 'logprob'")
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={max_new_tokens}: it must be at least 1")
        if not 0 < min_judged <= 1:
            raise ConfigError(f"min_judged={min_judged}: it must lie in (0, 1]")
        if max_seconds is not None and not max_seconds > 0:
            raise ConfigError(f"max_seconds={max_seconds}: it must be above 0, or None")
        self.backbone = backbone
        self.mode = mode
        self.max_new_tokens = max_new_tokens
        self.weights = _merged("weights", _WEIGHTS, weights)
        self.format_rule = checked_format_rule(format_rule)
        self.prompts = _merged("prompts", STATEMENTS, prompts)
        self.min_judged = min_judged
        self.max_seconds = max_seconds
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ConfigError(f"weights[{name!r}]={weight}: it must be a finite number, at least 0")
        self._names = [name for name in STATEMENTS if self.weights[name] > 0]
        if not self._names:
            raise ConfigError("the weights of all checks are 0; at least one must be asked of the model")
        self._quoter = Quoter(backbone.tokenizer)
        self._verdict_line = VerdictLine.of(backbone) if mode == "logprob" else None

    def __repr__(self) -> str:
        rule = f", format_rule={self.format_rule!r}" if self.format_rule is not None else ""
        return f"SelfReward({self.backbone.name!r}, mode={self.mode!r}{rule})"

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution``; ``reference`` is not looked at."""
        began = time.monotonic()
        if not solution.strip():
            return Verdict(-1.0, passed=False, reason="the solution is empty")
        opinions, usage = self._ask(question, solution, began)
        if self.format_rule is not None and self.weights["format"] > 0:
            opinions.append(format_opinion(solution, self.format_rule))
        usage += Usage(verifier_seconds=time.monotonic() - began)
        return self._verdict(opinions, usage)

    def _ask(self, question: str, solution: str, began: float) -> tuple[list[Opinion], Usage]:
        line = self._verdict_line
        forced = line.head if line else []
        window = self.backbone.context_window
        reply_room = 1 if line else min(self.max_new_tokens, window // 4)
        review = review_prompts(
            self.backbone.encode_prompt,
            self._quoter,
            question,
            solution,
            [self.prompts[name] for name in self._names],
            self.mode,
            window - len(forced) - reply_room,
        )
        if isinstance(review, str):
            return [Opinion(name, None, review) for name in self._names], Usage()
        asked = [name for name in self._names if review.whole or name not in NEED_ALL]
        prompts = [p for name, p in zip(self._names, review.prompts, strict=True) if name in asked]
        if not asked:
            return self._complete([]), Usage()
        shared = shared_start(prompts)
        requests = [
            DecodeRequest(
                prompt_ids=prompt[:shared],
                forced_ids=[*prompt[shared:], *forced],
                max_new_tokens=reply_room,
                end_token_ids=self.backbone.eos_token_ids,
                deadline=None if self.max_seconds is None else began + self.max_seconds,
            )
            for prompt in prompts
        ]
        completions = decode(self.backbone, requests)
        opinions = [
            line.opinion(self.backbone, name, completion)
            if line
            else spoken_opinion(self.backbone, name, completion, len(request.forced_ids))
            for name, request, completion in zip(asked, requests, completions, strict=True)
        ]
        usage = Usage(
            verifier_tokens=sum(completion.new_tokens for completion in completions),
            verifier_forward_passes=sum(completion.forward_passes for completion in completions),
            verifier_computed_tokens=sum(completion.computed_tokens for completion in completions),
        )
        return self._complete(opinions), usage

    def _complete(self, opinions: Sequence[Opinion]) -> list[Opinion]:
        """The opinions, and for each check that was not asked that it cannot judge a part of a solution."""
        given = {opinion.name: opinion for opinion in opinions}
        return [given.get(name) or Opinion(name, None, _CUT) for name in self._names]

    def _verdict(self, opinions: Sequence[Opinion], usage: Usage) -> Verdict:
        weights = self.weights
        threshold = reward_threshold()
        asked = sum(weights[name] for name in self._names)
        judged = sum(weights[o.name] for o in opinions if o.truth is not None and o.name in self._names)
        # Written so that a rounding error cannot turn an exact share into one just below it.
        unjudged = judged == 0 or judged < self.min_judged * asked * (1 - 1e-9)
        answer = next((o for o in opinions if o.name == "answer"), None)
        answer_wrong = answer is not None and answer.passed is False
        lost, total = self._lost(opinions, silent_too=unjudged)
        passed: bool | None
        if answer_wrong or not (unjudged or -lost / total > threshold):
            passed = False
        elif unjudged or (answer is not None and answer.passed is None):
            passed = None
            lost, total = self._lost(opinions, silent_too=True)
        else:
            passed = True
        score = max(-1.0, -lost / total) if lost else 0.0
        failed = "; ".join(f"{o.name} ({o.reason})" for o in opinions if o.passed is False)
        if passed is None:
            silent = [o for o in opinions if o.truth is None]
            reason = "cannot judge: " + "; ".join(f"{o.name}: {o.reason}" for o in silent)
        elif failed:
            reason = f"the model {'accepts, though not' if passed else 'refuses'} {failed}"
        elif passed:
            reason = "the model accepts all that it judged"
        else:
            reason = f"the model is not sure enough: score {score:.2f}, accepted above {threshold:g}"
        checks = [Check(o.name, o.passed, weights[o.name], o.reason) for o in opinions]
        return Verdict(score, passed, reason, checks, usage)

    def _lost(self, opinions: Sequence[Opinion], *, silent_too: bool) -> tuple[float, float]:
        """The weight that was lost and that of all; what did not judge counts as lost, or not at all."""
        counted = [(self.weights[o.name], o.truth) for o in opinions if silent_too or o.truth is not None]
        return sum(w * (1 - (truth or 0.0)) for w, truth in counted), sum(w for w, _ in counted)


def _merged(setting: str, defaults: Mapping[str, _T], changes: Mapping[str, _T] | None) -> dict[str, _T]:
    unknown = [name for name in changes or {} if name not in defaults]
    if unknown:
        raise ConfigError(f"{setting}: {unknown[0]!r} is unknown; the names are {', '.join(defaults)}")
    return {**defaults, **(changes or {})}
