"""How fast `prepare` is, as ratios to what is measured beside it.

    python -m benchmarks.speed.prepare --json prepare.json

docs/speed.md says what the cases are and how to read them.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks.cli.output import say
from benchmarks.speed.cases import cluster_cases, ink_case, ink_files, one_process_case
from benchmarks.speed.floor import use_one_thread
from benchmarks.speed.machine import cores, describe_machine
from benchmarks.speed.result_files import write_json
from benchmarks.speed.scale import scale_case
from benchmarks.speed.sound_corpus import FORMS, Form
from pipelines.errors import InputError

__all__ = ["SpeedOptions", "main", "measure"]

PACKAGES = ("numpy", "pyarrow", "soundfile", "soxr", "torch", "torchaudio", "ray", "datasets", "lhotse")
_SECONDS_A_WORKER: dict[Form, float] = {"mp3": 8_000.0, "wav": 8_000.0, "sphere": 24_000.0}
"""Of audio: more than ten seconds of work for a worker."""
_PART_FOR_ONE_PROCESS = 0.1

What = Literal["sound", "one-process", "ink", "scale"]


@dataclass(frozen=True)
class SpeedOptions:
    """Measure the speed of `prepare` against plain loops and other libraries.

    Attributes:
        json: where the result is written, standard output by default.
        only: the cases to run: sound (on Ray, and the other libraries), one-process (sound without Ray), ink, scale.
        forms: of sound.
        seconds_of_audio: in each form; by default what keeps the workers busy for ten seconds or more.
        pairs: how often each two things are run against one another.
        workers: of `prepare` and of the other libraries; the cores by default.
        scale_items: numbers of simulated items, with commas between them.
        iam: a directory of IAM-OnDB line files, measured beside the built-in handwriting.
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
        """Refuse what cannot be measured.

        Raises:
            InputError: a number is too small or is none.
        """
        if self.pairs < 1 or (self.workers is not None and self.workers < 1):
            raise InputError("--pairs and --workers are 1 or more")
        if self.seconds_of_audio is not None and self.seconds_of_audio < 1:
            raise InputError("--seconds-of-audio is 1 or more")
        if not all(part.isdecimal() and int(part) for part in self.scale_items.split(",")):
            raise InputError(f"--scale-items are numbers of items such as 100,1000, not {self.scale_items!r}")
        return self


def measure(options: SpeedOptions) -> dict[str, Any]:
    """Run the cases; the result as JSON."""
    os.environ["OMP_NUM_THREADS"] = "1"
    use_one_thread()
    result: dict[str, Any] = {"machine": describe_machine(PACKAGES), "cases": []}
    for case in _cases(options, result["machine"]):
        result["cases"].append(case)
        for line in _lines(case):
            say(line)
    return result


def _cases(options: SpeedOptions, machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    workers = options.workers or cores()
    if "ink" in options.only:
        yield ink_case(ink_files(None), "built-in", options.pairs)
        if options.iam is not None:
            yield ink_case(ink_files(options.iam), "IAM-OnDB", options.pairs)
    amounts: dict[Form, float] = {
        form: options.seconds_of_audio or _SECONDS_A_WORKER[form] * workers for form in options.forms
    }
    if "one-process" in options.only:
        for form, seconds in amounts.items():
            yield one_process_case(form, seconds * _PART_FOR_ONE_PROCESS, options.pairs)
    if "sound" in options.only:
        yield from _sound_on_ray(amounts, options.pairs, workers, machine)
    if "scale" in options.only:
        yield scale_case([int(part) for part in options.scale_items.split(",")])


def _sound_on_ray(
    amounts: dict[Form, float], pairs: int, workers: int, machine: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    import ray  # noqa: PLC0415

    from benchmarks.speed.ours import ray_start_seconds  # noqa: PLC0415

    machine["ray_start"] = ray_start_seconds(workers)
    try:
        for form, seconds in amounts.items():
            yield from cluster_cases(form, seconds, pairs, workers)
    finally:
        ray.shutdown()


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
            f"  {ours['per_second']:>11,.0f} against {other['per_second']:>11,.0f}{times} {case['unit']} a second"
        )


def _ratio(spread: dict[str, float]) -> str:
    return f"{spread['median']:5.2f} [{spread['low']:.2f}, {spread['high']:.2f}]"


def main() -> None:
    """Measure, and write one JSON object."""
    try:
        options = tyro.cli(SpeedOptions, prog="python -m benchmarks.speed.prepare").checked()
    except InputError as error:
        say(str(error))
        sys.exit(2)
    write_json(measure(options), options.json)


if __name__ == "__main__":
    main()
