"""What a set of shards holds, in a form to print (`summarise`) and to keep beside a study's results (`describe`).

Both come from the manifest, the index and the list of rejects alone: no signal is read.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipelines.shards.read import ShardSet

__all__ = ["describe", "length_histogram", "length_quantiles", "rejects_by_code", "speakers_by_length", "summarise"]

_QUANTILES = {"min": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
_LEAST_BINS, _MOST_BINS = 8, 40
_MOST_SPEAKERS = 20
_MOST_LETTERS = 160
"""Of a speaker's name, or a reject's path or message: a document is bounded whatever a corpus names its files."""


def summarise(shards: ShardSet) -> dict[str, object]:
    """The facts of a set of shards as JSON values.

    `samples` counts audio samples or pen points; `mean` and `std` are of the training split: of the samples for
    speech, `[dx, dy]` of the offsets between points for pen; null where there is no training split. `speakers` counts
    the distinct ones, `without_speaker` the sequences whose speaker or writer the raw form does not name.
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
    """The summary and what else a report says of a corpus: one JSON object of bounded size, every number finite.

    Beside the keys of `summarise`: `histogram` of lengths; `by_speaker`, the 20 rows of `speakers_by_length` with most,
    of `speaker_rows`; `by_sequence`, the sequences and samples of each split by sequence; `reject_examples` and
    `reject_paths` by code; `bytes` of the shards by split; `licence`, `url`, `options`, `software` of the manifest.
    """
    manifest, speakers, rejects = shards.manifest, speakers_by_length(shards), rejects_by_code(shards)
    return summarise(shards) | {
        "bytes": {name: sum(shard.bytes for shard in split.shards) for name, split in manifest.splits.items()},
        "histogram": length_histogram(shards),
        "by_sequence": _split_by_sequence(shards),
        "by_speaker": [_speaker(row) for row in speakers.head(_MOST_SPEAKERS).to_dict("records")],
        "speaker_rows": len(speakers),
        "reject_examples": dict(zip(rejects["code"], map(_shortened, rejects["message"]), strict=True)),
        "reject_paths": dict(zip(rejects["code"], map(_shortened, rejects["path"]), strict=True)),
        "licence": manifest.licence,
        "url": manifest.url,
        "options": dict(manifest.options),
        "software": manifest.software,
    }


def _split_by_sequence(shards: ShardSet) -> dict[str, dict[str, int]]:
    lengths = shards.index.groupby("split_by_sequence")["length"]
    return {str(name): {"sequences": len(values), "samples": int(values.sum())} for name, values in lengths}


def _speaker(row: Mapping[Hashable, Any]) -> dict[str, object]:
    plain: dict[str, object] = {str(key): None if pd.isna(value) else value for key, value in row.items()}
    name = plain["speaker"]
    return plain | {"speaker": None if name is None else _shortened(str(name))}


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"


def length_histogram(shards: ShardSet) -> dict[str, object]:
    """How many sequences of each split have which length, in bins that all splits share: 8 to 40, fewer for few.

    Returns:
        `edges`, whole numbers of samples or points, equally far apart: bin i holds the lengths from `edges[i]` up to
        but not including `edges[i + 1]`; and `counts` by split, which add up to its sequences.
    """
    lengths = shards.index["length"]
    names = list(shards.manifest.splits)
    if lengths.empty:
        return {"edges": [], "counts": {name: [] for name in names}}
    low, high = int(lengths.min()), int(lengths.max())
    wanted = min(_MOST_BINS, max(_LEAST_BINS, 2 * math.isqrt(len(lengths))))
    width = math.ceil((high - low + 1) / wanted)
    bins = (high - low) // width + 1
    placed = (lengths - low) // width
    of_split = {name: placed[shards.index["split"] == name].to_numpy() for name in names}
    return {
        "edges": [low + width * i for i in range(bins + 1)],
        "counts": {name: np.bincount(values, minlength=bins).tolist() for name, values in of_split.items()},
    }


def length_quantiles(shards: ShardSet) -> dict[str, Mapping[str, int]]:
    """Quantiles of the sequences' lengths, in samples or points, by split."""
    result: dict[str, Mapping[str, int]] = {}
    for name, split in shards.index.groupby("split")["length"]:
        values = np.quantile(split.to_numpy(), list(_QUANTILES.values()), method="nearest")
        result[str(name)] = {label: int(value) for label, value in zip(_QUANTILES, values, strict=True)}
    return result


def speakers_by_length(shards: ShardSet) -> pd.DataFrame:
    """One row a speaker and split, the one with most first; sequences without a speaker are one row without a name.

    Columns: `speaker`, `split`, `sequences`; `length`, `shortest`, `median`, `longest` in samples or points; `seconds`,
    NaN for pen.
    """
    lengths = shards.index.groupby(["speaker", "split"], dropna=False)["length"]
    table = lengths.agg(sequences="count", length="sum", shortest="min", median="median", longest="max").reset_index()
    table["seconds"] = table["length"] / (shards.manifest.sample_rate or math.nan)
    return table.sort_values(["length", "speaker", "split"], ascending=[False, True, True], ignore_index=True)


def rejects_by_code(shards: ShardSet) -> pd.DataFrame:
    """One row a code: `code`, `count`, and the first reject's `path` and `message` as an example."""
    rejects = shards.rejects().sort_values(["code", "path"]).groupby("code", as_index=False)
    return rejects.agg(count=("path", "size"), path=("path", "first"), message=("message", "first"))
