import dataclasses
import inspect
import re

import pytest

from benchmarks.export.protocol_text import protocol_statement
from benchmarks.statistics import resampling
from benchmarks.statistics import table as comparing
from benchmarks.study.summary import Comparison
from pipelines.batches.protocol import find_protocol
from tests.benchmarks.export_cases import (
    RULE,
    compared,
    export_case,
    pipes,
    study_file,
    trials,
)


@pytest.fixture(scope="module")
def found() -> Comparison:
    return export_case()


def test_the_protocol_says_what_a_paper_must(found: Comparison) -> None:
    text = protocol_statement(found)
    for said in (
        "A frame is 200 consecutive samples, without overlap",
        "A frame is (dx, dy, pen up)",
        "No recording or line is cut",
        "Dequantisation: none",
        "Dequantisation: noise U(-1/2, 1/2)",
        "probabilities of the recorded integers",
        RULE,
        "101 fitted on, 23 choose the checkpoint, 8 reported",
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
    told = {line[0]: line[1:] for line in rules}
    assert (told["learning_rate"], told["patience"]) == (["0.00042", "0.001"], ["9", "5"])


def test_windows_are_told() -> None:
    about = study_file()
    about["protocols"] = {
        "timit/paper": find_protocol("paper", "speech", "blizzard").model_dump(mode="json") | {"rule": RULE},
        "iam_ondb/clean": find_protocol("clean", "speech", "timit").model_dump(mode="json") | {"rule": RULE},
    }
    text = protocol_statement(compared(trials(1), about=about))
    assert "windows of 40 frames, each a sequence that begins from the zero state; what is shorter" in text
    assert "windows of 3200 frames, each a sequence that begins from the zero state; the rest is kept" in text


def test_claims_are_named() -> None:
    about = study_file()
    about["suite"]["claims"] = [["vrnn-gauss", "rnn-gauss"]]
    text = protocol_statement(compared(trials(), claims=(("vrnn-gauss", "rnn-gauss"),), about=about))
    assert "for 2 comparisons, of the pairs that the study named before it ran: vrnn-gauss against rnn-gauss." in text


def test_nothing_is_made_up_where_the_study_left_no_file(found: Comparison) -> None:
    text = protocol_statement(dataclasses.replace(found, about={}))
    for said in (
        "What was fitted on, and what chose the checkpoint, is unrecorded",
        "How signals became frames is unrecorded",
        "How models were fitted is unrecorded",
        "How often bounds were repeated is unrecorded",
        "The commit and the lock of the packages are unrecorded",
        "in common with what is fitted on is unrecorded",
    ):
        assert said in text, said
    assert "named in advance" not in text
    assert "Nothing was found" not in text


def test_noise_under_densities_is_not_told_by_a_discretised_model() -> None:
    """The rules kept of a corpus are those of its first model; one that is discretised is never given noise."""
    about = study_file()
    about["protocols"]["iam_ondb/clean"]["dequantise"] = False
    mixed = sorted(trials(1), key=lambda trial: trial.measure != "mass")
    dmol_first = [
        dataclasses.replace(trial, corpus="iam_ondb", protocol="clean") for trial in mixed if trial.kind == "speech"
    ]
    text = protocol_statement(compared(dmol_first, about=about))
    part = text[text.index("iam\\_ondb/clean** (protocol") :]
    assert "Whether noise was added to the integers under densities is unrecorded" in part
    assert "Dequantisation" not in part


def test_nothing_found_is_said_only_where_it_was_looked_for() -> None:
    clean = protocol_statement(compared(trials(1), warnings=[], about=study_file()))
    assert "Nothing was found that a reader must be warned of" in clean


def test_the_numbers_of_the_statistics_are_those_of_the_code() -> None:
    text = protocol_statement(compared(trials(1)))
    assert f"BCa, {comparing._RESAMPLES:,} resamples" in text
    least = inspect.signature(resampling.sign_flip_p_values).parameters["resamples"].default
    assert f"at least {least:,}" in text
    assert comparing._CONFIDENCE == 1 - resampling.LEVEL == 0.95
    assert f"p-values are below {resampling.LEVEL}" in protocol_statement(export_case())


def test_the_methods_of_the_statistics_are_those_of_the_code() -> None:
    """Whose method is named here is named by the module that has it."""
    text = protocol_statement(export_case())
    named = re.findall(r"([A-Z][a-z]+) \(?\d{4}\)?", text[text.index("- Differences are paired") :])
    assert named == ["Hall", "Howe", "Welch"]
    for author in named:
        assert author in (resampling.__doc__ or "")
