"""The state of a running study, as one JSON object of bounded size that the live page requests repeatedly.

Nothing here grows with the duration of a study: the numbers of drawn trials and of points per trial are limited. An
answer is reused for five times as long as it took to make.
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.schema.live_status import LiveEpoch, LiveStudy, LiveTrial
from benchmarks.schema.samples import SampleEntry
from benchmarks.store.live_reader import LONGEST_TEXT, LiveReader
from dashboards.charts.specs import model_colours
from dashboards.charts.thinning import thin
from dashboards.errors import ReportError
from dashboards.media.players import ROLES, Sample, drawings
from dashboards.text import counted, typeset

__all__ = ["StateCache", "live_state"]

MOST_DRAWN = 40
MOST_POINTS = 200
MOST_RUNNING = 40
MOST_SAMPLES = 6
LONGEST_PATH = 30_000
HOUR = 3_600_000
SILENT = 600_000
"""In milliseconds; after this long without an update the page says so."""


class StateCache:
    """The states of the studies of one store; safe among threads."""

    def __init__(self, reader: LiveReader) -> None:
        """Read states with `reader`."""
        self._reader = reader
        self._states: dict[str, tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def state(self, study: str) -> bytes:
        """The state of a study as JSON.

        Raises:
            StudyError: the study is unknown or was never started, or the store cannot be read.
        """
        # The lock is held while a state is made, so that many open pages cost no more than one.
        with self._lock:
            until, kept = self._states.get(study, (0.0, b""))
            began = time.monotonic()
            if began < until:
                return kept
            made = json.dumps(live_state(self._reader, study), allow_nan=False).encode()
            ended = time.monotonic()
            self._states = {name: entry for name, entry in self._states.items() if entry[0] > ended}
            self._states[study] = (ended + max(0.5, 5 * (ended - began)), made)
            return made


def live_state(reader: LiveReader, study: str, now: int | None = None) -> dict[str, Any]:
    """The state of a study at `now`, in milliseconds since 1970; None takes the clock.

    Raises:
        StudyError: the study is unknown or was never started, or the store cannot be read.
    """
    status, now = reader.study(study), now or time.time_ns() // 1_000_000
    running = [trial for trial in status.trials if trial.status == "running"]
    ended = sorted((t for t in status.trials if t.status not in ("running", "stopped")), key=lambda t: -t.ended)
    drawn = [*running, *(trial for trial in ended if trial.trained)][:MOST_DRAWN]
    epochs = {trial.run_id: reader.epochs(trial) for trial in drawn}
    counts = _counts(status)
    colours = model_colours([*status.models, *sorted({trial.model for trial in status.trials})])
    updates = [*(e.at for e in chain(*epochs.values())), *(t.ended or t.started for t in status.trials)]
    if status.status in ("RUNNING", "SCHEDULED"):
        phase = "running" if running else "idle"
    else:
        phase = "finished" if status.status == "FINISHED" else "stopped"
    return {
        "study": study,
        "phase": phase,
        "lead": _lead(phase, counts, now - max(updates, default=now)),
        "counts": counts,
        "pace": _pace(status, counts, now) if phase in ("running", "idle") else "",
        "running": [_progress(trial, epochs[trial.run_id], colours) for trial in running[:MOST_RUNNING]],
        "hidden": max(len(running) - MOST_RUNNING, 0),
        "panels": _panels(drawn, epochs, colours),
        "undrawn": sum(trial.trained for trial in status.trials) - len(drawn),
        "speed": _speed(drawn, epochs),
        "ends": [{"id": f"{t.run_id}-{t.ended}", "name": t.name, "status": t.status} for t in ended[:12]],
        "samples": _latest_samples(reader, ended, colours),
        "updated": datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


def _counts(status: LiveStudy) -> dict[str, int | None]:
    statuses = ("running", "done", "diverged", "failed", "stopped")
    counts: dict[str, int | None] = {name: sum(t.status == name for t in status.trials) for name in statuses}
    # A stopped trial waits for the next run of the study.
    waiting = None if status.planned is None else status.planned - len(status.trials) + (counts["stopped"] or 0)
    return counts | {"total": status.planned, "waiting": waiting}


def _lead(phase: str, counts: Mapping[str, int | None], silence: int) -> str:
    ended, total = sum(counts[name] or 0 for name in ("done", "diverged", "failed")), counts["total"]
    noun = "trial" if (total or ended) == 1 else "trials"
    progress = f"{ended}{f' of {total}' if total else ''} {noun} {'has' if ended == 1 else 'have'} ended"
    if phase == "running" and silence > SILENT:
        return f"{progress}. No update for {_duration(silence)}: an epoch takes long, or the study was killed."
    return {
        "running": f"{progress}, {counts['running']} running.",
        "idle": f"{progress}. No trial is running: the next one is about to start, or the study was stopped.",
        "finished": f"The study is finished: {progress}.",
        "stopped": f"The study stopped early: {progress}.",
    }[phase]


def _pace(status: LiveStudy, counts: Mapping[str, int | None], now: int) -> str:
    """The pace of the last hour at most."""
    recent = [t for t in status.trials if t.trained and t.status in ("done", "diverged") and t.ended > now - HOUR]
    if len(recent) < 2:
        return "Too few trials ended in the last hour to estimate the pace."
    # A study that started less than an hour ago is measured from its start.
    began = max(now - HOUR, min(trial.started for trial in recent))
    per_hour = len(recent) * HOUR / max(now - began, 1)
    text = f"About {counted(max(1, round(per_hour)), 'trial')} per hour over the last {_duration(now - began)}"
    left = (counts["waiting"] or 0) + (counts["running"] or 0)
    if counts["total"] is None or not left:
        return f"{text}."
    return f"{text}; {left} of {counts['total']} are left. Trials differ in length, so the pace may change."


def _duration(milliseconds: int) -> str:
    minutes = milliseconds / 60_000
    if minutes < 1.5:
        return "minute"
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def _progress(trial: LiveTrial, epochs: Sequence[LiveEpoch], colours: Mapping[str, str]) -> dict[str, Any]:
    """A running trial with its progress bar."""
    last = epochs[-1] if epochs else None
    number = last.number if last else 0
    of = f" of at most {trial.max_epochs}" if trial.max_epochs else ""
    text = f"epoch {number}{of}" if number else "no epoch has ended yet"
    # After its last epoch a trial still has to be scored.
    if trial.max_epochs and number >= trial.max_epochs:
        text += ", being scored"
    if last and last.frames_per_second is not None:
        text += f", {last.frames_per_second:,.0f} frames/s"
    return {
        "id": trial.run_id,
        "name": trial.name,
        "colour": colours[trial.model],
        "epoch": min(number, trial.max_epochs) if trial.max_epochs else None,
        "most": trial.max_epochs,
        "text": text,
    }


def _panels(
    drawn: Sequence[LiveTrial], epochs: Mapping[str, Sequence[LiveEpoch]], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The learning curves by corpus and protocol, because nats per frame compare only within one."""
    models = list(colours)
    panels: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for trial in drawn:
        points = [(e.number, e.valid) for e in epochs[trial.run_id] if e.valid is not None and math.isfinite(e.valid)]
        if points:
            line = {
                "id": trial.run_id,
                "name": f"{trial.model}, seed {trial.seed}",
                "model": trial.model,
                "colour": colours[trial.model],
                "dash": models.index(trial.model),
                "running": trial.status == "running",
                "points": [[x, round(y, 4)] for x, y in _thinned(points)],
                "best": max(points, key=lambda point: point[1]),
            }
            panels.setdefault((trial.corpus, trial.protocol), []).append(line)
    shown: list[dict[str, Any]] = []
    for (corpus, protocol), lines in sorted(panels.items()):
        best = max(lines, key=lambda line: line["best"][1])
        epoch, value = best["best"]
        sentence = f"Best of {counted(len(lines), 'curve')}: {best['name']}, {typeset(value, '.3f')} at epoch {epoch}."
        shown.append({"title": f"{corpus}, {protocol}", "sentence": sentence, "lines": lines})
    return shown


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST_POINTS` of the points, including the peaks."""
    values = np.array([value for _, value in points])
    return [points[position] for position in thin([values], MOST_POINTS)]


def _speed(drawn: Sequence[LiveTrial], epochs: Mapping[str, Sequence[LiveEpoch]]) -> dict[str, Any]:
    """Frames per second summed over the trials that run at the same time, at each end of an epoch or a trial."""
    running = {trial.run_id for trial in drawn if trial.status == "running"}
    events = [
        (epoch.at, trial.run_id, epoch.frames_per_second)
        for trial in drawn
        for epoch in epochs[trial.run_id]
        if epoch.frames_per_second is not None and epoch.at
    ]
    # A trial that ended no longer adds to the sum.
    events += [(trial.ended, trial.run_id, 0.0) for trial in drawn if trial.ended]
    latest: dict[str, float] = {}
    # Each event replaces the speed of one trial; the sum over all trials is the speed at that time.
    points: list[tuple[int, int]] = []
    for at, run_id, speed in sorted(events):
        latest[run_id] = speed
        points.append((at, round(sum(latest.values()))))
    now = [latest[run_id] for run_id in sorted(running) if run_id in latest]
    return {"now": round(sum(now)) if now else None, "trials": len(now), "points": points[-120:]}


def _latest_samples(
    reader: LiveReader, newest_first: Sequence[LiveTrial], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One sample of each of the trials that ended most recently and have any, at most `MOST_SAMPLES`."""
    # A sample generated from nothing shows most about the model.
    order = ("generated", "continuation", "reconstruction", "real")
    shown: list[dict[str, Any]] = []
    # Listing samples costs a request to the store per trial, so the number of trials is limited too.
    for trial in [t for t in newest_first if t.trained and t.status == "done"][: 2 * MOST_SAMPLES]:
        if len(shown) == MOST_SAMPLES:
            break
        entries = reader.samples(trial)
        if entries:
            entry = min(entries, key=lambda entry: order.index(entry.role))
            shown.append(_shown(reader, trial, entry) | {"colour": colours[trial.model]})
    return shown


def _shown(reader: LiveReader, trial: LiveTrial, entry: SampleEntry) -> dict[str, Any]:
    common = {
        "id": trial.run_id,
        "trial": trial.name,
        "role": ROLES[entry.role],
        "caption": entry.caption[:LONGEST_TEXT],
        "kind": entry.kind,
    }
    if entry.kind == "speech":
        return common | {"url": f"sample/{trial.run_id}/{quote(entry.file, safe='')}"}
    try:
        content = reader.drawing(trial, entry.file)
        drawing = drawings([Sample(entry.file, "pen", entry.role, "", content)])[0]
    except ReportError:
        return common | {"path": "", "box": "0 0 1 1"}
    # The page says that a path without content is too large.
    path = drawing.path if len(drawing.path) <= LONGEST_PATH else ""
    return common | {"path": path, "box": f"0 0 {drawing.width} {drawing.height}"}
