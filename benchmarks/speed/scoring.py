"""The speed of IWAE-40: all samples at once, against 40 passes of the textbook loop and the machine's peak.

    python -m benchmarks.speed.scoring --json scoring.json

Needs torch alone. docs/performance.md explains the cases and how to read them.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from benchmarks.speed.options import Options
from benchmarks.speed.textbook_comparison import Case, options_of, run_benchmark
from benchmarks.speed.workloads import SHAPES, Scoring
from vrnn.device.peak import pass_operations
from vrnn.models import build_model
from vrnn.models.vrnn import VRNN

__all__ = ["cases", "main"]

_BATCHES: Mapping[str, tuple[int, ...]] = {"tiny": (8,), "iam_ondb": (1,), "timit": (1, 4), "blizzard": (1,)}
_SAMPLES = 40


def cases(options: Options) -> Iterator[Case]:
    """The requested cases, size by size."""
    for shape in options.shapes:
        with torch.device("meta"):
            model = build_model(SHAPES[shape].config, torch.Generator())
        assert isinstance(model, VRNN)
        # Work that does not depend on the sample counts once, all other K times.
        shared = (*model.phi_x.parameters(), model.encoder.first.weights[0], model.lstm.inputs.weights[0])
        once_per_frame = 2.0 * sum(parameter.numel() for parameter in shared if parameter.dim() > 1)
        for batch in options.batches or _BATCHES[shape]:
            frames = SHAPES[shape].frames * batch
            once = once_per_frame * frames
            operations = once + _SAMPLES * (pass_operations(model, frames, backward=False) - once)
            for precision in options.precisions:
                work = Scoring(shape, batch, precision, options.device, "ours", _SAMPLES)
                yield Case(f"{shape}/iwae-{_SAMPLES}", work, operations)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write one JSON object."""
    options = options_of(arguments, "python -m benchmarks.speed.scoring", "Time IWAE-40; see docs/performance.md.")
    run_benchmark(cases(options), options)


if __name__ == "__main__":
    main()
