"""Tables and names as Markdown, HTML and CSV in which no name is markup."""

import re
from html import escape

from latentseek_agents.evaluation.cells import Table

__all__ = ["csv_cell", "html_table", "markdown_table", "markdown_text", "one_line"]

# An underscore within a word emphasises nothing.
_MARKDOWN = re.compile(r"([\\`*\[\]~$|#]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_LONGEST_NAME = 200
_LONGEST_TEXT = 2000


def one_line(text: str, longest: int = _LONGEST_NAME) -> str:
    r"""Printable characters on one line, cut off where it gets too long.

    Example:
        >>> one_line("a\nb\x1b[31m")
        'a b [31m'
    """
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, also within a table.

    Example:
        >>> markdown_text("<img> https://example.org & so on")
        '&lt;img&gt; https&#58;//example.org &amp; so on'
    """
    text = _MARKDOWN.sub(r"\\\1", escape(one_line(text, _LONGEST_TEXT), quote=False))
    return text.replace("://", "&#58;//")


def markdown_table(table: Table) -> str:
    """The table with its title and its note."""
    lines = [
        _markdown_row(table.columns),
        _markdown_row(["---"] * len(table.columns), raw=True),
        *(_markdown_row(row) for row in table.rows),
    ]
    return f"### {markdown_text(table.title)}\n\n" + "\n".join(lines) + f"\n\n{markdown_text(table.note)}\n"


def html_table(table: Table) -> str:
    """The table with its title and its note."""
    columns = "".join(f'<th scope="col">{escape(one_line(column))}</th>' for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(one_line(cell))}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return (
        f"<h3>{escape(one_line(table.title))}</h3>"
        f'<div class="wide"><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>'
        f'<p class="soft">{escape(table.note)}</p>'
    )


def csv_cell(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay what they are.

    Example:
        >>> csv_cell("=1+1"), csv_cell(-0.5)
        ("'=1+1", -0.5)
    """
    if not isinstance(cell, str):
        return cell
    cell = "".join(character if character.isprintable() else " " for character in cell)
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _markdown_row(cells: "tuple[str, ...] | list[str]", *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else markdown_text(one_line(cell)) for cell in cells) + " |"
