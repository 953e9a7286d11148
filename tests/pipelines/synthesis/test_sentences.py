import re
import string

from pipelines.synthesis.sentences import SHARED_SENTENCES, distinct_sentences


def test_as_many_as_timit_has_and_all_distinct():
    sentences = distinct_sentences(2340, seed=0)
    assert len(set(sentences)) == 2340
    assert not set(sentences) & set(SHARED_SENTENCES)


def test_a_longer_list_starts_with_the_shorter_and_another_seed_differs():
    assert distinct_sentences(300, seed=4)[:50] == distinct_sentences(50, seed=4)
    assert distinct_sentences(50, seed=4) != distinct_sentences(50, seed=5)


def test_sentences_are_written_as_sentences():
    for sentence in [*SHARED_SENTENCES, *distinct_sentences(400, seed=1)]:
        assert re.fullmatch(r"[A-Z][A-Za-z',]*( [A-Za-z',]+){3,}[.?]", sentence)
        assert 15 <= len(sentence) <= 120


def test_every_letter_occurs():
    text = " ".join(distinct_sentences(400, seed=1)).lower()
    assert set(string.ascii_lowercase) <= set(text)
