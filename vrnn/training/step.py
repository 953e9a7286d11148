"""One training step, from the frames of a batch to the change of the weights.

The objective is the bound, or a modification of it that is easier to begin with:

    objective = sum_t log p(x_t | z_<=t, x_<t) - beta * max(KL_t, lambda)        over the real frames of a segment

With beta = 1 and lambda = 0 it is the bound. KL warm-up (Bowman et al. 2016; Sonderby et al. 2016) raises beta from 0,
and free nats (Kingma et al. 2016) give a frame's KL no gradient until it exceeds lambda: both keep a strong decoder
from switching the latent off before it is of use. Any other beta or lambda gives no bound, so it is never reported as
a score.

Truncated back-propagation through time cuts a batch of long sequences into segments, with one optimiser step each. A
segment starts from the detached state at the end of the one before: memory is that of one segment, the forward pass
sees all of the past, and the gradient sees no further back than the segment's first frame.

Shapes: T frames, B sequences of this rank's share of the batch, Z latents.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from pipelines.batches.epoch_plan import Positions, plan_epoch
from vrnn.device.precision import arithmetic
from vrnn.likelihood.bounds import real_frames, total
from vrnn.models import SequenceModel, State, Terms
from vrnn.scan.time_loop import activation_checkpointing
from vrnn.training.data_loading import LoadedBatch
from vrnn.training.distributed import Group
from vrnn.training.optimiser import Optimiser
from vrnn.training.spec import Optimisation

__all__ = [
    "Segment",
    "StepResult",
    "bound_and_kl",
    "kl_factor_at",
    "objective",
    "planned_steps",
    "split_segments",
    "train_step",
]


@dataclass(frozen=True)
class Segment:
    """Consecutive frames of a global batch.

    Attributes:
        frames: which frames; the last segment's slice has no end, so that it includes the padding.
        real_frames: the number of real ones, over all sequences of the global batch.
    """

    frames: slice
    real_frames: int


@dataclass(frozen=True)
class StepResult:
    """What one step did, over all ranks.

    Attributes:
        nats: the bound, summed over the sequences.
        kl_nats: its KL part; nan without a latent.
        norm: the norm of the gradient before clipping; None where the step was skipped because it was not finite.
        stop: whether any rank was asked to stop.
    """

    nats: float
    kl_nats: float
    norm: float | None
    stop: bool


def train_step(
    model: SequenceModel[Any],
    optimiser: Optimiser,
    group: Group,
    rules: Optimisation,
    loaded: LoadedBatch,
    segment: Segment,
    states: dict[int, State],
    *,
    micro_batch: int,
    kl_factor: float,
    stop: Callable[[], bool],
) -> StepResult:
    """Take one optimiser step on a segment of a global batch.

    Args:
        model: the model that is trained.
        optimiser: clipping, Adam, schedule and average of its weights.
        group: the ranks that share the batch.
        rules: how the model is fitted.
        loaded: this rank's share of the batch, which may have no sequences.
        segment: the segment that follows the one of the last call.
        states: the model's state at the end of the last segment, by the first sequence of each micro-batch; empty at
            the start of a batch. It is updated.
        micro_batch: sequences computed at once; 0 computes all.
        kl_factor: beta of the objective.
        stop: whether this rank was asked to stop.
    """
    optimiser.zero_grad()
    batch, sequences = loaded.batch, loaded.batch.mask.shape[1]
    sums = torch.zeros(3, dtype=torch.float64, device=batch.mask.device)  # nats, KL nats, ranks asked to stop
    size = micro_batch or max(sequences, 1)
    # The loss is a sum over frames, so its gradient is the sum of the micro-batches' gradients: smaller ones need less
    # memory and change the result by rounding alone.
    for start in range(0, sequences, size):
        part = slice(start, start + size)
        mask = batch.mask[segment.frames, part]
        if not mask.numel():  # this rank's longest sequence ended before the segment
            continue
        x = real_frames(batch.frames[segment.frames, part], mask)
        noise = loaded.noise[segment.frames, part] if loaded.noise is not None else None
        with arithmetic(x.device, rules.precision), activation_checkpointing(rules.checkpointed_frames):
            terms = model(x, mask, noise, states.get(start))
        value = objective(terms, mask, kl_factor, rules.free_nats)
        # Every rank divides by the frames of the global batch, so that ranks' gradients add up to that of the whole.
        (-value.sum() / segment.real_frames).backward()  # pyright: ignore[reportUnknownMemberType]
        states[start] = terms.state.detach()
        sums[:2] += bound_and_kl(terms, mask)
    sums[2] = float(stop())
    nats, kl_nats, stops = cast(list[float], group.total(sums).tolist())  # pyright: ignore[reportUnknownMemberType]
    group.sum_gradients(model)
    # Clipping, Adam, the schedule and the average; where bound or gradient is not finite, nothing changes.
    norm = optimiser.step(nats)
    return StepResult(nats, kl_nats, norm, stop=stops > 0)


def objective(terms: Terms, mask: Tensor, kl_factor: float = 1.0, free_nats: float = 0.0) -> Tensor:
    """The objective of each sequence, float64 `[B]`, in nats.

    Args:
        terms: log-probability and KL of each frame, `[T, B]`.
        mask: bool `[T, B]`, True at real frames; others are ignored.
        kl_factor: beta.
        free_nats: lambda, in nats a frame; a frame whose KL is smaller gives it no gradient.
    """
    log_emission = total(terms.log_emission, mask)
    if terms.kl is None:
        return log_emission
    # The KL of two close Gaussians may round to just below zero: without free nats it is not clamped.
    kl = terms.kl.clamp(min=free_nats) if free_nats else terms.kl
    return log_emission - kl_factor * total(kl, mask)


@torch.no_grad()
def bound_and_kl(terms: Terms, mask: Tensor) -> Tensor:
    """The bound and its KL part, float64 `[2]`: nats of all sequences together, the KL nan without a latent.

    Training reports these, and not the objective, so that its curve shows the same quantity as validation's.
    """
    log_emission = total(terms.log_emission, mask)
    if terms.kl is None:
        return torch.stack([log_emission.sum(), log_emission.new_tensor(math.nan)])
    kl = total(terms.kl, mask)
    return torch.stack([(log_emission - kl).sum(), kl.sum()])


def kl_factor_at(step: int, warmup_steps: int) -> float:
    """Beta after `step` steps: it rises linearly from 0 to 1 over `warmup_steps`; 1 without a warm-up."""
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0


def split_segments(lengths: Positions, truncate_frames: int) -> list[Segment]:
    """The segments of a global batch of sequences with these lengths; one for all of it if `truncate_frames` is 0.

    All ranks know the lengths of the global batch, so they take the same steps.
    """
    longest = int(lengths.max())
    size = truncate_frames or longest
    return [
        Segment(
            slice(start, start + size if start + size < longest else None), int(np.clip(lengths - start, 0, size).sum())
        )
        for start in range(0, longest, size)
    ]


def planned_steps(lengths: Positions, rules: Optimisation, seed: int) -> int:
    """The number of steps in all `max_epochs`, if nothing ends them early."""
    if not rules.truncate_frames:
        return rules.max_epochs * math.ceil(len(lengths) / rules.batch_size)
    return sum(
        math.ceil(int(lengths[positions].max()) / rules.truncate_frames)
        for epoch in range(rules.max_epochs)
        for positions in plan_epoch(lengths, rules.batch_size, seed, epoch)
    )
