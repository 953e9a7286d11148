"""Small models in float64 and ragged batches, made from explicit seeds: what the shared test-suite runs on.

`CASES` follows the registry, so that a new family is tested with one line there.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vrnn.models import MODELS, Kind, LatentModel, ModelConfig, SequenceModel, build_model, preset
from vrnn.models.config import SMOOTHING, emission_of
from vrnn.nn.discretised import Quantisation

GRID = Quantisation(mean=0.3, std=4.0, lowest=-9, highest=11)
_PLAIN = ("gauss", "gmm")

CASES: list[tuple[str, Kind]] = [
    (name, kind)
    for kind in ("speech", "pen")
    for name in MODELS
    if emission_of(name) in _PLAIN or (kind == "speech" and not name.endswith(SMOOTHING))
]
LATENT_CASES = [case for case in CASES if issubclass(MODELS[case[0]], LatentModel)]
EXACT_CASES = [case for case in CASES if case not in LATENT_CASES]


_SMALL = {
    "hidden": 8,
    "phi_x": 12,
    "phi_z": 10,
    "encoder": 9,
    "prior": 13,
    "decoder": 11,
    "latent": 2,
    "backward": 6,
    "group": 2,
    "group_hidden": 5,
    "context": 3,
}


def small_config(name: str, kind: Kind, **changes: int | float) -> ModelConfig:
    config = preset(name, kind, "tiny", GRID)
    sizes = {size: width for size, width in _SMALL.items() if getattr(config, size)}
    components = min(config.components, 3)
    frame_size = 4 if kind == "speech" else 3
    sizes |= {"depth": 2, "components": components, "frame_size": frame_size, **changes}
    return replace(config, **sizes)


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
    if grid := model.config.quantisation:
        x = (torch.round(x * grid.std).clamp(grid.lowest, grid.highest) - grid.mean) / grid.std
    mask = torch.arange(shape[0])[:, None] < torch.tensor(lengths)
    noise = torch.randn(samples, *shape, model.latent_size, generator=generator, dtype=torch.float64)
    return RaggedBatch(x * mask[..., None], mask, noise, lengths)
