from collections import Counter
from pathlib import Path

import pytest

from pipelines.corpora import find_corpus
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from tests.pipelines.corpora.trees import touch


def timit(raw: Location, *, include_sa: bool = False) -> dict[str, str]:
    listing = find_corpus("timit").list_items(raw, {"include_sa": include_sa})
    return {item.id: item.split for item in listing.items}


def test_timit_is_read_in_either_case_and_in_the_flattened_form(tmp_path: Path) -> None:
    upper = touch(tmp_path / "upper", "TRAIN/DR1/FCJF0/SX37.WAV", "TEST/DR2/MABC0/SI99.WAV")
    lower = touch(tmp_path / "lower", "timit/train/dr1/fcjf0/sx37.wav", "timit/test/dr2/mabc0/si99.wav")
    flat = touch(tmp_path / "flat", "dr1-fcjf0/sx37.wav", "dr2-mabc0/si99.wav")
    assert timit(upper) == timit(lower) == {"fcjf0-sx37": "train", "mabc0-si99": "test"}
    assert timit(flat).keys() == timit(upper).keys()


def test_sa_sentences_are_left_out_by_default(tmp_path: Path) -> None:
    raw = touch(tmp_path, "TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR1/FCJF0/SX37.WAV")
    assert set(timit(raw)) == {"fcjf0-sx37"}
    assert set(timit(raw, include_sa=True)) == {"fcjf0-sa1", "fcjf0-sx37"}


def test_timit_without_a_test_tree_is_split_by_speaker(tmp_path: Path) -> None:
    speakers = [f"F{letter}CF0" for letter in "ABCDEFGHIJ"]
    raw = touch(tmp_path, *(f"TRAIN/DR1/{speaker}/SX{n}.WAV" for speaker in speakers for n in (1, 2)))
    listing = find_corpus("timit").list_items(raw, {"include_sa": False})
    assert Counter(item.split for item in listing.items) == {"train": 16, "valid": 2, "test": 2}
    assert all(len({item.split for item in listing.items if item.speaker == s}) == 1 for s in map(str.lower, speakers))
    assert "no TEST tree" in listing.split_rule


def test_two_copies_of_an_utterance_are_refused(tmp_path: Path) -> None:
    raw = touch(tmp_path, "a/dr1-fcjf0/sx37.wav", "b/dr1-fcjf0/sx37.wav")
    with pytest.raises(InputError, match="two copies of utterance fcjf0-sx37"):
        timit(raw)


def test_timit_transcripts_leave_out_the_sample_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "TRAIN/DR1/FCJF0/SX37.WAV")
    raw = touch(tmp_path, "TRAIN/DR1/FCJF0/SX37.TXT", text="0 46797 Critical equipment, needs care.\n")
    (item,) = find_corpus("timit").list_items(raw, {"include_sa": False}).items
    assert item.transcript == "Critical equipment, needs care."


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0 2520 h#\r\n2520 2800 dh\n2800 3799 ax-h\n", (("phones", "0 2520 h#\n2520 2800 dh\n2800 3799 ax-h"),)),
        ("0 2520 h#\n2520 dh\n", ()),
        ("", ()),
    ],
)
def test_timit_phones_are_kept_as_they_are_written(
    text: str, kept: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    touch(tmp_path, "TRAIN/DR1/FCJF0/SX37.WAV")
    raw = touch(tmp_path, "TRAIN/DR1/FCJF0/SX37.PHN", text=text)
    (item,) = find_corpus("timit").list_items(raw, {"include_sa": False}).items
    assert item.attributes == kept
