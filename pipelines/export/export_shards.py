"""`export`: shards in forms that other tools read, with every sample bit for bit.

A format is a module and a line in the registry. An export is a directory with a record, `export.json`, and one
directory for each split, which is replaced as a whole when the split is exported again. Nothing in it depends on the
time or the machine.
"""

from collections.abc import Mapping

from pipelines.errors import InputError
from pipelines.export.export_record import ExportedSplit, ExportRecord
from pipelines.export.hf_audio import HfAudio
from pipelines.export.lhotse import Lhotse
from pipelines.export.source import Format, Progress, SplitSource
from pipelines.export.webdataset import WebDataset
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet

__all__ = ["FORMATS", "export"]

FORMATS: Mapping[str, Format] = {format_.name: format_ for format_ in (Lhotse(), HfAudio(), WebDataset())}


def export(
    shards: ShardSet,
    format_name: str,
    out: Location,
    split: str | None = None,
    *,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, ExportedSplit]:
    """Write `shards` to `out` in another format, with one row group in memory at a time.

    Args:
        shards: the shards; every checksum is verified first.
        format_name: a key of `FORMATS`.
        out: an empty or new directory, or an earlier export of the same shards in the same format.
        split: the only split to export; None exports all.
        on_progress: called with (sequences done, all sequences).

    Returns:
        What was written, by split.

    Raises:
        InputError: the format or the split is unknown, the format does not support this kind of signal, a shard is
            altered, or `out` holds something else.
    """
    format_ = _find_format(format_name, shards)
    splits = list(shards.manifest.splits) if split is None else [split]
    if split is not None and split not in shards.manifest.splits:
        known = ", ".join(shards.manifest.splits)
        raise InputError(f"{shards.location}: has no split {split!r}; choose one of {known}")
    record = ExportRecord.open(out, format_.name, shards.manifest.fingerprint)
    shards.verify()
    total = sum(shards.manifest.splits[name].sequences for name in splits)
    done: dict[str, ExportedSplit] = {}
    for name in splits:
        record.begin(name)
        before = sum(result.sequences for result in done.values())
        source = SplitSource(shards, name, lambda count, before=before: on_progress(before + count, total))
        format_.write(source, out)
        done[name] = record.finish(name, source.done)
    format_.finish(shards, out, sorted(record.splits))
    return done


def _find_format(name: str, shards: ShardSet) -> Format:
    if name not in FORMATS:
        raise InputError(f"no format called {name!r}; choose one of {', '.join(FORMATS)}")
    if shards.manifest.kind not in FORMATS[name].kinds:
        fitting = ", ".join(other.name for other in FORMATS.values() if shards.manifest.kind in other.kinds)
        raise InputError(
            f"{shards.location}: holds {shards.manifest.kind} and {name} holds sound; use --format {fitting}"
        )
    return FORMATS[name]
