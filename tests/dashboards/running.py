"""A study that is being run, written into an MLflow store epoch by epoch as the project's tracking writes it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.dashboards.studies import Writer

MODELS = ("rnn-gmm", "vrnn-gauss")


def copy_of(empty_uri: str, directory: Path) -> str:
    """A store of its own; to copy an empty one is faster than to make one."""
    shutil.copy(empty_uri.removeprefix("sqlite:///"), directory / "mlflow.db")
    return f"sqlite:///{directory / 'mlflow.db'}"


class RunningStudy:
    """Writes one study; trials go by the key that they are begun with."""

    def __init__(self, uri: str, directory: Path, name: str = "growing", keys: Sequence[str] = ("a", "b", "c")) -> None:
        self.client, self.name = MlflowClient(uri), name
        self.writer = Writer(self.client, name, directory / "artifacts")
        tags = {"study": name, "role": "study", "mlflow.runName": name}
        self.parent = self.client.create_run(self.writer.experiment, tags=tags).info.run_id
        self.client.log_text(self.parent, json.dumps({"keys": keys, "suite": {"models": MODELS}}), "study.json")
        self.runs: dict[str, str] = {}

    def begin(self, key: str, most: int = 4, **tags: Any) -> str:
        texts = {"corpus": "speech", "protocol": "paper", "model": MODELS[0], "seed": "0", "trial_key": key}
        texts |= {"mlflow.parentRunId": self.parent, "measure": "density"} | tags
        self.runs[key] = self.client.create_run(self.writer.experiment, tags=texts).info.run_id
        self.client.log_param(self.runs[key], "optimisation.max_epochs", most)
        return self.runs[key]

    def epoch(self, key: str, number: int, valid: float | None, speed: float = 1000.0, at: int = 0) -> None:
        metrics = [Metric("system/frames_per_second", speed, at or number * 1000, number)]
        if valid is not None:
            metrics.append(Metric("valid/nats_per_frame", valid, at or number * 1000, number))
        self.client.log_batch(self.runs[key], metrics=metrics)

    def end(self, key: str, status: str = "FINISHED", **tags: str) -> None:
        for name, value in tags.items():
            self.client.set_tag(self.runs[key], name, value)
        self.client.set_terminated(self.runs[key], status)

    def finish(self) -> None:
        self.client.set_terminated(self.parent, "FINISHED")
