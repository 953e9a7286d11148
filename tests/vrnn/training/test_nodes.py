"""Nodes that a training run loses and gains: clusters in one machine, each with a script in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.runtime.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import TrialSpec, load_checkpoint, train
from vrnn.training.checkpoints import LAST
from vrnn.training.epoch_metrics import EpochRecord

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]


def play(script: str, spec: TrialSpec, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "tests.vrnn.training.nodes", script]
    done = subprocess.run(
        [*command, str(tmp_path / "spec.json"), str(tmp_path / "out"), str(result)],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(result.read_text())


def assert_same_trajectory(spec: TrialSpec, tmp_path: Path) -> list[EpochRecord]:
    """As one worker alone has it, in float64, however many workers shared a batch; the records of `out`."""
    history = load_checkpoint(Location(str(tmp_path / "out" / LAST))).state.history
    alone: list[EpochRecord] = []
    train(spec, Location(str(tmp_path / "one")), alone.append, stop=lambda: len(alone) == len(history))
    for metric in ("train_nats_per_frame", "valid_nats_per_frame"):
        expected = [getattr(record, metric) for record in alone]
        assert [getattr(record, metric) for record in history] == pytest.approx(expected, abs=1e-9)
    return history


def test_a_run_that_loses_a_node_continues_on_another(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(max_epochs=10, batch_size=2)
    facts = play("lost", spec, tmp_path)
    assert facts["finished"]
    history = assert_same_trajectory(spec, tmp_path)
    assert {record.workers for record in history} == {2}
    assert facts["step_when_the_node_was_lost"] < history[-1].step


def test_an_elastic_run_continues_on_what_is_left_and_uses_what_is_added(make_spec: MakeSpec, tmp_path: Path) -> None:
    # It runs for as long as a node takes to come back: with steps so small that rounding errors do not grow.
    spec = make_spec(max_epochs=10_000, batch_size=2, patience=10_000, learning_rate=1e-5)
    facts = play("elastic", spec, tmp_path)
    history = assert_same_trajectory(spec, tmp_path)
    lost, given = facts["step_when_the_node_was_lost"], facts["step_when_a_node_was_given"]
    assert {record.workers for record in history if lost < record.step <= given} == {1}
    assert history[-1].workers == 2
