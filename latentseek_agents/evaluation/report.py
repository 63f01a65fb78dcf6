"""Write what runs have shown: Markdown, CSV, figures, and one HTML page with nothing to load."""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from latentseek_agents.evaluation.accuracy_tables import accuracy_csv, joint_table
from latentseek_agents.evaluation.across_runs import AcrossRuns, compare_runs
from latentseek_agents.evaluation.across_tables import across_tables, differing_settings
from latentseek_agents.evaluation.analysis import RunAnalysis
from latentseek_agents.evaluation.cells import ORACLE, Table, marked, where
from latentseek_agents.evaluation.ending_tables import error_names
from latentseek_agents.evaluation.figures import Drawing, can_draw, draw
from latentseek_agents.evaluation.long_form import long_form
from latentseek_agents.evaluation.markup import html_table, markdown_table, markdown_text, one_line
from latentseek_agents.evaluation.tables import oracle_tables, result_tables
from latentseek_agents.evaluation.trials import is_oracle

__all__ = ["incomplete", "remarks", "write_report"]

_ORACLE_NOTE = (
    "These methods are told the known answer. They show how far a search, or choosing among samples, could "
    "get with a perfect verifier, and are no result of a method that anyone could use."
)

_MANY = 10
"""Errors, and searches that could not move, deserve a remark where they are one in so many."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #5b6573; --line: #d5d9e0;
  --head: #f2f4f7; --mark: #9a3412; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9aa4b2;
  --line: #30363d; --head: #161b22; --mark: #fdba74; } }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 3rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 2rem 0 .4rem; } .soft { color: var(--soft); max-width: 60rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
td, th { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top;
  font-variant-numeric: tabular-nums; } td { white-space: nowrap; } th { background: var(--head); }
.oracle { border-left: 4px solid var(--mark); padding-left: 1rem; }
.oracle h3:first-child { color: var(--mark); }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; background: #fff; border-radius: .3rem; }
figcaption { color: var(--soft); font-size: 13px; } .incomplete { color: var(--mark); }
details { margin: .5rem 0; } pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; }
"""


@dataclass(frozen=True)
class _Section:
    """Something under a heading, ready to be written in either format."""

    title: str
    about: str
    results: list[Table]
    oracles: list[Table]
    settings: dict[str, Any] | None = None
    incomplete: Sequence[str] = ()
    remarks: Sequence[str] = ()
    drawings: Sequence[tuple[str, Drawing]] = ()


def write_report(runs: Sequence[RunAnalysis], out: str | Path) -> list[Path]:
    """Write ``report.md``, ``report.html``, two CSV files, and figures if matplotlib is installed.

    ``table.csv`` is the paper's table: methods by data sets and prompts, in each cell an accuracy with its
    interval. ``results.csv`` has every number on a line of its own.

    Args:
        runs: In the order in which to show them.
        out: Folder; made if it does not exist. Files of an earlier report in it are replaced.

    Returns:
        What was written.

    Example:
        >>> import tempfile
        >>> run = RunAnalysis(name="made up", settings={}, groups=())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_report([run], folder)]
        ['report.md', 'report.html', 'table.csv', 'results.csv']
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    across = compare_runs(runs)
    sections = [_joint(runs)] if len(runs) > 1 else []
    sections += [_across(one) for one in across]
    sections += [_section(number, run) for number, run in enumerate(runs, start=1)]
    contents: dict[str, bytes] = {
        "report.md": _markdown(sections).encode(),
        "report.html": _html(sections).encode(),
        "table.csv": accuracy_csv(runs).encode(),
        "results.csv": long_form(runs, across).encode(),
    }
    for section in sections:
        contents |= {name: drawing.png for name, drawing in section.drawings}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def incomplete(run: RunAnalysis) -> list[str]:
    """Which methods have not done what was planned, or what others have done, a sentence each."""
    return [
        f"{where(dataset, prompt)}: {marked(method, oracle=is_oracle(method))} "
        f"has {count} question{'s' * (count != 1)} left to work on"
        for (dataset, prompt, method), count in run.missing.items()
    ]


def remarks(run: RunAnalysis) -> list[str]:
    """What explains most of a method's results and is not the method itself, a sentence each."""
    found = _code_remarks(run)
    for group in run.groups:
        for one in group.methods:
            method, count = marked(one.method, oracle=one.oracle), one.questions
            name = f"{where(group.dataset, group.prompt)}: {method}"
            if 2 * one.unjudged > count:
                found.append(
                    f"{name}: {one.unjudged} of {count} searches ended because the verifier could not judge; "
                    "refine_unjudged=true goes on, and another verifier may judge"
                )
            if 2 * one.cut_off > count:
                found.append(
                    f"{name}: {one.cut_off} of {count} answers ran into the limit of tokens; "
                    "a larger max_new_tokens lets them end"
                )
        for ended in group.endings:
            method, count = marked(ended.method, oracle=ended.oracle), ended.questions
            name = f"{where(group.dataset, group.prompt)}: {method}"
            errors, stuck = ended.counts["error"], ended.counts["nothing to refine"]
            if errors * _MANY >= count:
                found.append(
                    f"{name}: {errors} of {count} questions ended in an error ({error_names(ended)}); what a "
                    "search had by then counts, and what could not be begun is wrong"
                )
            if ended.searches and stuck * _MANY >= count:
                found.append(
                    f"{name}: {stuck} of {count} searches had nothing to refine, since the fraction of the "
                    "draft is less than one latent; a larger fraction lets them search"
                )
    return found


