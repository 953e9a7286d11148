"""The model of step time, on times made by it; and its prediction, against the formula by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.speed import scaling
from benchmarks.speed.scaling_model import ComputeModel, Measured, Rates, RingModel, fitted, predicted
from benchmarks.speed.workloads import SHAPES
from vrnn.models import build_model

WORKERS = (1, 2, 3, 4)
BYTES = {"narrow": 1_000_000, "wide": 40_000_000}


def made(name: str, workers: int, frames: int, compute: ComputeModel, ring: RingModel) -> Measured:
    return Measured(
        name=name,
        scaling="weak",
        workers=workers,
        frames=frames,
        gradient_bytes=BYTES[name],
        compute_seconds=compute.seconds(frames),
        sum_seconds=ring.seconds(workers, BYTES[name]),
        shared_seconds=1.0,
        start_seconds=1.0,
    )


@given(
    st.floats(1e-4, 1e-1),
    st.floats(1e-6, 1e-3),
    st.floats(1e-6, 1e-2),
    st.floats(1e-10, 1e-7),
)
def test_the_fit_recovers_the_model_of_the_times(
    fixed: float, per_frame: float, latency: float, per_byte: float
) -> None:
    compute, ring = ComputeModel(fixed, per_frame), RingModel(latency, per_byte)
    cases = [
        made(name, workers, frames, compute, ring) for name in BYTES for workers in WORKERS for frames in (100, 900)
    ]
    found = fitted(cases)
    assert found["latency_seconds"] == pytest.approx(latency, rel=1e-6)
    assert found["bytes_per_second"] == pytest.approx(1 / per_byte, rel=1e-6)
    for name in BYTES:
        assert found["compute"][name]["per_frame"] == pytest.approx(per_frame, rel=1e-5)
    assert {check["workers"] for check in found["held_out"]} == {4}
    assert len(found["held_out"]) == 4
    assert all(abs(check["relative_error"]) < 1e-6 for check in found["held_out"])


def test_the_largest_cluster_is_not_seen_by_the_fit() -> None:
    compute, ring = ComputeModel(0.01, 1e-4), RingModel(1e-4, 1e-9)
    cases = [made(name, workers, 500, compute, ring) for name in BYTES for workers in (1, 2, 3)]
    odd = [made(name, 4, 500, ComputeModel(0.01, 5e-4), ring) for name in BYTES]
    found = fitted([*cases, *odd])
    assert found["latency_seconds"] == pytest.approx(1e-4)
    assert all(check["relative_error"] < -0.5 for check in found["held_out"])


def test_a_prediction_is_the_formula() -> None:
    rows = predicted(Rates(flops=1e14, frame_seconds=1e-4, link=1e10, latency=1e-5))
    alone, eight = ({row["name"]: row for row in rows if row["gpus"] == gpus} for gpus in (1, 8))
    for name, shape in SHAPES.items():
        if name not in alone:
            continue
        with torch.device("meta"):
            model = build_model(shape.config, torch.Generator())
        parameters = sum(parameter.numel() for parameter in model.parameters())
        ring = 2 * 7 * 1e-5 + 2 * 7 / 8 * 4 * parameters / 1e10
        loop = shape.frames * 1e-4
        products = alone[name]["weak_step_seconds"] - loop
        assert eight[name]["weak_step_seconds"] == pytest.approx(loop + products + ring)
        assert eight[name]["weak_efficiency"] == pytest.approx((loop + products) / (loop + products + ring))
        assert eight[name]["strong_step_seconds"] == pytest.approx(loop + products + ring)
        whole = loop + 8 * products
        assert alone[name]["strong_step_seconds"] == pytest.approx(whole)
        assert eight[name]["strong_efficiency"] == pytest.approx(whole / 8 / (loop + products + ring))
        # A weight is multiplied once forwards and twice backwards for every frame, two operations each.
        frames = 64 * shape.frames
        assert products * 1e14 == pytest.approx(6 * parameters * frames, rel=0.1)
    assert len(alone) == 3


def test_more_gpus_are_never_more_efficient() -> None:
    rows = predicted(Rates(flops=5e13, frame_seconds=2e-4, link=5e10, latency=2e-5))
    for name in {row["name"] for row in rows}:
        for kind in ("weak_efficiency", "strong_efficiency"):
            efficiency = [row[kind] for row in rows if row["name"] == name]
            assert efficiency == sorted(efficiency, reverse=True)
            assert efficiency[0] == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--nodes", "1", "2", "2"], "give three sizes or more"),
        (["--nodes", "0", "1", "2"], "expected 1 or more, got 0"),
        (["--link", "0"], "expected more than 0, got 0"),
        (["--latency", "nan"], "expected more than 0, got nan"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(
    wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        scaling.main(wrong)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
