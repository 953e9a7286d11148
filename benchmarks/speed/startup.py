"""The cost of starting: the same small trials in one process, in Ray workers and under Ray Train, each command timed.

    python -m benchmarks.speed.startup --json startup.json

The trials train the tiny model for one epoch on built-in handwriting, so that hardly anything but starting is left. The
commands take turns, A B C A B C, since the load of a machine changes over minutes. Needs Ray and MLflow.
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

from benchmarks.speed.reporting import describe_machine, positive_int, write_json

__all__ = ["main"]

_ABOUT = "Time whole commands on tiny trials, so that little but starting is left; see docs/cluster.md."
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
_STUDY = ("run", "suite.toml")
_COMMANDS: dict[str, tuple[str, ...]] = {
    "1 trial, one process": ("train",),
    "1 trial, 1 training worker": ("train", "--workers", "1"),
    "1 trial, 2 training workers": ("train", "--workers", "2"),
    f"{_TRIALS} trials, one process": _STUDY,
    f"{_TRIALS} trials, 1 Ray worker": (*_STUDY, "--address", "local"),
    f"{_TRIALS} trials, 2 Ray workers": (*_STUDY, "--concurrent", "2"),
    f"{_TRIALS} trials, 1 training worker each": (*_STUDY, "--workers", "1"),
}


def measure(shards: Path, repeats: int) -> dict[str, list[float]]:
    """Wall seconds of every command, `repeats` times."""
    seconds: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    train = ("--shards", str(shards), "--model", "rnn-gauss", "--size", "tiny", "--out", "out", "--max-epochs", "1")
    for _ in range(repeats):
        for name, command in _COMMANDS.items():
            with tempfile.TemporaryDirectory() as directory:
                (Path(directory) / "suite.toml").write_text(_SUITE.format(seeds=list(range(_TRIALS)), shards=shards))
                options = train if command[0] == "train" else ()
                start = time.perf_counter()
                _run([*_BENCH, *command, *options], Path(directory))
                seconds[name].append(time.perf_counter() - start)
            sys.stderr.write(f"{name}: {seconds[name][-1]:.1f} s\n")
    return seconds


def _run(command: Sequence[str], directory: Path) -> None:
    """Run a command silently, with an MLflow store of its own."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{directory / 'mlflow.db'}"}
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True)  # noqa: S603


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.startup", description=_ABOUT)
    parser.add_argument("--repeats", type=positive_int, default=3, help="runs of every command")
    parser.add_argument("--json", type=Path, help="write the result to this file instead of stdout")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        raw, shards = Path(directory) / "raw", Path(directory) / "shards"
        _run([*_BENCH, "synthesise", "handwriting", "--out", str(raw)], Path(directory))
        _run([*_BENCH, "prepare", "iam_ondb", "--raw", str(raw), "--out", str(shards)], Path(directory))
        seconds = measure(shards, options.repeats)
    cases = [
        {"name": name, "median_seconds": statistics.median(each), "seconds": each} for name, each in seconds.items()
    ]
    write_json({"machine": describe_machine(("torch", "ray", "mlflow")), "cases": cases}, options.json)


if __name__ == "__main__":
    main()
