"""Numbers as the text of a table's cells."""

from dataclasses import dataclass

from latentseek_agents.evaluation.statistics import Comparison, Interval

__all__ = [
    "NOTHING",
    "ORACLE",
    "Table",
    "accuracy",
    "compared",
    "difference",
    "heads",
    "marked",
    "number",
    "percent",
    "probability",
    "where",
]

ORACLE = "ORACLE"
"""The mark of what is told the known answer."""

NOTHING = "–"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    Args:
        title: What is shown.
        columns: Heads; the first columns name the row.
        rows: As many cells each as there are heads.
        note: What a reader must know to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def heads(text: str) -> tuple[str, ...]:
    """Heads of columns, written in one line.

    Example:
        >>> heads("data | passed, right")
        ('data', 'passed, right')
    """
    return tuple(text.split(" | "))


def marked(name: str, *, oracle: bool) -> str:
    """A method's name, with the mark if it is an oracle.

    Example:
        >>> marked("psrm", oracle=True)
        'psrm (ORACLE)'
    """
    return f"{name} ({ORACLE})" if oracle else name


def accuracy(share: float, interval: Interval) -> str:
    """A share with its interval, in per cent.

    Example:
        >>> accuracy(0.5, Interval(0.4, 0.6))
        '50.0 (40.0–60.0)'
    """
    return f"{percent(share)} ({percent(interval.low)}–{percent(interval.high)})"


def difference(found: Comparison) -> str:
    """A difference with its interval, in points."""
    low, high = found.interval.low, found.interval.high
    return f"{100 * found.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def compared(found: Comparison | None) -> tuple[str, ...]:
    """Both sides of a comparison, its difference, p and finding."""
    if found is None:
        return ("0", *[NOTHING] * 4, "no question in common")
    return (
        str(found.questions),
        str(found.only_first),
        str(found.only_second),
        difference(found),
        probability(found.p),
        found.finding,
    )


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f}"


def probability(value: float) -> str:
    """A p, never as 0.

    Example:
        >>> probability(0.0004), probability(0.0625)
        ('< 0.001', '0.062')
    """
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def number(value: float) -> str:
    """A mean of counts, as exactly as it matters."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def where(dataset: str, prompt: str) -> str:
    """A data set and a prompt."""
    return f"{dataset} · {prompt}"
