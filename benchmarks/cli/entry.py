"""`vrnn-bench`: the front door.

Exit codes: 0 done, 1 it failed, 2 the user's input was wrong, 128 + N stopped by signal N, such as 130 by Ctrl-C.

Wrong input ends in one line on stderr that says what, where and how to mend it, never in a traceback.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import tyro

from benchmarks.cli.output import say
from benchmarks.cli.verbs import COMMANDS
from benchmarks.errors import FailedError, StoppedError, StudyError

__all__ = ["main"]

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "RAY_TRAIN_V2_ENABLED": "1",
    # A server that is away is given seconds, not minutes: what it misses is sent later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
}
_TALKATIVE = ("ray.train.v2.api.config", "mlflow.store.db.utils", "mlflow.tracking.fluent", "alembic.runtime.migration")
"""Loggers that tell what a user need not know, named in full since their packages reset their own roots."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="vrnn-bench",
            description="Reproducible log-likelihood comparisons of variational recurrent networks.",
            args=arguments,
        )
    except ValueError as error:
        if not isinstance(error, _user_errors()):
            raise
        say(f"vrnn-bench: {error}")
        return 2
    except (FailedError, OSError) as error:
        say(f"vrnn-bench: {error}")
        return 1
    except StoppedError as stopped:
        say(f"vrnn-bench: {stopped}; the same command goes on from there")
        return 128 + stopped.signal
    except KeyboardInterrupt:
        say("vrnn-bench: interrupted; the same command goes on where it stopped")
        return 130
    return 0


def _user_errors() -> tuple[type[ValueError], ...]:
    """The errors that a user can mend; imported when one may be there, since they come with heavy packages."""
    from dashboards.errors import ReportError
    from pipelines.errors import InputError
    from vrnn.errors import ModelError
    from vrnn.training.errors import CheckpointError

    return (InputError, ModelError, CheckpointError, StudyError, ReportError)


if __name__ == "__main__":
    main()
