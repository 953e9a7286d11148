"""The verbs of `vrnn-bench`, one function each; the command line is derived from their signatures.

Heavy libraries are imported where they are used: `vrnn-bench --help` should not wait for torch, Ray and MLflow.
"""

from collections.abc import Callable

from benchmarks.commands.data import download, prepare, synthesise
from benchmarks.commands.models import generate, score, train
from benchmarks.commands.results import compare, report, reproduce
from benchmarks.commands.shards import export, inspect, verify
from benchmarks.commands.studies import run, sync
from benchmarks.commands.ui import ui

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
