from collections import Counter
from pathlib import Path

import pytest

from pipelines.corpora import find_corpus
from pipelines.corpora.splits import hold_out, three_way_splits
from pipelines.errors import InputError
from pipelines.runtime.storage import Location


def touch(root: Path, *names: str, text: str = "x") -> Location:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Location(str(root))


def timit(raw: Location, *, include_sa: bool = False) -> dict[str, str]:
    listing = find_corpus("timit").list_items(raw, {"include_sa": include_sa})
    return {item.id: item.split for item in listing.items}


def test_timit_is_read_in_either_case_and_in_the_flattened_form(tmp_path: Path) -> None:
    upper = touch(tmp_path / "upper", "TRAIN/DR1/FCJF0/SX37.WAV", "TEST/DR2/MABC0/SI99.WAV")
    lower = touch(tmp_path / "lower", "timit/train/dr1/fcjf0/sx37.wav", "timit/test/dr2/mabc0/si99.wav")
    flat = touch(tmp_path / "flat", "dr1-fcjf0/sx37.wav", "dr2-mabc0/si99.wav")
    assert timit(upper) == timit(lower) == {"fcjf0-sx37": "train", "mabc0-si99": "test"}
    assert timit(flat).keys() == timit(upper).keys()


def test_sa_sentences_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    raw = touch(tmp_path, "TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR1/FCJF0/SX37.WAV")
    assert set(timit(raw)) == {"fcjf0-sx37"}
    assert set(timit(raw, include_sa=True)) == {"fcjf0-sa1", "fcjf0-sx37"}


def test_timit_without_a_test_tree_is_split_by_speaker_and_says_so(tmp_path: Path) -> None:
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


def iam(root: Path, lines: dict[str, int], splits: dict[str, list[str]], text: str | None = None) -> Location:
    for form, count in lines.items():
        folder = form.rstrip("abcdefghijklmnopqrstuvwxyz")
        place = f"{form.split('-')[0]}/{folder}"
        touch(root, *(f"lineStrokes/{place}/{form}-{n:02d}.xml" for n in range(1, count + 1)))
        if text is not None:
            touch(root, f"ascii/{place}/{form}.txt", text=text)
    for name, forms in splits.items():
        touch(root, f"splits/{name}", text="".join(f" {form}\n" for form in forms))
    return Location(str(root))


def test_iam_ondb_follows_the_official_lists_and_leaves_out_forms_in_none(tmp_path: Path) -> None:
    lists = {
        "trainset.txt": ["a01-000u"],
        "testset_v.txt": ["a01-001w"],
        "testset_t.txt": ["b01-002"],
        "testset_f.txt": ["c1-3"],
    }
    raw = iam(tmp_path, {"a01-000u": 2, "a01-001w": 1, "b01-002": 1, "c1-3": 1, "z01-000": 1}, lists)
    items = find_corpus("iam_ondb").list_items(raw, {}).items
    assert {item.id: item.split for item in items} == {
        "a01-000u-01": "train",
        "a01-000u-02": "train",
        "a01-001w-01": "valid",
        "b01-002-01": "valid2",
        "c1-3-01": "test",
    }


def test_iam_ondb_lines_get_their_text_only_where_lines_and_texts_match(tmp_path: Path) -> None:
    text = "OCR:\n\nother words\n\nCSR:\n\nfirst line\nsecond line\n"
    for name, count, expected in (("two", 2, ["first line", "second line"]), ("three", 3, [None, None, None])):
        raw = iam(tmp_path / name, {"a01-000u": count}, {"trainset.txt": ["a01-000u"]}, text)
        assert [item.transcript for item in find_corpus("iam_ondb").list_items(raw, {}).items] == expected


@pytest.mark.parametrize(
    ("lines", "splits", "message"),
    [
        ({}, {"trainset.txt": ["a01-000u"]}, "not an IAM-OnDB tree"),
        ({"a01-000u": 1}, {}, "no split list"),
        ({"a01-000u": 1}, {"trainset.txt": ["a01-000u"], "testset_v.txt": ["a01-000u"]}, "in two split lists"),
        ({"a01-000u": 1}, {"trainset.txt": ["../../etc"]}, "not a form id"),
    ],
)
def test_what_is_not_iam_ondb_is_refused_in_one_line(
    tmp_path: Path, lines: dict[str, int], splits: dict[str, list[str]], message: str
) -> None:
    raw = iam(tmp_path, lines, splits)
    with pytest.raises(InputError, match=message) as caught:
        find_corpus("iam_ondb").list_items(raw, {})
    assert "\n" not in str(caught.value)


def test_an_unknown_corpus_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean timit"):
        find_corpus("tmit")


@pytest.mark.parametrize("count", [1, 2, 3, 10, 200])
def test_three_way_splits_take_whole_groups_and_do_not_depend_on_order(count: int) -> None:
    groups = [f"g{n}" for n in range(count)]
    places = three_way_splits(groups)
    assert places == three_way_splits(reversed(groups))
    counts = Counter(places.values())
    assert counts["train"] >= 1
    assert counts["test"] == (max(1, round(0.05 * count)) if count > 1 else 0)
    assert counts["valid"] == (max(1, round(0.05 * count)) if count > 2 else 0)


def test_holding_out_another_seed_chooses_otherwise() -> None:
    groups = [f"g{n}" for n in range(40)]
    assert hold_out(groups, 0.1, 0) != hold_out(groups, 0.1, 1)
