import json
from pathlib import Path

import pandas as pd
import pytest

from pipelines.corpora import Listing, find_corpus
from pipelines.decode.ink import decode_ink
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here

INK = '<ink xmlns="http://www.w3.org/2003/InkML"><trace>1 2, 3 4</trace></ink>'


def inkml_tree(root: Path, *names: str) -> Location:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(INK)
    return Location(str(root))


def list_ink(corpus: str, raw: Location, **options: int) -> Listing:
    adapter = find_corpus(corpus)
    return adapter.list_items(raw, dict(adapter.options) | options)


def drawing(**fields: object) -> str:
    return json.dumps(fields | {"drawing": [[[1, 2], [3, 4]]]})


def ndjson(root: Path, name: str, *lines: str, end: str = "\n") -> Location:
    root.mkdir(exist_ok=True)
    (root / name).write_bytes("\n".join(lines).encode() + end.encode())
    return Location(str(root))


def test_every_inkml_file_is_an_item_whose_writer_is_the_directory_that_was_named(tmp_path: Path) -> None:
    raw = inkml_tree(tmp_path, "Set/W1/a.inkml", "set/w2/B.INKML", "loose.inkml", "set/w2/notes.txt")
    items = list_ink("inkml", raw).items
    assert [(item.id, item.speaker, item.group) for item in items] == [
        ("loose", None, "loose"),
        ("set/w1/a", None, "set/w1/a"),
        ("set/w2/b", None, "set/w2/b"),
    ]
    by_writer = {item.id: (item.speaker, item.group) for item in list_ink("inkml", raw, writer_level=2).items}
    assert by_writer == {"loose": (None, "loose"), "set/w1/a": ("w1", "w1"), "set/w2/b": ("w2", "w2")}


def test_no_writer_is_in_two_splits(tmp_path: Path) -> None:
    raw = inkml_tree(tmp_path, *(f"w{writer}/{n}.inkml" for writer in range(10) for n in range(3)))
    items = list_ink("inkml", raw, writer_level=1).items
    splits = {writer: {item.split for item in items if item.speaker == writer} for writer in {i.speaker for i in items}}
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "valid", "test"}


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("a.txt",), {}, "no \\*.inkml below it"),
        (("a.inkml", "A.inkml"), {}, "two copies of file a"),
        (("a.inkml",), {"writer_level": -1}, "writer_level is 0"),
        (("a.inkml",), {"scale": 0}, "scale=0 is not from 1"),
        (("a.inkml",), {"scale": 10**7}, "scale=10000000 is not from 1"),
    ],
)
def test_a_tree_without_inkml_is_refused_in_one_line(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list_ink("inkml", inkml_tree(tmp_path, *names), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "", "\r\n", "\n\n"])
def test_each_drawing_is_the_byte_range_of_its_line(tmp_path: Path, end: str) -> None:
    lines = [drawing(word="café", key_id="12"), "", drawing(recognized=False, countrycode="VE"), drawing(key_id="7")]
    raw = ndjson(tmp_path, "Cafe.ndjson", *lines, end=end)
    items = list_ink("quickdraw", raw).items
    assert [(item.id, item.group, item.speaker) for item in items] == [
        (i, i, None) for i in ("cafe-12", "cafe-3", "cafe-7")
    ]
    content = (tmp_path / "Cafe.ndjson").read_bytes()
    for item, line in zip(items, (lines[0], lines[2], lines[3]), strict=True):
        assert item.length is not None
        part = content[item.start : item.start + item.length]
        assert part.strip() == line.encode()
        assert len(decode_ink(part)) == 2


def test_fields_are_found_without_parsing(tmp_path: Path) -> None:
    line = '{"word" : "the moon","countrycode":"DE", "timestamp":"2017","recognized": true,"key_id":"99","drawing":[]}'
    (item,) = list_ink("quickdraw", ndjson(tmp_path, "moon.ndjson", line, "[1")).items[1:]
    assert item.attributes == (("word", "the moon"), ("countrycode", "DE"), ("recognized", "true"))


def test_the_first_drawings_of_each_word_are_taken_and_no_more_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.corpora.quickdraw._BLOCK_BYTES", 64)
    for word in ("cat", "dog"):
        ndjson(tmp_path, f"{word}.ndjson", *(drawing(key_id=str(n)) for n in range(20)))
    raw = Location(str(tmp_path))
    assert {item.id for item in list_ink("quickdraw", raw, per_word=2).items} == {"cat-0", "cat-1", "dog-0", "dog-1"}
    assert len(list_ink("quickdraw", raw, per_word=0).items) == 40
    (tmp_path / "cat.ndjson").write_bytes((drawing(key_id="1") + "\n").encode() + b"x" * 10_000)
    monkeypatch.setattr("pipelines.corpora.quickdraw._LONGEST_LINE", 5_000)
    assert len(list_ink("quickdraw", raw, per_word=1).items) == 2
    with pytest.raises(InputError, match="so it is not a drawing"):
        list_ink("quickdraw", raw, per_word=2)


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ((), {}, "no \\*.ndjson with a drawing"),
        ((drawing(key_id="1"), drawing(key_id="1")), {}, "two copies of drawing cat-1"),
        ((drawing(),), {"per_word": -1}, "or 0 for all"),
        ((drawing(),), {"scale": -1}, "scale=-1 is not from 1"),
    ],
)
def test_what_is_not_quick_draw_is_refused_in_one_line(
    tmp_path: Path, lines: tuple[str, ...], options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list_ink("quickdraw", ndjson(tmp_path, "cat.ndjson", *lines), **options)
    assert "\n" not in str(caught.value)


def test_drawings_are_prepared_from_their_lines_and_the_scale_reaches_the_decoder(tmp_path: Path) -> None:
    lines = [json.dumps({"key_id": str(n), "drawing": [[[0.5, n], [n, 2]]]}) for n in range(9)]
    ndjson(tmp_path / "raw", "cat.ndjson", *lines, '{"key_id": "9", "drawing": [[[0.25], [1]]]}')
    prepare_here("quickdraw", tmp_path / "raw", tmp_path / "out", corpus_options={"scale": "2"})
    rejects = pd.read_parquet(tmp_path / "out" / "rejects.parquet")
    assert rejects[["id", "code"]].to_numpy().tolist() == [["cat-9", "fractional"]]
    shards = pd.concat(pd.read_parquet(path) for path in (tmp_path / "out").glob("*-of-*.parquet"))
    found = {row.id: (list(row.x), list(row.y)) for row in shards.itertuples()}
    assert found == {f"cat-{n}": ([1, 2 * n], [2 * n, 4]) for n in range(9)}
    ShardSet(Location(str(tmp_path / "out"))).verify()
