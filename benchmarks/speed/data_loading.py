"""How long a training step waits for its data.

    python -m benchmarks.speed.data_loading --json data_loading.json

Epochs of real training on shards of noise alternate with passes that only make the same batches. This shows the cost of
making batches, and how much of it the steps wait for. Needs torch, pyarrow, pandas and pydantic.
"""

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.noise_shards import make_shards
from benchmarks.speed.options import Options, parse_options, speed_parser, write_result
from benchmarks.speed.timing import Stopwatch
from benchmarks.speed.workloads import SHAPES
from pipelines.batches.epoch_plan import plan_epoch
from pipelines.batches.protocol import find_protocol
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.device.device import computing_device
from vrnn.device.memory import keep_freed_memory
from vrnn.device.precision import Precision
from vrnn.training import Optimisation, TrialSpec
from vrnn.training.data_loading import BatchLoader, loader_threads
from vrnn.training.loop import Run, finish_epoch, open_run, train_epoch

__all__ = ["main", "measure"]

_BATCHES: Mapping[str, Mapping[str, int]] = {
    "cpu": {"tiny": 32, "iam_ondb": 32, "timit": 64, "blizzard": 16},
    "cuda": {"tiny": 32, "iam_ondb": 32, "timit": 256, "blizzard": 128},
}
_STEPS = {"tiny": 100, "iam_ondb": 10, "timit": 10, "blizzard": 10}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write one JSON object."""
    about = "Time how long training waits for data; see docs/performance.md."
    parser = speed_parser("python -m benchmarks.speed.data_loading", about)
    options = parse_options(parser, arguments)
    if options.device != computing_device().type:
        parser.error(f"--device {options.device}: training uses the GPU; set CUDA_VISIBLE_DEVICES= to use the CPU")
    write_result(measure(options), options)


def measure(options: Options) -> list[dict[str, Any]]:
    """Run the cases and print a line on stderr for each."""
    keep_freed_memory()
    cases: list[dict[str, Any]] = []
    for shape in options.shapes:
        for batch in options.batches or (_BATCHES[options.device][shape],):
            for precision in options.precisions:
                case = _case(shape, batch, precision, options.pairs)
                cases.append({"device": options.device} | case)
                sys.stderr.write(
                    f"{case['name']:<22} {case['precision']:<8} batch {case['batch']:<4}"
                    f" step {case['step_seconds']:8.4f} s, making a batch {case['making_share_of_step']:.2%} of that;"
                    f" waited {case['wait_share']:.3%} [{case['wait_share_low']:.3%}, {case['wait_share_high']:.3%}]\n"
                )
    return cases


def _case(shape: str, batch: int, precision: Precision, pairs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        run = _open_run(Path(directory), shape, batch, precision, pairs)
        making = [_seconds_to_make(run, batch, 0)]
        records = []
        for epoch in range(pairs):
            train_epoch(run)
            record = finish_epoch(run)
            assert record is not None, "nothing asks the run to stop"
            records.append(record)
            making.append(_seconds_to_make(run, batch, epoch + 1))
    steps = records[0].step
    step = statistics.median(record.seconds for record in records) / steps
    waits = [record.data_wait_share for record in records]
    return {
        "name": f"{shape}/vrnn-gauss",
        "precision": precision,
        "batch": batch,
        "frames": SHAPES[shape].frames,
        "steps": steps,
        "threads": loader_threads(run.device),
        "step_seconds": step,
        "making_seconds": statistics.median(making) / steps,
        "making_share_of_step": statistics.median(making) / steps / step,
        "wait_share": statistics.median(waits),
        "wait_share_low": min(waits),
        "wait_share_high": max(waits),
    }


def _open_run(place: Path, shape: str, batch: int, precision: Precision, pairs: int) -> Run:
    config, shards = SHAPES[shape].config, Location(str(place / "shards"))
    sequences = {"train": batch * _STEPS[shape], "valid": 1}
    make_shards(shards, config.kind, sequences, SHAPES[shape].frames)
    manifest = Manifest.load(shards)
    spec = TrialSpec(
        shards=shards.uri,
        fingerprint=manifest.fingerprint,
        protocol=find_protocol("clean", config.kind, manifest.corpus),
        model=config,
        optimisation=Optimisation(max_epochs=pairs, batch_size=batch, precision=precision, patience=pairs),
    )
    return open_run(spec, Location(str(place / "run")))


def _seconds_to_make(run: Run, batch: int, epoch: int) -> float:
    """Seconds to make all batches of an epoch, with the threads of training, while nothing else runs."""
    loader = BatchLoader(run.train_source, run.model.latent_size, run.device, torch.float32)
    key = ("train", run.spec.seed, epoch)
    watch = Stopwatch()
    for _ in loader.load(plan_epoch(run.train_source.lengths, batch, run.spec.seed, epoch), key, key):
        pass
    return watch.read().wall


if __name__ == "__main__":
    main()
