"""Run by a test as a process of its own: prepare, one source a shard, on a Ray of two workers. Arguments: raw, out."""

import json
import sys

from pipelines.cluster import run_on_ray
from pipelines.prepare import PrepareOptions, prepare
from pipelines.storage import Location

if __name__ == "__main__":
    options = PrepareOptions(workers=2, shard_bytes=1)
    done = prepare("timit", Location(sys.argv[1]), Location(sys.argv[2]), options, run_tasks=run_on_ray)
    print(json.dumps({"fingerprint": done.manifest.fingerprint, "skipped": done.skipped}))  # noqa: T201
