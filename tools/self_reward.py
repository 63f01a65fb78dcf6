"""Self-reward: the frozen model reviews its own solution."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.engine.decoding import Completion, DecodeRequest, decode
from latentseek_agents.engine.errors import ConfigError
from latentseek_agents.engine.verdict import Check, Usage, Verdict
from latentseek_agents.tools.self_reward_prompts import STATEMENTS, Mode, Quoter, review_prompts
from latentseek_agents.tools.self_reward_replies import (
    FormatRule,
    checked_format_rule,
    excerpt,
    keeps_format,
    read_verdict,
)

if TYPE_CHECKING:
    import torch

__all__ = ["SelfReward"]

_T = TypeVar("_T")

_WEIGHTS: Mapping[str, float] = {
    "calculation": 2.0,
    "answer": 1.0,
    "completeness": 2.0,
    "understanding": 1.0,
    "format": 2.0,
}
# The verdict line as models write it; upper case is what they are asked for.
_TRUE = ("VERDICT: TRUE", "VERDICT: True", "VERDICT: true")
_FALSE = ("VERDICT: FALSE", "VERDICT: False", "VERDICT: false")
# A model that gives the two words less than this together would have written something else.
_LEAST_MASS = 0.05


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
    ``"logprob"`` a check fails by degrees, by the probability of FALSE. Where ``passed`` is None, what did
    not judge counts as failed.

    **Passed**: None if the checks of the model that judged weigh less than ``min_judged`` of all of them (a
    kept format is no judgement). True if the score exceeds ``threshold`` and ``answer`` did not fail.
    Otherwise False. An empty solution is refused without asking.

    All checks are one call of the decoder, greedy, and what their prompts share is read once. Question and
    solution are quoted so that they can neither open a turn nor close the quotation, and a verdict is read
    from the reply alone. A solution that is too long for the context window loses its middle.

    Args:
        backbone: The model that judges; as a rule the one that wrote the solution.
        mode: ``"generate"``: short reasons, then a verdict line. A reply without a verdict, or with two that
            differ, is no vote. ``"logprob"``: the verdict line is forced, and the probability of its last
            word read from one short forward pass per check; cheaper, and graded.
        max_new_tokens: Most tokens of a reply in mode ``"generate"``.
        weights: Weights that differ from the table, each at least 0. A check of weight 0 is not asked.
        format_rule: ``"boxed"``, ``"json"`` (an object with a ``"final answer"``) or a compiled pattern that
            must be found in the solution.
        prompts: Statements in other words, by the names in the table.
        threshold: The score above which a solution can pass.
        min_judged: Least share, by weight, of the model's checks that must have judged; in (0, 1].
        max_seconds: Time for one call; replies that are not finished by then are no votes. None: no limit.

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
        threshold: float = -0.2,
        min_judged: float = 0.5,
        max_seconds: float | None = None,
    ) -> None:
        if mode not in ("generate", "logprob"):
            raise ConfigError(f"mode={mode!r} is unknown; use 'generate' or 'logprob'")
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={max_new_tokens}: it must be at least 1")
        if not -1 <= threshold <= 0:
            raise ConfigError(f"threshold={threshold}: it must lie in [-1, 0]")
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
        self.threshold = threshold
        self.min_judged = min_judged
        self.max_seconds = max_seconds
        for name, weight in self.weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ConfigError(f"weights[{name!r}]={weight}: it must be a finite number, at least 0")
        self._names = [name for name in STATEMENTS if self.weights[name] > 0]
        if not self._names:
            raise ConfigError("the weights of all checks are 0; at least one must be asked of the model")
        self._quoter = Quoter(backbone.tokenizer)
        self._verdict_line = _VerdictLine.of(backbone) if mode == "logprob" else None

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
            opinions.append(_format_opinion(solution, self.format_rule))
        usage += Usage(verifier_seconds=time.monotonic() - began)
        return self._verdict(opinions, usage)

    def _ask(self, question: str, solution: str, began: float) -> tuple[list["_Opinion"], Usage]:
        line = self._verdict_line
        forced = line.head if line else []
        window = self.backbone.context_window
        reply_room = 1 if line else min(self.max_new_tokens, window // 4)
        prompts = review_prompts(
            self.backbone.encode_prompt,
            self._quoter,
            question,
            solution,
            [self.prompts[name] for name in self._names],
            self.mode,
            window - len(forced) - reply_room,
        )
        if isinstance(prompts, str):
            return [_Opinion(name, None, prompts) for name in self._names], Usage()
        shared = _shared(prompts)
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
            else _spoken_opinion(self.backbone, name, completion, len(request.forced_ids))
            for name, request, completion in zip(self._names, requests, completions, strict=True)
        ]
        usage = Usage(
            verifier_tokens=sum(completion.new_tokens for completion in completions),
            verifier_forward_passes=sum(completion.forward_passes for completion in completions),
        )
        return opinions, usage

    def _verdict(self, opinions: Sequence["_Opinion"], usage: Usage) -> Verdict:
        weights = self.weights
        asked = sum(weights[name] for name in self._names)
        judged = sum(weights[o.name] for o in opinions if o.truth is not None and o.name in self._names)
        # Written so that a rounding error cannot turn an exact share into one just below it.
        unjudged = judged == 0 or judged < self.min_judged * asked * (1 - 1e-9)
        lost = total = 0.0
        for opinion in opinions:
            if opinion.truth is not None or unjudged:
                lost += weights[opinion.name] * (1 - (opinion.truth or 0.0))
                total += weights[opinion.name]
        score = max(-1.0, -lost / total) if lost else 0.0
        failed = [opinion for opinion in opinions if opinion.passed is False]
        answer_wrong = any(opinion.name == "answer" for opinion in failed)
        passed = None if unjudged else score > self.threshold and not answer_wrong
        if unjudged:
            silent = next(opinion for opinion in opinions if opinion.truth is None)
            reason = f"cannot judge: {silent.name}: {silent.reason}"
        elif failed:
            verb = "accepts, though not" if passed else "refuses"
            reason = f"the model {verb} " + "; ".join(f"{o.name} ({o.reason})" for o in failed)
        elif passed:
            reason = "the model accepts all that it judged"
        else:
            reason = f"the model is not sure enough: score {score:.2f}, accepted above {self.threshold:g}"
        checks = [Check(o.name, o.passed, weights[o.name], o.reason) for o in opinions]
        return Verdict(score, passed, reason, checks, usage)


@dataclass(frozen=True, slots=True)
class _Opinion:
    """How far one check holds, from 0 to 1; None if it cannot judge."""

    name: str
    truth: float | None
    reason: str

    @property
    def passed(self) -> bool | None:
        return None if self.truth is None else self.truth >= 0.5


@dataclass(frozen=True, slots=True)
class _VerdictLine:
    """The verdict line up to the token that decides, and the tokens that decide it."""

    head: list[int]
    true: list[int]
    false: list[int]

    @classmethod
    def of(cls, backbone: Backbone) -> "_VerdictLine":
        lines = [
            list(backbone.tokenizer(line, add_special_tokens=False)["input_ids"])
            for line in (*_TRUE, *_FALSE)
        ]
        shared = _shared(lines)
        true, false = ({ids[shared] for ids in group} for group in (lines[: len(_TRUE)], lines[len(_TRUE) :]))
        if not (true - false and false - true):
            raise ConfigError(
                f"the tokenizer of {backbone.name} does not tell TRUE from FALSE by one token; "
                "use mode='generate'"
            )
        return cls(lines[0][:shared], sorted(true - false), sorted(false - true))

    def opinion(self, backbone: Backbone, name: str, completion: Completion) -> _Opinion:
        true, false = self.probabilities(backbone, completion.hidden[0])
        reason = f"P(TRUE) = {true:.3f}, P(FALSE) = {false:.3f}"
        if not true + false >= _LEAST_MASS:  # so, and not with <, NaN is no vote either
            return _Opinion(name, None, f"the model would say neither: {reason}")
        return _Opinion(name, true / (true + false), reason)

    def probabilities(self, backbone: Backbone, hidden: "torch.Tensor") -> tuple[float, float]:
        import torch

        with backbone.lock, torch.no_grad():
            said = torch.softmax(backbone.logits(hidden).float(), dim=-1)
        return float(said[self.true].sum()), float(said[self.false].sum())


def _spoken_opinion(backbone: Backbone, name: str, completion: Completion, given: int) -> _Opinion:
    reply = backbone.decode(completion.token_ids[given:])
    said = read_verdict(reply)
    if said is not None:
        return _Opinion(name, float(said), excerpt(reply))
    cause = {"length": "no clear verdict within the token limit", "seconds": "out of time"}.get(
        completion.finish_reason, "no clear verdict"
    )
    return _Opinion(name, None, f"{cause}: {excerpt(reply)!r}")


def _format_opinion(solution: str, rule: FormatRule) -> _Opinion:
    wanted = f"the pattern {rule.pattern!r}" if not isinstance(rule, str) else f"the {rule} format"
    kept = keeps_format(solution, rule)
    return _Opinion("format", float(kept), f"{wanted} is {'kept' if kept else 'not kept'}")


def _shared(sequences: Sequence[Sequence[int]]) -> int:
    """How many first tokens all sequences have in common; each keeps at least one of its own."""
    count = 0
    for tokens in zip(*(sequence[:-1] for sequence in sequences), strict=False):
        if len(set(tokens)) > 1:
            break
        count += 1
    return count


def _merged(setting: str, defaults: Mapping[str, _T], changes: Mapping[str, _T] | None) -> dict[str, _T]:
    unknown = [name for name in changes or {} if name not in defaults]
    if unknown:
        raise ConfigError(f"{setting}: {unknown[0]!r} is unknown; the names are {', '.join(defaults)}")
    return {**defaults, **(changes or {})}
