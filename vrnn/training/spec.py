"""What defines a trial: data, protocol, model, optimisation and seed; and the key that names it."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipelines.batches.protocol import Protocol
from vrnn.device.precision import Precision
from vrnn.models import ModelConfig

__all__ = ["Optimisation", "TrialSpec"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimisation(_Frozen):
    """How a model is fitted: Adam on the bound in nats per frame, stopped early by validation.

    Attributes:
        max_epochs: at most this many passes over the training sequences.
        batch_size: sequences in a global batch, over all workers.
        learning_rate: of Adam.
        schedule: of the learning rate, after its warm-up, over all steps of max_epochs.
        warmup_steps: over which the learning rate rises linearly from near 0.
        final_learning_rate: where linear and cosine end, as a share of learning_rate.
        clip_norm: the gradient of a step is scaled down to this norm, before the step.
        averaging: decay of an exponential moving average of the weights, which is validated, kept and scored in their
            place; 0 is none.
        kl_warmup_steps: over which the factor on the KL in the training objective rises linearly from 0 to 1.
        free_nats: of KL in a frame that the training objective charges whether they are used or not.
        truncate_frames: back-propagation is cut every so many frames, with one step a piece and the state carried on;
            0 takes sequences whole.
        max_nonfinite: steps in a row that may be left out because bound or gradient is not finite; one more ends the
            run as diverged.
        patience: epochs without a better validation figure after which training ends.
        evaluation_batch_size: sequences in a validation batch; it changes no figure.
        precision: of parameters and products, as `vrnn.device.precision` says; sums over frames are float64 always.
        held_frames: frames of a batch whose activations in the recurrence are held in memory at once; the others are
            worked out again on the way back. 0 holds all.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    max_epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    final_learning_rate: float = Field(default=0.0, ge=0, le=1)
    clip_norm: float = Field(default=5.0, gt=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)
    kl_warmup_steps: int = Field(default=0, ge=0)
    free_nats: float = Field(default=0.0, ge=0)
    truncate_frames: int = Field(default=0, ge=0)
    max_nonfinite: int = Field(default=3, ge=0)
    patience: int = Field(default=5, ge=1)
    evaluation_batch_size: int = Field(default=64, ge=1)
    precision: Precision = "float32"
    held_frames: int = Field(default=0, ge=0)


class TrialSpec(_Frozen):
    """One trial, whole: equal specs give equal results on one machine.

    Attributes:
        shards: where the data lie; not part of the key, the fingerprint is.
        fingerprint: of the data.
        protocol: how signals become frames, in full.
        model: `ModelConfig.to_dict()`.
        optimisation: how it is fitted.
        seed: of initialisation, epoch plans and noise.
    """

    shards: str
    fingerprint: str
    protocol: Protocol
    model: dict[str, Any]
    optimisation: Optimisation
    seed: int = Field(default=0, ge=0)

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        return ModelConfig.from_dict(value).to_dict()

    @property
    def architecture(self) -> ModelConfig:
        """The model's configuration, typed."""
        return ModelConfig.from_dict(self.model)

    @property
    def key(self) -> str:
        """16 hex digits that name the trial: of everything but where the data lie."""
        content = self.model_dump(exclude={"shards"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
