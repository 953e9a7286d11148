"""Checkpoints: one file each, written whole, read without running any code in it.

`best.pt` holds what scoring and generation need: the trial's spec, its normalisation and the weights.
`last.pt` holds the optimiser's state and the sums of the epoch under way beside it, so that a run goes on where it was.
Where weights are averaged, the average is what both call the weights; those that are trained belong to the optimiser's
state.
"""

import io
import math
import pickle
import struct
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from pydantic import ValidationError

from pipelines.batches.protocol import Framing
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from vrnn.errors import ModelError
from vrnn.models import SequenceModel, build_model
from vrnn.training.epoch_metrics import Tally
from vrnn.training.errors import CheckpointError
from vrnn.training.spec import TrialSpec

__all__ = ["BEST", "LAST", "Checkpoint", "EpochRecord", "TrainingState", "load_checkpoint", "save_checkpoint"]

BEST = "best.pt"
LAST = "last.pt"
_FORMAT = 3


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did; nats are per frame, of the bound itself: neither KL warm-up nor free nats are in them.

    Attributes:
        epoch: counted from 1.
        step: optimiser steps so far, those left out included.
        train_nats_per_frame: mean over the epoch's steps, as the weights changed; nan if all were left out.
        train_kl_nats_per_frame: the KL part of it; nan without a latent.
        valid_nats_per_frame: at the epoch's end, over the sequences that choose the checkpoint.
        valid_kl_nats_per_frame: the KL part of it; nan without a latent.
        gradient_norm_mean: before clipping, over the epoch's steps.
        gradient_norm_max: the largest of them.
        clipped_share: of the steps, how many were clipped.
        skipped_steps: left out, since bound or gradient was not finite; in no other figure of the epoch.
        learning_rate: of the step that would follow.
        kl_factor: on the KL in the training objective of the step that would follow.
        seconds: wall time of the epoch's training steps.
        frames_per_second: real frames over that time.
        data_wait_share: of that time, spent waiting for batches; nan in records of versions that did not know.
        fraction_of_peak: operations that no implementation can skip (`vrnn.device.peak.pass_operations`) over that
            time, as
            a share of those of large matrix products, measured briefly, of all workers; nan as above.
        peak_memory_gib: the largest of a worker so far, of its device or, on a CPU, resident; nan as above.
        workers: that shared the batches at the epoch's end.
    """

    epoch: int
    step: int
    train_nats_per_frame: float
    train_kl_nats_per_frame: float
    valid_nats_per_frame: float
    valid_kl_nats_per_frame: float
    gradient_norm_mean: float
    gradient_norm_max: float
    clipped_share: float
    skipped_steps: int
    learning_rate: float
    kl_factor: float
    seconds: float
    frames_per_second: float
    data_wait_share: float = math.nan
    fraction_of_peak: float = math.nan
    peak_memory_gib: float = math.nan
    workers: int = 1


@dataclass
class TrainingState:
    """Where a run stands.

    Attributes:
        epoch: epochs finished.
        step: optimiser steps so far, those left out included.
        best_valid: best validation figure so far, nats per frame.
        best_epoch: its epoch, 0 before the first.
        diverged_at_step: the first of the steps in a row that were not finite and ended the run, or the last step
            before a validation that was not; else None.
        finished: nothing is left to do.
        history: one record an epoch.
        under_way: the sums of the epoch that is not finished, over the batches of its plan so far.
        micro_batch: sequences that a rank computes on at once; 0 for all of its share.
    """

    epoch: int = 0
    step: int = 0
    best_valid: float = float("-inf")
    best_epoch: int = 0
    diverged_at_step: int | None = None
    finished: bool = False
    history: list[EpochRecord] = field(default_factory=list)
    under_way: Tally = field(default_factory=Tally)
    micro_batch: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, read.

    Attributes:
        spec: the trial.
        corpus: the corpus's name.
        framing: protocol and normalisation constants.
        report_split: the split whose score the roles report.
        roles_rule: the roles in words.
        weights: the `state_dict` of the model that is validated and scored.
        state: the run at this point.
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

    def model(self, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> SequenceModel:
        """The model with these weights, in evaluation mode."""
        model = build_model(self.spec.architecture, torch.Generator().manual_seed(self.spec.seed))
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
    if not _is_whole(stored):
        raise damaged
    try:
        content = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise damaged from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError(f"{place}: not a checkpoint of this version of vrnn-bench; train again")
    try:
        return _from_content(content)
    except (KeyError, TypeError, ValidationError, ModelError, InputError) as error:
        raise CheckpointError(f"{place}: damaged ({type(error).__name__}); train again") from error


def _is_whole(stored: bytes) -> bool:
    """Whether every part agrees with its checksum, which torch writes and does not look at."""
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
        state=TrainingState(**(state | {"history": history, "under_way": Tally(**state["under_way"])})),
        optimiser=content["optimiser"],
    )
