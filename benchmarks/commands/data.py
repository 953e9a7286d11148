"""The verbs that make and look at data."""

import os
from functools import partial
from pathlib import Path
from typing import Literal

from benchmarks.commands.arguments import Argument, Json, Workers
from benchmarks.errors import FailedError
from benchmarks.output import progress_bar, say, show, summary_table, write_json

__all__ = ["inspect", "prepare", "synthesise"]


def prepare(
    corpus: Argument[str],
    raw: str,
    out: str,
    workers: Workers = None,
    address: str | None = None,
    include_sa: bool = False,
    max_rejects: int | None = None,
    json_: Json = False,
) -> None:
    """Turn a raw corpus into verified Parquet shards.

    Args:
        corpus: timit or iam_ondb.
        raw: where the raw corpus lies: a directory or an object-store URI.
        out: where the shards go; a second run does only what is missing or changed.
        workers: shards worked on at once; the number of cores by default. It changes no byte of the result.
        address: of a Ray cluster; by default Ray runs on this machine.
        include_sa: TIMIT only: keep the SA sentences, the same two for every speaker.
        max_rejects: fail if more source files than this cannot be used; they are listed in rejects.parquet.
        json_: print one JSON object on stdout.
    """
    from pipelines.cluster import run_on_ray
    from pipelines.corpora import find_corpus
    from pipelines.errors import InputError
    from pipelines.prepare import PrepareOptions, TooManyRejectsError
    from pipelines.prepare import prepare as run_prepare
    from pipelines.shard_set import ShardSet
    from pipelines.storage import Location
    from pipelines.summary import summarise

    options: dict[str, bool | int] = {"include_sa": True} if include_sa else {}
    if options.keys() - find_corpus(corpus).options.keys():
        raise InputError(f"{corpus} has no SA sentences; leave out --include-sa")
    plan = PrepareOptions(workers=workers or os.cpu_count() or 1, corpus_options=options, max_rejects=max_rejects)
    run_tasks = partial(run_on_ray, address=address)
    try:
        with progress_bar(f"prepare {corpus}") as on_progress:
            done = run_prepare(corpus, Location(raw), Location(out), plan, run_tasks=run_tasks, on_progress=on_progress)
    except TooManyRejectsError as error:
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


def inspect(shards: Argument[str], verify: bool = True, json_: Json = False) -> None:
    """Summarise a set of shards: counts, hours or points, lengths, moments, rejects.

    Args:
        shards: what prepare wrote.
        verify: check every shard's checksum first.
        json_: print one JSON object on stdout.
    """
    from pipelines.shard_set import ShardSet
    from pipelines.storage import Location
    from pipelines.summary import summarise

    opened = ShardSet(Location(shards))
    if verify:
        opened.verify()
    summary = summarise(opened)
    if json_:
        write_json(summary)
    else:
        show(summary_table(summary))


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
