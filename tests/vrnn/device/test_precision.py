"""The meaning of a precision, the path it takes, and its description."""

import subprocess
import sys

import pytest
import torch

from vrnn.device import device
from vrnn.device.device import describe_path
from vrnn.device.memory import keep_freed_memory
from vrnn.device.precision import Precision, allow_tf32, arithmetic, parameter_dtype
from vrnn.scan import cells
from vrnn.scan.cuda_graphs import recording_by

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("precision", "parameters", "products"),
    [
        ("float64", torch.float64, torch.float64),
        ("float32", torch.float32, torch.float32),
        ("tf32", torch.float32, torch.float32),
        ("bfloat16", torch.float32, torch.bfloat16),
    ],
)
def test_a_precision_applies_to_parameters_and_products(
    precision: Precision, parameters: torch.dtype, products: torch.dtype
):
    assert parameter_dtype(precision) == parameters
    with arithmetic(CPU, precision):
        matrix = torch.ones(2, 2, dtype=parameters)
        assert (matrix @ matrix).dtype == products
        assert (matrix + matrix).exp().sum().dtype == parameters


def test_tf32_is_on_for_that_precision_alone():
    try:
        allow_tf32("tf32")
        assert torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        allow_tf32("float32")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_the_path_is_described():
    here = describe_path(CPU, "float64")
    assert here == {
        "loop": "frame by frame",
        "products": "float64, plain matrices",
        "elementwise": "torch",
        "plain LSTM": "the same loop",
    }
    assert describe_path(CPU, "bfloat16")["products"].startswith("bfloat16, ")


def test_the_path_of_a_gpu_is_described_with_and_without_its_parts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: True)
    monkeypatch.setattr(device, "fused_for", lambda device: cells)
    assert describe_path(GPU, "tf32") == {
        "loop": "CUDA graph",
        "products": "tf32, plain matrices",
        "elementwise": "Triton",
        "plain LSTM": "cuDNN",
    }
    monkeypatch.setattr(torch.backends.cudnn, "is_available", lambda: False)
    monkeypatch.setattr(device, "fused_for", lambda device: None)
    with recording_by(None):
        assert describe_path(GPU, "tf32") == {
            "loop": "frame by frame",
            "products": "tf32, plain matrices",
            "elementwise": "torch",
            "plain LSTM": "the same loop",
        }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc keeps freed memory")
def test_freed_memory_is_kept():
    """An allocation of a size that was freed before causes no page faults."""
    code = """
import resource, torch
from vrnn.device.memory import keep_freed_memory
assert {setting}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(6)][-1])
"""
    counts = [
        int(
            subprocess.run([sys.executable, "-c", code.format(setting=setting)], capture_output=True, check=True).stdout
        )
        for setting in ("keep_freed_memory()", "True")
    ]
    assert counts[0] < counts[1] / 20


def test_without_glibc_freed_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
