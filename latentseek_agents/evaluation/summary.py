"""Each method in numbers: accuracy with its interval, costs, what the search lost and saved."""

from dataclasses import dataclass
from statistics import fmean

from latentseek_agents.evaluation.sample_pool import SamplePool
from latentseek_agents.evaluation.statistics import Comparison, Interval, compare_pairs, wilson
from latentseek_agents.evaluation.trials import Group, Keep, Series

__all__ = [
    "Paired",
    "Summary",
    "compare_series",
    "comparisons",
    "iteration_summaries",
    "judged_summaries",
    "keep_summaries",
    "method_summaries",
    "sample_summaries",
    "summarize",
]

KEEPS: tuple[Keep, ...] = ("best", "last", "vote")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One method on one data set with one prompt; costs are means over the questions.

    Args:
        dataset: Name of the data.
        prompt: ``"boxed"`` or ``"json"``.
        method: Its name.
        variant: ``"as run"``, ``"keep=vote"`` or, for example, ``"at most the tokens of self"``.
        oracle: Whether the method is told the known answer.
        questions: How many it has worked on.
        right: How many it has answered right.
        interval: Wilson's, of the accuracy.
        ungraded: Answers whose comparison could not be finished; they count as wrong.
        failed: Questions that could not be worked on; they count as wrong.
        cut_off: Answers that ran into the limit of tokens or seconds.
        unjudged: Questions on which it ended because the verifier could not judge.
        policy_tokens: Of the model that answers.
        verifier_tokens: Of the verdicts.
        policy_forward_passes: As above.
        verifier_forward_passes: As above.
        computed_tokens: Through the model's layers: what was written, refused guesses, prompts that were not
            kept from before.
        policy_seconds: Wall clock, of a machine that other questions share.
        verifier_seconds: The same for the verdicts.
        iterations: After the draft; None for what is no search.
        draft_right_lost: Right drafts for which a search returned a wrong answer; None for no search.
        draft_wrong_saved: Wrong drafts for which a search returned a right answer; None for no search.
    """

    dataset: str
    prompt: str
    method: str
    variant: str
    oracle: bool
    questions: int
    right: int
    interval: Interval
    ungraded: int
    failed: int
    cut_off: int
    unjudged: int
    policy_tokens: float
    verifier_tokens: float
    policy_forward_passes: float
    verifier_forward_passes: float
    computed_tokens: float | None
    policy_seconds: float
    verifier_seconds: float
    iterations: float | None
    draft_right_lost: int | None
    draft_wrong_saved: int | None

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.questions if self.questions else 0.0

    @property
    def tokens(self) -> float:
        """Of policy and verifier."""
        return self.policy_tokens + self.verifier_tokens

    @property
    def forward_passes(self) -> float:
        """Of policy and verifier."""
        return self.policy_forward_passes + self.verifier_forward_passes

    @property
    def seconds(self) -> float:
        """Of policy and verifier."""
        return self.policy_seconds + self.verifier_seconds

    @property
    def against_draft(self) -> Comparison | None:
        """A search beside the drafts that it began with; None for no search."""
        if self.draft_right_lost is None or self.draft_wrong_saved is None:
            return None
        return compare_pairs(
            self.questions, only_first=self.draft_wrong_saved, only_second=self.draft_right_lost
        )


@dataclass(frozen=True)
class Paired:
    """Two methods on the questions that both have worked on.

    Args:
        first: The method in question.
        second: What it is compared with.
        oracle: Whether one of them is told the known answer.
        found: Difference, interval, p; None if they share no question.
    """

    first: str
    second: str
    oracle: bool
    found: Comparison | None


def summarize(series: Series, variant: str = "as run", *, oracle: bool | None = None) -> Summary:
    """A method's numbers.

    Args:
        series: Its work, on at least one question.
        variant: How it differs from what was run.
        oracle: Whether it is an oracle, if its name does not tell.
    """
    trials = list(series.trials.values())

    def mean(name: str) -> float:
        return fmean(sum(getattr(attempt, name) for attempt in trial.attempts) for trial in trials)

    lost = sum(trial.draft_right and not trial.right for trial in trials)
    saved = sum(trial.right and not trial.draft_right for trial in trials)
    right = sum(trial.right for trial in trials)
    return Summary(
        dataset=series.dataset,
        prompt=series.prompt,
        method=series.method,
        variant=variant,
        oracle=series.oracle if oracle is None else oracle,
        questions=len(trials),
        right=right,
        interval=wilson(right, len(trials)),
        ungraded=sum(trial.ungraded for trial in trials),
        failed=sum(trial.failed for trial in trials),
        cut_off=sum(trial.cut_off for trial in trials),
        unjudged=sum(trial.unjudged for trial in trials),
        policy_tokens=mean("policy_tokens"),
        verifier_tokens=mean("verifier_tokens"),
        policy_forward_passes=mean("policy_forward_passes"),
        verifier_forward_passes=mean("verifier_forward_passes"),
        computed_tokens=series.computed_tokens,
        policy_seconds=mean("policy_seconds"),
        verifier_seconds=mean("verifier_seconds"),
        iterations=fmean(trial.iterations for trial in trials) if series.searches else None,
        draft_right_lost=lost if series.searches else None,
        draft_wrong_saved=saved if series.searches else None,
    )


def method_summaries(group: Group) -> list[Summary]:
    """Every method as run."""
    return [summarize(series) for series in group.series]


def sample_summaries(pool: SamplePool) -> list[Summary]:
    """Every smaller number of samples: the vote, and coverage."""
    counts = range(1, pool.size + 1)
    voted = [summarize(pool.majority(count), "first samples") for count in counts]
    covered = [summarize(pool.coverage(count), "first samples", oracle=True) for count in counts]
    return voted + covered


def judged_summaries(pool: SamplePool) -> list[Summary]:
    """Every smaller number of samples: the best by the verdicts."""
    return [summarize(pool.best(count), "first samples") for count in range(1, pool.size + 1)]


def keep_summaries(group: Group) -> list[Summary]:
    """Every search with each choice among its attempts."""
    return [summarize(series.kept(keep), f"keep={keep}") for series in group.searches for keep in KEEPS]


def iteration_summaries(series: Series) -> list[Summary]:
    """A search as if it had been stopped after 0, 1, 2, ... iterations, with the best attempt so far."""
    return [summarize(series.after(count), f"after {count}") for count in range(series.most_iterations + 1)]


def comparisons(group: Group) -> list[Paired]:
    """Every method with the chain of thought and with self-consistency, that of the most shared questions.

    A search is compared with its control too, the walk in random directions, and with best-of-N, both under
    the same reward.
    """
    greedy = group.find("cot")
    found = []
    for series in group.series:
        others = [] if series is greedy else [greedy, group.rival("sc", series)]
        if series.searches:
            others.append(group.rival("bon", series))
        if series.searches and series.kind != "walk":
            others += [other for other in group.searches if _controls(other, series)]
        found += [
            Paired(series.method, other.method, series.oracle, compare_series(series, other))
            for other in others
            if other is not None and other is not series
        ]
    return found


def _controls(walk: Series, search: Series) -> bool:
    return walk.kind == "walk" and walk.reward == search.reward


def compare_series(first: Series, second: Series) -> Comparison | None:
    """Two methods on the questions that both have worked on; None if there are none."""
    shared = first.trials.keys() & second.trials.keys()
    if not shared:
        return None
    pairs = [(first.trials[number].right, second.trials[number].right) for number in shared]
    return compare_pairs(
        len(pairs),
        only_first=sum(one and not other for one, other in pairs),
        only_second=sum(other and not one for one, other in pairs),
    )
