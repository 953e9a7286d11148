"""What a study would take before any of it is run: trials, sizes, steps, memory and time.

Sizes and steps are counted. Memory and time are estimates from a short piece of each model's training step, run here on
random frames: its rate, and what it keeps of each frame for the way back. They hold for this machine and one process a
trial. Early stopping can only make training shorter; reading data and validation are left out.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.schema.suite import Suite
from benchmarks.suites.suite import Trial, expand, references
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
from vrnn.training.objective import objective
from vrnn.training.tbptt import planned_steps

__all__ = ["Forecast", "TrialForecast", "forecast"]

_BYTES_A_WEIGHT = 16
"""The weight, its gradient and Adam's two moments in float32."""
_OF_WHAT_IS_KEPT = 3.0
"""Memory of a step over what is kept for the way back, with the gradients that are under way: measured, 2.4 to 3.1."""
_FRAMES, _FEWEST_FRAMES = 40, 2
_PIECE_SECONDS = 0.5
"""At the machine's peak: what a timed piece is made short for."""


@dataclass(frozen=True)
class TrialForecast:
    """What one trial would take.

    Attributes:
        name, corpus, protocol, model, seed: which.
        done: whether its result is on disk already.
        parameters: of the model.
        sequences, frames: of an epoch.
        steps: of the optimiser, at most.
        memory_gib: of weights, optimiser and the largest batch; without Python's own and the decoded data.
        training_seconds: at most.
        scoring_seconds: of all estimators and repetitions.
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
    """What a study would take.

    Attributes:
        study: its name.
        trials: in the order in which they would be run.
        references: how many rows need no training.
        concurrent: trials at once.
        seconds_left: of the trials that are not done, one after another; divide by `concurrent` where cores allow.
    """

    study: str
    trials: tuple[TrialForecast, ...]
    references: int
    concurrent: int
    seconds_left: float


@dataclass(frozen=True)
class _Cost:
    """Of a training step: seconds and bytes kept for the way back, of a frame of one sequence."""

    seconds: float
    bytes_kept: float


@dataclass(frozen=True)
class _Corpus:
    """Lengths in frames of what is fitted on and of what is reported."""

    fit: Positions
    report: Positions


def forecast(suite: Suite) -> Forecast:
    """Count and estimate what a suite would take.

    Raises:
        StudyError, InputError, ModelError: the suite or its shards are wrong.
    """
    trials, costs, corpora = expand(suite), {}, {}
    found = tuple(_trial_forecast(suite, trial, costs, corpora) for trial in trials)
    left = sum(trial.training_seconds + trial.scoring_seconds for trial in found if not trial.done)
    return Forecast(suite.study, found, len(references(suite)), suite.concurrent, left)


def _trial_forecast(
    suite: Suite,
    trial: Trial,
    costs: dict[tuple[ModelConfig, int, Precision], tuple[int, _Cost]],
    corpora: dict[str, _Corpus],
) -> TrialForecast:
    spec, rules = trial.spec, trial.spec.optimisation
    where = f"{trial.corpus.name}/{trial.corpus.protocol}"
    if where not in corpora:
        corpora[where] = _corpus(trial)
    lengths = corpora[where].fit
    at_once = min(rules.batch_size, len(lengths), suite.resources.micro_batch or rules.batch_size)
    case = (spec.architecture, at_once, rules.precision)
    if case not in costs:
        costs[case] = _measured(*case)
    parameters, cost = costs[case]
    passes = sum(samples * suite.scoring.repeats for _, samples in estimators_of(suite.scoring, spec.architecture))
    frames, held = int(lengths.sum()), _OF_WHAT_IS_KEPT * cost.bytes_kept * _largest(trial, lengths, at_once)
    return TrialForecast(
        name=trial.name,
        corpus=trial.corpus.name,
        protocol=trial.corpus.protocol,
        model=spec.architecture.name,
        seed=spec.seed,
        done=finished_outcome(task_of(suite, trial)) is not None,
        parameters=parameters,
        sequences=len(lengths),
        frames=frames,
        steps=planned_steps(lengths, rules, spec.seed),
        memory_gib=(_BYTES_A_WEIGHT * parameters + held) / 2**30,
        training_seconds=cost.seconds * frames * rules.max_epochs,
        scoring_seconds=cost.seconds / 3 * int(corpora[where].report.sum()) * passes,
    )


def _corpus(trial: Trial) -> _Corpus:
    shards, protocol = ShardSet(Location(trial.spec.shards)), trial.spec.protocol
    roles, framing = assign_roles(shards, protocol), Framing.fit(protocol, shards.manifest)
    reported = split_rows(shards, protocol, (roles.report_split,))
    fit, report = (FrameSource(shards, framing, rows).lengths for rows in (roles.fit, reported))
    return _Corpus(fit, report)


def _largest(trial: Trial, lengths: Positions, at_once: int) -> int:
    """Frames times sequences of the largest batch, or piece of one, that is on its way back at once."""
    rules = trial.spec.optimisation
    longest = rules.truncate_frames or int(lengths.max())
    return max(
        min(int(lengths[batch].max()), longest) * min(len(batch), at_once)
        for batch in plan_epoch(lengths, rules.batch_size, trial.spec.seed, 0)
    )


def _measured(config: ModelConfig, sequences: int, precision: Precision) -> tuple[int, _Cost]:
    """The number of a model's parameters, and the cost of its training step on so many sequences."""
    device, dtype = computing_device(), parameter_dtype(precision)
    generator = torch.Generator().manual_seed(0)
    model = build_model(config, generator).to(device=device, dtype=dtype)
    frames = _piece_frames(model, sequences, brief_peak(device, dtype))
    x = torch.rand(frames, sequences, config.frame_size, generator=generator).round().to(device, dtype)
    noise = torch.randn(frames, sequences, config.latent, generator=generator).to(device, dtype)
    kept = _step(model, x, noise if config.latent else None)
    synchronise(device)
    start = time.perf_counter()
    _step(model, x, noise if config.latent else None)
    synchronise(device)
    seconds = time.perf_counter() - start
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, _Cost(seconds / (frames * sequences), kept / (frames * sequences))


def _piece_frames(model: SequenceModel, sequences: int, peak: float) -> int:
    affordable = _PIECE_SECONDS * peak / pass_operations(model, sequences, backward=True)
    return int(min(max(affordable, _FEWEST_FRAMES), _FRAMES))


def _step(model: SequenceModel, x: Tensor, noise: Tensor | None) -> int:
    """Go forth and back once; the bytes that were kept for the way back, weights left out."""
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
