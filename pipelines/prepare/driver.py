"""`prepare`: a raw corpus to verified Parquet shards, as Ray tasks.

One task writes one shard (see `pipelines.prepare.shard_plan`). A shard is there whole or not at all, with a mark
beside it that says what it was made of; a second run skips what its mark covers.

A finished set of shards is never touched before its successor is complete: what changed is written to
`.state/next` and moved into place at the end, so that a full disk or a killed run leaves the old set as it was. The
manifest is removed before the first move and comes last, so a set of shards with a manifest is whole.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from pipelines.corpora import Corpus, Listing, find_corpus
from pipelines.errors import InputError, PreparationError
from pipelines.prepare.shard_plan import SPLITS, PrepareOptions, chosen_values, plan_shards
from pipelines.prepare.shard_task import STATE_DIRECTORY, Reject, ShardReport, ShardTask, completed_report
from pipelines.runtime.locks import LOCK_NAME, exclusive
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.card import CARD_NAME, dataset_card
from pipelines.shards.index import READERS, content_fingerprint, read_index, split_entries, train_moments
from pipelines.shards.manifest import INDEX_NAME, MANIFEST_NAME, REJECTS_NAME, Manifest
from pipelines.shards.write import SCHEMA_VERSION

__all__ = ["PrepareOptions", "Prepared", "TooManyRejectsError", "prepare"]

_NEXT = f"{STATE_DIRECTORY}/next"
_REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "id", "split", "code", "message")])

Runner = Callable[[list[ShardTask], int], Iterator[ShardReport]]
Progress = Callable[[int, int], None]


class TooManyRejectsError(PreparationError):
    """More source items were rejected than the run allows."""


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did.

    Attributes:
        manifest: of the finished set.
        written: shards.
        skipped: shards that were up to date.
        unchanged: whether there was nothing at all to do, not even beside the shards.
    """

    manifest: Manifest
    written: int
    skipped: int
    unchanged: bool = False


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
        InputError: unknown corpus or option, `raw` is missing or not that corpus, `out` holds something else.
        TooManyRejectsError: see `PrepareOptions.max_rejects`; the rejects are written nevertheless.
        BusyError: another run is writing to `out`.
    """
    corpus = find_corpus(corpus_name)
    if not raw.is_directory():
        raise InputError(f"{raw}: no such directory; point --raw at the raw {corpus.name} corpus")
    _refuse_foreign(raw, out, corpus)
    listing = corpus.list_items(replace(raw, without=out.path), chosen_values(corpus, options.corpus_options))
    job = _Job(corpus, out, listing, plan_shards(corpus, raw, out, listing, options), options)
    if previous := job.unchanged():
        on_progress(len(listing.items), len(listing.items))
        return Prepared(previous, 0, len(job.tasks), unchanged=True)
    with exclusive(out):
        return job.run(run_tasks, on_progress)


def _refuse_foreign(raw: Location, out: Location, corpus: Corpus) -> None:
    if raw.path.rstrip("/") == out.path.rstrip("/"):
        raise InputError(f"{out}: is --raw itself; choose another place for --out")
    if out.is_file():
        raise InputError(f"{out}: is a file; choose an empty or new directory for --out")
    if found := _load(out):
        if found.corpus != corpus.name:
            raise InputError(f"{out}: holds shards of {found.corpus}, not {corpus.name}; choose another --out")
    elif out.files(recursive=False) and not (out / STATE_DIRECTORY).is_directory():
        raise InputError(f"{out}: holds files that are not shards; choose an empty or new directory for --out")


def _load(out: Location) -> Manifest | None:
    """The manifest at `out`; None where there is none, or a damaged one, which is then made anew."""
    try:
        return Manifest.load(out)
    except InputError:
        return None


@dataclass(frozen=True)
class _Job:
    corpus: Corpus
    out: Location
    listing: Listing
    tasks: list[ShardTask]
    options: PrepareOptions

    @property
    def staged(self) -> Location:
        """Where a successor of a finished set grows."""
        return self.out / _NEXT

    def done_at(self, place: Location) -> dict[str, ShardReport]:
        """The reports of the tasks that are done at `place`."""
        with ThreadPoolExecutor(READERS) as pool:
            reports = pool.map(completed_report, (replace(task, out=place.uri) for task in self.tasks))
            return {report.name: report for report in reports if report}

    def unchanged(self) -> Manifest | None:
        """The manifest, where there is nothing at all to do: it says what a new one would say of what lies there."""
        found = _load(self.out)
        if found is None or not (self.out / REJECTS_NAME).is_file() or self.strays():
            return None
        done = self.done_at(self.out)
        place = self.out / INDEX_NAME
        if len(done) < len(self.tasks) or not place.is_file() or place.sha256() != found.index_sha256:
            return None
        with place.open() as stream:
            index = pq.read_table(stream)
        reports = [done[task.name] for task in self.tasks]
        rejects = self._rejects(reports)
        self._refuse_too_many(rejects, self.out)
        due = self._manifest(reports, rejects, index, found.index_sha256)
        return found if due.model_copy(update={"software": found.software}) == found else None

    def strays(self) -> list[Location]:
        """Files of earlier runs that this set does not have: temporaries, shards of another cut, what was staged."""
        names = {task.name for task in self.tasks}
        state = {f"{STATE_DIRECTORY}/{name}.json" for name in names} | {f"{STATE_DIRECTORY}/{LOCK_NAME}"}
        keep = names | state | {INDEX_NAME, REJECTS_NAME}
        return [self.out / file.path for file in self.out.files() if _is_ours(file.path) and file.path not in keep]

    def run(self, run_tasks: Runner, on_progress: Progress) -> Prepared:
        """Do what is to be done; see the module's text."""
        in_place, staged = self.done_at(self.out), self.done_at(self.staged)
        target = self.staged if (self.out / MANIFEST_NAME).is_file() else self.out
        done = staged | in_place
        todo = [replace(task, out=target.uri) for task in self.tasks if task.name not in done]
        new = _run(todo, len(self.listing.items), self.options.workers, run_tasks, on_progress)
        place = dict.fromkeys(new, target) | dict.fromkeys(staged, self.staged) | dict.fromkeys(in_place, self.out)
        reports = [(done | new)[task.name] for task in self.tasks]
        manifest = self._describe(target, reports, place)
        self._move_into_place(target, [name for name, where in place.items() if where == self.staged])
        for stray in self.strays():
            stray.delete()
        return Prepared(manifest, len(todo), len(done))

    def _describe(self, target: Location, reports: list[ShardReport], place: Mapping[str, Location]) -> Manifest:
        """Write rejects, index and card to `target`, and stage the manifest."""
        rejects = self._rejects(reports)
        _write_table(target / REJECTS_NAME, pa.Table.from_pylist([asdict(one) for one in rejects], _REJECT_SCHEMA))
        self._refuse_too_many(rejects, target)
        index = read_index([place[report.name] / report.name for report in reports])
        _write_table(target / INDEX_NAME, index)
        manifest = self._manifest(reports, rejects, index, (target / INDEX_NAME).sha256())
        (target / CARD_NAME).write_bytes(dataset_card(manifest).encode())
        manifest.save(self.staged)
        return manifest

    def _manifest(
        self, reports: list[ShardReport], rejects: list[Reject], index: pa.Table, index_sha256: str
    ) -> Manifest:
        corpus = self.corpus
        return Manifest(
            schema_version=SCHEMA_VERSION,
            corpus=corpus.name,
            kind=corpus.kind,
            sample_rate=corpus.sample_rate,
            options=chosen_values(corpus, self.options.corpus_options),
            licence=corpus.licence,
            url=corpus.url,
            split_rule=self.listing.split_rule,
            fingerprint=content_fingerprint(corpus.kind, corpus.sample_rate, index),
            splits=dict(split_entries(SPLITS, reports, index)),
            rejects=dict(sorted(Counter(reject.code for reject in rejects).items())),
            train_moments=train_moments(corpus.kind, index, "split"),
            train_moments_by_sequence=train_moments(corpus.kind, index, "split_by_sequence"),
            index_sha256=index_sha256,
            software=_software(),
        )

    def _rejects(self, reports: list[ShardReport]) -> list[Reject]:
        absent = [Reject(item.path, item.id, "", "missing", item.message) for item in self.listing.absent]
        return absent + [reject for report in reports for reject in report.rejects]

    def _refuse_too_many(self, rejects: list[Reject], target: Location) -> None:
        allowed = self.options.max_rejects
        if allowed is not None and len(rejects) > allowed:
            raise TooManyRejectsError(
                f"{len(rejects)} source items rejected, more than --max-rejects {allowed}; see {target / REJECTS_NAME}"
            )

    def _move_into_place(self, target: Location, staged: list[str]) -> None:
        names = [part for name in sorted(staged) for part in (name, f"{STATE_DIRECTORY}/{name}.json")]
        if target == self.staged:
            names += [INDEX_NAME, REJECTS_NAME, CARD_NAME]
        (self.out / MANIFEST_NAME).delete()
        for name in [*names, MANIFEST_NAME]:
            (self.staged / name).move(self.out / name)


def _is_ours(path: str) -> bool:
    if path.startswith(f"{STATE_DIRECTORY}/"):
        return True
    return "/" not in path and (path.endswith(".parquet") or TEMPORARY_MARK in path)


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


def _write_table(target: Location, table: pa.Table) -> None:
    with target.writing() as stream:
        pq.write_table(table, stream, compression="zstd")


def _software() -> dict[str, str]:
    packages = ("vrnn-bench", "numpy", "pyarrow", "soundfile", "soxr")
    return {package: version(package) for package in packages} | {"libsndfile": soundfile.__libsndfile_version__}
