"""Leaks are planted in raw corpora or in an index. They must be found, counted and reported, and nothing else."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.audit.leaks import find_leaks
from benchmarks.schema.base import to_json
from benchmarks.schema.leaks import LeakCheck, Overlap
from pipelines.batches.protocol import find_protocol
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here

CLEAN, PAPER = (find_protocol(name, "speech", "timit") for name in ("clean", "paper"))


class Indexed:
    """A shard set that has only an index: reading a signal fails."""

    def __init__(self, **columns: Any) -> None:
        count = len(columns["split"])
        names = [f"s{n}" for n in range(count)]
        whole = {"id": names, "speaker": names, "group": names, "digest": names, "source_sha256": names} | columns
        self.index = pd.DataFrame({"split_by_sequence": whole["split"], "length": [4000] * count} | whole)
        self.location = "here"


def leaks_of(protocol: Any = CLEAN, **columns: Any) -> LeakCheck:
    return find_leaks(Indexed(**columns), protocol)  # type: ignore[arg-type]


def found(leaks: LeakCheck) -> dict[tuple[str, str, str], Overlap]:
    return {(shared.kind, *shared.roles): shared for shared in leaks.shared}


def test_a_signal_copied_to_another_split_is_found_with_its_source_and_speaker(tmp_path: Path) -> None:
    raw, generator = tmp_path / "raw", np.random.default_rng(0)
    for tree, speaker in [("TRAIN", "FAAA0"), ("TRAIN", "FBBB0"), ("TRAIN", "MCCC0"), ("TEST", "MDDD0")]:
        for sentence in ("SI1", "SX2"):
            place = raw / tree / "DR1" / speaker / f"{sentence}.WAV"
            place.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(place, generator.integers(-900, 900, 1000).astype(np.int16), 16000, format="WAV")
    clean = tmp_path / "clean"
    prepare_here("timit", raw, clean)
    shards = ShardSet(Location(str(clean)))
    (few,) = find_leaks(shards, CLEAN).warnings
    assert few.startswith("the 2 reported recordings are of one speaker: ")

    speaker = str(shards.index.loc[shards.index["split"] == "train", "speaker"].iloc[0])
    places = (raw / tree / "DR1" for tree in ("TRAIN", "TEST"))
    original, copy = (place / voice for place, voice in zip(places, (speaker.upper(), "MDDD0"), strict=True))
    shutil.copy(original / "SI1.WAV", copy / "SX99.WAV")
    prepare_here("timit", raw, tmp_path / "leaking")
    shards = ShardSet(Location(str(tmp_path / "leaking")))
    shards.index.loc[shards.index["id"] == "mddd0-sx99", "speaker"] = speaker
    leaks = find_leaks(shards, CLEAN)

    pair = (f"{speaker}-si1", "mddd0-sx99")
    assert leaks.sequences == {"fit": 4, "select": 2, "report": 3}
    assert set(found(leaks)) == {(kind, "fit", "report") for kind in ("signal", "source", "speaker")}
    signal, source, voice = leaks.shared
    assert signal == Overlap(
        kind="signal", roles=("fit", "report"), values=1, sequences=(1, 1), share=1 / 3, examples=(pair,)
    )
    assert source == Overlap(
        kind="source", roles=("fit", "report"), values=1, sequences=(1, 1), share=1 / 3, examples=(pair,)
    )
    assert (voice.values, voice.sequences, voice.share) == (1, (2, 1), 1 / 3)
    assert leaks.repeats == ()
    assert len(leaks.warnings) == 4
    assert leaks.warnings[0].startswith("1 of 3 reported sequences (33.3%) are, sample for sample,")
    assert all(name in leaks.warnings[0] for name in pair)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["train", "valid", "test", "valid2"]), *[st.integers(0, 6)] * 3, st.booleans()),
        max_size=25,
    )
)
def test_counts_are_those_of_a_search_through_all_pairs(rows: list[tuple[str, int, int, int, bool]]) -> None:
    ends = [("train", 7, 7, 7, True), ("valid", 8, 8, 8, True), ("test", 9, 9, 9, True)]
    splits, digests, sources, speakers, known = zip(*rows, *ends, strict=True)
    voices = [f"v{voice}" if is_known else None for voice, is_known in zip(speakers, known, strict=True)]
    groups = [f"v{voice}" for voice in speakers]
    leaks = leaks_of(split=splits, digest=digests, source_sha256=sources, speaker=voices, group=groups)

    roles = {"fit": "train", "select": "valid", "report": "test"}
    pages = [None if voice else group for voice, group in zip(voices, groups, strict=True)]
    columns = {"signal": digests, "source": sources, "speaker": voices, "group": pages}
    expected: dict[tuple[str, str, str], tuple[int, tuple[int, int]]] = {}
    for kind, values in columns.items():
        for first, second in [("fit", "select"), ("fit", "report"), ("select", "report")]:
            ours, theirs = (
                [value for value, split in zip(values, splits, strict=True) if split == roles[role]]
                for role in (first, second)
            )
            both = {value for value in ours if value is not None and value in theirs}
            if both:
                counts = sum(value in both for value in ours), sum(value in both for value in theirs)
                expected[kind, first, second] = len(both), counts
    assert {key: (shared.values, shared.sequences) for key, shared in found(leaks).items()} == expected
    for role, split in roles.items():
        held = [digest for digest, of_split in zip(digests, splits, strict=True) if of_split == split]
        again = {repeats.role: repeats.sequences for repeats in leaks.repeats}
        assert again.get(role, 0) == len(held) - len(set(held))  # type: ignore[call-overload]
        unknown = sum(voice is None and of_split == split for voice, of_split in zip(voices, splits, strict=True))
        assert leaks.without_speaker[role] == unknown  # type: ignore[index]
    assert all(len(shared.examples) <= 3 for shared in leaks.shared)


def test_examples_are_pairs_that_do_share() -> None:
    leaks = leaks_of(split=["test", "train", "train", "valid", "test"], digest=["a", "b", "a", "c", "b"])
    assert found(leaks)["signal", "fit", "report"].examples == (("s2", "s0"), ("s1", "s4"))


def test_parts_of_one_recording_leak_between_roles_and_not_inside_one() -> None:
    inside = leaks_of(split=["train", "train", "valid", "test"], source_sha256=["a", "a", "b", "c"])
    across = leaks_of(split=["train", "train", "valid", "test"], source_sha256=["a", "b", "c", "b"])
    assert inside.warnings == ()
    assert [warning for warning in across.warnings if "recorded sources" in warning] == list(across.warnings) != []


def test_repeats_inside_a_role_count_each_copy_beyond_the_first() -> None:
    leaks = leaks_of(split=["train", "valid", "test", "test", "test", "test"], digest=["a", "b", "c", "c", "d", "c"])
    (repeats,) = leaks.repeats
    assert (repeats.role, repeats.sequences, repeats.examples) == ("report", 2, (("s2", "s3"), ("s2", "s5")))
    assert "2 of 4 reported sequences repeat the signal of another" in leaks.warnings[0]


def test_speakers_in_two_roles_are_the_paper_s_own_convention() -> None:
    splits = ["train", "train", "valid", "test"]
    columns: dict[str, Any] = {"split": ["train"] * 4, "split_by_sequence": splits, "speaker": ["a", "b", "c", "a"]}
    (warning,) = leaks_of(PAPER, **columns).warnings
    assert "1 of 1 reported sequences (100.0%) are of 1 speaker also fitted on" in warning
    assert "splits by sequence, by its own convention" in warning
    (warning,) = leaks_of(CLEAN, **(columns | {"split": splits})).warnings
    assert "convention" not in warning
    assert "(such as s3; compare s0)" in warning


def test_a_reported_set_that_chooses_the_checkpoint_is_told_once_and_not_as_shared(ink: ShardSet) -> None:
    leaks = find_leaks(ink, find_protocol("paper", "pen", "iam_ondb"))
    reported = int((ink.index["split"] == "valid").sum())
    assert leaks.reported_that_select == leaks.sequences["select"] == leaks.sequences["report"] == reported
    assert [warning for warning in leaks.warnings if "chooses the checkpoint" in warning] == [leaks.warnings[0]]
    assert not [shared for shared in leaks.shared if "select" in shared.roles]
    assert find_leaks(ink, find_protocol("clean", "pen", "iam_ondb")).reported_that_select == 0


def test_unknown_speakers_share_nothing_and_are_told() -> None:
    leaks = leaks_of(split=["train", "valid", "test"], speaker=[None, None, None])
    assert leaks.shared == ()
    assert leaks.without_speaker == {"fit": 1, "select": 1, "report": 1}
    (warning,) = leaks.warnings
    assert "no speaker for 1 of 1 reported and 1 of 1 fitted sequences" in warning


def test_what_is_found_is_json_and_every_warning_one_line(speech: ShardSet) -> None:
    speech.index.loc[:, "digest"] = "same"
    leaks = find_leaks(speech, CLEAN)
    assert {repeats.role for repeats in leaks.repeats} == {"fit", "select", "report"}
    assert to_json(leaks)["sequences"] == leaks.sequences
    assert leaks.warnings
    assert all("\n" not in warning for warning in leaks.warnings)


@pytest.mark.parametrize("kind", ["signal", "source", "speaker", "group"])
def test_each_kind_is_looked_for_by_itself(kind: str) -> None:
    column = {"signal": "digest", "source": "source_sha256"}.get(kind, kind)
    columns: dict[str, Any] = {column: ["a", "b", "a"]} | ({"speaker": [None] * 3} if kind == "group" else {})
    leaks = leaks_of(split=["train", "valid", "test"], **columns)
    assert set(found(leaks)) == {(kind, "fit", "report")}


@pytest.mark.parametrize(("each", "warned"), [(1, False), (2, True)])
def test_intervals_over_sequences_of_few_speakers_are_warned_of(each: int, warned: bool) -> None:
    names = [f"r{n}" for n in range(8)]
    speakers = ["a", "b", *(f"r{n // each}" for n in range(8))]
    splits = ["train", "valid", *["test"] * 8]
    columns = {"id": ["a", "b", *names], "split": splits, "speaker": speakers}
    leaks = leaks_of(PAPER, **columns)
    assert leaks.speakers == {"fit": 1, "select": 1, "report": 8 // each}
    assert any("reported recordings are of 4 speakers" in warning for warning in leaks.warnings) is warned
    windowed = PAPER.model_copy(update={"window_frames": 10})
    expected = f"reported recordings are of {8 // each} speakers"
    assert any(expected in warning for warning in leaks_of(windowed, **columns).warnings), (
        "windows of one voice are alike"
    )


@pytest.mark.parametrize(("frames", "windows"), [(10, 40), (50, None), (30, None)])
def test_windows_of_one_recording_are_warned_of(frames: int, windows: int | None) -> None:
    """Eight recordings of 50 frames; of windows of 30 each has but one."""
    splits = ["train", "valid", *["test"] * 8]
    protocol = PAPER.model_copy(update={"window_frames": frames, "rest_kept": False})
    length = [50 * PAPER.frame_size] * 10
    leaks = leaks_of(protocol, id=[f"r{n}" for n in range(10)], split=splits, length=length)
    expected = [warning for warning in leaks.warnings if "windows" in warning]
    assert [f"the 8 reported recordings are cut into {windows} windows" in warning for warning in expected] == (
        [True] if windows else []
    )
