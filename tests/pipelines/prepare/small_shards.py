"""Run by a test as a process of its own: prepare, one source a shard, on a Ray of two workers.

Arguments: raw, out, and the file that a JSON object is written to.
"""

import json
import sys
from pathlib import Path

from pipelines.prepare.driver import PrepareOptions, prepare
from pipelines.prepare.ray_runner import run_on_ray
from pipelines.runtime.storage import Location

if __name__ == "__main__":
    options = PrepareOptions(workers=2, shard_bytes=1)
    done = prepare("timit", Location(sys.argv[1]), Location(sys.argv[2]), options, run_tasks=run_on_ray)
    facts = {"fingerprint": done.manifest.fingerprint, "skipped": done.skipped}
    Path(sys.argv[3]).write_text(json.dumps(facts))
