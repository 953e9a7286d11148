"""LeakCheck: what the sequences that are fitted on, that choose the checkpoint and that are reported have in common.

A reported sequence that a model was fitted on measures memory, and one whose speaker it was fitted on measures less of
what it would do with a stranger. Four things are looked for in the index, from the surest to the weakest: the same
signal, sample for sample; the same recorded source, which a long recording that is cut into several sequences shares by
design, but inside one role alone; the same speaker; and, for sequences whose speaker is not known, the same group (the
page, the chapter, the recording: what a split must not cut).

Protocol `paper` splits by sequence, as the paper did: there shared speakers are the protocol's own convention, and are
told as such. On IAM-OnDB it also reports the set that chose the checkpoint: then every reported sequence does both,
which is told once, and only what is fitted on is compared with it.

A copy that was resampled, trimmed or recorded twice has another digest and is not found. The signals are never read.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.schema.leaks import LeakCheck, Overlap, Repeats, Role, SharedThing
from pipelines.batches.protocol import Protocol, window_lengths
from pipelines.batches.roles import assign_roles, split_rows
from pipelines.shards.read import ShardSet

__all__ = ["find_leaks"]

Rows = npt.NDArray[np.int64]

_EXAMPLES = 3
_FEW_SPEAKERS = 10
_COLUMNS: Mapping[SharedThing, str] = {
    "signal": "digest",
    "source": "source_sha256",
    "speaker": "speaker",
    "group": "group",
}
_DOES = {"fit": "fitted on", "select": "used to choose the checkpoint"}
_IS = {"fit": "fitted", "select": "selecting", "report": "reported"}


def find_leaks(shards: ShardSet, protocol: Protocol) -> LeakCheck:
    """Compare the roles that the protocol gives to sequences; only the index is read.

    Raises:
        InputError: the shards have nothing to train on, or no evaluation split.
    """
    assigned = assign_roles(shards, protocol)
    report = split_rows(shards, protocol, (assigned.report_split,))
    rows: dict[Role, Rows] = {"fit": assigned.fit, "select": assigned.select, "report": report}
    codes: dict[SharedThing, Rows] = {kind: _codes(shards.index, kind) for kind in _COLUMNS}
    both = np.isin(rows["select"], report)
    apart: dict[Role, Rows] = {**rows, "select": rows["select"][~both]}
    ids = shards.index["id"].to_numpy(dtype=object)
    shared = tuple(found for kind in codes for found in _shared(kind, codes[kind], apart, ids))
    repeats = tuple(found for role in apart for found in _repeats(role, codes["signal"][apart[role]], ids[apart[role]]))
    sequences: dict[Role, int] = {role: len(of_role) for role, of_role in rows.items()}
    speakers: dict[Role, int] = {role: _named(codes["speaker"][of_role]) for role, of_role in rows.items()}
    unknown: dict[Role, int] = {role: int((codes["speaker"][of_role] < 0).sum()) for role, of_role in rows.items()}
    lengths = shards.index["length"].to_numpy()[report]
    windows = sum(len(window_lengths(protocol, int(length))) for length in lengths)
    warnings = (
        *_role_warnings(protocol, int(both.sum())),
        *(_shared_warning(found, sequences, protocol) for found in shared),
        *(_repeats_warning(found, sequences) for found in repeats),
        *_speaker_warnings(unknown, sequences),
        *_few_speakers_warning(speakers["report"], sequences["report"], windows),
        *_windows_warning(sequences["report"], windows),
    )
    return LeakCheck(
        protocol=protocol.name,
        rule=assigned.rule,
        sequences=sequences,
        speakers=speakers,
        without_speaker=unknown,
        reported_that_select=int(both.sum()),
        shared=shared,
        repeats=repeats,
        warnings=warnings,
    )


def _named(codes: Rows) -> int:
    """How many speakers there are among the sequences whose speaker is known."""
    return len(np.unique(codes[codes >= 0]))


def _codes(index: pd.DataFrame, kind: SharedThing) -> Rows:
    """A number for each distinct value, -1 where it is missing or, for a group, where the speaker says it better."""
    codes = pd.factorize(index[_COLUMNS[kind]])[0].astype(np.int64)
    if kind == "group":
        codes[index["speaker"].notna().to_numpy()] = -1
    return codes


def _shared(
    kind: SharedThing, codes: Rows, rows: Mapping[Role, Rows], ids: npt.NDArray[np.object_]
) -> Iterator[Overlap]:
    for first, second in combinations(rows, 2):
        ours, theirs = codes[rows[first]], codes[rows[second]]
        common = np.intersect1d(ours[ours >= 0], theirs[theirs >= 0])
        if not len(common):
            continue
        of_first, of_second = np.isin(ours, common), np.isin(theirs, common)
        examples = tuple(
            (str(ids[rows[first][np.argmax(ours == code)]]), str(ids[rows[second][np.argmax(theirs == code)]]))
            for code in pd.unique(theirs[of_second])[:_EXAMPLES]
        )
        counts = int(of_first.sum()), int(of_second.sum())
        yield Overlap(
            kind=kind,
            roles=(first, second),
            values=len(common),
            sequences=counts,
            share=counts[1] / len(theirs),
            examples=examples,
        )


def _repeats(role: Role, codes: Rows, ids: npt.NDArray[np.object_]) -> Iterator[Repeats]:
    again = np.flatnonzero(pd.Series(codes).duplicated().to_numpy())
    if len(again):
        firsts = [int(np.argmax(codes == codes[place])) for place in again[:_EXAMPLES]]
        examples = tuple((str(ids[first]), str(ids[place])) for first, place in zip(firsts, again, strict=False))
        yield Repeats(role=role, sequences=len(again), examples=examples)


def _role_warnings(protocol: Protocol, both: int) -> Iterator[str]:
    if both:
        yield (
            f"protocol {protocol.name} reports the set that chooses the checkpoint ({both:,} sequences), as the paper "
            "did: the figure flatters, and more so the more epochs there were to choose from"
        )


def _shared_warning(found: Overlap, sequences: Mapping[Role, int], protocol: Protocol) -> str:
    first, second = found.roles
    who = f"{found.sequences[1]:,} of {sequences[second]:,} {_IS[second]} sequences ({found.share:.1%})"
    example = f"(such as {found.examples[0][1]}; compare {found.examples[0][0]})"
    match found.kind:
        case "signal":
            return f"{who} are, sample for sample, sequences that are {_DOES[first]} {example}"
        case "source":
            return f"{who} come from recorded sources that are also {_DOES[first]} {example}"
        case "group":
            return f"{who} are of pages, chapters or recordings that are also {_DOES[first]} {example}"
    speakers = "1 speaker" if found.values == 1 else f"{found.values:,} speakers"
    text = f"{who} are of {speakers} also {_DOES[first]}"
    if protocol.split_column == "split":
        return f"{text} {example}"
    return f"{text}: protocol {protocol.name} splits by sequence, by its own convention, and says nothing of new voices"


def _repeats_warning(found: Repeats, sequences: Mapping[Role, int]) -> str:
    one, other = found.examples[0]
    return (
        f"{found.sequences:,} of {sequences[found.role]:,} {_IS[found.role]} sequences repeat the signal of another, "
        f"which counts again each time (such as {other}, a copy of {one})"
    )


def _speaker_warnings(unknown: Mapping[Role, int], sequences: Mapping[Role, int]) -> Iterator[str]:
    if unknown["report"] or unknown["fit"]:
        counts = " and ".join(f"{unknown[role]:,} of {sequences[role]:,} {_IS[role]}" for role in ("report", "fit"))
        yield f"the index names no speaker for {counts} sequences: whether voices or hands are shared is not known"


def _few_speakers_warning(speakers: int, sequences: int, windows: int) -> Iterator[str]:
    """Sequences or windows of one speaker are alike: docs/statistics.md has what that does."""
    if 0 < speakers < _FEW_SPEAKERS and speakers < max(sequences, windows):
        yield (
            f"the {sequences:,} reported recordings are of {_counted(speakers)}: intervals and tests over sequences "
            "say how sure a figure is of whom was heard, not of others"
        )


def _windows_warning(sequences: int, windows: int) -> Iterator[str]:
    if windows > sequences:
        yield (
            f"the {sequences:,} reported recordings are cut into {windows:,} windows, which are what is scored: those "
            "of one recording are alike, and intervals and tests take them as independent, so both say too much"
        )


def _counted(speakers: int) -> str:
    return "one speaker" if speakers == 1 else f"{speakers:,} speakers"
