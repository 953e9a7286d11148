"""The plan of a study before it runs: trials, sizes, steps, memory and time.

Sizes and steps are counted. Memory and time are extrapolated from a short training step of each model on random frames:
its rate, and the activations that it keeps of each frame for the backward pass. They hold for this machine and one
process per trial. Early stopping can only make training shorter; reading data and validation are not included.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.schema.suite import Suite
from benchmarks.suites.suite import Trial, codec_baselines, expand
from benchmarks.trials.task import finished_outcome, task_of
from benchmarks.trials.trial import estimators_of
from pipelines.batches.epoch_plan import Positions, plan_epoch
from pipelines.batches.frames import FrameSource
from pipelines.batches.protocol import Framing
from pipelines.batches.roles import assign_roles, split_rows
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.device.device import computing_device
from vrnn.device.peak import brief_peak, pass_operations, synchronise
from vrnn.device.precision import Precision, parameter_dtype
from vrnn.models import ModelConfig, SequenceModel, build_model
from vrnn.training.step import objective, planned_steps

__all__ = ["Forecast", "TrialForecast", "forecast"]

_BYTES_PER_WEIGHT = 16
"""The weight, its gradient and Adam's two moments in float32."""
_STEP_MEMORY = 3.0
"""Peak memory of a step over its kept activations, because of gradients in flight; measured as 2.4 to 3.1."""
_MOST_FRAMES, _LEAST_FRAMES = 40, 2
_STEP_SECONDS = 0.5
"""The timed step is made this short, if it ran at the machine's peak."""


@dataclass(frozen=True)
class TrialForecast:
    """The plan of one trial.

    Attributes:
        done: whether its result is on disk already.
        parameters: number of the model's parameters.
        sequences, frames: in an epoch.
        steps: the most steps of the optimiser.
        memory_gib: memory of weights, optimiser and the largest batch, without Python and the decoded data.
        training_seconds: time of training without early stopping.
        scoring_seconds: time of all estimators and repetitions.
    """

    name: str
    corpus: str
    protocol: str
    model: str
    seed: int
    done: bool
    parameters: int
    sequences: int
    frames: int
    steps: int
    memory_gib: float
    training_seconds: float
    scoring_seconds: float


@dataclass(frozen=True)
class Forecast:
    """The plan of a study.

    Attributes:
        trials: in the order in which they would run.
        references: number of baselines without training.
        concurrent: trials that run in parallel.
        seconds_left: time of the trials that are not done, one after another; divide it by `concurrent` if there are
            enough cores.
    """

    study: str
    trials: tuple[TrialForecast, ...]
    references: int
    concurrent: int
    seconds_left: float


@dataclass(frozen=True)
class _Cost:
    """The cost of a training step, per frame of one sequence: seconds, and bytes kept for the backward pass."""

    seconds: float
    kept_bytes: float


def forecast(suite: Suite) -> Forecast:
    """Plan a suite.

    Raises:
        StudyError, InputError, ModelError: the suite or its shards are wrong.
    """
    # Trials share their corpus, and seeds of a model share its cost: both are computed once.
    costs: dict[tuple[ModelConfig, int, Precision], tuple[int, _Cost]] = {}
    corpora: dict[str, tuple[Positions, Positions]] = {}
    trials = tuple(_trial_forecast(suite, trial, costs, corpora) for trial in expand(suite))
    left = sum(trial.training_seconds + trial.scoring_seconds for trial in trials if not trial.done)
    return Forecast(suite.study, trials, len(codec_baselines(suite)), suite.concurrent, left)


def _trial_forecast(
    suite: Suite,
    trial: Trial,
    costs: dict[tuple[ModelConfig, int, Precision], tuple[int, _Cost]],
    corpora: dict[str, tuple[Positions, Positions]],
) -> TrialForecast:
    spec, rules = trial.spec, trial.spec.optimisation
    where = f"{trial.corpus.name}/{trial.corpus.protocol}"
    if where not in corpora:
        corpora[where] = _lengths(trial)
    lengths, reported = corpora[where]
    micro_batch = min(rules.batch_size, len(lengths), suite.resources.micro_batch or rules.batch_size)
    case = (spec.model, micro_batch, rules.precision)
    if case not in costs:
        costs[case] = _measure(*case)
    parameters, cost = costs[case]
    passes = sum(samples * suite.scoring.repeats for _, samples in estimators_of(suite.scoring, spec.model))
    frames = int(lengths.sum())
    # Frames times sequences of the largest batch, or part of one, whose activations are in memory at once.
    longest = rules.truncate_frames or int(lengths.max())
    largest = max(
        min(int(lengths[batch].max()), longest) * min(len(batch), micro_batch)
        for batch in plan_epoch(lengths, rules.batch_size, spec.seed, 0)
    )
    step_bytes = _STEP_MEMORY * cost.kept_bytes * largest
    return TrialForecast(
        name=trial.name,
        corpus=trial.corpus.name,
        protocol=trial.corpus.protocol,
        model=spec.model.name,
        seed=spec.seed,
        done=finished_outcome(task_of(suite, trial)) is not None,
        parameters=parameters,
        sequences=len(lengths),
        frames=frames,
        steps=planned_steps(lengths, rules, spec.seed),
        memory_gib=(_BYTES_PER_WEIGHT * parameters + step_bytes) / 2**30,
        training_seconds=cost.seconds * frames * rules.max_epochs,
        # A third of a training step is its forward pass, which is all that scoring needs.
        scoring_seconds=cost.seconds / 3 * int(reported.sum()) * passes,
    )


def _lengths(trial: Trial) -> tuple[Positions, Positions]:
    """Lengths in frames of the sequences that are trained on, and of those that are reported."""
    shards, protocol = ShardSet(Location(trial.spec.shards)), trial.spec.protocol
    roles, framing = assign_roles(shards, protocol), Framing.fit(protocol, shards.manifest)
    reported = split_rows(shards, protocol, (roles.report_split,))
    fit, report = (FrameSource(shards, framing, rows).lengths for rows in (roles.fit, reported))
    return fit, report


def _measure(config: ModelConfig, sequences: int, precision: Precision) -> tuple[int, _Cost]:
    """The number of a model's parameters, and the cost of its training step on a batch of `sequences`."""
    device, dtype = computing_device(), parameter_dtype(precision)
    generator = torch.Generator().manual_seed(0)
    model = build_model(config, generator).to(device=device, dtype=dtype)
    affordable = _STEP_SECONDS * brief_peak(device, dtype) / pass_operations(model, sequences, backward=True)
    frames = int(min(max(affordable, _LEAST_FRAMES), _MOST_FRAMES))
    x = torch.rand(frames, sequences, config.frame_size, generator=generator).round().to(device, dtype)
    noise = torch.randn(frames, sequences, config.latent, generator=generator).to(device, dtype)
    # The first step warms up, and shows what is kept for the backward pass; the second is timed.
    kept = _step(model, x, noise if config.latent else None)
    synchronise(device)
    start = time.perf_counter()
    _step(model, x, noise if config.latent else None)
    synchronise(device)
    seconds = time.perf_counter() - start
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, _Cost(seconds / (frames * sequences), kept / (frames * sequences))


def _step(model: SequenceModel, x: Tensor, noise: Tensor | None) -> int:
    """A forward and a backward pass; returns the bytes kept in between, without the weights."""
    storages = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = -objective(model(x, mask, noise), mask).sum()
    loss.backward()
    return sum(kept.values())
