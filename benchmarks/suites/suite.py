"""Suite files: reading them, overriding their keys from the command line, and expanding them to trials.

`benchmarks.schema.suite` defines the keys. Paths in a suite are relative to the working directory.
"""

import difflib
import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from benchmarks.errors import StudyError
from benchmarks.schema.suite import CorpusEntry, Scoring, Suite
from pipelines.batches.protocol import Protocol, find_protocol
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.training import TrialSpec
from vrnn.training.spec import plan_trial

__all__ = [
    "CodecBaseline",
    "CorpusEntry",
    "Scoring",
    "Suite",
    "Trial",
    "codec_baselines",
    "expand",
    "load_suite",
    "override",
]


@dataclass(frozen=True)
class Trial:
    """One trial of a study: its corpus and its complete specification."""

    corpus: CorpusEntry
    spec: TrialSpec

    @property
    def name(self) -> str:
        """Its name in messages and tables."""
        return f"{self.corpus.name}/{self.corpus.protocol}/{self.spec.model.name}/seed{self.spec.seed}"


@dataclass(frozen=True)
class CodecBaseline:
    """A baseline of a study that needs no training, such as a codec, on one corpus."""

    corpus: CorpusEntry
    model: str
    fingerprint: str
    protocol: Protocol

    @property
    def name(self) -> str:
        """Its name in messages and tables."""
        return f"{self.corpus.name}/{self.corpus.protocol}/{self.model}"

    @property
    def key(self) -> str:
        """16 hex digits that identify it, like the key of a trial."""
        content = json.dumps([self.model, self.fingerprint, self.protocol.model_dump()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises:
        StudyError: it is missing, is not TOML, or has a wrong key or value.
    """
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); give the path of a suite file") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path}: not TOML: {error}") from error
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise StudyError(f"{path}: {_first_problem(error)}") from error


def override(suite: Suite, fields: dict[str, Any], resources: dict[str, Any]) -> Suite:
    """Replace fields of a suite, and of its `resources`, by those given values that are not None.

    Raises:
        StudyError: a value is out of range, or two values exclude each other.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return Suite.model_validate(dict(suite) | {"resources": suite.resources.replaced(resources)} | given)
    except ValidationError as error:
        problem = error.errors()[0]
        flag = "-".join(str(part) for part in problem["loc"]).replace("_", "-")
        message = problem["msg"].removeprefix("Value error, ")
        raise StudyError(f"--{flag} {problem['input']}: {message}" if flag else f"--{message}") from error


def _first_problem(error: ValidationError) -> str:
    """The first error in one line; for an unknown key, with the nearest known one."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{place}: {message}" if place else message
    table: Any = Suite  # the table of the suite that holds the key
    for part in problem["loc"][:-1]:
        if isinstance(part, str):  # an integer is a position in a list of tables
            annotation = table.model_fields[part].annotation
            inner = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
            table = inner[0] if inner and not isinstance(annotation, UnionType) else annotation
    known = list(table.model_fields)
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"unknown key {place}; {hint}"


def expand(suite: Suite) -> list[Trial]:
    """The trials of a suite, by corpus, then by model, then by seed.

    Raises:
        StudyError: two trials have the same name or the same key.
        InputError: shards or a protocol are missing.
        ModelError: a model or size is unknown.
    """
    trials = [
        Trial(corpus, plan_trial(corpus.shards, corpus.protocol, model, corpus.size, corpus.optimisation, seed))
        for corpus in suite.corpora
        for model in corpus.models or suite.models
        for seed in suite.seeds
    ]
    names = [trial.name for trial in trials]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise StudyError(
            f"study {suite.study}: two trials are called {min(duplicates)}; list each corpus and seed once"
        )
    first: dict[str, str] = {}
    for trial in trials:
        if (other := first.setdefault(trial.spec.key, trial.name)) != trial.name:
            raise StudyError(
                f"study {suite.study}: {other} and {trial.name} are the same trial: same data, training, model and "
                "seed; remove one of them"
            )
    return trials


def codec_baselines(suite: Suite) -> list[CodecBaseline]:
    """The baselines of a suite that need no training, on every corpus of speech.

    Raises:
        InputError: shards or a protocol are missing.
    """
    found: list[CodecBaseline] = []
    for corpus in suite.corpora:
        manifest = Manifest.load(Location(corpus.shards))
        if manifest.kind == "speech":
            protocol = find_protocol(corpus.protocol, manifest.kind, manifest.corpus)
            found += [CodecBaseline(corpus, model, manifest.fingerprint, protocol) for model in suite.references]
    return found
