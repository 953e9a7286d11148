from typing import Any

import pytest

from dashboards.corpus.length_charts import length_charts
from dashboards.corpus.sentences import (
    duration,
    length_sentence,
    moment_rows,
    protocol_words,
    reject_sentence,
    size_sentence,
    speaker_sentence,
    split_conflict,
)
from dashboards.corpus.summary_file import parse_corpora, parse_corpus
from dashboards.errors import ReportError
from dashboards.report.data_section import data_section
from tests.dashboards.corpora import FINGERPRINT, PROTOCOL, document, study

ALL_EQUAL = dict.fromkeys(("min", "p05", "median", "p95", "max"), 20000)


def said(sentence: Any, **changes: Any) -> str:
    return sentence(parse_corpus(document(**changes), "here"))


def test_a_summary_is_read_as_it_was_written():
    corpus = parse_corpus(document(), "here")
    assert [(split.name, split.sequences, split.bytes) for split in corpus.splits] == [
        ("train", 2, 3145728),
        ("test", 1, 1048576),
    ]
    assert [(reject.code, reject.count, reject.path) for reject in corpus.rejected] == [
        ("absent", 12, "TEST/Y.WAV"),
        ("undecodable", 1, "TRAIN/X.WAV"),
    ]
    assert parse_corpora({"speech": document()}) == {"speech": corpus}


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
    with pytest.raises(ReportError, match=r"^corpora.json, corpus 'speech': ") as caught:
        parse_corpora({"speech": document(**changes)})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_summary_that_is_no_object_or_lacks_a_field_is_refused():
    with pytest.raises(ReportError, match="here: as a whole"):
        parse_corpus([], "here")
    short = document()
    del short["url"]
    with pytest.raises(ReportError, match="here: url: Field required"):
        parse_corpus(short, "here")


def test_sentences_say_what_the_summary_does():
    assert said(size_sentence) == "3 sequences, 4.25 seconds: train 2 (67 %), test 1 (33 %)."
    assert said(length_sentence) == (
        "All 2 sequences of train are 1.00 to 2.00 s long, with a median of 1.50 s; "
        "the median of train is 20.0 % above that of test."
    )
    assert said(speaker_sentence) == (
        "Named speakers by split: train 1, test 0. faks0 (train) has most, 70.6 % of all samples. "
        "1 of 3 sequences name none."
    )
    assert said(reject_sentence) == "13 source files were rejected: absent 12, undecodable 1."
    assert said(reject_sentence, rejects={}) == "No source file was rejected."
    assert said(moment_rows) == [("samples", -0.25, 540.5)]
    assert said(moment_rows, mean=None, std=None) == []


def test_many_sequences_are_told_by_their_middle_ninety_percent():
    lengths = {"train": {"min": 1, "p05": 16000, "median": 24000, "p95": 32000, "max": 10**9}, "test": ALL_EQUAL}
    many = {"sequences": {"train": 1000, "test": 1}}
    counts = {"train": [999, 1], "test": [1, 0]}
    histogram = {"edges": [1, 10**8, 10**9 + 1], "counts": counts}
    told = said(length_sentence, lengths=lengths, histogram=histogram, **many)
    assert told.startswith("90 % of the 1,000 sequences of train are 1.00 to 2.00 s long")


def test_an_empty_corpus_of_ink_has_words_too():
    none = {"train": 0}
    empty = dict.fromkeys(("sequences", "samples", "speakers", "without_speaker", "shards", "bytes"), none)
    empty |= {"kind": "pen", "sample_rate": None, "seconds": {"train": None}, "lengths": {}, "by_speaker": []}
    empty |= {"histogram": {"edges": [], "counts": {"train": []}}, "mean": None, "std": None, "by_sequence": {}}
    assert said(size_sentence, **empty) == "It holds no sequence."
    assert said(length_sentence, **empty) == "There are no lengths to draw."
    assert said(speaker_sentence, **empty) == "There is no writer."
    assert length_charts(parse_corpus(document(**empty), "here")) == []


def test_a_duration_comes_in_its_largest_unit():
    assert [duration(value) for value in (59.999, 60, 7200)] == ["60.00 seconds", "1.00 minutes", "2.00 hours"]


def test_each_split_has_a_histogram_of_all_its_sequences_on_one_axis():
    charts = length_charts(parse_corpus(document(), "here"))
    assert [name for name, _ in charts] == ["train", "test"]
    bars = [[(bar["from"], bar["sequences"]) for bar in chart["data"]["values"]] for _, chart in charts]
    assert bars == [[(1.0, 1), (24001 / 16000, 1)], [(1.0, 1)]]
    assert {tuple(chart["encoding"]["x"]["scale"]["domain"]) for _, chart in charts} == {(1.0, 32002 / 16000)}
    assert [chart["encoding"]["x"]["axis"]["labels"] for _, chart in charts] == [False, True]


def test_a_protocol_is_told_in_sentences():
    assert protocol_words(PROTOCOL) == [
        "Fit on train.",
        "A frame is 200 consecutive samples; what is left over at the end is not scored.",
        "Each channel is normalised by its mean and standard deviation in training.",
        "No noise is added.",
        "Sequences are cut into windows of 40 frames; the rest is dropped.",
        "Where the split by sequence differs from the table's, a speaker may be in several.",
    ]


def test_a_split_by_sequence_that_differs_is_told():
    corpus = parse_corpus(document(), "here")
    assert split_conflict(corpus, PROTOCOL) is None
    moved = {"train": {"sequences": 1, "samples": 16000}, "test": {"sequences": 2, "samples": 52000}}
    other = parse_corpus(document(by_sequence=moved), "here")
    assert (
        split_conflict(other, PROTOCOL)
        == "This protocol splits otherwise from the table, by sequence: train 1, test 2."
    )
    assert split_conflict(other, PROTOCOL | {"split_column": "split"}) is None


def test_a_study_without_summaries_keeps_its_table_and_says_so():
    section = data_section(study())
    assert section.sentence.startswith("What the corpora hold was not recorded")
    assert [(row.corpus, row.sequences) for row in section.rows] == [("speech", 168), ("handwriting", 340)]
    assert [card.view for card in section.cards] == [None, None]


def test_a_study_has_a_card_a_corpus_and_tells_scores_of_other_data():
    about = {"protocols": {"speech/paper": PROTOCOL}}
    section = data_section(study(corpora={"speech": document()}, about=about))
    speech, ink = section.cards
    assert section.sentence == "1 corpus, 1 of speech, with 3 sequences in all. Of 1 more no summary was recorded."
    assert speech.view is not None
    assert (speech.strays, speech.protocols[0].words[0]) == ((), "Fit on train.")
    assert (ink.view, ink.protocols[0].words) == (None, ())
    other = data_section(study(corpora={"speech": document(fingerprint="another")}))
    assert other.cards[0].strays == (FINGERPRINT,)


def test_malformed_protocols_are_refused():
    with pytest.raises(ReportError, match="speech/paper is not an object"):
        data_section(study(about={"protocols": {"speech/paper": 3}}))
