"""The latest samples of a running study: what the trials that ended last make, to be heard or seen at once."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dashboards.errors import ReportError
from dashboards.live.follow_study import LONGEST_TEXT, Follower
from dashboards.live.live_status import Followed
from dashboards.media.players import drawings
from dashboards.report.study_record import ROLES, Sample

__all__ = ["latest_samples"]

MOST_SAMPLES = 6
MOST_ASKED = 12
LONGEST_PATH = 30_000
_ORDER = ("generated", "continuation", "reconstruction", "real")


def latest_samples(
    follower: Follower, newest_first: Sequence[Followed], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One sample of each of the trials that ended last and have any, at most `MOST_SAMPLES`.

    Args:
        follower: reads the store.
        newest_first: the trials that ended.
        colours: the colour of each model.
    """
    shown: list[dict[str, Any]] = []
    for trial in [t for t in newest_first if t.trained and t.outcome == "done"][:MOST_ASKED]:
        if len(shown) == MOST_SAMPLES:
            break
        entry = _chosen(follower.listing(trial))
        if entry is not None:
            shown.append(_shown(follower, trial, entry) | {"colour": colours[trial.model]})
    return shown


def _chosen(listing: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one that says most of the model: made from nothing, before what continues or repeats a recording."""
    known = [e for e in listing if e.get("role") in _ORDER and e.get("kind") in ("speech", "pen") and "file" in e]
    return min(known, key=lambda entry: _ORDER.index(entry["role"]), default=None)


def _shown(follower: Follower, trial: Followed, entry: Mapping[str, Any]) -> dict[str, Any]:
    file = str(entry["file"])
    common = {
        "id": trial.run_id,
        "trial": trial.name,
        "role": ROLES[entry["role"]],
        "caption": str(entry.get("caption", ""))[:LONGEST_TEXT],
        "kind": entry["kind"],
    }
    if entry["kind"] == "speech":
        return common | {"url": f"sample/{trial.run_id}/{quote(file, safe='')}"}
    return common | _drawn(follower, trial, file)


def _drawn(follower: Follower, trial: Followed, file: str) -> dict[str, Any]:
    try:
        content = follower.drawing(trial, file)
        drawing = drawings([Sample(file, "pen", "generated", "", content)])[0]
    except ReportError:
        return {"path": "", "box": "0 0 1 1"}
    path = drawing.path if len(drawing.path) <= LONGEST_PATH else ""
    return {"path": path, "box": f"0 0 {drawing.width} {drawing.height}"}
