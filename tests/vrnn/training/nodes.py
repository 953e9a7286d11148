"""Run by a test as a process of its own: a training run on a cluster that loses nodes, and gains them.

Arguments: the script (`lost` or `elastic`), the spec's file, out, and the file that a JSON object is written to (Ray
itself speaks on stdout). The driver's node has no room for workers. Nodes come and go in the main thread, where Ray
starts them, and the run is in another.
"""

import json
import math
import sys
import threading
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from pipelines.runtime.storage import Location
from tests.processes import wait_until
from vrnn.errors import CheckpointError
from vrnn.training import TrialSpec, load_checkpoint
from vrnn.training.checkpoints import LAST, CheckpointPolicy
from vrnn.training.epoch_metrics import EpochRecord
from vrnn.training.ray_train import train_with_ray
from vrnn.training.resources import Resources

ENOUGH_EPOCHS = 3


def step_of(out: Path) -> int:
    try:
        return load_checkpoint(Location(str(out / LAST))).state.step
    except CheckpointError:
        return 0


def wait_for_steps(out: Path, more: int) -> None:
    before = step_of(out)
    wait_until(lambda: step_of(out) >= before + more, 240, f"{more} steps more than {before}")


def lose_a_node(cluster: Cluster, out: Path, facts: dict[str, Any]) -> None:
    """Take a node away, its worker with it, and give another one in its place."""
    wait_for_steps(out, 3)
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    facts["step_when_the_node_was_lost"] = step_of(out)
    cluster.add_node(num_cpus=1)


def lose_and_regain(cluster: Cluster, out: Path, facts: dict[str, Any]) -> None:
    """Take a node away, let the run continue without it, and give one back."""
    wait_for_steps(out, 3)
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
    facts["step_when_the_node_was_lost"] = step_of(out)
    wait_for_steps(out, 20)
    facts["step_when_a_node_was_given"] = step_of(out)
    cluster.add_node(num_cpus=1)


def main(script: str, spec: str, out: str, result: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    facts: dict[str, Any] = {}
    epochs: list[EpochRecord] = []
    play, resources = {
        "lost": (lose_a_node, Resources(workers=2)),
        "elastic": (lose_and_regain, Resources(elastic=(1, 2))),
    }[script]

    def regained() -> bool:
        given = facts.get("step_when_a_node_was_given", math.inf)
        return sum(record.step > given and record.workers == 2 for record in epochs) >= ENOUGH_EPOCHS

    def run() -> None:
        done = train_with_ray(
            TrialSpec.model_validate_json(Path(spec).read_text()),
            Location(out),
            resources,
            on_epoch=epochs.append,
            policy=CheckpointPolicy(seconds=0.01),
            stop=regained,
        )
        facts["finished"] = done.state.finished

    # A daemon, which the end of a script that failed does not wait for.
    training = threading.Thread(target=run, daemon=True)
    training.start()
    play(cluster, Path(out), facts)
    training.join()
    Path(result).write_text(json.dumps(facts))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
