"""Tables of how well verdicts agree with the truth."""

from latentseek_agents.evaluation.agreement import Confusion
from latentseek_agents.evaluation.analysis import RunAnalysis
from latentseek_agents.evaluation.cells import Table, accuracy, heads, percent, where

__all__ = ["agreement_table", "confusion_table"]

_VERDICTS_NOTE = (
    "Passed: the verifier accepted the attempt; refused: it did not; not judged: it could not tell."
)


def confusion_table(run: RunAnalysis) -> Table:
    """What was passed, refused and not judged, and what of it was right.

    Args:
        run: What to show; its oracles are left out.
    """
    rows = [
        (where(group.dataset, group.prompt), one.method, *_counts(one))
        for group in run.groups
        for one in group.confusions
        if not one.oracle
    ]
    return Table(
        "Verdicts against the truth",
        heads(
            "data | method | passed, right | passed, wrong | "
            "refused, right | refused, wrong | not judged, right | not judged, wrong | ungraded"
        ),
        tuple(rows),
        f"All attempts. {_VERDICTS_NOTE} Ungraded ones, whose comparison with the known answer could not be "
        "finished, are among the wrong.",
    )


def agreement_table(run: RunAnalysis) -> Table:
    """How often verdicts and their checks say what is true.

    Args:
        run: What to show; its oracles are left out.
    """
    rows = [
        (
            where(group.dataset, group.prompt),
            one.method,
            one.judge,
            one.scope,
            str(one.judged),
            accuracy(one.agreed / one.judged, one.interval),
            percent(one.constant),
            f"{one.passed_right} of {one.right}",
            f"{one.passed_wrong} of {one.judged - one.right}",
        )
        for group in run.groups
        for one in group.agreements
        if not one.oracle
    ]
    return Table(
        "Agreement of verdicts with the truth",
        heads(
            "data | method | judge | attempts | "
            "judged | agreement | of a constant verdict | right ones passed | wrong ones passed"
        ),
        tuple(rows),
        f"{_VERDICTS_NOTE} Agreement: right attempts passed or wrong ones refused, in per cent of those "
        "judged, with Wilson's 95 % interval; attempts at one question count as fewer, the more alike they "
        "are. A constant verdict always passes, or always refuses, whichever agrees more often.",
    )


def _counts(one: Confusion) -> list[str]:
    passed = [one.passed_right, one.passed_wrong]
    rest = [one.refused_right, one.refused_wrong, one.unjudged_right, one.unjudged_wrong, one.ungraded]
    return [str(count) for count in passed + rest]
