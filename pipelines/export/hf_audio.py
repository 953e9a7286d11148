"""Hugging Face audio: Parquet with an `audio` column of FLAC files, which `datasets` reads as an `Audio` feature.

The column is a struct of a file's bytes and its name; the schema's metadata declares it as audio, with its rate, under
`huggingface`. Row groups are bounded in bytes, since a viewer reads a whole row group to show one row.
"""

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.export.source import SplitSource, encode_flac, file_key
from pipelines.runtime.storage import Location
from pipelines.shards.columns import INDEX_FIELDS, Row
from pipelines.shards.read import ShardSet
from pipelines.shards.write import groups_by_bytes
from pipelines.signals import Kind

__all__ = ["ROW_GROUP_BYTES", "HfAudio"]

ROW_GROUP_BYTES = 16 * 2**20
_AUDIO = pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_COLUMNS = [
    column for column in INDEX_FIELDS if column.type in (pa.string(), pa.int64()) and column.name != "moment_count"
]


class HfAudio:
    """`SPLIT/00000.parquet` and so on, one file for each shard, and a `README.md` that names the splits."""

    name = "hf-audio"
    kinds: tuple[Kind, ...] = ("speech",)

    def write(self, source: SplitSource, out: Location) -> None:
        """Write a Parquet file for each shard."""
        schema = _schema(source.sample_rate)
        for number, file in enumerate(source.files):
            with (
                (out / source.split / f"{number:05d}.parquet").atomic_writer() as stream,
                pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=False) as writer,
            ):
                for group in groups_by_bytes(_rows(source, file), _flac_size, ROW_GROUP_BYTES):
                    writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=len(group))

    def finish(self, shards: ShardSet, out: Location, splits: list[str]) -> None:
        """Write the README's front matter, by which `load_dataset(DIR)` finds the splits."""
        filled = [split for split in splits if shards.manifest.splits[split].sequences]
        files = [f"  - split: {split}\n    path: {split}/*.parquet" for split in filled]
        configs = ["configs:", "- config_name: default", "  data_files:", *files] if filled else ["tags: [audio]"]
        about = f"{shards.manifest.corpus}, exported by vrnn-bench from shards {shards.manifest.fingerprint}."
        (out / "README.md").write_bytes("\n".join(["---", *configs, "---", "", about, ""]).encode())


def _schema(sample_rate: int) -> pa.Schema:
    features: dict[str, object] = {column.name: {"dtype": str(column.type), "_type": "Value"} for column in _COLUMNS}
    features["audio"] = {"sampling_rate": sample_rate, "_type": "Audio"}
    metadata: dict[bytes | str, bytes | str] = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([*_COLUMNS, _AUDIO], metadata=metadata)


def _rows(source: SplitSource, file: str) -> Iterator[Row]:
    for sequence in source.sequences(file):
        sound = {"bytes": encode_flac(sequence.pcm, source.sample_rate), "path": f"{file_key(sequence.id)}.flac"}
        yield {column.name: sequence.row[column.name] for column in _COLUMNS} | {"audio": sound}


def _flac_size(row: Row) -> int:
    sound = row["audio"]
    assert isinstance(sound, dict)
    return len(sound["bytes"])
