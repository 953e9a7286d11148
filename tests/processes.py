"""Processes under test: who descends from whom, what they are called, and whether they are gone."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["RAY_AGENTS", "descendants", "kill_all", "left_of", "name_of", "named", "wait_until", "wait_until_gone"]

RAY_AGENTS = ("DashboardAgent", "RuntimeEnvAgent")
"""They look for their dead head for a minute before they end."""


def _status(process: int) -> list[str]:
    """State, parent, process group and so on, of `/proc/PID/stat`; empty where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _everybody() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for process in _everybody():
        if status := _status(process):
            children.setdefault(int(status[1]), []).append(process)
    found, todo = [], [root]
    while todo:
        todo += (below := children.get(todo.pop(), []))
        found += below
    return found


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def named(root: int, name: str) -> list[int]:
    """The descendants of `root` with `name` in their command line."""
    return [process for process in descendants(root) if name in name_of(process)]


def left_of(marker: str) -> dict[int, str]:
    """Processes, other than zombies, that have `marker` in their environment, and what they are called."""
    left = {}
    for process in _everybody():
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if marker.encode() in environment and _status(process)[:1] not in ([], ["Z"]):
            left[process] = name_of(process)
    return left


def kill_all(marker: str) -> None:
    for process in left_of(marker):
        os.kill(process, signal.SIGKILL)


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, f"waited {seconds} s in vain: {what}"
        time.sleep(0.02)


def wait_until_gone(marker: str, seconds: float = 90.0, besides: tuple[str, ...] = ()) -> None:
    """Wait until no process is left but those with one of `besides` in their command line."""
    limit = time.monotonic() + seconds
    while left := {pid: name for pid, name in left_of(marker).items() if not any(part in name for part in besides)}:
        assert time.monotonic() < limit, f"left after {seconds} s: {left}"
        time.sleep(0.1)
