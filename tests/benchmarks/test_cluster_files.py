"""The examples of docs/cluster: valid where their schemas can be had, consistent with one another, and the SLURM script
run for real, with a Ray of its own, under a scheduler that is played."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from benchmarks.cli import study_verbs
from benchmarks.schema.suite import Suite
from benchmarks.suites.suite import load_suite
from tests.benchmarks.small_studies import small_suite, store_at, trial_runs, write_suite
from tests.processes import kill_all, wait_until, wait_until_gone

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "docs" / "cluster"
BIN = Path(sys.executable).parent


class _Known(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class _Auth(_Known):
    mode: Literal["token", "disabled"]


class _Head(_Known):
    ray_start_params: dict[str, str]
    template: dict[str, Any]


class _Workers(_Head):
    group_name: str
    replicas: int
    min_replicas: int
    max_replicas: int


class _RayCluster(_Known):
    ray_version: str
    enable_in_tree_autoscaling: bool
    auth_options: _Auth
    head_group_spec: _Head
    worker_group_specs: list[_Workers]


class _RayJob(_Known):
    """Those fields of KubeRay's RayJob (its API reference, v1.6) that the example uses, so that none is misspelt."""

    entrypoint: str
    submission_mode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    backoff_limit: int
    shutdown_after_job_finishes: bool
    ttl_seconds_after_finished: int
    ray_cluster_spec: _RayCluster


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


@pytest.fixture
def job() -> _RayJob:
    (document,) = documents("rayjob.yaml")
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", "RayJob")
    return _RayJob.model_validate(document["spec"])


@pytest.fixture
def suite() -> Suite:
    return load_suite(CLUSTER / "suite.toml")


def pods(job: _RayJob) -> list[dict[str, Any]]:
    groups = [job.ray_cluster_spec.head_group_spec, *job.ray_cluster_spec.worker_group_specs]
    return [group.template["spec"] for group in groups]


def is_valid(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes_own_objects_are_what_their_schema_says(job: _RayJob) -> None:
    for document in documents("mlflow.yaml"):
        is_valid(document)
    for spec in pods(job):
        is_valid({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec})
    broken = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"container": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        is_valid(broken)


def test_every_mount_has_its_volume_and_every_secret_is_told_how_to_make(job: _RayJob) -> None:
    text = "".join(path.read_text() for path in CLUSTER.glob("*.yaml"))
    deployment = documents("mlflow.yaml")[0]["spec"]["template"]["spec"]
    for spec in [*pods(job), deployment]:
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} == volumes
            for source in container.get("envFrom", []):
                assert f"kubectl create secret generic {source['secretRef']['name']} " in text


def test_the_cluster_runs_the_ray_of_the_lock_and_the_suite_of_the_example(job: _RayJob, suite: Suite) -> None:
    (ray,) = re.findall(r"^ray==(\S+)", (REPOSITORY / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert job.ray_cluster_spec.ray_version == ray
    program, verb, path = job.entrypoint.split()
    head = pods(job)[0]["containers"][0]
    assert (program, verb) == ("vrnn-bench", study_verbs.run.__name__)
    assert Path(path).parent == Path(head["volumeMounts"][0]["mountPath"])
    assert Path(path).name == "suite.toml"
    (service,) = (document for document in documents("mlflow.yaml") if document["kind"] == "Service")
    port = service["spec"]["ports"][0]["port"]
    assert {"name": "MLFLOW_TRACKING_URI", "value": f"http://{service['metadata']['name']}:{port}"} in head["env"]
    (workers,) = job.ray_cluster_spec.worker_group_specs
    limits = workers.template["spec"]["containers"][0]["resources"]["limits"]
    assert suite.resources.cpus_per_worker <= float(limits["cpu"])
    assert suite.resources.gpus_per_worker <= float(limits["nvidia.com/gpu"])
    assert suite.concurrent <= workers.max_replicas


def test_the_container_takes_the_lock_and_all_that_a_checkout_installs() -> None:
    text = (CLUSTER / "Containerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", text, flags=re.MULTILINE) for word in line.split()}
    assert all((REPOSITORY / name).exists() for name in copied)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {"requirements.lock", "pyproject.toml", *packages} <= copied
    assert "--require-hashes -r requirements.lock" in text
    (python,) = re.findall(r"^FROM \S+/python:(\d+\.\d+)", text, flags=re.MULTILINE)
    assert f">={python}" in project["project"]["requires-python"]


PLAYED = {
    "scontrol": '#!/bin/sh\nif [ "$1" = requeue ]; then echo "$2" >> requeued; else echo 127.0.0.1; fi\n',
    "srun": '#!/bin/sh\nexec "$@"\n',
}


@pytest.fixture
def scheduler(tmp_path: Path) -> dict[str, str]:
    """An environment in which the commands of SLURM are played: one node, this one."""
    (tmp_path / "slurm").mkdir()
    for name, text in PLAYED.items():
        (tmp_path / "slurm" / name).write_text(text)
        (tmp_path / "slurm" / name).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return os.environ | {
        "PATH": f"{tmp_path / 'slurm'}:{BIN}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "here",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_ID": "77",
        "RAY_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": store_at(tmp_path),
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_under_slurm_a_study_is_saved_before_the_end_of_its_turn_and_finished_in_the_next(
    scheduler: dict[str, str], ink_shards: Path, tmp_path: Path, no_ray: None
) -> None:
    resources = {"cpus_per_worker": 0.5}
    suite = small_suite(tmp_path, {"ink": ink_shards}, concurrent=2, resources=resources, save_seconds=0.05)
    marker = f"VRNN_BENCH_TEST={uuid.uuid4().hex}"
    environment = scheduler | dict([marker.split("=")])
    command = ["bash", str(CLUSTER / "slurm.sh"), str(write_suite(suite, tmp_path))]
    log = tmp_path / "log.txt"

    def turn() -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            return subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    try:
        first = turn()
        wait_until(lambda: "epoch 1/" in log.read_text() or first.poll() is not None, 240, "a first epoch")
        assert first.poll() is None, log.read_text()
        first.send_signal(signal.SIGTERM)
        assert first.wait(120) == 0, log.read_text()
        assert (tmp_path / "requeued").read_text() == "77\n"
        assert "run the same command again to continue" in log.read_text()
        # A Ray of the study's own would have no dashboard: it is the job's that was used.
        assert "Ray dashboard: " in log.read_text()
        assert {run.info.status for run in trial_runs(tmp_path, "small")} <= {"KILLED", "FINISHED"}
        wait_until_gone(marker)
        assert turn().wait(300) == 0, log.read_text()
        wait_until_gone(marker)
    finally:
        kill_all(marker)
    assert [run.info.status for run in trial_runs(tmp_path, "small")] == ["FINISHED"] * 2
    assert not list(tmp_path.glob(".vrnn-bench*"))
