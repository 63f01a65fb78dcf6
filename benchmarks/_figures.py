"""Figures with their confidence intervals."""

import math
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from rich.console import Console
from rich.table import Table

from latentseek_agents.evaluation.reports import statistics

__all__ = [
    "Figure",
    "bootstrap",
    "clustered_share",
    "grouped_auc",
    "mean",
    "percentile",
    "pooled_auc",
    "share",
    "show",
]

Scored = tuple[float, bool]


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        name: What was measured.
        value: None if there was nothing to measure it on.
        low: Lower end of the 95 % interval, if there is one.
        high: Its upper end.
        of: The number of cases.
        unit: ``"share"``, ``"ms"``, ``"MiB"`` or "".
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    of: int | None = None
    unit: str = ""

    def plain(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    def cells(self) -> tuple[str, str, str, str]:
        """A line of a table."""
        interval = (
            ""
            if self.low is None or self.high is None
            else f"{self._text(self.low)} to {self._text(self.high)}"
        )
        return self.name, self._text(self.value), interval, "" if self.of is None else str(self.of)

    def _text(self, value: float | None) -> str:
        if value is None or math.isnan(value):
            return "-"
        if self.unit == "share":
            return f"{100 * value:.1f} %"
        if self.unit in ("ms", "MiB"):
            return f"{value:.3g} {self.unit}"
        return str(value) if isinstance(value, int) else f"{value:.3f}"


def share(name: str, count: int, total: int) -> Figure:
    """A share of independent cases with Wilson's interval."""
    return _share(name, count, total, statistics.wilson(count, total))


def clustered_share(name: str, cases: Sequence[tuple[Hashable, bool]]) -> Figure:
    """A share of cases of which those of one group, such as the solutions of one question, are alike.

    Args:
        name: What is measured.
        cases: Each case's group, and whether it counts.
    """
    groups: dict[Hashable, list[bool]] = {}
    for group, counts in cases:
        groups.setdefault(group, []).append(counts)
    hits = [sum(members) for members in groups.values()]
    totals = [len(members) for members in groups.values()]
    return _share(name, sum(hits), len(cases), statistics.clustered_share(hits, totals))


def _share(name: str, count: int, total: int, interval: statistics.Interval) -> Figure:
    if not total:
        return Figure(name, None, of=0, unit="share")
    return Figure(name, count / total, interval.low, interval.high, total, "share")


def bootstrap(
    name: str,
    groups: Sequence[Sequence[Any]],
    statistic: Callable[[Any], float],
    resamples: int,
    *,
    unit: str = "",
) -> Figure:
    """A statistic with its bootstrap interval; members of a group are drawn together.

    Args:
        name: What is measured.
        groups: The cases. :func:`grouped_auc` gets the groups, any other statistic their members in a row.
        statistic: From the cases to a number; NaN where there is none.
        resamples: How often to draw.
        unit: As in :class:`Figure`.
    """
    whole = statistic is grouped_auc
    gather: Callable[[Sequence[Sequence[Any]]], Any] = (
        list if whole else lambda g: list(chain.from_iterable(g))
    )
    chooser = random.Random(11)  # noqa: S311
    value = statistic(gather(groups))
    drawn = [statistic(gather(chooser.choices(groups, k=len(groups)))) for _ in range(resamples)]
    drawn = [each for each in drawn if not math.isnan(each)]
    low, high = (percentile(drawn, 0.025), percentile(drawn, 0.975)) if drawn else (None, None)
    return Figure(name, value, low, high, sum(map(len, groups)), unit)


def pooled_auc(cases: Sequence[Scored]) -> float:
    """The chance that a right case has a higher score than a wrong one; ties count half."""
    wins, pairs = _wins(cases)
    return wins / pairs if pairs else math.nan


def grouped_auc(groups: Sequence[Sequence[Scored]]) -> float:
    """The same over pairs within a group alone."""
    counted = [_wins(group) for group in groups]
    pairs = sum(pairs for _, pairs in counted)
    return sum(wins for wins, _ in counted) / pairs if pairs else math.nan


def _wins(cases: Sequence[Scored]) -> tuple[float, int]:
    wins, wrong_below, wrong_seen = 0.0, 0, 0
    ordered = sorted(cases)
    start = 0
    while start < len(ordered):
        stop = start
        while stop < len(ordered) and ordered[stop][0] == ordered[start][0]:
            stop += 1
        right = sum(label for _, label in ordered[start:stop])
        wrong = stop - start - right
        wins += right * (wrong_below + wrong / 2)
        wrong_below += wrong
        wrong_seen += wrong
        start = stop
    return wins, (len(cases) - wrong_seen) * wrong_seen


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which a part of the values lies."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return sum(values) / len(values) if values else math.nan


def show(name: str, figures: Sequence[Figure]) -> None:
    """Print figures as a table."""
    table = Table(title=name, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("measured")
    for title in ("value", "95 % interval", "of"):
        table.add_column(title, justify="right", no_wrap=True)
    for figure in figures:
        table.add_row(*figure.cells())
    Console().print(table)
