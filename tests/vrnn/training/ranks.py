"""One rank of a training run in a process of its own; imports little, since every such process imports it."""

import torch
import torch.distributed as dist

from pipelines.runtime.storage import Location
from vrnn.training import TrialSpec, train

__all__ = ["train_as_rank"]


def train_as_rank(rank: int, ranks: int, spec: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}.meeting", rank=rank, world_size=ranks)
    train(TrialSpec.model_validate_json(spec), Location(out))
    dist.destroy_process_group()
