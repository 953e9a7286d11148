"""The training loop: a plain function of a trial's spec and a directory.

`python -m vrnn.training` and a local trial call it directly; Ray Train calls it in each worker. All randomness is keyed
by its purpose, and an epoch's plan depends on seed and epoch alone. A run that stopped therefore resumes at any batch
from its weights, optimiser, counters and sums, and ends with the bits of a run that did not stop.

Training may maximise a modified bound on segments of sequences (`vrnn.training.step`); validation always computes the
bound itself on whole sequences, and alone chooses the checkpoint.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from pipelines.batches.epoch_plan import plan_epoch, plan_evaluation, rank_share
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import Framing
from pipelines.batches.roles import Roles, assign_roles
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.device.device import computing_device
from vrnn.device.peak import brief_peak, pass_operations, peak_memory, reset_peak_memory
from vrnn.device.precision import allow_tf32, arithmetic, parameter_dtype, product_dtype
from vrnn.errors import CheckpointError
from vrnn.likelihood.bounds import elbo, exact
from vrnn.models import SequenceModel, State, build_model
from vrnn.scan.packed_weights import unchanging_weights
from vrnn.training.checkpoints import BEST, Checkpoint, CheckpointDirectory, CheckpointPolicy, TrainingState
from vrnn.training.data_loading import BatchLoader
from vrnn.training.distributed import Group
from vrnn.training.epoch_metrics import EpochRecord, EpochSums
from vrnn.training.optimiser import Optimiser
from vrnn.training.spec import TrialSpec
from vrnn.training.step import kl_factor_at, planned_steps, split_segments, train_step

__all__ = ["OnEpoch", "Run", "TrainResult", "finish_epoch", "never", "open_run", "train", "train_epoch"]

OnEpoch = Callable[[EpochRecord], None]


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        checkpoint: where the best checkpoint is; None before the first validation.
        state: the progress of the run; not `finished` where it was asked to stop.
    """

    checkpoint: Location | None
    state: TrainingState


def never() -> bool:
    """Never ask a run to stop."""
    return False


def train(
    spec: TrialSpec,
    out: Location,
    on_epoch: OnEpoch = lambda record: None,
    policy: CheckpointPolicy | None = None,
    micro_batch: int = 0,
    stop: Callable[[], bool] = never,
) -> TrainResult:
    """Fit a trial's model; where an earlier run of the same trial stopped, resume it, with the same bits in the end.

    Args:
        spec: the trial.
        out: where checkpoints go; a directory belongs to one trial, and rank 0 alone reads and writes it.
        on_epoch: called on every rank after each epoch.
        policy: when checkpoints are written.
        micro_batch: sequences that a rank computes at once, 0 for all of its share; a run that resumes keeps the
            smaller of its own and this. Gradients are summed, so results change by rounding alone.
        stop: asked after every batch; once it is true on any rank, the run is saved and ends unfinished.

    Raises:
        InputError: the shards cannot be used, or are not those of the spec.
        CheckpointError: `out` holds another trial's run, or checkpoints of which none can be read.
    """
    run = open_run(spec, out, policy, micro_batch)
    while not run.state.finished:
        stopped = train_epoch(run, stop)
        record = None if stopped else finish_epoch(run, stop)
        if record is None:
            run.save_last()
            break
        on_epoch(record)
    return TrainResult(out / BEST if run.state.best_epoch else None, run.state)


@dataclass
class Run:
    """All that a run needs, on one rank.

    Attributes:
        spec: the trial.
        group: the ranks that share each batch.
        device: where it computes.
        framing: protocol and normalisation constants.
        roles: what each split is used for.
        corpus: name of the corpus.
        train_source: the sequences to fit to.
        valid_source: the sequences that choose the checkpoint.
        train_loader: loads batches of `train_source`.
        valid_loader: loads batches of `valid_source`.
        model: the model that is trained.
        optimiser: changes its weights, and averages them.
        directory: its checkpoints.
        state: its progress.
        peak: operations a second that the ranks together reach with large matrix products; None until measured.
    """

    spec: TrialSpec
    group: Group
    device: torch.device
    framing: Framing
    roles: Roles
    corpus: str
    train_source: FrameSource
    valid_source: FrameSource
    train_loader: BatchLoader
    valid_loader: BatchLoader
    model: SequenceModel[Any]
    optimiser: Optimiser
    directory: CheckpointDirectory
    state: TrainingState = field(default_factory=TrainingState)
    peak: float | None = None

    @property
    def kl_factor(self) -> float:
        """Beta of the next step's objective."""
        return kl_factor_at(self.state.step, self.spec.optimisation.kl_warmup_steps)

    def save_last(self) -> None:
        """Write a checkpoint to resume from, on rank 0."""
        if self.group.leads:
            self.directory.save_last(self._checkpoint(with_optimiser=True))

    def save_best(self) -> None:
        """Write the checkpoint that is scored, on rank 0."""
        if self.group.leads:
            self.directory.save_best(self._checkpoint(with_optimiser=False))

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


