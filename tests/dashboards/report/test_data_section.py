"""A study has a card for each corpus, and says what was scored."""

from dashboards.report.data_section import data_section
from tests.dashboards.corpora import FINGERPRINT, corpus, study
from tests.dashboards.studies import PROTOCOL


def test_a_study_without_descriptions_keeps_its_table_and_says_so():
    section = data_section(study())
    assert section.sentence.startswith("The study did not record what its corpora contain")
    assert [(row.corpus, row.sequences) for row in section.rows] == [("speech", 168), ("handwriting", 340)]
    assert [card.view for card in section.cards] == [None, None]


def test_a_study_has_a_card_per_corpus_and_reports_scores_of_other_data():
    section = data_section(study(corpora={"speech": corpus()}, protocols={"speech/paper": PROTOCOL}))
    speech, ink = section.cards
    assert section.sentence == (
        "1 corpus (1 speech) with 3 sequences in total. No summary was recorded for 1 other corpus."
    )
    assert speech.view is not None
    assert (speech.other_fingerprints, speech.protocols[0].sentences[0]) == ((), "Fit on train.")
    assert (ink.view, ink.protocols[0].sentences) == (None, ())
    other = data_section(study(corpora={"speech": corpus(fingerprint="another")}))
    assert other.cards[0].other_fingerprints == (FINGERPRINT,)


def test_only_a_protocol_that_splits_by_sequence_has_a_conflict():
    moved = {"train": {"sequences": 1, "samples": 16000}, "test": {"sequences": 2, "samples": 52000}}
    for column, conflict in (("split_by_sequence", True), ("split", False)):
        protocols = {"speech/paper": PROTOCOL | {"split_column": column}}
        section = data_section(study(corpora={"speech": corpus(by_sequence=moved)}, protocols=protocols))
        assert (section.cards[0].protocols[0].conflict is not None) == conflict
