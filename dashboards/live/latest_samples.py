"""The latest samples of a running study: one of each trial that ended most recently."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from benchmarks.schema.live_status import LiveTrial
from benchmarks.schema.samples import SampleEntry
from benchmarks.store.live_reader import LONGEST_TEXT, LiveReader
from dashboards.errors import ReportError
from dashboards.media.players import ROLES, Sample, drawings

__all__ = ["latest_samples"]

MOST_SAMPLES = 6
MOST_READ = 12
LONGEST_PATH = 30_000
# A sample generated from nothing shows most about the model.
ORDER = ("generated", "continuation", "reconstruction", "real")


def latest_samples(
    reader: LiveReader, newest_first: Sequence[LiveTrial], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One sample of each of the trials that ended most recently and have any, at most `MOST_SAMPLES`.

    Args:
        reader: reads the store.
        newest_first: the trials that ended.
        colours: the colour of each model.
    """
    shown: list[dict[str, Any]] = []
    # Listing samples costs a request to the store per trial, so the number of trials is limited too.
    for trial in [t for t in newest_first if t.trained and t.status == "done"][:MOST_READ]:
        if len(shown) == MOST_SAMPLES:
            break
        entries = reader.samples(trial)
        if entries:
            entry = min(entries, key=lambda entry: ORDER.index(entry.role))
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
