"""The training loop: a plain function of a trial's spec and a directory.

Ray Train runs it in each worker; `python -m vrnn.training` runs it alone. All randomness is keyed by what it is for,
and an epoch's plan follows from seed and epoch, so a run that stopped goes on at any batch with nothing to restore but
weights, optimiser, counters and sums.

Training may maximise a modified bound (`vrnn.training.objective`) on pieces of sequences (`vrnn.training.tbptt`);
validation is always the bound itself on whole sequences, and the only thing that chooses the checkpoint.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import torch

from pipelines.batches.frames import FrameSource, Positions, plan_epoch, rank_share
from pipelines.batches.protocol import Framing
from pipelines.batches.roles import Roles, assign_roles
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.device.device import computing_device
from vrnn.device.peak import brief_peak, pass_operations, peak_memory, reset_peak_memory
from vrnn.device.precision import allow_tf32, arithmetic, parameter_dtype, product_dtype
from vrnn.models import SequenceModel, build_model
from vrnn.scan.packed_weights import unchanging_weights
from vrnn.training.checkpointing import Keeper, Saving
from vrnn.training.checkpoints import (
    BEST,
    Checkpoint,
    EpochRecord,
    TrainingState,
)
from vrnn.training.data_loading import Feeder, Portion
from vrnn.training.distributed import Group
from vrnn.training.epoch_metrics import Tally
from vrnn.training.errors import CheckpointError
from vrnn.training.objective import kl_factor_at
from vrnn.training.optimiser import Optimiser
from vrnn.training.spec import TrialSpec
from vrnn.training.step import Share
from vrnn.training.tbptt import cut, planned_steps
from vrnn.training.validation import validate

__all__ = ["TrainResult", "Trainer", "train"]

OnEpoch = Callable[[EpochRecord], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        checkpoint: the best checkpoint's place; None before the first validation.
        state: the run's end; not `finished` where it was asked to stop.
    """

    checkpoint: Location | None
    state: TrainingState


def _never() -> bool:
    return False


def train(
    spec: TrialSpec,
    out: Location,
    on_epoch: OnEpoch = lambda record: None,
    saving: Saving | None = None,
    micro_batch: int = 0,
    stop: Callable[[], bool] = _never,
) -> TrainResult:
    """Fit a trial's model, or go on where an earlier run of the same trial ended, with the bits it would have had.

    Args:
        spec: the trial.
        out: where checkpoints go; one trial has one directory, which rank 0 alone reads and writes.
        on_epoch: called on every rank after each epoch.
        saving: how the run is saved.
        micro_batch: sequences that a rank computes on at once, 0 for all of its share; a run that goes on keeps the
            smaller of its own and this. Gradients are summed, so figures change by rounding alone.
        stop: asked after every batch; once it says so on any rank, the run is saved and ends unfinished.

    Raises:
        InputError: the shards cannot be used, or are not those of the spec.
        CheckpointError: `out` holds another trial's run, or checkpoints of which none can be read.
    """
    trainer = Trainer(spec, out, saving, micro_batch, stop)
    while not trainer.state.finished:
        record = trainer.run_epoch()
        if record is None:
            break
        on_epoch(record)
    return TrainResult(out / BEST if trainer.state.best_epoch else None, trainer.state)


