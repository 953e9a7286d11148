"""Which head a configuration asks for: the one place that turns a name's emission into a network."""

import torch

from vrnn.models.config import ModelConfig
from vrnn.nn.grouped import GroupedHead
from vrnn.nn.heads import DiscretisedHead, FrameHead, MixtureHead, PenHead

__all__ = ["frame_head", "unit_head"]


def frame_head(config: ModelConfig, inputs: int, generator: torch.Generator) -> FrameHead:
    """The head of a whole frame on `inputs` features: pen, samples at once, or samples group by group."""
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
