"""The ranks of a training run, and sums over them.

Gradients are summed, not averaged over ranks: a step's loss is a sum over frames divided by the frames of the global
batch, so that every frame has the same weight, however unequal the ranks' shares are.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# The stubs of torch.distributed and of some tensor methods leave types open.

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vrnn.errors import CheckpointError

__all__ = ["Group"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Group:
    """The rank of this process and the number of ranks; a single process is rank 0 of 1."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "Group":
        """The group that `torch.distributed` was initialised with, or a single process."""
        return cls(dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else cls()

    @property
    def leads(self) -> bool:
        """Whether this rank reads and writes checkpoints."""
        return self.rank == 0

    def from_leader(self, make: Callable[[], Value]) -> Value:
        """On every rank, the result of `make`, which only rank 0 calls.

        Raises:
            CheckpointError: `make` raised it; then every rank raises it, since the others would wait for ever.
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
        """The largest of `values` over the ranks, for each element."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over the ranks; a missing one counts as zero."""
        if self.size == 1:
            return
        parameters = list(model.parameters())
        # One message for all gradients: many small ones would each pay the latency of the network.
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in parameters])
        dist.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()
