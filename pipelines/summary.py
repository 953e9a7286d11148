"""What a set of shards holds, in a form to print: the result of `inspect`."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipelines.shard_set import ShardSet

__all__ = ["length_quantiles", "rejects_by_code", "speakers_by_length", "summarise"]

_QUANTILES = {"min": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}


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
