"""Studies small enough for a test, a log of their events, and what MLflow holds of them."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from benchmarks.schema.suite import Suite
from benchmarks.trials.events import EpochFinished, Event, TrialFailed, TrialFinished, TrialRetried, TrialSkipped

FAST = {"max_epochs": 3, "batch_size": 2, "precision": "float64"}


def store_at(root: Path) -> str:
    return f"sqlite:///{root / 'mlflow.db'}"


def trial_runs(root: Path, study: str) -> list[Run]:
    """The runs of a study's trials and references in the store at `root`."""
    client = MlflowClient(store_at(root))
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], "tags.trial_key != ''")


def run_of(study: str, model: str) -> str:
    """The identifier of the one run of a model in a study of the store that is spoken to."""
    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.model = '{model}'")
    return run.info.run_id


def logged_steps(root: Path, run: Run) -> list[int]:
    """The steps at which a trial's run has metrics, repeated as often: epochs, and one more for its summary."""
    logged = MlflowClient(store_at(root)).get_metric_history(run.info.run_id, "system/frames_per_second")
    return sorted(metric.step for metric in logged)


def small_suite(root: Path, shards: dict[str, Path], **changes: Any) -> Suite:
    """Two models of one seed on each of `shards`, float64, with `changes`."""
    corpora = [
        {"name": name, "shards": str(place), "size": "tiny", "optimisation": FAST} for name, place in shards.items()
    ]
    said = {
        "study": "small",
        "models": ("rnn-gauss", "vrnn-gauss"),
        "runs": str(root / "runs"),
        "samples": 0,
        "scoring": {"num_samples": 2, "repeats": 1},
        "corpora": corpora,
    }
    return Suite.model_validate(said | changes)


def write_suite(suite: Suite, root: Path) -> Path:
    content = suite.model_dump(exclude_none=True, mode="json")
    path = root / "small.toml"
    path.write_text("\n".join(_toml(content)))
    return path


def _toml(table: dict[str, object]) -> Iterator[str]:
    """Values inline, tables of corpora last; JSON's strings, numbers and lists are TOML's."""
    for key, value in table.items():
        if key != "corpora":
            yield f"{key} = {_inline(value)}"
    for corpus in table["corpora"]:  # type: ignore[attr-defined]
        yield "[[corpora]]"
        yield from (f"{key} = {_inline(value)}" for key, value in corpus.items())


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(part)}" for key, part in value.items()) + " }"
    return json.dumps(value)


class EventLog:
    """Keeps the names of a study's trials by what happened to them."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.skipped: list[str] = []
        self.finished: list[str] = []
        self.retried: dict[str, str] = {}
        self.failed: dict[str, str] = {}

    @property
    def epochs(self) -> Counter[str]:
        return Counter(self.trained)

    def __call__(self, event: Event) -> None:
        match event:
            case TrialSkipped(task):
                self.skipped.append(task.name)
            case EpochFinished(task):
                self.trained.append(task.name)
            case TrialFinished(task):
                self.finished.append(task.name)
            case TrialRetried(task, reason):
                self.retried[task.name] = reason
            case TrialFailed(task, reason):
                self.failed[task.name] = reason
            case _:
                pass
