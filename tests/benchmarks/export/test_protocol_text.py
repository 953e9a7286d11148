import dataclasses
import inspect
import re

import pytest

from benchmarks.export.protocol_text import protocol_statement
from benchmarks.schema.comparison import CONFIDENCE, LEVEL, Comparison
from benchmarks.schema.study import StudyDescription
from benchmarks.statistics import resampling
from benchmarks.statistics import table as comparing
from pipelines.batches.protocol import find_protocol
from tests.benchmarks.export_cases import RULE, applied, compared, export_case, pipes, study_description, trials


def statement(comparison: Comparison) -> str:
    assert comparison.description is not None
    return protocol_statement(comparison, comparison.description)


def changed_suite(**changes: object) -> StudyDescription:
    study = study_description()
    return study.model_copy(update={"suite": study.suite.model_copy(update=changes)})


@pytest.fixture(scope="module")
def found() -> Comparison:
    return export_case()


def test_the_statement_has_what_a_paper_needs(found: Comparison) -> None:
    text = statement(found)
    for said in (
        "A frame is 200 consecutive samples, without overlap",
        "A frame is (dx, dy, pen up)",
        "No recording or line is cut",
        "Dequantisation: none",
        "Dequantisation: noise U(-1/2, 1/2)",
        "probabilities of the recorded integers",
        RULE,
        "101 train, 23 select the checkpoint, 8 are reported",
        f"Fingerprint of the content: {'t' * 64}",
        f"Fingerprint of the content: {'i' * 64}",
        "Seeds, of initial weights, order and noise: 3, 5, 7",
        "the mean of 4 independent repetitions (noise seed 11)",
        "K = 40 importance weights",
        "95 % bootstrap",
        "after Holm for 3 comparisons: all pairs, none was named in advance",
        f"Commit {'c' * 40}; the checkout was clean",
        "d" * 64,
        "k" * 16,
        "- timit/paper: 8 of 8 are shared",
        "seed9 diverged at step 17",
    ):
        assert said in text, said
    assert "unrecorded" not in text
    models, rules = pipes(text)
    rows = {(line[0], line[1]): line[3:] for line in models[1:]}
    assert rows["vrnn-gauss", "timit"] == ["tiny", "1234567", "density", "0.0001", "elbo, iwae-40", "3"]
    assert rows["rnn-gauss", "iam_ondb"] == ["small", "1234567", "density", "0.0001", "exact", "3"]
    assert rows["vrnn-dmol", "timit"] == ["tiny", "4321", "mass", "none", "elbo, iwae-40", "3"]
    assert rows["flac", "timit"] == ["", "", "mass", "none", "code", "not trained"]
    settings = {line[0]: line[1:] for line in rules}
    assert (settings["learning_rate"], settings["patience"]) == (["0.00042", "0.001"], ["9", "5"])


def test_windows_are_described() -> None:
    protocols = {
        "timit/paper": applied(find_protocol("paper", "speech", "blizzard")),
        "iam_ondb/clean": applied(find_protocol("clean", "speech", "timit")),
    }
    study = study_description().model_copy(update={"protocols": protocols})
    text = statement(compared(trials(1), description=study))
    assert "windows of 40 frames, each a sequence that begins from the zero state; a shorter rest is left out" in text
    assert "windows of 3200 frames, each a sequence that begins from the zero state; the rest is kept" in text


def test_claims_are_named() -> None:
    claims = (("vrnn-gauss", "rnn-gauss"),)
    text = statement(compared(trials(), claims=claims, description=changed_suite(claims=claims)))
    assert "for 2 comparisons, of the pairs that the study named before it ran: vrnn-gauss against rnn-gauss." in text


def test_what_is_not_recorded_is_stated_as_unrecorded() -> None:
    study = study_description().model_copy(update={"protocols": {}})
    text = statement(compared(trials(1), description=study))
    assert "The splits used for training and for selecting the checkpoint are unrecorded" in text
    (models, _) = pipes(statement(compared(trials(1), description=changed_suite(corpora=()))))[:2]
    assert {line[3] for line in models[1:] if line[0] != "flac"} == {"unrecorded"}


def test_noise_for_densities_is_not_inferred_from_a_discretised_model() -> None:
    """The recorded protocol of a corpus is that of its first model; a discretised one is never given noise."""
    study = study_description()
    without_noise = study.protocols["iam_ondb/clean"].model_copy(update={"dequantise": False})
    study = study.model_copy(update={"protocols": {**study.protocols, "iam_ondb/clean": without_noise}})
    mixed = sorted(trials(1), key=lambda trial: trial.measure != "mass")
    dmol_first = [
        dataclasses.replace(trial, corpus="iam_ondb", protocol="clean") for trial in mixed if trial.kind == "speech"
    ]
    text = statement(compared(dmol_first, description=study))
    part = text[text.index("iam\\_ondb/clean** (protocol") :]
    assert "Whether noise was added to the integers for densities is unrecorded" in part
    assert "Dequantisation" not in part


def test_nothing_found_is_stated_where_there_is_no_warning() -> None:
    assert "Nothing was found" in statement(compared(trials(1), warnings=()))
    assert "Nothing was found" not in statement(compared(trials(1)))


def test_the_numbers_of_the_statistics_are_those_of_the_code() -> None:
    text = statement(compared(trials(1)))
    assert f"BCa, {comparing._RESAMPLES:,} resamples" in text
    least = inspect.signature(resampling.sign_flip_p_values).parameters["resamples"].default
    assert f"at least {least:,}" in text
    assert CONFIDENCE == 1 - LEVEL == 0.95
    assert f"p-values are below {LEVEL}" in statement(export_case())


def test_the_methods_of_the_statistics_are_those_of_the_code() -> None:
    """The authors named in the statement are named in the module of the method."""
    text = statement(export_case())
    named = re.findall(r"([A-Z][a-z]+) \(?\d{4}\)?", text[text.index("- Differences are paired") :])
    assert named == ["Hall", "Howe", "Welch"]
    for author in named:
        assert author in (resampling.__doc__ or "")
