"""Writing a study's comparison to a directory, in the forms in which people and programs take it on."""

from pathlib import Path

from benchmarks.cli.output import json_text
from benchmarks.errors import StudyError
from benchmarks.export.citation import citation
from benchmarks.export.flat import differences_csv, published_csv, rows_csv
from benchmarks.export.latex import tex_tables
from benchmarks.export.markdown import markdown_tables
from benchmarks.export.protocol_text import protocol_statement
from benchmarks.study.summary import Comparison
from pipelines.runtime.storage import Location

__all__ = ["write_exports"]


def write_exports(comparison: Comparison, out: Path) -> list[Path]:
    """Write a comparison as Markdown, LaTeX, CSV and JSON, with a statement of its protocol and a citation.

    Each file is there whole or not at all, and the same comparison makes the same bytes.

    Args:
        comparison: of a study.
        out: the directory, made where it is missing; files of the same names in it are replaced.

    Returns:
        The files.

    Raises:
        StudyError: `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise StudyError(f"{out}: a file lies there; name a directory to export to")
    contents = {
        "table.md": markdown_tables(comparison),
        "table.tex": tex_tables(comparison),
        "rows.csv": rows_csv(comparison.rows),
        "differences.csv": differences_csv(comparison.differences),
        "published.csv": published_csv(comparison.published),
        "comparison.json": json_text(comparison.to_json()),
        "protocol.md": protocol_statement(comparison),
        "CITATION.cff": citation(comparison.study, comparison.about),
    }
    for name, content in contents.items():
        Location(str(out.absolute() / name)).write_bytes(content.encode())
    return [out / name for name in contents]
