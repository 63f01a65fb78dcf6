"""Figures as PNG, drawn without a display and without matplotlib's global state."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any

from latentseek_agents.evaluation.analysis import GroupAnalysis, RunAnalysis
from latentseek_agents.evaluation.cells import marked, where
from latentseek_agents.evaluation.ending_tables import ENDING_HEADS
from latentseek_agents.evaluation.endings import ENDINGS, Endings
from latentseek_agents.evaluation.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drawing", "can_draw", "draw"]

# A colour, a marker and a dash for each: the last two tell methods apart in grey.
_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"),
    *("#7f3c8d", "#8c6d31", "#7f7f7f"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
_DASHES = ("-", (0, (6, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 2, 2, 2, 2, 2)), "-")
_ORACLE_DASH = (0, (4, 3))
_LONGEST_LABEL = 60
_SHIFT = 0.08
_ENDING_COLOURS = dict(
    zip(
        ENDINGS,
        ("#009e73", "#56b4e9", "#e69f00", "#7f3c8d", "#bbbbbb", "#d55e00", "#ffffff"),
        strict=True,
    )
)
_MOST_COUNTED_BARS = 16
"""Beyond these there is no room for numbers above the bars."""


_ORACLES = "Oracles are marked, dashed and hollow."
_ENDINGS_CAPTION = (
    "On how many questions searches ended after how many iterations, and how: numbers above the bars are "
    "questions. Oracles are marked and hatched."
)


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Args:
        kind: ``"iterations"``, ``"cost"``, ``"coverage"`` or ``"endings"``.
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
    family: str  # has one colour in all figures
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
    """Four figures for each data set and prompt, less those for which nothing was run."""
    found = []
    for group in run.groups:
        place = where(group.dataset, group.prompt)
        title = f"{run.name} · {place}"
        families = _families(group)
        for kind, caption, x_label, y_label, curves in (
            (
                "iterations",
                "Accuracy after so many iterations, with the best attempt so far. "
                "Bars: 95 % intervals (Wilson).",
                "iterations after the draft",
                "right answers in %",
                _over_iterations(group),
            ),
            (
                "cost",
                "Accuracy over mean tokens of policy and verifier: searches as if stopped after 0, 1, 2, ... "
                "iterations, with the best attempt so far, and samples as there are more and more of them. "
                "Bars, at the last point of each curve: 95 % intervals (Wilson).",
                "tokens per question, policy and verifier (logarithmic)",
                "right answers in %",
                _over_tokens(group),
            ),
            (
                "coverage",
                "Questions with a right answer among so many attempts: for one who knows the answers only. "
                "Bars: 95 % intervals (Wilson).",
                "attempts per question at most",
                "questions covered in % (ORACLE)",
                _over_attempts(group),
            ),
        ):
            if curves:
                styles = _styles(curves, families)
                figure = _figure(title, x_label, y_label, curves, styles, logarithmic=kind == "cost")
                found.append(Drawing(kind, place, f"{caption} {_ORACLES}", _png(figure)))
        searches = [one for one in group.endings if one.searches]
        if searches:
            found.append(Drawing("endings", place, _ENDINGS_CAPTION, _png(_bars(title, searches))))
    return found


def _families(group: GroupAnalysis) -> list[str]:
    """Everything that has a colour, in the order in which colours are given out."""
    sampled = [_sampled_family(summary)[0] for summary in group.samples]
    methods = [one.method for one in group.methods if not one.method.startswith(("sc:", "bon:"))]
    return list(dict.fromkeys(["samples", *sampled, *methods]))


def _styles(curves: Sequence[_Curve], families: Sequence[str]) -> list[int]:
    """A method looks the same in all figures; but no two curves of one figure have the same colour."""
    styles: list[int] = []
    for curve in curves:
        style = families.index(curve.family)
        taken = {other % len(_COLOURS) for other in styles}
        free = [other for other in range(len(_COLOURS)) if other not in taken]
        styles.append(free[0] if style % len(_COLOURS) in taken and free else style)
    return styles


def _sampled_family(summary: Summary) -> tuple[str, bool]:
    """``bon-3:steps`` and ``bon-4:steps`` are of one family; ``sc-3`` is of the samples, and so is pass@3."""
    name, _, reward = summary.method.partition(":")
    kind = name.partition("-")[0]
    return f"bon:{reward}" if kind == "bon" else "samples", summary.oracle


def _over_iterations(group: GroupAnalysis) -> list[_Curve]:
    return [
        _Curve(points[0].method, points[0].method, range(len(points)), points, points[0].oracle)
        for points in group.iterations
    ]


def _over_tokens(group: GroupAnalysis) -> list[_Curve]:
    families: dict[tuple[str, bool], list[Summary]] = {}
    for summary in group.samples:
        if summary.method.startswith(("sc-", "bon-")):
            families.setdefault(_sampled_family(summary), []).append(summary)
    curves = []
    for (family, oracle), samples in families.items():
        for points in _stretches(samples):
            label = " to ".join(dict.fromkeys((points[0].method, points[-1].method)))
            curves.append(_Curve(family, label, [point.tokens for point in points], points, oracle))
    for points in map(list, group.iterations):
        name = points[0].method
        label = f"{name}, 0 to {len(points) - 1} iterations" if len(points) > 1 else f"{name}, no iteration"
        curves.append(_Curve(name, label, [point.tokens for point in points], points, points[0].oracle))
    last = {points[0].method: points[-1] for points in group.iterations}
    for summary in group.methods:
        if summary.method.startswith(("sc:", "bon:")):
            continue
        found = last.get(summary.method)
        if found is None or found.right != summary.right:  # it was run with another choice among its attempts
            label = summary.method if found is None else f"{summary.method}, as run"
            oracle = summary.oracle
            curves.append(_Curve(summary.method, label, [summary.tokens], [summary], oracle, joined=False))
    return curves


def _stretches(points: Sequence[Summary]) -> list[list[Summary]]:
    """Points in the same order, those of other questions apart: a line between them would mean nothing."""
    return [list(of_same) for _, of_same in groupby(points, key=lambda point: point.questions)]


def _over_attempts(group: GroupAnalysis) -> list[_Curve]:
    # On the questions of the searches, as in the table: on others the curves would not be comparable.
    curves = []
    for covered, searches in group.coverage_of_samples.items():
        of = f", questions of {', '.join(searches)}" if len(group.coverage_of_samples) > 1 else ""
        first = 1
        for points in _stretches(covered):
            numbers = range(first, first + len(points))
            curves.append(_Curve("samples", f"pass@n of samples{of}", numbers, points, oracle=True))
            first += len(points)
    for method in dict.fromkeys(row.method for row in group.coverage):
        rows = [row for row in group.coverage if row.method == method]
        points = [row.search for row in rows]
        curves.append(_Curve(method, method, [row.solutions for row in rows], points, oracle=True))
    return curves


def _figure(
    title: str,
    x_label: str,
    y_label: str,
    curves: Sequence[_Curve],
    styles: Sequence[int],
    *,
    logarithmic: bool,
) -> "Figure":
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    figure = _empty_figure(title, 5.2 + 0.13 * len(curves))
    axes = figure.add_subplot()
    for number, (curve, style) in enumerate(zip(curves, styles, strict=True)):
        # Bars at the same place would hide each other.
        shift = 0.0 if logarithmic else (number - (len(curves) - 1) / 2) * _SHIFT
        _plot(axes, curve, style, shift, last_bar_only=logarithmic)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    highest = max(point.interval.high for curve in curves for point in curve.points)
    axes.set_ylim(-2, min(102, 100 * highest + 5))
    if logarithmic and all(min(curve.x) > 0 for curve in curves):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif not logarithmic:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _legend(figure, handlelength=4, ncols=min(2, len(curves)))
    return figure


def _plot(axes: "Axes", curve: _Curve, style: int, shift: float, *, last_bar_only: bool) -> None:
    colour = _COLOURS[style % len(_COLOURS)]
    heights = [100 * point.accuracy for point in curve.points]
    dash = _ORACLE_DASH if curve.oracle else _DASHES[style % len(_DASHES)]
    counts = {point.questions for point in curve.points}
    label = marked(curve.label, oracle=curve.oracle)
    (line,) = axes.plot(
        [x + shift for x in curve.x],
        heights,
        label=f"{_safe(label)}, n = {max(counts)}",
        color=colour,
        marker=_MARKERS[style % len(_MARKERS)],
        markerfacecolor="white" if curve.oracle else colour,
        markersize=6,
        linestyle=dash if curve.joined else "none",
        linewidth=1.6,
    )
    places = range(len(heights) - 1 if last_bar_only else 0, len(heights))
    points = [curve.points[place] for place in places]
    axes.errorbar(
        [curve.x[place] + shift for place in places],
        [heights[place] for place in places],
        yerr=[
            [100 * max(0.0, point.accuracy - point.interval.low) for point in points],
            [100 * max(0.0, point.interval.high - point.accuracy) for point in points],
        ],
        fmt="none",
        ecolor=colour,
        elinewidth=0.9,
        capsize=3,
        zorder=line.get_zorder() - 0.1,
    )


def _bars(title: str, searches: Sequence[Endings]) -> "Figure":
    """For each search, on how many questions it ended after how many iterations, and how."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    figure = _empty_figure(title, 1.6 + 1.1 * len(searches))
    most = max(len(one.iterations) for one in searches)
    tallest = max(max(one.iterations) / one.questions for one in searches)
    column = figure.subplots(len(searches), sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(column, searches, strict=True):
        below = [0.0] * len(one.iterations)
        for name, counts in one.after.items():
            heights = [100 * count / one.questions for count in counts]
            axes.bar(
                range(len(counts)),
                heights,
                bottom=below,
                width=0.7,
                color=_ENDING_COLOURS[name],
                edgecolor="black",
                linewidth=[0.6 if count else 0 for count in counts],
                hatch="///" if one.oracle else None,
            )
            below = [low + height for low, height in zip(below, heights, strict=True)]
        if most <= _MOST_COUNTED_BARS:
            for place, (count, top) in enumerate(zip(one.iterations, below, strict=True)):
                if count:
                    axes.annotate(
                        str(count), (place, top), (0, 2), textcoords="offset points", ha="center", fontsize=8
                    )
        axes.set_ylim(0, 130 * tallest)
        name = f"{_safe(marked(one.method, oracle=one.oracle))}, n = {one.questions}"
        axes.set_title(name, loc="left", fontsize=9, pad=2, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    column[-1].set_xlim(-0.6, most - 0.4)
    column[-1].set_xlabel("iterations after the draft")
    figure.supylabel("questions in %", fontsize=10)
    shown = [name for name in ENDINGS if any(one.counts[name] for one in searches)]
    patches = [
        Patch(facecolor=_ENDING_COLOURS[name], edgecolor="black", label=ENDING_HEADS[name]) for name in shown
    ]
    _legend(figure, handles=patches, ncols=4)
    return figure


def _empty_figure(title: str, height: float) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), dpi=120, layout="constrained", facecolor="white")
    figure.suptitle(_safe(title), parse_math=False, fontsize=11)
    return figure


def _legend(figure: "Figure", **options: Any) -> None:
    """Below the axes, where it takes no width from them."""
    legend = figure.legend(loc="outside lower center", frameon=False, fontsize=9, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


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
