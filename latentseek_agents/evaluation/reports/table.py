"""Tables of text and numbers, as Markdown and CSV in which no name is markup or a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from latentseek_agents.evaluation.reports.series import Series
from latentseek_agents.evaluation.reports.statistics import Comparison
from latentseek_agents.evaluation.text import one_line

__all__ = ["NOTHING", "Cell", "Estimate", "Table", "accuracy", "difference", "number", "probability"]

NOTHING = "–"
"""Stands where there is no number."""

# An underscore within a word emphasises nothing.
_MARKDOWN = re.compile(r"([\\`*\[\]~$|#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_LONGEST_CELL = 200
_LONGEST_TEXT = 2000


class Estimate(NamedTuple):
    """A number with its interval, in per cent or in points.

    Example:
        >>> str(Estimate(50.0, 40.0, 60.0)), str(Estimate(5.0, -0.2, 11.6, signed=True))
        ('50.0 (40.0–60.0)', '+5.0 (-0.2 to +11.6)')
    """

    value: float
    low: float
    high: float
    signed: bool = False

    def __str__(self) -> str:
        if self.signed:
            return f"{self.value:+.1f} ({self.low:+.1f} to {self.high:+.1f})"
        return f"{self.value:.1f} ({self.low:.1f}–{self.high:.1f})"


Cell = str | Estimate


@dataclass(frozen=True)
class Table:
    """Rows of cells under a title.

    Args:
        title: What is shown.
        columns: Heads.
        rows: As many cells each as there are heads.
        note: What a reader must know to read it.
        names: How many columns at the left name the row.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str
    names: int = 2

    def markdown(self) -> str:
        """The table with its title and its note."""
        lines = [_markdown_row(self.columns), "| " + " | ".join(["---"] * len(self.columns)) + " |"]
        lines += [_markdown_row(row) for row in self.rows]
        rows = "\n".join(lines)
        return f"### {markdown_text(self.title)}\n\n{rows}\n\n{markdown_text(self.note)}\n"

    def csv(self) -> str:
        """The table alone, as it stands."""
        return csv_text([self.columns, *self.rows])


def accuracy(series: Series) -> Estimate:
    """An accuracy with Wilson's interval, in per cent."""
    return Estimate(100 * series.accuracy, 100 * series.interval.low, 100 * series.interval.high)


def difference(comparison: Comparison) -> Estimate:
    """A difference with Tango's interval, in points."""
    low, high = comparison.interval.low, comparison.interval.high
    return Estimate(100 * comparison.difference, 100 * low, 100 * high, signed=True)


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


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, also within a table.

    Example:
        >>> markdown_text("<img> https://example.org & so on")
        '&lt;img&gt; https&#58;//example.org &amp; so on'
    """
    text = _MARKDOWN.sub(r"\\\1", escape(one_line(text, _LONGEST_TEXT), quote=False))
    return text.replace("://", "&#58;//")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; a text that a spreadsheet would take for a formula is preceded by an apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_csv_cell, row) for row in rows)
    return text.getvalue()


def _csv_cell(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    cell = one_line(cell, _LONGEST_TEXT)
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _markdown_row(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(markdown_text(one_line(str(cell), _LONGEST_CELL)) for cell in cells) + " |"
