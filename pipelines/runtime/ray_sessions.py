"""Starting Ray, or connecting to it, in the same way everywhere.

Usage statistics are off and no dashboard is started. If the caller has already started Ray, that session is used as it
is. Ray prints its reports on dead workers to stdout, which belongs to results, so they are redirected to stderr. Ray
also installs its own handler of SIGTERM; the caller's handler is restored.
"""

import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import ray

from pipelines.errors import InputError

__all__ = ["CapacityWatch", "ray_session"]

_LOCAL = "local"
# Ray starts its workers with a low priority by default: on a shared machine they would hardly run.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
_PATIENCE_SECONDS = 90.0

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def ray_session(workers: int, address: str | None = None, *, gpus: float = 0.0) -> Iterator[str | None]:
    """Provide a Ray session: the running one, the cluster at `address`, or a new local one with `workers` CPUs.

    Args:
        workers: CPUs of a new local session.
        address: address of a cluster.
        gpus: GPUs that the work needs at once. A cluster may still grow, so this is checked for a local session only.

    Yields:
        The address of Ray's dashboard, or None if there is none.

    Raises:
        InputError: no cluster answers at `address`, or this machine has too few GPUs.
        TimeoutError: a local session did not start within Ray's own time limit.
    """
    if ray.is_initialized():
        yield None
        return
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with contextlib.redirect_stdout(sys.stderr):
        chosen = address or os.environ.get("RAY_ADDRESS") or _LOCAL
        dashboard = _connect(workers, chosen)
        try:
            if chosen == _LOCAL and gpus > (available := ray.cluster_resources().get("GPU", 0.0)):
                raise InputError(
                    f"{gpus:g} GPUs are needed at once and this machine has {available:g}; "
                    "ask for fewer, or name a cluster with --address"
                )
            yield dashboard
        finally:
            ray.shutdown()


def _connect(workers: int, chosen: str) -> str | None:
    """Connect to the chosen cluster, or start a local session, even if another one runs on this machine."""
    size = {"num_cpus": workers, "include_dashboard": False} if chosen == _LOCAL else {}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        context = ray.init(address=chosen, log_to_driver=False, logging_level=logging.ERROR, **size)
    except (ConnectionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"no Ray cluster answers at {chosen}: {reason}; start one, or leave --address out") from error
    except Exception as error:
        # Ray has no error type for a node that does not start in time: it raises a bare Exception.
        if type(error) is not Exception:
            raise
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise TimeoutError(f"Ray did not start ({reason}); if this machine is busy, repeat the command") from error
    # Python lets only the main thread set signal handlers.
    if callable(handler) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


class CapacityWatch:
    """Logs one warning with the cluster's free resources if no work has started after a while."""

    def __init__(self, what: str) -> None:
        """Start the clock for `what`, the work that waits."""
        self._what = what
        self._deadline = time.monotonic() + _PATIENCE_SECONDS

    def check(self, *, started: bool) -> None:
        """Log the warning if the time is over; `started` ends the watch."""
        if started:
            self._deadline = math.inf
        elif time.monotonic() > self._deadline:
            free = {name: ray.available_resources().get(name, 0.0) for name in ("CPU", "GPU")}
            _log.warning("%s: waiting for free resources; the cluster has %s free", self._what, free)
            self._deadline = math.inf
