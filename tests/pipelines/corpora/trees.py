"""Small trees of files in the layout of a corpus."""

from pathlib import Path

from pipelines.runtime.storage import Location


def touch(root: Path, *names: str, text: str = "x") -> Location:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Location(str(root))
