"""How a running study stands, as one bounded JSON object that its live page asks for again and again.

Nothing here grows with the time that a study runs: so many trials are drawn and no more, each of so many points,
and an answer is used again until it has rested five times as long as it took to make.
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import numpy as np

from dashboards.charts.specs import model_colours
from dashboards.charts.thinning import thin
from dashboards.live.follow_study import Follower
from dashboards.live.latest_samples import latest_samples
from dashboards.live.live_status import Epoch, Followed, Look
from dashboards.text import typeset

__all__ = ["Live", "state_of"]

MOST_DRAWN = 40
MOST_POINTS = 200
MOST_RUNNING = 40
MOST_ENDS = 12
MOST_SPEEDS = 120
HOUR = 3_600_000
QUIET = 600_000
"""Milliseconds; after so long without an epoch the page says how long nothing was heard."""
REST = 5.0
OUTCOMES = ("running", "done", "diverged", "failed", "stopped")


class Live:
    """The states of the studies of one store."""

    def __init__(self, follower: Follower) -> None:
        """Read by means of `follower`."""
        self._follower = follower
        self._states: dict[str, tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def state(self, study: str) -> bytes:
        """The state of a study as JSON.

        Raises:
            ReportError: it is unknown, or was never begun.
        """
        with self._lock:
            until, kept = self._states.get(study, (0.0, b""))
            began = time.monotonic()
            if began < until:
                return kept
            made = json.dumps(state_of(self._follower, study), allow_nan=False).encode()
            ended = time.monotonic()
            self._states = {name: entry for name, entry in self._states.items() if entry[0] > ended}
            self._states[study] = (ended + max(0.5, REST * (ended - began)), made)
            return made


def state_of(follower: Follower, study: str, now: int | None = None) -> dict[str, Any]:
    """How the study stands.

    Args:
        follower: reads its store.
        study: its name.
        now: milliseconds since 1970; None takes the clock's.

    Raises:
        ReportError: it is unknown, or was never begun.
    """
    look, now = follower.look(study), now or time.time_ns() // 1_000_000
    running = [trial for trial in look.trials if trial.outcome == "running"]
    ended = sorted((t for t in look.trials if t.outcome not in ("running", "stopped")), key=lambda t: -t.ended)
    drawn = [*running, *(trial for trial in ended if trial.trained)][:MOST_DRAWN]
    epochs = {trial.run_id: follower.epochs(trial) for trial in drawn}
    counts = _counts(look)
    colours = model_colours([*look.models, *sorted({trial.model for trial in look.trials})])
    heard = max([*(e.at for e in chain(*epochs.values())), *(t.ended or t.started for t in look.trials)], default=0)
    phase = _phase(look, running)
    return {
        "study": study,
        "phase": phase,
        "lead": _lead(phase, counts, now - heard if heard else 0),
        "counts": counts,
        "rest": _rest(look, counts, now) if phase in ("running", "quiet") else "",
        "running": [_bar(trial, epochs[trial.run_id], colours) for trial in running[:MOST_RUNNING]],
        "hidden": max(len(running) - MOST_RUNNING, 0),
        "panels": _panels(drawn, epochs, colours),
        "undrawn": sum(trial.trained for trial in look.trials) - len(drawn),
        "speed": _speed(drawn, epochs),
        "ends": [{"id": f"{t.run_id}-{t.ended}", "name": t.name, "outcome": t.outcome} for t in ended[:MOST_ENDS]],
        "samples": latest_samples(follower, ended, colours),
        "updated": datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


def _counts(look: Look) -> dict[str, int | None]:
    counts: dict[str, int | None] = {
        outcome: sum(trial.outcome == outcome for trial in look.trials) for outcome in OUTCOMES
    }
    left = None if look.planned is None else look.planned - len(look.trials) + (counts["stopped"] or 0)
    return counts | {"total": look.planned, "waiting": left}


def _phase(look: Look, running: Sequence[Followed]) -> str:
    if look.status in ("RUNNING", "SCHEDULED"):
        return "running" if running else "quiet"
    return "finished" if look.status == "FINISHED" else "stopped"


def _lead(phase: str, counts: Mapping[str, int | None], silence: int) -> str:
    ended, total = sum(counts[outcome] or 0 for outcome in ("done", "diverged", "failed")), counts["total"]
    noun = "trial" if (total or ended) == 1 else "trials"
    told = f"{ended}{f' of {total}' if total else ''} {noun} {'has' if ended == 1 else 'have'} ended"
    if phase == "running" and silence > QUIET:
        return f"{told}; nothing was heard for {_duration(silence)}: a long epoch, or the study was killed."
    return {
        "running": f"{told}, {counts['running']} running.",
        "quiet": f"{told}; no trial is running: it is between two, or was stopped.",
        "finished": f"The study is finished: {told}.",
        "stopped": f"The study stopped before its end: {told}.",
    }[phase]


def _rest(look: Look, counts: Mapping[str, int | None], now: int) -> str:
    """The pace of the last hour, in words that promise nothing."""
    recent = [t for t in look.trials if t.trained and t.outcome in ("done", "diverged") and t.ended > now - HOUR]
    if len(recent) < 2:
        return "Too few trials have ended lately to say how fast it goes."
    began = max(now - HOUR, min(trial.started for trial in recent))
    pace = len(recent) * HOUR / max(now - began, 1)
    said = f"About {pace:.0f} trials" if pace >= 1.5 else "About 1 trial"
    over = f"{said} an hour over the last {_duration(now - began)}"
    left = (counts["waiting"] or 0) + (counts["running"] or 0)
    if counts["total"] is None or not left:
        return f"{over}."
    return f"{over}; {left} of {counts['total']} are left. Trials differ in length, so the pace may change."


def _duration(milliseconds: int) -> str:
    minutes = milliseconds / 60_000
    if minutes < 1.5:
        return "minute"
    return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def _bar(trial: Followed, epochs: Sequence[Epoch], colours: Mapping[str, str]) -> dict[str, Any]:
    last = epochs[-1] if epochs else None
    number = last.number if last else 0
    speed = last.frames_per_second if last else None
    of = f" of at most {trial.most}" if trial.most else ""
    doing = f"epoch {number}{of}" if number else "no epoch has ended yet"
    if trial.most and number >= trial.most:
        doing += ", being scored"
    pace = f", {speed:,.0f} frames/s" if speed is not None else ""
    return {
        "id": trial.run_id,
        "name": trial.name,
        "colour": colours[trial.model],
        "epoch": min(number, trial.most) if trial.most else None,
        "most": trial.most,
        "text": doing + pace,
    }


def _panels(
    drawn: Sequence[Followed], epochs: Mapping[str, Sequence[Epoch]], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The learning curves by corpus and protocol: nats per frame of one are not those of another."""
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
                "running": trial.outcome == "running",
                "points": [[x, round(y, 4)] for x, y in _thinned(points)],
                "best": max(points, key=lambda point: point[1]),
            }
            panels.setdefault((trial.corpus, trial.protocol), []).append(line)
    return [
        {"title": f"{corpus}, {protocol}", "told": _best(lines), "lines": lines}
        for (corpus, protocol), lines in sorted(panels.items())
    ]


