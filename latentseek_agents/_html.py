"""One self-contained HTML page that shows searches: scores, verdicts, latents, refuted steps, programs."""

from collections.abc import Sequence
from typing import Any

from jinja2 import Environment

from latentseek_agents._shown import attempt_names, returned_position, voter_names
from latentseek_agents._view import Decode, Values, marked_text, returned_sentences
from latentseek_agents.tools.steps import Equation, check_equations, check_steps

_LIGHT = """--ink: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d5d9e0; --card: #f6f8fa;
  --good: #1a7f37; --bad: #c01c28; --unsure: #8a5a00; --changed: #ffe58a; --wrong: #ffd7d5;"""
_DARK = """--ink: #e6edf3; --paper: #0d1117; --soft: #9aa4b2; --line: #3a424d; --card: #161b22;
  --good: #4cc860; --bad: #ff7b72; --unsure: #e0a733; --changed: #6b5600; --wrong: #6e1f22;"""

# In a notebook the notebook's own theme counts, not that of the system.
STYLE = f"""
.latentseek {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ .latentseek {{ {_DARK} }} }}
[data-jp-theme-light="true"] .latentseek, .vscode-light .latentseek {{ color-scheme: light; {_LIGHT} }}
[data-jp-theme-light="false"] .latentseek, .vscode-dark .latentseek {{ color-scheme: dark; {_DARK} }}
.latentseek {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  box-sizing: border-box; max-width: 60rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }}
.latentseek *, .latentseek *::after {{ box-sizing: border-box; }}
.latentseek h1 {{ font-size: 1.2rem; font-weight: 600; margin: 0; }}
.latentseek h2 {{ font-size: 1.3rem; line-height: 1.35; margin: 0 0 .6rem; white-space: pre-wrap; }}
.latentseek p {{ margin: .3rem 0; }}
.latentseek span, .latentseek strong, .latentseek a {{ unicode-bidi: isolate; }}
.latentseek section {{ border-top: 1px solid var(--line); margin-top: 1rem; padding-top: 1.4rem; }}
.latentseek > style + section {{ border-top: 0; margin-top: 0; padding-top: 0; }}
.latentseek .soft {{ color: var(--soft); }}
.latentseek .good {{ color: var(--good); }}
.latentseek .bad {{ color: var(--bad); }}
.latentseek .unsure {{ color: var(--unsure); }}
.latentseek .badge {{ display: inline-block; font-weight: 600; font-size: 13px; white-space: nowrap; }}
.latentseek .answer {{ font-size: 1.15rem; }}
.latentseek .overview {{ margin: .8rem 0 0; padding-left: 2.2rem; }}
.latentseek a {{ color: inherit; }}
.latentseek .chart {{ display: block; width: 100%; height: 176px; margin: 1rem 0 .8rem; }}
.latentseek .chart text {{ fill: var(--soft); font-size: 12px; }}
.latentseek .chart .returned {{ stroke: var(--ink); stroke-width: 2.5; }}
.latentseek .chart .chosen {{ fill: var(--ink); font-weight: 600; }}
.latentseek details {{ background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  margin: .5rem 0; padding: .45rem .8rem; }}
.latentseek details.returned {{ border: 2px solid var(--ink); }}
.latentseek summary {{ cursor: pointer; }}
.latentseek summary .name {{ display: inline-block; min-width: 6.3rem; font-weight: 600; }}
.latentseek summary .score {{ display: inline-block; min-width: 3.2rem; font-variant-numeric: tabular-nums; }}
.latentseek summary .badge {{ min-width: 6.2rem; }}
.latentseek .preview {{ display: block; color: var(--soft); font: 13px/1.5 ui-monospace, monospace;
  margin: .15rem 0 0 1rem; }}
.latentseek details[open] .preview {{ display: none; }}
.latentseek .returned .tag {{ background: var(--ink); color: var(--paper); border-radius: .3rem;
  font-size: 12px; padding: .05rem .4rem; margin-right: .4rem; }}
.latentseek .label {{ color: var(--soft); font-size: 13px; margin: .9rem 0 .15rem; }}
.latentseek .text {{ font: 14px/1.65 ui-monospace, monospace; white-space: pre-wrap; color: inherit;
  background: none; border: 0; margin: 0; padding: 0; }}
.latentseek mark {{ color: inherit; background: var(--changed); border-radius: .2rem;
  box-shadow: inset 1px 0 var(--card); }}
.latentseek mark.wrong {{ background: var(--wrong); text-decoration: underline wavy var(--bad); }}
.latentseek mark.wrong::after {{ content: " ✗ " attr(title); font-weight: 600;
  display: inline-block; padding-left: .35em; }}
.latentseek mark.doubt {{ background: none; text-decoration: underline dotted var(--soft); }}
.latentseek table {{ border-collapse: collapse; color: inherit; font-size: 13px; margin: .2rem 0;
  width: auto; }}
.latentseek tr {{ background: none; }}
.latentseek td, .latentseek th {{ text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0;
  border: 0; overflow-wrap: break-word; white-space: normal; }}
@media (max-width: 36rem) {{
  .latentseek td {{ display: inline; padding: 0 .35rem 0 0; }}
  .latentseek details th, .latentseek details td:nth-child(3) {{ display: none; }}
  .latentseek tr {{ display: block; margin-bottom: .35rem; }}
}}
"""

