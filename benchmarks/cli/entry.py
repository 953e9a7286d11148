"""`vrnn-bench`: the entry point. Each verb is a function; its command line is derived from its signature.

Exit status: 0 done, 1 the work failed, 2 the input was wrong, 128 + N stopped by signal N (130 by Ctrl-C). Wrong input
ends in one line on stderr that says what is wrong, where, and how to fix it, and never in a traceback.

The verbs import heavy libraries inside their functions, so that `vrnn-bench --help` does not wait for torch or Ray.
"""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

import tyro

from benchmarks.cli.data_verbs import download, prepare, synthesise
from benchmarks.cli.model_verbs import generate, score, train
from benchmarks.cli.output import print_message
from benchmarks.cli.result_verbs import compare, report, reproduce
from benchmarks.cli.shard_verbs import export, inspect, verify
from benchmarks.cli.study_verbs import run, sync
from benchmarks.cli.ui_verb import ui
from benchmarks.errors import FailedError, StoppedError, StudyError

__all__ = ["COMMANDS", "main"]

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
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "RAY_TRAIN_V2_ENABLED": "1",
    # Give up on an unreachable server after seconds, not minutes: `sync` sends later what it missed.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}
# Named in full: their packages reset the levels of their root loggers.
_NOISY_LOGGERS = (
    "ray.train.v2.api.config",
    "mlflow.store.db.utils",
    "mlflow.tracking.fluent",
    "alembic.runtime.migration",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    """Run one command; returns its exit status."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="vrnn-bench",
            description="Reproducible log-likelihood comparisons of variational recurrent networks.",
            args=arguments,
        )
    except ValueError as error:
        # Imported only now, since they come with heavy packages.
        from pipelines.errors import InputError
        from vrnn.errors import CheckpointError, ModelError

        if not isinstance(error, (InputError, ModelError, CheckpointError, StudyError)):
            raise
        print_message(f"vrnn-bench: {error}")
        return 2
    except (FailedError, OSError) as error:
        print_message(f"vrnn-bench: {error}")
        return 1
    except StoppedError as stopped:
        print_message(f"vrnn-bench: {stopped}; run the same command again to continue")
        return 128 + stopped.signal
    except KeyboardInterrupt:
        print_message("vrnn-bench: interrupted; run the same command again to continue")
        return 130
    return 0


if __name__ == "__main__":
    main()