def _best(lines: Sequence[Mapping[str, Any]]) -> str:
    best = max(lines, key=lambda line: line["best"][1])
    epoch, value = best["best"]
    return f"Highest so far: {best['name']}, {typeset(value, '.3f')} after epoch {epoch}, of {len(lines)} drawn."


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST_POINTS` of them, peaks among them."""
    values = np.array([value for _, value in points])
    return [points[position] for position in thin([values], MOST_POINTS)]


def _speed(drawn: Sequence[Followed], epochs: Mapping[str, Sequence[Epoch]]) -> dict[str, Any]:
    """Frames per second of all trials that run at a time, added up, whenever an epoch or a trial ended."""
    running = {trial.run_id for trial in drawn if trial.outcome == "running"}
    events = [
        (epoch.at, trial.run_id, epoch.frames_per_second)
        for trial in drawn
        for epoch in epochs[trial.run_id]
        if epoch.frames_per_second is not None and epoch.at
    ]
    events += [(trial.ended, trial.run_id, 0.0) for trial in drawn if trial.ended]
    latest: dict[str, float] = {}
    points: list[tuple[int, int]] = []
    for at, run_id, speed in sorted(events):
        latest[run_id] = speed
        points.append((at, round(sum(latest.values()))))
    now = [latest[run_id] for run_id in sorted(running) if run_id in latest]
    return {"now": round(sum(now)) if now else None, "trials": len(now), "points": points[-MOST_SPEEDS:]}