# Jinja escapes every value. Text inside <pre> and .text keeps its white space, so those elements hold no line
# breaks of the template.
_TEMPLATE = """
{%- macro badge(passed) -%}
  {% set kind, label = {true: ("good", "✓ passed"), false: ("bad", "✗ not passed"),
                        none: ("unsure", "? not judged")}[passed] -%}
  <span class="badge {{ kind }}">{{ label }}</span>
{%- endmacro %}

{#- Positions across are in per cent, so that text keeps its size. #}
{%- macro x(attempt, last) %}{{ "%.2f%%" | format(12 + 85 * attempt.iteration / last) }}{% endmacro %}
{%- macro y(score) %}{{ "%.1f" | format(26 - 120 * score) }}{% endmacro %}

{%- macro curve(search) %}
{% set points = search.iterations | rejectattr("score", "none") | list %}
{% if points | length > 1 %}
{% set last = points[-1].iteration or 1 %}
<svg class="chart" role="img" aria-label="score over iterations">
  {% for score in (0, -0.5, -1) %}
  <line x1="0" x2="100%" y1="{{ y(score) }}" y2="{{ y(score) }}" stroke="var(--line)"/>
  <text x="0" y="{{ y(score) }}" dy="-4">{{ score }}</text>
  {% endfor %}
  <line x1="0" x2="100%" y1="{{ y(threshold) }}" y2="{{ y(threshold) }}" stroke="var(--good)"
    stroke-dasharray="4 4"/>
  <text x="100%" y="12" text-anchor="end">score; above the dashed {{ "%g" | format(threshold) }} it can pass
  </text>
  {% for point in points %}
  {% set before = loop.previtem or point %}
  <line x1="{{ x(before, last) }}" y1="{{ y(before.score) }}"
    x2="{{ x(point, last) }}" y2="{{ y(point.score) }}" stroke="var(--soft)" stroke-width="1.5"/>
  <text class="{{ "chosen" if point.returned }}" x="{{ x(point, last) }}" y="170" text-anchor="middle">
    {{- point.iteration or "draft" }}</text>
  {% endfor %}
  {% for point in points %}
  <circle class="{{ "returned" if point.returned }}" cx="{{ x(point, last) }}" cy="{{ y(point.score) }}"
    r="{{ 7 if point.returned else 4.5 }}"
    fill="var(--{{ {true: "good", false: "bad", none: "unsure"}[point.passed] }})">
    <title>{{ point.name }}: {{ "%.2f" | format(point.score) }}</title></circle>
  {% endfor %}
</svg>
{% endif %}
{% endmacro %}

{%- macro card(attempt) %}
<details{% if attempt.returned %} class="returned" open{% endif %}><summary>
  <span class="name">{{ attempt.name }}</span>
  <span class="score">{{ "–" if attempt.score is none else "%.2f" | format(attempt.score) }}</span>
  {{ badge(attempt.passed) }}
  {% if attempt.returned %}<span class="tag">returned</span>{% endif %}
  <span class="soft">{{ attempt.reason }}</span>
  <span class="preview">{{ attempt.text | shortened(160) }}</span>
</summary>
{% if attempt.latents or attempt.iteration and attempt.latent_token_ids %}
{% set count = attempt.latent_token_ids | length %}
<p class="label">what the {{ "latent" if count == 1 else count ~ " latents" }} decided
  {%- if attempt.iteration -%}
    ; {{ "marked: %d changed since the attempt before" % attempt.changed | length if attempt.changed
         else "nothing changed" }}
  {%- endif %}</p>
{% if attempt.latents %}
<div class="text">
  {%- for piece in attempt.latents %}
    {%- if loop.index0 in attempt.changed %}<mark>{{ piece }}</mark>{% else %}{{ piece }}{% endif %}
  {%- endfor %}</div>
{% endif %}
{% endif %}
{% if attempt.aimed_at %}
<p class="label">aimed at the first error of the attempt before; all before it stays</p>
<p>{{ attempt.aimed_at.stated }} → <strong>{{ attempt.aimed_at.value }}</strong></p>
{% endif %}
{% if attempt.thinking %}
<details class="thought"><summary><span class="soft">what was thought before the solution
  {%- set wrong = attempt.thought | selectattr("1") | list | length %}
  {%- if wrong %}; {{ wrong }} {{ "equation" if wrong == 1 else "equations" }} in it
    {{ "is" if wrong == 1 else "are" }} wrong, which counts for nothing{% endif %}</span></summary>
<pre class="text">
{%- for piece, refutation in attempt.thought %}
  {%- if not refutation %}{{ piece }}{% else %}<mark class="doubt" title="{{ refutation }}">{{ piece }}</mark>
  {%- endif %}
{%- endfor %}</pre></details>
{% endif %}
<p class="label">the solution</p><pre class="text">
{%- for piece in attempt.pieces %}
  {%- if piece.status != "refuted" %}{{ piece.text -}}
  {% else %}<mark class="wrong" title="{{ piece.reason }}">{{ piece.text }}</mark>{% endif %}
{%- endfor %}</pre>
{% if attempt.programs %}
<p class="label">what its programs print</p>
<table><tr><th>status</th><th>printed</th><th>reason</th></tr>
{% for program in attempt.programs %}
{% set kind = {"ok": "good", "rounded": "good", "wrong": "bad"}[program.status] or "unsure" %}
<tr><td><span class="badge {{ kind }}">{{ program.status }}</span></td>
<td>{{ program.printed | shortened(200) }}</td><td>{{ program.reason }}</td></tr>
{% endfor %}
</table>
{% endif %}
{% if attempt.checks %}
<p class="label">the verdict's parts</p>
<table><tr><th></th><th>check</th><th>weight</th><th>reason</th></tr>
{% for check in attempt.checks %}
<tr><td>{{ badge(check.passed) }}</td><td>{{ check.name }}</td><td>{{ "%g" | format(check.weight) }}</td>
<td>{{ check.reason }}</td></tr>
{% endfor %}
</table>
{% endif %}
</details>
{% endmacro %}

{%- macro section(search, number) %}
<section id="search-{{ number }}"><h2>{{ search.question }}</h2>
<p><span class="answer">
  {%- if search.answer is none %}no answer{% else %}<strong>{{ search.answer }}</strong>{% endif %}</span>
  {{ badge(search.passed) }}</p>
<p>{{ search.why }}</p>
<p class="soft">{{ "still searching" if search.stop_reason is none else "stopped: " ~ search.stop_reason }} ·
  {{ search.usage.policy_tokens + search.usage.verifier_tokens }} tokens ·
  {{ "%.1f" | format(search.usage.policy_seconds + search.usage.verifier_seconds) }} s</p>
{% if search.correction %}
<p class="label">added by us at the end of the solution</p><pre class="text">{{ search.correction }}</pre>
{% endif %}
{% if search.votes %}
<p class="label">the votes; 1 is a full one</p>
<table><tr><th>answer</th><th>weight</th><th>voters</th></tr>
{% for vote in search.votes %}
<tr><td>{{ vote.answer }}</td><td>{{ "%.2f" | format(vote.weight) }}</td>
<td>{{ vote.names | join(", ") }}</td></tr>
{% endfor %}
</table>
{% endif %}
{{ curve(search) }}
{% for attempt in search.iterations %}{{ card(attempt) }}{% endfor %}
</section>
{% endmacro %}

{%- set sections %}
{% for search in searches %}{{ section(search, loop.index) }}{% endfor %}
{% endset %}

{%- if title is none -%}
<div class="latentseek"><style>{{ style | safe }}</style>{{ sections }}</div>
{%- else -%}
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
{#- The colours are known inside the body only; the space around it is to have the same. #}
<style>{{ style | safe }}
html { background: #fff; } @media (prefers-color-scheme: dark) { html { background: #0d1117; } }
</style></head><body class="latentseek"><h1>{{ title }}</h1>
<p class="soft">{{ searches | selectattr("passed") | list | length }} of {{ searches | length }} verified</p>
{% if searches | length >= 4 %}
<ol class="overview">
{% for search in searches %}
<li>{{ badge(search.passed) }}
  <a href="#search-{{ loop.index }}">{{ search.question | shortened(100) }}</a></li>
{% endfor %}
</ol>
{% endif %}
{{ sections }}</body></html>
{% endif %}
"""