class Trainer:
    """A run in progress."""

    def __init__(
        self,
        spec: TrialSpec,
        out: Location,
        saving: Saving | None = None,
        micro_batch: int = 0,
        stop: Callable[[], bool] = _never,
    ) -> None:
        """Open the data and build the model, or read both back from `out`; see `train`."""
        self.spec = spec
        self.out = out
        self.keeper = Keeper(out, saving or Saving())
        self.group = Group.current()
        self.device = computing_device()
        reset_peak_memory(self.device)
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
        rules = spec.optimisation
        steps = planned_steps(self.fit_source.lengths, rules, spec.seed) if rules.schedule != "constant" else 0
        self.optimiser = Optimiser(self.model, rules, steps)
        self.state = self._resume()
        self.state.micro_batch = min(filter(None, (self.state.micro_batch, micro_batch)), default=0)
        self._stop = stop
        self._stopping = False

    def _resume(self) -> TrainingState:
        last = self.group.from_leader(self.keeper.newest)
        if last is None:
            return TrainingState()
        if last.spec.key != self.spec.key:
            raise CheckpointError(
                f"{self.out}: holds a run of another trial ({last.spec.key}, not {self.spec.key}); choose another --out"
            )
        if last.optimiser is None:
            raise CheckpointError(f"{self.out}: holds no training state to go on from; choose another --out")
        self.optimiser.load_state_dict(last.optimiser)
        return last.state

    def run_epoch(self) -> EpochRecord | None:
        """What is left of a pass over the training sequences, a validation, and the checkpoints.

        Returns:
            The epoch's record; None where the run was asked to stop, and was saved.
        """
        self._fit_pass()
        stopped = self._stopping and self.state.diverged_at_step is None
        figures = None if stopped else self._validate()
        if figures is None:
            self._save()
            return None
        tally = self.state.under_way
        valid, valid_kl = figures
        frames_per_second = tally.frames / tally.seconds
        record = EpochRecord(
            epoch=self.state.epoch + 1,
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
            seconds=tally.seconds,
            frames_per_second=frames_per_second,
            data_wait_share=tally.waited / tally.seconds,
            fraction_of_peak=frames_per_second * self._operations / self._peak,
            peak_memory_gib=self._memory(),
            workers=self.group.size,
        )
        self._close_epoch(record)
        return record

    @cached_property
    def _peak(self) -> float:
        """Operations a second that the ranks reach together with large products."""
        peak = brief_peak(self.device, product_dtype(self.spec.optimisation.precision))
        return self.group.total(torch.tensor([peak], dtype=torch.float64, device=self.device)).item()

    @cached_property
    def _operations(self) -> float:
        return pass_operations(self.model, 1, backward=True)

    def _memory(self) -> float:
        used = peak_memory(self.device)
        gib = math.nan if used is None else used / 2**30
        return self.group.largest(torch.tensor([gib], dtype=torch.float64, device=self.device)).item()

    def _validate(self) -> tuple[float, float] | None:
        if self.state.diverged_at_step is not None:
            return math.nan, math.nan
        rules = self.spec.optimisation
        with arithmetic(self.device, rules.precision), unchanging_weights():
            return validate(
                self.optimiser.scored_model,
                self._select_feeder,
                self.select_source.lengths,
                min(rules.evaluation_batch_size, self.state.micro_batch or rules.evaluation_batch_size),
                self.group,
                self._stop,
            )

    @property
    def _kl_factor(self) -> float:
        return kl_factor_at(self.state.step, self.spec.optimisation.kl_warmup_steps)

    def _fit_pass(self) -> None:
        """The batches of the epoch's plan that are not behind the run yet, with a checkpoint whenever one is due."""
        tally, epoch = self.state.under_way, self.state.epoch
        key = ("train", self.spec.seed, epoch)
        plan = plan_epoch(self.fit_source.lengths, self.spec.optimisation.batch_size, self.spec.seed, epoch)
        plan = plan[tally.batches :]
        shares = (rank_share(positions, self.group.rank, self.group.size) for positions in plan)
        with closing(self._fit_feeder.portions(shares, key, key)) as portions:
            start, waited = time.perf_counter(), self._fit_feeder.waited
            for positions, portion in zip(plan, portions, strict=True):
                self._fit_batch(positions, portion, tally)
                tally.batches += 1
                tally.seconds += time.perf_counter() - start
                tally.waited += self._fit_feeder.waited - waited
                if self.optimiser.diverged:
                    self._diverge()
                    break
                if self._stopping:
                    break
                if self.keeper.due:
                    self._save()
                start, waited = time.perf_counter(), self._fit_feeder.waited

    def _fit_batch(self, positions: Positions, portion: Portion, tally: Tally) -> None:
        """The steps of a global batch: one for each piece of it, until one is left out.

        What follows a step that was not finite would start from a state that may not be.
        """
        share = Share(self.model, portion, self.state.micro_batch)
        for piece in cut(self.fit_source.lengths[positions], self.spec.optimisation.truncate_frames):
            self.optimiser.zero_grad()
            figures = share.add_gradients(piece, self.spec.optimisation, self._kl_factor)
            nats, kl_nats, stops = self.group.total(torch.cat([figures, figures.new_tensor([self._stop()])])).tolist()
            self._stopping = self._stopping or stops > 0
            self.group.sum_gradients(self.model)
            self.state.step += 1
            norm = self.optimiser.step(nats)
            if norm is None:
                tally.skipped += 1
                break
            tally.add(nats, kl_nats, piece.frames, norm)

    def _save(self) -> None:
        if self.group.leads:
            self.keeper.keep_last(self._checkpoint(with_optimiser=True))

    def _diverge(self) -> None:
        """End the run at the first of the steps that were left out last, or at the last step where none was."""
        self.state.diverged_at_step = self.state.step - max(self.optimiser.skipped_in_a_row - 1, 0)

    def _close_epoch(self, record: EpochRecord) -> None:
        state, optimisation = self.state, self.spec.optimisation
        if state.diverged_at_step is None and not math.isfinite(record.valid_nats_per_frame):
            self._diverge()
        state.epoch = record.epoch
        state.history.append(record)
        state.under_way = Tally()
        better = state.diverged_at_step is None and record.valid_nats_per_frame > state.best_valid
        if better:
            state.best_valid, state.best_epoch = record.valid_nats_per_frame, record.epoch
        state.finished = (
            state.diverged_at_step is not None
            or state.epoch >= optimisation.max_epochs
            or state.epoch - state.best_epoch >= optimisation.patience
        )
        if better and self.group.leads:
            self.keeper.keep_best(self._checkpoint(with_optimiser=False))
        self._save()
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