def open_run(spec: TrialSpec, out: Location, policy: CheckpointPolicy | None = None, micro_batch: int = 0) -> Run:
    """Open the data and build the model, or resume from the newest checkpoint in `out`; see `train`."""
    rules, device = spec.optimisation, computing_device()
    dtype = parameter_dtype(rules.precision)
    reset_peak_memory(device)
    allow_tf32(rules.precision)
    shards = ShardSet(Location(spec.shards))
    if shards.manifest.fingerprint != spec.fingerprint:
        raise InputError(
            f"{spec.shards}: its fingerprint is {shards.manifest.fingerprint[:12]}, "
            f"the trial's is {spec.fingerprint[:12]}; point --shards at the data of the trial"
        )
    framing, roles = Framing.fit(spec.protocol, shards.manifest), assign_roles(shards, spec.protocol)
    train_source, valid_source = (FrameSource(shards, framing, rows) for rows in (roles.fit, roles.select))
    model = build_model(spec.model, torch.Generator().manual_seed(spec.seed))
    model.to(device, dtype)
    # The steps of a whole run are counted from the epoch plans, which takes a while: only a schedule needs them.
    steps = planned_steps(train_source.lengths, rules, spec.seed) if rules.schedule != "constant" else 0
    run = Run(
        spec=spec,
        group=Group.current(),
        device=device,
        framing=framing,
        roles=roles,
        corpus=shards.manifest.corpus,
        train_source=train_source,
        valid_source=valid_source,
        train_loader=BatchLoader(train_source, model.latent_size, device, dtype),
        valid_loader=BatchLoader(valid_source, model.latent_size, device, dtype),
        model=model,
        optimiser=Optimiser(model, rules, steps),
        directory=CheckpointDirectory(out, policy or CheckpointPolicy()),
    )
    last = run.group.from_leader(run.directory.load_newest)
    if last is not None:
        if last.spec.key != spec.key:
            raise CheckpointError(
                f"{out}: holds a run of another trial ({last.spec.key}, not {spec.key}); choose another --out"
            )
        if last.optimiser is None:
            raise CheckpointError(f"{out}: holds no training state to resume from; choose another --out")
        run.optimiser.load_state_dict(last.optimiser)
        run.state = last.state
    # A run that once had too little memory keeps its smaller micro-batch.
    run.state.micro_batch = min(filter(None, (run.state.micro_batch, micro_batch)), default=0)
    return run


def train_epoch(run: Run, stop: Callable[[], bool] = never) -> bool:
    """Train on the batches of the epoch's plan that are left, and write a checkpoint whenever one is due.

    Returns:
        Whether any rank was asked to stop, so that the epoch is not complete.
    """
    rules, state, optimiser, lengths = run.spec.optimisation, run.state, run.optimiser, run.train_source.lengths
    sums, loader = state.epoch_sums, run.train_loader
    plan = plan_epoch(lengths, rules.batch_size, run.spec.seed, state.epoch)[sums.batches :]
    shares = (rank_share(positions, run.group.rank, run.group.size) for positions in plan)
    key = ("train", run.spec.seed, state.epoch)
    stopped = False
    with closing(loader.load(shares, key, key)) as batches:
        start, waited = time.perf_counter(), loader.waited
        for positions, loaded in zip(plan, batches, strict=True):
            states: dict[int, State] = {}
            for segment in split_segments(lengths[positions], rules.truncate_frames):
                result = train_step(
                    run.model,
                    optimiser,
                    run.group,
                    rules,
                    loaded,
                    segment,
                    states,
                    micro_batch=state.micro_batch,
                    kl_factor=run.kl_factor,
                    stop=stop,
                )
                state.step += 1
                stopped = stopped or result.stop
                if result.norm is None:
                    # The state at the segment's end may not be finite either: skip the rest of the batch.
                    sums.skipped += 1
                    break
                sums.add(result.nats, result.kl_nats, segment.real_frames, result.norm)
            sums.batches += 1
            sums.seconds += time.perf_counter() - start
            sums.waited += loader.waited - waited
            if optimiser.diverged:
                _mark_diverged(run)
                break
            if stopped:
                break
            if run.directory.is_due:
                run.save_last()
            start, waited = time.perf_counter(), loader.waited
    return stopped and state.diverged_at_step is None


