"""The settings of a search, validated when made."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from latentseek_agents.errors import ConfigError
from latentseek_agents.presets import find_preset
from latentseek_agents.verdict import DEFAULT_THRESHOLD

__all__ = [
    "ANSWER_TOKENS",
    "MARK_TOKENS",
    "LatentSeekConfig",
    "Prompt",
    "most_thinking_tokens",
    "thought_that_does_not_fit",
]

ANSWER_TOKENS = 16
"""The tokens of an answer that must fit behind a thought with a budget."""

MARK_TOKENS = 8
"""What the mark that closes a thought may take: more than those of the known families do."""

Prompt = Literal["boxed", "json", "example"] | Callable[[str], str | Sequence[Any]]
"""``"boxed"``, ``"json"``, ``"example"``, or a function from the question to a user message or a list of
messages."""


class LatentSeekConfig(BaseModel):
    """How one search drafts, moves its latents, and stops. Frozen; every value is checked when it is made.

    The fields' defaults are those of the authors' release (lr 0.03, ρ 0.1, K = 10, τ = -0.2), but the best
    attempt is returned. The paper's tables have other ones for each model and data set: :meth:`preset`.
    What a search without settings uses is :meth:`agreement`, which is what was measured to help.

    Raises:
        ConfigError: A value is out of range or contradicts another; the message names both and the remedy.

    Example:
        >>> LatentSeekConfig(learning_rate=0.05).learning_rate
        0.05
        >>> LatentSeekConfig(fraction=0)
        Traceback (most recent call last):
        ...
        latentseek_agents.errors.ConfigError: fraction=0: Input should be greater than 0
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    learning_rate: float = Field(default=0.03, gt=0, le=1e6)
    """Adam's step length η, in units of the hidden state; in (0, 1e6]. The paper uses 0.03 or 0.05."""

    fraction: float = Field(default=0.1, gt=0, le=1)
    """ρ, the share of the draft's T tokens whose hidden states become latents; in (0, 1]."""

    max_latents: int = Field(default=300, ge=1)
    """Cap on the number of latents: m = min(⌊ρT⌋, max_latents)."""

    start_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Where in the answer the latents begin, as a share of T; 0 is its first token (best in the paper)."""

    max_iterations: int = Field(default=10, ge=0)
    """K, the most refinements after the draft. 0 drafts and verifies only."""

    reward_threshold: float = Field(default=DEFAULT_THRESHOLD, ge=-1, le=0)
    """τ in [-1, 0]: an attempt must score above it to be accepted, so that at 0 none ever is. The only
    threshold: verifiers read it with :func:`~latentseek_agents.verdict.reward_threshold`."""

    max_new_tokens: int = Field(default=1024, ge=1)
    """Most tokens of one completion, end token included."""

    max_draft_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of the draft, if other than ``max_new_tokens``."""

    num_samples: int = Field(default=1, ge=1)
    """M, attempts per iteration: samples of one gradient estimate, or independent samples. More than 1 latent
    sample needs ``temperature`` > 0. The best of them stands for the iteration; in a vote each has its
    own."""

    proposals: Literal["latents", "samples"] = "latents"
    """What an attempt after the draft is: ``"latents"``, written from latents that the policy gradient has
    moved; or ``"samples"``, an independent sample of the model. Verifier, vote and budgets are the same."""

    sample_temperature: float = Field(default=0.8, gt=0, allow_inf_nan=False)
    """Temperature of independent samples (``proposals="samples"``)."""

    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Temperature at which latents are turned into tokens; 0 takes the most probable (the paper)."""

    continuation_temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Temperature of the text after the latents; 0 is greedy (the paper)."""

    latents: Literal["independent", "consistent"] = "independent"
    """``"independent"``: free vectors (the paper). ``"consistent"``: offsets added to the hidden states
    that the tokens decoded so far produce, so that the prefix stays fluent."""

    baseline: Literal["none", "mean"] = "none"
    """What is subtracted from a sample's reward in the gradient. ``"mean"`` is the mean reward of the
    *other* samples (leave-one-out: unbiased, less variance); it needs ``num_samples`` > 1."""

    direction: Literal["gradient", "random"] = "gradient"
    """``"random"``: the control experiment. Every latent moves as far as Adam would have moved it, but in a
    random direction, so that what is left of a gain is not the gradient's doing."""

    aim: Literal["none", "first_error"] = "none"
    """``"first_error"``: where the verdict refutes a step of the attempt to be refined and knows what is
    right there (``Check.correction``), all tokens before the wrong value stay, the latents at its place are
    moved until the computed value's tokens are the most probable ones, and the text is written anew from
    there. An attempt without such a step is refined as with ``"none"``. It costs fewer tokens than a new
    attempt; what passes then can still have a wrong plan (docs/results.md)."""

    gradient_clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient over all latents; None leaves it alone."""

    keep: Literal["best", "last", "vote"] = "best"
    """Which attempt is returned: the best (what passed before what did not, before what was not judged; then
    by score, then the earliest); the last (paper); or the best among those whose answer wins a vote of all
    attempts, see :mod:`~latentseek_agents.votes`."""

    acceptance: Literal["score_and_checks", "score", "agreement"] = "score_and_checks"
    """``"score_and_checks"``: the score exceeds τ, no check refutes or blocks the attempt, and the verifier
    itself does not reject it. ``"score"``: the
    score alone decides, on a verdict of None too (the authors' rule; it accepts some answers that a
    check calls wrong). ``"agreement"``: attempts pass as by ``"score_and_checks"``, but what ends the search
    is that one answer has won the vote (``confidence``); it needs ``keep="vote"``."""

    vote_sharpness: float = Field(default=3.0, ge=0, le=100)
    """How much the score tells in a vote: an attempt weighs exp(``vote_sharpness`` · score), so that a full
    vote, of score 0, weighs 1. At 0 all weigh the same."""

    program_vote: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """What the answer weighs that the verifier computed for the question, in full votes; at 0 it has no
    vote."""

    vote_scale: float = Field(default=3.0, gt=0, le=1000)
    """What weights are multiplied by before the rule of agreement (``confidence``) counts them: at 3 a full
    vote counts like three samples of a plain vote."""

    confidence: float = Field(default=0.8, ge=0.5, lt=1)
    """How likely the leading answer must be to keep its lead for the search to end by agreement, in [0.5, 1):
    P = 1 - I½(v1 + 1, v2 + 1), of adaptive consistency (arXiv 2305.11860), where v1 and v2 are the weights
    of the two leading answers times ``vote_scale``, without votes that are refuted."""

    refine_unjudged: bool = False
    """Refine on a verdict of None as if it were a rejection, instead of stopping. A search for agreement does
    so in any case, since other attempts can still decide."""

    prompt: Prompt = "boxed"
    r"""``"boxed"`` asks for ``\boxed{}``, ``"json"`` for a JSON object; ``"example"`` shows a solved
    question first, for models so small that they write no equations otherwise; or a function
    ``question -> str`` (a user message; text that begins with the chat template's own control token is taken
    as a whole prompt), ``question -> messages`` or ``question -> token ids``. Control tokens in a message
    are text."""

    enable_thinking: bool | None = None
    """Whether a model that can think before it answers does so, by the switch of its chat template; None
    leaves it to the template. An error with a template that has no switch."""

    reasoning_effort: str | None = None
    """How long such a model thinks, in the words of its chat template, for example ``"low"``; None leaves it
    to the template. An error with a template that knows no such setting."""

    max_thinking_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of a completion before its thought is closed, in the model's own way, so that an answer
    comes; nor does a completion end within its thought then. It must be at least 24 below ``max_new_tokens``
    and ``max_draft_tokens``: 8 for the mark that closes the thought and 16 for an answer. Where a context
    window leaves less room, the budget shrinks. None: the thought may take all of ``max_new_tokens``. Latents
    end before a thought that was closed so."""

    latents_over: Literal["both", "thinking", "answer"] = "both"
    """Which part of a draft has latents, of which ``fraction`` and ``start_fraction`` are shares: all that
    was written (the paper); what was thought; or the answer behind the thought, which then stays. A draft
    without a thought is one part."""

    max_seconds: float | None = Field(default=None, gt=0)
    """Wall-clock budget of the whole search with its verification; None: no limit. Checked at every token."""

    max_total_tokens: int | None = Field(default=None, ge=1)
    """Budget of generated tokens, policy and verifier together; None: no limit. Checked every iteration."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Where sampling starts. Every draw derives its own generator from it: no global random state is used."""

    release_behaviour: bool = False
    """Decode as the authors' release does; see :meth:`paper`."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(error)) from None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.num_samples > 1 and self.temperature == 0 and self.proposals == "latents":
            raise ValueError(
                f"num_samples={self.num_samples} with temperature=0 would draw the same sample every time; "
                "set temperature > 0 or num_samples=1"
            )
        if self.acceptance == "agreement" and self.keep != "vote":
            raise ValueError(
                "acceptance='agreement' ends the search when an answer has won the vote, but "
                f"keep={self.keep!r} would return another; set keep='vote', "
                "or take LatentSeekConfig.agreement()"
            )
        if self.aim != "none" and self.release_behaviour:
            raise ValueError(
                f"aim={self.aim!r} is no behaviour of the release; leave it out, or take another preset "
                "than LatentSeekConfig.paper()"
            )
        limits = {"max_new_tokens": self.max_new_tokens, "max_draft_tokens": self.max_draft_tokens}
        for name, limit in limits.items():
            if limit and (problem := thought_that_does_not_fit(self.max_thinking_tokens, name, limit)):
                raise ValueError(problem)
        if self.baseline == "mean" and self.num_samples < 2:
            raise ValueError(
                "baseline='mean' is the mean of the other samples and needs num_samples > 1, "
                f"but num_samples={self.num_samples}"
            )
        return self

    def replace(self, **changes: Any) -> Self:
        """A copy with some values changed, validated again."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)

    @classmethod
    def preset(
        cls, model: str, dataset: str = "gsm8k", prompt: Literal["boxed", "json"] = "boxed", **overrides: Any
    ) -> Self:
        """The paper's hyper-parameters for a model, a data set and a prompt.

        Args:
            model: Hugging Face name, with or without the organisation, any case.
            dataset: ``"gsm8k"``, ``"math500"`` or ``"aime24"``.
            prompt: ``"boxed"`` (the paper's prompt 1) or ``"json"`` (prompt 2).
            **overrides: Fields that differ from the preset. ``reward="psrm"`` selects the tables of the
                perfect sparse reward in place of self-reward.

        Raises:
            ConfigError: The paper has no such cell; the message lists what it has.

        Source: arXiv 2505.13308, tables 21, 23, 25 (self-reward) and 22, 24, 26 (PSRM).

        Example:
            >>> config = LatentSeekConfig.preset("Qwen/Qwen2.5-7B-Instruct", dataset="gsm8k", prompt="json")
            >>> config.learning_rate, config.fraction
            (0.05, 0.2)
        """
        reward = overrides.pop("reward", "self")
        learning_rate, fraction = find_preset(model, dataset, prompt, reward)
        return cls(**{"learning_rate": learning_rate, "fraction": fraction, "prompt": prompt} | overrides)

    @classmethod
    def consistent(cls, **overrides: Any) -> Self:
        """Context-consistent latents over all of the answer that ``max_latents`` (300) allows.

        The learning rate is that of a sweep of our own: of three learning rates and three fractions, 0.1 with
        fractions of 0.2 and 1 found the most right answers in three iterations on 30 questions of GSM8K with
        Qwen2.5-Coder-0.5B that was told the known answers: 12, where the drafts had 9 and the other cells 10
        or 11. Four independent samples have 12, too, so that this is a start and no proof.

        Args:
            **overrides: Any field.

        Source: ``python benchmarks/sweep.py --out benchmarks/runs/sweep-0.5b-gsm8k`` prints it; not from the
        paper.

        Example:
            >>> config = LatentSeekConfig.consistent(seed=7)
            >>> config.latents, config.learning_rate, config.fraction, config.seed
            ('consistent', 0.1, 1.0, 7)
        """
        chosen: dict[str, Any] = {"latents": "consistent", "learning_rate": 0.1, "fraction": 1.0}
        return cls(**chosen | overrides)

    @classmethod
    def agreement(cls, **overrides: Any) -> Self:
        """A search that ends when the attempts agree, and returns the winner of their vote.

        This is the default of :class:`~latentseek_agents.LatentSeek`, the node, the graphs and the command
        line: a draft and at most five independent samples. The numbers were chosen by
        ``benchmarks/votes.py`` on stored samples of Qwen2.5-Coder-1.5B for GSM8K questions 0 to 99. On 200
        unseen ones it is right on 71.5 per cent, the greedy answer on 56.5 and a majority of samples that
        cost as much on 57.5; the 0.5B on 38.0, 25.5 and 29.0 (``benchmarks/RESULTS.md``). With
        ``proposals="latents"`` attempts come from latents as in :meth:`consistent`; each takes fewer forward
        passes, and they are not shown to vote better or worse (44 and 42 of 100 unseen questions, 0.5B).

        Args:
            **overrides: Any field.

        Example:
            >>> config = LatentSeekConfig.agreement()
            >>> config.acceptance, config.keep, config.max_iterations, config.confidence
            ('agreement', 'vote', 5, 0.8)
        """
        chosen: dict[str, Any] = {
            "acceptance": "agreement",
            "keep": "vote",
            "proposals": "samples",
            "max_iterations": 5,
            "vote_sharpness": 3.0,
            "program_vote": 0.5,
            "vote_scale": 3.0,
            "confidence": 0.8,
        }
        return cls.consistent(**chosen | overrides)

    @classmethod
    def paper(cls, **overrides: Any) -> Self:
        """The behaviour of the authors' released program, token for token.

        It exists so that others can check this package against the release, quirks included: the last
        attempt is returned, the score alone accepts, texts keep their special tokens, the draft may have
        1025 tokens whatever ``max_new_tokens`` says and the continuation ``max_new_tokens`` + 1 beyond the
        latents, only the tokenizer's own end token ends a continuation, an end token among the latents
        ends nothing, the loss is -R Σ log(softmax(z W) + 1e-8), and an unchanged completion is scored again.

        Three limits: latents and Adam are float32 here, whatever the model's dtype (the release keeps the
        model's); rewards below -1, which the release's format penalty can reach, are refused; nothing is
        written beyond the context window. The ``"json"`` prompt has our words, not the authors'.

        Args:
            **overrides: Any field.

        Source: github.com/bigai-nlco/LatentSeek at 9f42eab.

        Example:
            >>> LatentSeekConfig.paper(learning_rate=0.05).keep
            'last'
        """
        release: dict[str, Any] = {
            "release_behaviour": True,
            "keep": "last",
            "acceptance": "score",
            "max_draft_tokens": 1024,
        }
        return cls(**release | overrides)


