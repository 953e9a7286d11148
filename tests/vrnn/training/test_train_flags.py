"""The flags of `vrnn-bench train`: they are the fields of `Optimisation`, whatever it has."""

import json
from pathlib import Path

import pytest

from benchmarks.cli.entry import main
from vrnn.training import Optimisation

VALUES: dict[str, object] = {
    "max_epochs": 7,
    "batch_size": 3,
    "learning_rate": 0.02,
    "schedule": "linear",
    "warmup_steps": 11,
    "final_learning_rate": 0.25,
    "clip_norm": 2.5,
    "averaging": 0.75,
    "kl_warmup_steps": 13,
    "free_nats": 0.5,
    "truncate_frames": 40,
    "max_nonfinite": 5,
    "patience": 2,
    "evaluation_batch_size": 9,
    "precision": "float64",
    "checkpointed_frames": 12,
}


def train(shards: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--shards", str(shards), "--model", "vrnn-gauss", "--size", "tiny", "--out", "o", *arguments])
    return int(ended.value.code or 0)


def test_every_rule_of_the_optimisation_is_a_flag(ink_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert VALUES.keys() == Optimisation.model_fields.keys()
    flags = [part for name, value in VALUES.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert train(ink_shards, "--print-spec", *flags) == 0
    assert json.loads(capsys.readouterr().out)["optimisation"] == VALUES


def test_without_flags_it_is_the_default(ink_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(ink_shards, "--print-spec") == 0
    assert json.loads(capsys.readouterr().out)["optimisation"] == Optimisation().model_dump()


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--averaging", "1"),
        ("--free-nats", "-1"),
        ("--batch-size", "0"),
        ("--learning-rate", "nan"),
        ("--seed", "-1"),
    ],
)
def test_a_value_out_of_range_is_reported_in_one_line(
    ink_shards: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    assert train(ink_shards, flag, value) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert flag in stderr


def test_the_help_has_the_docstring_and_the_choices(ink_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(ink_shards, "--help") == 0
    text = capsys.readouterr().out
    assert "--schedule {constant,linear,cosine}" in text
    assert "Decay of an exponential moving average" in text
