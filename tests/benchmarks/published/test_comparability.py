import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.published.comparability import BLOCKERS, NOTES, compare_with_published
from benchmarks.published.literature import Number, Paper, Published, Setting, load_published
from benchmarks.schema.base import to_json
from benchmarks.schema.comparison import ComparisonRow, PublishedComparison
from benchmarks.statistics.table import ScoredTrial, compare_scores
from pipelines.errors import InputError

PUBLISHED = load_published()

ROW = ComparisonRow(
    corpus="lines",
    dataset="iam_ondb",
    kind="pen",
    protocol="paper",
    model="vrnn-gauss",
    estimator="elbo",
    num_samples=1,
    split="valid",
    seeds=1,
    sequences=1438,
    frames=900_000,
    nats_per_sequence=1340.0,
    interval=(1300.0, 1380.0),
    seed_std=None,
    nats_per_frame=2.14,
    bits_per_sample=None,
    fingerprint="f" * 64,
    measure="density",
    monte_carlo_error=None,
    parameters=8_460_706,
    sigma_floor=1e-4,
    training_sequences=10_741,
)
"""VRNN-Gauss on IAM-OnDB as the paper had it."""

SPEECH = {"kind": "speech", "split": "test", "bits_per_sample": 9.0}


def row(**changes: Any) -> ComparisonRow:
    return ComparisonRow.model_validate(ROW.model_dump() | changes)


def pairs(*rows: ComparisonRow) -> list[PublishedComparison]:
    return compare_with_published(rows)


def blockers(pair: PublishedComparison) -> set[str]:
    return {reason.code for reason in pair.reasons if reason.blocks}


def notes(pair: PublishedComparison) -> set[str]:
    return {reason.code for reason in pair.reasons if not reason.blocks}


def test_the_papers_own_conditions_on_iam_ondb_are_comparable() -> None:
    (pair,) = pairs(ROW)
    assert pair.comparable
    assert blockers(pair) == set()
    assert notes(pair) == {"recalled", "validation"}
    assert (pair.unit, pair.ours, pair.theirs, pair.difference) == ("nats_per_sequence", 1340.0, 1337.0, 3.0)
    assert (pair.source, pair.published_model, pair.published_bound) == (
        "Chung et al. 2015, Table 1",
        "VRNN-Gauss",
        "elbo",
    )


SIZES = {"rnn-gauss": 7_808_546, "rnn-gmm": 7_602_721, "vrnn-gauss": 8_460_706, "vrnn-gmm": 8_489_571}


def test_nothing_but_those_four_models_on_iam_ondb_can_be_comparable_today() -> None:
    """Every published number with a score that agrees with all that is known about it."""
    possible = set()
    for theirs in load_published():
        number, setting = theirs.number, theirs.setting
        if number.our_model is None:
            continue
        ours = row(
            dataset=number.corpus,
            kind="pen" if number.corpus == "iam_ondb" else "speech",
            model=number.our_model,
            estimator=number.bound,
            num_samples=number.num_samples,
            split=setting.split or "test",
            sequences=setting.sequences or 1000,
            measure=setting.measure,
            bits_per_sample=9.0,
            parameters=number.parameters or 1,
            sigma_floor=setting.sigma_floor,
            training_sequences=setting.training_sequences,
        )
        (pair,) = [p for p in pairs(ours) if p.source == theirs.source]
        if pair.comparable:
            possible.add((number.corpus, number.our_model, number.bound))
    assert possible == {
        ("iam_ondb", model, bound)
        for model in SIZES
        for bound in (("elbo", "iwae") if model.startswith("vrnn") else ("exact",))
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"split": "test"}, {"other_split"}),
        ({"sequences": 242}, {"other_sequences"}),
        ({"parameters": 30_118}, {"other_size"}),
        ({"training_sequences": 5_364}, {"other_training_sequences"}),
        ({"training_sequences": None}, {"other_training_sequences"}),
        ({"parameters": None}, {"other_size"}),
        ({"sigma_floor": 1e-3}, {"other_floor"}),
        ({"sigma_floor": None}, {"other_floor"}),
        ({"measure": "mass"}, {"unit", "other_measure"}),
        ({"protocol": "clean"}, {"other_normalisation", "other_dequantisation", "other_training"}),
    ],
)
def test_each_thing_of_ours_that_differs_is_its_own_bar(changes: dict[str, Any], expected: set[str]) -> None:
    (pair,) = pairs(row(**changes))
    assert blockers(pair) == expected
    assert not pair.comparable
    assert pair.difference is None
    assert pair.published_value == 1337.0


