"""Summaries of a set of shards: a short one to print (`summarise`) and a longer one for reports (`describe`).

Both are computed from the manifest, the index and the list of rejects; no signal is read.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipelines.shards.read import ShardSet

__all__ = ["describe", "length_histogram", "length_quantiles", "rejects_by_code", "speakers_by_length", "summarise"]

_QUANTILES = {"min": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
_MIN_BINS, _MAX_BINS = 8, 40
_MAX_SPEAKERS = 20
_MAX_LETTERS = 160
"""Bound on a speaker's name and on a reject's path and message: a corpus may name its files as it likes."""


def summarise(shards: ShardSet) -> dict[str, object]:
    """A summary of a set of shards as JSON values.

    `samples` counts audio samples or pen points. `mean` and `std` describe the training split: the samples of speech,
    or the offsets `[dx, dy]` between pen points; they are null if there is no training split. `speakers` counts
    distinct speakers, `without_speaker` the sequences without a named speaker or writer.
    """
    manifest = shards.manifest
    rate = manifest.sample_rate
    moments = manifest.train_moments
    speakers = shards.index["speaker"].groupby(shards.index["split"])
    return {
        "corpus": manifest.corpus,
        "kind": manifest.kind,
        "fingerprint": manifest.fingerprint,
        "schema_version": manifest.schema_version,
        "sample_rate": rate,
        "split_rule": manifest.split_rule,
        "sequences": {name: split.sequences for name, split in manifest.splits.items()},
        "samples": {name: split.length for name, split in manifest.splits.items()},
        "seconds": {name: split.length / rate if rate else None for name, split in manifest.splits.items()},
        "lengths": length_quantiles(shards),
        "speakers": _by_split(shards, speakers.nunique()),
        "without_speaker": _by_split(shards, speakers.size() - speakers.count()),
        "shards": {name: len(split.shards) for name, split in manifest.splits.items()},
        "rejects": manifest.rejects,
        "mean": _channels(moments.mean),
        "std": _channels(moments.std),
    }


def _by_split(shards: ShardSet, counts: pd.Series) -> dict[str, int]:
    return {name: int(counts.get(name, 0)) for name in shards.manifest.splits}


def _channels(values: tuple[float, ...]) -> float | list[float] | None:
    if any(math.isnan(value) for value in values):
        return None
    return values[0] if len(values) == 1 else list(values)


def describe(shards: ShardSet) -> dict[str, object]:
    """The summary with everything else that a report states: a JSON object of bounded size, with finite numbers only.

    It adds to the keys of `summarise`: `histogram` of the lengths; `by_speaker`, the first 20 rows of
    `speakers_by_length`, and `speaker_rows`, the number of all rows; `by_sequence`, sequences and samples of each split
    by sequence; `reject_examples` and `reject_paths` by code; `bytes` of the shards by split; and the manifest's
    `licence`, `url`, `options` and `software`.
    """
    manifest, speakers, rejects = shards.manifest, speakers_by_length(shards), rejects_by_code(shards)
    by_sequence = shards.index.groupby("split_by_sequence")["length"]
    return summarise(shards) | {
        "bytes": {name: sum(shard.bytes for shard in split.shards) for name, split in manifest.splits.items()},
        "histogram": length_histogram(shards),
        "by_sequence": {
            str(name): {"sequences": len(lengths), "samples": int(lengths.sum())} for name, lengths in by_sequence
        },
        "by_speaker": [_speaker(row) for row in speakers.head(_MAX_SPEAKERS).to_dict("records")],
        "speaker_rows": len(speakers),
        "reject_examples": dict(zip(rejects["code"], map(_shortened, rejects["message"]), strict=True)),
        "reject_paths": dict(zip(rejects["code"], map(_shortened, rejects["path"]), strict=True)),
        "licence": manifest.licence,
        "url": manifest.url,
        "options": dict(manifest.options),
        "software": manifest.software,
    }


def _speaker(row: Mapping[Hashable, Any]) -> dict[str, object]:
    plain: dict[str, object] = {str(key): None if pd.isna(value) else value for key, value in row.items()}
    name = plain["speaker"]
    return plain | {"speaker": None if name is None else _shortened(str(name))}


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_LETTERS else f"{text[: _MAX_LETTERS - 1]}…"


def length_histogram(shards: ShardSet) -> dict[str, object]:
    """A histogram of the lengths for each split, in 8 to 40 bins that all splits share; fewer for a small range.

    Returns:
        `edges`, equidistant whole numbers of samples or points: bin i holds the lengths from `edges[i]` up to, but not
        including, `edges[i + 1]`; and `counts` by split, which add up to the split's sequences.
    """
    lengths = shards.index["length"]
    names = list(shards.manifest.splits)
    if lengths.empty:
        return {"edges": [], "counts": {name: [] for name in names}}
    low, high = int(lengths.min()), int(lengths.max())
    wanted = min(_MAX_BINS, max(_MIN_BINS, 2 * math.isqrt(len(lengths))))
    width = math.ceil((high - low + 1) / wanted)
    bins = (high - low) // width + 1
    placed = (lengths - low) // width
    of_split = {name: placed[shards.index["split"] == name].to_numpy() for name in names}
    return {
        "edges": [low + width * i for i in range(bins + 1)],
        "counts": {name: np.bincount(values, minlength=bins).tolist() for name, values in of_split.items()},
    }


def length_quantiles(shards: ShardSet) -> dict[str, Mapping[str, int]]:
    """Quantiles of the sequences' lengths by split, in samples or points."""
    result: dict[str, Mapping[str, int]] = {}
    for name, split in shards.index.groupby("split")["length"]:
        values = np.quantile(split.to_numpy(), list(_QUANTILES.values()), method="nearest")
        result[str(name)] = {label: int(value) for label, value in zip(_QUANTILES, values, strict=True)}
    return result


def speakers_by_length(shards: ShardSet) -> pd.DataFrame:
    """One row for each speaker and split, the longest in total first; sequences without a speaker form one row.

    Columns: `speaker`, `split`, `sequences`; `length`, `shortest`, `median`, `longest` in samples or points; `seconds`,
    which is NaN for pen.
    """
    lengths = shards.index.groupby(["speaker", "split"], dropna=False)["length"]
    table = lengths.agg(sequences="count", length="sum", shortest="min", median="median", longest="max").reset_index()
    table["seconds"] = table["length"] / (shards.manifest.sample_rate or math.nan)
    return table.sort_values(["length", "speaker", "split"], ascending=[False, True, True], ignore_index=True)


def rejects_by_code(shards: ShardSet) -> pd.DataFrame:
    """One row for each code: `code`, `count`, and the `path` and `message` of the first reject as an example."""
    rejects = shards.rejects().sort_values(["code", "path"]).groupby("code", as_index=False)
    return rejects.agg(count=("path", "size"), path=("path", "first"), message=("message", "first"))
