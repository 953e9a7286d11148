"""The model ahead is the one the paired tests say; published scores are shown with the reasons that block them."""

import html
import json
import re
from typing import Any

import pytest

from dashboards.report.results_section import Results, place_names, results_section
from tests.dashboards.report_cases import difference, leak, many, published, sections, side, study, trial
from tests.dashboards.studies import HOSTILE_TEXT, compared, row

MODELS = ("RNN-GMM", "RNN-Gauss", "VRNN-Gauss", "VRNN-GMM")
COLOURS: dict[str, str] = dict.fromkeys(MODELS, "#111111")


def found(**changes: Any) -> Results:
    return results_section(compared(**changes), COLOURS)


def headline(*records: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    result = found(differences=list(records)).headline
    assert result is not None
    return result.sentence, result.cautions


def test_the_lead_counts_the_verdicts_and_names_the_models_ahead():
    sentence, cautions = headline(
        difference(),
        difference(corpus="handwriting"),
        difference("VRNN-GMM", "VRNN-Gauss", verdict="behind"),
        difference("VRNN-GMM", "RNN-GMM", verdict="not settled"),
        difference("RNN-GMM", "RNN-Gauss", verdict="not enough seeds"),
    )
    assert sentence == (
        "3 of 5 comparisons are settled: VRNN-Gauss is ahead of RNN-GMM on speech and handwriting; "
        "VRNN-Gauss is ahead of VRNN-GMM on speech."
    )
    assert cautions == (
        "VRNN-Gauss over RNN-GMM: ahead on speech and handwriting.",
        "VRNN-GMM over VRNN-Gauss: behind on speech.",
        "VRNN-GMM over RNN-GMM: not settled on speech.",
        "RNN-GMM over RNN-Gauss: not enough seeds on speech.",
        "1 comparison is not settled: the order could change with other sequences or other seeds.",
        "1 comparison has no verdict, which needs at least three seeds of a trained model.",
    )


def test_orders_that_seeds_alone_could_reverse_are_distinguished_from_those_that_sequences_could():
    seeds = difference(verdict="not settled", p_sequences_corrected=0.01, p_joint_corrected=0.5)
    both = difference(verdict="not settled", p_sequences_corrected=0.2, p_joint_corrected=0.5)
    cautions = headline(seeds, seeds | {"corpus": "handwriting"}, both | {"corpus": "c"})[1]
    assert (
        "3 comparisons are not settled: the order could change with other seeds (2) and other sequences or other "
        "seeds (1)." in cautions
    )


def test_a_codec_is_compared_with_the_best_model_in_bits_per_sample():
    codec = row(model="flac", estimator="code", measure="mass", seeds=1, seed_std=None, bits_per_sample=7.5)
    record = study(rows=[row(bits_per_sample=9.0), row(model="VRNN-GMM", bits_per_sample=8.25), codec])
    page = sections(record)
    sentence = "speech, protocol paper: flac needs 7.500, the best model (VRNN-GMM, exact) 8.250 (+0.750)."
    assert f"<li>{sentence}</li>" in page
    assert "nothing to compare" not in page
    other = row(model="flac", estimator="code", measure="mass", seeds=1, seed_std=None, split="valid")
    page = sections(study(rows=[row(), row(model="VRNN-GMM"), other]))
    assert "flac needs 8.299; no model was scored on this split." in page


def test_nothing_settled_names_no_model():
    assert headline(difference(verdict="not settled"))[0] == "0 of 1 comparison is settled."


def test_a_settled_order_above_a_lower_bound_is_said_to_be_of_scores():
    _, cautions = headline(difference(second=side("RNN-GMM", estimator="elbo")))
    assert cautions[-1].startswith("In 1 of 1 settled comparison the score of the model behind is a lower bound")
    assert not any("lower bound" in caution for caution in headline(difference())[1])


def test_without_differences_there_is_no_headline_and_the_page_says_so():
    assert found().headline is None
    assert "The study has no paired tests" in sections(study())


def test_a_place_is_the_corpus_and_what_tells_it_apart():
    a, b = ("x", "paper", "test", "density"), ("x", "clean", "test", "density")
    c, d = ("y", "paper", "test", "mass"), ("y", "paper", "test", "density")
    assert place_names([a, b, c, d]) == {a: "x (paper)", b: "x (clean)", c: "y (mass)", d: "y"}


def test_there_is_a_panel_for_each_corpus_with_its_own_finding():
    panels = found(differences=[difference(), difference(corpus="ink", verdict="not settled")]).panels
    assert [(panel.corpus, panel.sentence) for panel in panels] == [
        ("speech", "1 of 1 comparison is settled: VRNN-Gauss is ahead of RNN-GMM."),
        ("ink", "0 of 1 comparison is settled."),
    ]


def test_table_1_has_every_score_of_every_model_and_the_published_ones_of_the_same_bound():
    table = found(published=[published(), published(estimator="elbo"), published(corpus="elsewhere")]).table
    assert [(group.corpus, group.measure) for group in table.columns] == [
        ("speech", "density"),
        ("handwriting", "density"),
    ]
    shown = {model: [[(f.row.label, len(f.published)) for f in cell] for cell in cells] for model, cells in table.rows}
    assert shown == {
        "RNN-GMM": [[("exact", 1)], [("exact", 0)]],
        "VRNN-Gauss": [[("IWAE-40", 0), ("ELBO", 0)], [("IWAE-40", 0), ("ELBO", 0)]],
        "VRNN-GMM": [[("IWAE-40", 0), ("ELBO", 0)], []],
    }


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "No published score matches these models and corpora."),
        ([published()], "0 of 1 published score is comparable with ours."),
        ([published()] * 2, "0 of 2 published scores are comparable with ours."),
        (
            [
                published(),
                published(comparable=True, difference=-0.5, unit="bits_per_sample"),
                published(comparable=True, difference=-0.5),
            ],
            "2 of 3 published scores are comparable with ours; ours is better than 1 of them.",
        ),
    ],
)
def test_the_sentence_of_table_1_counts_what_is_comparable(records: list[dict[str, Any]], sentence: str):
    assert found(published=records).table.sentence == sentence


