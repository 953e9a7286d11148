"""Validation: the bound of whole sequences, which alone chooses the checkpoint.

The estimators are those of the scores; what training modifies of the bound has no part here. The noise is the same
after every epoch, so that figures differ by the weights alone.
"""

import math

import torch
from torch import Tensor, nn

from pipelines.batches import Batch, FrameSource, plan_evaluation, rank_share
from vrnn.bounds import elbo, exact
from vrnn.training.group import Group
from vrnn.training.noise import latent_noise

__all__ = ["validate"]


@torch.no_grad()
def validate(
    model: nn.Module, latent_size: int, source: FrameSource, batch_size: int, group: Group
) -> tuple[float, float]:
    """The exact log-likelihood or one-sample ELBO, and its KL part, in nats per frame, over the ranks together.

    Args:
        model: to be validated; the sequences come to its device and in its precision.
        latent_size: of the model.
        source: the sequences.
        batch_size: of them at once; it changes no figure.
        group: the ranks that share each batch.

    Returns:
        The two figures; the KL is nan without a latent.
    """
    weight = next(model.parameters())
    sums = torch.zeros(2, dtype=torch.float64, device=weight.device)
    for positions in plan_evaluation(source.lengths, batch_size):
        share = rank_share(positions, group.rank, group.size)
        if len(share):
            bound, kl = _bound(model, latent_size, source.batch(share, "evaluate").to(weight.device, weight.dtype))
            sums[0] += bound.sum()
            sums[1] += kl.sum() if kl is not None else math.nan
    nats, kl_nats = (group.total(sums) / int(source.lengths.sum())).tolist()
    return nats, kl_nats


def _bound(model: nn.Module, latent_size: int, batch: Batch) -> tuple[Tensor, Tensor | None]:
    if not latent_size:
        return exact(model, batch.frames, batch.mask), None
    bound = elbo(model, batch.frames, batch.mask, latent_noise(batch, latent_size, "validate"))
    return bound.value, bound.kl
