"""The ranks of a training run, and the sums they form together.

Gradients are summed, not averaged by rank: a step's loss is a sum over frames divided by the frames of the global
batch, so that ragged or empty shares count for exactly what they hold.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vrnn.training.errors import CheckpointError

__all__ = ["Group"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """This process's place among the ranks; one process alone is rank 0 of 1."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Group":
        """The group that `torch.distributed` was initialised with, or one process alone."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else cls()

    @property
    def leads(self) -> bool:
        """Whether this rank writes."""
        return self.rank == 0

    def from_leader(self, make: Callable[[], Value]) -> Value:
        """What `make` returns on the leader, which alone calls it, on every rank.

        Raises:
            CheckpointError: the leader's `make` did; every rank raises it.
        """
        if self.size == 1:
            return make()
        made: list[Value | CheckpointError | None] = [None]
        if self.leads:
            try:
                made = [make()]
            except CheckpointError as error:
                made = [error]
        dist.broadcast_object_list(made)
        if isinstance(made[0], CheckpointError):
            raise made[0]
        return made[0]  # type: ignore[return-value]

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over the ranks."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def largest(self, values: Tensor) -> Tensor:
        """The largest of `values` over the ranks, element by element."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over the ranks; a missing one counts as zero."""
        if self.size == 1:
            return
        parameters = list(model.parameters())
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters])
        dist.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()