def finish_epoch(run: Run, stop: Callable[[], bool] = never) -> EpochRecord | None:
    """Validate after an epoch's training, record its metrics and write checkpoints.

    Returns:
        The epoch's record; None where any rank was asked to stop while it validated: the next run does it again.
    """
    state = run.state
    valid = (math.nan, math.nan) if state.diverged_at_step is not None else validate(run, stop)
    if valid is None:
        return None
    record = _epoch_record(run, *valid)
    if state.diverged_at_step is None and not math.isfinite(record.valid_nats_per_frame):
        _mark_diverged(run)
    state.epoch = record.epoch
    state.history.append(record)
    state.epoch_sums = EpochSums()
    is_better = state.diverged_at_step is None and record.valid_nats_per_frame > state.best_valid
    if is_better:
        state.best_valid, state.best_epoch = record.valid_nats_per_frame, record.epoch
    state.finished = (
        state.diverged_at_step is not None
        or state.epoch >= run.spec.optimisation.max_epochs
        or state.epoch - state.best_epoch >= run.spec.optimisation.patience
    )
    if is_better:
        run.save_best()
    run.save_last()
    # No rank starts the next epoch, or ends, before the checkpoint is written.
    run.group.barrier()
    return record


def _mark_diverged(run: Run) -> None:
    """Note where the run diverged: at the first of the last skipped steps, or at the last step if none was skipped."""
    run.state.diverged_at_step = run.state.step - max(run.optimiser.skipped_in_a_row - 1, 0)


def _epoch_record(run: Run, valid: float, valid_kl: float) -> EpochRecord:
    rules, state, sums = run.spec.optimisation, run.state, run.state.epoch_sums

    def on_device(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64, device=run.device)

    if run.peak is None:
        peak = brief_peak(run.device, product_dtype(rules.precision))
        run.peak = run.group.total(on_device(peak)).item()
    frames_per_second = sums.frames / sums.seconds
    used = peak_memory(run.device)
    return EpochRecord(
        epoch=state.epoch + 1,
        step=state.step,
        train_nats_per_frame=sums.nats_per_frame,
        train_kl_nats_per_frame=sums.kl_nats_per_frame,
        valid_nats_per_frame=valid,
        valid_kl_nats_per_frame=valid_kl,
        gradient_norm_mean=sums.norm_mean,
        gradient_norm_max=sums.norm_max,
        clipped_share=sums.clipped_share(rules.clip_norm),
        skipped_steps=sums.skipped,
        learning_rate=run.optimiser.learning_rate,
        kl_factor=run.kl_factor,
        seconds=sums.seconds,
        frames_per_second=frames_per_second,
        data_wait_share=sums.waited / sums.seconds,
        fraction_of_peak=frames_per_second * pass_operations(run.model, 1, backward=True) / run.peak,
        peak_memory_gib=run.group.largest(on_device(math.nan if used is None else used / 2**30)).item(),
        workers=run.group.size,
    )


def validate(run: Run, stop: Callable[[], bool]) -> tuple[float, float] | None:
    """The exact log-likelihood or one-sample ELBO of whole sequences, and its KL part, in nats per frame.

    The estimators are those of the scores, without what training modifies of the bound. The noise is the same after
    every epoch, so that scores differ by the weights alone.

    Returns:
        Both over all ranks, the KL nan without a latent; None where any rank was asked to stop.
    """
    rules, model, lengths = run.spec.optimisation, run.optimiser.scored_model, run.valid_source.lengths
    # A micro-batch that fits in training fits here too.
    batch_size = min(rules.evaluation_batch_size, run.state.micro_batch or rules.evaluation_batch_size)
    plan = plan_evaluation(lengths, batch_size)
    shares = filter(len, (rank_share(positions, run.group.rank, run.group.size) for positions in plan))
    sums = torch.zeros(3, dtype=torch.float64, device=run.device)  # nats, KL nats, ranks asked to stop
    with (
        torch.no_grad(),
        arithmetic(run.device, rules.precision),
        unchanging_weights(),
        closing(run.valid_loader.load(shares, ("evaluate",), ("validate",))) as batches,
    ):
        for loaded in batches:
            batch = loaded.batch
            if loaded.noise is None:
                sums[0] += exact(model, batch.frames, batch.mask).sum()
                sums[1] += math.nan
            else:
                bound = elbo(model, batch.frames, batch.mask, loaded.noise)
                sums[0] += bound.value.sum()
                sums[1] += bound.kl.sum()
            if stop():
                sums[2] = 1
                break
    nats, kl_nats, stops = cast(list[float], run.group.total(sums).tolist())  # pyright: ignore[reportUnknownMemberType]
    frames = int(lengths.sum())
    return None if stops else (nats / frames, kl_nats / frames)
