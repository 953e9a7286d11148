"""What a run may take of a machine or a cluster. It changes figures by rounding at most: it is no part of the trial."""

import math
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.errors import InputError

__all__ = ["Resources"]


class Resources(BaseModel):
    """What one run takes.

    Attributes:
        workers: processes that share each batch; 0 trains in the process that was asked to.
        elastic: the least and the most workers, in place of a fixed number: the run goes on with those it can get.
        cpus_per_worker: cores, and threads, of each worker.
        gpus_per_worker: of each worker; a fraction lets several share one.
        micro_batch: sequences that a worker computes on at once, their gradients summed; 0 takes all of its share.
        max_failures: in a row, without a checkpoint between them, after which a run is given up; running out of memory
            is not one while fewer sequences at once are left to try.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    workers: int = Field(default=0, ge=0)
    elastic: tuple[int, int] | None = None
    cpus_per_worker: float = Field(default=1.0, gt=0)
    gpus_per_worker: float = Field(default=0.0, ge=0)
    micro_batch: int = Field(default=0, ge=0)
    max_failures: int = Field(default=3, ge=0)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.elastic is not None:
            least, most = self.elastic
            if not 1 <= least <= most:
                raise ValueError(f"elastic {least} {most}: at least one worker, and no fewer at most than at least")
            if self.workers:
                raise ValueError("elastic gives the number of workers: leave workers out")
        return self

    @property
    def most_workers(self) -> int:
        """That the run may have; 0 where it has no process of its own."""
        return self.elastic[1] if self.elastic else self.workers

    @property
    def per_worker(self) -> dict[str, float]:
        """What Ray is asked for, for each worker."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return {"CPU": self.cpus_per_worker, **gpus}

    @property
    def least_gpus(self) -> float:
        """Without which it cannot begin."""
        return self.gpus_per_worker * max(self.elastic[0] if self.elastic else self.workers, 1)

    def demand_here(self) -> None:
        """See that this process has the GPU that is asked for, if one is.

        Raises:
            InputError: it has none.
        """
        if self.gpus_per_worker and not torch.cuda.is_available():
            raise InputError(
                "a GPU is asked for and this machine has none; leave --gpus-per-worker out, or use --address"
            )

    def sequences_at_once(self, batch_size: int) -> int:
        """That a worker computes on, at most, of a global batch of so many."""
        share = math.ceil(batch_size / max(self.elastic[0] if self.elastic else self.workers, 1))
        return min(self.micro_batch or share, share)

    def halved(self, batch_size: int) -> "Resources":
        """The same with half as many sequences at once, at least one."""
        return self.model_copy(update={"micro_batch": max(self.sequences_at_once(batch_size) // 2, 1)})

    def replaced(self, given: dict[str, Any]) -> "Resources":
        """The same with those of `given` that are not None; of `workers` and `elastic`, the one given replaces both.

        Raises:
            ValidationError: pydantic's, where they do not go together.
        """
        news = {name: value for name, value in given.items() if value is not None}
        kept = self.model_dump(exclude={"workers", "elastic"} if news.keys() & {"workers", "elastic"} else None)
        return Resources.model_validate(kept | news)
