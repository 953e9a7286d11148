import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.batches.epoch_plan import plan_epoch
from tests.vrnn.cases import RaggedBatch, ragged_batch, small_model
from vrnn.likelihood.bounds import elbo, exact, total
from vrnn.models import SequenceModel, Terms
from vrnn.training import Optimisation
from vrnn.training.step import bound_and_kl, kl_factor_at, objective, planned_steps, split_segments

LATENT = [("vrnn-gauss", "pen"), ("vrnn-gauss+smoothing", "speech"), ("srnn-gmm", "speech")]
LENGTHS = [7, 3, 5]


def gradients(value: Tensor, model: SequenceModel) -> dict[str, Tensor]:
    parts = torch.autograd.grad(value.sum(), list(model.parameters()), allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(parameter) if part is None else part
        for (name, parameter), part in zip(model.named_parameters(), parts, strict=True)
    }


def terms_of(model: SequenceModel, batch: RaggedBatch) -> Terms:
    return model(batch.x, batch.mask, batch.noise[0] if model.latent_size else None)


@pytest.mark.parametrize(("name", "kind"), [*LATENT, ("rnn-gmm", "speech")])
def test_with_the_factor_1_and_no_free_nats_it_is_the_bound_and_its_gradient(name: str, kind: str) -> None:
    model = small_model(name, kind)  # type: ignore[arg-type]
    batch = ragged_batch(model, LENGTHS)
    value = objective(terms_of(model, batch), batch.mask)
    if model.latent_size:
        bound = elbo(model, batch.x, batch.mask, batch.noise[0]).value
    else:
        bound = exact(model, batch.x, batch.mask)
    assert torch.equal(value, bound)
    ours, theirs = gradients(value, model), gradients(bound, model)
    assert all(torch.equal(ours[part], theirs[part]) for part in ours)


@pytest.mark.parametrize(("name", "kind"), LATENT)
def test_with_the_factor_0_only_the_emission_is_left_and_its_gradient(name: str, kind: str) -> None:
    model = small_model(name, kind)  # type: ignore[arg-type]
    batch = ragged_batch(model, LENGTHS)
    terms = terms_of(model, batch)
    value, emission = objective(terms, batch.mask, kl_factor=0.0), total(terms.log_emission, batch.mask)
    assert torch.equal(value, emission)
    ours, theirs = gradients(value, model), gradients(emission, model)
    for part in ours:
        torch.testing.assert_close(ours[part], theirs[part], rtol=0, atol=1e-12)
    if name.startswith("vrnn"):
        assert all((part == 0).all() for parameter, part in ours.items() if parameter.startswith("prior"))


def hand_made() -> tuple[Terms, Tensor, Tensor]:
    """Two sequences of 3 and 1 frames; what padding holds would spoil every sum that touched it."""
    emission = torch.tensor([[-1.0, -2.0], [-3.0, math.inf], [-4.0, math.nan]], dtype=torch.float64)
    kl = torch.tensor([[0.1, 0.5], [2.0, math.nan], [0.7, math.inf]], dtype=torch.float64, requires_grad=True)
    return Terms(emission, kl, kl), torch.tensor([[True, True], [True, False], [True, False]]), kl


def test_free_nats_are_charged_frame_by_frame_and_give_no_gradient_below() -> None:
    terms, mask, kl = hand_made()
    value = objective(terms, mask, kl_factor=0.25, free_nats=0.6)
    expected = [-1 - 3 - 4 - 0.25 * (0.6 + 2.0 + 0.7), -2 - 0.25 * 0.6]
    torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    value.sum().backward()
    assert kl.grad is not None
    assert kl.grad.tolist() == [[0, 0], [-0.25, 0], [-0.25, 0]]


def test_a_divergence_that_rounds_below_zero_is_not_touched_without_free_nats() -> None:
    terms = Terms(torch.zeros(1, 1), torch.full((1, 1), -1e-9), torch.zeros(1, 1), ())
    assert objective(terms, torch.ones(1, 1, dtype=torch.bool)).item() == pytest.approx(1e-9)


def test_what_training_reports_is_the_bound_whatever_it_maximises() -> None:
    terms, mask, _ = hand_made()
    assert bound_and_kl(terms, mask).tolist() == pytest.approx([-1 - 3 - 4 - 2 - (0.1 + 2 + 0.7 + 0.5), 3.3])
    nats, kl = bound_and_kl(Terms(terms.log_emission), mask).tolist()
    assert nats == -10
    assert math.isnan(kl)


@pytest.mark.parametrize(
    ("step", "warmup", "expected"), [(0, 0, 1), (9, 0, 1), (0, 4, 0), (1, 4, 0.25), (4, 4, 1), (90, 4, 1)]
)
def test_the_factor_rises_from_0_to_1_over_the_warm_up(step: int, warmup: int, expected: float) -> None:
    assert kl_factor_at(step, warmup) == expected


@pytest.mark.parametrize("size", [0, 1, 2, 3, 6, 7, 8, 100])
def test_segments_hold_every_real_frame_once(size: int) -> None:
    lengths = np.array([7, 2, 3])
    mask = np.arange(7)[:, None] < lengths
    segments = split_segments(lengths, size)
    assert [segment.real_frames for segment in segments] == [mask[segment.frames].sum() for segment in segments]
    assert [frame for segment in segments for frame in range(7)[segment.frames]] == list(range(7))
    assert all(segment.real_frames > 0 for segment in segments)
    assert len(segments) == (-(-7 // size) if size else 1)


@pytest.mark.parametrize("truncate", [0, 9, 1000])
def test_the_planned_steps_are_those_of_all_epochs(truncate: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 60, size=45)
    rules = Optimisation(max_epochs=3, batch_size=4, truncate_frames=truncate, schedule="linear")
    plans = [positions for epoch in range(3) for positions in plan_epoch(lengths, 4, 5, epoch)]
    assert planned_steps(lengths, rules, 5) == sum(
        len(split_segments(lengths[positions], truncate)) for positions in plans
    )
