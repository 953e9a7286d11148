"""The training loop: a plain function of a trial's spec and a directory.

Ray Train runs it in each worker; `python -m vrnn.training` runs it alone. All randomness is keyed by what it is for,
so a run that stopped goes on at the next epoch with nothing to restore but weights, optimiser and counters.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.batches import Batch, FrameSource, Positions, plan_epoch, plan_evaluation, rank_share
from pipelines.errors import InputError
from pipelines.protocol import Framing
from pipelines.roles import Roles, assign_roles
from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from vrnn.bounds import elbo, exact
from vrnn.models import SequenceModel, build_model
from vrnn.training.checkpoints import (
    BEST,
    LAST,
    Checkpoint,
    EpochRecord,
    TrainingState,
    load_checkpoint,
    save_checkpoint,
)
from vrnn.training.errors import CheckpointError
from vrnn.training.group import Group
from vrnn.training.noise import latent_noise
from vrnn.training.spec import TrialSpec

__all__ = ["TrainResult", "Trainer", "train"]

OnEpoch = Callable[[EpochRecord], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        checkpoint: the best checkpoint's place; None if the run diverged before its first validation.
        state: the run's end.
    """

    checkpoint: Location | None
    state: TrainingState


def train(spec: TrialSpec, out: Location, on_epoch: OnEpoch = lambda record: None) -> TrainResult:
    """Fit a trial's model, or go on where an earlier run of the same trial ended.

    Args:
        spec: the trial.
        out: where checkpoints go; one trial has one directory.
        on_epoch: called on every rank after each epoch.

    Raises:
        InputError: the shards cannot be used, or are not those of the spec.
        CheckpointError: `out` holds another trial's run.
    """
    trainer = Trainer(spec, out)
    while not trainer.state.finished:
        on_epoch(trainer.run_epoch())
    return TrainResult(out / BEST if trainer.state.best_epoch else None, trainer.state)


