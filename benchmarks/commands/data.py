"""The verbs that make and look at data."""

import os
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.commands.arguments import Argument, Json, Repeated, Workers, at_least_one, named_values
from benchmarks.errors import FailedError
from benchmarks.output import progress_bar, say, show, summary_table, write_json

__all__ = ["prepare", "synthesise"]


def prepare(
    corpus: Argument[str],
    raw: str,
    out: str,
    workers: Workers = None,
    address: str | None = None,
    include_sa: bool = False,
    option: Repeated = (),
    max_rejects: int | None = None,
    source_seconds: float = 120.0,
    shard_mib: int = 64,
    json_: Json = False,
) -> None:
    """Turn a raw corpus into verified Parquet shards.

    Args:
        corpus: accent, audio_folder, blizzard, iam_ondb, inkml, librispeech, ljspeech, onomatopoeia, quickdraw, timit
            or vctk; docs/data.md says what each expects.
        raw: where the raw corpus lies: a directory or an object-store URI.
        out: where the shards go; a second run does only what is missing or changed.
        workers: shards worked on at once; the number of cores by default. It changes no byte of the result.
        address: of a Ray cluster; by default Ray runs on this machine.
        include_sa: TIMIT only: keep the SA sentences, the same two for every speaker.
        option: one of the corpus's own options, as NAME=VALUE; may be given several times.
        max_rejects: fail if more source files than this cannot be used; they are listed in rejects.parquet.
        source_seconds: how long decoding one source may take, plus two seconds for each MiB of it.
        shard_mib: raw MiB that a shard is cut at.
        json_: print one JSON object on stdout.
    """
    from pipelines.cluster import run_on_ray
    from pipelines.errors import PreparationError
    from pipelines.prepare import PrepareOptions
    from pipelines.prepare import prepare as run_prepare
    from pipelines.shard_set import ShardSet
    from pipelines.storage import Location
    from pipelines.summary import summarise

    plan = PrepareOptions(
        workers=at_least_one("--workers", workers or os.cpu_count() or 1),
        corpus_options=named_values(option) | ({"include_sa": True} if include_sa else {}),
        shard_bytes=at_least_one("--shard-mib", shard_mib) * 2**20,
        max_rejects=max_rejects,
        source_seconds=source_seconds,
    )
    run_tasks = partial(run_on_ray, address=address)
    try:
        with progress_bar(f"prepare {corpus}") as on_progress:
            done = run_prepare(corpus, Location(raw), Location(out), plan, run_tasks=run_tasks, on_progress=on_progress)
    except PreparationError as error:
        raise FailedError(str(error)) from error
    rejected = sum(done.manifest.rejects.values())
    say(f"{out}: {_what_was_done(done.written, done.skipped)}; {rejected} source items rejected")
    summary = summarise(ShardSet(Location(out)))
    if json_:
        write_json(summary | {"shards_written": done.written, "shards_skipped": done.skipped})
    else:
        show(summary_table(summary))


def _what_was_done(written: int, skipped: int) -> str:
    if not written:
        return f"nothing to do, all {skipped} shards are up to date"
    return f"{written} shards written" + (f", {skipped} were up to date" if skipped else "")


def synthesise(what: Argument[Literal["speech", "handwriting"]], out: Path, seed: int = 0) -> None:
    """Write a built-in corpus in a genuine raw layout: speech as TIMIT, handwriting as IAM-OnDB.

    Args:
        what: speech (espeak-ng voices) or handwriting (stroke fonts and a model of the pen).
        out: the raw directory to write; prepare reads it as timit or iam_ondb.
        seed: the same seed gives the same bytes.
    """
    from pipelines.synthesis import synthesise_handwriting, synthesise_speech

    make = synthesise_speech if what == "speech" else synthesise_handwriting
    with progress_bar(f"synthesise {what}") as on_progress:
        count = make(out, seed=seed, on_progress=on_progress)
    say(f"{out}: {count} {'utterances' if what == 'speech' else 'lines'}")
