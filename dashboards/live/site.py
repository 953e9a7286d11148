"""The pages behind `vrnn-bench ui`: five routes to what one store contains; every other path is refused.

The store is read only through MLflow: a file is served if the list of samples of a run of that study names it.
"""

import functools
import html
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit

from benchmarks.errors import StoreError, StudyError
from benchmarks.store.live_reader import LiveReader
from dashboards.live.live_data import StateCache
from dashboards.page import policy_of, render

__all__ = ["Answer", "Site", "message_page", "study_path"]

TYPES = {"flac": "audio/flac", "json": "application/json"}
RUN_ID = re.compile(r"[0-9a-f]{32}")
STYLES = ("base", "live")


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: HTTPStatus
    content_type: str
    body: bytes
    policy: str = "default-src 'none'"


def study_path(study: str, page: str) -> str:
    """The path of a study's page."""
    return f"/study/{quote(study, safe='')}/{page}"


class Site:
    """The pages of the studies of one store."""

    def __init__(self, tracking_uri: str, build: Callable[[str], str], mlflow: str | None = None) -> None:
        """Show the studies of a store.

        Args:
            tracking_uri: the MLflow store.
            build: builds the report of a study, or raises `StudyError`.
            mlflow: the address of MLflow's own pages; None if there is none.
        """
        self.reader = LiveReader(tracking_uri)
        self._mlflow = mlflow
        self._states = StateCache(self.reader)
        # A report is rebuilt when the study changes, which its version tells.
        self._built_report = functools.lru_cache(4)(lambda study, version: build(study))
        self._building = threading.Lock()

    def answer(self, path: str) -> Answer:
        """Answer a GET request."""
        try:
            return self._answer(_segments(path))
        except StoreError as error:
            return message_page(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except StudyError as error:
            return message_page(HTTPStatus.NOT_FOUND, str(error))

    def _answer(self, segments: tuple[str, ...] | None) -> Answer:
        match segments:
            case ("",):
                studies = [(entry, quote(entry.name, safe="")) for entry in self.reader.studies()]
                content = {"studies": studies, "mlflow": self._mlflow}
                return _page(render("index.html.j2", content, styles=STYLES, scripts=("theme",)))
            case ("study", study, "live"):
                self.reader.experiment(study)
                content = {"study": study, "mlflow": self._mlflow}
                return _page(render("live.html.j2", content, styles=STYLES, scripts=("theme", "live"), served=True))
            case ("study", study, "state.json"):
                return Answer(HTTPStatus.OK, "application/json", self._states.state(study))
            case ("study", study, "report"):
                # One report is built at a time, because building takes a core and much memory.
                with self._building:
                    return _page(self._built_report(study, self.reader.study(study).version))
            case ("study", study, "sample", run_id, file):
                return self._sample(study, run_id, file)
        return message_page(HTTPStatus.NOT_FOUND, "there is no such page; the start page lists all studies")

    def _sample(self, study: str, run_id: str, file: str) -> Answer:
        content_type = TYPES.get(file.rpartition(".")[2])
        # Only known file types are served, so that no page or script is.
        content = self.reader.sample(study, run_id, file) if content_type and RUN_ID.fullmatch(run_id) else None
        if content_type is None or content is None:
            return message_page(HTTPStatus.NOT_FOUND, "the study has no such sample")
        return Answer(HTTPStatus.OK, content_type, content)


def _segments(path: str) -> tuple[str, ...] | None:
    """The parts of a path, each decoded once; None for a path that is not plain."""
    if not path.startswith("/") or not path.isascii():
        return None
    try:
        # Split before decoding: an encoded slash belongs to a name.
        parts = tuple(unquote(part, errors="strict") for part in urlsplit(f"http://host{path}").path[1:].split("/"))
    except ValueError:
        return None
    return None if any(part in (".", "..") or "\0" in part for part in parts) else parts


def _page(text: str) -> Answer:
    return Answer(HTTPStatus.OK, "text/html; charset=utf-8", text.encode(), policy_of(text))


def message_page(status: HTTPStatus, message: str) -> Answer:
    """A page with one line of text."""
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{status.phrase}</title>'
    return Answer(status, "text/html; charset=utf-8", f"{text}<p>{html.escape(message)}</p></html>\n".encode())
