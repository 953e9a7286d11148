"""Checkpoints: what they hold, when they are written, and which one a run resumes from.

A checkpoint is one file, written whole and read without running any code in it. `best.pt` holds what scoring and
generation need: the trial's spec, its normalisation and the weights. `last.pt` adds the optimiser's state and the sums
of the unfinished epoch, so that a run resumes where it was; `last-1.pt` is the one before it, and so on. Where weights
are averaged, `weights` are the average in both, and the trained ones are in the optimiser's state.
"""

import io
import logging
import pickle
import re
import struct
import time
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from pydantic import ValidationError

from pipelines.batches.protocol import Framing
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from vrnn.errors import CheckpointError, ModelError
from vrnn.models import SequenceModel, build_model
from vrnn.training.epoch_metrics import EpochRecord, EpochSums
from vrnn.training.spec import TrialSpec

__all__ = [
    "BEST",
    "LAST",
    "Checkpoint",
    "CheckpointDirectory",
    "CheckpointPolicy",
    "TrainingState",
    "load_checkpoint",
    "save_checkpoint",
]

BEST = "best.pt"
LAST = "last.pt"
_FORMAT = 4
_LAST = re.compile(r"last(?:-([0-9]+))?\.pt")
_MOST_KEPT = 100

_log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """The progress of a run.

    Attributes:
        epoch: number of finished epochs.
        step: optimiser steps so far, skipped ones included.
        best_valid: best validation score so far, in nats per frame.
        best_epoch: the epoch that reached it; 0 before the first validation.
        diverged_at_step: the first of the skipped steps in a row that ended the run, or the last step before a
            validation that was not finite; None where the run has not diverged.
        finished: whether the run is complete.
        history: one record for each finished epoch.
        epoch_sums: the sums of the unfinished epoch, over the batches of its plan so far.
        micro_batch: sequences that a rank computes at once; 0 for all of its share.
    """

    epoch: int = 0
    step: int = 0
    best_valid: float = float("-inf")
    best_epoch: int = 0
    diverged_at_step: int | None = None
    finished: bool = False
    history: list[EpochRecord] = field(default_factory=list[EpochRecord])
    epoch_sums: EpochSums = field(default_factory=EpochSums)
    micro_batch: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        spec: the trial.
        corpus: name of the corpus.
        framing: protocol and normalisation constants.
        report_split: the split whose score is reported.
        roles_rule: the roles of the splits in words.
        weights: the `state_dict` of the model that is validated and scored.
        state: the progress of the run.
        optimiser: `Optimiser.state_dict()`, in `last.pt` only.
    """

    spec: TrialSpec
    corpus: str
    framing: Framing
    report_split: str
    roles_rule: str
    weights: dict[str, torch.Tensor]
    state: TrainingState
    optimiser: dict[str, Any] | None = None

    def model(self, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> SequenceModel[Any]:
        """The model with these weights, in evaluation mode."""
        model = build_model(self.spec.model, torch.Generator().manual_seed(self.spec.seed))
        model.to(device=device, dtype=dtype).load_state_dict(self.weights)
        return model.eval()


def save_checkpoint(place: Location, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole."""
    content = {
        "format": _FORMAT,
        "spec": checkpoint.spec.model_dump_json(),
        "corpus": checkpoint.corpus,
        "mean": list(checkpoint.framing.mean),
        "std": list(checkpoint.framing.std),
        "report_split": checkpoint.report_split,
        "roles_rule": checkpoint.roles_rule,
        "weights": checkpoint.weights,
        "state": asdict(checkpoint.state),
        "optimiser": checkpoint.optimiser,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    place.write_bytes(buffer.getvalue())


def load_checkpoint(place: Location) -> Checkpoint:
    """Read a checkpoint file, or the best one of a training directory.

    Raises:
        CheckpointError: there is none, or it is damaged or of another version.
    """
    if place.is_directory():
        place = place / BEST
    try:
        stored = place.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{place}: no such checkpoint; train makes one under its --out") from error
    damaged = CheckpointError(f"{place}: not a checkpoint of vrnn-bench, or damaged; train again")
    if not _checksums_match(stored):
        raise damaged
    try:
        content: object = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise damaged from error
    fields = cast(dict[str, Any], content) if isinstance(content, dict) else {}
    if fields.get("format") != _FORMAT:
        raise CheckpointError(f"{place}: not a checkpoint of this version of vrnn-bench; train again")
    try:
        return _from_content(fields)
    except (KeyError, TypeError, ValidationError, ModelError, InputError) as error:
        raise CheckpointError(f"{place}: damaged ({type(error).__name__}); train again") from error


def _checksums_match(stored: bytes) -> bool:
    # torch writes the checksums of the archive's members and does not compare them when it reads.
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError, EOFError, OSError):
        return False


