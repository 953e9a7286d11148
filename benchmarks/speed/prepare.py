"""The speed of `prepare`, as ratios to plain loops and other libraries that are timed with it.

    python -m benchmarks.speed.prepare --json prepare.json

docs/speed.md explains the cases and how to read them.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks.cli.output import print_message
from benchmarks.speed.driver_cost import scale_case
from benchmarks.speed.floor import use_one_thread
from benchmarks.speed.prepare_cases import cluster_cases, ink_case, ink_files, one_process_case, ray_start_seconds
from benchmarks.speed.reporting import cores, describe_machine, write_json
from benchmarks.speed.sound_corpus import FORMS, Form
from pipelines.errors import InputError

__all__ = ["SpeedOptions", "main", "measure"]

PACKAGES = ("numpy", "pyarrow", "soundfile", "soxr", "torch", "torchaudio", "ray", "datasets", "lhotse")
_SECONDS_PER_WORKER: dict[Form, float] = {"mp3": 8_000.0, "wav": 8_000.0, "sphere": 24_000.0}
"""Seconds of audio that are more than ten seconds of work for a worker."""
_PART_FOR_ONE_PROCESS = 0.1

What = Literal["sound", "one-process", "ink", "scale"]


@dataclass(frozen=True)
class SpeedOptions:
    """Compare the speed of `prepare` with plain loops and other libraries.

    Attributes:
        json: File for the result; stdout by default.
        only: Cases to run: sound (on Ray, and with other libraries), one-process (sound without Ray), ink, scale.
        forms: Formats of sound.
        seconds_of_audio: Seconds of audio per format; by default at least ten seconds of work for each worker.
        pairs: Number of runs of each side of a comparison.
        workers: Workers of `prepare` and of the other libraries; one per core by default.
        scale_items: Numbers of simulated items, separated by commas.
        iam: Directory of IAM-OnDB line files, timed in addition to the built-in handwriting.
    """

    json: Path | None = None
    only: tuple[What, ...] = ("one-process", "sound", "ink", "scale")
    forms: tuple[Form, ...] = FORMS
    seconds_of_audio: float | None = None
    pairs: int = 3
    workers: int | None = None
    scale_items: str = "100,1000,10000,100000,1000000"
    iam: Path | None = None

    def checked(self) -> "SpeedOptions":
        """Check the options and return them.

        Raises:
            InputError: a number is too small, or is not a number.
        """
        if self.pairs < 1 or (self.workers is not None and self.workers < 1):
            raise InputError("--pairs and --workers: must be 1 or more")
        if self.seconds_of_audio is not None and self.seconds_of_audio < 1:
            raise InputError("--seconds-of-audio: must be 1 or more")
        if not all(part.isdecimal() and int(part) for part in self.scale_items.split(",")):
            raise InputError(f"--scale-items {self.scale_items}: write numbers of items such as 100,1000")
        return self


def measure(options: SpeedOptions) -> dict[str, Any]:
    """Run the cases and return the result as JSON values."""
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers; must be set before torch is imported
    use_one_thread()
    result: dict[str, Any] = {"machine": describe_machine(PACKAGES), "cases": []}
    for case in _cases(options, result["machine"]):
        result["cases"].append(case)
        for line in _lines(case):
            print_message(line)
    return result


def _cases(options: SpeedOptions, machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    workers = options.workers or cores()
    if "ink" in options.only:
        yield ink_case(ink_files(None), "built-in", options.pairs)
        if options.iam is not None:
            yield ink_case(ink_files(options.iam), "IAM-OnDB", options.pairs)
    amounts: dict[Form, float] = {
        form: options.seconds_of_audio or _SECONDS_PER_WORKER[form] * workers for form in options.forms
    }
    if "one-process" in options.only:
        for form, seconds in amounts.items():
            yield one_process_case(form, seconds * _PART_FOR_ONE_PROCESS, options.pairs)
    if "sound" in options.only:
        import ray  # noqa: PLC0415

        machine["ray_start"] = ray_start_seconds(workers)
        try:
            for form, seconds in amounts.items():
                yield from cluster_cases(form, seconds, options.pairs, workers)
        finally:
            ray.shutdown()
    if "scale" in options.only:
        yield scale_case([int(part) for part in options.scale_items.split(",")])


def _lines(case: dict[str, Any]) -> Iterator[str]:
    if "skipped" in case:
        yield f"{case['name']:<32} not measured: {case['skipped']}"
    elif case["name"] == "scale":
        for run in case["runs"]:
            yield (
                f"scale {run['items']:>9,} items  {run['items_per_second']:>9,.0f} items/s"
                f"  again {run['again_seconds']:.2f} s  {run['driver_bytes'] / 2**20:,.0f} MiB"
                f"  {run['bytes_per_item']:,.0f} bytes/item"
            )
        yield f"scale exponents {case['exponents']}"
    else:
        ours, other = case["ours"], case["other"]
        times = f" x {other['times']}" if other["times"] > 1 else ""
        yield (
            f"{case['name']:<32} wall {_ratio(case['ratio']['wall'])}  processor {_ratio(case['ratio']['processor'])}"
            f"  {ours['per_second']:>11,.0f} against {other['per_second']:>11,.0f}{times} {case['unit']} per second"
        )


def _ratio(spread: dict[str, float]) -> str:
    return f"{spread['median']:5.2f} [{spread['low']:.2f}, {spread['high']:.2f}]"


def main() -> None:
    """Measure, and write one JSON object."""
    try:
        options = tyro.cli(SpeedOptions, prog="python -m benchmarks.speed.prepare").checked()
    except InputError as error:
        print_message(str(error))
        sys.exit(2)
    write_json(measure(options), options.json)


if __name__ == "__main__":
    main()
