"""All that speaks against the scores is shown, condensed, and what was not recorded is said to be unknown."""

from typing import Any

import pytest

from benchmarks.schema.comparison import ComparisonRow
from dashboards.report.bound_curves import find_bounds
from dashboards.report.conclusions import group_rows
from dashboards.report.study_data import Trial
from dashboards.report.trust_section import Trust, Warned, trust_section
from dashboards.text import kind_of
from tests.dashboards.report_cases import (
    audit,
    coverage,
    difference,
    floor,
    leak,
    overlap,
    part,
    sections,
    side,
    study,
    trial,
)
from tests.dashboards.studies import row

COLOURS: dict[str, str] = dict.fromkeys(("RNN-GMM", "VRNN-Gauss", "VRNN-GMM"), "#111111")


def trusted(*trials: Trial, about: dict[str, Any] | None = None, **changes: Any) -> Trust:
    return trust_section(study(*trials, about=about, **changes), COLOURS)


def test_the_lead_counts_all_that_speaks_against_the_scores():
    keys = ["speech-RNN-GMM-0", "speech-RNN-GMM-1", "failed"]
    cut_off = trial(outcome={"cut_off": True})
    found = trusted(cut_off, about={"keys": keys}, warnings=["w"], failed={"t": "out of memory"})
    assert found.sentence == (
        "Problems found: 1 warning, 1 diverged run, 1 failed run and 1 missing run. "
        "1 run was still improving at the last epoch."
    )
    assert trusted(trial(), diverged=[]).sentence == ("No warnings. No run was lost or stopped while still improving.")


def test_equal_warnings_are_shown_once_with_all_their_places():
    found = trusted(warnings=["a/p/M, 2 of 3 seeds: quiet: very", "a/p/N, 1 of 3 seeds: quiet: very", "52 of 79: lost"])
    assert found.warnings == (
        (Warned("quiet: very", ("a/p/M, 2 of 3 seeds", "a/p/N, 1 of 3 seeds")),),
        (Warned("52 of 79: lost", ()),),
    )


def test_warnings_that_differ_by_their_numbers_alone_are_grouped_and_counted():
    warnings = ["a/p: 3 of 9 trials were cut", "b/p: 1,024 of 9 trials were cut", "a/p: quiet: -3.5 nats"]
    found = trusted(warnings=warnings, diverged=[])
    cut, quiet = found.warnings
    assert kind_of("a 3.5% of 7 (such as x)") == kind_of("a -1,024% of 9") != kind_of("b 3.5% of 7")
    assert [warned.where for warned in cut] == [("a/p",), ("b/p",)]
    assert [warned.text for warned in quiet] == ["quiet: -3.5 nats"]
    assert found.sentence.startswith("Problems found: 3 warnings of 2 kinds.")
    page = sections(study(warnings=warnings))
    assert "<summary>1 more of this kind</summary>" in page
    assert "1,024 of 9 trials were cut <small>b/p</small>" in page


def test_runs_are_counted_by_how_they_ended():
    found = trusted(
        trial(outcome={"cut_off": True}),
        trial(seed=1),
        trial(seed=2, outcome={"diverged_at_step": 9}),
        about={"keys": ["a trial without a result"]},
    )
    assert found.runs_sentence == (
        "2 runs finished, 1 diverged, 1 missing. 1 of 2 was still improving at the last allowed epoch."
    )
    assert [(part.model, part.trials, part.count) for part in found.cut_off] == [("RNN-GMM", 2, 1)]


def test_a_difference_is_shown_with_the_larger_seed_std():
    noisy = difference(first=side("VRNN-Gauss", seed_std=40.0))
    single = difference(first=side("VRNN-GMM", seed_std=None, seeds=1))
    found = trusted(differences=[difference(), noisy, single])
    assert [(spread.std, spread.ratio) for spread in found.spreads] == [(2.0, 10.0), (40.0, 0.5), (None, None)]
    assert found.seeds_sentence == (
        "Each model has 1 to 2 training seeds. 1 of 2 differences is larger than the seed std of both models. "
        "The seed std is unknown for 1 difference."
    )


def test_the_monte_carlo_error_is_given_or_said_to_be_unknown():
    assert trusted().error_sentence == (
        "The Monte Carlo error is known for 1 of 6 bounds; the largest is 2.50 nats per sequence "
        "(VRNN-Gauss, ELBO, speech)."
    )
    unknown = [row(), row(model="VRNN-Gauss", estimator="elbo")]
    assert trusted(rows=unknown).error_sentence.startswith("The Monte Carlo error of 1 bound is unknown")
    assert trusted(rows=[row()]).error_sentence.startswith("Every score is exact")


