"""The benchmark of `prepare`: what it writes, and that both sides of a comparison do the same work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed.driver_cost import exponent, measure_scale
from benchmarks.speed.floor import decode_ink_plainly, decode_plainly, sound_files
from benchmarks.speed.prepare import SpeedOptions, measure
from benchmarks.speed.prepare_cases import ink_case, ink_files, prepare_in_process
from benchmarks.speed.sound_corpus import FORMS, Form, write_sound_corpus
from benchmarks.speed.timing import Spent, Stopwatch, run_paired
from pipelines.corpora import CORPORA
from pipelines.decode.ink import decode_ink
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet

SIDE = {"what", "median_seconds", "per_second", "runs"}


def test_result_names_the_machine_and_gives_ratios_with_their_pairs() -> None:
    result = json.loads(json.dumps(measure(SpeedOptions(only=("one-process",), seconds_of_audio=40, pairs=2))))
    assert {"cpu", "cores", "packages", "load_at_start"} <= set(result["machine"])
    assert [case["name"] for case in result["cases"]] == [f"sound/{form}/one process" for form in FORMS]
    for case in result["cases"]:
        assert set(case["ours"]) == SIDE
        assert set(case["other"]) == SIDE | {"times"}
        for ratio in case["ratio"].values():
            assert len(ratio["pairs"]) == 2
            assert 0 < ratio["low"] <= ratio["median"] <= ratio["high"]
        assert case["ours"]["per_second"] == pytest.approx(case["amount"] / case["ours"]["median_seconds"]["processor"])


@pytest.mark.parametrize("form", FORMS)
def test_floor_and_prepare_decode_as_many_samples(form: Form, tmp_path: Path) -> None:
    corpus = write_sound_corpus(tmp_path / "raw", form, 5.0)
    prepare_in_process(corpus, tmp_path / "out")()
    index = ShardSet(Location(str(tmp_path / "out"))).index
    ours = dict(zip(index["source"], index["length"], strict=True))
    floor = {file.name: len(decode_plainly(file)) for file in sound_files(corpus.root)}
    assert ours.keys() == floor.keys()
    assert all(abs(ours[name] - floor[name]) <= 1 for name in floor)
    assert sum(floor.values()) / 16_000 == pytest.approx(corpus.seconds, rel=0.5 if form == "mp3" else 0.01)


def test_both_read_the_same_ink(raw_ink: Path) -> None:
    contents = ink_files(raw_ink)
    for content in contents:
        ink, plain = decode_ink(content), decode_ink_plainly(content)
        assert all((getattr(ink, name) == plain[name]).all() for name in ("x", "y", "time", "pen_up"))
    case = ink_case(contents, "built-in", pairs=1, least_points=1)
    assert case["unit"] == "points"
    assert case["ratio"]["wall"]["median"] > 0


def test_the_driver_is_measured_with_simulated_items() -> None:
    run = measure_scale(700)
    assert run["items"] == 700
    assert run["driver_seconds"] > 0
    assert run["worker_seconds"] > 0
    assert "simulated" not in CORPORA


def test_pairs_are_compared_with_the_runs_around_them() -> None:
    runs = (Spent(wall, wall / 2) for wall in (4.0, 1.0, 2.0, 3.0, 1.0))
    paired = run_paired(lambda: next(runs), lambda: next(runs), pairs=2)
    assert [[run.wall for run in side] for side in (paired.a, paired.b)] == [[4.0, 2.0, 1.0], [1.0, 3.0]]
    assert paired.ratios("wall") == paired.ratios("processor") == [3.0, 0.5]


def test_processor_time_includes_living_and_ended_children() -> None:
    watch = Stopwatch()
    work = [sys.executable, "-c", "sum(range(10**7)); print(flush=True); input()"]
    with subprocess.Popen(work, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        alive = watch.read().processor
        child.stdin.write(b"\n")
    assert 0 < alive <= watch.read().processor


def test_work_shorter_than_a_kernel_tick_is_measured() -> None:
    watch = Stopwatch()
    sum(range(1000))
    assert watch.read().processor > 0


def test_exponent_is_of_the_largest_sizes() -> None:
    assert exponent([10, 100, 1000, 10000], [5.0, 1.0, 10.0, 100.0]) == pytest.approx(1.0)
    assert exponent([10, 100, 1000], [1.0, 100.0, 10000.0]) == pytest.approx(2.0)
    assert exponent([100], [1.0]) is None


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"workers": 0}, {"scale_items": "10,x"}, {"seconds_of_audio": 0.0}])
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match="--"):
        SpeedOptions(**wrong).checked()  # type: ignore[arg-type]
