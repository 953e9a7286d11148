"""`prepare`: from a raw corpus to verified Parquet shards.

One task writes one shard (see `pipelines.prepare.shard_plan`). A shard is there completely or not at all, and a marker
file says what it was made from, so a second run skips every shard whose marker still fits.

A finished set of shards is not changed until its successor is complete. New files are written to `.state/next` and
moved into place at the end, so a full disk or a killed run leaves the old set as it was. The manifest is deleted before
the first move and moved last: a set of shards with a manifest is always complete.
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
from pipelines.prepare.shard_plan import SPLITS, PrepareOptions, plan_shards, resolve_options
from pipelines.prepare.shard_task import Reject, ShardReport, ShardTask, completed_report, marker_name
from pipelines.runtime.locks import LOCK_NAME, lock_directory
from pipelines.runtime.storage import STATE_DIRECTORY, TEMPORARY_MARK, Location
from pipelines.shards.card import CARD_NAME, dataset_card
from pipelines.shards.columns import SCHEMA_VERSION
from pipelines.shards.index import READERS, content_fingerprint, read_index, split_entries, train_moments
from pipelines.shards.manifest import INDEX_NAME, MANIFEST_NAME, REJECTS_NAME, Manifest, ShardEntry

__all__ = ["PrepareOptions", "PrepareResult", "TooManyRejectsError", "prepare"]

_STAGING = f"{STATE_DIRECTORY}/next"
_REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "id", "split", "code", "message")])

RunTasks = Callable[[list[ShardTask], int], Iterator[ShardReport]]
OnProgress = Callable[[int, int], None]


class TooManyRejectsError(PreparationError):
    """More source items were rejected than the run allows."""


@dataclass(frozen=True)
class PrepareResult:
    """What `prepare` did.

    Attributes:
        manifest: the finished set's manifest.
        written: how many shards were written.
        skipped: how many shards were up to date.
        unchanged: whether nothing at all had to be written, not even the index.
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
    run_tasks: RunTasks,
    on_progress: OnProgress = lambda done, total: None,
) -> PrepareResult:
    """Turn the raw corpus at `raw` into shards at `out`.

    Args:
        corpus_name: an adapter's name.
        raw: the raw root.
        out: the directory for the shards; if it holds shards of another corpus, that is an error.
        options: see `PrepareOptions`.
        run_tasks: runs shard tasks, at most the given number at once, and yields their reports in any order.
        on_progress: called with (source items done, all source items).

    Raises:
        InputError: unknown corpus or option, `raw` is missing or another corpus, or `out` holds something else.
        TooManyRejectsError: see `PrepareOptions.max_rejects`; the rejects are written nevertheless.
        BusyError: another run is writing to `out`.
    """
    corpus = find_corpus(corpus_name)
    if not raw.is_directory():
        raise InputError(f"{raw}: no such directory; point --raw at the raw {corpus.name} corpus")
    _check_output(raw, out, corpus)
    # Shards below the raw root must not be taken for raw files.
    listing = corpus.list_items(replace(raw, exclude=out.path), resolve_options(corpus, options.corpus_options))
    job = _Job(corpus, out, listing, plan_shards(corpus, raw, out, listing, options), options)
    if manifest := job.up_to_date():
        on_progress(len(listing.items), len(listing.items))
        return PrepareResult(manifest, 0, len(job.tasks), unchanged=True)
    with lock_directory(out):
        return job.run(run_tasks, on_progress)


def _check_output(raw: Location, out: Location, corpus: Corpus) -> None:
    if raw.path.rstrip("/") == out.path.rstrip("/"):
        raise InputError(f"{out}: is --raw itself; choose another place for --out")
    if out.is_file():
        raise InputError(f"{out}: is a file; choose an empty or new directory for --out")
    if found := _load_manifest(out):
        if found.corpus != corpus.name:
            raise InputError(f"{out}: holds shards of {found.corpus}, not {corpus.name}; choose another --out")
    elif out.files(recursive=False) and not (out / STATE_DIRECTORY).is_directory():
        raise InputError(f"{out}: holds files that are not shards; choose an empty or new directory for --out")


