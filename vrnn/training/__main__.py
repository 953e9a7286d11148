"""`python -m vrnn.training SPEC.json OUT`: the training loop without Ray, for a bare machine.

SPEC.json is a trial's spec, as `vrnn-bench train --print-spec` writes it. Ctrl-C or SIGTERM saves the run and ends with
128 + the signal; a second one ends at once.
"""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError

from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from vrnn.device.device import computing_device, describe_path
from vrnn.device.memory import keep_freed_memory
from vrnn.errors import CheckpointError, ModelError
from vrnn.training.epoch_metrics import EpochRecord
from vrnn.training.loop import train
from vrnn.training.spec import TrialSpec
from vrnn.training.stopping import Stop, stopping_on_signals

_ARGUMENTS = 2


def main(arguments: list[str]) -> int:
    """Train the spec in the first argument into the second, and write one JSON line an epoch on stdout."""
    if len(arguments) != _ARGUMENTS:
        sys.stderr.write("usage: python -m vrnn.training SPEC.json OUT\n")
        return 2
    keep_freed_memory()
    try:
        spec = TrialSpec.model_validate_json(Path(arguments[0]).read_text())
        path = describe_path(computing_device(), spec.optimisation.precision)
        sys.stderr.write("".join(f"{part}: {way}\n" for part, way in path.items()))
        with stopping_on_signals(Stop()) as stop:
            train(spec, Location(arguments[1]), _write_record, stop=stop)
    except (OSError, ValidationError, InputError, ModelError, CheckpointError) as error:
        sys.stderr.write(f"{str(error).splitlines()[0]}\n")
        return 2
    return 128 + stop.signal if stop.signal else 0


def _write_record(record: EpochRecord) -> None:
    # JSON has no nan or infinity: they are written as null.
    values = {name: value if math.isfinite(value) else None for name, value in asdict(record).items()}
    sys.stdout.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
