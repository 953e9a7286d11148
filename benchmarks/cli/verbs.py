"""The verbs of `vrnn-bench`, one function each; the command line is derived from their signatures.

Heavy libraries are imported where they are used: `vrnn-bench --help` should not wait for torch, Ray and MLflow.
"""

from collections.abc import Callable

from benchmarks.cli.data_verbs import download, prepare, synthesise
from benchmarks.cli.model_verbs import generate, score, train
from benchmarks.cli.result_verbs import compare, report, reproduce
from benchmarks.cli.shard_verbs import export, inspect, verify
from benchmarks.cli.study_verbs import run, sync
from benchmarks.cli.ui_verb import ui

__all__ = ["COMMANDS"]

COMMANDS: dict[str, Callable[..., None]] = {
    "download": download,
    "prepare": prepare,
    "inspect": inspect,
    "verify": verify,
    "export": export,
    "synthesise": synthesise,
    "train": train,
    "score": score,
    "generate": generate,
    "run": run,
    "sync": sync,
    "compare": compare,
    "reproduce": reproduce,
    "report": report,
    "ui": ui,
}