def _from_content(content: dict[str, Any]) -> Checkpoint:
    spec = TrialSpec.model_validate_json(content["spec"])
    state = content["state"]
    history = [EpochRecord(**record) for record in state["history"]]
    return Checkpoint(
        spec=spec,
        corpus=content["corpus"],
        framing=Framing(spec.protocol, tuple(content["mean"]), tuple(content["std"])),
        report_split=content["report_split"],
        roles_rule=content["roles_rule"],
        weights=content["weights"],
        state=TrainingState(**(state | {"history": history, "epoch_sums": EpochSums(**state["epoch_sums"])})),
        optimiser=content["optimiser"],
    )


@dataclass(frozen=True)
class CheckpointPolicy:
    """When a run writes checkpoints and how many it keeps; no result and no trial's key depends on it.

    Attributes:
        seconds: a checkpoint is written within an epoch after so many seconds; one is written at its end anyway.
        keep: how many of the last checkpoints are kept, apart from the best.
    """

    seconds: float = 600.0
    keep: int = 2

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise CheckpointError(f"checkpoints every {self.seconds} seconds: more than 0 are needed")
        if not 1 <= self.keep <= _MOST_KEPT:
            raise CheckpointError(f"{self.keep} checkpoints to keep: from 1 to {_MOST_KEPT} are possible")


class CheckpointDirectory:
    """Writes and reads the checkpoints of one run."""

    def __init__(self, out: Location, policy: CheckpointPolicy) -> None:
        """Use the directory `out`."""
        self._out = out
        self._policy = policy
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is so old that another should be written."""
        return time.monotonic() - self._saved_at >= self._policy.seconds

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint that is scored."""
        save_checkpoint(self._out / BEST, checkpoint)

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint to resume from; the ones before it are renamed, and the oldest deleted."""
        # The oldest is moved first: killed at any moment, this leaves the newest checkpoint or the one before it.
        for age, place in reversed(self._last_ones()):
            if age + 1 < self._policy.keep:
                place.move(self._out / _name(age + 1))
            elif age >= self._policy.keep:
                place.delete()
        save_checkpoint(self._out / LAST, checkpoint)
        self._saved_at = time.monotonic()

    def load_newest(self) -> Checkpoint | None:
        """The newest readable checkpoint to resume from; None where there is none at all.

        An unreadable one, which only a fault of the storage leaves behind, is renamed to `damaged-last.pt`. The run
        then repeats some steps and ends with the same bits.

        Raises:
            CheckpointError: there are some, and none can be read.
        """
        last_ones = self._last_ones()
        for _, place in last_ones:
            try:
                return load_checkpoint(place)
            except CheckpointError as error:
                _log.warning("%s; resuming from the checkpoint before it", error)
                place.move(self._out / f"damaged-{place.path.rpartition('/')[2]}")
        if last_ones:
            raise CheckpointError(
                f"{self._out}: none of its {len(last_ones)} checkpoints can be read; choose another --out"
            )
        return None

    def _last_ones(self) -> list[tuple[int, Location]]:
        """The checkpoints to resume from, each with its age, the newest first."""
        found = (_LAST.fullmatch(file.path) for file in self._out.files(recursive=False))
        ages = sorted(int(match[1] or 0) for match in found if match)
        return [(age, self._out / _name(age)) for age in ages]


def _name(age: int) -> str:
    return f"last-{age}.pt" if age else LAST
