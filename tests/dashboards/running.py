"""A running study, written into an MLflow store epoch by epoch as the project's writer does."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric

from benchmarks.schema.samples import SampleList
from tests.dashboards.studies import Samples, description, suite

MODELS = ("rnn-gmm", "vrnn-gauss")


def copy_of(empty_uri: str, directory: Path) -> str:
    """A separate store; copying an empty one is faster than creating one."""
    shutil.copy(empty_uri.removeprefix("sqlite:///"), directory / "mlflow.db")
    return f"sqlite:///{directory / 'mlflow.db'}"


class RunningStudy:
    """Writes one study; trials are named by the key that they start with."""

    def __init__(self, uri: str, directory: Path, name: str = "growing", keys: Sequence[str] = ("a", "b", "c")) -> None:
        self.client, self.name = MlflowClient(uri), name
        self.experiment = self.client.create_experiment(name, artifact_location=(directory / "artifacts").as_uri())
        tags = {"study": name, "role": "study", "mlflow.runName": name}
        self.parent = self.client.create_run(self.experiment, tags=tags).info.run_id
        about = description(keys=keys, suite=suite(models=MODELS))
        self.client.log_text(self.parent, about.to_bytes().decode(), "study.json")
        self.runs: dict[str, str] = {}

    def begin(self, key: str, most: int = 4, **tags: Any) -> str:
        texts = {"corpus": "speech", "protocol": "paper", "model": MODELS[0], "seed": "0", "trial_key": key}
        texts |= {"mlflow.parentRunId": self.parent, "measure": "density"} | tags
        self.runs[key] = self.client.create_run(self.experiment, tags=texts).info.run_id
        self.client.log_param(self.runs[key], "optimisation.max_epochs", most)
        return self.runs[key]

    def epoch(self, key: str, number: int, valid: float | None, speed: float = 1000.0, at: int = 0) -> None:
        metrics = [Metric("system/frames_per_second", speed, at or number * 1000, number)]
        if valid is not None:
            metrics.append(Metric("valid/nats_per_frame", valid, at or number * 1000, number))
        self.client.log_batch(self.runs[key], metrics=metrics)

    def curves(self, run: str, frame: pd.DataFrame) -> None:
        with tempfile.TemporaryDirectory() as directory:
            frame.to_parquet(Path(directory) / "curves.parquet")
            self.client.log_artifact(run, str(Path(directory) / "curves.parquet"))

    def samples(self, run: str, samples: Samples) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for entry, content in samples:
                (Path(directory) / entry.file).write_bytes(content)
            listed = SampleList(samples=tuple(entry for entry, _ in samples))
            (Path(directory) / "samples.json").write_bytes(listed.to_bytes())
            self.client.log_artifacts(run, directory, "samples")

    def files(self, run: str, **files: Any) -> None:
        """Log JSON artifacts of a run by their names without `.json`."""
        for name, content in files.items():
            text = content.to_bytes().decode() if hasattr(content, "to_bytes") else json.dumps(content)
            self.client.log_text(run, text, f"{name}.json")

    def end(self, key: str, status: str = "FINISHED", **tags: str) -> None:
        for name, value in tags.items():
            self.client.set_tag(self.runs[key], name, value)
        self.client.set_terminated(self.runs[key], status)

    def finish(self) -> None:
        self.client.set_terminated(self.parent, "FINISHED")
