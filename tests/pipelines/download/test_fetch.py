"""Downloads against a real server on loopback."""

import hashlib
import io
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.cli.entry import main
from pipelines.download import transfer
from pipelines.download.fetch import Part, Source, choose_parts, fetch_archive, find_source, is_unpacked, unpack
from pipelines.download.transfer import download_file
from pipelines.errors import InputError
from tests.pipelines.download.packing import tar


@dataclass
class Site:
    """The server's files, its behaviour, and the requests that it received.

    Attributes:
        files: content by path.
        drops: number of bytes after which each of the next responses breaks off.
        statuses: statuses of the next responses, instead of success.
        ranges: whether ranges are supported.
        etag: the ETag, or None.
        shift: how many bytes before the requested range a response begins.
        asked: (Range, If-Range) of each request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    shift: int = 0
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, asked = self.site, self.headers.get("Range")
        site.asked.append((asked, self.headers.get("If-Range")))
        content = site.files.get(self.path)
        if content is None or site.statuses:
            self.send_error(site.statuses.pop(0) if site.statuses else 404)
            return
        start = self._start(asked)
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self._send(content, start)

    def _start(self, asked: str | None) -> int:
        unchanged = self.headers.get("If-Range") in {None, self.site.etag}
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        return int(match[1]) - self.site.shift if match and self.site.ranges and unchanged else 0

    def _send(self, content: bytes, start: int) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.site.etag:
            self.send_header("ETag", self.site.etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.site.drops.pop(0) if self.site.drops else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(transfer, "_WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"site": state}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


CONTENT = bytes(range(256)) * 40


def silent(done: int, total: int) -> None:
    pass


def a_part(site: Site, content: bytes, file: str = "set.tar.gz") -> Part:
    site.files[f"/{file}"] = content
    return Part("set", file, hashlib.sha256(content).hexdigest())


def test_an_interrupted_response_is_resumed_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.files["/a"] = CONTENT
    site.drops = [1000, 2000]
    progress: list[tuple[int, int]] = []
    download_file(f"{site.url}/a", tmp_path / "a.part", lambda done, total: progress.append((done, total)))
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert site.asked == [(None, None), ("bytes=1000-", '"one"'), ("bytes=3000-", '"one"')]
    assert progress == [(1000, 10240), (3000, 10240), (10240, 10240)]


def test_a_later_run_resumes_the_part_of_an_earlier_one(site: Site, tmp_path: Path) -> None:
    site.files["/a"] = CONTENT
    site.drops = [1000, 0, 0, 0]
    with pytest.raises(OSError, match="resumes at 1000 bytes") as caught:
        download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert "\n" not in str(caught.value)
    site.asked.clear()
    download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert site.asked == [("bytes=1000-", '"one"')]


def test_a_file_that_has_changed_is_downloaded_again(site: Site, tmp_path: Path) -> None:
    site.files["/a"] = b"x" * 5000
    site.drops = [1000, 0, 0, 0]
    with pytest.raises(OSError, match="attempts failed"):
        download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    site.files["/a"], site.etag = CONTENT, '"two"'
    download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert (tmp_path / "a.part").read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', None])
def test_with_a_server_that_ignores_ranges_the_download_starts_again(
    site: Site, tmp_path: Path, etag: str | None
) -> None:
    site.files["/a"] = CONTENT
    site.ranges, site.etag, site.drops = False, etag, [1000]
    download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert site.asked[1] == ("bytes=1000-", etag if etag == '"one"' else None)


def test_after_another_range_than_the_requested_one_the_download_starts_again(site: Site, tmp_path: Path) -> None:
    site.files["/a"] = CONTENT
    site.drops, site.shift = [1000], 10
    download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert [asked for asked, _ in site.asked] == [None, "bytes=1000-", None]


@pytest.mark.parametrize(("held", "requests"), [(len(CONTENT), 1), (len(CONTENT) + 5, 2)])
def test_a_complete_part_is_kept_and_one_that_is_too_long_is_not(
    site: Site, tmp_path: Path, held: int, requests: int
) -> None:
    site.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes((CONTENT + b"extra")[:held])
    download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert (tmp_path / "a.part").read_bytes() == CONTENT
    assert len(site.asked) == requests


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(site: Site, tmp_path: Path) -> None:
    site.files["/a"] = CONTENT
    site.statuses = [503, 429]
    download_file(f"{site.url}/a", tmp_path / "a.part", silent)
    assert len(site.asked) == 3
    with pytest.raises(InputError, match="HTTP status 404"):
        download_file(f"{site.url}/b", tmp_path / "b.part", silent)
    assert len(site.asked) == 4


def test_a_server_that_does_not_exist_is_an_error_after_a_few_attempts(site: Site, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"4 attempts failed, the last by .*refused"):
        download_file("http://127.0.0.1:9/a", tmp_path / "a.part", silent)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a", "/etc/passwd", "https:///a"])
def test_only_http_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not an address"):
        download_file(url, tmp_path / "a.part", silent)


def test_the_table_is_complete() -> None:
    for name in ("librispeech", "ljspeech", "vctk"):
        source = find_source(name)
        assert choose_parts(source, ())
        for part in source.parts.values():
            assert re.fullmatch("[0-9a-f]{64}", part.sha256)
            assert part.file.startswith(part.name)
    assert len(find_source("librispeech").parts) == 7


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(site: Site, tmp_path: Path) -> None:
    part = Part("set", a_part(site, tar({"a": b"x"})).file, "0" * 64)
    with pytest.raises(InputError, match="SHA-256 differs"):
        fetch_archive(part, tmp_path, site.url, silent)
    assert not list(tmp_path.iterdir())


def test_an_archive_is_fetched_verified_and_unpacked_and_what_is_verified_is_not_fetched_again(
    site: Site, tmp_path: Path
) -> None:
    part = a_part(site, tar({"a.txt": b"x"}))
    archive = fetch_archive(part, tmp_path, site.url, silent)
    assert fetch_archive(part, tmp_path, site.url, silent) == archive
    assert len(site.asked) == 1
    assert not is_unpacked(part, tmp_path)
    unpack(part, archive, tmp_path, silent)
    assert is_unpacked(part, tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["set", "set/a.txt"]


@pytest.fixture
def published(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    part = a_part(site, tar({"a.txt": CONTENT}))
    source = Source("toy", "CC0", "https://example.org/toy", site.url, ("set",), {"set": part})
    monkeypatch.setattr("pipelines.download.fetch._sources", lambda: {"toy": source})
    return site


def status(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stdin", [io.StringIO("yes\n"), Terminal("no\n"), Terminal("")])
def test_without_an_accepted_licence_no_request_is_sent(
    published: Site, tmp_path: Path, stdin: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    assert status("download", "toy", "--out", tmp_path / "raw") == 2
    assert "the licence of toy is not accepted" in capsys.readouterr().err
    assert not published.asked
    assert not (tmp_path / "raw").exists()


def test_typing_yes_at_a_terminal_accepts(published: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert status("download", "toy", "--out", tmp_path) == 0
    assert (tmp_path / "set/a.txt").read_bytes() == CONTENT


def test_a_second_run_has_nothing_to_do(published: Site, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ("download", "toy", "--out", tmp_path, "--accept-licence", "--part", "set", "--part", "set")
    published.drops = [100]
    assert status(*command) == 0
    assert "CC0; see https://example.org/toy" in capsys.readouterr().err
    asked = len(published.asked)
    assert asked == 2
    assert status(*command) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert len(published.asked) == asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tyo",), "did you mean toy?"),
        (("toy", "--part", "sett"), "did you mean set?"),
        (("toy", "--mirror", "ftp://host"), "not an address"),
        (("toy", "--mirror", "MIRROR/nowhere"), "HTTP status 404"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line_and_status_2(
    published: Site, tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture
) -> None:
    given = [argument.replace("MIRROR", published.url) for argument in arguments]
    assert status("download", *given, "--out", tmp_path / "raw", "--accept-licence") == 2
    assert message in capsys.readouterr().err
