"""The cases of `benchmarks.speed.prepare`, each a list of JSON objects."""

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.speed.floor import (
    decode_ink_plainly,
    prepare_plainly,
    prepare_plainly_everywhere,
    sound_files,
    use_one_thread,
)
from benchmarks.speed.ours import prepare_here, prepare_on_ray
from benchmarks.speed.pairing import Comparison, Subject, run_paired, timed
from benchmarks.speed.rivals import NOTES, RIVALS, RivalFailedError, rival
from benchmarks.speed.sound_corpus import Form, SoundCorpus, write_sound_corpus
from pipelines.decode.ink import decode_ink

__all__ = ["cluster_cases", "ink_case", "ink_files", "one_process_case"]

_AUDIO = "seconds of audio"
_FLOOR = "a plain loop in one process"
_LEAST_POINTS = 300_000


def one_process_case(form: Form, seconds: float, pairs: int) -> dict[str, Any]:
    """`prepare` in one process against the floor in one process: the codecs, the checks and the writing."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        corpus = write_sound_corpus(place / "raw", form, seconds)
        floor = timed(_floor(corpus, place))
        paired = run_paired(floor, prepare_here(corpus, place / "out"), pairs)
    name, ours = f"sound/{form}/one process", "prepare, one process"
    return Comparison(name, ours, _FLOOR, corpus.seconds, _AUDIO, "processor").result(paired)


def cluster_cases(form: Form, seconds: float, pairs: int, workers: int) -> Iterator[dict[str, Any]]:
    """`prepare` on a Ray that runs already, against the floor on the cores and against other libraries."""
    with tempfile.TemporaryDirectory() as directory, _warm_pool(workers) as pool:
        place = Path(directory)
        corpus = write_sound_corpus(place / "raw", form, seconds)
        files = sound_files(corpus.root)
        ours, what = prepare_on_ray(corpus, place / "out", workers), f"prepare on Ray, {workers} workers"
        ours()  # the workers import what they need
        paired = run_paired(timed(_floor(corpus, place)), ours, pairs)
        yield _on_ray(corpus, "floor x cores", what, _FLOOR, workers).result(paired)
        everywhere = timed(lambda: prepare_plainly_everywhere(files, place / "floor", pool, workers))
        yield _on_ray(corpus, "floor on all cores", what, f"{_FLOOR} a core").result(
            run_paired(everywhere, ours, pairs)
        )
        for name in RIVALS:
            yield _rival_case(name, corpus, ours, what, pairs, workers)


def _on_ray(corpus: SoundCorpus, name: str, what: str, other: str, other_times: int = 1) -> Comparison:
    return Comparison(f"sound/{corpus.form}/{name}", what, other, corpus.seconds, _AUDIO, "wall", other_times)


def _rival_case(name: str, corpus: SoundCorpus, ours: Subject, what: str, pairs: int, workers: int) -> dict[str, Any]:
    comparison = _on_ray(corpus, name, what, f"{name}, {workers} processes")
    note = {"note": NOTES[name]}
    try:
        paired = run_paired(rival(name, corpus.root, workers), ours, pairs)
    except RivalFailedError as error:
        return {"name": comparison.name, "skipped": str(error)} | note
    return comparison.result(paired) | note


@contextlib.contextmanager
def _warm_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=use_one_thread) as pool:
        for done in [pool.submit(time.sleep, 1.0) for _ in range(processes)]:
            done.result()
        yield pool


def _floor(corpus: SoundCorpus, place: Path) -> Callable[[], None]:
    files = sound_files(corpus.root)
    return lambda: prepare_plainly(files, place / "floor.parquet")


def ink_files(iam: Path | None) -> list[bytes]:
    """The lines of an IAM-OnDB below `iam`, or of the built-in handwriting."""
    with tempfile.TemporaryDirectory() as directory:
        root = iam
        if root is None:
            from pipelines.synthesis import synthesise_handwriting  # noqa: PLC0415

            root = Path(directory) / "ink"
            synthesise_handwriting(root, train_forms=3, valid_forms=1, test_forms=1)
        return [file.read_bytes() for file in sorted(root.rglob("*.xml"))]


def ink_case(contents: list[bytes], name: str, pairs: int, least_points: int = _LEAST_POINTS) -> dict[str, Any]:
    """`decode_ink` against a loop over an element tree, on files that are in memory."""
    points = sum(len(decode_ink(content)) for content in contents)
    assert points == sum(len(decode_ink_plainly(content)["x"]) for content in contents)
    times = least_points // points + 1

    def plainly() -> None:
        for _ in range(times):
            for content in contents:
                decode_ink_plainly(content)

    def ours() -> None:
        for _ in range(times):
            for content in contents:
                decode_ink(content)

    paired = run_paired(timed(plainly), timed(ours), pairs)
    comparison = Comparison(
        f"ink/{name}", "decode_ink", "xml.etree and int()", points * times, "points", clock="processor"
    )
    return comparison.result(paired)
