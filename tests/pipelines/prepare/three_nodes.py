"""Run by a test as a process of its own: prepare on a cluster of three nodes that loses one midway.

Arguments: raw, out, and the file that a JSON object is written to (Ray itself speaks on stdout).
"""

import json
import sys
import threading
import time
from functools import partial
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from pipelines.prepare.driver import PrepareOptions, prepare
from pipelines.prepare.ray_runner import run_on_ray
from pipelines.runtime.storage import Location


def lose_a_node(cluster: Cluster, out: Path, facts: dict[str, object]) -> None:
    """Wait until shards appear and take a node away, its workers with it."""
    while len(list(out.glob("*-of-*.parquet"))) < 3:
        time.sleep(0.02)
    facts["done_when_the_node_was_lost"] = len(list(out.glob("*-of-*.parquet")))
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)


def alive() -> int:
    return sum(node["Alive"] for node in ray.nodes())


def main(raw: str, out: str, result: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    facts: dict[str, object] = {"nodes_at_start": alive()}
    loss = threading.Thread(target=lose_a_node, args=(cluster, Path(out), facts))
    loss.start()
    options = PrepareOptions(workers=3, shard_bytes=1)
    run_tasks = partial(run_on_ray, address=cluster.address)
    done = prepare("timit", Location(raw), Location(out), options, run_tasks=run_tasks)
    loss.join()
    limit = time.monotonic() + 60
    while alive() == 3 and time.monotonic() < limit:
        time.sleep(0.2)
    facts |= {"fingerprint": done.manifest.fingerprint, "rejects": done.manifest.rejects, "nodes_at_end": alive()}
    Path(result).write_text(json.dumps(facts))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
