"""Two plots of a set of shards: the lengths of its sequences, and their loudness (speech) or speed (pen).

Lengths come from the index, so they cover all sequences. Loudness and speed need the signals, so they cover a seeded
sample. Loudness is the integrated loudness of ITU-R BS.1770-4 in LUFS, gated in blocks of 0.4 s.
"""

# The stubs of torch and altair are partial, and torchaudio has none.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.errors import InputError
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink, Pcm

if TYPE_CHECKING:
    import altair as alt

__all__ = ["GATE_SECONDS", "SAMPLE_SIZE", "loudness", "pen_speed", "write_plots"]

SAMPLE_SIZE = 500
GATE_SECONDS = 0.4
_FULL_SCALE = 2.0**15
_BINS = 50
_COLOURS = {"train": "#0072B2", "valid": "#E69F00", "valid2": "#CC79A7", "test": "#009E73"}
"""Okabe and Ito's palette ("Color Universal Design", 2008)."""
_NO_VALUES: dict[str, object] = {"split": "train", "start": 0.0, "share": 0.0}
"""The only point of a chart without values: a chart needs one point to have a size."""


def loudness(pcm: Pcm, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4); NaN if the signal is shorter than 0.4 s or completely silent.

    Args:
        pcm: samples of one channel, `[N]`.
        sample_rate: rate in Hz.
    """
    import torch  # noqa: PLC0415 - takes seconds to load, and only loudness needs it
    from torchaudio.functional import loudness as integrated  # noqa: PLC0415 - loads torch

    if len(pcm) < round(GATE_SECONDS * sample_rate):
        return math.nan
    value = float(integrated(torch.from_numpy(pcm.astype(np.float32) / _FULL_SCALE)[None], sample_rate))
    return value if math.isfinite(value) else math.nan


def pen_speed(ink: Ink) -> float:
    """The mean distance between successive points, in the device's units; NaN for a single point."""
    offsets = np.hypot(np.diff(ink.x.astype(np.float64)), np.diff(ink.y.astype(np.float64)))
    return float(offsets.mean()) if len(offsets) else math.nan


def write_plots(shards: ShardSet, directory: Path, *, seed: int = 0) -> list[Path]:
    """Write `lengths` and `loudness` into `directory`, each as SVG and PNG.

    Args:
        shards: the shards.
        directory: where the files go; it is created if it is missing.
        seed: seed of the sample for loudness or speed.

    Returns:
        The files.

    Raises:
        InputError: the shards hold no sequence.
    """
    if shards.index.empty:
        raise InputError(f"{shards.location}: holds no sequence, so there is nothing to draw; leave out --plots")
    directory.mkdir(parents=True, exist_ok=True)
    charts = {"lengths": _lengths(shards), "loudness": _loudness(shards, seed)}
    paths = [directory / f"{name}.{suffix}" for name in charts for suffix in ("svg", "png")]
    for path in paths:
        charts[path.stem].save(str(path), scale_factor=1 if path.suffix == ".svg" else 2)
    return paths


def _lengths(shards: ShardSet) -> "alt.Chart":
    rate = shards.manifest.sample_rate
    values = shards.index["length"] / (rate or 1)
    unit = "seconds" if rate else "points"
    title = f"{shards.manifest.corpus}: length of {len(values):,} sequences"
    return _histogram(values, shards.index["split"], title, f"length in {unit}")


def _loudness(shards: ShardSet, seed: int) -> "alt.Chart":
    sample = shards.index.sample(min(SAMPLE_SIZE, len(shards.index)), random_state=seed).sort_values(
        ["shard", "row_group", "row"]
    )
    rate = shards.manifest.sample_rate or 0
    signals = (shards.signal(row) for row in sample.index)
    measured = [pen_speed(one) if isinstance(one, Ink) else loudness(one, rate) for one in signals]
    values = pd.Series(measured, index=sample.index, dtype=float)
    speech = shards.manifest.kind == "speech"
    axis = "integrated loudness in LUFS (ITU-R BS.1770)" if speech else "mean offset between points, in device units"
    what, why = ("loudness", f"under {GATE_SECONDS} s or silent") if speech else ("pen speed", "of a single point")
    title = [
        f"{shards.manifest.corpus}: {what} of {len(values):,} of {len(shards.index):,} sequences, "
        f"drawn with seed {seed}",
        f"{int(values.isna().sum())} of them left out ({why})",
    ]
    return _histogram(values.dropna(), sample["split"], title, axis)


def _histogram(values: pd.Series, splits: pd.Series, title: str | list[str], axis: str) -> "alt.Chart":
    """One line for each split, over common bins; it shows shares, because the splits differ in size."""
    import altair as alt  # noqa: PLC0415 - takes a second to load, and only plots need it

    bars = _binned(values, splits.loc[values.index]) or [dict(_NO_VALUES)]
    present = [split for split in _COLOURS if any(bar["split"] == split for bar in bars)]
    colour = alt.Color(
        "split:N",
        scale=alt.Scale(domain=present, range=[_COLOURS[split] for split in present]),
        legend=alt.Legend(title=None, orient="top"),
    )
    chart = alt.Chart(alt.Data(values=bars), title=alt.Title(title, anchor="start", fontSize=12, limit=620))
    outline = chart.mark_line(interpolate="step-after", strokeWidth=2).encode(
        x=alt.X("start:Q", title=axis, scale=alt.Scale(zero=False)),
        y=alt.Y("share:Q", title="share of the split", axis=alt.Axis(format="%")),
        color=colour,
    )
    return outline.properties(width=620, height=260).configure_view(stroke=None)


def _binned(values: pd.Series, splits: pd.Series) -> list[dict[str, object]]:
    if values.empty:
        return []
    edges: list[float] = np.histogram_bin_edges(
        values.to_numpy(), bins=min(_BINS, max(5, math.isqrt(len(values))))
    ).tolist()
    bars: list[dict[str, object]] = []
    for split, part in values.groupby(splits):
        counts, _ = np.histogram(part.to_numpy(), bins=edges)
        shares = (counts / counts.sum()).tolist()
        # The outline of the histogram goes down to zero at both ends.
        points: list[tuple[float, float]] = [(edges[0], 0.0), *zip(edges, shares, strict=False), (edges[-1], 0.0)]
        bars.extend({"split": str(split), "start": start, "share": share} for start, share in points)
    return bars
