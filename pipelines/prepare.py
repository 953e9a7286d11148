"""`prepare`: a raw corpus to verified Parquet shards, as Ray tasks.

The list of source items decides everything: it is cut into shards by estimated bytes, a pure function of the
list, and one task writes one shard, so that the number of workers cannot change a byte. A shard is there whole
or not at all, with a mark beside it that says what it was made of; a second run skips what its mark covers.
The manifest is removed before the first change and written last, so a set of shards with a manifest is whole.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from pipelines.corpora import Corpus, Listing, SourceItem, find_corpus
from pipelines.errors import InputError
from pipelines.manifest import (
    INDEX_NAME,
    MANIFEST_NAME,
    REJECTS_NAME,
    Manifest,
    ShardEntry,
    SplitEntry,
    fingerprint,
)
from pipelines.moments import Moments
from pipelines.shard_task import STATE_DIRECTORY, ShardReport, ShardTask, completed_report
from pipelines.shards import INDEX_FIELDS, PLACE_FIELDS, SCHEMA_VERSION
from pipelines.storage import TEMPORARY_MARK, Location

__all__ = ["PrepareOptions", "Prepared", "TooManyRejectsError", "prepare"]

_RECIPE_VERSION = 1
_SPLITS = ("train", "valid", "valid2", "test")
_REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "id", "split", "code", "message")])

Runner = Callable[[list[ShardTask], int], Iterator[ShardReport]]
Progress = Callable[[int, int], None]


class TooManyRejectsError(Exception):
    """More source items were rejected than the run allows."""


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare; none of it but `corpus_options` and `shard_bytes` changes what is written.

    Attributes:
        workers: how many shards are worked on at once.
        corpus_options: values for the adapter's options.
        shard_bytes: raw bytes a shard is cut at.
        max_rejects: more rejects than this are an error; None allows any number.
    """

    workers: int = 1
    corpus_options: Mapping[str, bool | int] = field(default_factory=dict)
    shard_bytes: int = 64 * 2**20
    max_rejects: int | None = None


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did: the manifest, and how many shards it wrote and skipped."""

    manifest: Manifest
    written: int
    skipped: int


def prepare(
    corpus_name: str,
    raw: Location,
    out: Location,
    options: PrepareOptions,
    *,
    run_tasks: Runner,
    on_progress: Progress = lambda done, total: None,
) -> Prepared:
    """Turn the raw corpus at `raw` into shards at `out`.

    Args:
        corpus_name: an adapter's name.
        raw: the raw root.
        out: the shards' directory; a set of shards of another corpus in it is refused.
        options: see `PrepareOptions`.
        run_tasks: runs shard tasks, that many at once, and yields their reports in any order.
        on_progress: called with (source items done, source items in all).

    Raises:
        InputError: unknown corpus, `raw` is missing or not that corpus, `out` holds something else.
        TooManyRejectsError: see `PrepareOptions.max_rejects`; the rejects are written nevertheless.
    """
    corpus = find_corpus(corpus_name)
    if not raw.is_directory():
        raise InputError(f"{raw}: no such directory; point --raw at the raw {corpus.name} corpus")
    listing = corpus.list_items(raw, {**corpus.options, **options.corpus_options})
    tasks = plan_shards(corpus, raw, out, listing, options)
    _refuse_foreign(out, corpus)
    done = {task.name: report for task in tasks if (report := completed_report(task))}
    todo = [task for task in tasks if task.name not in done]
    if not todo and (previous := _existing(out, tasks, done)):
        on_progress(len(listing.items), len(listing.items))
        return Prepared(previous, 0, len(done))
    (out / MANIFEST_NAME).delete()
    reports = done | _run(todo, len(listing.items), options.workers, run_tasks, on_progress)
    _remove_strangers(out, {task.name for task in tasks})
    manifest = _finish(corpus, out, listing, [reports[task.name] for task in tasks], options)
    return Prepared(manifest, len(todo), len(done))


def plan_shards(
    corpus: Corpus, raw: Location, out: Location, listing: Listing, options: PrepareOptions
) -> list[ShardTask]:
    """Cut the items into shard tasks: a pure function of the listing and the options."""
    recipe = {
        "version": _RECIPE_VERSION,
        "corpus": corpus.name,
        "options": {**corpus.options, **options.corpus_options},
        "sample_rate": corpus.sample_rate,
    }
    tasks: list[ShardTask] = []
    for split in _SPLITS:
        groups = list(_by_bytes([item for item in listing.items if item.split == split], options.shard_bytes))
        for number, group in enumerate(groups):
            name = f"{split}-{number:05d}-of-{len(groups):05d}.parquet"
            tasks.append(ShardTask(raw.uri, out.uri, name, corpus.kind, corpus.sample_rate, recipe, tuple(group)))
    return tasks


def _by_bytes(items: list[SourceItem], limit: int) -> Iterator[list[SourceItem]]:
    group: list[SourceItem] = []
    size = 0
    for item in items:
        if group and size + item.file.size > limit:
            yield group
            group, size = [], 0
        group.append(item)
        size += item.file.size
    if group:
        yield group


def _refuse_foreign(out: Location, corpus: Corpus) -> None:
    if (out / MANIFEST_NAME).is_file():
        found = Manifest.load(out).corpus
        if found != corpus.name:
            raise InputError(f"{out}: holds shards of {found}, not {corpus.name}; choose another --out")
    elif out.files(recursive=False) and not (out / STATE_DIRECTORY).is_directory():
        raise InputError(f"{out}: holds files that are not shards; choose an empty or new directory for --out")


def _existing(out: Location, tasks: list[ShardTask], done: Mapping[str, ShardReport]) -> Manifest | None:
    if not (out / MANIFEST_NAME).is_file():
        return None
    manifest = Manifest.load(out)
    listed = {shard.file: shard.sha256 for split in manifest.splits.values() for shard in split.shards}
    same = listed == {task.name: done[task.name].sha256 for task in tasks}
    index_whole = (out / INDEX_NAME).is_file() and (out / INDEX_NAME).sha256() == manifest.index_sha256
    return manifest if same and index_whole and (out / REJECTS_NAME).is_file() else None


def _run(
    todo: list[ShardTask], items_in_all: int, workers: int, run_tasks: Runner, on_progress: Progress
) -> dict[str, ShardReport]:
    sizes = {task.name: len(task.items) for task in todo}
    finished = items_in_all - sum(sizes.values())
    on_progress(finished, items_in_all)
    reports: dict[str, ShardReport] = {}
    for report in run_tasks(todo, workers):
        reports[report.name] = report
        finished += sizes[report.name]
        on_progress(finished, items_in_all)
    return reports


def _remove_strangers(out: Location, names: set[str]) -> None:
    keep = names | {f"{STATE_DIRECTORY}/{name}.json" for name in names} | {INDEX_NAME, REJECTS_NAME}
    for file in out.files():
        base = file.path.rpartition("/")[2]
        ours = file.path.startswith(f"{STATE_DIRECTORY}/") or base.endswith(".parquet") or TEMPORARY_MARK in base
        if ours and file.path not in keep:
            (out / file.path).delete()


def _finish(
    corpus: Corpus, out: Location, listing: Listing, reports: list[ShardReport], options: PrepareOptions
) -> Manifest:
    rejects = [asdict(reject) for report in reports for reject in report.rejects]
    _write_table(out / REJECTS_NAME, pa.Table.from_pylist(rejects, schema=_REJECT_SCHEMA))
    if options.max_rejects is not None and len(rejects) > options.max_rejects:
        raise TooManyRejectsError(
            f"{len(rejects)} source items rejected, more than --max-rejects {options.max_rejects}; "
            f"see {out / REJECTS_NAME}"
        )
    index = _index(out, reports)
    _write_table(out / INDEX_NAME, index)
    entries = _entries(reports, index)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        corpus=corpus.name,
        kind=corpus.kind,
        sample_rate=corpus.sample_rate,
        options={**corpus.options, **options.corpus_options},
        split_rule=listing.split_rule,
        fingerprint=_fingerprint(corpus, index),
        splits=entries,
        rejects=dict(sorted(Counter(reject["code"] for reject in rejects).items())),
        train_moments=_train_moments(corpus, index),
        index_sha256=(out / INDEX_NAME).sha256(),
        software=_software(),
    )
    manifest.save(out)
    return manifest


def _write_table(target: Location, table: pa.Table) -> None:
    with target.writing() as stream:
        pq.write_table(table, stream, compression="zstd")


def _index(out: Location, reports: list[ShardReport]) -> pa.Table:
    """Every sequence's description and place, read back from the shards, in the order of split and id."""
    schema = pa.schema([*INDEX_FIELDS, *PLACE_FIELDS])
    parts = [schema.empty_table()]
    for report in reports:
        with (out / report.name).open() as stream:
            file = pq.ParquetFile(stream)
            parts += [_index_part(report.name, file, group, schema) for group in range(file.num_row_groups)]
    return pa.concat_tables(parts).sort_by([("split", "ascending"), ("id", "ascending")])


