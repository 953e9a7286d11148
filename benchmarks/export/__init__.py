"""A study's comparison for papers and programs: Markdown, LaTeX, CSV, JSON, its protocol in words, a citation."""

from benchmarks.export.export_study import write_exports

__all__ = ["write_exports"]
