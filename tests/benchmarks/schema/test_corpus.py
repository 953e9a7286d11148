"""`corpora.json` is read whole, or refused in one line that names the field."""

import json
from typing import Any

import pytest

from benchmarks.schema.base import ResultFileError, read_file
from benchmarks.schema.corpus import CorpusDescription, CorpusDescriptions
from tests.dashboards.corpora import document


def read(description: Any) -> CorpusDescription:
    content = json.dumps({"version": 1, "corpora": {"speech": description}}).encode()
    return read_file(CorpusDescriptions, content, "here").corpora["speech"]


def test_a_description_is_read_as_it_was_written():
    corpus = read(document())
    assert [(split.name, split.sequences, split.bytes) for split in corpus.splits] == [
        ("train", 2, 3145728),
        ("test", 1, 1048576),
    ]
    assert [(reject.code, reject.count, reject.path) for reject in corpus.rejected] == [
        ("absent", 12, "TEST/Y.WAV"),
        ("undecodable", 1, "TRAIN/X.WAV"),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"histogram": {"edges": [1, 2], "counts": {"train": [1], "test": [1]}}}, "train does not add up to its 2"),
        ({"histogram": {"edges": [2, 1], "counts": {"train": [2], "test": [1]}}}, "edges do not grow"),
        ({"samples": {"train": 48000}}, "same splits"),
        ({"lengths": {}}, "lengths are not of the splits"),
        ({"seconds": {"train": None, "test": 1.0}}, "seconds are given or missing"),
        ({"sample_rate": None}, "sample_rate None of speech"),
        ({"sequences": {"train": "2", "test": 1}}, "sequences.train"),
        ({"mean": float("nan")}, "mean"),
        ({"licence": None}, "licence"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], reason: str):
    with pytest.raises(ResultFileError, match=r"^here: corpora\.json, corpora\.speech") as caught:
        read(document(**changes))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_description_that_is_no_object_or_lacks_a_field_is_refused():
    with pytest.raises(ResultFileError, match=r"corpora\.speech: Input should be an object"):
        read([])
    short = document()
    del short["url"]
    with pytest.raises(ResultFileError, match=r"corpora\.speech\.url: Field required"):
        read(short)
