"""The progress of a study: as lines, and as bars on a real terminal."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from benchmarks.cli.progress import ProgressBars, ProgressLines
from benchmarks.trials.events import (
    EpochFinished,
    Event,
    OnEvent,
    ScoringStarted,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialRetried,
    TrialSkipped,
    TrialStarted,
    TrialStopped,
)
from benchmarks.trials.task import Outcome, TrialTask
from tests.benchmarks.small_studies import small_suite, store_at
from vrnn.training import Optimisation
from vrnn.training.epoch_metrics import EpochRecord

RECORD = EpochRecord(
    epoch=2,
    step=10,
    train_nats_per_frame=1.25,
    train_kl_nats_per_frame=0.5,
    valid_nats_per_frame=1.125,
    valid_kl_nats_per_frame=0.25,
    gradient_norm_mean=1.0,
    gradient_norm_max=2.0,
    clipped_share=0.0,
    skipped_steps=0,
    learning_rate=1e-3,
    kl_factor=1.0,
    seconds=2.0,
    frames_per_second=12345.6,
    data_wait_share=0.01,
    fraction_of_peak=0.25,
)
FITTED = "train 1.250, valid 1.125 nats per frame, 12,346 frames/s, 25% of peak"


def trial(name: str) -> TrialTask:
    """A task with a name and three epochs, the only parts that are shown."""
    return cast("TrialTask", SimpleNamespace(name=name, spec=SimpleNamespace(optimisation=Optimisation(max_epochs=3))))


def play(subscriber: OnEvent) -> None:
    """Four trials: one recorded already, one that dies, resumes and is scored, one that fails, one stopped."""
    a, b, c, d = (trial(f"ink/{name}") for name in ("a", "b", "[c]", "d"))
    outcome = Outcome(identity="i", metrics={"test/elbo_nats_per_sequence": 12.34, "train/steps": 1.0})
    events: list[Event] = [
        StudyStarted((a.name, b.name, c.name, d.name), "http://127.0.0.1:8265"),
        TrialSkipped(a),
        TrialStarted(b),
        TrialStarted(c),
        EpochFinished(b, RECORD),
        TrialRetried(b, "its process died"),
        TrialStarted(b),
        TrialFailed(c, "shards are damaged"),
        ScoringStarted(b),
        TrialFinished(b, outcome),
        TrialStarted(d),
        TrialStopped(d),
    ]
    for event in events:
        subscriber(event)


def test_lines_name_the_trial_in_each(capsys: pytest.CaptureFixture[str]) -> None:
    play(ProgressLines())
    assert capsys.readouterr().err.splitlines() == [
        "Ray dashboard: http://127.0.0.1:8265",
        "[1/4] ink/a: recorded already",
        "[2/4] ink/b",
        "[3/4] ink/[c]",
        f"    ink/b: epoch 2/3: {FITTED}",
        "    ink/b: its process died; resuming from its last checkpoint",
        "[2/4] ink/b",
        "    ink/[c]: failed: shards are damaged",
        "    ink/b: scoring",
        "    ink/b: test/elbo 12.3 nats per sequence",
        "[4/4] ink/d",
        "    ink/d: saved",
    ]


def test_bars_count_what_is_over_and_leave_a_line_for_it() -> None:
    page = io.StringIO()
    progress = Progress(
        TextColumn("{task.description} {task.completed} {task.total} {task.fields[status]}", markup=False),
        console=Console(file=page, width=200),
        auto_refresh=False,
    )
    play(ProgressBars(progress))
    assert page.getvalue().splitlines() == [
        "Ray dashboard: http://127.0.0.1:8265",
        "ink/[c]: failed: shards are damaged",
        "ink/b: test/elbo 12.3 nats per sequence",
    ]
    bars = {task.description: (task.completed, task.total, task.fields["status"]) for task in progress.tasks}
    assert bars == {"trials": (3, 4, ""), "ink/d": (0, None, "saved")}


@pytest.mark.slow
def test_on_a_terminal_a_study_is_drawn_as_bars(ink_shards: Path, tmp_path: Path) -> None:
    suite = small_suite(tmp_path, {"ink": ink_shards}, models=("rnn-gauss",))
    (tmp_path / "suite.json").write_text(suite.model_dump_json())
    code = (
        "import sys; from pathlib import Path; from benchmarks.suites.suite import Suite\n"
        "from benchmarks.study.run import run_study; from benchmarks.store.mlflow_writer import open_writer\n"
        "from benchmarks.cli.progress import show_progress\n"
        "with show_progress() as progress:\n"
        "    run_study(Suite.model_validate_json(Path('suite.json').read_text()), open_writer,\n"
        "              subscribers=[progress])\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"MLFLOW_TRACKING_URI": store_at(tmp_path), "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stderr=theirs)
    os.close(theirs)
    drawn = b""
    try:
        while block := os.read(ours, 4096):
            drawn += block
    except OSError:  # how a terminal ends, once its other side is closed
        pass
    os.close(ours)
    assert process.wait() == 0, drawn
    assert b"ink/clean/rnn-gauss/seed0" in drawn
    assert b"1/1" in drawn
    assert b"of peak" in drawn
