"""The resources of a run. They change results by rounding at most, so they are not part of the trial."""

import math
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.errors import InputError

__all__ = ["Resources"]


class Resources(BaseModel):
    """The resources of one run.

    Attributes:
        workers: processes that share each batch; 0 trains in the calling process.
        elastic: the least and the most workers, instead of a fixed number: the run uses those that it can get.
        cpus_per_worker: cores, and threads, of each worker.
        gpus_per_worker: GPUs of each worker; a fraction lets several share one.
        micro_batch: sequences that a worker computes at once, with their gradients summed; 0 computes all of its share.
        max_failures: failures in a row without progress after which a run is given up; running out of memory does not
            count while fewer sequences at once are left to try.
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
        """The most workers of the run; 0 where it trains in the calling process."""
        return self.elastic[1] if self.elastic else self.workers

    @property
    def per_worker(self) -> dict[str, float]:
        """The resources that Ray reserves for each worker."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return {"CPU": self.cpus_per_worker, **gpus}

    @property
    def least_gpus(self) -> float:
        """The GPUs without which the run cannot start."""
        return self.gpus_per_worker * max(self.elastic[0] if self.elastic else self.workers, 1)

    def check_gpu_here(self) -> None:
        """Check that this machine has a GPU where one is asked for.

        Raises:
            InputError: it has none.
        """
        if self.gpus_per_worker and not torch.cuda.is_available():
            raise InputError(
                "a GPU is asked for and this machine has none; leave --gpus-per-worker out, or use --address"
            )

    def sequences_at_once(self, batch_size: int) -> int:
        """The most sequences of a global batch that a worker computes at once."""
        share = math.ceil(batch_size / max(self.elastic[0] if self.elastic else self.workers, 1))
        return min(self.micro_batch or share, share)

    def halved(self, batch_size: int) -> "Resources":
        """These resources with half as many sequences at once, at least one."""
        return self.model_copy(update={"micro_batch": max(self.sequences_at_once(batch_size) // 2, 1)})

    def replaced(self, given: dict[str, Any]) -> "Resources":
        """These resources with the values of `given` that are not None; `workers` replaces `elastic` and vice versa.

        Raises:
            ValidationError: the values do not go together.
        """
        changes = {name: value for name, value in given.items() if value is not None}
        kept = self.model_dump(exclude={"workers", "elastic"} if changes.keys() & {"workers", "elastic"} else None)
        return Resources.model_validate(kept | changes)
