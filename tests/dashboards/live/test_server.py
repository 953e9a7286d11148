"""The server over real HTTP: what it shows and what it refuses."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from benchmarks.schema.samples import SampleList
from dashboards.errors import ReportError
from dashboards.live.server import MOST_THREADS, StudyServer, is_loopback
from dashboards.live.site import Site, study_path
from dashboards.page import policy_of, render
from tests.dashboards.running import RunningStudy, copy_of
from tests.dashboards.studies import HOSTILE_STUDY, HOSTILE_TEXT, sample_entry, speech_samples

BUILT: list[str] = []
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Frame-Options": "DENY",
}


def built(study: str) -> str:
    BUILT.append(study)
    if study == "growing":
        raise ReportError(f"study {study!r} has no finished comparison: <b>run it</b>")
    return render("index.html.j2", {"studies": [], "mlflow": None}, styles=("base",), scripts=("theme",))


@pytest.fixture(scope="module")
def place(empty_store: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    directory = tmp_path_factory.mktemp("served")
    return copy_of(empty_store, directory), directory


@pytest.fixture(scope="module")
def studies(place: tuple[str, Path]) -> dict[str, str]:
    """The run that has samples, by the name of its study; one of them lists files that it must not."""
    runs = {}
    for name in ("growing", "other", HOSTILE_STUDY):
        study = RunningStudy(*place, name=name, keys=["a"])
        texts = dict.fromkeys(("corpus", "model"), HOSTILE_TEXT) if name == HOSTILE_STUDY else {}
        runs[name] = study.begin("a", **texts)
        study.samples(runs[name], speech_samples(1))
        study.client.log_text(runs[name], "secret", "samples/unlisted.json")
        study.client.log_text(runs[name], "secret", "record.json")
        if name == "other":
            files = ("../record.json", "/etc/passwd.json", "absent.json", "page.html")
            listed = SampleList(samples=tuple(sample_entry("pen", "generated", file, "") for file in files))
            study.client.log_text(runs[name], listed.to_bytes().decode(), "samples/samples.json")
            study.client.log_text(runs[name], "<script>", "samples/page.html")
    return runs


@pytest.fixture(scope="module")
def server(place: tuple[str, Path], studies: dict[str, str]) -> Iterator[StudyServer]:
    server = StudyServer(Site(place[0], built, "http://127.0.0.1:5000"))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server: StudyServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body.decode("utf-8", "replace")


def raw(server: StudyServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_start_page_links_every_study(server: StudyServer):
    answer, body = ask(server, "/")
    assert answer.status == 200
    links = re.findall(r'href="(/study/[^"]*)"', body)
    assert set(links) == {study_path(name, "live") for name in ("growing", "other", HOSTILE_STUDY)}
    assert all(ask(server, link)[0].status == 200 for link in links)


@pytest.mark.parametrize("name", ["growing", HOSTILE_STUDY])
def test_a_study_has_its_live_page_and_state(server: StudyServer, name: str):
    answer, body = ask(server, study_path(name, "live"))
    assert answer.status == 200
    assert "connect-src 'self'" in answer.getheader("Content-Security-Policy", "")
    assert f"{policy_of(body)}; frame-ancestors 'none'" == answer.getheader("Content-Security-Policy")
    assert "window.hacked=1<" not in body
    answer, body = ask(server, study_path(name, "state.json"))
    assert answer.getheader("Content-Type") == "application/json"
    assert json.loads(body)["study"] == name


def test_a_listed_sample_is_served(server: StudyServer, studies: dict[str, str]):
    answer, body = ask(server, f"/study/growing/sample/{studies['growing']}/real-0.flac")
    assert (answer.status, answer.getheader("Content-Type")) == (200, "audio/flac")
    assert body.startswith("fLaC")


def test_a_report_is_built_once_until_the_study_changes(server: StudyServer, place: tuple[str, Path]):
    BUILT.clear()
    path = study_path("other", "report")
    assert [ask(server, path)[0].status for _ in range(2)] == [200, 200]
    assert BUILT == ["other"]
    client = MlflowClient(place[0])
    experiment = client.get_experiment_by_name("other")
    assert experiment is not None
    parent = client.search_runs([experiment.experiment_id], "tags.role = 'study'")[0]
    client.set_terminated(parent.info.run_id, "FINISHED")
    assert ask(server, path)[0].status == 200
    assert BUILT == ["other", "other"]


def test_a_report_that_cannot_be_built_says_why(server: StudyServer):
    answer, body = ask(server, "/study/growing/report")
    assert answer.status == 404
    assert "has no finished comparison: &lt;b&gt;run it&lt;/b&gt;" in body


def sample_paths(run: str) -> list[str]:
    files = (
        "unlisted.json",
        "samples.json",
        "record.json",
        "..%2Frecord.json",
        "%2e%2e%2frecord.json",
        "..",
        "real-0.flac%00",
        "%2Fetc%2Fpasswd",
        "real-0.flac/",
        "real%252d0.flac",
    )
    return [f"/study/growing/sample/{run}/{file}" for file in files]


def test_files_that_are_not_listed_are_not_there(server: StudyServer, studies: dict[str, str]):
    for path in sample_paths(studies["growing"]):
        answer, body = ask(server, path)
        assert (path, answer.status) == (path, 404)
        assert "secret" not in body


@pytest.mark.parametrize("file", ["..%2Frecord.json", "%2Fetc%2Fpasswd.json", "absent.json", "page.html"])
def test_a_list_cannot_open_what_is_no_sample(server: StudyServer, studies: dict[str, str], file: str):
    answer, body = ask(server, f"/study/other/sample/{studies['other']}/{file}")
    assert answer.status == 404
    assert "secret" not in body


@pytest.mark.parametrize("run", ["other", "0" * 32, "..", "%2e%2e", "x", "' OR 1=1 --"])
def test_runs_of_elsewhere_are_not_there(server: StudyServer, studies: dict[str, str], run: str):
    run_id = quote(studies.get(run, run), safe="%")
    assert ask(server, f"/study/growing/sample/{run_id}/real-0.flac")[0].status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/study",
        "/study/growing",
        "/study/growing/",
        "/study/growing/live/",
        "/study/growing/liver",
        "/study/nowhere/live",
        "/study/nowhere/state.json",
        "/study/nowhere/report",
        "/study/growing%00/live",
        "/study/%ff/live",
        "/study/../mlflow.db",
        "/study/%2e%2e/live",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/study/growing%2Flive",
        "/mlflow.db",
        "http://127.0.0.1/study/growing/live",
        "*",
    ],
)
def test_every_other_path_is_not_there(server: StudyServer, path: str):
    answer, _ = ask(server, path)
    assert answer.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW"])
def test_only_get_is_answered(server: StudyServer, method: str):
    answer, _ = ask(server, "/", method)
    assert (answer.status, answer.getheader("Allow")) == (405, "GET")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::1", "8.8.8.8"]
)
def test_a_host_that_is_not_ours_is_forbidden(server: StudyServer, host: str):
    answer, body = ask(server, study_path("growing", "state.json"), Host=host)
    assert answer.status == 403
    assert "growing" not in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:9"])
def test_loopback_by_any_name_is_answered(server: StudyServer, host: str):
    assert ask(server, "/", Host=host)[0].status == 200


def test_a_request_without_a_host_or_with_two_is_forbidden(server: StudyServer):
    for hosts in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        assert raw(server, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n").startswith(b"HTTP/1.0 403 ")


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / x y\r\n\r\n"]
)
def test_what_is_no_request_is_refused(server: StudyServer, request_: bytes):
    assert b"the request is malformed" in raw(server, request_)
    assert ask(server, "/")[0].status == 200


def test_every_answer_carries_the_headers(server: StudyServer, studies: dict[str, str]):
    sample = f"/study/growing/sample/{studies['growing']}/real-0.flac"
    for path in ("/", "/study/growing/live", "/study/growing/state.json", "/nowhere", sample):
        answer, _ = ask(server, path)
        assert {name: answer.getheader(name) for name in SAFE} == SAFE
        policy = answer.getheader("Content-Security-Policy", "")
        assert policy.startswith("default-src 'none'")
        assert policy.endswith("frame-ancestors 'none'")
        assert "unsafe" not in policy
    assert ask(server, "/", Host="evil.example")[0].getheader("Content-Security-Policy") is not None


def test_silent_connections_do_not_add_threads_without_bound(server: StudyServer):
    before = threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", server.server_address[1])) for _ in range(2 * MOST_THREADS)]
    closed = [connection for connection in silent[MOST_THREADS:] if connection.recv(1) == b""]
    assert len(closed) == MOST_THREADS
    assert threading.active_count() <= before + MOST_THREADS
    for connection in silent:
        connection.close()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_what_is_loopback(host: str, loopback: bool):
    assert is_loopback(host) is loopback


def test_a_server_for_everybody_admits_addresses_and_its_own_name_but_no_other(server: StudyServer):
    public = StudyServer(server.site, "0.0.0.0")
    named = {
        name: public.admits(name) for name in ("192.0.2.7:80", socket.gethostname(), "evil.example", "[2001:db8::1]")
    }
    public.server_close()
    assert named == {"192.0.2.7:80": True, socket.gethostname(): True, "evil.example": False, "[2001:db8::1]": True}


def test_a_store_that_cannot_be_read_is_said_to_be_so(tmp_path: Path):
    site = Site(f"sqlite:///{tmp_path / 'broken.db'}", built)
    (tmp_path / "broken.db").write_text("not a database")
    for path in ("/", "/study/any/live", "/study/any/state.json", "/study/any/report"):
        answer = site.answer(path)
        assert (path, answer.status) == (path, HTTPStatus.SERVICE_UNAVAILABLE)
        assert b"MLflow cannot be read" in answer.body
