"""Tables of how searches ended, and after how many iterations."""

from collections.abc import Iterator

from latentseek_agents.evaluation.analysis import RunAnalysis
from latentseek_agents.evaluation.cells import Table, heads, marked, where
from latentseek_agents.evaluation.endings import ENDINGS, Endings

__all__ = ["ENDING_HEADS", "ending_table", "error_names", "iterations_table"]

ENDING_HEADS = dict(
    zip(
        ENDINGS,
        heads(
            "passed | iterations spent | not judged | budget spent | nothing to refine | error | not known"
        ),
        strict=True,
    )
)
"""How a search ended, as columns and legends have it."""

_SINGLE = 10
"""So many iterations have a column each; more of them share columns."""


def ending_table(run: RunAnalysis, *, oracle: bool) -> Table:
    """How many questions each search ended on, and why.

    Args:
        run: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    rows = []
    for place, one in _searches(run, oracle):
        cells = [str(one.counts[name]) for name in ENDINGS]
        if one.errors:
            cells[ENDINGS.index("error")] += f": {error_names(one)}"
        rows.append((place, marked(one.method, oracle=one.oracle), str(one.questions), *cells))
    return Table(
        "How searches ended",
        ("data", "method", "n", *ENDING_HEADS.values()),
        tuple(rows),
        "Questions. Not judged: the verifier could not; budget: of seconds or tokens; nothing to refine: the "
        "fraction of the draft is less than one latent, so nothing was searched; error: the search broke off "
        "and returned the best of what it had by then, or could not begin, which counts as wrong.",
    )


def iterations_table(run: RunAnalysis, *, oracle: bool) -> Table:
    """After how many iterations searches ended.

    Args:
        run: What to show.
        oracle: Show the oracles, and no others, instead of leaving them out.
    """
    found = list(_searches(run, oracle))
    spans = _spans(max((len(one.iterations) for _, one in found), default=1) - 1)
    rows = []
    for place, one in found:
        total = sum(count * questions for count, questions in enumerate(one.iterations))
        rows.append(
            (
                place,
                marked(one.method, oracle=one.oracle),
                str(one.questions),
                f"{total / one.questions:.2f}",
                *(str(sum(one.iterations[first : last + 1])) for first, last in spans),
            )
        )
    names = (str(first) if first == last else f"{first}–{last}" for first, last in spans)
    return Table(
        "Iterations used",
        ("data", "method", "n", "mean", *names),
        tuple(rows),
        "Questions whose search ended after so many iterations, for whatever reason; 0: with the draft.",
    )


def error_names(one: Endings) -> str:
    """The kinds of errors that ended a method's work, with their counts if there are several kinds.

    Example:
        >>> error_names(Endings(method="self", oracle=False, searches=True, questions=3, after={},
        ...                     errors={"InputError": 1, "NonFiniteError": 2}))
        'InputError 1, NonFiniteError 2'
    """
    if len(one.errors) == 1:
        return next(iter(one.errors))
    return ", ".join(f"{name} {count}" for name, count in one.errors.items())


def _searches(run: RunAnalysis, oracle: bool) -> Iterator[tuple[str, Endings]]:
    for group in run.groups:
        for one in group.endings:
            if one.searches and one.oracle is oracle:
                yield where(group.dataset, group.prompt), one


def _spans(most: int) -> list[tuple[int, int]]:
    """Columns for 0 to ``most`` iterations: single ones at first, then ever wider ones.

    Example:
        >>> _spans(45)[8:]
        [(8, 8), (9, 9), (10, 10), (11, 20), (21, 40), (41, 45)]
    """
    spans = [(count, count) for count in range(min(most, _SINGLE) + 1)]
    while spans[-1][1] < most:
        first = spans[-1][1] + 1
        spans.append((first, min(most, 2 * (first - 1))))
    return spans
