import copy
import io
import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tests.vrnn.cases import small_model
from vrnn.models import SequenceModel
from vrnn.training import Optimisation
from vrnn.training.optimiser import Optimiser

EVERYTHING: dict[str, object] = {"schedule": "linear", "warmup_steps": 3, "averaging": 0.8, "learning_rate": 0.05}


def make(planned_steps: int = 20, **rules: object) -> tuple[SequenceModel, Optimiser]:
    model = small_model("rnn-gauss", "pen")
    return model, Optimiser(model, Optimisation.model_validate(rules), planned_steps)


def set_gradients(model: SequenceModel, seed: int, scale: float = 0.01) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def take(model: SequenceModel, optimiser: Optimiser, seed: int, scale: float = 0.01) -> float | None:
    set_gradients(model, seed, scale)
    return optimiser.step(-1.0)


def weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).clone()


def share(schedule: str, step: int, warmup: int, total: int, final: float) -> float:
    """Of the learning rate in a step counted from 0, in closed form."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / (total - warmup)
    decay = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[schedule]
    return final + (1 - final) * decay


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0, 1, 2, 5, 11])
@pytest.mark.parametrize("final", [0.0, 0.2])
def test_the_learning_rate_follows_its_schedule(schedule: str, warmup: int, final: float) -> None:
    rules = {"schedule": schedule, "warmup_steps": warmup, "final_learning_rate": final, "learning_rate": 0.01}
    model, optimiser = make(planned_steps=12, **rules)
    for step in range(12):
        assert optimiser.learning_rate == pytest.approx(0.01 * share(schedule, step, warmup, 12, final), abs=1e-15)
        take(model, optimiser, step)
    assert optimiser.learning_rate == pytest.approx(0.01 * share(schedule, 12, warmup, 12, final), abs=1e-15)


def test_the_step_uses_the_rate_that_is_told() -> None:
    model, optimiser = make(schedule="linear", warmup_steps=4, learning_rate=0.01)
    before, rate = weights(model), optimiser.learning_rate
    take(model, optimiser, 0)
    assert (weights(model) - before).abs().max().item() == pytest.approx(rate, rel=1e-4)  # of Adam's first step
    assert rate == pytest.approx(0.01 / 4)


def test_a_warm_up_longer_than_the_run_never_ends() -> None:
    model, optimiser = make(planned_steps=3, schedule="cosine", warmup_steps=10, learning_rate=1.0)
    rates: list[float] = []
    for step in range(3):
        rates.append(optimiser.learning_rate)
        take(model, optimiser, step)
    assert rates == pytest.approx([0.1, 0.2, 0.3])


def test_defaults_are_adam_on_clipped_gradients() -> None:
    model, optimiser = make(clip_norm=0.5)
    plain = copy.deepcopy(model)
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3)
    for step, scale in enumerate([0.001, 1.0, 0.01, 5.0]):
        norm = take(model, optimiser, step, scale)
        set_gradients(plain, step, scale)
        parts = [parameter.grad for parameter in plain.parameters() if parameter.grad is not None]
        length = math.sqrt(sum(part.square().sum().item() for part in parts))
        assert norm == pytest.approx(length)
        for part in parts:
            part.mul_(min(1.0, 0.5 / length))
        adam.step()
        torch.testing.assert_close(weights(model), weights(plain), rtol=0, atol=1e-8)
    assert optimiser.scored_model is model


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_the_average_is_the_weighted_mean_of_the_weights_after_every_step(decay: float) -> None:
    model, optimiser = make(averaging=decay, learning_rate=0.05)
    assert torch.equal(weights(optimiser.scored_model), weights(model))
    seen: list[Tensor] = []
    for step in range(8):
        take(model, optimiser, step)
        seen.append(weights(model))
        shares = torch.tensor([decay ** (step - past) for past in range(step + 1)], dtype=torch.float64)
        expected = (shares[:, None] * torch.stack(seen)).sum(0) / shares.sum()
        torch.testing.assert_close(weights(optimiser.scored_model), expected, rtol=0, atol=1e-12)
    assert not torch.equal(weights(optimiser.scored_model), weights(model))


@pytest.mark.parametrize("fault", ["bound", "gradient", "infinite gradient"])
def test_a_step_that_is_not_finite_changes_nothing(fault: str) -> None:
    model, optimiser = make(**EVERYTHING)
    for step in range(3):
        take(model, optimiser, step)
    before = copy.deepcopy(optimiser.state_dict())
    set_gradients(model, 3)
    if fault != "bound":
        gradient = next(model.parameters()).grad
        assert gradient is not None
        gradient.view(-1)[0] = math.nan if fault == "gradient" else math.inf
    assert optimiser.step(math.nan if fault == "bound" else -1.0) is None
    after = optimiser.state_dict()
    assert after.pop("skipped_in_a_row") == before.pop("skipped_in_a_row") + 1
    assert_same(after, before)
    assert weights(model).isfinite().all()
    assert take(model, optimiser, 4) is not None


def assert_same(left: object, right: object) -> None:
    if isinstance(left, dict):
        assert isinstance(right, dict)
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert isinstance(right, list | tuple)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, Tensor):
        assert isinstance(right, Tensor)
        assert torch.equal(left, right)
    else:
        assert left == right


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_more_steps_in_a_row_than_allowed_are_a_divergence(allowed: int) -> None:
    model, optimiser = make(max_nonfinite=allowed)
    for _ in range(2):
        for _ in range(allowed):
            optimiser.step(math.nan)
            assert not optimiser.diverged
        take(model, optimiser, 0)
    for _ in range(allowed):
        optimiser.step(-math.inf)
    assert not optimiser.diverged
    optimiser.step(math.nan)
    assert optimiser.diverged


def test_a_state_read_back_goes_on_with_the_same_bits() -> None:
    model, optimiser = make(**EVERYTHING)
    for step in range(5):
        take(model, optimiser, step)
    optimiser.step(math.nan)
    buffer = io.BytesIO()
    torch.save(optimiser.state_dict(), buffer)
    buffer.seek(0)
    other, again = make(**EVERYTHING)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert again.skipped_in_a_row == 1
    for step in range(5, 9):
        take(model, optimiser, step)
        take(other, again, step)
    assert_same(again.state_dict(), optimiser.state_dict())
    assert torch.equal(weights(again.scored_model), weights(optimiser.scored_model))


@pytest.mark.parametrize(
    "rule",
    [
        {"averaging": 1.0},
        {"averaging": -0.1},
        {"free_nats": -1.0},
        {"free_nats": math.inf},
        {"kl_warmup_steps": -1},
        {"warmup_steps": -1},
        {"final_learning_rate": 1.5},
        {"final_learning_rate": -0.1},
        {"max_nonfinite": -1},
        {"truncate_frames": -1},
        {"schedule": "exponential"},
        {"learning_rate": math.nan},
        {"clip_norm": math.inf},
        {"averagin": 0.9},
    ],
)
def test_rules_out_of_range_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Optimisation.model_validate(rule)
