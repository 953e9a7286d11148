"""The results of a study are read as they were written, and a damaged file is refused in one line."""

from typing import Any

import pandas as pd
import pytest

from benchmarks.errors import StudyError
from benchmarks.schema.base import to_json
from benchmarks.schema.samples import LatentPath
from benchmarks.store.results import StoredStudy, StoredTrial
from dashboards.report.study_data import StudyData, read_study_data
from tests.dashboards.demo import demo_study, hostile_study, latent
from tests.dashboards.studies import (
    HOSTILE_STUDY,
    MODELS,
    Samples,
    compared,
    curves,
    description,
    pen_samples,
    samples_of_every_role,
    speech_samples,
    stored_trial,
)


def read(*trials: StoredTrial) -> StudyData:
    return read_study_data(StoredStudy(description(), {}, trials, "here"), compared())


def refusal(trial: StoredTrial) -> str:
    with pytest.raises(StudyError) as caught:
        read(trial)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_trials_and_curves_are_read():
    trials = read_study_data(*demo_study()).trials
    assert [(t.corpus, t.model, t.seed) for t in trials] == [
        ("handwriting", "RNN-GMM", 0),
        ("handwriting", "VRNN-Gauss", 0),
        *[("speech", model, seed) for model in sorted(MODELS) for seed in (0, 1)],
    ]
    for trial in trials:
        if trial.corpus == "speech":
            assert trial.curves is not None
            expected = curves(trial.model, trial.seed, 30 if trial.diverged else 40, 120.0)
            pd.testing.assert_frame_equal(trial.curves, expected)


def test_only_the_lowest_seed_of_a_model_has_samples():
    shown = [trial for trial in read_study_data(*demo_study()).trials if trial.samples]
    assert len(shown) == len(MODELS) + 2
    assert {trial.seed for trial in shown} == {0}
    real, generated = shown[0].samples
    assert (real.role, generated.role) == ("real", "generated")
    assert real.content == pen_samples(0)[0][1]


def test_a_higher_seed_has_them_where_the_lowest_has_none():
    first, second = read(stored_trial(), stored_trial(seed=1, samples=speech_samples(0))).trials
    assert (len(first.samples), len(second.samples)) == (0, 2)


def test_a_codec_baseline_has_no_curves():
    assert read(stored_trial()).trials[0].curves is None


def test_where_a_recorded_beginning_ends_is_read():
    (trial,) = read(stored_trial(samples=samples_of_every_role("speech"))).trials
    assert [(sample.role, sample.prime_steps) for sample in trial.samples] == [
        ("real", 0),
        ("reconstruction", 0),
        ("continuation", 8000),
        ("generated", 0),
    ]


def test_names_are_read_as_written_however_odd():
    assert read_study_data(*hostile_study()).name == HOSTILE_STUDY


def test_a_listed_sample_that_is_missing_is_refused():
    entry, content = speech_samples(0)[0]
    outside = entry.model_copy(update={"file": "../record.json"})
    trial = stored_trial(samples=[(outside, content)])
    del trial.artifacts.files["samples/../record.json"]  # type: ignore[attr-defined]
    assert refusal(trial) == (
        "speech/paper/RNN-GMM/seed0: the sample '../record.json' is missing; generate the samples again"
    )


@pytest.mark.parametrize("change", [{"prime_steps": -1}, {"prime_steps": None}, {"role": "imagined"}])
def test_a_malformed_list_of_samples_is_refused(change: dict[str, Any]):
    trial = stored_trial(samples=speech_samples(0))
    files = trial.artifacts.files  # type: ignore[attr-defined]
    listed = trial.samples()
    assert listed is not None
    entry = listed.samples[0].model_copy(update=change)
    files["samples/samples.json"] = replace_first(trial, entry)
    message = refusal(trial)
    assert message.startswith("speech/paper/RNN-GMM/seed0/samples: samples.json, samples.0.")
    assert next(iter(change)) in message


def replace_first(trial: StoredTrial, entry: Any) -> bytes:
    """The list of samples with another first entry, unchecked."""
    listed = trial.samples()
    assert listed is not None
    return listed.model_copy(update={"samples": (entry, *listed.samples[1:])}).to_bytes()


def test_curves_that_are_not_parquet_are_refused():
    trial = stored_trial(curves("RNN-GMM", 0, 3, 1.0))
    trial.artifacts.files["curves.parquet"] = b"not parquet"  # type: ignore[attr-defined]
    assert refusal(trial).startswith("speech/paper/RNN-GMM/seed0: curves.parquet cannot be read (")


def with_latent(samples: Samples, **changes: Any) -> StoredTrial:
    path = LatentPath.model_validate(latent("speech", 80, **changes))
    return stored_trial(samples=samples, files=[("samples/", path)])


def test_the_latent_path_is_read_with_the_samples():
    (trial,) = read(with_latent(samples_of_every_role("speech"))).trials
    assert trial.latent is not None
    assert to_json(trial.latent) == latent("speech", 80)


def test_a_latent_path_along_a_sequence_that_is_not_there_is_refused():
    message = refusal(with_latent(samples_of_every_role("speech"), file="absent.flac"))
    assert message.startswith("speech/paper/RNN-GMM/seed0/samples: latent.json: 'absent.flac' is no real speech sample")


def test_a_generated_sample_is_no_real_sequence():
    entry, content = speech_samples(0)[1]
    message = refusal(with_latent([(entry, content)], file=entry.file))
    assert "'generated-0.flac' is no real speech sample" in message


def test_a_file_of_another_version_is_refused_with_what_to_do():
    trial = stored_trial(samples=speech_samples(0))
    trial.artifacts.files["samples/samples.json"] = b"[]"  # type: ignore[attr-defined]
    assert "this vrnn-bench reads version 1; generate the samples again" in refusal(trial)
