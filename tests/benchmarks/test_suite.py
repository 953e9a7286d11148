from pathlib import Path

import pytest

from benchmarks.errors import StudyError
from benchmarks.suite import expand, load_suite
from pipelines.errors import InputError
from vrnn.errors import ModelError

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
def test_what_is_wrong_in_a_suite_is_named_with_its_place(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        load_suite(write(tmp_path, GOOD.replace(*change)))
    assert "\n" not in str(caught.value)


def test_missing_shards_and_unknown_models_are_told(tmp_path: Path, ink_shards: Path) -> None:
    with pytest.raises(InputError, match="vrnn-bench prepare"):
        expand(load_suite(write(tmp_path, GOOD)))
    with pytest.raises(ModelError, match="rnn-gaus"):
        expand(load_suite(write(tmp_path, GOOD.replace('"rnn-gauss"', '"rnn-gaus"'), ink_shards)))


def test_two_corpora_of_one_name_are_refused(tmp_path: Path, ink_shards: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("[[corpora]]") :]
    with pytest.raises(StudyError, match="distinct names"):
        expand(load_suite(write(tmp_path, twice, ink_shards)))


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "benchmarks" / "suites").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_shipped_suites_are_valid(path: Path) -> None:
    assert load_suite(path).study == path.stem