def test_the_worst_seed_of_a_model_stands_for_its_audits():
    worse = audit(coverage=coverage(0.3), floors=[floor(0.0), floor(-7.0)], not_finite=2, warnings=[])
    (line,) = trusted(trial(), trial(seed=1, audit=worse), trial(seed=2, audit=None)).audits
    assert (line.trials, line.audited, line.unscored, line.floor_change, line.not_finite) == (3, 2, 0.3, -7.0, 2)
    assert (line.silent, line.silent_nats) == (pytest.approx(0.1), pytest.approx(0.3))
    assert (line.below_zero, line.gained) == (0.02, 0.5)
    assert line.warnings == (("silence lifts the score", 1),)


def test_what_was_not_audited_is_not_assumed_to_be_sound():
    assert trusted(trial(audit=None)).audits_sentence == (
        "No trial was audited, so the effect of silence and of the variance floor on the scores is unknown."
    )
    assert trusted(trial(), trial(seed=1, audit=None)).audits_sentence == (
        "1 of 1 audited model has warnings; 1 run had no audit."
    )


def test_a_share_that_an_audit_does_not_know_is_not_shown_as_a_number():
    parts = [part("constant", 0.1, None)]
    (line,) = trusted(trial(audit=audit(parts=parts, below_zero=None, floors=[]))).audits
    assert (line.silent, line.silent_nats, line.below_zero, line.floor_change) == (0.1, None, None, None)


def test_the_leak_check_reports_shared_signals_shared_speakers_and_what_is_unknown():
    signal = overlap("signal", 1, 0.1)
    about = {
        "leaks": {
            "a/paper": leak(),
            "b/paper": leak(shared=[signal]),
            "c/paper": leak(shared=[], without_speaker={"fit": 5, "select": 0, "report": 0}, reported_that_select=7),
        }
    }
    found = trusted(about=about)
    assert found.leaks_sentence == (
        "Signals (or their sources) that were both fitted and reported: b/paper. Speakers that were both fitted and "
        "reported: a/paper. Speakers unknown, so not checked: c/paper. The reported set also selected the checkpoint: "
        "c/paper."
    )
    assert "3 speakers in fit and report, 50.0 %" in sections(study(about=about))


def test_a_leak_check_that_is_absent_is_said_to_be_so():
    assert trusted().leaks_sentence == "The leak check was not recorded."


def bounded(*scores: tuple[str, int, float]) -> tuple[ComparisonRow, ...]:
    kinds = [{"estimator": e, "num_samples": k, "nats_per_sequence": n, "model": "VRNN-Gauss"} for e, k, n in scores]
    return study(rows=[row(**kind) for kind in kinds]).comparison.rows


def test_bounds_are_drawn_as_what_they_gain_over_the_elbo():
    rows = bounded(("elbo", 1, 100.0), ("iwae", 5, 110.0), ("iwae", 40, 130.0), ("fivo", 40, 95.0))
    (bounds,) = find_bounds(group_rows(rows), COLOURS)
    assert bounds.chart is not None
    drawn = [(p["family"], p["K"], p["gain"], p["nats"]) for p in bounds.chart["data"]["values"]]
    assert sorted(drawn) == [
        ("FIVO", 1, 0.0, 100.0),
        ("FIVO", 40, -5.0, 95.0),
        ("IWAE", 1, 0.0, 100.0),
        ("IWAE", 5, 10.0, 110.0),
        ("IWAE", 40, 30.0, 130.0),
    ]
    assert bounds.sentence == "Gain over the ELBO in nats per sequence: VRNN-Gauss +30.00 (IWAE-40)."


def test_a_bound_that_falls_is_said_to_be_noise():
    (bounds,) = find_bounds(group_rows(bounded(("elbo", 1, 100.0), ("iwae", 40, 98.0))), COLOURS)
    assert "VRNN-Gauss −2.00 (IWAE-40). VRNN-Gauss fell below the ELBO: for IWAE that is noise" in bounds.sentence


def test_an_elbo_alone_leaves_the_gap_unknown_and_draws_nothing():
    (bounds,) = find_bounds(group_rows(bounded(("elbo", 1, 100.0))), COLOURS)
    assert bounds.chart is None
    assert bounds.sentence.endswith("so its distance from log p(x) is unknown.")
    assert find_bounds(group_rows(bounded(("exact", 1, 100.0))), COLOURS) == ()
