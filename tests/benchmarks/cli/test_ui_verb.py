"""`vrnn-bench ui` as a process: its links answer, its ports are checked, and stopping it leaves no process."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.processes import kill_all, wait_until, wait_until_gone

STUDY = "a study / of two words"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store of one study."""
    place = tmp_path_factory.mktemp("ui")
    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.create_experiment(STUDY, artifact_location=(place / "artifacts").as_uri())
    client.create_run(experiment, tags={"study": STUDY, "role": "study"})
    return place


class Command:
    """The started verb; its output goes to files, so that no pipe can fill up."""

    def __init__(self, place: Path, *arguments: str) -> None:
        self.marker = f"VRNN_BENCH_TEST={uuid.uuid4().hex}"
        self._out, self._err = place / f"{uuid.uuid4().hex}.out", place / f"{uuid.uuid4().hex}.err"
        environment = os.environ | dict([self.marker.split("=")]) | {"OMP_NUM_THREADS": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.cli", "ui", *arguments],
                stdout=out,
                stderr=err,
                cwd=place,
                env=environment | {"PYTHONPATH": str(Path(__file__).parents[3])},
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def links(self) -> dict[str, str]:
        """The address that each line ends with, once all are printed."""
        wait_until(lambda: "Ctrl-C to stop" in self.err or self.process.poll() is not None, 150, "links")
        assert self.process.poll() is None, self.err
        return dict(line.rsplit(": ", 1) for line in self.out.splitlines())


@pytest.fixture
def started(place: Path) -> Iterator[list[Command]]:
    commands: list[Command] = []
    yield commands
    for command in commands:
        kill_all(command.marker)
        command.process.wait()


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def is_closed(url: str) -> bool:
    host, port = url.split("/")[2].split(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) != 0


@pytest.mark.slow
def test_its_links_answer_and_ctrl_c_leaves_nothing(place: Path, started: list[Command]):
    command = Command(place, "--port", "0", "--mlflow-port", "0")
    started.append(command)
    links = command.links()
    assert set(links) == {"studies", f"{STUDY}: report", f"{STUDY}: live", "MLflow"}
    statuses = {name: status_of(url) for name, url in links.items()}
    assert statuses == {"studies": 200, f"{STUDY}: report": 404, f"{STUDY}: live": 200, "MLflow": 200}
    command.process.send_signal(signal.SIGINT)
    assert command.process.wait(60) == 130
    wait_until_gone(command.marker, 5)
    assert all(map(is_closed, links.values()))
    last = "vrnn-bench: ui: stopped; run the same command again to continue"
    assert command.err.splitlines()[-1] == last
    assert not (place / "mlruns").exists()


def test_sigterm_ends_it_without_mlflow_too(place: Path, started: list[Command]):
    command = Command(place, "--port", "0", "--no-mlflow")
    started.append(command)
    links = command.links()
    assert "MLflow" not in links
    assert "<a href" in urllib.request.urlopen(links["studies"]).read().decode()
    command.process.terminate()
    assert command.process.wait(30) == 143
    wait_until_gone(command.marker, 5)
    assert is_closed(links["studies"])


@pytest.mark.parametrize("flag", ["--port", "--mlflow-port"])
def test_a_port_that_is_taken_is_wrong_input(place: Path, capfd: pytest.CaptureFixture[str], flag: str, monkeypatch):
    from benchmarks.cli.entry import main

    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--mlflow-port": "0"} | {flag: port}
        with pytest.raises(SystemExit) as ended:
            main(["ui", *(text for pair in ports.items() for text in pair)])
    assert ended.value.code == 2
    expected = (
        f"vrnn-bench: {flag} {port} on 127.0.0.1: Address already in use; use another port, or 0 for a free one\n"
    )
    assert capfd.readouterr().err == expected


def test_an_address_other_than_loopback_gets_a_warning(place: Path, capfd, monkeypatch):
    from benchmarks.cli.entry import main

    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(SystemExit) as ended:
        main(["ui", "--host", "0.0.0.0", "--port", str(taken.getsockname()[1]), "--no-mlflow"])
    assert ended.value.code == 2
    warning = capfd.readouterr().err.splitlines()[0]
    assert warning.startswith("warning: --host 0.0.0.0: everyone on the network can read the studies")


def test_a_linked_server_is_named_without_its_password():
    from benchmarks.cli.ui_verb import _without_password

    assert _without_password("https://me:secret@mlflow.example:8443/base") == "https://mlflow.example:8443/base"
    assert _without_password("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
