"""The verbs that make and look at data."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.arguments import Argument, Json, Repeated, Workers, at_least, named_values
from benchmarks.cli.output import progress_bar, say, show, summary_table, write_json
from benchmarks.errors import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.download.fetch import Part, Source
    from pipelines.prepare.driver import Prepared
    from pipelines.prepare.shard_task import ShardReport, ShardTask

__all__ = ["download", "prepare", "synthesise"]

_MEGABYTE = 10**6
Parts = Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PART ...")]


def download(
    name: Argument[str],
    out: Path,
    part: Parts = (),
    accept_licence: bool = False,
    mirror: str | None = None,
) -> None:
    """Fetch a corpus that anyone may fetch, verify it and unpack it.

    Args:
        name: librispeech, ljspeech or vctk.
        out: the raw directory; prepare reads it. A second run does only what is missing, and goes on with what stopped.
        part: of LibriSpeech: dev-clean, dev-other, test-clean, test-other, train-clean-100, train-clean-360 or
            train-other-500; the three of dev-clean, test-clean and train-clean-100 by default.
        accept_licence: do not ask whether the licence, which is printed, is accepted.
        mirror: another address that the archives lie below.
    """
    from pipelines.download.fetch import choose_parts, find_source, is_there
    from pipelines.download.transfer import check_url

    source = find_source(name)
    parts = choose_parts(source, [one for several in part for one in several])
    base = source.base if mirror is None else mirror
    check_url(base)
    missing = [one for one in parts if not is_there(one, out)]
    if not missing:
        say(f"{out}: nothing to do, {', '.join(one.name for one in parts)} are there")
        return
    _accept(source, accept_licence)
    for one in missing:
        _obtain(one, out, base)
    say(f"{out}: {', '.join(one.name for one in missing)}")


def _accept(source: "Source", accepted: bool) -> None:
    """Show the licence, and go on only if it is accepted."""
    from pipelines.errors import InputError

    say(f"{source.name}: {source.licence}; see {source.page}")
    if accepted:
        return
    if sys.stdin.isatty():
        say("Do you accept this licence? Type yes to go on:")
        accepted = sys.stdin.readline().strip().lower() == "yes"
    if not accepted:
        raise InputError(f"the licence of {source.name} is not accepted; read {source.page} and give --accept-licence")


def _obtain(part: "Part", out: Path, base: str) -> None:
    from pipelines.download.fetch import retrieve, unpack

    with progress_bar(f"download {part.name}, MB") as on_progress:
        archive = retrieve(part, out, base, _in_megabytes(on_progress))
    with progress_bar(f"unpack {part.name}, MB") as on_progress:
        unpack(part, archive, out, _in_megabytes(on_progress))


def _in_megabytes(on_progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(done // _MEGABYTE, total // _MEGABYTE)


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
    from pipelines.errors import PreparationError
    from pipelines.prepare.driver import PrepareOptions
    from pipelines.prepare.driver import prepare as run_prepare
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from pipelines.shards.summary import summarise

    plan = PrepareOptions(
        workers=at_least(1, "--workers", (os.cpu_count() or 1) if workers is None else workers),
        corpus_options=named_values(option) | ({"include_sa": True} if include_sa else {}),
        shard_bytes=at_least(1, "--shard-mib", shard_mib) * 2**20,
        max_rejects=None if max_rejects is None else at_least(0, "--max-rejects", max_rejects),
        source_seconds=at_least(1, "--source-seconds", source_seconds),
    )
    run_tasks = partial(_run_on_ray, address=address)
    try:
        with progress_bar(f"prepare {corpus}") as on_progress:
            done = run_prepare(corpus, Location(raw), Location(out), plan, run_tasks=run_tasks, on_progress=on_progress)
    except PreparationError as error:
        raise FailedError(str(error)) from error
    rejected = sum(done.manifest.rejects.values())
    say(f"{out}: {_what_was_done(done)}; {rejected} source items rejected")
    if not any(split.sequences for split in done.manifest.splits.values()):
        say(f"{out}: holds no sequence at all: every source was rejected; see its rejects.parquet")
    summary = summarise(ShardSet(Location(out)))
    if json_:
        write_json(summary | {"shards_written": done.written, "shards_skipped": done.skipped})
    else:
        show(summary_table(summary))


def _run_on_ray(tasks: "list[ShardTask]", workers: int, address: str | None) -> "Iterator[ShardReport]":
    """Ray takes seconds to load: not before the user's input is known to be right and there is work."""
    from pipelines.runtime.ray_sessions import run_on_ray

    return run_on_ray(tasks, workers, address) if tasks else iter(())


def _what_was_done(done: "Prepared") -> str:
    if done.unchanged:
        return f"nothing to do, all {done.skipped} shards are up to date"
    return f"{done.written} shards written" + (f", {done.skipped} were up to date" if done.skipped else "")


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