def _load_manifest(out: Location) -> Manifest | None:
    """The manifest at `out`; None if there is none, or a damaged one, which is then written again."""
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
    def staging(self) -> Location:
        """Where the successor of a finished set is written."""
        return self.out / _STAGING

    def completed(self, place: Location) -> dict[str, ShardReport]:
        """The reports of the tasks whose shards are complete at `place`, by shard name."""
        with ThreadPoolExecutor(READERS) as pool:
            reports = pool.map(completed_report, (replace(task, out=place.uri) for task in self.tasks))
            return {report.name: report for report in reports if report}

    def up_to_date(self) -> Manifest | None:
        """The manifest at `out` if a run would write the same set again, else None."""
        found = _load_manifest(self.out)
        if found is None or not (self.out / REJECTS_NAME).is_file() or self.stray_files():
            return None
        completed = self.completed(self.out)
        index_file = self.out / INDEX_NAME
        if len(completed) < len(self.tasks) or not index_file.is_file() or index_file.sha256() != found.index_sha256:
            return None
        with index_file.open() as stream:
            index = pq.read_table(stream)
        reports = [completed[task.name] for task in self.tasks]
        rejects = self._rejects(reports)
        self._check_rejects(rejects, self.out)
        new = self._manifest(reports, rejects, index, found.index_sha256)
        # Other versions of the software alone are no reason to write everything again.
        return found if new.model_copy(update={"software": found.software}) == found else None

    def stray_files(self) -> list[Location]:
        """Files of earlier runs that are not part of this set: temporary files, staged files, shards of other cuts."""
        names = {task.name for task in self.tasks}
        state = {marker_name(name) for name in names} | {f"{STATE_DIRECTORY}/{LOCK_NAME}"}
        keep = names | state | {INDEX_NAME, REJECTS_NAME}
        stray: list[Location] = []
        for path in (file.path for file in self.out.files() if file.path not in keep):
            at_top = "/" not in path and (path.endswith(".parquet") or TEMPORARY_MARK in path)
            if at_top or path.startswith(f"{STATE_DIRECTORY}/"):
                stray.append(self.out / path)
        return stray

    def run(self, run_tasks: RunTasks, on_progress: OnProgress) -> PrepareResult:
        """Write the shards that are missing, then everything that describes the set, and move it into place."""
        in_place, staged = self.completed(self.out), self.completed(self.staging)
        # Without a manifest there is no finished set to protect: shards go to their final place at once.
        target = self.staging if (self.out / MANIFEST_NAME).is_file() else self.out
        done = staged | in_place
        todo = [replace(task, out=target.uri) for task in self.tasks if task.name not in done]
        new = self._run_tasks(todo, run_tasks, on_progress)
        place = dict.fromkeys(new, target) | dict.fromkeys(staged, self.staging) | dict.fromkeys(in_place, self.out)
        reports = [(done | new)[task.name] for task in self.tasks]
        manifest = self._describe(target, reports, place)
        self._move_into_place(target, [name for name, where in place.items() if where == self.staging])
        for stray in self.stray_files():
            stray.delete()
        return PrepareResult(manifest, len(todo), len(done))

    def _run_tasks(self, todo: list[ShardTask], run_tasks: RunTasks, on_progress: OnProgress) -> dict[str, ShardReport]:
        sizes, total = {task.name: len(task.items) for task in todo}, len(self.listing.items)
        finished = total - sum(sizes.values())
        on_progress(finished, total)
        reports: dict[str, ShardReport] = {}
        for report in run_tasks(todo, self.options.workers):
            reports[report.name] = report
            finished += sizes[report.name]
            on_progress(finished, total)
        return reports

    def _describe(self, target: Location, reports: list[ShardReport], place: Mapping[str, Location]) -> Manifest:
        """Write rejects, index and card to `target`, and stage the manifest."""
        rejects = self._rejects(reports)
        _write_table(target / REJECTS_NAME, pa.Table.from_pylist([asdict(one) for one in rejects], _REJECT_SCHEMA))
        self._check_rejects(rejects, target)
        index = read_index([place[report.name] / report.name for report in reports])
        _write_table(target / INDEX_NAME, index)
        manifest = self._manifest(reports, rejects, index, (target / INDEX_NAME).sha256())
        (target / CARD_NAME).write_bytes(dataset_card(manifest).encode())
        manifest.save(self.staging)
        return manifest

    def _manifest(
        self, reports: list[ShardReport], rejects: list[Reject], index: pa.Table, index_sha256: str
    ) -> Manifest:
        corpus = self.corpus
        packages = ("vrnn-bench", "numpy", "pyarrow", "soundfile", "soxr")
        software = {name: version(name) for name in packages} | {"libsndfile": soundfile.__libsndfile_version__}
        shards = [
            ShardEntry(file=one.name, bytes=one.bytes, sha256=one.sha256, sequences=one.sequences) for one in reports
        ]
        return Manifest(
            schema_version=SCHEMA_VERSION,
            corpus=corpus.name,
            kind=corpus.kind,
            sample_rate=corpus.sample_rate,
            options=resolve_options(corpus, self.options.corpus_options),
            licence=corpus.licence,
            url=corpus.url,
            split_rule=self.listing.split_rule,
            fingerprint=content_fingerprint(corpus.kind, corpus.sample_rate, index),
            splits=split_entries(SPLITS, shards, index),
            rejects=dict(sorted(Counter(reject.code for reject in rejects).items())),
            train_moments=train_moments(corpus.kind, index, "split"),
            train_moments_by_sequence=train_moments(corpus.kind, index, "split_by_sequence"),
            index_sha256=index_sha256,
            software=software,
        )

    def _rejects(self, reports: list[ShardReport]) -> list[Reject]:
        missing = [Reject(item.path, item.id, "", "missing", item.message) for item in self.listing.missing]
        return missing + [reject for report in reports for reject in report.rejects]

    def _check_rejects(self, rejects: list[Reject], target: Location) -> None:
        allowed = self.options.max_rejects
        if allowed is not None and len(rejects) > allowed:
            raise TooManyRejectsError(
                f"{len(rejects)} source items rejected, more than --max-rejects {allowed}; see {target / REJECTS_NAME}"
            )

    def _move_into_place(self, target: Location, staged: list[str]) -> None:
        names = [file for name in sorted(staged) for file in (name, marker_name(name))]
        if target == self.staging:
            names += [INDEX_NAME, REJECTS_NAME, CARD_NAME]
        (self.out / MANIFEST_NAME).delete()
        for name in [*names, MANIFEST_NAME]:
            (self.staging / name).move(self.out / name)


def _write_table(target: Location, table: pa.Table) -> None:
    with target.atomic_writer() as stream:
        pq.write_table(table, stream, compression="zstd")
