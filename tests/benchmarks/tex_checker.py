"""What LaTeX would make of a file of tables: a reader of the few commands that they may use, which trusts nothing else.

It refuses what pdflatex would stop at or misread: an unknown command, a special character that is not escaped, braces,
mathematics or environments that do not balance, a row with another number of cells than the table has columns, and
`[` or `*` where a line break before would take them for arguments. It gives the cells back as they would be read.
"""

import re
from dataclasses import dataclass, field

__all__ = ["TexTable", "read_tables"]

SHOWN = {
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textquoteleft": "`",
    "textquotedblright": '"',
    **{character: character for character in "&%$#_{}"},
}
MATHEMATICS = {"geq": "≥", "sim": "∼", "pm": "±"}
RULES = ("toprule", "midrule", "bottomrule", "addlinespace")
TOKEN = re.compile(r"\\([A-Za-z]+)( *)|\\(.)|(.)")
"""A word, with the spaces after it that it eats; a symbol; a character."""


@dataclass
class TexTable:
    caption: str = ""
    label: str = ""
    align: str = ""
    rules: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def read_tables(source: str) -> list[TexTable]:
    """The tables of a file.

    Raises:
        AssertionError: LaTeX would stop, or show something else.
    """
    tables: list[TexTable] = []
    rest = source
    while rest.strip():
        head, rest = rest.split("\\begin{table}[tbp]\n", 1)
        assert not head.strip(), f"outside of any table: {head!r}"
        body, rest = rest.split("\\end{table}\n", 1)
        tables.append(read_table(body))
    return tables


def read_table(body: str) -> TexTable:
    pattern = (
        r"\\centering\n\\scriptsize\n\\setlength\{\\tabcolsep\}\{4pt\}\n\\caption\{(.*)\}\n\\label\{tab:([A-Za-z0-9.-]+)\}\n"
        r"\\begin\{tabular\}\{([lr]+)\}\n(.*)\\end\{tabular\}\n"
    )
    match = re.fullmatch(pattern, body, re.DOTALL)
    assert match, body
    caption, label, align, content = match.groups()
    table = TexTable(shown(caption), label, align)
    for line in content.splitlines():
        if line.removeprefix("\\") in RULES:
            table.rules.append(line.removeprefix("\\"))
            continue
        assert line.endswith(r" \\"), f"a row does not end: {line!r}"
        assert not line.lstrip().startswith(("[", "*")), f"taken for an argument of the line break before: {line!r}"
        cells = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
        assert len(cells) == len(align), f"{len(cells)} cells in {len(align)} columns: {line!r}"
        table.rows.append([shown(cell.strip()) for cell in cells])
    return table


def shown(text: str) -> str:
    """Text as it would be read; mathematics without its dollar signs."""
    depth, mathematics, read = 0, False, ""
    assert "\n" not in text
    for match in TOKEN.finditer(text):
        word, eaten, symbol, character = match.groups()
        if word or symbol:
            command = word or symbol
            assert command in (MATHEMATICS if mathematics else SHOWN), f"\\{command} in {text!r}"
            assert symbol or mathematics or text[match.end() :].startswith("{}"), f"\\{command} eats what follows"
            read += f"{MATHEMATICS[command]}{eaten}" if mathematics else SHOWN[command]
        elif character == "$":
            mathematics = not mathematics
        elif character in "{}":
            depth += 1 if character == "{" else -1
            assert depth >= 0, f"unbalanced: {text!r}"
        else:
            check_character(character, text[match.start() :], mathematics=mathematics)
            read += character
    assert depth == 0, f"unbalanced: {text!r}"
    assert not mathematics, f"unbalanced: {text!r}"
    return read


def check_character(character: str, rest: str, *, mathematics: bool) -> None:
    assert character not in "&%#_^~", f"not escaped: {rest!r}"
    assert character.isascii() or "À" <= character <= "ÿ", f"no glyph for {character!r}"
    if not mathematics:
        assert character not in '<>|"`', f"{character} is another glyph"
        assert not rest.startswith("--"), "two hyphens make a dash"
