import re
from pathlib import Path

import pytest

from benchmarks.errors import StudyError
from benchmarks.suites.suite import expand, load_suite, override
from pipelines.errors import InputError
from vrnn.errors import ModelError
from vrnn.models import preset
from vrnn.models.config import Kind
from vrnn.nn.discretised import Quantisation

SUITES = Path(__file__).parents[3] / "benchmarks" / "suites"

GOOD = """
version = 1
study = "s"
models = ["rnn-gauss", "vrnn-gauss"]
seeds = [0, 1]
[[corpora]]
name = "ink"
shards = "{shards}"
size = "tiny"
optimisation = {{ max_epochs = 1 }}
"""


def write(tmp_path: Path, text: str, shards: Path | str = "nowhere") -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(text.format(shards=shards) if "{shards}" in text else text)
    return path


def test_a_suite_expands_to_every_model_and_seed(tmp_path: Path, ink_shards: Path) -> None:
    trials = expand(load_suite(write(tmp_path, GOOD, ink_shards)))
    assert [trial.name for trial in trials] == [
        "ink/clean/rnn-gauss/seed0",
        "ink/clean/rnn-gauss/seed1",
        "ink/clean/vrnn-gauss/seed0",
        "ink/clean/vrnn-gauss/seed1",
    ]
    assert len({trial.spec.key for trial in trials}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds", "seads"), "unknown key seads; did you mean seeds"),
        (("size", "sise"), r"unknown key corpora.0.sise; did you mean size"),
        (("max_epochs", "max_epoch"), r"unknown key corpora.0.optimisation.max_epoch; did you mean max_epochs"),
        (("[0, 1]", '["x"]'), "seeds.0: Input should be a valid integer"),
        (("version = 1", "version = 9"), "version: Input should be less than or equal to 1"),
        (("[[corpora]]", "[[corpora"), "not TOML"),
    ],
)
def test_errors_in_a_suite_name_their_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        load_suite(write(tmp_path, GOOD.replace(*change)))
    assert "\n" not in str(caught.value)


def test_missing_shards_and_unknown_models_are_errors(tmp_path: Path, ink_shards: Path) -> None:
    with pytest.raises(InputError, match="vrnn-bench prepare"):
        expand(load_suite(write(tmp_path, GOOD)))
    with pytest.raises(ModelError, match="rnn-gaus"):
        expand(load_suite(write(tmp_path, GOOD.replace('"rnn-gauss"', '"rnn-gaus"'), ink_shards)))


def test_two_corpora_with_the_same_name_are_refused(tmp_path: Path, ink_shards: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("[[corpora]]") :]
    with pytest.raises(StudyError, match="list each corpus and seed once"):
        expand(load_suite(write(tmp_path, twice, ink_shards)))


def test_a_trial_with_two_names_is_refused(tmp_path: Path, ink_shards: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("[[corpora]]") :].replace('"ink"', '"ink again"')
    with pytest.raises(
        StudyError, match="ink/clean/rnn-gauss/seed0 and ink again/clean/rnn-gauss/seed0 are the same trial"
    ):
        expand(load_suite(write(tmp_path, twice, ink_shards)))


EXECUTION = """
concurrent = 3
resources = { elastic = [1, 4], gpus_per_worker = 0.25, cpus_per_worker = 2 }
save_seconds = 60
keep = 5
"""


def test_keys_of_execution_change_no_trial(tmp_path: Path, ink_shards: Path) -> None:
    plain = load_suite(write(tmp_path, GOOD, ink_shards))
    head, corpora = GOOD.format(shards=ink_shards).split("[[corpora]]")
    suite = load_suite(write(tmp_path, f"{head}{EXECUTION}[[corpora]]{corpora}"))
    assert (suite.concurrent, suite.save_seconds, suite.keep) == (3, 60, 5)
    assert suite.resources.per_worker == {"CPU": 2, "GPU": 0.25}
    assert suite.resources.most_workers == 4
    assert [trial.spec for trial in expand(suite)] == [trial.spec for trial in expand(plain)]


def test_flags_override_the_suite(tmp_path: Path, ink_shards: Path) -> None:
    head, corpora = GOOD.format(shards=ink_shards).split("[[corpora]]")
    suite = load_suite(write(tmp_path, f"{head}{EXECUTION}[[corpora]]{corpora}"))
    changed = override(suite, {"concurrent": 1, "keep": None}, {"workers": 2, "micro_batch": 4, "elastic": None})
    assert (changed.concurrent, changed.keep, changed.save_seconds) == (1, 5, 60)
    assert (changed.resources.workers, changed.resources.elastic, changed.resources.micro_batch) == (2, None, 4)
    assert changed.resources.gpus_per_worker == 0.25
    assert override(suite, {}, {}) == suite


@pytest.mark.parametrize(
    ("fields", "resources", "message"),
    [
        ({"concurrent": 0}, {}, "--concurrent 0: Input should be greater than or equal to 1"),
        ({"save_seconds": -1.0}, {}, "--save-seconds -1.0: Input should be greater than 0"),
        ({}, {"gpus_per_worker": -1.0}, "--gpus-per-worker -1.0: Input should be greater than or equal to 0"),
        ({}, {"elastic": (3, 2)}, "--elastic 3 2: at least one worker"),
        ({}, {"elastic": (1, 2), "workers": 2}, "--elastic gives the number of workers: leave workers out"),
    ],
)
def test_flags_out_of_range_are_named(
    tmp_path: Path, fields: dict[str, object], resources: dict[str, object], message: str
) -> None:
    with pytest.raises(StudyError, match=re.escape(message)):
        override(load_suite(write(tmp_path, GOOD)), fields, resources)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[3] / "benchmarks" / "suites").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_shipped_suites_are_valid(path: Path) -> None:
    assert load_suite(path).study == path.stem


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ('[["vrnn-gaus", "rnn-gauss"]]', "claims: vrnn-gaus is no model of this suite; did you mean vrnn-gauss?"),
        ('[["rnn-gauss"]]', "claims.0"),
        ('[["flac", "rnn-gauss"]]', "claims: flac is a mass and rnn-gauss a density: two measures"),
        ('[["rnn-gauss", "rnn-gauss"]]', "claims: rnn-gauss is compared with itself"),
        ('[["rnn-gauss", "vrnn-gauss"], ["vrnn-gauss", "rnn-gauss"]]', "are compared twice"),
    ],
)
def test_a_claim_names_two_models_of_the_suite(tmp_path: Path, claims: str, message: str) -> None:
    path = write(tmp_path, GOOD.replace("seeds =", f'claims = {claims}\nreferences = ["flac"]\nseeds ='))
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        load_suite(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_suites_that_come_with_it_name_models_and_sizes_that_there_are(path: Path) -> None:
    suite = load_suite(path)
    for corpus in suite.corpora:
        kind: Kind = "pen" if {"iam_ondb", "built-in handwriting"} & {corpus.name} else "speech"
        for model in corpus.models or suite.models:
            config = preset(model, kind, corpus.size, Quantisation(0.0, 1.0))
            assert config.name == model
