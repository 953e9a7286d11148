"""The verbs that make data: download, prepare, synthesise."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli.arguments import Argument, Count, Json, Place, Repeated, Uri, at_least, parse_options
from benchmarks.cli.output import print_json, print_message, print_table, progress_bar
from benchmarks.errors import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.download.fetch import Source
    from pipelines.prepare.shard_task import ShardReport, ShardTask

__all__ = ["download", "prepare", "synthesise"]

_MEGABYTE = 10**6
Parts = Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PART ...")]


def download(
    name: Annotated[Argument[str], tyro.conf.arg(metavar="NAME")],
    out: Path,
    part: Parts = (),
    accept_licence: bool = False,
    mirror: Uri = None,
) -> None:
    """Download a public corpus, verify its checksums and unpack it.

    Args:
        name: librispeech, ljspeech or vctk.
        out: Raw directory, which prepare reads. A second run resumes and downloads only what is missing.
        part: Parts of LibriSpeech: dev-clean, dev-other, test-clean, test-other, train-clean-100, train-clean-360,
            train-other-500. By default dev-clean, test-clean and train-clean-100.
        accept_licence: Accept the licence, which is printed, without being asked.
        mirror: Another base address of the archives.
    """
    from pipelines.download.fetch import choose_parts, fetch_archive, find_source, is_unpacked, unpack
    from pipelines.download.transfer import check_url

    source = find_source(name)
    parts = choose_parts(source, [one for several in part for one in several])
    base = source.base if mirror is None else mirror
    check_url(base)
    missing = [one for one in parts if not is_unpacked(one, out)]
    if not missing:
        print_message(f"{out}: nothing to do, {', '.join(one.name for one in parts)} are there")
        return
    _require_licence(source, accept_licence)
    for one in missing:
        with progress_bar(f"download {one.name}, MB") as on_progress:
            archive = fetch_archive(one, out, base, _in_megabytes(on_progress))
        with progress_bar(f"unpack {one.name}, MB") as on_progress:
            unpack(one, archive, out, _in_megabytes(on_progress))
    print_message(f"{out}: downloaded {', '.join(one.name for one in missing)}")


def _require_licence(source: "Source", accepted: bool) -> None:
    """Print the licence and ask whether it is accepted.

    Raises:
        InputError: it is not.
    """
    from pipelines.errors import InputError

    print_message(f"{source.name}: {source.licence}; see {source.page}")
    if not accepted and sys.stdin.isatty():
        print_message("Do you accept this licence? Type yes to continue:")
        accepted = sys.stdin.readline().strip().lower() == "yes"
    if not accepted:
        raise InputError(f"the licence of {source.name} is not accepted; read {source.page} and add --accept-licence")


def _in_megabytes(on_progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    return lambda done, total: on_progress(done // _MEGABYTE, total // _MEGABYTE)


def prepare(
    corpus: Annotated[Argument[str], tyro.conf.arg(metavar="CORPUS")],
    raw: Place,
    out: Place,
    workers: Count = None,
    address: Uri = None,
    include_sa: bool = False,
    option: Repeated = (),
    max_rejects: Count = None,
    source_seconds: float = 120.0,
    shard_mib: int = 64,
    json_: Json = False,
) -> None:
    """Convert a raw corpus to verified Parquet shards.

    Args:
        corpus: accent, audio_folder, blizzard, iam_ondb, inkml, librispeech, ljspeech, onomatopoeia, quickdraw, timit
            or vctk. docs/data.md describes the layout that each expects.
        raw: Raw corpus: a directory or an object-store URI.
        out: Directory or URI for the shards. A second run writes only shards that are missing or have changed.
        workers: Shards processed in parallel; one per core by default. The result does not depend on it.
        address: Address of a Ray cluster; by default Ray runs on this machine.
        include_sa: TIMIT only: keep the SA sentences, two that every speaker reads.
        option: Option of the corpus, as NAME=VALUE; can be repeated.
        max_rejects: Fail if more source files than this are unusable. rejects.parquet lists them.
        source_seconds: Time limit for decoding one source; two seconds per MiB of it are added.
        shard_mib: Size of a shard, in MiB of raw data.
        json_: Print one JSON object on stdout.
    """
    from benchmarks.cli.shard_tables import summary_table
    from pipelines.errors import PreparationError
    from pipelines.prepare.driver import PrepareOptions
    from pipelines.prepare.driver import prepare as run_prepare
    from pipelines.runtime.storage import Location
    from pipelines.shards.read import ShardSet
    from pipelines.shards.summary import summarise

    plan = PrepareOptions(
        workers=at_least(1, "--workers", (os.cpu_count() or 1) if workers is None else workers),
        corpus_options=parse_options(option) | ({"include_sa": True} if include_sa else {}),
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
    if done.unchanged:
        written = f"nothing to do, all {done.skipped} shards are up to date"
    else:
        written = f"{done.written} shards written" + (f", {done.skipped} were up to date" if done.skipped else "")
    print_message(f"{out}: {written}; {rejected} source items rejected")
    if not any(split.sequences for split in done.manifest.splits.values()):
        print_message(f"{out}: contains no sequences: every source was rejected; see rejects.parquet there")
    summary = summarise(ShardSet(Location(out)))
    if json_:
        print_json(summary | {"shards_written": done.written, "shards_skipped": done.skipped})
    else:
        print_table(summary_table(summary))


def _run_on_ray(tasks: "list[ShardTask]", workers: int, address: str | None) -> "Iterator[ShardReport]":
    """Run the tasks on Ray, which takes seconds to load: only once the input is known to be right and there is work."""
    from pipelines.prepare.ray_runner import run_on_ray

    return run_on_ray(tasks, workers, address) if tasks else iter(())


def synthesise(what: Argument[Literal["speech", "handwriting"]], out: Path, seed: int = 0) -> None:
    """Generate a built-in corpus: speech in TIMIT's raw layout, or handwriting in IAM-OnDB's.

    Args:
        what: speech (espeak-ng voices) or handwriting (stroke fonts and a pen model).
        out: Raw directory to write, which prepare reads as timit or iam_ondb.
        seed: Seed; the same seed writes the same bytes.
    """
    from pipelines.synthesis import synthesise_handwriting, synthesise_speech

    make = synthesise_speech if what == "speech" else synthesise_handwriting
    with progress_bar(f"synthesise {what}") as on_progress:
        count = make(out, seed=seed, on_progress=on_progress)
    print_message(f"{out}: {count} {'utterances' if what == 'speech' else 'lines'}")
