"""What an evaluation records: attempts, and the outcome of one method on one problem, a line of JSON each."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

from latentseek_agents.verdict import Attempt, Usage

__all__ = ["ERROR", "AttemptRecord", "Key", "Outcome"]

ERROR = "error: "
"""How the reason of what ended in an error begins; the kind of the error follows."""


class Key(NamedTuple):
    """What tells one outcome from another within a run.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        method: For example ``"sc:11"``.
        problem: The problem's number in its data.
    """

    dataset: str
    prompt: str
    method: str
    problem: int


@dataclass(frozen=True, kw_only=True)
class AttemptRecord(Usage):
    """One attempt at one problem, with its costs: an iteration of a search, or a sample of a baseline.

    The first attempt is charged with the prompt. Seconds are of a machine that other problems share.

    Args:
        attempt: Its number; 0 is the draft, or the first sample.
        answer: The final answer in its text; None if it states none.
        right: Whether that is the known answer; None if the comparison could not be finished.
        score: The verifier's, in [-1, 0]; None where no verifier was called.
        passed: The verifier's decision; None where it could not judge or was not called.
        finish_reason: ``"stop"``, ``"length"``, ``"seconds"``, or ``"error"`` for a problem that failed.
        changed: How many tokens at the latents differ from the attempt before; 0 in baselines.
        latents: How many latents there were.
        samples: How many solutions were written of which this is the best; more than 1 if a search draws
            several per iteration.
        checks: The verdict's checks, name to passed.
        text: The solution, without what was thought before it.
        computed_answer: What a program in the solution prints as its answer, where the text states another.
        refuted: Whether a check proves it wrong.
        exact: Whether a check that passed was computed, and is no model's opinion.
        thinking: What the model thought before it answered.
        aimed_at: ``Attempt.aimed_at``.
    """

    attempt: int
    answer: str | None
    right: bool | None
    score: float | None = None
    passed: bool | None = None
    finish_reason: str = "stop"
    changed: int = 0
    latents: int = 0
    samples: int = 1
    checks: dict[str, bool | None] | None = None
    text: str = ""
    computed_answer: str | None = None
    refuted: bool = False
    exact: bool = False
    thinking: str = ""
    aimed_at: dict[str, Any] | None = None

    @property
    def as_attempt(self) -> Attempt:
        """What judging it, or choosing among several, reads of an attempt."""
        check = {"name": "verdict", "passed": self.passed, "refuted": self.refuted, "exact": self.exact}
        return Attempt(
            iteration=self.attempt,
            token_ids=[],
            latent_token_ids=[],
            changed=[],
            text=self.text,
            thinking=self.thinking,
            answer=self.answer,
            finish_reason=self.finish_reason,
            score=self.score,
            passed=self.passed,
            computed_answer=self.computed_answer,
            checks=[check] if self.refuted or self.exact else [],
            aimed_at=self.aimed_at,
        )

    def judged(self, attempt: Attempt, spent: Usage) -> Self:
        """The same with the verdict on an attempt and what that cost."""
        return replace(
            self,
            score=attempt.score,
            passed=attempt.passed,
            checks=named_checks(attempt),
            computed_answer=attempt.computed_answer,
            refuted=attempt.refuted,
            exact=attempt.passed_exactly,
            verifier_tokens=spent.verifier_tokens,
            verifier_forward_passes=spent.verifier_forward_passes,
            verifier_computed_tokens=spent.verifier_computed_tokens,
            verifier_seconds=spent.verifier_seconds,
        )

    @property
    def unjudged(self) -> Self:
        """The same as if no verifier had seen it."""
        unseen = replace(self.as_attempt, score=None, passed=None, computed_answer=None, checks=[])
        return self.judged(unseen, Usage())


def named_checks(attempt: Attempt) -> dict[str, bool | None] | None:
    """An attempt's checks, name to passed."""
    return {check["name"]: check["passed"] for check in attempt.checks} or None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One method's work on one problem.

    Args:
        key: Data, prompt, method, problem.
        run: Fingerprint of the run's settings, as in its ``run.json``.
        seed: Seed of its sampling.
        reference: The known answer.
        attempts: In their order, at least one; the first is the draft or the first sample.
        chosen: Position in ``attempts`` of the one that the method returns.
        stop_reason: Why it ended; None for methods that have no reason to stop.
        corrected: The answer that is returned in place of the chosen attempt's, if there is one: a computed
            value won the vote that no attempt states.
        corrected_right: Whether that is the known answer; None if the comparison could not be finished.
        prepared_answer: What the verifier computed for the question, such as a program's output.
        digest: Of question and known answer.
        seconds: Wall clock of the call that ended it, without the work of earlier processes or of another
            method whose samples were taken over.
        code: Fingerprint of the code that ended it; None if its sources could not be read.
        processor: Kind of the processor that its model ran on (``processor_kind``); None if it is not known.
    """

    key: Key
    run: str
    seed: int
    reference: str
    attempts: tuple[AttemptRecord, ...]
    chosen: int
    stop_reason: str | None = None
    corrected: str | None = None
    corrected_right: bool | None = None
    prepared_answer: str | None = None
    digest: str = ""
    seconds: float = 0.0
    code: str | None = None
    processor: str | None = None

    @property
    def right(self) -> bool:
        """Whether the answer is right; one whose comparison could not be finished is not."""
        return self._graded is True

    @property
    def ungraded(self) -> bool:
        """Whether it is not known if the answer is right."""
        return self._graded is None

    @property
    def _graded(self) -> bool | None:
        return self.attempts[self.chosen].right if self.corrected is None else self.corrected_right

    def choosing(self, place: int) -> Self:
        """The same with another attempt chosen, as it is."""
        return replace(self, chosen=place, corrected=None, corrected_right=None)

    @property
    def failed(self) -> bool:
        """Whether the problem could not be worked on."""
        return self.attempts[0].finish_reason == "error"

    @property
    def ended_in_error(self) -> bool:
        """Whether it could not be worked on, or to its end."""
        return self.failed or (self.stop_reason or "").startswith(ERROR)

    @property
    def cut_off(self) -> bool:
        """Whether the answer ran into the limit of tokens or seconds."""
        return self.attempts[self.chosen].finish_reason in ("length", "seconds")

    @property
    def unjudged(self) -> bool:
        """Whether it ended because the verifier could not judge."""
        return self.stop_reason == "unjudged"

    @property
    def iterations(self) -> int:
        """How many iterations followed the draft."""
        return self.attempts[-1].attempt

    @property
    def question(self) -> tuple[str, str]:
        """What tells two questions of the same number apart."""
        return self.reference, self.digest

    def to_line(self) -> bytes:
        r"""The outcome and its attempts as one line of JSON.

        Example:
            >>> attempt = AttemptRecord(attempt=0, answer="2", right=True)
            >>> outcome = Outcome(key=Key("sums", "boxed", "cot", 0), run="", seed=0, reference="2",
            ...                   attempts=(attempt,), chosen=0)
            >>> Outcome.from_line(outcome.to_line()) == outcome
            True
        """
        values = {**self.key._asdict(), **asdict(self)}
        del values["key"]
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Inverse of :meth:`to_line`.

        Raises:
            KeyError: A field is missing.
            TypeError: There is a field too many, or the line is no object.
            ValueError: The line is no JSON.
        """
        values: dict[str, Any] = json.loads(line)
        key = Key(*(values.pop(name) for name in Key._fields))
        attempts = tuple(AttemptRecord(**attempt) for attempt in values.pop("attempts"))
        return cls(key=key, attempts=attempts, **values)
