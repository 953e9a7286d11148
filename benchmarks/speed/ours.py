"""The real `prepare` as a subject: in this process, or on a Ray that runs already."""

import logging
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.clocks import Spent, Stopwatch
from benchmarks.speed.pairing import Subject
from benchmarks.speed.sound_corpus import SoundCorpus
from pipelines.prepare.driver import PrepareOptions, prepare
from pipelines.prepare.shard_task import ShardReport, ShardTask, run_shard_task
from pipelines.runtime.storage import Location

__all__ = ["prepare_here", "prepare_on_ray", "ray_start_seconds"]

_SHARDS_A_WORKER = 8
_MOST_SHARD_BYTES = 64 * 2**20

Runner = Callable[[list[ShardTask], int], Iterator[ShardReport]]


@dataclass(frozen=True)
class _Run:
    corpus: SoundCorpus
    out: Path
    workers: int
    runner: Runner

    def __call__(self) -> Spent:
        """Prepare from nothing."""
        shutil.rmtree(self.out, ignore_errors=True)
        shard_bytes = min(_MOST_SHARD_BYTES, self.corpus.bytes // (_SHARDS_A_WORKER * self.workers) + 1)
        options = PrepareOptions(workers=self.workers, shard_bytes=shard_bytes, max_rejects=0)
        raw, out = Location(str(self.corpus.root)), Location(str(self.out))
        watch = Stopwatch()
        prepare("audio_folder", raw, out, options, run_tasks=self.runner)
        return watch.read()


def prepare_here(corpus: SoundCorpus, out: Path) -> Subject:
    """All of `prepare` in this process, a shard after the other."""
    return _Run(corpus, out, 1, lambda tasks, _: map(run_shard_task, tasks))


def prepare_on_ray(corpus: SoundCorpus, out: Path, workers: int) -> Subject:
    """`prepare` as users run it.

    The corpus is cut into at least eight shards a worker: the workers end at about the same time, as they do where
    there are thousands.
    """
    from pipelines.runtime.ray_sessions import run_on_ray  # noqa: PLC0415

    return _Run(corpus, out, workers, run_on_ray)


def ray_start_seconds(workers: int) -> dict[str, float]:
    """Start Ray, which stays, and run a first task: what a steady state does not pay.

    Ray's workers yield to everything else on a machine (niceness 15). On an idle one that means nothing; on a busy one
    the floor would get a fair share and they what is left, so here they do not.
    """
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (the name that Ray reads)
    import ray  # noqa: PLC0415

    start = time.perf_counter()
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    started = time.perf_counter()
    ray.get(ray.remote(statistics.median).remote([1.0]))
    return {"init_seconds": started - start, "first_task_seconds": time.perf_counter() - started}
