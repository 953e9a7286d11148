"""The cost of the driver of `prepare`, from a hundred items to a million.

The sources are simulated: a list of items of about 100 kB, without files. Everything that the driver does is real: the
plan, the keys of tasks, the markers of an earlier run, the reports, the index, the fingerprint, the moments and the
manifest. The work of the workers runs in the same process and its time is subtracted: it writes real shards, whose rows
have a few samples. Each task is pickled, as if it were sent to a worker. Times are processor times, without other work
and waiting for the disk. Each size runs in a process of its own, since the peak memory of a process never falls.

    python -m benchmarks.speed.driver_cost ITEMS
"""

import hashlib
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.corpora import CORPORA
from pipelines.corpora.base import Listing, Options, SourceItem
from pipelines.corpora.splits import split_three_ways
from pipelines.prepare.driver import PrepareOptions, prepare
from pipelines.prepare.shard_task import ShardReport, ShardTask, run_shard_task
from pipelines.runtime.storage import FoundFile, Location
from pipelines.shards.columns import Row, make_row
from pipelines.signals import Kind

__all__ = ["exponent", "measure_scale", "scale_case"]

_ITEM_BYTES = 100_000
_ITEMS_PER_SPEAKER = 200
_STATUS = Path("/proc/self/status")
_SAMPLES = np.arange(8, dtype=np.int16)


class _Simulated:
    """An adapter that lists sources that do not exist."""

    name = "simulated"
    kind: Kind = "speech"
    sample_rate: int | None = 16_000
    options: Options = {}  # noqa: RUF012 (a read-only Mapping)
    licence = "none"
    url = ""

    def __init__(self, items: int) -> None:
        self._items = items

    def list_items(self, raw: Location, options: Options) -> Listing:
        """List the requested number of items."""
        items: list[SourceItem] = []
        for number in range(self._items):
            speaker = f"speaker{number // _ITEMS_PER_SPEAKER:06d}"
            name = f"{speaker}/{number:08d}"
            file = FoundFile(f"{name}.wav", _ITEM_BYTES + number * 7919 % 1000, number)
            items.append(SourceItem(name, file, "train", speaker, speaker, transcript=f"text {number}"))
        return split_three_ways(items, "by speaker")


def _rows(task: ShardTask, item: SourceItem) -> Iterator[Row]:
    yield make_row(item, _SAMPLES, hashlib.sha256(item.id.encode()).hexdigest())


class _Workers:
    """Runs the tasks in this process and adds up the time that they take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, tasks: list[ShardTask], workers: int) -> Iterator[ShardReport]:
        for task in tasks:
            sent = pickle.dumps(task)
            start = time.process_time()
            report = run_shard_task(pickle.loads(sent), _rows)  # noqa: S301 (our own bytes)
            self.seconds += time.process_time() - start
            yield report


def measure_scale(items: int) -> dict[str, float]:
    """Prepare simulated items in this process, and then again with nothing left to do."""
    before, workers = _peak_bytes(), _Workers()
    CORPORA[_Simulated.name] = _Simulated(items)
    try:
        with tempfile.TemporaryDirectory() as directory:
            raw, out = Path(directory) / "raw", Path(directory) / "out"
            raw.mkdir()
            seconds = _seconds(raw, out, workers)
            peak = _peak_bytes()
            again = _seconds(raw, out, workers)
    finally:
        del CORPORA[_Simulated.name]
    return {
        "items": items,
        "driver_seconds": seconds - workers.seconds,
        "worker_seconds": workers.seconds,
        "again_seconds": again,
        "driver_bytes": peak - before,
    }


def _seconds(raw: Path, out: Path, workers: _Workers) -> float:
    start = time.process_time()
    prepare("simulated", Location(str(raw)), Location(str(out)), PrepareOptions(), run_tasks=workers)
    return time.process_time() - start


def _peak_bytes() -> int:
    """The peak memory of this process; the one from `getrusage` includes the parent's before the fork."""
    if _STATUS.is_file():
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def scale_case(sizes: Sequence[int]) -> dict[str, Any]:
    """The cost of the driver at each size, and the exponents of its growth: 1 is linear."""
    runs: list[dict[str, float]] = []
    for items in sizes:
        command = [sys.executable, "-m", "benchmarks.speed.driver_cost", str(items)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 (this very module)
        runs.append(json.loads(done.stdout))
    for run in runs:
        run["items_per_second"] = run["items"] / run["driver_seconds"]
        run["bytes_per_item"] = run["driver_bytes"] / run["items"]
    return {
        "name": "scale",
        "runs": runs,
        "exponents": {
            name: exponent([run["items"] for run in runs], [run[name] for run in runs])
            for name in ("driver_seconds", "again_seconds", "driver_bytes")
        },
    }


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """The exponent of growth: the slope of log cost over log size, from the three largest sizes.

    At smaller sizes, the fixed cost of a process hides the growth.
    """
    known = [(size, cost) for size, cost in zip(sizes, costs, strict=True) if size > 0 and cost > 0][-3:]
    if len(known) < 2:
        return None
    x, y = np.log(np.array(known)).T
    return float(np.polyfit(x, y, 1)[0])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_scale(int(sys.argv[1]))) + "\n")
