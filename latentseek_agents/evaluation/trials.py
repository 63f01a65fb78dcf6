"""What methods did on the same questions, as run, or as it would have been with fewer attempts.

A search's first iterations and a baseline's first samples do not depend on how many follow; so what shorter
runs, and other ways to choose among the attempts, would have returned need not be run.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from latentseek_agents.decisions import best_attempt
from latentseek_agents.evaluation.questions import Question
from latentseek_agents.evaluation.records import AttemptRecord, Outcome
from latentseek_agents.verdict import Attempt

__all__ = ["METHODS", "Group", "Keep", "Series", "Trial", "group_outcomes", "is_oracle", "method_place"]

Keep = Literal["best", "last", "vote"]

METHODS = (
    "cot",
    "bon",
    "sc",
    "walk",
    "self",
    "self_logprob",
    "steps",
    "combined",
    "combined_logprob",
    "psrm",
)
"""What can be asked for, without arguments, in the order of the paper's table."""

_SAMPLED = ("bon", "sc", "pass")


@dataclass(frozen=True)
class Trial:
    """One method's work on one question.

    Args:
        attempts: All that it paid for, at least one.
        chosen: Position of the one that it returns.
        stop_reason: Why it ended, as it was run.
        reference: The known answer.
        digest: Of question and known answer; None in the lines of earlier versions.
    """

    attempts: tuple[AttemptRecord, ...]
    chosen: int
    stop_reason: str | None = None
    reference: str = ""
    digest: str | None = None

    @property
    def right(self) -> bool:
        """Whether the answer is right; a comparison that could not be finished is not."""
        return self.attempts[self.chosen].right is True

    @property
    def ungraded(self) -> bool:
        """Whether nobody knows if the answer is right."""
        return self.attempts[self.chosen].right is None

    @property
    def failed(self) -> bool:
        """Whether the question could not be worked on."""
        return self.attempts[0].finish_reason == "error"

    @property
    def cut_off(self) -> bool:
        """Whether the answer ran into the limit of tokens or seconds."""
        return self.attempts[self.chosen].finish_reason in ("length", "seconds")

    @property
    def unjudged(self) -> bool:
        """Whether it ended because the verifier could not judge."""
        return self.stop_reason == "unjudged"

    @property
    def draft_right(self) -> bool:
        """Whether the first attempt is right."""
        return self.attempts[0].right is True

    @property
    def covered(self) -> bool:
        """Whether any attempt is right."""
        return any(attempt.right is True for attempt in self.attempts)

    @property
    def iterations(self) -> int:
        """How many iterations followed the draft."""
        return self.attempts[-1].attempt

    @property
    def solutions(self) -> int:
        """How many solutions were written; more than attempts if a search draws several per iteration."""
        return sum(attempt.samples for attempt in self.attempts)

    @property
    def tokens(self) -> int:
        """Tokens of policy and verifier."""
        return sum(attempt.tokens for attempt in self.attempts)

    @property
    def forward_passes(self) -> float:
        """Forward passes of policy and verifier."""
        return sum(attempt.forward_passes for attempt in self.attempts)

    @property
    def computed_tokens(self) -> float | None:
        """Tokens through the layers, of policy and verifier; None in the lines of earlier versions."""
        known = sum(attempt.computed_tokens for attempt in self.attempts)
        return known if known or not self.tokens else None

    def same_question(self, other: "Trial") -> bool:
        """Whether both worked on the same question, as far as their lines tell."""
        return Question(self.reference, self.digest).may_be(Question(other.reference, other.digest))

    def kept(self, keep: Keep) -> "Trial":
        """The same attempts, another choice among them."""
        candidates = [_as_attempt(place, record) for place, record in enumerate(self.attempts)]
        return replace(self, chosen=best_attempt(candidates, keep).iteration)

    def after(self, iterations: int) -> "Trial":
        """As if it had been stopped after so many iterations, with the best attempt of those.

        Why it ended is known only if it had ended by then.
        """
        made = tuple(attempt for attempt in self.attempts if attempt.attempt <= iterations)
        ended = len(made) == len(self.attempts)
        return replace(self, attempts=made, stop_reason=self.stop_reason if ended else None).kept("best")

    def found(self) -> "Trial":
        """The choice of one who knows the answer: the first attempt that is right, if any is."""
        places = (place for place, attempt in enumerate(self.attempts) if attempt.right is True)
        return replace(self, chosen=next(places, 0))

    def until_right(self) -> "Trial":
        """As if one who knows the answer had stopped it at the first attempt that is right."""
        chosen = self.found().chosen
        return Trial(self.attempts[: chosen + 1], chosen) if self.covered else self


