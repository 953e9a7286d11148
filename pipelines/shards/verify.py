"""`verify`: everything that a set of shards states about itself, recomputed and compared.

`ShardSet` trusts a shard whose bytes match the manifest; this trusts nothing but the signals. Digests, lengths
and moments are computed from them again and held against the rows, the rows against the index, and what they add up
to against the manifest, fingerprint included.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import InputError
from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.manifest import INDEX_NAME, MANIFEST_NAME, REJECTS_NAME, Manifest, fingerprint
from pipelines.shards.moments import Moments
from pipelines.shards.problems import Findings
from pipelines.shards.verify_shard import UNREADABLE, ShardCheck, Tally, compare_schemas
from pipelines.shards.write import INDEX_FIELDS, PLACE_FIELDS, SCHEMA_VERSION

__all__ = ["Verification", "verify_shards"]

_INDEX_SCHEMA = pa.schema([*INDEX_FIELDS, *PLACE_FIELDS])


@dataclass(frozen=True)
class Verification:
    """The result of `verify_shards`.

    Attributes:
        shards: how many the manifest lists.
        sequences: how many rows were read and checked.
        problems: the first of them, a line each.
        further: how many there are beside those.
    """

    shards: int
    sequences: int
    problems: tuple[str, ...]
    further: int

    @property
    def ok(self) -> bool:
        """Whether there is none."""
        return not self.problems


def verify_shards(
    location: Location, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Verification:
    """Check a set of shards, a row group in memory at a time, and collect all that is wrong with it.

    Args:
        location: where the shards lie.
        on_progress: called with (shards done, shards in all).

    Raises:
        InputError: there is no finished set of shards there.
    """
    findings = Findings()
    manifest = _manifest(location, findings)
    if manifest is None:
        return _verification(0, 0, findings)
    index = _index(location, manifest, findings)
    tally = Tally(manifest.kind)
    shards = [(split, entry) for split, content in manifest.splits.items() for entry in content.shards]
    for done, (split, entry) in enumerate(shards):
        on_progress(done, len(shards))
        ShardCheck(location / entry.file, entry, split, index, tally, findings).run()
    on_progress(len(shards), len(shards))
    _check_totals(manifest, tally, findings)
    _check_rejects(location, manifest, findings)
    _check_strangers(location, manifest, findings)
    return _verification(len(shards), len(tally.digests), findings)


def _verification(shards: int, sequences: int, findings: Findings) -> Verification:
    return Verification(shards, sequences, tuple(findings.lines), findings.count - len(findings.lines))


def _manifest(location: Location, findings: Findings) -> Manifest | None:
    try:
        manifest = Manifest.load(location)
    except InputError as error:
        if not (location / MANIFEST_NAME).is_file():
            raise
        findings.add(MANIFEST_NAME, "content", "a manifest of this version", error)
        return None
    findings.compare(MANIFEST_NAME, "schema_version", SCHEMA_VERSION, manifest.schema_version)
    return manifest


def _read(place: Location, name: str, findings: Findings) -> pa.Table | None:
    try:
        with place.open() as stream:
            return pq.read_table(stream)
    except UNREADABLE as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else error
        findings.add(name, "content", "readable Parquet", found)
        return None


def _index(location: Location, manifest: Manifest, findings: Findings) -> pa.Table | None:
    place = location / INDEX_NAME
    if place.is_file():
        findings.compare(INDEX_NAME, "SHA-256", manifest.index_sha256, place.sha256())
    table = _read(place, INDEX_NAME, findings)
    if table is None or not compare_schemas(INDEX_NAME, _INDEX_SCHEMA, table.schema, findings):
        return None
    listed = {entry.file: split for split, content in manifest.splits.items() for entry in content.shards}
    for shard, count in Counter(table.column("shard").to_pylist()).items():
        if shard not in listed:
            findings.add(INDEX_NAME, f"sequences in {shard}", "none: the manifest does not list it", count)
    for id_, count in Counter(table.column("id").to_pylist()).items():
        findings.compare(f"{INDEX_NAME}: {id_}", "rows", 1, count)
    return table


def _check_totals(manifest: Manifest, tally: Tally, findings: Findings) -> None:
    """What the rows add up to; where a shard could not be read they add up to nothing worth comparing."""
    if not tally.whole:
        return
    counts = Counter(split for split, _, _ in tally.digests)
    for split, content in manifest.splits.items():
        findings.compare(MANIFEST_NAME, f"sequences of {split}", counts[split], content.sequences)
        findings.compare(MANIFEST_NAME, f"length of {split}", tally.lengths[split], content.length)
    nothing = Moments.total([], tally.channels)
    for name, column, stated in (
        ("train_moments", "split", manifest.train_moments),
        ("train_moments_by_sequence", "split_by_sequence", manifest.train_moments_by_sequence),
    ):
        findings.compare(MANIFEST_NAME, name, tally.moments.get(column, nothing), stated)
    computed = fingerprint(manifest.kind, manifest.sample_rate, tally.digests)
    findings.compare(MANIFEST_NAME, "fingerprint", computed, manifest.fingerprint)


def _check_rejects(location: Location, manifest: Manifest, findings: Findings) -> None:
    table = _read(location / REJECTS_NAME, REJECTS_NAME, findings)
    if table is None:
        return
    if "code" not in table.column_names:
        findings.add(REJECTS_NAME, "columns", "code", ", ".join(table.column_names))
        return
    counts = dict(sorted(Counter(table.column("code").to_pylist()).items()))
    findings.compare(MANIFEST_NAME, "rejects", counts, dict(sorted(manifest.rejects.items())))


def _check_strangers(location: Location, manifest: Manifest, findings: Findings) -> None:
    """Files that look like shards and are none; hidden directories are prepare's, where a successor may be growing."""
    known = {entry.file for content in manifest.splits.values() for entry in content.shards}
    for file in location.files():
        if file.path.startswith("."):
            continue
        name = file.path.rpartition("/")[2]
        if TEMPORARY_MARK in name:
            findings.add(file.path, "file", "none", "what an interrupted write left")
        elif name.endswith(".parquet") and file.path not in known | {INDEX_NAME, REJECTS_NAME}:
            findings.add(file.path, "file", "none", "a Parquet file that the manifest does not list")
