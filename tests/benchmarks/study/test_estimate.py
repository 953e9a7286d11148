"""The plan of a study, compared with the finished study."""

from pathlib import Path

import pytest

from benchmarks.schema.suite import Suite
from benchmarks.study.estimate import forecast
from benchmarks.suites.suite import expand
from benchmarks.trials.task import finished_outcome, task_of
from tests.benchmarks.small_studies import FAST, small_suite
from vrnn.models import preset
from vrnn.training.checkpoints import load_checkpoint


def test_counts_are_those_of_the_study_that_was_run(recorded: Suite) -> None:
    plan = forecast(recorded)
    assert [trial.done for trial in plan.trials] == [True, True]
    assert plan.seconds_left == 0.0
    for trial, planned in zip(expand(recorded), plan.trials, strict=True):
        work = task_of(recorded, trial)
        outcome = finished_outcome(work)
        assert outcome is not None
        assert planned.steps == outcome.metrics["train/steps"]
        model = load_checkpoint(work.directory / "best.pt").model()
        assert planned.parameters == sum(parameter.numel() for parameter in model.parameters())
        assert planned.memory_gib * 2**30 > 16 * planned.parameters
        assert planned.training_seconds > 0


def test_larger_trials_have_larger_plans(ink_shards: Path, tmp_path: Path) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, models=("vrnn-gauss",), concurrent=2)
    longer = suite.corpora[0].model_copy(
        update={"optimisation": suite.corpora[0].optimisation.model_copy(update={"max_epochs": 30, "batch_size": 4})}
    )
    (short,), (long,) = forecast(suite).trials, forecast(suite.model_copy(update={"corpora": (longer,)})).trials
    assert long.steps == pytest.approx(30 / FAST["max_epochs"] * short.steps / 2, rel=0.2)
    assert long.memory_gib > short.memory_gib, "twice the sequences at once are held"
    assert not short.done
    halved = suite.model_copy(update={"resources": suite.resources.model_copy(update={"micro_batch": 1})})
    assert forecast(halved).trials[0].memory_gib < short.memory_gib
    assert preset("vrnn-gauss", "pen", "tiny").latent > 0
