import pytest
import torch
from torch import nn

from vrnn.nn.lstm import LSTM, LSTMState


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_recurrence_is_torchs_lstm():
    lstm = LSTM([3, 2], 4, generator()).double()
    lstm.inputs.bias.data.uniform_(-1, 1, generator=generator(1))
    reference = nn.LSTM(5, 4, dtype=torch.float64)
    order = [0, 1, 3, 2]

    def reordered(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([rows.chunk(4)[index] for index in order])

    reference.load_state_dict(
        {
            "weight_ih_l0": reordered(torch.cat(list(lstm.inputs.weights), 1)),
            "weight_hh_l0": reordered(lstm.recurrent),
            "bias_ih_l0": reordered(lstm.inputs.bias),
            "bias_hh_l0": torch.zeros(16),
        }
    )
    x = torch.randn(6, 2, 5, generator=generator(2), dtype=torch.float64)
    before, last = lstm(lstm.project(*x.split([3, 2], -1)))
    expected, (h, c) = reference(x)
    torch.testing.assert_close(torch.cat([before[1:], last.h[None]]), expected)
    torch.testing.assert_close(last.tensors(), (h[0], c[0]))
    assert (before[0] == 0).all()
    assert sum(p.numel() for p in lstm.parameters()) == 16 * (5 + 4 + 1)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_reading_by_the_library_is_the_time_loop_in_value_and_every_gradient(precision: str):
    dtype = getattr(torch, precision)
    lstm = LSTM([3], 4, generator()).to(dtype)
    lstm.inputs.bias.data.uniform_(-1, 1, generator=generator(1))
    x = torch.randn(6, 2, 3, generator=generator(2), dtype=dtype).requires_grad_()
    state = LSTMState(*(torch.randn(2, 4, generator=generator(seed), dtype=dtype).requires_grad_() for seed in (3, 4)))
    found: list[tuple[torch.Tensor, ...]] = []
    for read in (lstm.read, lstm.read_by_library):
        before, last = read(x, state)
        weighted = sum((part * torch.arange(part.numel()).view_as(part)).sum() for part in (before, *last.tensors()))
        parts = [x, *state.tensors(), *lstm.parameters()]
        found.append((before, *last.tensors(), *torch.autograd.grad(weighted, parts)))
    torch.testing.assert_close(found[1], found[0])


def test_a_recurrence_continues_from_a_state():
    lstm, projected = LSTM([3], 4, generator()), torch.randn(6, 2, 16, generator=generator(1))
    _, whole = lstm(projected)
    _, first = lstm(projected[:4])
    torch.testing.assert_close(lstm(projected[4:], first)[1].tensors(), whole.tensors())
    torch.testing.assert_close(lstm.step(projected[5], lstm(projected[:5])[1]).tensors(), whole.tensors())


def test_read_backwards_a_sequence_begins_at_its_own_last_frame():
    lstm, projected = LSTM([3], 4, generator()), torch.randn(6, 2, 16, generator=generator(1))
    mask = torch.arange(6)[:, None] < torch.tensor([6, 4])
    found = lstm.read_backwards(projected, mask)
    for sequence, length in enumerate([6, 4]):
        alone = projected[:length, [sequence]].flip(0)
        before, last = lstm(alone)
        torch.testing.assert_close(found[:length, [sequence]].flip(0), torch.cat([before[1:], last.h[None]]))
    assert (found[4:, 1] == 0).all()


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_step_is_one_frame_of_the_time_loop_in_value_and_every_gradient(precision: str):
    dtype = getattr(torch, precision)
    lstm, projected = LSTM([3], 4, generator()).to(dtype), torch.randn(2, 16, generator=generator(1), dtype=dtype)
    state = LSTMState(*(torch.randn(2, 4, generator=generator(seed), dtype=dtype).requires_grad_() for seed in (2, 3)))
    found: list[tuple[torch.Tensor, ...]] = []
    for after in (lstm.step(projected, state), lstm(projected[None], state)[1]):
        weighted = sum((part * torch.arange(part.numel()).view_as(part)).sum() for part in after.tensors())
        parts = [*state.tensors(), lstm.recurrent]
        found.append((*after.tensors(), *torch.autograd.grad(weighted, parts)))
    torch.testing.assert_close(found[0], found[1])
