"""The measured model sizes, and the same work done in two ways: ours, and the textbook loop.

Frames, noise and weights are random and the same on both sides, since the time does not depend on their values.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from benchmarks.speed.textbook import TextbookVRNN
from vrnn.device.precision import Precision, arithmetic, parameter_dtype, product_dtype
from vrnn.likelihood.bounds import iwae
from vrnn.models import ModelConfig, Terms, build_model, preset
from vrnn.models.vrnn import VRNN

__all__ = ["SHAPES", "Scoring", "Shape", "Training", "Who"]

Who = Literal["ours", "textbook"]


@dataclass(frozen=True)
class Shape:
    """A size of the model and of its data.

    Attributes:
        config: configuration of the model.
        frames: T.
    """

    config: ModelConfig
    frames: int


_TINY_WIDTHS = {"hidden": 128, "phi_x": 64, "phi_z": 64, "encoder": 64, "prior": 64, "decoder": 64, "latent": 16}
SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(replace(preset("vrnn-gauss", "speech", "tiny"), **_TINY_WIDTHS), 40),
    "iam_ondb": Shape(preset("vrnn-gauss", "pen", "paper-iam_ondb"), 300),
    "timit": Shape(preset("vrnn-gauss", "speech", "paper-timit"), 40),
    "blizzard": Shape(preset("vrnn-gauss", "speech", "paper-blizzard"), 40),
}
"""By name; they have 128, 1200, 2000 and 4000 units."""


@dataclass(frozen=True)
class _Workload:
    shape: str
    sequences: int
    precision: Precision
    device_type: str
    who: Who

    @property
    def device(self) -> torch.device:
        """The device of the work."""
        return torch.device(self.device_type)

    @property
    def dtype(self) -> torch.dtype:
        """The type of its matrix products."""
        return product_dtype(self.precision)

    def model(self) -> VRNN:
        """The model that both sides start with."""
        model = build_model(SHAPES[self.shape].config, torch.Generator().manual_seed(0))
        assert isinstance(model, VRNN)
        return model.to(self.device, parameter_dtype(self.precision))

    def _normal(self, seed: int, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator).to(self.device, parameter_dtype(self.precision))

    def _frames(self) -> tuple[Tensor, Tensor]:
        """Frames `[T, B, D]`, and a mask that is true everywhere."""
        shape = SHAPES[self.shape]
        x = self._normal(1, shape.frames, self.sequences, shape.config.frame_size)
        if shape.config.kind == "pen":
            x[..., 2] = (x[..., 2] > 0).to(x)
        return x, torch.ones(x.shape[:2], dtype=torch.bool, device=self.device)


@dataclass(frozen=True)
class Training(_Workload):
    """A training step, forward and backward, without the optimiser."""

    def prepare(self) -> Callable[[], float]:
        """Build the work; the result runs it once and returns the loss in nats per frame."""
        model, (x, mask) = self.model(), self._frames()
        noise = self._normal(2, *mask.shape, model.latent_size)
        if self.who == "ours":
            return lambda: self._step(model, lambda: model(x, mask, noise))
        textbook = TextbookVRNN(model)
        return lambda: self._step(textbook, lambda: textbook(x, noise))

    def _step(self, module: torch.nn.Module, forward: Callable[[], Terms]) -> float:
        module.zero_grad(set_to_none=True)
        with arithmetic(self.device, self.precision):
            terms = forward()
        assert terms.kl is not None
        loss = (terms.kl - terms.log_emission).sum(dtype=torch.float64) / terms.kl.numel()
        loss.backward()
        return loss.item()


@dataclass(frozen=True)
class Scoring(_Workload):
    """IWAE with K samples: ours all at once, the textbook loop in K passes.

    Attributes:
        samples: K.
    """

    samples: int = 40

    def prepare(self) -> Callable[[], float]:
        """Build the work; the result runs it once and returns the mean bound in nats per sequence."""
        model, (x, mask) = self.model(), self._frames()
        noise = self._normal(2, self.samples, *mask.shape, model.latent_size)

        @torch.no_grad()
        def at_once() -> float:
            with arithmetic(self.device, self.precision):
                return iwae(model, x, mask, [noise]).mean().item()

        if self.who == "ours":
            return at_once
        textbook = TextbookVRNN(model)

        @torch.no_grad()
        def by_passes() -> float:
            weights: list[Tensor] = []
            for sample in noise:
                with arithmetic(self.device, self.precision):
                    terms = textbook(x, sample)
                assert terms.log_ratio is not None
                weights.append((terms.log_emission + terms.log_ratio).sum(0, dtype=torch.float64))
            return (torch.stack(weights).logsumexp(0) - math.log(len(noise))).mean().item()

        return by_passes
