"""The emission of a model: the head that a configuration asks for, and its log density over all frames."""

import torch
from torch import Tensor

from vrnn.models.config import ModelConfig
from vrnn.nn.grouped import GroupedHead
from vrnn.nn.heads import DiscretisedHead, FrameHead, MixtureHead, PenHead

__all__ = ["frame_head", "log_emission", "unit_head"]

_BLOCK_ELEMENTS = 2**21


def frame_head(config: ModelConfig, inputs: int, generator: torch.Generator) -> FrameHead:
    """The head of a whole frame on `inputs` features: a pen point, or samples, all at once or group by group."""
    if not config.group:
        return unit_head(config, inputs, config.frame_size, generator)
    head = unit_head(config, config.group_hidden, config.group, generator)
    return GroupedHead(inputs, config.frame_size, head, config.group_hidden, config.group, generator)


def unit_head(config: ModelConfig, inputs: int, size: int, generator: torch.Generator) -> FrameHead:
    """The head of a pen point, or of `size` samples that are independent given a component."""
    if config.kind == "pen":
        return PenHead(inputs, config.components, config.sigma_floor, generator)
    if config.quantisation is not None:
        return DiscretisedHead(inputs, size, config.components, config.sigma_floor, config.quantisation, generator)
    return MixtureHead(inputs, size, config.components, config.sigma_floor, generator)


def log_emission(head: FrameHead, features: Tensor, x: Tensor) -> Tensor:
    """Log p(x_t | features_t) of all frames, `[T, B]`, from features `[T, B, F]` and frames `[T, B, D]`.

    It is computed in blocks of frames. A mixture over 200 samples has thousands of parameters a frame, and one pass
    over a whole batch of them spends its time on fresh memory; the temporaries of a small block are reused.
    """
    size = max(1, _BLOCK_ELEMENTS // (x.shape[-1] * head.components))
    blocks = zip(torch.split(features.flatten(0, 1), size), torch.split(x.flatten(0, 1), size), strict=True)
    log_densities = torch.cat([head(block).log_prob(frames) for block, frames in blocks])
    return torch.unflatten(log_densities, 0, x.shape[:2])
