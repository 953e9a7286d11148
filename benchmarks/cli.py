"""`vrnn-bench`: the front door. Exit codes: 0 done, 1 it failed, 2 the user's input was wrong.

Wrong input ends in one line on stderr that says what, where and how to mend it, never in a traceback.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import tyro

from benchmarks.commands import COMMANDS, DivergedError
from benchmarks.errors import StudyError
from benchmarks.output import say

__all__ = ["main"]

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "RAY_TRAIN_V2_ENABLED": "1"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for name in ("ray", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    sys.exit(_run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    from pipelines.errors import InputError
    from pipelines.prepare import TooManyRejectsError
    from vrnn.errors import ModelError
    from vrnn.training.errors import CheckpointError

    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="vrnn-bench",
            description="Reproducible log-likelihood comparisons of variational recurrent networks.",
            args=arguments,
        )
    except (InputError, ModelError, CheckpointError, StudyError) as error:
        say(f"vrnn-bench: {error}")
        return 2
    except (TooManyRejectsError, DivergedError, OSError) as error:
        say(f"vrnn-bench: {error}")
        return 1
    except KeyboardInterrupt:
        say("vrnn-bench: interrupted; the same command goes on where it stopped")
        return 130
    return 0
