"""What a set of shards holds, in a form to print: the result of `inspect`."""

import math
from collections.abc import Mapping

import numpy as np

from pipelines.shard_set import ShardSet

__all__ = ["length_quantiles", "summarise"]

_QUANTILES = {"min": 0.0, "p05": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}


def summarise(shards: ShardSet) -> dict[str, object]:
    """The facts of a set of shards as JSON values.

    `samples` counts audio samples or pen points; `mean` and `std` are of the training split: of the samples for
    speech, `[dx, dy]` of the offsets between points for pen; null where there is no training split.
    """
    manifest = shards.manifest
    rate = manifest.sample_rate
    moments = manifest.train_moments
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
        "shards": {name: len(split.shards) for name, split in manifest.splits.items()},
        "rejects": manifest.rejects,
        "mean": _channels(moments.mean),
        "std": _channels(moments.std),
    }


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
