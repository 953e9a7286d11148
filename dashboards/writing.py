"""A page on disk, whole or not at all."""

import os
from pathlib import Path

from dashboards.errors import ReportError

__all__ = ["write_page"]


def write_page(html: str, out: Path) -> None:
    """Write a page to `out`; folders on the way are made.

    Raises:
        ReportError: it cannot be written there; `out` is then left as it was.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial") if out.name else out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(html, encoding="utf-8")
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(f"{out}: cannot be written ({error.strerror}); name a file in a folder of yours") from error
