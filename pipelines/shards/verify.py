"""`verify`: everything that a set of shards states about itself, computed again and compared.

`ShardSet` trusts a shard whose bytes match the manifest; this check trusts the signals alone. Digests, lengths and
moments are computed from the signals and compared with the rows, the rows with the index, and the sums over the rows
with the manifest, including the fingerprint.
"""

# The stubs of pyarrow are partial.
# pyright: reportUnknownMemberType=false

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import InputError
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.columns import INDEX_SCHEMA, SCHEMA_VERSION, column_values
from pipelines.shards.manifest import INDEX_NAME, MANIFEST_NAME, REJECTS_NAME, Manifest, fingerprint
from pipelines.shards.moments import Moments
from pipelines.shards.verify_shard import UNREADABLE, Problems, ShardCheck, Totals, compare_schemas

__all__ = ["Verification", "verify_shards"]


@dataclass(frozen=True)
class Verification:
    """The result of `verify_shards`.

    Attributes:
        shards: how many shards the manifest lists.
        sequences: how many rows were read and checked.
        problems: the first problems, one line each.
        further: how many more problems there are.
    """

    shards: int
    sequences: int
    problems: tuple[str, ...]
    further: int

    @property
    def ok(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


def verify_shards(
    location: Location, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Verification:
    """Check a set of shards, with one row group in memory at a time, and collect all problems.

    Args:
        location: the directory of the shards.
        on_progress: called with (shards done, all shards).

    Raises:
        InputError: there is no finished set of shards there.
    """
    problems = Problems()
    manifest = _check_manifest(location, problems)
    if manifest is None:
        return _result(0, 0, problems)
    index = _check_index(location, manifest, problems)
    totals = Totals(manifest.kind)
    shards = [(split, entry) for split, content in manifest.splits.items() for entry in content.shards]
    for done, (split, entry) in enumerate(shards):
        on_progress(done, len(shards))
        ShardCheck(location / entry.file, entry, split, index, totals, problems).run()
    on_progress(len(shards), len(shards))
    # If a row could not be read, the sums are wrong for that reason alone.
    if totals.complete:
        _check_totals(manifest, totals, problems)
    _check_rejects(location, manifest, problems)
    _check_stray_files(location, manifest, problems)
    return _result(len(shards), len(totals.digests), problems)


def _result(shards: int, sequences: int, problems: Problems) -> Verification:
    return Verification(shards, sequences, tuple(problems.lines), problems.count - len(problems.lines))


def _check_manifest(location: Location, problems: Problems) -> Manifest | None:
    try:
        manifest = Manifest.load(location)
    except InputError as error:
        if not (location / MANIFEST_NAME).is_file():
            raise
        problems.add(MANIFEST_NAME, "content", "a manifest of this version", error)
        return None
    problems.compare(MANIFEST_NAME, "schema_version", SCHEMA_VERSION, manifest.schema_version)
    return manifest


def _read_table(place: Location, name: str, problems: Problems) -> pa.Table | None:
    try:
        with place.open() as stream:
            return pq.read_table(stream)
    except UNREADABLE as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else error
        problems.add(name, "content", "readable Parquet", found)
        return None


def _check_index(location: Location, manifest: Manifest, problems: Problems) -> pa.Table | None:
    place = location / INDEX_NAME
    if place.is_file():
        problems.compare(INDEX_NAME, "SHA-256", manifest.index_sha256, place.sha256())
    table = _read_table(place, INDEX_NAME, problems)
    if table is None or not compare_schemas(INDEX_NAME, INDEX_SCHEMA, table.schema, problems):
        return None
    listed = {entry.file for content in manifest.splits.values() for entry in content.shards}
    for shard, count in Counter(column_values(table, "shard")).items():
        if shard not in listed:
            problems.add(INDEX_NAME, f"sequences in {shard}", "none: the manifest does not list it", count)
    for id_, count in Counter(column_values(table, "id")).items():
        problems.compare(f"{INDEX_NAME}: {id_}", "rows", 1, count)
    return table


def _check_totals(manifest: Manifest, totals: Totals, problems: Problems) -> None:
    counts = Counter(split for split, _, _ in totals.digests)
    for split, content in manifest.splits.items():
        problems.compare(MANIFEST_NAME, f"sequences of {split}", counts[split], content.sequences)
        problems.compare(MANIFEST_NAME, f"length of {split}", totals.lengths[split], content.length)
    none = Moments.total([], totals.channels)
    for name, column, stated in (
        ("train_moments", "split", manifest.train_moments),
        ("train_moments_by_sequence", "split_by_sequence", manifest.train_moments_by_sequence),
    ):
        problems.compare(MANIFEST_NAME, name, totals.moments.get(column, none), stated)
    computed = fingerprint(manifest.kind, manifest.sample_rate, totals.digests)
    problems.compare(MANIFEST_NAME, "fingerprint", computed, manifest.fingerprint)


def _check_rejects(location: Location, manifest: Manifest, problems: Problems) -> None:
    table = _read_table(location / REJECTS_NAME, REJECTS_NAME, problems)
    if table is None:
        return
    if "code" not in table.column_names:
        problems.add(REJECTS_NAME, "columns", "code", ", ".join(table.column_names))
        return
    counts = dict(sorted(Counter(column_values(table, "code")).items()))
    problems.compare(MANIFEST_NAME, "rejects", counts, dict(sorted(manifest.rejects.items())))


def _check_stray_files(location: Location, manifest: Manifest, problems: Problems) -> None:
    known = {entry.file for content in manifest.splits.values() for entry in content.shards}
    known |= {INDEX_NAME, REJECTS_NAME}
    for file in location.files():
        # Hidden directories belong to `prepare`: another set may be in progress there.
        if file.path.startswith("."):
            continue
        name = file.path.rpartition("/")[2]
        if TEMPORARY_MARK in name:
            problems.add(file.path, "file", "none", "a temporary file of an interrupted write")
        elif name.endswith(".parquet") and file.path not in known:
            problems.add(file.path, "file", "none", "a Parquet file that the manifest does not list")