@dataclass(frozen=True)
class Series:
    """One method's work on the questions of one data set, with one prompt.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        method: Its name, for example ``"sc:11"``; derived ones have others, such as ``"sc-4"``.
        trials: By the question's number.
    """

    dataset: str
    prompt: str
    method: str
    trials: Mapping[int, Trial]

    @property
    def kind(self) -> str:
        """The method without its argument."""
        return re.split(r"[:@-]", self.method)[0]

    @property
    def oracle(self) -> bool:
        """Whether the method is told the known answer: never a result, only a ceiling."""
        return is_oracle(self.method)

    @property
    def sampled(self) -> bool:
        """Whether its attempts are independent samples."""
        return self.kind in _SAMPLED

    @property
    def samples(self) -> int:
        """How many samples it draws, as its name has it: 11 of ``sc:11``; 0 where the name has no number."""
        return _argument(self.method)

    @property
    def searches(self) -> bool:
        """Whether its attempts are a draft and what refinement made of it."""
        return not self.sampled and self.kind != "cot"

    @property
    def reward(self) -> str | None:
        """What judges its attempts, for example ``"steps"``; None where nothing does."""
        if self.kind in ("cot", "sc", "pass"):
            return None
        named = [part for part in self.method.split(":")[1:] if not part.isdecimal()]
        return named[0] if named else "combined" if self.kind in ("bon", "walk") else self.kind

    @property
    def computed_tokens(self) -> float | None:
        """A question's, on average; None if any question's are not known."""
        known = [trial.computed_tokens for trial in self.trials.values()]
        return None if None in known or not known else fmean(count or 0.0 for count in known)

    @property
    def most_iterations(self) -> int:
        """Of all questions."""
        return max(trial.iterations for trial in self.trials.values())

    @property
    def most_solutions(self) -> int:
        """Of all questions."""
        return max(trial.solutions for trial in self.trials.values())

    def kept(self, keep: Keep) -> "Series":
        """The same search with another choice among its attempts."""
        return self._with({number: trial.kept(keep) for number, trial in self.trials.items()})

    def after(self, iterations: int) -> "Series":
        """The same search, stopped after so many iterations, with the best attempt of those."""
        return self._with({number: trial.after(iterations) for number, trial in self.trials.items()})

    def found(self) -> "Series":
        """The same attempts, chosen by one who knows the answers."""
        return self._with({number: trial.found() for number, trial in self.trials.items()})

    def until_right(self) -> "Series":
        """The same attempts, stopped by one who knows the answers."""
        return self._with({number: trial.until_right() for number, trial in self.trials.items()})

    def on(self, problems: Iterable[int]) -> "Series":
        """The same on some of the questions; those it has not worked on are left out."""
        return self._with({number: self.trials[number] for number in problems if number in self.trials})

    def _with(self, trials: Mapping[int, Trial]) -> "Series":
        return replace(self, trials=trials)


@dataclass(frozen=True)
class Group:
    """All methods on one data set with one prompt, the oracles last.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        series: At least one; each with a name of its own.
    """

    dataset: str
    prompt: str
    series: tuple[Series, ...]

    @property
    def searches(self) -> tuple[Series, ...]:
        """The searches among the methods."""
        return tuple(series for series in self.series if series.searches)

    @property
    def problems(self) -> set[int]:
        """Questions that any method has worked on."""
        return {number for series in self.series for number in series.trials}

    @property
    def trials(self) -> dict[int, Trial]:
        """Of each question, what one of the methods made of it."""
        return {number: trial for series in self.series for number, trial in series.trials.items()}

    def find(self, method: str) -> Series | None:
        """The method of that name, if it was run."""
        return next((series for series in self.series if series.method == method), None)

    def rival(self, kind: str, series: Series) -> Series | None:
        """Of the methods of a kind, such as ``sc:3`` and ``sc:11``, the one to compare another with.

        A larger one that has only begun must not take the place of a smaller one that is done: the one with
        the most questions in common counts, and among equals the one with the most samples.

        Args:
            kind: ``"sc"``, or ``"bon"`` of the same reward as the other method.
            series: The other method.
        """
        reward = series.reward if kind == "bon" else None
        found = [other for other in self.series if other.kind == kind and other.reward == reward]
        return max(
            found,
            key=lambda other: (len(other.trials.keys() & series.trials.keys()), other.samples),
            default=None,
        )


def group_outcomes(outcomes: Sequence[Outcome]) -> list[Group]:
    """Outcomes of one run by data set and prompt, methods in the order of the paper's table.

    Example:
        >>> from latentseek_agents.evaluation.records import Key
        >>> made = AttemptRecord(attempt=0, answer="2", right=True)
        >>> names = ["psrm", "walk:psrm", "self", "sc:11", "sc:3", "cot"]
        >>> group, = group_outcomes([
        ...     Outcome(key=Key("made up", "boxed", name, 0), run="", seed=0, reference="2",
        ...             attempts=(made,), chosen=0)
        ...     for name in names])
        >>> [series.method for series in group.series]
        ['cot', 'sc:3', 'sc:11', 'self', 'walk:psrm', 'psrm']
    """
    found: dict[tuple[str, str], dict[str, dict[int, Trial]]] = {}
    for outcome in outcomes:
        key = outcome.key
        methods = found.setdefault((key.dataset, key.prompt), {})
        methods.setdefault(key.method, {})[key.problem] = Trial(
            outcome.attempts, outcome.chosen, outcome.stop_reason, outcome.reference, outcome.digest
        )
    return [
        Group(
            dataset,
            prompt,
            tuple(Series(dataset, prompt, name, methods[name]) for name in sorted(methods, key=method_place)),
        )
        for (dataset, prompt), methods in sorted(found.items())
    ]


def is_oracle(method: str) -> bool:
    """Whether a method is told the known answer.

    Example:
        >>> is_oracle("psrm"), is_oracle("walk:psrm"), is_oracle("bon-3:psrm"), is_oracle("walk")
        (True, True, True, False)
    """
    return "psrm" in method.split(":")


def method_place(method: str) -> tuple[bool, int, int, str]:
    """Where a method stands in a table, as a key to sort by: oracles last."""
    kind = method.partition(":")[0]
    place = METHODS.index(kind) if kind in METHODS else len(METHODS)
    return is_oracle(method), place, _argument(method), method


def _as_attempt(place: int, record: AttemptRecord) -> Attempt:
    """What a choice among attempts looks at, with its place instead of its iteration."""
    return Attempt(
        iteration=place,
        token_ids=[],
        latent_token_ids=[],
        changed=[],
        text="",
        finish_reason=record.finish_reason,
        answer=record.answer,
        score=record.score,
        passed=record.passed,
    )


def _argument(method: str) -> int:
    argument = method.partition(":")[2].partition(":")[0]
    return int(argument) if argument.isdecimal() and argument.isascii() else 0
