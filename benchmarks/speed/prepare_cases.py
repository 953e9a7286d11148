"""The cases of `benchmarks.speed.prepare`, each a JSON object: sound in one process, sound on Ray, ink."""

import contextlib
import logging
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.speed.floor import (
    decode_ink_plainly,
    prepare_plainly,
    prepare_plainly_on_all_cores,
    sound_files,
    use_one_thread,
)
from benchmarks.speed.other_libraries import LIBRARIES, NOTES, LibraryFailedError, prepare_with
from benchmarks.speed.sound_corpus import Form, SoundCorpus, write_sound_corpus
from benchmarks.speed.timing import Comparison, Spent, Stopwatch, Subject, run_paired, timed
from pipelines.decode.ink import decode_ink
from pipelines.prepare.driver import PrepareOptions, prepare
from pipelines.prepare.shard_task import ShardReport, ShardTask, run_shard_task
from pipelines.runtime.storage import Location

__all__ = ["cluster_cases", "ink_case", "ink_files", "one_process_case", "prepare_in_process", "ray_start_seconds"]

_AUDIO = "seconds of audio"
_FLOOR = "a plain loop in one process"
_LEAST_POINTS = 300_000
_SHARDS_PER_WORKER = 8
_MOST_SHARD_BYTES = 64 * 2**20

Runner = Callable[[list[ShardTask], int], Iterator[ShardReport]]


def one_process_case(form: Form, seconds: float, pairs: int) -> dict[str, Any]:
    """`prepare` and the floor in one process each: decoding, checking and writing."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        corpus = write_sound_corpus(place / "raw", form, seconds)
        floor = timed(_floor(corpus, place))
        paired = run_paired(floor, prepare_in_process(corpus, place / "out"), pairs)
    name, ours = f"sound/{form}/one process", "prepare, one process"
    return Comparison(name, ours, _FLOOR, corpus.seconds, _AUDIO, "processor").result(paired)


def cluster_cases(form: Form, seconds: float, pairs: int, workers: int) -> Iterator[dict[str, Any]]:
    """`prepare` on a running Ray, compared with the floor on all cores and with other libraries."""
    from pipelines.prepare.ray_runner import run_on_ray  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory, _warm_pool(workers) as pool:
        place = Path(directory)
        corpus = write_sound_corpus(place / "raw", form, seconds)
        files = sound_files(corpus.root)
        ours, what = _prepare(corpus, place / "out", workers, run_on_ray), f"prepare on Ray, {workers} workers"
        ours()  # the first run imports what the workers need
        paired = run_paired(timed(_floor(corpus, place)), ours, pairs)
        yield _on_ray(corpus, "floor x cores", what, _FLOOR, workers).result(paired)
        everywhere = timed(lambda: prepare_plainly_on_all_cores(files, place / "floor", pool, workers))
        yield _on_ray(corpus, "floor on all cores", what, f"{_FLOOR} a core").result(
            run_paired(everywhere, ours, pairs)
        )
        for name in LIBRARIES:
            comparison, note = _on_ray(corpus, name, what, f"{name}, {workers} processes"), {"note": NOTES[name]}
            try:
                paired = run_paired(prepare_with(name, corpus.root, workers), ours, pairs)
            except LibraryFailedError as error:
                yield {"name": comparison.name, "skipped": str(error)} | note
            else:
                yield comparison.result(paired) | note


def _on_ray(corpus: SoundCorpus, name: str, what: str, other: str, other_times: int = 1) -> Comparison:
    return Comparison(f"sound/{corpus.form}/{name}", what, other, corpus.seconds, _AUDIO, "wall", other_times)


@contextlib.contextmanager
def _warm_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes have started and have imported torch."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=use_one_thread) as pool:
        for done in [pool.submit(time.sleep, 1.0) for _ in range(processes)]:
            done.result()
        yield pool


def _floor(corpus: SoundCorpus, place: Path) -> Callable[[], None]:
    files = sound_files(corpus.root)
    return lambda: prepare_plainly(files, place / "floor.parquet")


def prepare_in_process(corpus: SoundCorpus, out: Path) -> Subject:
    """All of `prepare` in this process, one shard after another."""
    return _prepare(corpus, out, 1, lambda tasks, _: map(run_shard_task, tasks))


def _prepare(corpus: SoundCorpus, out: Path, workers: int, run_tasks: Runner) -> Subject:
    """A subject that prepares the corpus from scratch.

    It is cut into at least eight shards per worker, so that all workers end at about the same time, as they do with
    thousands of shards.
    """

    def run() -> Spent:
        shutil.rmtree(out, ignore_errors=True)
        shard_bytes = min(_MOST_SHARD_BYTES, corpus.bytes // (_SHARDS_PER_WORKER * workers) + 1)
        options = PrepareOptions(workers=workers, shard_bytes=shard_bytes, max_rejects=0)
        watch = Stopwatch()
        prepare("audio_folder", Location(str(corpus.root)), Location(str(out)), options, run_tasks=run_tasks)
        return watch.read()

    return run


def ray_start_seconds(workers: int) -> dict[str, float]:
    """Start Ray, leave it running, and run a first task: the cost that no ratio includes.

    By default Ray's workers have a low priority (niceness 15). On a busy machine that would compare priorities, so
    they run at normal priority here.
    """
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (the name that Ray reads)
    import ray  # noqa: PLC0415

    start = time.perf_counter()
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    started = time.perf_counter()
    ray.get(ray.remote(statistics.median).remote([1.0]))
    return {"init_seconds": started - start, "first_task_seconds": time.perf_counter() - started}


def ink_files(iam: Path | None) -> list[bytes]:
    """The line files of an IAM-OnDB in `iam`, or of the built-in handwriting."""
    with tempfile.TemporaryDirectory() as directory:
        root = iam
        if root is None:
            from pipelines.synthesis import synthesise_handwriting  # noqa: PLC0415

            root = Path(directory) / "ink"
            synthesise_handwriting(root, train_forms=3, valid_forms=1, test_forms=1)
        return [file.read_bytes() for file in sorted(root.rglob("*.xml"))]


def ink_case(contents: list[bytes], name: str, pairs: int, least_points: int = _LEAST_POINTS) -> dict[str, Any]:
    """`decode_ink` compared with a loop over an element tree, on files in memory."""
    points = sum(len(decode_ink(content)) for content in contents)
    assert points == sum(len(decode_ink_plainly(content)["x"]) for content in contents)
    times = least_points // points + 1

    def decode_all(decode: Callable[[bytes], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(times):
                for content in contents:
                    decode(content)

        return run

    paired = run_paired(timed(decode_all(decode_ink_plainly)), timed(decode_all(decode_ink)), pairs)
    comparison = Comparison(
        f"ink/{name}", "decode_ink", "xml.etree and int()", points * times, "points", clock="processor"
    )
    return comparison.result(paired)
