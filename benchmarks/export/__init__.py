"""Exports of a study's comparison: Markdown, LaTeX, CSV, JSON, a statement of its protocol, a citation.

May import `benchmarks.schema`, and the constants of `benchmarks.statistics`.
"""

from benchmarks.export.export_study import write_exports

__all__ = ["write_exports"]
