"""Small models in float64 and ragged batches, made from explicit seeds."""

from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import torch
from torch import Tensor

from vrnn.models import Kind, ModelConfig, SequenceModel, build_model, preset

CASES: list[tuple[str, Kind]] = list(product(("rnn-gauss", "rnn-gmm", "vrnn-gauss", "vrnn-gmm"), get_args(Kind)))
RNN_CASES, VRNN_CASES = CASES[:4], CASES[4:]


def small_config(name: str, kind: Kind, **changes: int | float) -> ModelConfig:
    config = replace(preset(name, kind, "tiny"), hidden=8, phi_x=12, decoder=11, depth=2)
    if config.latent:
        config = replace(config, phi_z=10, encoder=9, prior=13, latent=2)
    if kind == "speech":
        config = replace(config, frame_size=4)
    if config.components > 1:
        config = replace(config, components=3)
    return replace(config, **changes)


def small_model(name: str, kind: Kind, seed: int = 0, spread: float = 0.3, **changes: int | float) -> SequenceModel:
    """Float64, every parameter moved off its initial value: no bias is 0 and no path is dead by symmetry."""
    generator = torch.Generator().manual_seed(seed)
    model = build_model(small_config(name, kind, **changes), generator).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


@dataclass
class RaggedBatch:
    x: Tensor
    mask: Tensor
    noise: Tensor
    lengths: list[int]


def ragged_batch(model: SequenceModel, lengths: list[int], seed: int = 0, samples: int = 1) -> RaggedBatch:
    """Right-padded frames, mask `[T, B]` and noise `[samples, T, B, Z]`."""
    generator = torch.Generator().manual_seed(seed)
    shape = (max(lengths), len(lengths))
    x = torch.randn(*shape, model.config.frame_size, generator=generator, dtype=torch.float64)
    if model.config.kind == "pen":
        x[..., 2] = (x[..., 2] > 0.5).double()
    mask = torch.arange(shape[0])[:, None] < torch.tensor(lengths)
    noise = torch.randn(samples, *shape, model.latent_size, generator=generator, dtype=torch.float64)
    return RaggedBatch(x * mask[..., None], mask, noise, lengths)
