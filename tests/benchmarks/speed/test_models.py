"""The benchmarks of models: what they write, that both sides compute the same, and that torch alone runs them."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.speed import data_loading, scoring, textbook_comparison, training
from benchmarks.speed.noise_shards import make_shards
from benchmarks.speed.textbook_comparison import options_of
from benchmarks.speed.workloads import SHAPES, Scoring, Training
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.device.peak import pass_operations
from vrnn.device.precision import Precision
from vrnn.models import build_model

ONE_PAIR = ["--size", "tiny", "--precision", "float32", "--pairs", "1", "--batch", "3"]
CONTRACT = {"name", "device", "precision", "batch", "ours_seconds", "textbook_seconds", "speedup", "fraction_of_peak"}


def run_bare(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in a process where only torch and its dependencies can be imported."""
    code = (
        "import runpy, sys\n"
        "for name in ('ray', 'mlflow', 'pandas', 'pyarrow', 'tyro', 'rich', 'torchaudio', 'soundfile'):\n"
        "    sys.modules[name] = None\n"
        f"sys.argv = ['x', *{list(arguments)!r}]\n"
        f"runpy.run_module({module!r}, run_name='__main__')\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "where"), [("training", "out.json"), pytest.param("scoring", None, marks=pytest.mark.slow)]
)
def test_it_runs_with_torch_alone_and_writes_the_documented_json(
    module: str, where: str | None, tmp_path: Path
) -> None:
    done = run_bare(f"benchmarks.speed.{module}", *ONE_PAIR, "--json", *([str(tmp_path / where)] if where else []))
    assert done.returncode == 0, done.stderr
    assert not (where and done.stdout)
    result = json.loads((tmp_path / where).read_text() if where else done.stdout)
    assert result["machine"]["threads"] >= 1
    (case,) = result["cases"]
    assert case.keys() >= CONTRACT
    assert (case["device"], case["precision"], case["batch"]) == ("cpu", "float32", 3)
    assert case["path"]["loop"] == "frame by frame"
    assert case["speedup_low"] <= case["speedup"] <= case["speedup_high"]
    expected = case["operations"] / case["ours_seconds"] / case["peak_operations_per_second"]
    assert case["fraction_of_peak"] == pytest.approx(expected)
    assert "times" in done.stderr


@pytest.mark.parametrize("module", ["training", "scoring", "data_loading"])
@pytest.mark.parametrize("wrong", [["--size", "huge"], ["--batch", "0"], ["--pairs", "none"], ["--device", "cuda"]])
def test_wrong_options_are_one_line_and_exit_2(
    module: str, wrong: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    main = {"training": training.main, "scoring": scoring.main, "data_loading": data_loading.main}[module]
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert f"error: argument {wrong[0]}" in message or "torch sees no GPU" in message


@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("kind", [Training, Scoring])
def test_both_sides_compute_the_same(kind: type[Training | Scoring], precision: Precision) -> None:
    ours, textbook = (kind("tiny", 4, precision, "cpu", who).prepare()() for who in ("ours", "textbook"))
    tolerance = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 5e-3}[precision]
    assert ours == pytest.approx(textbook, rel=tolerance)
    assert math.isfinite(ours)


def test_sides_that_disagree_are_no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(textbook_comparison._TOLERANCE, "float32", -1.0)
    with pytest.raises(ArithmeticError, match="the textbook"):
        training.main(ONE_PAIR)


def test_bfloat16_is_compared_with_both_textbooks() -> None:
    options = options_of(["--size", "tiny", "--precision", "bfloat16"], "prog", "about")
    (case,) = training.cases(options)
    assert (case.work.precision, case.against) == ("bfloat16", ("float32",))


def test_operations_are_those_that_torch_counts() -> None:
    """The products of a pass of the textbook loop; elementwise work is not counted."""
    from torch.utils.flop_counter import FlopCounterMode

    step = Training("tiny", 3, "float32", "cpu", "textbook").prepare()
    with FlopCounterMode(display=False) as counter:
        step()
    model = build_model(SHAPES["tiny"].config, torch.Generator())
    counted = pass_operations(model, SHAPES["tiny"].frames * 3, backward=True)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("shape", ["tiny", "iam_ondb"])
def test_noise_shards_are_a_finished_set(shape: str, tmp_path: Path) -> None:
    kind, place = SHAPES[shape].config.kind, Location(str(tmp_path))
    make_shards(place, kind, {"train": 5, "valid": 2}, frames=11)
    shards = ShardSet(place)
    shards.verify()
    assert shards.index["split"].value_counts().to_dict() == {"train": 5, "valid": 2}
    assert min(shards.manifest.train_moments.std) > 0


def test_data_loading_reports_what_batches_cost_and_how_long_steps_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(data_loading._STEPS, "tiny", 3)
    data_loading.main([*ONE_PAIR, "--json", str(tmp_path / "out.json")])
    (case,) = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert (case["steps"], case["batch"], case["device"]) == (3, 3, "cpu")
    assert case["making_share_of_step"] == pytest.approx(case["making_seconds"] / case["step_seconds"])
    assert 0 < case["wait_share_low"] <= case["wait_share"] <= case["wait_share_high"] < 1
    assert "waited" in capsys.readouterr().err
