"""The verifier that asks a process reward model how likely each step is right."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

from latentseek_agents.engine._control_tokens import ContentGuard
from latentseek_agents.errors import BackboneError, ConfigError
from latentseek_agents.verdict import Check, Usage, Verdict, reward_threshold

__all__ = ["ProcessReward", "Reduction"]

Reduction = Literal["min", "mean", "last"]
"""How the probabilities of the steps become one."""

_REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": lambda scores: math.fsum(scores) / len(scores),
    "last": lambda scores: scores[-1],
}
_SHOWN = 80


class ProcessReward:
    r"""Score a solution by a process reward model: a token classifier that tells right steps from wrong ones.

    Models of this kind are trained by TRL's ``PRMTrainer`` and need no code of their own. They read the
    question and, one behind the other, the steps with a separator behind each; at the last token of a
    separator they say how likely the step before it is right: p = softmax(logits)[right_label]. The p of all
    steps are reduced to one, and the score is that minus 1.

    ===================================== ======== ==========================================
    the solution                          score    passed
    ===================================== ======== ==========================================
    p, reduced, is at least ``threshold``  p - 1   True
    p is below it                          p - 1   False, unless the search accepts that score
    no step, or too long for the model    -1       None: cannot judge
    ===================================== ======== ==========================================

    A search accepts an attempt only if its score exceeds ``LatentSeekConfig.reward_threshold`` as well: with
    the default of -0.2, p above 0.8. Set it to ``threshold - 1`` to let the model's own boundary decide. What
    the model says is an opinion: nothing is refuted or blocked.

    The model and its tokenizer are left as they are. Texts are read as text, control tokens that they spell
    included. May be called from any thread; the calls take turns.

    Args:
        model: A ``transformers`` model for token classification with two labels, in evaluation mode.
        tokenizer: Its tokenizer.
        reduce: ``"min"``: a solution is as good as its worst step; ``"mean"``; or ``"last"``.
        threshold: From which p on, in (0, 1], a step, and the solution, counts as right.
        separator: What the model was trained to read behind each step, and what splits a solution into
            steps; blank ones are left out. TRL's default is one line end; the model's card says which.
        right_label: Which of the two labels means that a step is right.
        max_tokens: Most tokens of question and steps; by default the model's own limit.

    Raises:
        ConfigError: A setting is out of range, or the model is no token classifier with two labels.

    Example:
        With a model from the Hub (1.5B parameters, trained by TRL; 3 GB in bfloat16)::

            from latentseek_agents.tools import Combined, ProcessReward, StepVerifier

            prm = ProcessReward.from_pretrained(
                "HuggingFaceH4/Qwen2.5-Math-1.5B-Instruct-PRM-0.2", dtype="bfloat16", separator="\n\n"
            )
            prm.step_scores("What is 2 * 3 + 1?", ["2 * 3 = 6", "6 + 1 = 8"])   # one number per step
            verifier = Combined(StepVerifier(), prm)           # the model is not asked where a sum is wrong

    That model was not run by us: the tests use tiny random ones, whose scores are known.

    Source: TRL's ``PRMTrainer``; the model of the steps is arXiv 2211.14275.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        reduce: Reduction = "min",
        threshold: float = 0.5,
        separator: str = "\n",
        right_label: int = 1,
        max_tokens: int | None = None,
    ) -> None:
        if reduce not in _REDUCTIONS:
            raise ConfigError(f"reduce={reduce!r}: it must be one of {', '.join(_REDUCTIONS)}")
        if not 0 < threshold <= 1:
            raise ConfigError(f"threshold={threshold}: it must lie in (0, 1]")
        if not separator:
            raise ConfigError("separator='': the model reads its verdict there; name the one of its training")
        if right_label not in (0, 1):
            raise ConfigError(f"right_label={right_label}: it must be 0 or 1")
        if max_tokens is not None and max_tokens < 1:
            raise ConfigError(f"max_tokens={max_tokens}: it must be at least 1")
        if getattr(model, "training", False):
            raise ConfigError("the process reward model is in training mode; call model.eval() first")
        self.reduce: Reduction = reduce
        self.threshold = threshold
        self.separator = separator
        self.right_label = right_label
        self._model = model
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._separator_ids = self._text_ids(separator)
        if not self._separator_ids:
            raise ConfigError(f"separator={separator!r}: the tokenizer makes no token of it")
        self.max_tokens = min(self._longest(), max_tokens or self._longest())
        labels = self._logits([self._separator_ids]).shape[-1]
        if labels != 2:
            raise ConfigError(
                f"a process reward model has two labels, but {type(model).__name__} gives {labels} numbers "
                "per token; load it with ProcessReward.from_pretrained or AutoModelForTokenClassification"
            )

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        dtype: str = "auto",
        device: str | None = None,
        revision: str | None = None,
        **settings: Any,
    ) -> Self:
        """Load a process reward model; code that comes with it is never run.

        Args:
            name: Name on the Hugging Face Hub, or a folder.
            dtype: Number format of the weights, such as ``"bfloat16"``; ``"auto"`` is that of the file.
            device: Where to put it; by default the CPU.
            revision: Branch, tag or commit.
            **settings: As of the class: ``reduce``, ``threshold``, ``separator``, ``right_label``,
                ``max_tokens``.

        Raises:
            BackboneError: The model cannot be loaded, or the file has no head for token classification.
            ConfigError: As of the class.
        """
        from transformers import AutoModelForTokenClassification, AutoTokenizer

        models: Any = AutoModelForTokenClassification
        tokenizers: Any = AutoTokenizer
        try:
            tokenizer = tokenizers.from_pretrained(name, revision=revision)
            model, found = models.from_pretrained(
                name, revision=revision, dtype=dtype, output_loading_info=True
            )
        except (OSError, ValueError) as error:
            raise BackboneError(
                f"{name} cannot be loaded as a token classifier: {error}; process reward models that need "
                "code of their own, or are causal LMs, are of another kind"
            ) from error
        if missing := sorted(found["missing_keys"]):
            raise BackboneError(
                f"{name} is no process reward model for token classification: its file lacks "
                f"{', '.join(missing[:3])}, which would be random numbers"
            )
        return cls(model.to(device or "cpu").train(mode=False), tokenizer, **settings)

    def __repr__(self) -> str:
        return f"ProcessReward({type(self._model).__name__}, reduce={self.reduce!r})"

    def steps(self, solution: str) -> list[str]:
        r"""The steps of a solution: what stands between separators, without white space around it.

        Args:
            solution: The text.
        """
        return [step.strip() for step in solution.split(self.separator) if step.strip()]

    def step_scores(self, question: str, steps: Sequence[str]) -> list[float] | None:
        """How likely each step is right, in [0, 1].

        Args:
            question: What is to be solved.
            steps: The steps, without separators.

        Returns:
            One number per step; None if the model gives NaN, or cannot read so much.
        """
        return self.scores([(question, steps)])[0]

    def scores(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float] | None]:
        """The same for several questions with their steps, in one pass of the model.

        Args:
            asked: Questions and steps.

        Returns:
            What :meth:`step_scores` returns for each, up to rounding.
        """
        encoded = [self._encoded(question, steps) for question, steps in asked]
        read = [place for place, (ids, ends) in enumerate(encoded) if ends and len(ids) <= self.max_tokens]
        found: list[list[float] | None] = [None if ends else [] for _, ends in encoded]
        if not read:
            return found
        probabilities = self._probabilities([encoded[place][0] for place in read])
        for row, place in enumerate(read):
            found[place] = _finite(probabilities[row, encoded[place][1]].tolist())
        return found

    def __call__(self, question: str, solution: str, *, reference: str | None = None) -> Verdict:
        """Judge ``solution`` to ``question``; ``reference`` is not looked at."""
        steps = self.steps(solution)
        if not steps:
            return Verdict(-1.0, None, "cannot judge: the solution has no step")
        ids, ends = self._encoded(question, steps)
        if len(ids) > self.max_tokens:
            long = f"question and solution take {len(ids)} tokens, and the model reads {self.max_tokens}"
            return Verdict(-1.0, None, f"cannot judge: {long}")
        usage = Usage(verifier_forward_passes=1, verifier_computed_tokens=len(ids))
        scores = _finite(self._probabilities([ids])[0, ends].tolist())
        if scores is None:
            return Verdict(-1.0, None, "cannot judge: the model gives NaN", usage=usage)
        return self._verdict(steps, scores, usage)

    def _verdict(self, steps: Sequence[str], scores: Sequence[float], usage: Usage) -> Verdict:
        reduced = min(1.0, max(0.0, _REDUCTIONS[self.reduce](scores)))
        score = reduced - 1.0
        passed = reduced >= self.threshold or score > reward_threshold()
        worst = scores[-1] if self.reduce == "last" else min(scores)
        place = len(scores) - 1 if self.reduce == "last" else scores.index(worst)
        checks = [
            Check(
                f"step {number}",
                step_score >= self.threshold,
                1.0,
                f"{step_score:.2f}: {_short(step)}",
                opinion=True,
            )
            for number, (step, step_score) in enumerate(zip(steps, scores, strict=True), start=1)
        ]
        mean = f", mean {reduced:.2f}" if self.reduce == "mean" else ""
        reason = f"step {place + 1} of {len(steps)}: {worst:.2f}{mean} ({_short(steps[place])})"
        return Verdict(score, passed, reason, checks, usage)

    def _encoded(self, question: str, steps: Sequence[str]) -> tuple[list[int], list[int]]:
        """Token ids as in training, piece by piece; and where the verdict on each step stands."""
        start = self._tokenizer.bos_token_id
        ids = [*([] if start is None else [start]), *self._text_ids(question)]
        ends = []
        for step in steps:
            ids += [*self._text_ids(step), *self._separator_ids]
            ends.append(len(ids) - 1)
        return ids, ends

    def _text_ids(self, text: str) -> list[int]:
        message = {"content": text}
        guard = ContentGuard(self._tokenizer, [message])
        return guard.token_ids(guard.guarded(message)["content"])

    def _longest(self) -> int:
        config = self._model.config
        limits = (
            getattr(config, "max_position_embeddings", None),
            getattr(self._tokenizer, "model_max_length", None),
        )
        return int(min(limit for limit in (*limits, 1 << 20) if limit))

    def _probabilities(self, rows: Sequence[Sequence[int]]) -> Any:
        """(rows, tokens) on the CPU: softmax(logits)[right_label] in float32."""
        return self._logits(rows).float().softmax(dim=-1)[..., self.right_label].cpu()

    def _logits(self, rows: Sequence[Sequence[int]]) -> Any:
        """(rows, tokens, labels). Shorter rows are filled up behind, where nothing is read."""
        import torch

        longest = max(map(len, rows))
        filler = self._tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        device = next(self._model.parameters()).device
        with self._lock, torch.no_grad():
            made = self._model(
                input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False, return_dict=True
            )
        if not hasattr(made, "logits"):
            raise ConfigError(f"{type(self._model).__name__} has no head; a token classifier is needed")
        return made.logits


def _finite(scores: list[float]) -> list[float] | None:
    return scores if all(map(math.isfinite, scores)) else None


def _short(step: str) -> str:
    line = " ".join(step.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
