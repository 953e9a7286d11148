"""Writing the comparison of a study to a directory, for people, papers and programs."""

from pathlib import Path

from benchmarks.errors import StudyError
from benchmarks.export.citation import citation
from benchmarks.export.csv_tables import differences_csv, published_csv, rows_csv
from benchmarks.export.latex import tex_tables
from benchmarks.export.markdown import markdown_tables
from benchmarks.export.protocol_text import protocol_statement
from benchmarks.schema.base import json_text, to_json
from benchmarks.schema.comparison import Comparison
from pipelines.runtime.storage import Location

__all__ = ["write_exports"]


def write_exports(comparison: Comparison, out: Path) -> list[Path]:
    """Write a comparison as Markdown, LaTeX, CSV and JSON, with a statement of its protocol and a citation.

    Each file is written as a whole, and the same comparison gives the same bytes.

    Args:
        comparison: of a study, with its description.
        out: the directory; it is created if it is missing, and files of the same names in it are replaced.

    Returns:
        The files.

    Raises:
        StudyError: `out` is a file.
    """
    study = comparison.description
    assert study is not None, "compare_study adds the description"
    if out.exists() and not out.is_dir():
        raise StudyError(f"{out}: is a file; give a directory to export to")
    contents = {
        "table.md": markdown_tables(comparison),
        "table.tex": tex_tables(comparison),
        "rows.csv": rows_csv(comparison.rows),
        "differences.csv": differences_csv(comparison.differences),
        "published.csv": published_csv(comparison.published),
        "comparison.json": json_text(to_json(comparison)),
        "protocol.md": protocol_statement(comparison, study),
        "CITATION.cff": citation(study),
    }
    for name, content in contents.items():
        Location(str(out.absolute() / name)).write_bytes(content.encode())
    return [out / name for name in contents]