def _index_part(shard: str, file: pq.ParquetFile, group: int, schema: pa.Schema) -> pa.Table:
    part = file.read_row_group(group, columns=[field.name for field in INDEX_FIELDS])
    rows = part.num_rows
    place = [[shard.partition("-")[0]] * rows, [shard] * rows, [group] * rows, list(range(rows))]
    return pa.Table.from_arrays([*part.columns, *(pa.array(column) for column in place)], names=schema.names).cast(
        schema
    )


def _fingerprint(corpus: Corpus, index: pa.Table) -> str:
    rows = zip(*(index.column(name).to_pylist() for name in ("split", "id", "digest")), strict=True)
    return fingerprint(corpus.kind, corpus.sample_rate, rows)


def _train_moments(corpus: Corpus, index: pa.Table) -> Moments:
    rows = index.select(["split", "moment_count", "sums", "sums_of_squares"]).to_pylist()
    parts = (
        Moments(count=row["moment_count"], sums=row["sums"], sums_of_squares=row["sums_of_squares"])
        for row in rows
        if row["split"] == "train"
    )
    return Moments.total(parts, channels=1 if corpus.kind == "speech" else 2)


def _entries(reports: list[ShardReport], index: pa.Table) -> dict[str, SplitEntry]:
    places = list(zip(index.column("split").to_pylist(), index.column("length").to_pylist(), strict=True))
    entries: dict[str, SplitEntry] = {}
    for split in _SPLITS:
        lengths = [length for place, length in places if place == split]
        shards = tuple(
            ShardEntry(file=report.name, bytes=report.bytes, sha256=report.sha256, sequences=report.sequences)
            for report in reports
            if report.name.startswith(f"{split}-")
        )
        if shards:
            entries[split] = SplitEntry(sequences=len(lengths), length=sum(lengths), shards=shards)
    return entries


def _software() -> dict[str, str]:
    packages = ("vrnn-bench", "numpy", "pyarrow", "soundfile", "torchaudio")
    return {package: version(package) for package in packages} | {"libsndfile": soundfile.__libsndfile_version__}
