"""The leak check: what the sequences that are fitted, that select the checkpoint and that are reported have in common.

A reported sequence that a model was fitted on measures memory, and one whose speaker it was fitted on says less about
new speakers. The index is searched for four things, from the surest to the weakest:

- the same signal, sample for sample;
- the same recorded source: a long recording that is cut into sequences shares it by design, but within one role only;
- the same speaker;
- for sequences without a known speaker, the same group: the page, chapter or recording that a split must not cut.

Protocol `paper` splits by sequence, as the paper did: shared speakers are the protocol's own convention there, and the
warning says so. On IAM-OnDB it also reports the set that selects the checkpoint. That is one warning, and then only the
fitted sequences are compared with the reported ones.

A copy that was resampled, trimmed or recorded again has another digest and is not found. No signal is read.
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
    """Compare the sequences of a protocol's roles; only the index is read.

    Raises:
        InputError: the shards have nothing to train on, or no evaluation split.
    """
    index, assigned = shards.index, assign_roles(shards, protocol)
    report = split_rows(shards, protocol, (assigned.report_split,))
    rows: dict[Role, Rows] = {"fit": assigned.fit, "select": assigned.select, "report": report}
    # A number for each distinct value; -1 where it is missing, and for the group of a sequence with a speaker.
    codes: dict[SharedThing, Rows] = {
        kind: pd.factorize(index[column])[0].astype(np.int64) for kind, column in _COLUMNS.items()
    }
    codes["group"][index["speaker"].notna().to_numpy()] = -1
    ids = index["id"].to_numpy(dtype=object)

    # Sequences that select and are reported by the protocol's own rule are counted once, and not as an overlap.
    both = np.isin(rows["select"], report)
    distinct: dict[Role, Rows] = {**rows, "select": rows["select"][~both]}
    shared = tuple(found for kind in codes for found in _overlaps(kind, codes[kind], distinct, ids))
    repeats: list[Repeats] = []
    for role, of_role in distinct.items():
        signals, names = codes["signal"][of_role], ids[of_role]
        again = np.flatnonzero(pd.Series(signals).duplicated().to_numpy())
        if len(again):
            firsts = [int(np.argmax(signals == signals[place])) for place in again[:_EXAMPLES]]
            examples = tuple(
                (str(names[first]), str(names[place])) for first, place in zip(firsts, again, strict=False)
            )
            repeats.append(Repeats(role=role, sequences=len(again), examples=examples))

    speakers: dict[Role, Rows] = {role: codes["speaker"][of_role] for role, of_role in rows.items()}
    found = LeakCheck(
        protocol=protocol.name,
        rule=assigned.rule,
        sequences={role: len(of_role) for role, of_role in rows.items()},
        speakers={role: len(np.unique(of[of >= 0])) for role, of in speakers.items()},
        without_speaker={role: int((of < 0).sum()) for role, of in speakers.items()},
        reported_that_select=int(both.sum()),
        shared=shared,
        repeats=tuple(repeats),
        warnings=(),
    )
    lengths = index["length"].to_numpy()[report]
    windows = sum(len(window_lengths(protocol, int(length))) for length in lengths)
    return found.model_copy(update={"warnings": tuple(_warnings(found, protocol, windows))})


def _overlaps(
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


def _warnings(found: LeakCheck, protocol: Protocol, windows: int) -> Iterator[str]:
    """One line for each fault; `windows` is the number that the reported recordings are cut into."""
    if found.reported_that_select:
        yield (
            f"protocol {protocol.name} reports the set that chooses the checkpoint ({found.reported_that_select:,} "
            "sequences), as the paper did: the score is too good, and more so the more epochs there were to choose from"
        )
    for overlap in found.shared:
        yield _overlap_warning(overlap, found.sequences, protocol)
    for repeats in found.repeats:
        one, other = repeats.examples[0]
        yield (
            f"{repeats.sequences:,} of {found.sequences[repeats.role]:,} {_IS[repeats.role]} sequences repeat the "
            f"signal of another, so it counts more than once (such as {other}, a copy of {one})"
        )
    sequences, unknown = found.sequences, found.without_speaker
    if unknown["report"] or unknown["fit"]:
        roles: tuple[Role, ...] = ("report", "fit")
        counts = " and ".join(f"{unknown[role]:,} of {sequences[role]:,} {_IS[role]}" for role in roles)
        yield f"the index names no speaker for {counts} sequences: whether voices or hands are shared is not known"
    # Sequences of one speaker, and windows of one recording, are alike: docs/statistics.md says what that does.
    speakers, reported = found.speakers["report"], sequences["report"]
    if 0 < speakers < _FEW_SPEAKERS and speakers < max(reported, windows):
        number = "one speaker" if speakers == 1 else f"{speakers:,} speakers"
        yield (
            f"the {reported:,} reported recordings are of {number}: intervals and tests over sequences cover these "
            "speakers, not others"
        )
    if windows > reported:
        yield (
            f"the {reported:,} reported recordings are cut into {windows:,} windows, which are scored: windows of one "
            "recording are alike, but intervals and tests take them as independent, so both claim too much"
        )


def _overlap_warning(found: Overlap, sequences: Mapping[Role, int], protocol: Protocol) -> str:
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
