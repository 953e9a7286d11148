"""Checkpoints: one file each, written whole, read without running any code in it.

`best.pt` holds what scoring and generation need: the trial's spec, its normalisation and the weights.
`last.pt` holds the training state beside it, so that a run goes on where it ended.
"""

import io
import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from pydantic import ValidationError

from pipelines.errors import InputError
from pipelines.protocol import Framing
from pipelines.storage import Location
from vrnn.errors import ModelError
from vrnn.models import SequenceModel, build_model
from vrnn.training.errors import CheckpointError
from vrnn.training.spec import TrialSpec

__all__ = ["BEST", "LAST", "Checkpoint", "EpochRecord", "TrainingState", "load_checkpoint", "save_checkpoint"]

BEST = "best.pt"
LAST = "last.pt"
_FORMAT = 1


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did; nats are per frame, of the bound that is optimised.

    Attributes:
        epoch: counted from 1.
        step: optimiser steps so far.
        train_nats_per_frame: mean over the epoch, as the weights changed.
        valid_nats_per_frame: at the epoch's end, over the sequences that choose the checkpoint.
        valid_kl_nats_per_frame: the KL part of it; nan without a latent.
        seconds: wall time of the epoch's training steps.
        frames_per_second: real frames over that time.
    """

    epoch: int
    step: int
    train_nats_per_frame: float
    valid_nats_per_frame: float
    valid_kl_nats_per_frame: float
    seconds: float
    frames_per_second: float


@dataclass
class TrainingState:
    """Where a run stands.

    Attributes:
        epoch: epochs finished.
        step: optimiser steps taken.
        best_valid: best validation figure so far, nats per frame.
        best_epoch: its epoch, 0 before the first.
        diverged_at_step: the step at which loss or gradient was not finite, else None.
        finished: nothing is left to do.
        history: one record an epoch.
    """

    epoch: int = 0
    step: int = 0
    best_valid: float = float("-inf")
    best_epoch: int = 0
    diverged_at_step: int | None = None
    finished: bool = False
    history: list[EpochRecord] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, read.

    Attributes:
        spec: the trial.
        corpus: the corpus's name.
        framing: protocol and normalisation constants.
        report_split: the split whose score the roles report.
        roles_rule: the roles in words.
        weights: the model's `state_dict`.
        state: the run at this point.
        optimiser: Adam's `state_dict`, in `last.pt` only.
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
        model.load_state_dict(self.weights)
        return model.to(device=device, dtype=dtype).eval()


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
    if not place.is_file():
        raise CheckpointError(f"{place}: no such checkpoint; train makes one under its --out")
    stored = place.read_bytes()
    damaged = CheckpointError(f"{place}: not a checkpoint of vrnn-bench, or damaged; train again")
    if not zipfile.is_zipfile(io.BytesIO(stored)):
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
        state=TrainingState(**(state | {"history": history})),
        optimiser=content["optimiser"],
    )
