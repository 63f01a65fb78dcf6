"""Figures as PNG, drawn without a display and without matplotlib's global state."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
from latentseek_agents.evaluation.cells import marked, where
from latentseek_agents.evaluation.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drawing", "can_draw", "draw"]

# A colour, a marker and a dash for each: the last two tell methods apart in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
_DASHES = ("-", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 2, 2, 2, 2, 2)), "-")
_ORACLE_DASH = (0, (4, 3))
_LONGEST_LABEL = 60
_SHIFT = 0.08


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Args:
        kind: ``"iterations"``, ``"cost"`` or ``"coverage"``.
        where: Data set and prompt.
        caption: What it shows, for those who read, and for those who cannot see it.
        png: The picture.
    """

    kind: str
    where: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class _Curve:
    label: str
    x: Sequence[float]
    points: Sequence[Summary]
    oracle: bool = False
    joined: bool = True


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    try:
        import_module("matplotlib")
    except ImportError:
        return False
    return True


def draw(run: RunAnalysis) -> list[Drawing]:
    """Three figures for each data set and prompt, less those for which nothing was run."""
    found = []
    for group in run.groups:
        place = where(group.dataset, group.prompt)
        title = f"{run.name} · {place}"
        for kind, caption, x_label, y_label, curves in (
            (
                "iterations",
                "Accuracy after so many iterations, with the best attempt so far; oracles dashed and hollow.",
                "iterations after the draft",
                "right answers in %",
                _over_iterations(group),
            ),
            (
                "cost",
                "Accuracy over mean tokens of policy and verifier; self-consistency over samples as a curve.",
                "tokens per question, policy and verifier (logarithmic)",
                "right answers in %",
                _over_tokens(group),
            ),
            (
                "coverage",
                "Questions with a right answer among so many attempts: for one who knows the answers only.",
                "attempts per question at most",
                "questions covered in % (ORACLE)",
                _over_attempts(group),
            ),
        ):
            if curves:
                figure = _figure(title, x_label, y_label, curves, logarithmic=kind == "cost")
                found.append(Drawing(kind, place, f"{caption} Bars: 95 % intervals (Wilson).", _png(figure)))
    return found


def _over_iterations(group: GroupAnalysis) -> list[_Curve]:
    return [
        _Curve(points[0].method, range(len(points)), points, points[0].oracle) for points in group.iterations
    ]


def _over_tokens(group: GroupAnalysis) -> list[_Curve]:
    families: dict[tuple[str, str, bool], list[Summary]] = {}
    for summary in group.samples:
        name, _, reward = summary.method.partition(":")
        kind = name.partition("-")[0]
        if kind in ("sc", "bon"):
            families.setdefault((kind, reward, summary.oracle), []).append(summary)
    curves = [
        _Curve(f"{points[0].method} to {points[-1].method}", [p.tokens for p in points], points, oracle)
        for (_, _, oracle), points in families.items()
    ]
    curves += [
        _Curve(summary.method, [summary.tokens], [summary], summary.oracle, joined=False)
        for summary in group.methods
        if summary.variant == "as run" and not summary.method.startswith(("sc:", "bon:"))
    ]
    return curves


def _over_attempts(group: GroupAnalysis) -> list[_Curve]:
    # On the questions of the searches, as in the table: on others the curves would not be comparable.
    curves = []
    for covered, searches in group.coverage_of_samples.items():
        of = f", questions of {', '.join(searches)}" if len(group.coverage_of_samples) > 1 else ""
        curves.append(_Curve(f"pass@n of samples{of}", range(1, len(covered) + 1), covered, oracle=True))
    for method in dict.fromkeys(row.method for row in group.coverage):
        rows = [row for row in group.coverage if row.method == method]
        points = [row.search for row in rows]
        curves.append(_Curve(method, [row.solutions for row in rows], points, oracle=True))
    return curves


def _figure(
    title: str, x_label: str, y_label: str, curves: Sequence[_Curve], *, logarithmic: bool
) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        # Bars at the same place would hide each other.
        shift = 0.0 if logarithmic else (number - (len(curves) - 1) / 2) * _SHIFT
        _plot(axes, curve, number, shift)
    axes.set_title(_safe(title), parse_math=False, fontsize=11)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(-2, 102)
    if logarithmic and all(min(curve.x) > 0 for curve in curves):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif not logarithmic:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=4)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _plot(axes: "Axes", curve: _Curve, number: int, shift: float) -> None:
    colour = _COLOURS[number % len(_COLOURS)]
    heights = [100 * point.accuracy for point in curve.points]
    below = [100 * max(0.0, point.accuracy - point.interval.low) for point in curve.points]
    above = [100 * max(0.0, point.interval.high - point.accuracy) for point in curve.points]
    dash = _ORACLE_DASH if curve.oracle else _DASHES[number % len(_DASHES)]
    counts = {point.questions for point in curve.points}
    label = marked(curve.label, oracle=curve.oracle)
    axes.errorbar(
        [x + shift for x in curve.x],
        heights,
        yerr=[below, above],
        label=f"{_safe(label)}, n = {max(counts)}",
        color=colour,
        marker=_MARKERS[number % len(_MARKERS)],
        markerfacecolor="white" if curve.oracle else colour,
        markersize=7,
        linestyle=dash if curve.joined else "none",
        linewidth=1.6,
        elinewidth=0.9,
        capsize=3,
    )


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _safe(label: str) -> str:
    """A label that the font can show; one that begins with an underscore would be left out of a legend."""
    text = label.replace("·", "/").encode("ascii", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else " " for c in text)
    text = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 3] + "..."
    return f" {text}" if text.startswith("_") else text
