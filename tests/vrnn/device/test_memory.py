"""A thousand steps of any lengths take no more memory than the first few; failed steps leave nothing."""

import subprocess
import sys
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from vrnn.device.memory import release_memory

STEPS = """
import gc, sys
import torch
from pathlib import Path
from vrnn.likelihood.bounds import elbo
from vrnn.device.memory import keep_freed_memory
from vrnn.models import build_model, preset
from vrnn.scan.time_loop import activation_checkpointing

gc.disable()  # memory that only the collector would free must show as growth
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.set_num_threads(1)

def resident():
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS")).split()[1])

model = build_model(preset(sys.argv[2], "speech", "tiny"), torch.Generator().manual_seed(0))
optimiser = torch.optim.Adam(model.parameters())
generator, sizes = torch.Generator().manual_seed(1), []
for step in range(1000):
    length = int(torch.randint(1, 13, (), generator=generator))
    x = torch.randn(length, 16, 200, generator=generator)
    noise = torch.randn(length, 16, model.latent_size, generator=generator)
    optimiser.zero_grad(set_to_none=True)
    with activation_checkpointing(0 if step % 2 else 5):
        loss = -elbo(model, x, torch.ones(length, 16, dtype=torch.bool), noise).value.sum()
    loss.backward()
    optimiser.step()
    if step % 100 == 99:
        sizes.append(resident())
print(*sizes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")
@pytest.mark.parametrize(("name", "memory"), [("vrnn-gauss", "kept"), ("srnn-gauss", "returned")])
def test_memory_does_not_grow_over_a_thousand_steps(name: str, memory: str):
    done = subprocess.run([sys.executable, "-c", STEPS, memory, name], capture_output=True, text=True, check=True)
    sizes = [int(size) for size in done.stdout.split()]
    assert len(sizes) == 10
    assert sizes[-1] < sizes[2] + 8 * 1024, sizes


class Tape:
    """What a backward pass needs."""


class Keeps(torch.autograd.Function):
    """Holds a tape for its backward pass, as a scan does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tape: Tape) -> Tensor:
        ctx.tape = tape
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class Fails(torch.autograd.Function):
    """Has no memory for its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise MemoryError


def test_a_failed_backward_pass_holds_nothing_once_memory_is_released():
    x, tape = torch.ones(3, requires_grad=True), Tape()
    held = weakref.ref(tape)
    total = (Keeps.apply(x, tape) + Fails.apply(x)).sum()  # type: ignore[operator]
    del tape
    with pytest.raises(MemoryError):
        total.backward()
    del total
    release_memory()
    assert held() is None
