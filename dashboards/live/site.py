"""The pages behind `vrnn-bench ui`: five routes to what one store holds, and a refusal of everything else.

The store is read through MLflow alone: a file is served when the list of samples of a run of that study names it.
"""

import html
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit

from mlflow.exceptions import MlflowException

from dashboards.errors import ReportError
from dashboards.live.bounded_cache import Recent
from dashboards.live.follow_study import Follower
from dashboards.live.live_data import Live
from dashboards.page import policy_of, render

__all__ = ["Answer", "Site", "said", "study_path"]

NOTHING = "default-src 'none'"
TYPES = {"flac": "audio/flac", "json": "application/json"}
RUN_ID = re.compile(r"[0-9a-f]{32}")
LIVE_STYLES, LIVE_SCRIPTS = ("base", "live"), ("theme", "live")
MOST_REPORTS = 4


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: HTTPStatus
    kind: str
    body: bytes
    policy: str = NOTHING


def study_path(study: str, page: str) -> str:
    """Where a study's page is, from the root of the server."""
    return f"/study/{quote(study, safe='')}/{page}"


class Site:
    """What the server shows, whoever asks."""

    def __init__(self, tracking_uri: str, build: Callable[[str], str], mlflow: str | None = None) -> None:
        """Show the studies of a store.

        Args:
            tracking_uri: the MLflow store.
            build: makes the report of a study, or raises `ReportError`.
            mlflow: the address of MLflow's own pages; None where there are none.
        """
        self.follower = Follower(tracking_uri)
        self._build, self._mlflow = build, mlflow
        self._live = Live(self.follower)
        self._reports: Recent[str] = Recent(MOST_REPORTS)
        self._building = threading.Lock()

    def answer(self, path: str) -> Answer:
        """What a GET of a path gets."""
        try:
            return self._answer(_segments(path))
        except ReportError as error:
            return said(HTTPStatus.NOT_FOUND, str(error))
        except MlflowException as error:
            return said(HTTPStatus.SERVICE_UNAVAILABLE, f"MLflow cannot be read: {str(error).splitlines()[0]}")

    def _answer(self, segments: tuple[str, ...] | None) -> Answer:
        match segments:
            case ("",):
                return self._index()
            case ("study", study, "live"):
                return self._live_page(study)
            case ("study", study, "state.json"):
                return Answer(HTTPStatus.OK, "application/json", self._live.state(study))
            case ("study", study, "report"):
                return _page(self._report(study))
            case ("study", study, "sample", run_id, file):
                return self._sample(study, run_id, file)
        return said(HTTPStatus.NOT_FOUND, "there is no such page; the first page lists what there is")

    def _index(self) -> Answer:
        studies = [(line, quote(line.name, safe="")) for line in self.follower.studies()]
        content = {"studies": studies, "mlflow": self._mlflow}
        return _page(render("index.html.j2", content, styles=LIVE_STYLES, scripts=("theme",)))

    def _live_page(self, study: str) -> Answer:
        self.follower.experiment(study)
        content = {"study": study, "mlflow": self._mlflow}
        return _page(render("live.html.j2", content, styles=LIVE_STYLES, scripts=LIVE_SCRIPTS, served=True))

    def _report(self, study: str) -> str:
        """The report, built once for each state of the study, one at a time."""
        with self._building:
            version = self.follower.look(study).version
            return self._reports.get((study, version), lambda: self._build(study))

    def _sample(self, study: str, run_id: str, file: str) -> Answer:
        kind = TYPES.get(file.rpartition(".")[2])
        content = self.follower.sample(study, run_id, file) if kind and RUN_ID.fullmatch(run_id) else None
        if kind is None or content is None:
            return said(HTTPStatus.NOT_FOUND, "the study has no such sample")
        return Answer(HTTPStatus.OK, kind, content)


def _segments(path: str) -> tuple[str, ...] | None:
    """The parts of a path, each decoded once; None where it is not plain."""
    if not path.startswith("/") or not path.isascii():
        return None
    try:
        parts = tuple(unquote(part, errors="strict") for part in urlsplit(f"http://host{path}").path[1:].split("/"))
    except ValueError:
        return None
    return None if any(part in (".", "..") or "\0" in part for part in parts) else parts


def _page(text: str) -> Answer:
    return Answer(HTTPStatus.OK, "text/html; charset=utf-8", text.encode(), policy_of(text))


def said(status: HTTPStatus, line: str) -> Answer:
    """A line in place of a page."""
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{status.phrase}</title>'
    return Answer(status, "text/html; charset=utf-8", f"{text}<p>{html.escape(line)}</p></html>\n".encode())
