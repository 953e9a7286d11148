"""Do two versions of the code give the same results?  `python -m tests.compare_results BEFORE AFTER`

BEFORE and AFTER are results directories (RUNS/STUDY) of the same suite, each run by one version. Weights, optimiser
states, epochs, scores and comparison tables must have the same bits. Times, speeds and wording are left out. The files
are read as they are, without the classes of the code, so that a change of those cannot hide a change of results.
"""

import json
import sys
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
import torch

SENTENCES = {"caution", "sentence"}
TIMES = {"seconds", "waited", "frames_per_second", "data_wait_share", "fraction_of_peak", "peak_memory_gib"}
COMPARED = ("rows", "differences", "published", "diverged")


def trials(study: Path) -> dict[str, Path]:
    """The trials' directories by name, without the key: a renamed setting changes the key."""
    return {place.parent.name.rpartition("-")[0]: place.parent for place in study.glob("*/outcome.json")}


def differences(before: Any, after: Any, where: str) -> list[str]:
    """Where two nested values differ."""
    if isinstance(before, torch.Tensor):
        return [] if torch.equal(before, after) else [where]
    if isinstance(before, dict):
        shared = before.keys() & after.keys() - TIMES - SENTENCES
        keys = sorted(shared, key=str)
        return [line for key in keys for line in differences(before[key], after[key], f"{where}/{key}")]
    if isinstance(before, list | tuple):
        if len(before) != len(after):
            return [f"{where}: {len(before)} and {len(after)} entries"]
        pairs = enumerate(zip(before, after, strict=True))
        return [line for place, (one, other) in pairs for line in differences(one, other, f"{where}/{place}")]
    same = before == after or (
        isinstance(before, float) and isinstance(after, float) and isnan(before) and isnan(after)
    )
    return [] if same else [f"{where}: {before!r} and {after!r}"]


def checkpoint_differences(before: Path, after: Path, where: str) -> list[str]:
    parts = [torch.load(place, weights_only=True) for place in (before, after)]
    compared = [{name: part[name] for name in ("weights", "optimiser", "mean", "std")} for part in parts]
    histories = [part["state"]["history"] for part in parts]
    return differences(*compared, where) + differences(*histories, f"{where}/history")


def main(before: Path, after: Path) -> int:
    """Print what differs; the number of differences, at most 1."""
    found: list[str] = []
    ours, theirs = trials(before), trials(after)
    if ours.keys() != theirs.keys():
        found.append(f"trials: {sorted(ours.keys() ^ theirs.keys())}")
    for name in sorted(ours.keys() & theirs.keys()):
        for file in ("best.pt", "last.pt"):
            if (ours[name] / file).is_file():
                found += checkpoint_differences(ours[name] / file, theirs[name] / file, f"{name}/{file}")
        tables = [pd.read_parquet(place / "artifacts" / "scores.parquet") for place in (ours[name], theirs[name])]
        if not tables[0].equals(tables[1]):
            found.append(f"{name}/scores.parquet")
        outcomes = [json.loads((place / "outcome.json").read_text()) for place in (ours[name], theirs[name])]
        metrics = [{k: v for k, v in o["metrics"].items() if k.split("/")[-1] not in TIMES} for o in outcomes]
        found += differences(*metrics, f"{name}/metrics")
    comparisons = [place / "comparison.json" for place in (before, after)]
    if all(place.is_file() for place in comparisons):
        contents = [json.loads(place.read_text()) for place in comparisons]
        for part in COMPARED:
            found += differences(contents[0][part], contents[1][part], part)
        sys.stdout.write(f"comparison: {', '.join(f'{len(contents[0][part])} {part}' for part in COMPARED)}\n")
    sys.stdout.write(f"{len(ours.keys() & theirs.keys())} trials compared, {len(found)} differences\n")
    for line in found[:50]:
        sys.stdout.write(f"  {line}\n")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
