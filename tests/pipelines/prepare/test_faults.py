"""Workers, drivers and nodes that die: real processes, real Ray, the installed command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.runtime.storage import TEMPORARY_MARK, Location
from pipelines.shards.read import ShardSet
from tests.conftest import prepare_here
from tests.pipelines.prepare.test_driver import contents
from tests.pipelines.sound_files import sphere, tone
from tests.processes import descendants, name_of
from tests.saboteur import sitecustomize as saboteur

SABOTEUR = Path(saboteur.__file__).parent


def write_raw(root: Path, sources: dict[str, Any]) -> Path:
    for name, samples in sources.items():
        path = root / "TRAIN" / "DR1" / name / "SX1.WAV"
        path.parent.mkdir(parents=True)
        path.write_bytes(sphere(samples))
    return root


def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(SABOTEUR),
        "SABOTEUR": "1",
        "SABOTEUR_TRACE": str(tmp_path / "trace"),
        "OMP_NUM_THREADS": "1",
    }


def start(raw: Path, out: Path, tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [Path(sys.executable).parent / "vrnn-bench", "prepare", "timit", "--raw", raw, "--out", out, "--json"]
    return subprocess.Popen(
        [str(part) for part in (*command, "--workers", 2, *arguments)],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out)


def test_sources_that_kill_or_stall_their_worker_are_rejected_and_the_rest_of_their_shard_is_written(
    tmp_path: Path,
) -> None:
    raw = write_raw(
        tmp_path / "raw",
        {
            "FAAA0": tone(3000),
            "FBBB0": saboteur.marked(saboteur.KILLER),
            "FCCC0": tone(3500),
            "FDDD0": saboteur.marked(saboteur.SLEEPER),
            "FEEE0": saboteur.marked(saboteur.ONCE),
            "FFFF0": tone(4000),
        },
    )
    summary = finish(start(raw, tmp_path / "out", tmp_path, "--source-seconds", 2))
    assert summary["rejects"] == {"crashed": 1, "timed_out": 1}
    assert sum(summary["sequences"].values()) == 4
    shards = ShardSet(Location(str(tmp_path / "out")))
    assert set(shards.rejects()["id"]) == {"fbbb0-sx1", "fddd0-sx1"}
    assert "feee0-sx1" in set(shards.index["id"]), "a source that was there when its worker died is not to blame"
    shards.verify()
    assert not [name for name in contents(tmp_path / "out") if TEMPORARY_MARK in name]


def slow_raw(tmp_path: Path, count: int = 10) -> Path:
    names = [f"F{chr(65 + number // 26)}{chr(65 + number % 26)}A0" for number in range(count)]
    sources = {name: saboteur.marked(saboteur.SLOW, 2000 + 10 * n) for n, name in enumerate(names)}
    return write_raw(tmp_path / "raw", sources)


def wait_for_shards(out: Path, count: int) -> None:
    limit = time.monotonic() + 120
    while len(list(out.glob("*-of-*.parquet"))) < count:
        assert time.monotonic() < limit, "no shard appeared"
        time.sleep(0.02)


def busy_worker(driver: int) -> int | None:
    for process in descendants(driver):
        if "ray::run_with_time_limit" in name_of(process):
            return process
    return None


@pytest.mark.slow
def test_a_killed_worker_costs_a_second_attempt_and_nothing_else(tmp_path: Path) -> None:
    raw, out = slow_raw(tmp_path), tmp_path / "out"
    undisturbed = prepare_here("timit", raw, tmp_path / "undisturbed", shard_bytes=1024)
    process = start(raw, out, tmp_path, "--shard-mib", 1)
    limit = time.monotonic() + 120
    while not (worker := busy_worker(process.pid)):
        assert time.monotonic() < limit, "no worker appeared"
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)
    summary = finish(process)
    assert summary["fingerprint"] == undisturbed.manifest.fingerprint
    assert summary["rejects"] == {}


@pytest.mark.slow
def test_a_killed_driver_leaves_no_worker_and_the_same_command_finishes(tmp_path: Path) -> None:
    raw, out = slow_raw(tmp_path, 24), tmp_path / "out"
    undisturbed = prepare_here("timit", raw, tmp_path / "undisturbed").manifest.fingerprint
    script = Path(__file__).parent / "small_shards.py"
    first = _run_script(script, raw, out, tmp_path)
    wait_for_shards(out, 3)
    processes = [first.pid, *descendants(first.pid)]
    first.kill()
    first.wait()
    _assert_gone(processes)
    done = _result(_run_script(script, raw, out, tmp_path), tmp_path)
    assert done["fingerprint"] == undisturbed
    assert done["skipped"] >= 3
    assert not [name for name in contents(out) if TEMPORARY_MARK in name]


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_midway_gives_the_same_fingerprint(tmp_path: Path) -> None:
    raw, out = slow_raw(tmp_path, 24), tmp_path / "out"
    undisturbed = prepare_here("timit", raw, tmp_path / "undisturbed").manifest.fingerprint
    script = Path(__file__).parent / "three_nodes.py"
    done = _result(_run_script(script, raw, out, tmp_path), tmp_path)
    assert done["nodes_at_start"] == 3
    assert done["nodes_at_end"] == 2
    assert done["done_when_the_node_was_lost"] < 24
    assert done["fingerprint"] == undisturbed
    assert done["rejects"] == {}


def _run_script(script: Path, *arguments: Path) -> subprocess.Popen[str]:
    raw, out, tmp_path = arguments
    root = str(Path(__file__).parents[3])
    return subprocess.Popen(
        [sys.executable, str(script), str(raw), str(out), str(tmp_path / "result.json")],
        env=environment(tmp_path) | {"PYTHONPATH": f"{SABOTEUR}{os.pathsep}{root}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _result(process: subprocess.Popen[str], tmp_path: Path) -> dict[str, Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"{out[-2000:]}{err[-2000:]}"
    return json.loads((tmp_path / "result.json").read_text())


def _assert_gone(processes: list[int]) -> None:
    """All but Ray's two agents, which look for their parent once in a while and are gone within minutes."""
    limit = time.monotonic() + 30
    while alive := [process for process in processes if _is_alive(process) and "Agent" not in name_of(process)]:
        assert time.monotonic() < limit, f"left: {[name_of(process) for process in alive]}"
        time.sleep(0.1)


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