def published(**changes: Any) -> Published:
    """The number that `ROW` is comparable with, changed."""
    theirs = next(x for x in PUBLISHED if x.number.our_model == "vrnn-gauss" and x.number.value == 1337)
    tables = (theirs.number, theirs.setting, theirs.paper)
    number, setting, paper = (
        type(table).model_validate(
            table.model_dump() | {k: v for k, v in changes.items() if k in type(table).model_fields}
        )
        for table in tables
    )
    assert isinstance(number, Number)
    assert isinstance(setting, Setting)
    assert isinstance(paper, Paper)
    return Published(number, setting, paper)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"split": "test"}, {"other_split"}),
        ({"split": None}, {"split_unknown"}),
        ({"sequences": 1437}, {"other_sequences"}),
        ({"sequences": None}, {"sequences_unknown"}),
        ({"sequence": None}, {"windows_unknown", "unit"}),
        ({"sequence": "window", "frames_per_sequence": 40}, {"other_windows"}),
        ({"frame_size": 2}, {"other_frame_size"}),
        ({"frame_size": None}, {"frame_size_unknown"}),
        ({"frame_size": 2, "unit": "nats_per_frame"}, {"other_frame_size", "unit"}),
        ({"left_out": "the first point"}, {"frames_left_out"}),
        ({"counts_padding": True}, {"counts_padding"}),
        ({"counts_padding": None}, {"padding_unknown"}),
        ({"normalisation": "per_channel"}, {"other_normalisation"}),
        ({"normalisation": None}, {"normalisation_unknown"}),
        ({"dequantised": True}, {"other_dequantisation"}),
        ({"dequantised": None}, {"dequantisation_unknown"}),
        ({"sigma_floor": 0.0}, {"other_floor"}),
        ({"sigma_floor": None}, {"floor_unknown"}),
        ({"parameters": 8_460_707}, {"other_size"}),
        ({"parameters": None}, {"size_unknown"}),
        ({"train_on": "train"}, {"other_training"}),
        ({"train_on": None}, {"training_unknown"}),
        ({"training_sequences": 5_364}, {"other_training_sequences"}),
        ({"training_sequences": None}, {"training_sequences_unknown"}),
        ({"measure": "mass"}, {"other_measure", "unit"}),
        ({"measure": None}, {"measure_unknown", "unit"}),
        ({"code_released": False}, {"code_not_released"}),
        ({"unit": "bits_per_sample"}, {"unit"}),
    ],
)
def test_each_thing_of_theirs_that_differs_or_is_not_known_is_its_own_bar(
    changes: dict[str, Any], expected: set[str]
) -> None:
    (pair,) = compare_with_published([ROW], [published(**changes)])
    assert blockers(pair) == expected
    assert (pair.comparable, pair.difference) == (False, None)
    assert (pair.unit is None) == ("unit" in expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"recalled", "validation"}),
        ({"provenance": "read"}, {"validation"}),
        ({"note": "odd"}, {"recalled", "validation", "note"}),
        ({"rounded_to": 100}, {"recalled", "validation", "rounded"}),
        ({"intra_frame_rival": None, "code_released": None}, {"recalled", "validation"}),
    ],
)
def test_remarks_bar_nothing(changes: dict[str, Any], expected: set[str]) -> None:
    (pair,) = compare_with_published([ROW], [published(**changes)])
    assert pair.comparable
    assert notes(pair) == expected


MASS = {"dataset": "timit", "model": "vrnn-dmol", "measure": "mass", "sigma_floor": None, **SPEECH}


def test_a_mass_is_compared_in_bits_and_density_matters_do_not_bar_it() -> None:
    (pair,) = pairs(row(**MASS))
    assert (pair.unit, pair.ours, pair.theirs) == ("bits_per_sample", 9.0, 12.54)
    assert {"other_quantisation", "other_frame_size"} <= blockers(pair)
    assert not {
        code for code in blockers(pair) if code.split("_", 1)[1] in ("normalisation", "dequantisation", "floor")
    }
    assert not {code for code in blockers(pair) if code.endswith(("normalisation_unknown", "floor_unknown"))}


@pytest.mark.parametrize(
    ("quantisation", "expected"),
    [("linear", set()), ("mu-law", {"other_quantisation"}), (None, {"quantisation_unknown"})],
)
def test_masses_of_other_integers_are_not_comparable(quantisation: str | None, expected: set[str]) -> None:
    changes = {"corpus": "timit", "our_model": "vrnn-dmol", "measure": "mass", "unit": "bits_per_sample"}
    changes |= {"value": 9.5, "frame_size": 200, "split": "test", "train_on": "train"}
    (pair,) = compare_with_published([row(**MASS)], [published(**changes, quantisation=quantisation)])
    assert blockers(pair) == expected
    assert pair.difference == (None if expected else -0.5)