def _code_remarks(run: RunAnalysis) -> list[str]:
    """Whether one version of the code has made all results, if that is not known to be so."""
    total, unstated = sum(run.codes.values()), run.codes.get(None, 0)
    stated = {code: count for code, count in run.codes.items() if code is not None}
    found = []
    if len(stated) > 1:
        shares = ", ".join(f"{count} by {code}" for code, count in stated.items())
        found.append(
            f"{len(stated)} versions of the code made these {total} results ({shares}); "
            "methods may differ because the code does"
        )
    if unstated:
        found.append(f"{unstated} of {total} results do not state which version of the code made them")
    return found


def _section(number: int, run: RunAnalysis) -> _Section:
    drawings = [
        (f"{number}-{place}-{_file_name(drawing.where)}-{drawing.kind}.png", drawing)
        for place, drawing in enumerate(draw(run) if can_draw() else [], start=1)
    ]
    return _Section(
        run.name,
        _settings(run),
        result_tables(run),
        oracle_tables(run),
        run.settings,
        incomplete(run),
        remarks(run),
        drawings,
    )


def _joint(runs: Sequence[RunAnalysis]) -> _Section:
    results, oracles = joint_table(runs), joint_table(runs, oracle=True)
    return _Section(
        "All runs",
        "",
        [results] if results.rows else [],
        [oracles] if oracles.rows else [],
        incomplete=_incomplete_runs(runs),
    )


def _incomplete_runs(runs: Sequence[RunAnalysis]) -> list[str]:
    return [f"{run.folder}: {line}" for run in runs for line in incomplete(run)]


def _across(across: AcrossRuns) -> _Section:
    return _Section(
        f"Runs of {across.model} compared",
        "",
        [differing_settings(across), *across_tables(across, oracle=False)],
        across_tables(across, oracle=True),
        incomplete=_incomplete_runs(across.runs),
    )


def _markdown(sections: Iterable[_Section]) -> str:
    parts = ["# Evaluation\n"]
    for section in sections:
        parts.append(f"## {markdown_text(section.title)}\n")
        if section.about:
            parts.append(f"{markdown_text(section.about)}\n")
        if not section.results and not section.oracles:
            parts.append("Nothing is done yet.\n")
            continue
        if section.incomplete:
            parts.append("**Incomplete**: what is done first is no fair sample of the rest.\n")
            parts.append("\n".join(f"- {markdown_text(line)}" for line in section.incomplete) + "\n")
        if section.remarks:
            parts.append("\n".join(f"- {markdown_text(line)}" for line in section.remarks) + "\n")
        parts += [markdown_table(table) for table in section.results]
        if section.oracles:
            parts.append(f"### {ORACLE}\n\n{_ORACLE_NOTE}\n")
            parts += [markdown_table(table) for table in section.oracles]
        for name, drawing in section.drawings:
            parts.append(f"![{markdown_text(f'{drawing.where}: {drawing.caption}')}]({name})\n")
            parts.append(f"{markdown_text(f'{drawing.where}: {drawing.caption}')}\n")
    return "\n".join(parts)


def _html(sections: Iterable[_Section]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Evaluation</title><style>{_STYLE}</style></head><body><h1>Evaluation</h1>"
        f"{''.join(map(_html_section, sections))}</body></html>\n"
    )


def _html_section(section: _Section) -> str:
    head = (
        f"<section><h2>{escape(one_line(section.title))}</h2>"
        f'<p class="soft">{escape(one_line(section.about, 2000))}</p>'
    )
    if section.settings is not None:
        settings = escape(json.dumps(section.settings, indent=1, default=str))
        head += f"<details><summary>all settings</summary><pre>{settings}</pre></details>"
    if not section.results and not section.oracles:
        return f"{head}<p>Nothing is done yet.</p></section>"
    missing = "".join(f"<li>{escape(one_line(line, 2000))}</li>" for line in section.incomplete)
    warning = (
        '<p class="incomplete"><strong>Incomplete</strong>: what is done first is no fair '
        f"sample of the rest.</p><ul>{missing}</ul>"
        if missing
        else ""
    )
    remarked = "".join(f"<li>{escape(one_line(line, 2000))}</li>" for line in section.remarks)
    warning += f"<ul>{remarked}</ul>" if remarked else ""
    results = "".join(map(html_table, section.results))
    oracles = "".join(map(html_table, section.oracles))
    marked = f'<div class="oracle"><h3>{ORACLE}</h3><p>{_ORACLE_NOTE}</p>{oracles}</div>' if oracles else ""
    figures = "".join(_html_figure(drawing) for _, drawing in section.drawings)
    return f"{head}{warning}{results}{marked}{figures}</section>"


def _html_figure(drawing: Drawing) -> str:
    caption = escape(one_line(f"{drawing.where}: {drawing.caption}", 2000))
    image = base64.b64encode(drawing.png).decode()
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{image}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _settings(run: RunAnalysis) -> str:
    """What matters most of a run's settings; its ``run.json`` has all."""
    found = run.settings
    config = found.get("config")
    chosen = config if isinstance(config, dict) else {}
    names = ("max_new_tokens", "max_iterations", "latents", "learning_rate", "fraction", "keep", "seed")
    parts = [f"run {found.get('run', '')}", f"{found.get('dtype', '')} on {found.get('device', '')}"]
    parts.append(f"temperature of samples {found.get('temperature', '')}")
    parts += [f"{name} {chosen[name]}" for name in names if name in chosen]
    return ", ".join(parts)


def _file_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "data"