def most_thinking_tokens(limit: int) -> int:
    """The longest thought behind which an answer fits; below 1 if none does.

    Args:
        limit: Most tokens of thought, mark and answer together.

    Example:
        >>> most_thinking_tokens(512)
        488
    """
    return limit - MARK_TOKENS - ANSWER_TOKENS


def thought_that_does_not_fit(thinking: int | None, name: str, limit: int) -> str:
    """What is wrong with a budget for thoughts under a limit, and the remedy; "" if nothing is.

    Args:
        thinking: The budget; None is no budget.
        name: Of the limit.
        limit: Most tokens of a completion.

    Example:
        >>> thought_that_does_not_fit(40, "max_new_tokens", 64)
        ''
    """
    most = most_thinking_tokens(limit)
    if thinking is None or thinking <= most:
        return ""
    needed = thinking + limit - most
    lower = f"lower max_thinking_tokens to {most} or less, or " if most > 0 else ""
    return (
        f"max_thinking_tokens={thinking} does not fit into {name}={limit}: the thought, the mark that closes "
        f"it ({MARK_TOKENS} tokens) and at least {ANSWER_TOKENS} tokens of an answer take {needed}; "
        f"{lower}raise {name} to {needed} or more"
    )


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            known = ", ".join(LatentSeekConfig.model_fields)
            message = f"there is no such setting; the settings are {known}"
        name = problem["loc"][0] if problem["loc"] else None
        lines.append(f"{name}={problem['input']!r}: {message}" if name else message)
    return "; ".join(dict.fromkeys(lines))