def test_a_density_and_a_mass_are_comparable_in_bits_and_in_no_nats() -> None:
    ours = row(**(MASS | {"measure": "density", "sigma_floor": 1e-4, "model": "vrnn-gauss"}))
    changes = {"corpus": "timit", "measure": "mass", "quantisation": "linear", "frame_size": 200}
    (bits,) = compare_with_published([ours], [published(**changes, unit="bits_per_sample")])
    assert "other_measure" not in blockers(bits)
    (nats,) = compare_with_published([ours], [published(**changes)])
    assert {"other_measure", "unit"} <= blockers(nats)
    (per_frame,) = compare_with_published([ours], [published(**changes, unit="nats_per_frame")])
    assert {"other_measure", "unit"} <= blockers(per_frame)


BLIZZARD = {"dataset": "blizzard", "parameters": 93_898_000, **SPEECH}


def test_windows_of_40_frames_are_compared_per_sequence_and_anything_else_per_frame() -> None:
    windows, whole = pairs(row(**BLIZZARD), row(**BLIZZARD, protocol="clean"))
    assert (windows.unit, windows.theirs) == ("nats_per_sequence", 9223.0)
    assert "other_windows" not in blockers(windows)
    assert (whole.unit, whole.ours) == ("nats_per_frame", 2.14)
    assert whole.theirs == pytest.approx(230.575)
    assert "other_windows" in blockers(whole)


@given(st.integers(1, 4000), st.floats(-1e6, 1e6))
def test_a_window_per_frame_times_its_frames_is_the_published_number(frames: int, value: float) -> None:
    theirs = published(corpus="blizzard", sequence="window", frames_per_sequence=frames, frame_size=200, value=value)
    (pair,) = compare_with_published([row(**BLIZZARD)], [theirs])
    assert pair.theirs is not None
    factor = 1 if pair.unit == "nats_per_sequence" else frames
    assert pair.theirs * factor == pytest.approx(value)
    assert (pair.unit == "nats_per_sequence") == (frames == 40)


def test_windows_of_frames_of_another_size_have_no_unit() -> None:
    theirs = published(corpus="blizzard", sequence="window", frames_per_sequence=40, frame_size=160)
    for protocol in ("paper", "clean"):
        (pair,) = compare_with_published([row(**BLIZZARD, protocol=protocol)], [theirs])
        assert "unit" in blockers(pair)


def test_windows_beside_whole_recordings_have_no_unit() -> None:
    (pair,) = compare_with_published([row(**BLIZZARD)], [published(corpus="blizzard", frame_size=200)])
    assert {"unit", "other_windows"} <= blockers(pair)


def test_nats_per_frame_need_no_sequence() -> None:
    (pair,) = compare_with_published([ROW], [published(unit="nats_per_frame", value=2.0, sequence=None)])
    assert (pair.unit, pair.theirs) == ("nats_per_frame", 2.0)
    assert blockers(pair) == {"windows_unknown"}


@pytest.mark.parametrize("corpus", ["timit", "onomatopoeia", "accent"])
def test_what_was_never_released_is_not_comparable(corpus: str) -> None:
    (pair,) = pairs(row(dataset=corpus, **SPEECH))
    assert {"code_not_released", "sequences_unknown", "floor_unknown", "size_unknown"} <= blockers(pair)
    assert "intra_frame" in notes(pair)


def test_the_intra_frame_remark_is_of_latents_on_speech_whose_table_has_no_rival() -> None:
    exact = row(dataset="timit", model="rnn-gauss", estimator="exact", **SPEECH)
    with_rival = row(dataset="timit", model="srnn-hier", **SPEECH)
    for pair in pairs(exact, with_rival, ROW):
        assert "intra_frame" not in notes(pair), pair
    assert "rounded" in notes(pairs(with_rival)[0])


def test_a_bound_stands_beside_its_own_kind_and_fivo_beside_iwae_but_barred() -> None:
    assert [pair.published_value for pair in pairs(row(estimator="iwae", num_samples=40))] == [1354.0]
    (same,) = pairs(row(estimator="iwae", num_samples=40))
    assert same.comparable
    assert "sampler_not_released" in notes(same)
    (fewer,) = pairs(row(estimator="iwae", num_samples=10))
    assert blockers(fewer) == {"other_bound"}
    (particles,) = pairs(row(estimator="fivo", num_samples=40))
    assert (blockers(particles), particles.published_value) == ({"other_bound"}, 1354.0)
    assert pairs(row(estimator="exact"), row(estimator="code")) == []


