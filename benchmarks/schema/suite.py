"""A suite's keys: a study written down in TOML. `benchmarks.suites` reads such files and expands them to trials.

Every key is typed and an unknown one is refused: a misspelt key that is silently ignored is a wrong comparison. The
keys that say how trials are executed (`concurrent`, `resources`, `address`, `save_seconds`, `keep`) change results by
rounding at most. They are no part of a trial's key and can be overridden on the command line.
"""

import difflib
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks.errors import StudyError
from vrnn.models.config import emission_of
from vrnn.training.resources import Resources
from vrnn.training.spec import Optimisation

__all__ = ["CorpusEntry", "Scoring", "Suite", "check_claims"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scoring(_Frozen):
    """How trained models are scored.

    Attributes:
        estimators: of models with a latent; the others are scored exactly.
        num_samples: K of iwae and fivo.
        repeats: independent repetitions of each bound; their spread gives its Monte Carlo error.
        batch_size: sequences per batch; it changes no score.
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
        shards: directory or URI that `prepare` wrote.
        protocol: `clean` or `paper`.
        size: the model preset.
        models: replace the study's models for this corpus.
        optimisation: how models are trained on it.
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
        study: its name, which is also the name of its MLflow experiment.
        runs: directory of results; the study's own is RUNS/STUDY.
        models: names of registered models.
        references: scored without training on every corpus of speech: `flac`.
        seeds: one trial for each.
        samples: sounds or drawings kept per trial.
        claims: pairs of models, named in advance. The first is claimed to be ahead of the second on every corpus that
            has both, and these claims are what is tested. Without any, all pairs are tested.
        concurrent: trials at once.
        address: of a Ray cluster; without one, the trials run on this machine.
        save_seconds: time between checkpoints within an epoch.
        keep: how many of the latest checkpoints of a trial are kept, next to the best.
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


def check_claims(claims: Sequence[tuple[str, str]]) -> None:
    """Check that every claim names two models and that each pair is claimed once.

    Raises:
        StudyError: a claim is wrong.
    """
    seen: set[frozenset[str]] = set()
    for first, second in claims:
        pair = frozenset((first, second))
        if len(pair) == 1:
            raise StudyError(f"claims: {first} is compared with itself; name two models")
        if pair in seen:
            raise StudyError(f"claims: {first} and {second} are compared twice; leave one of them out")
        seen.add(pair)