def test_the_reasons_why_a_score_is_not_comparable_are_on_the_page():
    page = sections(study(trial(), published=[published()]))
    assert "26643 published, not comparable" in page
    assert "their split is not known" in page
    assert "their number is rounded to 1" in page


def test_the_table_of_differences_sorts_by_raw_values_and_keeps_small_p_values_honest():
    page = sections(study(differences=[difference()]))
    assert '<td class="number" data-value="4e-05">&lt; 0.0001</td>' in page
    assert '<td class="number" data-value="0.0004">0.0004</td>' in page
    assert '<td class="number" data-value="15.0">[15.00, 25.00]<br>[12.00, 28.00]</td>' in page


def test_hostile_text_stays_text_and_charts_stay_json():
    texts: dict[str, Any] = dict.fromkeys(("corpus", "protocol", "split"), HOSTILE_TEXT)
    record = study(
        trial(HOSTILE_TEXT, corpus=HOSTILE_TEXT, protocol=HOSTILE_TEXT),
        about={"leaks": {HOSTILE_TEXT: leak(rule=HOSTILE_TEXT)}},
        rows=[row(model=HOSTILE_TEXT, **texts), row(model="B", **texts)],
        differences=[difference(HOSTILE_TEXT, "B", caution=HOSTILE_TEXT, **texts)],
        published=[
            published(
                model=HOSTILE_TEXT,
                source=HOSTILE_TEXT,
                published_model=HOSTILE_TEXT,
                reasons=[{"code": "x", "sentence": HOSTILE_TEXT, "blocks": True}],
                **texts,
            )
        ],
        warnings=[HOSTILE_TEXT],
        failed={HOSTILE_TEXT: HOSTILE_TEXT},
        notes=[HOSTILE_TEXT],
        diverged=[{"corpus": HOSTILE_TEXT, "model": HOSTILE_TEXT, "seed": 1, "step": 2}],
    )
    page = sections(record)
    assert "<img" not in page
    specifications = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(specifications) == page.count("</script>") == 2
    assert all(json.loads(specification) for specification in specifications)
    assert page.count(html.escape(HOSTILE_TEXT).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) > 20


def test_no_style_attribute_and_no_handler_gets_on_the_page():
    page = sections(study(trial(), differences=[difference()], published=[published()]))
    assert not re.search(r"<[^>]*\s(style|on\w+)=", page)


def test_a_hundred_trials_make_a_small_page_and_fold_their_tables():
    page = sections(many())
    assert len(page) < 300_000
    assert page.count('<details class="fold"><summary><h3 id="result-') == 5
    assert page == sections(many())