def html_page(
    results: Sequence[Values], decode: Decode | None, *, title: str = "LatentSeek", threshold: float = -0.2
) -> str:
    """Show searches as one HTML page without scripts and without anything to load.

    Args:
        results: Searches, each as ``LatentSeekResult.to_dict()`` gives it.
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
        >>> page = html_page([seek.invoke("What is 2 + 2?").to_dict()], seek.backbone.decode)
        >>> page.startswith("<!doctype html>"), page.count("<details")
        (True, 2)
    """
    return _rendered(results, decode, title=title, threshold=threshold)


def html_fragment(results: Sequence[Values], decode: Decode | None, *, threshold: float = -0.2) -> str:
    """The same as part of another page, such as a notebook, with styles that apply to nothing else.

    Args:
        results: As for :func:`html_page`.
        decode: As for :func:`html_page`.
        threshold: As for :func:`html_page`.
    """
    return _rendered(results, decode, title=None, threshold=threshold)


def _rendered(results: Sequence[Values], decode: Decode | None, **values: Any) -> str:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shortened"] = _shortened
    searches = [_search(result, decode) for result in results]
    return environment.from_string(_TEMPLATE).render(searches=searches, style=STYLE, **values)


def _search(result: Values, decode: Decode | None) -> Values:
    """The result with what the template shows besides: which attempt was returned and why."""
    names = attempt_names(result["iterations"])
    reports = [check_steps(attempt["text"]) for attempt in result["iterations"]]
    attempts = [
        {
            **attempt,
            "name": name,
            "latents": [
                decode([token]).replace("\n", "⏎") for token in attempt["latent_token_ids"] if decode
            ],
            "pieces": marked_text(attempt["text"], report),
            "thought": _marked(thought := attempt.get("thinking", ""), _wrong(thought)),
            "programs": report.programs,
        }
        for name, attempt, report in zip(names, result["iterations"], reports, strict=True)
    ]
    place = returned_position(result)
    attempts[place]["returned"] = True
    return {
        **result,
        "iterations": attempts,
        "votes": [{**vote, "names": voter_names(vote, names)} for vote in result.get("votes", [])],
        "correction": result["text"].removeprefix(attempts[place]["text"]).strip(),
        "why": returned_sentences(result, place, name=names[place]),
    }


def _wrong(thought: str) -> list[Equation]:
    return [equation for equation in check_equations(thought) if equation.status == "wrong"]


def _marked(text: str, refutations: Sequence[Equation]) -> list[tuple[str, str]]:
    """A text in pieces, each with the reason why it is refuted; the reason is empty if it is not."""
    pieces, end = [], 0
    for wrong in refutations:
        start, stop = wrong.span
        if start >= end:
            pieces += [(text[end:start], ""), (text[start:stop], wrong.reason)]
            end = stop
    return [*pieces, (text[end:], "")]


def _shortened(text: str, longest: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"
