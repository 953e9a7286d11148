"""The adapter in docs/add-a-corpus.md does what the page says."""

import importlib.util
import re
from pathlib import Path

import pytest

from pipelines.corpora import CORPORA, Corpus
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here
from tests.pipelines.corpora.trees import touch
from tests.pipelines.sound_files import encoded, tone

PAGE = Path(__file__).parents[3] / "docs" / "add-a-corpus.md"
SPEAKERS = ("Ann", "Ben", "Cy")


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The adapter on the page, as a registered module."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    path = tmp_path / "digits.py"
    path.write_text(block, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("digits", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    corpus = module.Digits()
    monkeypatch.setitem(CORPORA, corpus.name, corpus)
    return corpus


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    for number, speaker in enumerate(SPEAKERS):
        folder = root / "recordings" / speaker
        folder.mkdir(parents=True)
        for take in range(2):
            (folder / f"{number}_{take}.wav").write_bytes(encoded(tone(1000 + 100 * take, hertz=200 + 50 * number)))
    touch(root, "speakers.csv", text="Speaker,Sex\nann,female\nBen,male\n")
    return root


def test_the_pages_adapter_prepares_a_corpus(digits: Corpus, raw: Path, tmp_path: Path) -> None:
    done = prepare_here("digits", raw, tmp_path / "shards", corpus_options={})
    assert done.manifest.rejects == {}
    shards = ShardSet(Location(str(tmp_path / "shards")))
    index = shards.index.set_index("id")
    assert sorted(index.index) == ["ann-0-0", "ann-0-1", "ben-1-0", "ben-1-1", "cy-2-0", "cy-2-1"]
    assert index["transcript"]["ben-1-1"] == "one"
    assert (index.groupby("speaker")["split"].nunique() == 1).all()
    assert set(index["split"]) == {"train", "valid", "test"}
    assert (index["length"]["cy-2-0"], index["length"]["cy-2-1"]) == (1000, 1100)


def test_the_pages_adapter_has_its_option_attributes_and_errors(digits: Corpus, raw: Path, tmp_path: Path) -> None:
    items = digits.list_items(Location(str(raw)), {"most_takes": 1}).items
    assert {item.id: item.attributes for item in items} == {
        "ann-0-0": (("sex", "female"),),
        "ben-1-0": (("sex", "male"),),
        "cy-2-0": (),
    }
    with pytest.raises(InputError, match="point --raw at"):
        digits.list_items(Location(str(tmp_path / "shards")), digits.options)
