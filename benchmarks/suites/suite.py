"""A suite: a study written down in TOML, expanded to trials.

What it says of how the trials are run (`concurrent`, `resources`, `address`, `save_seconds`, `keep`) changes figures by
rounding at most, is no part of a trial's key, and can be said otherwise on the command line.

Every key is typed and an unknown one is refused, since a misspelt key that is silently ignored is a wrong
comparison. Paths are relative to the working directory.
"""

import difflib
import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmarks.errors import StudyError
from benchmarks.statistics.paired_differences import check_claims
from pipelines.batches.protocol import Protocol, find_protocol
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest
from vrnn.models.config import emission_of
from vrnn.training import Optimisation, TrialSpec
from vrnn.training.resources import Resources
from vrnn.training.trial_plan import plan_trial

__all__ = ["CorpusEntry", "Reference", "Scoring", "Suite", "Trial", "expand", "load_suite", "references", "with_ways"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scoring(_Frozen):
    """How trained models are scored.

    Attributes:
        estimators: of models with a latent; the others are scored exactly.
        num_samples: K of iwae and fivo.
        repeats: independent repetitions of each bound; their spread gives its Monte Carlo error.
        batch_size: sequences at once; it changes no score.
        seed: of the latent noise.
    """

    estimators: tuple[Literal["elbo", "iwae", "fivo"], ...] = Field(default=("elbo", "iwae"), min_length=1)
    num_samples: int = Field(default=40, ge=1)
    repeats: int = Field(default=2, ge=1)
    batch_size: int = Field(default=32, ge=1)
    seed: int = Field(default=0, ge=0)


class CorpusEntry(_Frozen):
    """One corpus of a study.

    Attributes:
        name: what the table calls it.
        shards: what `prepare` wrote.
        protocol: `clean` or `paper`.
        size: the model preset.
        models: instead of the study's, for this corpus.
        optimisation: how models are fitted to it.
    """

    name: str = Field(min_length=1)
    shards: str
    protocol: str = "clean"
    size: str = "small"
    models: tuple[str, ...] | None = Field(default=None, min_length=1)
    optimisation: Optimisation = Optimisation()


class Suite(_Frozen):
    """A study.

    Attributes:
        version: of this format.
        study: its name, also MLflow's experiment.
        runs: where trials keep their checkpoints and scores.
        models: names of registered models.
        references: what is scored without training on every corpus of speech: `flac`.
        seeds: one trial each.
        samples: sounds or drawings kept of each trial.
        claims: pairs of models, named in advance, of which the first is said to be ahead of the second on every corpus
            that has both; they are what is tested. Without any, all pairs are.
        scoring: how models are scored.
        concurrent: trials at once.
        resources: that each trial takes.
        address: of a Ray cluster; where there is none, the trials run on this machine.
        save_seconds: after which a checkpoint is written within an epoch.
        keep: how many of the last checkpoints of a trial are kept beside the best.
        corpora: on what.
    """

    version: int = Field(default=1, ge=1, le=1)
    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    runs: str = "runs"
    models: tuple[str, ...] = Field(min_length=1)
    references: tuple[Literal["flac"], ...] = ()
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    samples: int = Field(default=2, ge=0, le=16)
    claims: tuple[tuple[str, str], ...] = ()
    scoring: Scoring = Scoring()
    concurrent: int = Field(default=1, ge=1)
    resources: Resources = Resources()
    address: str | None = None
    save_seconds: float = Field(default=600.0, gt=0)
    keep: int = Field(default=2, ge=1, le=100)
    corpora: tuple[CorpusEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _claims_name_models(self) -> Self:
        check_claims(self.claims)
        known = {*self.models, *self.references, *(name for corpus in self.corpora for name in corpus.models or ())}
        for name in (name for claim in self.claims for name in claim):
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
                raise ValueError(f"claims: {name} is no model of this suite; {hint}")
        for first, second in self.claims:
            if self._is_mass(first) != self._is_mass(second):
                one, other = ("mass" if self._is_mass(name) else "density" for name in (first, second))
                raise ValueError(f"claims: {first} is a {one} and {second} a {other}: two measures; name others")
        return self

    def _is_mass(self, name: str) -> bool:
        return name in self.references or emission_of(name).endswith("dmol")


@dataclass(frozen=True)
class Trial:
    """One trial of a study: which corpus, and the spec that defines it."""

    corpus: CorpusEntry
    spec: TrialSpec

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.corpus.name}/{self.corpus.protocol}/{self.spec.model['name']}/seed{self.spec.seed}"


@dataclass(frozen=True)
class Reference:
    """A row of a study that needs no training: which corpus, and what is scored on it."""

    corpus: CorpusEntry
    model: str
    fingerprint: str
    protocol: Protocol

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.corpus.name}/{self.corpus.protocol}/{self.model}"

    @property
    def key(self) -> str:
        """16 hex digits that name it, as a trial's key does."""
        content = json.dumps([self.model, self.fingerprint, self.protocol.model_dump()], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises:
        StudyError: it is missing, is not TOML, or a key or value is wrong; the nearest known key is named.
    """
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); name a suite file") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{path}: not TOML: {error}") from error
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise StudyError(f"{path}: {_first_problem(error)}") from error


def with_ways(suite: Suite, ways: dict[str, Any], resources: dict[str, Any]) -> Suite:
    """The suite run in other ways: with those of its fields, and of its `resources`, that are not None.

    Raises:
        StudyError: a value is out of range, or some do not go together.
    """
    try:
        changed = {"resources": suite.resources.replaced(resources)} | {k: v for k, v in ways.items() if v is not None}
        return Suite.model_validate(dict(suite) | changed)
    except ValidationError as error:
        problem = error.errors()[0]
        flag = "-".join(str(part) for part in problem["loc"]).replace("_", "-")
        said = problem["msg"].removeprefix("Value error, ")
        raise StudyError(f"--{flag} {problem['input']}: {said}" if flag else f"--{said}") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        said = problem["msg"].removeprefix("Value error, ")
        return f"{place}: {said}" if place else said
    known = _keys_at(problem["loc"][:-1])
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"unknown key {place}; {hint}"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys of the table at `place` in a suite."""
    table: Any = Suite
    for part in place:
        if isinstance(part, str):
            annotation = table.model_fields[part].annotation
            inner = [a for a in get_args(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
            table = inner[0] if inner and not isinstance(annotation, UnionType) else annotation
    return list(table.model_fields)


def expand(suite: Suite) -> list[Trial]:
    """The trials of a suite, corpus by corpus, model by model, seed by seed.

    Raises:
        StudyError: two trials have one name, or are one trial.
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
    if doubles := {name for name in names if names.count(name) > 1}:
        raise StudyError(f"study {suite.study}: two trials are called {min(doubles)}; name each corpus and seed once")
    first: dict[str, str] = {}
    for trial in trials:
        if (other := first.setdefault(trial.spec.key, trial.name)) != trial.name:
            raise StudyError(
                f"study {suite.study}: {other} and {trial.name} are one trial, of the same data, rules, model and "
                "seed; leave one of them out"
            )
    return trials


def references(suite: Suite) -> list[Reference]:
    """What a suite scores without training: its references on every corpus of speech.

    Raises:
        InputError: shards or a protocol are missing.
    """
    found: list[Reference] = []
    for corpus in suite.corpora:
        manifest = Manifest.load(Location(corpus.shards))
        if manifest.kind == "speech":
            protocol = find_protocol(corpus.protocol, manifest.kind, manifest.corpus)
            found += [Reference(corpus, model, manifest.fingerprint, protocol) for model in suite.references]
    return found
