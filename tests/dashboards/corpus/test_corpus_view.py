"""What a page shows of a corpus next to its sentences."""

from dashboards.corpus.corpus_view import length_charts, view_corpus
from tests.dashboards.corpora import corpus, pen_corpus


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
