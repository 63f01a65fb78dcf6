"""Figures as PNG, drawn without a display and without matplotlib's global state."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING

from latentseek_agents.evaluation.reports.analysis import Group, Run
from latentseek_agents.evaluation.reports.series import ORACLE, Series

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

_ITERATIONS_CAPTION = (
    "Accuracy after so many iterations, choosing among the attempts so far as the search does. "
    "Bars: 95 % intervals (Wilson). Oracles are marked, dashed and hollow."
)
_COST_CAPTION = (
    "Accuracy over mean tokens of policy and verifier: searches as if stopped after 0, 1, 2, ... "
    "iterations, choosing among the attempts so far, and samples as there are more and more of them. "
    "Bars, at the last point of each curve: 95 % intervals (Wilson). Oracles are marked, dashed and hollow."
)


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Args:
        kind: ``"iterations"`` or ``"cost"``.
        place: Data set and prompt.
        caption: What it shows, for all readers and for those who cannot see it.
        png: The picture.
    """

    kind: str
    place: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class _Curve:
    family: str  # has one colour in all figures
    label: str
    x: Sequence[float]
    points: Sequence[Series]
    joined: bool = True

    @property
    def oracle(self) -> bool:
        return self.points[0].oracle


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(run: Run) -> list[Drawing]:
    """Accuracy over iterations and over tokens, for each data set and prompt; the former of searches only."""
    drawings = []
    for group in run.groups:
        title = f"{run.name} · {group.place}"
        for kind, caption, curves in (
            ("iterations", _ITERATIONS_CAPTION, _over_iterations(group)),
            ("cost", _COST_CAPTION, _over_tokens(group)),
        ):
            if curves:
                figure = _figure(title, curves, _styles(curves, _families(group)), kind == "cost")
                drawings.append(Drawing(kind, group.place, caption, _png(figure)))
    return drawings


def _families(group: Group) -> list[str]:
    """Everything that has a colour, in the order in which colours are given out."""
    methods = [one.method for one in group.methods if one.name.kind not in ("sc", "bon")]
    return list(dict.fromkeys(["samples", *map(_sampled_family, group.samples), *methods]))


def _styles(curves: Sequence[_Curve], families: Sequence[str]) -> list[int]:
    """A method looks the same in all figures, but no two curves of one figure have the same colour."""
    styles: list[int] = []
    for curve in curves:
        style = families.index(curve.family)
        taken = {other % len(_COLOURS) for other in styles}
        free = [other for other in range(len(_COLOURS)) if other not in taken]
        styles.append(free[0] if style % len(_COLOURS) in taken and free else style)
    return styles


def _sampled_family(series: Series) -> str:
    """``bon-3:steps`` and ``bon-4:steps`` are of one family; ``sc-3`` and ``pass@3`` are of the samples."""
    return f"bon:{series.name.reward}" if series.name.kind == "bon" else "samples"


def _over_iterations(group: Group) -> list[_Curve]:
    return [_Curve(stops[0].method, stops[0].method, range(len(stops)), stops) for stops in group.iterations]


def _over_tokens(group: Group) -> list[_Curve]:
    curves = []
    sampled = [one for one in group.samples if one.name.kind != "pass"]
    # Samples of other questions are a curve of their own: a line between them would mean nothing.
    for (family, _), points in groupby(sampled, key=lambda one: (_sampled_family(one), one.questions)):
        curves.append(_token_curve(family, list(points)))
    curves += [_token_curve(stops[0].method, stops) for stops in group.iterations]
    for series in group.methods:
        if not series.name.searches and series.name.kind not in ("sc", "bon"):
            tokens = [series.mean("tokens")]
            curves.append(_Curve(series.method, series.method, tokens, [series], joined=False))
    return curves


def _token_curve(family: str, points: Sequence[Series]) -> _Curve:
    first, last = points[0], points[-1]
    label = " to ".join(dict.fromkeys((first.method, last.method)))
    if first.name.searches:
        iterations = f"0 to {len(points) - 1} iterations" if len(points) > 1 else "no iteration"
        label = f"{first.method}, {iterations}"
    return _Curve(family, label, [point.mean("tokens") for point in points], points)


def _figure(title: str, curves: Sequence[_Curve], styles: Sequence[int], over_tokens: bool) -> "Figure":
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    size = (8, 5.2 + 0.13 * len(curves))
    figure = Figure(figsize=size, dpi=120, layout="constrained", facecolor="white")
    figure.suptitle(_safe(title), parse_math=False, fontsize=11)
    axes = figure.add_subplot()
    for number, (curve, style) in enumerate(zip(curves, styles, strict=True)):
        # Bars at the same place would hide each other.
        shift = 0.0 if over_tokens else (number - (len(curves) - 1) / 2) * _SHIFT
        _plot(axes, curve, style, shift, last_bar_only=over_tokens)
    tokens = "tokens per question, policy and verifier (logarithmic)"
    axes.set_xlabel(tokens if over_tokens else "iterations after the draft")
    axes.set_ylabel("right answers in %")
    highest = max(point.interval.high for curve in curves for point in curve.points)
    axes.set_ylim(-2, min(102, 100 * highest + 5))
    if over_tokens and all(min(curve.x) > 0 for curve in curves):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif not over_tokens:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    legend = figure.legend(
        loc="outside lower center", frameon=False, fontsize=9, handlelength=4, ncols=min(2, len(curves))
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _plot(axes: "Axes", curve: _Curve, style: int, shift: float, *, last_bar_only: bool) -> None:
    colour = _COLOURS[style % len(_COLOURS)]
    heights = [100 * point.accuracy for point in curve.points]
    dash = _ORACLE_DASH if curve.oracle else _DASHES[style % len(_DASHES)]
    label = f"{curve.label} ({ORACLE})" if curve.oracle else curve.label
    (line,) = axes.plot(
        [x + shift for x in curve.x],
        heights,
        label=f"{_safe(label)}, n = {curve.points[0].questions}",
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
