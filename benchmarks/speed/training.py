"""The speed of a training step: forward and backward through a VRNN, against the textbook loop and the machine's peak.

    python -m benchmarks.speed.training --json training.json

Needs torch alone. docs/performance.md explains the cases and how to read them.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from benchmarks.speed.options import Options
from benchmarks.speed.textbook_comparison import Case, options_of, run_benchmark
from benchmarks.speed.workloads import SHAPES, Training
from vrnn.device.peak import pass_operations
from vrnn.models import build_model

__all__ = ["cases", "main"]

_BATCHES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "cpu": {"tiny": (32,), "iam_ondb": (32,), "timit": (16, 64), "blizzard": (16,)},
    "cuda": {"tiny": (32,), "iam_ondb": (32,), "timit": (64, 256), "blizzard": (128,)},
}


def cases(options: Options) -> Iterator[Case]:
    """The requested cases, size by size; bfloat16 is compared with the textbook loop in float32 too."""
    for shape in options.shapes:
        with torch.device("meta"):
            model = build_model(SHAPES[shape].config, torch.Generator())
        for batch in options.batches or _BATCHES[options.device][shape]:
            operations = pass_operations(model, SHAPES[shape].frames * batch, backward=True)
            for precision in options.precisions:
                work = Training(shape, batch, precision, options.device, "ours")
                yield Case(f"{shape}/vrnn-gauss", work, operations, ("float32",) if precision == "bfloat16" else ())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write one JSON object."""
    about = "Time a training step; see docs/performance.md."
    options = options_of(arguments, "python -m benchmarks.speed.training", about)
    run_benchmark(cases(options), options)


if __name__ == "__main__":
    main()
