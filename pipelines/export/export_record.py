"""`export.json`: what an export's directory holds, so that a second run recognises it.

A split is listed once it is complete. The record is written before anything else, so the remains of an interrupted run
are recognised as an unfinished export and replaced.
"""

import json
from dataclasses import asdict, dataclass

from pipelines.errors import InputError
from pipelines.runtime.storage import TEMPORARY_MARK, Location

__all__ = ["RECORD_NAME", "ExportRecord", "ExportedSplit"]

RECORD_NAME = "export.json"


@dataclass(frozen=True)
class ExportedSplit:
    """What was written of one split."""

    sequences: int
    files: int
    bytes: int


@dataclass
class ExportRecord:
    """The record of an export.

    Attributes:
        out: the export's directory.
        format: name of the format.
        fingerprint: fingerprint of the exported shards.
        splits: the complete splits.
    """

    out: Location
    format: str
    fingerprint: str
    splits: dict[str, ExportedSplit]

    @classmethod
    def open(cls, out: Location, format_: str, fingerprint: str) -> "ExportRecord":
        """The record of the export at `out`, or a new one if `out` is empty.

        Raises:
            InputError: `out` holds something else, or an export of other shards or in another format.
        """
        record = cls(out, format_, fingerprint, {})
        if (out / RECORD_NAME).is_file():
            record.splits = _splits(out, format_, fingerprint)
        elif out.is_file() or out.files():
            raise InputError(f"{out}: holds files that are not an export; choose an empty or new directory for --out")
        return record

    def begin(self, split: str) -> None:
        """Remove the files of `split` that an earlier run wrote, complete or not."""
        self.splits.pop(split, None)
        self._save()
        for file in self.out.files():
            if file.path.startswith(f"{split}/") or TEMPORARY_MARK in file.path:
                (self.out / file.path).delete()

    def finish(self, split: str, sequences: int) -> ExportedSplit:
        """Record that `split` is complete."""
        files = (self.out / split).files()
        self.splits[split] = ExportedSplit(sequences, len(files), sum(file.size for file in files))
        self._save()
        return self.splits[split]

    def _save(self) -> None:
        content = {
            "format": self.format,
            "fingerprint": self.fingerprint,
            "splits": {split: asdict(result) for split, result in sorted(self.splits.items())},
        }
        (self.out / RECORD_NAME).write_bytes((json.dumps(content, indent=2) + "\n").encode())


def _splits(out: Location, format_: str, fingerprint: str) -> dict[str, ExportedSplit]:
    place = out / RECORD_NAME
    try:
        content = json.loads(place.read_bytes())
        found = (content["format"], content["fingerprint"])
        splits = {split: ExportedSplit(**result) for split, result in content["splits"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{place}: not the record of an export; choose an empty or new directory for --out") from error
    if found != (format_, fingerprint):
        raise InputError(
            f"{out}: holds a {found[0]} export of shards {str(found[1])[:12]}, not {format_} of {fingerprint[:12]}; "
            "choose another --out"
        )
    return splits