class Trainer:
    """A run in progress."""

    def __init__(self, spec: TrialSpec, out: Location) -> None:
        """Open the data and build the model, or read both back from `out`; see `train`."""
        self.spec = spec
        self.out = out
        self.group = Group.current()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = getattr(torch, spec.optimisation.precision)
        shards = open_shards(spec)
        self.corpus = shards.manifest.corpus
        self.framing = Framing.fit(spec.protocol, shards.manifest)
        self.roles: Roles = assign_roles(shards, spec.protocol)
        self.fit_source = FrameSource(shards, self.framing, self.roles.fit)
        self.select_source = FrameSource(shards, self.framing, self.roles.select)
        self.model: SequenceModel = build_model(spec.architecture, torch.Generator().manual_seed(spec.seed))
        self.model.to(self.device, self.dtype)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=spec.optimisation.learning_rate)
        self.state = self._resume()

    def _resume(self) -> TrainingState:
        if not (self.out / LAST).is_file():
            return TrainingState()
        last = load_checkpoint(self.out / LAST)
        if last.spec.key != self.spec.key:
            raise CheckpointError(
                f"{self.out}: holds a run of another trial ({last.spec.key}, not {self.spec.key}); choose another --out"
            )
        self.model.load_state_dict(last.weights)
        if last.optimiser is not None:
            self.optimiser.load_state_dict(last.optimiser)
        return last.state

    def run_epoch(self) -> EpochRecord:
        """One pass over the training sequences, a validation, and the checkpoints."""
        epoch, start = self.state.epoch, time.perf_counter()
        nats, frames = self._fit_pass(epoch)
        seconds = time.perf_counter() - start
        valid, valid_kl = self._validate() if self.state.diverged_at_step is None else (math.nan, math.nan)
        record = EpochRecord(
            epoch + 1, self.state.step, nats / max(frames, 1), valid, valid_kl, seconds, frames / seconds
        )
        self._close_epoch(record)
        return record

    def _fit_pass(self, epoch: int) -> tuple[float, int]:
        optimisation, total = self.spec.optimisation, torch.zeros(2, dtype=torch.float64)
        for positions in plan_epoch(self.fit_source.lengths, optimisation.batch_size, self.spec.seed, epoch):
            nats = self._step(positions, epoch)
            if not math.isfinite(nats):
                self.state.diverged_at_step = self.state.step
                break
            total += torch.tensor([nats, self.fit_source.lengths[positions].sum()], dtype=torch.float64)
        return float(total[0]), int(total[1])

    def _step(self, positions: Positions, epoch: int) -> float:
        """One optimiser step on a global batch; the bound summed over it, or nan where it is not finite."""
        share = rank_share(positions, self.group.rank, self.group.size)
        frames = int(self.fit_source.lengths[positions].sum())
        self.optimiser.zero_grad(set_to_none=True)
        nats = torch.zeros(1, dtype=torch.float64, device=self.device)
        if len(share):
            key = ("train", self.spec.seed, epoch)
            bound, _ = self._bound(self.fit_source.batch(share, *key), *key)
            (-bound.sum() / frames).backward()
            nats += bound.detach().sum()
        self.group.total(nats)
        self.group.sum_gradients(self.model)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.optimisation.clip_norm)
        self.state.step += 1
        if not (math.isfinite(float(nats)) and math.isfinite(float(norm))):
            return math.nan
        self.optimiser.step()
        return float(nats)

    def _bound(self, batch: Batch, *noise_key: str | int) -> tuple[Tensor, Tensor | None]:
        """Exact log-likelihood or one-sample ELBO `[B]`, and its KL part where there is a latent."""
        batch = batch.to(self.device, self.dtype)
        if not self.model.latent_size:
            return exact(self.model, batch.frames, batch.mask), None
        bound = elbo(self.model, batch.frames, batch.mask, latent_noise(batch, self.model.latent_size, *noise_key))
        return bound.value, bound.kl

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        source = self.select_source
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for positions in plan_evaluation(source.lengths, self.spec.optimisation.evaluation_batch_size):
            share = rank_share(positions, self.group.rank, self.group.size)
            if len(share):
                bound, kl = self._bound(source.batch(share, "evaluate"), "validate")
                total[0] += bound.sum()
                total[1] += kl.sum() if kl is not None else math.nan
        nats, kl_nats = (self.group.total(total) / int(source.lengths.sum())).tolist()
        return nats, kl_nats

    def _close_epoch(self, record: EpochRecord) -> None:
        state, optimisation = self.state, self.spec.optimisation
        if state.diverged_at_step is None and not math.isfinite(record.valid_nats_per_frame):
            state.diverged_at_step = state.step
        state.epoch = record.epoch
        state.history.append(record)
        better = state.diverged_at_step is None and record.valid_nats_per_frame > state.best_valid
        if better:
            state.best_valid, state.best_epoch = record.valid_nats_per_frame, record.epoch
        state.finished = (
            state.diverged_at_step is not None
            or state.epoch >= optimisation.max_epochs
            or state.epoch - state.best_epoch >= optimisation.patience
        )
        if self.group.leads:
            if better:
                save_checkpoint(self.out / BEST, self._checkpoint(with_optimiser=False))
            save_checkpoint(self.out / LAST, self._checkpoint(with_optimiser=True))
        self.group.barrier()

    def _checkpoint(self, *, with_optimiser: bool) -> Checkpoint:
        return Checkpoint(
            spec=self.spec,
            corpus=self.corpus,
            framing=self.framing,
            report_split=self.roles.report_split,
            roles_rule=self.roles.rule,
            weights=self.model.state_dict(),
            state=self.state,
            optimiser=self.optimiser.state_dict() if with_optimiser else None,
        )


def open_shards(spec: TrialSpec) -> ShardSet:
    """The shards of a trial.

    Raises:
        InputError: they are not there, or not those of the spec.
    """
    shards = ShardSet(Location(spec.shards))
    if shards.manifest.fingerprint != spec.fingerprint:
        raise InputError(
            f"{spec.shards}: its fingerprint is {shards.manifest.fingerprint[:12]}, "
            f"the trial's is {spec.fingerprint[:12]}; point --shards at the data of the trial"
        )
    return shards
