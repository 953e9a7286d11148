"""Text and tables in Markdown and in LaTeX.

Names come from a study's author, from corpora and from papers, so that nothing is written that was not escaped here:
everything else hands over plain text. A `Number` is set as mathematics in LaTeX, where a minus is not a hyphen.

LaTeX needs the package booktabs alone and compiles with pdflatex: a character that it has no glyph for by default is
written as its code point. Of what it would take as a command, `[` and `*` are the treacherous ones: at the beginning
of a row they are arguments of the line break before.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Block", "Cell", "Number", "Sheet", "markdown_item", "markdown_table", "markdown_text", "tex_table"]


class Number(str):
    """A formatted number, interval or bound: digits, brackets, and the signs `= ≥ ~ ± <` before a space."""

    __slots__ = ()


Cell: TypeAlias = "str | tuple[str, ...]"
"""What a table holds in one place: a line, or several lines."""
Block: TypeAlias = Sequence[Sequence[str]]
"""Rows that stay together."""


@dataclass(frozen=True)
class Sheet:
    """A table in plain text.

    Attributes:
        head: a name for each column.
        align: `l` or `r` for each column.
        rows: as many cells each.
    """

    head: tuple[str, ...]
    align: str
    rows: list[tuple[Cell, ...]]


def _one_line(text: str) -> str:
    """White space and control characters as single spaces."""
    shown = (" " if unicodedata.category(character).startswith("C") else character for character in text)
    return " ".join("".join(shown).split())


def markdown_text(text: str) -> str:
    """Plain text as one line of GitHub Markdown that shows just that, in a table's cell too."""
    return re.sub(r"([\\`*_\[\]<>|~&$#])", r"\\\1", _one_line(text))


def markdown_item(text: str) -> str:
    """Plain text as an item of a list; what would begin a heading or an inner list does not."""
    escaped = re.sub(r"^([-+=:])", r"\\\1", markdown_text(text))
    return "- " + re.sub(r"^(\d+)([.)])", r"\1\\\2", escaped)


def markdown_table(sheet: Sheet) -> str:
    """A sheet as a table of GitHub Markdown."""
    rules = ["---:" if side == "r" else "---" for side in sheet.align]
    lines = [_markdown_row(map(markdown_text, sheet.head)), _markdown_row(rules)]
    return "\n".join([*lines, *(_markdown_row(map(_markdown_cell, row)) for row in sheet.rows)]) + "\n"


def _markdown_row(cells: "Iterator[str] | Sequence[str]") -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    return markdown_text(cell) if isinstance(cell, str) else "<br>".join(map(markdown_text, cell))


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textquoteleft{}",
    '"': r"\textquotedblright{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "≥": r"$\geq$",
    "∼": r"$\sim$",
    "±": r"$\pm$",
} | {character: f"\\{character}" for character in "&%$#_{}"}
_TEX_SIGNS = str.maketrans({"≥": r"\geq", "~": r"\sim", "±": r"\pm"})
_TEX_LETTERS = set("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")


def tex_text(text: str) -> str:
    """Plain text as LaTeX that shows just that, in a cell or in a caption."""
    characters = unicodedata.normalize("NFC", _one_line(text))
    apart = re.sub("-(?=-)", "-\0", characters)
    return "".join(map(_tex_character, apart))


def _tex_character(character: str) -> str:
    if character == "\0":
        return "{}"
    if character in _TEX:
        return _TEX[character]
    plain = character.isascii() or character in _TEX_LETTERS
    return character if plain else f"(U+{ord(character):04X})"


def _tex_cell(cell: str) -> str:
    return f"${cell.translate(_TEX_SIGNS)}$" if isinstance(cell, Number) else tex_text(cell)


def tex_table(caption: str, label: str, head: Sequence[str], align: str, blocks: Sequence[Block]) -> str:
    """A `table` environment, ruled by booktabs.

    Args:
        caption: plain text.
        label: to refer to it by; what is no letter, digit, dot or hyphen in it becomes a hyphen.
        head: a name for each column.
        align: `l` or `r` for each column.
        blocks: rows, as many cells each, with a little space between blocks.
    """
    body = "\\addlinespace\n".join("".join(map(_tex_row, block)) for block in blocks)
    return "\n".join(
        [
            r"\begin{table}[tbp]",
            r"\centering",
            r"\scriptsize",
            r"\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{tex_text(caption)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9.-]', '-', label)}}}",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            _tex_row(head).rstrip("\n"),
            r"\midrule",
            f"{body}\\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _tex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_tex_cell, cells)) + " \\\\\n"
