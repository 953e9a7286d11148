"""The spec of a trial: its data, protocol, model, optimisation and seed, and the key that identifies it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from pipelines.batches.protocol import Framing, Protocol, find_protocol
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.device.precision import Precision
from vrnn.models import ModelConfig, preset
from vrnn.nn.discretised import Quantisation

__all__ = ["Optimisation", "TrialSpec", "plan_trial"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimisation(_Frozen):
    """How a model is fitted: Adam on the bound in nats per frame, with early stopping by validation.

    Attributes:
        max_epochs: the most passes over the training sequences.
        batch_size: sequences in a global batch, over all workers.
        learning_rate: learning rate of Adam.
        schedule: schedule of the learning rate, after its warm-up, over all steps of max_epochs.
        warmup_steps: steps over which the learning rate rises linearly from near 0.
        final_learning_rate: where linear and cosine end, as a share of learning_rate.
        clip_norm: a gradient with a larger norm is scaled down to this norm before the step.
        averaging: decay of an exponential moving average of the weights, which is validated, kept and scored instead
            of them; 0 is none.
        kl_warmup_steps: steps over which the factor on the KL in the training objective rises linearly from 0 to 1.
        free_nats: nats of KL that the training objective charges in each frame whether they are used or not.
        truncate_frames: back-propagation is truncated every so many frames, with one step for each segment and the
            state carried on; 0 takes sequences whole.
        max_nonfinite: steps in a row that may be skipped because bound or gradient is not finite; one more ends the
            run as diverged.
        patience: epochs without a better validation score after which training ends.
        evaluation_batch_size: sequences in a validation batch; it changes no score.
        precision: precision of parameters and products (`vrnn.device.precision`); sums over frames are always float64.
        checkpointed_frames: activation checkpointing: frames of a batch whose activations in the recurrence are in
            memory at once; the others are computed again in the backward pass. 0 keeps all.
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
    checkpointed_frames: int = Field(default=0, ge=0)


def _read_config(value: ModelConfig | Mapping[str, Any]) -> ModelConfig:
    return value if isinstance(value, ModelConfig) else ModelConfig.from_dict(value)


class TrialSpec(_Frozen):
    """One trial, whole: equal specs give equal results on one machine.

    Attributes:
        shards: where the data are; not part of the key, their fingerprint is.
        fingerprint: the fingerprint of the data.
        protocol: how signals become frames, in full.
        model: the configuration of the model.
        optimisation: how it is fitted.
        seed: seed of initialisation, epoch plans and noise.
    """

    shards: str
    fingerprint: str
    protocol: Protocol
    # `ModelConfig` checks itself and knows no pydantic, since `vrnn.models` needs torch alone.
    model: Annotated[ModelConfig, PlainValidator(_read_config), PlainSerializer(ModelConfig.to_dict)]
    optimisation: Optimisation
    seed: int = Field(default=0, ge=0)

    @property
    def key(self) -> str:
        """16 hex digits that identify the trial; they depend on everything but where the data are."""
        content = self.model_dump(exclude={"shards"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def plan_trial(
    shards: str, protocol: str, model: str, size: str, optimisation: Optimisation, seed: int = 0
) -> TrialSpec:
    """The spec of one trial from the names that a person gives.

    Raises:
        InputError: there are no shards, or no such protocol for their kind.
        ModelError: no such model or size for their kind.
    """
    manifest = Manifest.load(Location(shards))
    rules = find_protocol(protocol, manifest.kind, manifest.corpus)
    framing = Framing.fit(rules, manifest)
    config = preset(model, manifest.kind, size, Quantisation(framing.mean[0], framing.std[0]))
    if config.quantisation is not None:
        # A discretised emission gives probabilities to the recorded integers: noise must not be added to them.
        rules = rules.model_copy(update={"dequantise": False})
    return TrialSpec(
        shards=shards,
        fingerprint=manifest.fingerprint,
        protocol=rules,
        model=config,
        optimisation=optimisation,
        seed=seed,
    )
