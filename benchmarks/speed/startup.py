"""What it costs to start: the same small trials in one process, in slots and under Ray Train, each command timed.

    python -m benchmarks.speed.startup --json startup.json

The trials are of one epoch of the tiny model on built-in handwriting, so that next to nothing but starting is left. The
ways take turns, A B C A B C, as the machine's mood changes over minutes. Needs Ray and MLflow.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed.machine import describe_machine
from benchmarks.speed.result_files import positive_int, write_json

__all__ = ["main"]

_TRIALS = 4
_BENCH = (sys.executable, "-m", "benchmarks.cli")
_SUITE = """
study = "startup"
runs = "runs"
models = ["rnn-gauss"]
seeds = {seeds}
samples = 0
[[corpora]]
name = "handwriting"
shards = "{shards}"
size = "tiny"
optimisation = {{ max_epochs = 1 }}
"""
_RUN = ("run", "suite.toml")
_WAYS: dict[str, tuple[str, ...]] = {
    "1 trial, here": ("train",),
    "1 trial, 1 worker": ("train", "--workers", "1"),
    "1 trial, 2 workers": ("train", "--workers", "2"),
    f"{_TRIALS} trials, here": _RUN,
    f"{_TRIALS} trials, 1 slot": (*_RUN, "--address", "local"),
    f"{_TRIALS} trials, 2 slots": (*_RUN, "--concurrent", "2"),
    f"{_TRIALS} trials, 1 worker each": (*_RUN, "--workers", "1"),
}


def measure(shards: Path, repeats: int) -> dict[str, list[float]]:
    """Wall seconds of every way, `repeats` times."""
    seconds: dict[str, list[float]] = {name: [] for name in _WAYS}
    for _ in range(repeats):
        for name, words in _WAYS.items():
            with tempfile.TemporaryDirectory() as directory:
                seconds[name].append(_timed(words, shards, Path(directory)))
            sys.stderr.write(f"{name}: {seconds[name][-1]:.1f} s\n")
    return seconds


def _timed(words: tuple[str, ...], shards: Path, directory: Path) -> float:
    (directory / "suite.toml").write_text(_SUITE.format(seeds=list(range(_TRIALS)), shards=shards))
    train = ("--shards", str(shards), "--model", "rnn-gauss", "--size", "tiny", "--out", "out", "--max-epochs", "1")
    command = [*_BENCH, *words, *(train if words[0] == "train" else ())]
    start = time.perf_counter()
    _quietly(command, directory)
    return time.perf_counter() - start


def _quietly(command: Sequence[str], directory: Path) -> None:
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{directory / 'mlflow.db'}"}
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)  # noqa: S603


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.startup", description="See the module.")
    parser.add_argument("--repeats", type=positive_int, default=3, help="of every way")
    parser.add_argument("--json", type=Path, help="write the object here instead of on stdout")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        raw, shards = Path(directory) / "raw", Path(directory) / "shards"
        _quietly([*_BENCH, "synthesise", "handwriting", "--out", str(raw)], Path(directory))
        _quietly([*_BENCH, "prepare", "iam_ondb", "--raw", str(raw), "--out", str(shards)], Path(directory))
        seconds = measure(shards, options.repeats)
    cases = [
        {"name": name, "median_seconds": statistics.median(each), "seconds": each} for name, each in seconds.items()
    ]
    write_json({"machine": describe_machine(("torch", "ray", "mlflow")), "cases": cases}, options.json)


if __name__ == "__main__":
    main()
