"""Self-reward: the frozen model reviews its own solution."""

import math
import time
from collections.abc import Mapping, Sequence

from latentseek_agents.engine._decoding import DecodeRequest, decode
from latentseek_agents.engine.backbone import Backbone
from latentseek_agents.errors import ConfigError
from latentseek_agents.thoughts import split_thoughts
from latentseek_agents.tools._self_reward import (
    STATEMENTS,
    Mode,
    Opinion,
    Quoter,
    VerdictLine,
    review_prompts,
    shared_start,
    spoken_opinion,
)
from latentseek_agents.verdict import Check, Usage, Verdict, reward_threshold

__all__ = ["Mode", "SelfReward"]

_WEIGHTS: Mapping[str, float] = {
    "calculation": 2.0,
    "answer": 1.0,
    "completeness": 2.0,
    "understanding": 1.0,
}
# The share, by weight, of the checks that must have judged: four fifths, less a rounding error.
_LEAST_JUDGED = 0.8 * (1 - 1e-9)


class SelfReward:
    """Ask the frozen model itself: four checks, each a statement about the solution it calls true or false.

    The checks of the paper (arXiv 2505.13308) and their weights:

    ================= ====== ===============================================================
    check             weight the model is asked whether
    ================= ====== ===============================================================
    ``calculation``   2      the solution makes no arithmetic mistake
    ``answer``        1      the final answer is right
    ``completeness``  2      no step is missing and all that is asked is answered
    ``understanding`` 1      the question was understood
    ================= ====== ===============================================================

    **What it is worth**: alone it made the answers of Qwen2.5-Coder-1.5B-Instruct on GSM8K worse than greedy
    ones (44 against 56 of 100, with an earlier wording; docs/results.md), and none of its checks is shown to
    tell right from wrong samples of one question, so nothing uses it by default: take it where nothing can be
    checked exactly, for a model that you have measured with ``benchmarks/self_reward.py``.

    The paper's fifth check, of the format, takes no model: combine this verifier with a function that returns
    0 or -1, as in ``Combined(boxed, SelfReward(backbone), weights=[2, 6])``.

    **Score**: minus the share, by weight, of failed checks among those that judged; so in [-1, 0]. In mode
    ``"logprob"`` a check fails by degrees, by the probability of FALSE. If too little judged (below), what
    did not judge counts as failed: near -1 then says that little is known, not that much is wrong.

    **Passed**, the first that applies:

    1. False if ``answer`` failed, whatever the others say.
    2. None if the checks that judged weigh less than four fifths of all of them.
    3. False if the score is not above the threshold of the search.
    4. None if ``answer`` was asked and did not judge.
    5. True.

    An empty solution is rejected without asking. A solution too long for the context window loses its middle:
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
        max_seconds: float | None = None,
    ) -> None:
        if mode not in ("generate", "logprob"):
            raise ConfigError(f"mode={mode!r} is unknown; use 'generate' or 'logprob'")
        if max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={max_new_tokens}: it must be at least 1")
        if max_seconds is not None and not max_seconds > 0:
            raise ConfigError(f"max_seconds={max_seconds}: it must be above 0, or None")
        self.backbone = backbone
        self.mode = mode
        self.max_new_tokens = max_new_tokens
        self.weights = {**_WEIGHTS, **(weights or {})}
        self.max_seconds = max_seconds
        for name, weight in self.weights.items():
            if name not in _WEIGHTS:
                raise ConfigError(f"weights: {name!r} is unknown; the names are {', '.join(_WEIGHTS)}")
            if not (math.isfinite(weight) and weight >= 0):
                raise ConfigError(f"weights[{name!r}]={weight}: it must be a finite number, at least 0")
        self._names = [name for name in STATEMENTS if self.weights[name] > 0]
        if not self._names:
            raise ConfigError("the weights of all checks are 0; at least one must be asked of the model")
        self._quoter = Quoter(backbone.tokenizer)
        self._verdict_line = VerdictLine.of(backbone) if mode == "logprob" else None

    def __repr__(self) -> str:
        return f"SelfReward({self.backbone.name!r}, mode={self.mode!r})"

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution``; ``reference`` is not looked at."""
        began = time.monotonic()
        split = split_thoughts(solution)
        solution = split.text
        if not solution.strip():
            reason = "the solution is cut off within a thought" if split.cut_off else "the solution is empty"
            return Verdict(-1.0, passed=False, reason=reason)
        opinions, usage = self._review(question, solution, began)
        usage += Usage(verifier_seconds=time.monotonic() - began)
        return self._verdict(opinions, usage)

    def _review(self, question: str, solution: str, began: float) -> tuple[list[Opinion], Usage]:
        """The opinions of all checks, in their order, and their cost."""
        line = self._verdict_line
        forced = line.head if line else []
        window = self.backbone.context_window
        reply_room = 1 if line else min(self.max_new_tokens, window // 4)
        prompts, gap = review_prompts(
            self.backbone,
            self._quoter,
            question,
            solution,
            self._names,
            self.mode,
            window - len(forced) - reply_room,
        )
        opinions = {name: Opinion(name, None, gap) for name in self._names}
        if not prompts:
            return list(opinions.values()), Usage()
        # The decoder reads the beginning that they share once.
        shared = shared_start(list(prompts.values()))
        requests = [
            DecodeRequest(
                prompt_ids=ids[:shared],
                forced_ids=[*ids[shared:], *forced],
                max_new_tokens=reply_room,
                end_token_ids=self.backbone.eos_token_ids,
                deadline=None if self.max_seconds is None else began + self.max_seconds,
                states=1 if line else 0,
            )
            for ids in prompts.values()
        ]
        completions = decode(self.backbone, requests)
        for name, request, completion in zip(prompts, requests, completions, strict=True):
            if line:
                opinions[name] = line.opinion(self.backbone, name, completion)
            else:
                reply = self.backbone.written(completion.token_ids[len(request.forced_ids) :])
                opinions[name] = spoken_opinion(name, reply, completion.finish_reason)
        usage = sum((completion.usage("verifier") for completion in completions), Usage())
        return list(opinions.values()), usage

    def _verdict(self, opinions: Sequence[Opinion], usage: Usage) -> Verdict:
        threshold = reward_threshold()
        judged = [opinion for opinion in opinions if opinion.truth is not None]
        unjudged = self._weight(judged) < _LEAST_JUDGED * self._weight(opinions)
        answer = next((opinion for opinion in opinions if opinion.name == "answer"), None)
        score = self._score(opinions if unjudged else judged)
        passed: bool | None = True
        if answer is not None and answer.passed is False:
            passed = False
        elif unjudged:
            passed = None
        elif score <= threshold:
            passed = False
        elif answer is not None and answer.passed is None:
            passed, score = None, self._score(opinions)
        failed = "; ".join(f"{opinion.name} ({opinion.reason})" for opinion in judged if not opinion.passed)
        if passed is None:
            silent = [opinion for opinion in opinions if opinion.truth is None]
            reason = "cannot judge: " + "; ".join(f"{opinion.name}: {opinion.reason}" for opinion in silent)
        elif failed:
            reason = f"the model {'accepts, though not' if passed else 'rejects'} {failed}"
        elif passed:
            reason = "the model accepts all that it judged"
        else:
            reason = f"the model is not sure enough: score {score:.2f}, accepted above {threshold:g}"
        checks = [Check(o.name, o.passed, self.weights[o.name], o.reason, opinion=True) for o in opinions]
        return Verdict(score, passed, reason, checks, usage)

    def _weight(self, opinions: Sequence[Opinion]) -> float:
        return sum(self.weights[opinion.name] for opinion in opinions)

    def _score(self, opinions: Sequence[Opinion]) -> float:
        """Minus the share, by weight, of what failed; what did not judge counts as failed."""
        lost = sum(self.weights[opinion.name] * (1 - (opinion.truth or 0.0)) for opinion in opinions)
        return 0.0 - min(1.0, lost / self._weight(opinions))
