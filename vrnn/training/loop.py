"""The training loop: a plain function of a trial's spec and a directory.

Ray Train runs it in each worker; `python -m vrnn.training` runs it alone. All randomness is keyed by what it is for,
so a run that stopped goes on at the next epoch with nothing to restore but weights, optimiser and counters.

Training may maximise a modified bound (`vrnn.training.objective`) on pieces of sequences (`vrnn.training.pieces`);
validation is always the bound itself on whole sequences, and the only thing that chooses the checkpoint.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.batches import FrameSource, Positions, plan_epoch, rank_share
from pipelines.errors import InputError
from pipelines.protocol import Framing
from pipelines.roles import Roles, assign_roles
from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from vrnn.bounds import real_frames
from vrnn.models import SequenceModel, State, build_model
from vrnn.paths import computing_device
from vrnn.precision import allow_tf32, arithmetic, parameter_dtype
from vrnn.products import unchanging_weights
from vrnn.scan import holding
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
from vrnn.training.feeding import Feeder, Portion
from vrnn.training.group import Group
from vrnn.training.objective import bound_and_kl, kl_factor_at, objective
from vrnn.training.optimiser import Optimiser
from vrnn.training.pieces import Piece, cut, planned_steps
from vrnn.training.spec import TrialSpec
from vrnn.training.tally import Tally
from vrnn.training.validation import validate

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
        self.device = computing_device()
        self.dtype = parameter_dtype(spec.optimisation.precision)
        allow_tf32(spec.optimisation.precision)
        shards = open_shards(spec)
        self.corpus = shards.manifest.corpus
        self.framing = Framing.fit(spec.protocol, shards.manifest)
        self.roles: Roles = assign_roles(shards, spec.protocol)
        self.fit_source = FrameSource(shards, self.framing, self.roles.fit)
        self.select_source = FrameSource(shards, self.framing, self.roles.select)
        self.model: SequenceModel = build_model(spec.architecture, torch.Generator().manual_seed(spec.seed))
        self.model.to(self.device, self.dtype)
        latent = self.model.latent_size
        self._fit_feeder = Feeder(self.fit_source, latent, self.device, self.dtype)
        self._select_feeder = Feeder(self.select_source, latent, self.device, self.dtype)
        steps = planned_steps(self.fit_source.lengths, spec.optimisation, spec.seed)
        self.optimiser = Optimiser(self.model, spec.optimisation, steps)
        self.state = self._resume()

    def _resume(self) -> TrainingState:
        place = self.out / LAST
        if not place.is_file():
            return TrainingState()
        last = load_checkpoint(place)
        if last.spec.key != self.spec.key:
            raise CheckpointError(
                f"{self.out}: holds a run of another trial ({last.spec.key}, not {self.spec.key}); choose another --out"
            )
        if last.optimiser is None:
            raise CheckpointError(f"{place}: holds no training state to go on from; choose another --out")
        self.optimiser.load_state_dict(last.optimiser)
        return last.state

    def run_epoch(self) -> EpochRecord:
        """One pass over the training sequences, a validation, and the checkpoints."""
        epoch, start, waited = self.state.epoch, time.perf_counter(), self._fit_feeder.waited
        tally = self._fit_pass(epoch)
        seconds = time.perf_counter() - start
        valid, valid_kl = self._validate()
        record = EpochRecord(
            epoch=epoch + 1,
            step=self.state.step,
            train_nats_per_frame=tally.nats_per_frame,
            train_kl_nats_per_frame=tally.kl_nats_per_frame,
            valid_nats_per_frame=valid,
            valid_kl_nats_per_frame=valid_kl,
            gradient_norm_mean=tally.norm_mean,
            gradient_norm_max=tally.norm_max,
            clipped_share=tally.clipped_share(self.spec.optimisation.clip_norm),
            skipped_steps=tally.skipped,
            learning_rate=self.optimiser.learning_rate,
            kl_factor=self._kl_factor,
            seconds=seconds,
            frames_per_second=tally.frames / seconds,
            data_wait_share=(self._fit_feeder.waited - waited) / seconds,
        )
        self._close_epoch(record)
        return record

    def _validate(self) -> tuple[float, float]:
        if self.state.diverged_at_step is not None:
            return math.nan, math.nan
        rules = self.spec.optimisation
        with arithmetic(self.device, rules.precision), unchanging_weights():
            return validate(
                self.optimiser.scored_model,
                self._select_feeder,
                self.select_source.lengths,
                rules.evaluation_batch_size,
                self.group,
            )

    @property
    def _kl_factor(self) -> float:
        return kl_factor_at(self.state.step, self.spec.optimisation.kl_warmup_steps)

    def _fit_pass(self, epoch: int) -> Tally:
        tally, key = Tally(), ("train", self.spec.seed, epoch)
        plan = plan_epoch(self.fit_source.lengths, self.spec.optimisation.batch_size, self.spec.seed, epoch)
        shares = (rank_share(positions, self.group.rank, self.group.size) for positions in plan)
        with closing(self._fit_feeder.portions(shares, key, key)) as portions:
            for positions, portion in zip(plan, portions, strict=True):
                self._fit_batch(positions, portion, tally)
                if self.optimiser.diverged:
                    self._diverge()
                    break
        return tally

    def _fit_batch(self, positions: Positions, portion: Portion, tally: Tally) -> None:
        """The steps of a global batch: one for each piece of it, until one is left out.

        What follows a step that was not finite would start from a state that may not be.
        """
        state: State | None = None
        for piece in cut(self.fit_source.lengths[positions], self.spec.optimisation.truncate_frames):
            figures, state = self._gradients(portion, piece, state)
            nats, kl_nats = self.group.total(figures).tolist()
            self.group.sum_gradients(self.model)
            self.state.step += 1
            norm = self.optimiser.step(nats)
            if norm is None:
                tally.skipped += 1
                break
            tally.add(nats, kl_nats, piece.frames, norm)

    def _gradients(self, portion: Portion, piece: Piece, state: State | None) -> tuple[Tensor, State | None]:
        """This rank's part of a piece: its gradients, its bound and KL `[2]`, and the state to carry on."""
        self.optimiser.zero_grad()
        rules = self.spec.optimisation
        share, noise = portion.batch, portion.noise
        mask = share.mask[piece.place]
        if not mask.numel():
            return torch.zeros(2, dtype=torch.float64, device=self.device), None
        x = real_frames(share.frames[piece.place], mask)
        with arithmetic(self.device, rules.precision), holding(rules.held_frames):
            terms = self.model(x, mask, noise[piece.place] if noise is not None else None, state)
        value = objective(terms, mask, self._kl_factor, rules.free_nats)
        (-value.sum() / piece.frames).backward()
        return bound_and_kl(terms, mask), tuple(part.detach() for part in terms.state)

    def _diverge(self) -> None:
        """End the run at the first of the steps that were left out last, or at the last step where none was."""
        self.state.diverged_at_step = self.state.step - max(self.optimiser.skipped_in_a_row - 1, 0)

    def _close_epoch(self, record: EpochRecord) -> None:
        state, optimisation = self.state, self.spec.optimisation
        if state.diverged_at_step is None and not math.isfinite(record.valid_nats_per_frame):
            self._diverge()
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
            weights=self.optimiser.scored_model.state_dict(),
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
