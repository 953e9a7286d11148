"""Sentences and charts say what the description of a corpus says."""

from typing import Any

from dashboards.corpus.corpus_view import (
    duration,
    length_charts,
    length_sentence,
    moment_rows,
    protocol_sentences,
    reject_sentence,
    size_sentence,
    speaker_sentence,
    split_difference,
    view_corpus,
)
from tests.dashboards.corpora import corpus, pen_corpus, protocol

ALL_EQUAL = dict.fromkeys(("min", "p05", "median", "p95", "max"), 20000)


def said(sentence: Any, **changes: Any) -> str:
    return sentence(corpus(**changes))


def test_sentences_say_what_the_description_does():
    assert said(size_sentence) == "3 sequences, 4.25 seconds: train 2 (67 %), test 1 (33 %)."
    assert said(length_sentence) == (
        "All 2 sequences of train are 1.00 to 2.00 s long, with a median of 1.50 s; "
        "the median of train is 20.0 % above that of test."
    )
    assert said(speaker_sentence) == (
        "Named speakers by split: train 1, test 0. faks0 (train) has the most: 70.6 % of all samples. "
        "1 of 3 sequences has no named speaker."
    )
    assert said(reject_sentence) == "13 source files were rejected: absent 12, undecodable 1."
    assert said(reject_sentence, rejects={}) == "No source file was rejected."
    assert said(moment_rows) == [("samples", -0.25, 540.5)]
    assert said(moment_rows, mean=None, std=None) == []


def test_many_sequences_are_described_by_their_middle_ninety_percent():
    lengths = {"train": {"min": 1, "p05": 16000, "median": 24000, "p95": 32000, "max": 10**9}, "test": ALL_EQUAL}
    many = {"sequences": {"train": 1000, "test": 1}}
    counts = {"train": [999, 1], "test": [1, 0]}
    histogram = {"edges": [1, 10**8, 10**9 + 1], "counts": counts}
    sentence = said(length_sentence, lengths=lengths, histogram=histogram, **many)
    assert sentence.startswith("90 % of the 1,000 sequences of train are 1.00 to 2.00 s long")


def test_an_empty_corpus_of_ink_has_sentences_too():
    none = {"train": 0}
    empty = dict.fromkeys(("sequences", "samples", "speakers", "without_speaker", "shards", "bytes"), none)
    empty |= {"kind": "pen", "sample_rate": None, "seconds": {"train": None}, "lengths": {}, "by_speaker": []}
    empty |= {"histogram": {"edges": [], "counts": {"train": []}}, "mean": None, "std": None, "by_sequence": {}}
    assert said(size_sentence, **empty) == "The corpus has no sequences."
    assert said(length_sentence, **empty) == "There are no lengths to show."
    assert said(speaker_sentence, **empty) == "There are no writers."
    assert view_corpus(corpus(**empty)).charts == ()


def test_a_duration_comes_in_its_largest_unit():
    assert [duration(value) for value in (59.999, 60, 7200)] == ["60.00 seconds", "1.00 minutes", "2.00 hours"]


def test_a_protocol_is_described_in_sentences():
    assert list(protocol_sentences(protocol())) == [
        "Fit on train.",
        "A frame is 200 consecutive samples; an incomplete last frame is not scored.",
        "Each channel is normalised by its mean and standard deviation in training.",
        "No noise is added.",
        "Sequences are cut into windows of 40 frames; the rest is dropped.",
        "The split is by sequence: where it differs from the table, a speaker may be in several.",
    ]


def test_a_pen_protocol_is_described_in_sentences():
    pen = protocol(kind="pen", normalisation="shared_integer", flip_y=True, window_frames=None, split_column="split")
    assert list(protocol_sentences(pen)) == [
        "Fit on train.",
        "A frame is the offset (dx, dy) to the next point and whether the pen lifts there; the first point is not "
        "scored.",
        "Both axes are normalised by one integer mean and one standard deviation of training.",
        "No noise is added.",
        "The y axis is flipped to point upward.",
        "Sequences are scored whole.",
        "No speaker, page or recording is in two splits.",
    ]


def test_a_split_by_sequence_that_differs_is_described():
    assert split_difference(corpus()) is None
    moved = {"train": {"sequences": 1, "samples": 16000}, "test": {"sequences": 2, "samples": 52000}}
    assert split_difference(corpus(by_sequence=moved)) == (
        "The split by sequence differs from the table: train 1, test 2."
    )


def test_each_split_has_a_histogram_of_all_its_sequences_on_one_axis():
    charts = length_charts(corpus())
    assert [name for name, _ in charts] == ["train", "test"]
    bars = [[(bar["from"], bar["sequences"]) for bar in chart["data"]["values"]] for _, chart in charts]
    assert bars == [[(1.0, 1), (24001 / 16000, 1)], [(1.0, 1)]]
    assert {tuple(chart["encoding"]["x"]["scale"]["domain"]) for _, chart in charts} == {(1.0, 32002 / 16000)}
    assert [chart["encoding"]["x"]["axis"]["labels"] for _, chart in charts] == [False, True]


def test_durations_have_the_unit_of_the_longest_split():
    assert view_corpus(corpus()).time == ("seconds", 1.0)
    assert view_corpus(corpus(seconds={"train": 7200.0, "test": 1.25})).time == ("hours", 3600.0)
    assert view_corpus(pen_corpus()).time is None
