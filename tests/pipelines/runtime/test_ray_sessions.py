"""Ray sessions: missing resources of this machine are an error at once, those of a cluster are waited for."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray
import torch

from pipelines.runtime import ray_sessions
from pipelines.runtime.ray_sessions import CapacityWatch, ray_session

BENCH = Path(sys.executable).parent / "vrnn-bench"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "a GPU is asked for and this machine has none; leave --gpus-per-worker out, or use --address"),
        pytest.param(
            ["--elastic", "2", "4"],
            "2 GPUs are needed at once and this machine has 0; ask for fewer, or name a cluster with --address",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_gpus_that_this_machine_lacks_are_not_waited_for(
    options: list[str], message: str, ink_shards: Path, tmp_path: Path
) -> None:
    words = ["--shards", str(ink_shards), "--model", "rnn-gauss", "--out", str(tmp_path / "run")]
    command = [str(BENCH), "train", *words, *options, "--gpus-per-worker", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"vrnn-bench: {message}"


@pytest.mark.parametrize(("raised", "expected"), [(Exception("late"), TimeoutError), (KeyError("late"), KeyError)])
def test_only_a_ray_that_does_not_start_in_time_is_a_timeout(
    raised: Exception, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: object) -> None:
        raise raised

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(expected, match="late"), ray_session(1):
        pass


def test_a_wait_for_free_resources_is_logged_once(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_sessions, "_PATIENCE_SECONDS", -1.0)
    with caplog.at_level(logging.WARNING):
        capacity = CapacityWatch("trials")
        capacity.check(started=False)
        capacity.check(started=False)
        CapacityWatch("workers").check(started=True)
    (line,) = caplog.messages
    assert line.startswith("trials: waiting for free resources; the cluster has {'CPU': ")
    assert "'GPU': 0.0" in line
