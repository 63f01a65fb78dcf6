"""One self-contained HTML page that shows searches: scores, verdicts, changed latents, refuted equations."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from latentseek_agents._html_style import STYLE
from latentseek_agents.tools.steps import check_steps

if TYPE_CHECKING:
    from latentseek_agents.result import LatentSeekResult
    from latentseek_agents.verdict import Attempt

__all__ = ["html_fragment", "html_page"]

Decode = Callable[[list[int]], str]

_COLOURS = {True: "var(--good)", False: "var(--bad)", None: "var(--unsure)"}
# Below this many searches the page itself is overview enough.
_OVERVIEW = 4


def html_page(
    results: "Sequence[LatentSeekResult]",
    decode: Decode | None,
    *,
    title: str = "LatentSeek",
    threshold: float = -0.2,
) -> str:
    """Show searches as one HTML page without scripts and without anything to load.

    Args:
        results: Finished searches.
        decode: Token ids to text, such as ``backbone.decode``; None shows no tokens at the latents.
        title: Heading of the page.
        threshold: Score above which an attempt can pass; drawn as a line.

    Returns:
        The page.

    Example:
        >>> from latentseek_agents import LatentSeek, LatentSeekConfig
        >>> from latentseek_agents.testing import ScriptedVerifier, tiny_backbone
        >>> config = LatentSeekConfig(max_new_tokens=8, fraction=0.5)
        >>> seek = LatentSeek(tiny_backbone(), verifier=ScriptedVerifier([-1, 0]), config=config)
        >>> page = html_page([seek.invoke("What is 2 + 2?")], seek.backbone.decode)
        >>> page.startswith("<!doctype html>"), page.count("<details")
        (True, 2)
    """
    verified = sum(result.passed is True for result in results)
    header = f'<h1>{escape(title)}</h1><p class="soft">{verified} of {len(results)} verified</p>'
    if len(results) >= _OVERVIEW:
        header += _overview(results)
    sections = _sections(results, decode, threshold)
    # The colours are known inside the body only; the space around it is to have the same.
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}"
        "html { background: #fff; } @media (prefers-color-scheme: dark) { html { background: #0d1117; } }"
        f'</style></head><body class="latentseek">{header}{sections}</body></html>\n'
    )


def html_fragment(
    results: "Sequence[LatentSeekResult]", decode: Decode | None, *, threshold: float = -0.2
) -> str:
    """The same as part of another page, such as a notebook, with styles that apply to nothing else.

    Args:
        results: Finished searches.
        decode: As for :func:`html_page`.
        threshold: As for :func:`html_page`.
    """
    sections = _sections(results, decode, threshold)
    return f'<div class="latentseek"><style>{STYLE}</style>{sections}</div>'


def _sections(results: "Sequence[LatentSeekResult]", decode: Decode | None, threshold: float) -> str:
    return "".join(_section(n, result, decode, threshold) for n, result in enumerate(results, start=1))


def _overview(results: "Sequence[LatentSeekResult]") -> str:
    entries = "".join(
        f'<li>{_badge(result.passed)} <a href="#search-{number}">{escape(_short(result.question))}</a></li>'
        for number, result in enumerate(results, start=1)
    )
    return f'<ol class="overview">{entries}</ol>'


def _short(text: str, longest: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _section(number: int, result: "LatentSeekResult", decode: Decode | None, threshold: float) -> str:
    answer = "no answer" if result.answer is None else f"<strong>{escape(result.answer)}</strong>"
    usage = result.usage
    shown = _shown(result)
    cards = "".join(
        _card(attempt, decode, is_shown=place == shown) for place, attempt in enumerate(result.iterations)
    )
    stopped = "still searching" if result.stop_reason is None else f"stopped: {result.stop_reason}"
    return (
        f'<section id="search-{number}"><h2>{escape(result.question)}</h2>'
        f'<p><span class="answer">{answer}</span> {_badge(result.passed)}</p>'
        f"<p>{_why(result, shown)}</p>"
        f'<p class="soft">{stopped} · {usage.policy_tokens + usage.verifier_tokens} tokens · '
        f"{usage.seconds:.1f} s</p>"
        f"{_curve(result, shown, threshold)}{cards}</section>"
    )


def _shown(result: "LatentSeekResult") -> int:
    """The place of the attempt that was returned; of equal ones the first, which the search prefers."""
    for place, attempt in enumerate(result.iterations):
        if (attempt.text, attempt.score, attempt.passed) == (result.text, result.score, result.passed):
            return place
    return 0


def _name(attempt: "Attempt") -> str:
    return "draft" if attempt.iteration == 0 else f"iteration {attempt.iteration}"


def _why(result: "LatentSeekResult", shown: int) -> str:
    """Which attempt was returned, and for what reason."""
    chosen, others = result.iterations[shown], result.iterations
    alike = [attempt for attempt in others if attempt.passed == chosen.passed]
    scores = [-1.0 if attempt.score is None else attempt.score for attempt in alike]
    best = chosen.score is not None and chosen.score == max(scores)
    if chosen.passed:
        why = "The verifier accepts it"
    elif len(others) == 1:
        why = "It is the only attempt"
    elif not best or any(attempt.passed for attempt in others):
        why = "The configuration asks for it"
    else:
        equal = scores.count(max(scores))
        why = "None was judged" if chosen.passed is None else "None passed"
        why += "; its score is the highest" + (f", the first of {equal} equal" if equal > 1 else "")
    return f"Returned: {_name(chosen)}. {why}."


def _card(attempt: "Attempt", decode: Decode | None, *, is_shown: bool) -> str:
    score = "–" if attempt.score is None else f"{attempt.score:.2f}"
    rows = "".join(
        f"<tr><td>{_badge(check['passed'])}</td><td>{escape(check['name'])}</td>"
        f"<td>{check['weight']:g}</td><td>{escape(check['reason'])}</td></tr>"
        for check in attempt.checks
    )
    checks = (
        "<p class='label'>the verdict's parts</p>"
        f"<table><tr><th></th><th>check</th><th>weight</th><th>reason</th></tr>{rows}</table>"
        if rows
        else ""
    )
    opened, tag = "", ""
    if is_shown:
        opened, tag = ' class="returned" open', '<span class="tag">returned</span>'
    return (
        f"<details{opened}><summary>"
        f'<span class="name">{_name(attempt)}</span> <span class="score">{score}</span> '
        f"{_badge(attempt.passed)} {tag}"
        f'<span class="soft">{escape(attempt.reason)}</span>'
        f'<span class="preview">{escape(_short(attempt.text, 160))}</span></summary>'
        f"{_latents(attempt, decode)}"
        f"<p class='label'>the solution</p><pre class='text'>{_marked(attempt.text)}</pre>{checks}</details>"
    )


def _latents(attempt: "Attempt", decode: Decode | None) -> str:
    if not attempt.latent_token_ids:
        return ""
    changed = set(attempt.changed)
    count = len(attempt.latent_token_ids)
    what = f"what the {count} latents decided" if count > 1 else "what the latent decided"
    if attempt.iteration:
        what += (
            f"; marked: {len(changed)} changed since the attempt before" if changed else "; nothing changed"
        )
    if decode is None:
        return f"<p class='label'>{what}</p>" if attempt.iteration else ""
    pieces = []
    for position, token in enumerate(attempt.latent_token_ids):
        piece = escape(decode([token]).replace("\n", "⏎"))
        pieces.append(f"<mark>{piece}</mark>" if position in changed else piece)
    return f"<p class='label'>{what}</p><div class='text'>{''.join(pieces)}</div>"


def _marked(text: str) -> str:
    """The solution with its refuted equations marked; the reason is shown when pointed at."""
    parts = []
    end = 0
    for equation in check_steps(text).equations:
        start, stop = equation.span
        if equation.status != "wrong" or start < end:
            continue
        parts.append(escape(text[end:start]))
        parts.append(
            f'<mark class="wrong" title="{escape(equation.reason)}">{escape(text[start:stop])}</mark>'
        )
        end = stop
    parts.append(escape(text[end:]))
    return "".join(parts)


def _badge(passed: bool | None) -> str:
    kind, sign = {True: ("good", "✓ passed"), False: ("bad", "✗ refused"), None: ("unsure", "? not judged")}[
        passed
    ]
    return f'<span class="badge {kind}">{sign}</span>'


def _curve(result: "LatentSeekResult", shown: int, threshold: float) -> str:
    """The scores over the iterations, as a drawing: positions in percent, so that text keeps its size."""
    points = [
        (place, attempt, attempt.score)
        for place, attempt in enumerate(result.iterations)
        if attempt.score is not None
    ]
    if len(points) < 2:
        return ""
    first_x, last_x, top, bottom = 12.0, 97.0, 26.0, 146.0
    last = max(attempt.iteration for _, attempt, _ in points) or 1

    def x(attempt: "Attempt") -> str:
        return f"{first_x + (last_x - first_x) * attempt.iteration / last:.2f}%"

    def y(score: float) -> str:
        return f"{top - (bottom - top) * score:.1f}"

    def level(score: float, style: str) -> str:
        return f'<line x1="0" x2="100%" y1="{y(score)}" y2="{y(score)}" {style}/>'

    drawn = [level(score, 'stroke="var(--line)"') for score in (0.0, -0.5, -1.0)]
    drawn += [f'<text x="0" y="{y(score)}" dy="-4">{score:g}</text>' for score in (0, -0.5, -1)]
    drawn.append(level(threshold, 'stroke="var(--good)" stroke-dasharray="4 4"'))
    drawn.append(
        f'<text x="100%" y="12" text-anchor="end">score; above the dashed {threshold:g} it can pass</text>'
    )
    for (_, before, score_before), (_, attempt, score) in pairwise(points):
        drawn.append(
            f'<line x1="{x(before)}" y1="{y(score_before)}" x2="{x(attempt)}" y2="{y(score)}" '
            'stroke="var(--soft)" stroke-width="1.5"/>'
        )
    for place, attempt, score in points:
        ring = ' stroke="var(--ink)" stroke-width="2.5"' if place == shown else ""
        drawn.append(
            f'<circle cx="{x(attempt)}" cy="{y(score)}" r="{7 if place == shown else 4.5}" '
            f'fill="{_COLOURS[attempt.passed]}"{ring}><title>{_name(attempt)}: {score:.2f}</title></circle>'
        )
        kind = ' class="chosen"' if place == shown else ""
        label = attempt.iteration or "draft"
        drawn.append(f'<text{kind} x="{x(attempt)}" y="170" text-anchor="middle">{label}</text>')
    return f'<svg class="chart" role="img" aria-label="score over iterations">{"".join(drawn)}</svg>'
