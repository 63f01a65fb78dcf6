"""One self-contained HTML page that shows searches: scores, verdicts, changed latents, refuted equations."""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from latentseek_agents.tools.steps import check_steps

if TYPE_CHECKING:
    from latentseek_agents.engine.verdict import Attempt
    from latentseek_agents.runnable import LatentSeekResult

__all__ = ["html_page"]

Decode = Callable[[list[int]], str]

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #667; --line: #d5d9e0;
  --good: #1a7f37; --bad: #cf222e; --unsure: #9a6700;
  --changed: #fff1b8; --wrong: #ffd7d5; --card: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9aa4b2;
  --line: #30363d; --good: #3fb950; --bad: #f85149; --unsure: #d29922;
  --changed: #5c4a00; --wrong: #6e1f22; --card: #161b22; } }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; white-space: pre-wrap; }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.unsure { color: var(--unsure); }
details { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin: .6rem 0; padding: .5rem .9rem; } summary { cursor: pointer; }
pre, .latents { font: 13px/1.6 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; background: var(--changed); border-radius: .2rem; }
mark.wrong { background: var(--wrong); text-decoration: underline wavy var(--bad); }
table { border-collapse: collapse; font-size: 13px; }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
"""


def html_page(
    results: "Sequence[LatentSeekResult]",
    decode: Decode,
    *,
    title: str = "LatentSeek",
    threshold: float = -0.2,
) -> str:
    """Show searches as one HTML page without scripts and without anything to load.

    Args:
        results: Finished searches.
        decode: Token ids to text, such as ``backbone.decode``.
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
    sections = "".join(_section(result, decode, threshold) for result in results)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{escape(title)}</h1><p class="soft">{verified} of {len(results)} verified</p>'
        f"{sections}</body></html>\n"
    )


def _section(result: "LatentSeekResult", decode: Decode, threshold: float) -> str:
    answer = "no answer" if result.answer is None else f"answer: <strong>{escape(result.answer)}</strong>"
    usage = result.usage
    shown = _shown(result)
    cards = "".join(
        _card(attempt, decode, is_shown=number == shown) for number, attempt in enumerate(result.iterations)
    )
    return (
        f"<section><h2>{escape(result.question)}</h2>"
        f"<p>{_badge(result.passed)} · {answer} · <span class='soft'>stopped: {result.stop_reason}, "
        f"{usage.policy_tokens + usage.verifier_tokens} tokens, {usage.seconds:.1f} s</span></p>"
        f"{_curve(result, threshold)}{cards}</section>"
    )


def _shown(result: "LatentSeekResult") -> int:
    """The number of the attempt that was returned."""
    same = (i for i, attempt in enumerate(result.iterations) if attempt.text == result.text)
    return next(same, 0)


def _card(attempt: "Attempt", decode: Decode, *, is_shown: bool) -> str:
    name = "draft" if attempt.iteration == 0 else f"iteration {attempt.iteration}"
    score = "not judged" if attempt.score is None else f"{attempt.score:.2f}"
    returned = " · returned" if is_shown else ""
    rows = "".join(
        f"<tr><td>{_badge(check['passed'])}</td><td>{escape(check['name'])}</td>"
        f"<td>{check['weight']:g}</td><td>{escape(check['reason'])}</td></tr>"
        for check in attempt.checks
    )
    checks = (
        f"<table><tr><th></th><th>check</th><th>weight</th><th>reason</th></tr>{rows}</table>" if rows else ""
    )
    latents = _latents(attempt, decode)
    return (
        f"<details{' open' if is_shown else ''}><summary>{_badge(attempt.passed)} <strong>{name}</strong> · "
        f"score {score}{returned} · <span class='soft'>{escape(attempt.reason)}</span></summary>"
        f"{checks}{latents}<pre>{_marked(attempt.text)}</pre></details>"
    )


def _latents(attempt: "Attempt", decode: Decode) -> str:
    if not attempt.latent_token_ids:
        return ""
    changed = set(attempt.changed)
    pieces = []
    for position, token in enumerate(attempt.latent_token_ids):
        piece = escape(decode([token]).replace("\n", "⏎"))
        pieces.append(f"<mark>{piece}</mark>" if position in changed else piece)
    return (
        f"<p class='soft'>tokens at the latents, {len(changed)} changed:</p>"
        f"<div class='latents'>{''.join(pieces)}</div>"
    )


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
    return f'<span class="{kind}">{sign}</span>'


def _curve(result: "LatentSeekResult", threshold: float) -> str:
    """The scores over the iterations, as a drawing."""
    scores = [
        (attempt.iteration, attempt.score) for attempt in result.iterations if attempt.score is not None
    ]
    if len(scores) < 2:
        return ""
    width, height, margin = 640, 150, 34
    last = max(iteration for iteration, _ in scores) or 1

    def x(iteration: int) -> float:
        return margin + (width - 2 * margin) * iteration / last

    def y(score: float) -> float:
        return 14 + (height - 40) * -score

    line = " ".join(f"{x(i):.1f},{y(s):.1f}" for i, s in scores)
    dots = "".join(
        f'<circle cx="{x(i):.1f}" cy="{y(s):.1f}" r="4" fill="{_colour(a.passed)}">'
        f"<title>iteration {i}: {s:.2f}</title></circle>"
        for (i, s), a in zip(scores, (a for a in result.iterations if a.score is not None), strict=True)
    )
    marks = "".join(
        f'<text x="{x(i):.1f}" y="{height - 6}" text-anchor="middle">{"draft" if i == 0 else i}</text>'
        for i, _ in scores
    )
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="score over iterations">'
        f'<text x="0" y="{y(0) + 4:.0f}">0</text><text x="0" y="{y(-1) + 4:.0f}">-1</text>'
        f'<line x1="{margin}" x2="{width - margin}" y1="{y(threshold):.1f}" y2="{y(threshold):.1f}" '
        'stroke="var(--good)" stroke-dasharray="4 4" opacity=".6">'
        f"<title>threshold {threshold:g}</title></line>"
        f'<polyline points="{line}" fill="none" stroke="var(--soft)" stroke-width="1.5"/>{dots}{marks}</svg>'
    )


def _colour(passed: bool | None) -> str:
    return {True: "var(--good)", False: "var(--bad)", None: "var(--unsure)"}[passed]
