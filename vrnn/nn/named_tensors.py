"""Groups of tensors with names: what a model carries, what it works out of the frames, what a step gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from vrnn.scan.time_loop import tile

__all__ = ["NamedTensors", "State"]


@dataclass(frozen=True, eq=False)
class NamedTensors:
    """A dataclass whose fields are tensors, or None where a model has no such part.

    >>> from vrnn.nn.lstm import LSTMState
    >>> state = LSTMState(h=torch.zeros(2, 3), c=torch.ones(2, 3))
    >>> state.map(lambda part: part[:1]).c
    tensor([[1., 1., 1.]])
    """

    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, in the order of the fields."""
        return tuple(value for value in self._values() if value is not None)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same names with `function` of each tensor."""
        return type(self)(*(None if value is None else function(value) for value in self._values()))

    def detach(self) -> Self:
        """The same values without their history: no gradient flows back through them."""
        return self.map(Tensor.detach)

    @classmethod
    def stack(cls, items: Sequence[Self]) -> Self:
        """The tensors of several groups, name by name, along a new leading axis."""
        columns = zip(*(item._values() for item in items), strict=True)
        return cls(*(None if column[0] is None else torch.stack(column) for column in columns))

    def _values(self) -> tuple[Tensor | None, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, eq=False)
class State(NamedTensors):
    """What a model carries from one frame to the next, each tensor `[B, ...]`."""

    def tile(self, columns: int) -> Self:
        """The state for K samples of each sequence, `[K B, ...]` where `columns` is K B."""
        return self.map(lambda part: tile(part, columns))
