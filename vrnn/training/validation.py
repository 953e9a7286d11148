"""Validation: the bound of whole sequences, which alone chooses the checkpoint.

The estimators are those of the scores; what training modifies of the bound has no part here. The noise is the same
after every epoch, so that figures differ by the weights alone.
"""

import math
from collections.abc import Callable
from contextlib import closing

import torch
from torch import Tensor, nn

from pipelines.batches.frames import Positions, plan_evaluation, rank_share
from vrnn.likelihood.bounds import elbo, exact
from vrnn.training.data_loading import Feeder, Portion
from vrnn.training.distributed import Group

__all__ = ["validate"]


@torch.no_grad()
def validate(
    model: nn.Module,
    feeder: Feeder,
    lengths: Positions,
    batch_size: int,
    group: Group,
    stop: Callable[[], bool],
) -> tuple[float, float] | None:
    """The exact log-likelihood or one-sample ELBO, and its KL part, in nats per frame, over the ranks together.

    Args:
        model: to be validated.
        feeder: of the sequences, to the model's device and in its precision.
        lengths: of the sequences, `[N]`.
        batch_size: of them at once; it changes no figure.
        group: the ranks that share each batch.
        stop: asked after every batch; once it says so on any rank, there are no figures.

    Returns:
        The two figures, the KL nan without a latent; None where the ranks were asked to stop.
    """
    sums = torch.zeros(3, dtype=torch.float64, device=next(model.parameters()).device)
    shares = (rank_share(positions, group.rank, group.size) for positions in plan_evaluation(lengths, batch_size))
    with closing(feeder.portions(filter(len, shares), ("evaluate",), ("validate",))) as portions:
        for portion in portions:
            bound, kl = _bound(model, portion)
            sums[0] += bound.sum()
            sums[1] += kl.sum() if kl is not None else math.nan
            if stop():
                sums[2] = 1
                break
    nats, kl_nats, stops = group.total(sums).tolist()
    frames = int(lengths.sum())
    return None if stops else (nats / frames, kl_nats / frames)


def _bound(model: nn.Module, portion: Portion) -> tuple[Tensor, Tensor | None]:
    batch = portion.batch
    if portion.noise is None:
        return exact(model, batch.frames, batch.mask), None
    bound = elbo(model, batch.frames, batch.mask, portion.noise)
    return bound.value, bound.kl