def test_only_the_same_corpus_and_model_stand_beside_each_other() -> None:
    assert pairs(row(dataset="quickdraw"), row(model="vrnn-gauss+smoothing"), row(model="linear-gauss")) == []
    assert pairs(row(corpus="timit", dataset="iam_ondb"))[0].dataset == "iam_ondb"
    two = pairs(row(dataset="timit", model="srnn-gauss", **SPEECH), ROW)
    assert [(pair.model, pair.source) for pair in two] == [
        ("srnn-gauss", "Fraccaro et al. 2016"),
        ("vrnn-gauss", "Chung et al. 2015, Table 1"),
    ]
    assert {"frames_left_out", "frame_size_unknown"} <= blockers(two[0])


def test_a_protocol_that_is_not_known_is_an_error() -> None:
    with pytest.raises(InputError, match="no protocol named 'old'"):
        pairs(row(protocol="old"))


def every_pair() -> list[PublishedComparison]:
    rows = [
        row(
            dataset=dataset,
            kind="pen" if dataset == "iam_ondb" else "speech",
            model=model,
            protocol=protocol,
            estimator=estimator,
            num_samples=40 if estimator in ("iwae", "fivo") else 1,
            measure="mass" if model.endswith("dmol") else "density",
        )
        for dataset in ("blizzard", "timit", "onomatopoeia", "accent", "iam_ondb")
        for model in (
            *SIZES,
            "vrnn-i-gauss",
            "srnn-gauss",
            "rnn-hier",
            "srnn-hier",
            "rnn-dmol",
            "vrnn-dmol",
            "srnn-dmol",
        )
        for protocol in ("paper", "clean")
        for estimator in ("exact", "elbo", "iwae", "fivo")
    ]
    return pairs(*rows)


def test_every_published_number_that_has_a_model_here_gets_a_verdict_with_known_codes_in_order() -> None:
    found = every_pair()
    with_model = [x for x in load_published() if x.number.our_model]
    estimates = sum(x.number.bound == "iwae" for x in with_model)
    assert len(found) == 2 * (len(with_model) + estimates)
    for pair in found:
        assert pair.comparable == (not blockers(pair))
        assert blockers(pair) <= set(BLOCKERS)
        assert notes(pair) <= set(NOTES)
        assert [reason.blocks for reason in pair.reasons] == sorted(
            (reason.blocks for reason in pair.reasons), reverse=True
        )
        assert len({reason.code for reason in pair.reasons}) == len(pair.reasons)
        assert all(reason.sentence and "\n" not in reason.sentence for reason in pair.reasons)
        assert (pair.unit is None) == (pair.ours is None) == (pair.theirs is None)


def test_pairs_are_json() -> None:
    (pair,) = pairs(ROW)
    value = to_json(pair)
    assert value["comparable"] is True
    assert value["reasons"][0] == {
        "code": "validation",
        "sentence": "theirs is a validation score: the reported set also chose the checkpoint",
        "blocks": False,
    }


def test_rows_of_a_study_are_taken_as_they_are() -> None:
    """From per-sequence scores to the verdict: nats per sequence are the mean that the table shows."""
    nats = np.random.default_rng(0).normal(1300.0, 200.0, 1438)
    scores = pd.DataFrame({"id": [f"l{n}" for n in range(1438)], "nats": nats, "frames": 600, "standard_error": 0.1})
    scores = scores.assign(split="valid", estimator="elbo", num_samples=1)
    trial = ScoredTrial(
        "lines", "iam_ondb", "pen", "paper", "vrnn-gauss", 0, "f", scores, None, "density", 8_460_706, 1e-4, 10_741
    )
    (pair,) = pairs(*compare_scores([trial]))
    assert pair.comparable
    assert pair.difference == pytest.approx(math.fsum(nats) / 1438 - 1337)


def test_the_page_lists_every_code_and_what_it_means() -> None:
    page = (Path(__file__).parents[3] / "docs" / "published.md").read_text(encoding="utf-8")
    listed = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert {(code.strip("`"), words) for code, words in (x for x in listed if len(x) == 2)} == set(
        (BLOCKERS | NOTES).items()  # type: ignore[operator]
    )
