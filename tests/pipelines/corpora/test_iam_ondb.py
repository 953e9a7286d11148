from pathlib import Path

import pytest

from pipelines.corpora import find_corpus
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from tests.pipelines.corpora.trees import touch


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
