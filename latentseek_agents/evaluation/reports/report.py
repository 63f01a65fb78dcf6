"""Write what runs have shown: Markdown, CSV, figures, and one HTML page that loads nothing."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from latentseek_agents.evaluation.reports.analysis import Run
from latentseek_agents.evaluation.reports.figures import Drawing, can_draw, draw
from latentseek_agents.evaluation.reports.series import ORACLE
from latentseek_agents.evaluation.reports.table import Estimate, Table, csv_text, markdown_text
from latentseek_agents.evaluation.reports.tables import accuracy_table, paper_table, run_tables
from latentseek_agents.evaluation.runs.method_names import MethodName

__all__ = ["incomplete", "remarks", "write_report"]

_ORACLE_NOTE = (
    "These methods are told the known answer. They show how far a search, or choosing among samples, could "
    "get with a perfect verifier, and are no result of a method that anyone could use."
)

_MANY = 10
"""Errors, and searches that could not move, deserve a remark where they are one in so many."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; }
td, th { border: 1px solid #8886; padding: .25rem .6rem; text-align: left; white-space: nowrap; }
img { max-width: 100%; background: #fff; }
"""


def write_report(runs: Sequence[Run], out: str | Path) -> list[Path]:
    """Write ``report.md``, ``report.html``, two CSV files, and figures if matplotlib is installed.

    ``table.csv`` is the paper's table: methods by data sets and prompts, in each cell an accuracy with its
    interval. ``results.csv`` has every number of the other tables on a line of its own.

    Args:
        runs: In the order in which to show them.
        out: Folder; created if it does not exist. Files of an earlier report in it are replaced.

    Returns:
        The files.

    Example:
        >>> import tempfile
        >>> from latentseek_agents.evaluation.reports.analysis import Run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in write_report([Run(name="made up", settings={})], folder)]
        ['report.md', 'report.html', 'table.csv', 'results.csv']
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    drawings = [_drawings(number, run) for number, run in enumerate(runs, start=1)]
    sections = [_joint_section(runs)] if len(runs) > 1 else []
    sections += [_run_section(run, drawn) for run, drawn in zip(runs, drawings, strict=True)]
    figures = {name: drawing.png for drawn in drawings for name, drawing in drawn.items()}
    markdown = "\n".join(["# Evaluation\n", *sections])
    contents = {
        "report.md": markdown.encode(),
        "report.html": _html(markdown, figures).encode(),
        "table.csv": paper_table(runs).csv().encode(),
        "results.csv": _numbers(runs).encode(),
        **figures,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def incomplete(run: Run) -> list[str]:
    """Which methods have not done what was planned, or what others have done, a sentence each."""
    return [
        f"{dataset} · {prompt}: {method}{f' ({ORACLE})' if MethodName(method).oracle else ''} "
        f"has {count} question{'s' * (count != 1)} left to work on"
        for (dataset, prompt, method), count in run.missing.items()
    ]


def remarks(run: Run) -> list[str]:
    """What explains most of a method's results and is not the method itself, a sentence each."""
    lines = _code_remarks(run) + _processor_remarks(run)
    for group in run.groups:
        for ended in group.endings:
            series, count = ended.series, ended.series.questions
            unjudged, cut_off = series.count("unjudged"), series.count("cut_off")
            errors, stuck = ended.counts["error"], ended.counts["nothing to refine"]
            candidates = (
                (
                    2 * unjudged > count and series.config.acceptance != "agreement",
                    f"{unjudged} of {count} searches ended because the verifier could not judge; "
                    "refine_unjudged=true goes on, and another verifier may judge",
                ),
                (
                    2 * cut_off > count,
                    f"{cut_off} of {count} answers ran into the limit of tokens; a larger max_new_tokens "
                    "lets them end",
                ),
                (
                    errors * _MANY >= count,
                    f"{errors} of {count} questions ended in an error ({ended.error_names}); what a search "
                    "had by then counts, and what could not be begun is wrong",
                ),
                (
                    series.name.searches and stuck * _MANY >= count,
                    f"{stuck} of {count} searches had nothing to refine, since the fraction of the draft is "
                    "less than one latent; a larger fraction lets them search",
                ),
            )
            lines += [f"{group.place}: {series.label}: {text}" for applies, text in candidates if applies]
    return lines


def _code_remarks(run: Run) -> list[str]:
    """Remarks unless one known version of the code made all results."""
    total, unstated = sum(run.codes.values()), run.codes.get(None, 0)
    stated = [f"{count} by {code}" for code, count in run.codes.items() if code is not None]
    lines = []
    if len(stated) > 1:
        lines.append(
            f"{len(stated)} versions of the code made these {total} results ({', '.join(stated)}); "
            "methods may differ because the code does"
        )
    if unstated:
        lines.append(f"{unstated} of {total} results do not state which version of the code made them")
    return lines


def _processor_remarks(run: Run) -> list[str]:
    """A remark if several kinds of processors made the results: with other roundings come other texts."""
    stated = [f"{count} on {kind}" for kind, count in run.processors.items() if kind is not None]
    if len(stated) < 2:
        return []
    return [
        f"{len(stated)} kinds of processors made these results ({'; '.join(stated)}); they round otherwise, "
        "so that texts differ though the settings do not"
    ]


def _drawings(number: int, run: Run) -> dict[str, Drawing]:
    """A run's figures by the names of their files."""
    return {
        f"{number}-{place}-{_file_name(drawing.place)}-{drawing.kind}.png": drawing
        for place, drawing in enumerate(draw(run) if can_draw() else [], start=1)
    }


def _run_section(run: Run, drawings: Mapping[str, Drawing]) -> str:
    results, oracles = (run_tables(run, oracle=oracle) for oracle in (False, True))
    lines = [markdown_text(_settings(run)) + "\n"]
    lines += _tables(results, oracles, incomplete(run), remarks(run))
    for name, drawing in drawings.items():
        caption = markdown_text(f"{drawing.place}: {drawing.caption}")
        lines.append(f"![{caption}]({name})\n\n{caption}\n")
    return "\n".join([f"## {markdown_text(run.name)}\n", *lines])


def _joint_section(runs: Sequence[Run]) -> str:
    results, oracles = (
        [table for table in [accuracy_table(runs, oracle=oracle)] if table.rows] for oracle in (False, True)
    )
    lines = [f"{run.folder}: {line}" for run in runs for line in incomplete(run)]
    return "\n".join(["## All runs\n", *_tables(results, oracles, lines)])


def _tables(
    results: Sequence[Table], oracles: Sequence[Table], unfinished: Sequence[str], notes: Sequence[str] = ()
) -> list[str]:
    """Tables as Markdown, the oracles apart, below what a reader must know of all of them."""
    if not results and not oracles:
        return ["Nothing is done yet.\n"]
    parts = ["**Incomplete**: what is done first is no fair sample of the rest.\n"] if unfinished else []
    parts += [_bullets(lines) for lines in (unfinished, notes) if lines]
    parts += [table.markdown() for table in results]
    parts += [f"### {ORACLE}\n\n{_ORACLE_NOTE}\n"] if oracles else []
    return parts + [table.markdown() for table in oracles]


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {markdown_text(line)}" for line in lines) + "\n"


def _numbers(runs: Sequence[Run]) -> str:
    """Every cell on a line of its own: whose it is, its table, row and column, and its interval if any."""
    lines: list[Sequence[object]] = [
        ("model", "run", "oracle", "table", "row", "column", "value", "low", "high")
    ]
    for run in runs:
        head = (run.name, run.settings.get("run", ""))
        for oracle in (False, True):
            for table in run_tables(run, oracle=oracle):
                for row in table.rows:
                    name = ", ".join(map(str, row[: table.names]))
                    for column, cell in list(zip(table.columns, row, strict=True))[table.names :]:
                        value = cell[:3] if isinstance(cell, Estimate) else (cell, "", "")
                        lines.append((*head, oracle, table.title, name, column, *value))
    return csv_text(lines)


def _html(markdown: str, figures: dict[str, bytes]) -> str:
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable("table").render(markdown)
    for name, png in figures.items():
        image = base64.b64encode(png).decode()
        body = body.replace(f'src="{escape(name)}"', f'src="data:image/png;base64,{image}"')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Evaluation</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _settings(run: Run) -> str:
    """The settings that matter most; the run's ``run.json`` has all."""
    config = run.settings.get("config")
    config = config if isinstance(config, dict) else {}
    names = ("max_new_tokens", "max_iterations", "latents", "learning_rate", "fraction", "keep", "seed")
    parts = [f"run {run.settings.get('run', '')}"]
    parts.append(f"{run.settings.get('dtype', '')} on {run.settings.get('device', '')}")
    parts.append(f"temperature of samples {run.settings.get('temperature', '')}")
    parts += [f"{name} {config[name]}" for name in names if name in config]
    return ", ".join(parts)


def _file_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "data"
