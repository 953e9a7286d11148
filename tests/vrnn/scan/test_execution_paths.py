"""Every way to run a time loop gives the same results: recorded, recomputed, packed for oneDNN, in each precision."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import pytest
import torch
from torch import Tensor

from tests.oracles.textbook import latent_terms, log_likelihood
from tests.vrnn.cases import CASES, LATENT_CASES, RaggedBatch, ragged_batch, small_model
from tests.vrnn.scan.recorder import EagerRecorder
from vrnn.device.precision import Precision, arithmetic, parameter_dtype
from vrnn.likelihood.bounds import elbo, exact, iwae
from vrnn.models import Kind, LatentModel, SequenceModel
from vrnn.scan import packed_weights
from vrnn.scan.cuda_graphs import recording_by
from vrnn.scan.packed_weights import packs, unchanging_weights
from vrnn.scan.time_loop import activation_checkpointing

CPU = torch.device("cpu")


@contextmanager
def packing_everything() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_weights, "_WORTH_PACKING", 0)
        patch.setattr(packed_weights, "_USES_TO_PAY", 1)
        yield


PATHS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "plain": nullcontext,
    "recorded": lambda: recording_by(EagerRecorder),
    "checkpointed-2": lambda: activation_checkpointing(2),
    "unchanging": unchanging_weights,
    "packed": packing_everything,
}
TOLERANCE: dict[Precision, float] = {"float64": 1e-10, "float32": 2e-5, "bfloat16": 0.03}
"""Of a sequence's value, relatively, and of the whole gradient, in its norm; a product in bfloat16 is right to 2^-9."""


def textbook_value(model: SequenceModel, batch: RaggedBatch) -> Tensor:
    parameters = dict(model.named_parameters())
    if not model.latent_size:
        return log_likelihood(parameters, model.config, batch.x)
    terms = latent_terms(parameters, model.config, batch.x, lambda t, q: q.loc + q.scale * batch.noise[0][t])
    return terms.log_emission - terms.kl


def our_value(model: SequenceModel, batch: RaggedBatch, precision: Precision) -> Tensor:
    dtype = parameter_dtype(precision)
    x, noise = batch.x.to(dtype), batch.noise[0].to(dtype)
    with arithmetic(CPU, precision):
        if not model.latent_size:
            return exact(model, x, batch.mask)
        return elbo(model, x, batch.mask, noise).value


def gradient_of(model: SequenceModel, value: Tensor) -> Tensor:
    model.zero_grad(set_to_none=True)
    value.sum().backward()
    return torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_model_is_its_textbook_in_every_precision_on_every_path(
    name: str, kind: Kind, precision: Precision, path: str
):
    # Weights near 0 keep a recurrence from multiplying rounding: the precision of the products is what is tested.
    model = small_model(name, kind, spread=0.05)
    batch = ragged_batch(model, [5, 5, 5])
    reference = textbook_value(model, batch)
    expected = gradient_of(model, reference)
    model.to(parameter_dtype(precision))
    with PATHS[path]():
        value = our_value(model, batch, precision)
        found = gradient_of(model, value)
    assert value.dtype == torch.float64
    limit = TOLERANCE[precision]
    torch.testing.assert_close(value, reference, rtol=limit, atol=limit * float(reference.abs().max()))
    assert float((found - expected).norm() / expected.norm()) < limit


@pytest.mark.parametrize("path", [path for path in PATHS if path != "unchanging"])
@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_a_ragged_batch_is_its_sequences_one_by_one_on_every_path(name: str, kind: Kind, path: str):
    model = small_model(name, kind)
    lengths = [6, 1, 4]
    batch = ragged_batch(model, lengths)
    with PATHS[path]():
        together = elbo(model, batch.x, batch.mask, batch.noise[0]).value
        found = gradient_of(model, together)
    alone = [
        elbo(model, batch.x[:n, [b]], batch.mask[:n, [b]], batch.noise[0][:n, [b]]).value for b, n in enumerate(lengths)
    ]
    torch.testing.assert_close(together, torch.cat(alone))
    torch.testing.assert_close(found, gradient_of(model, torch.cat(alone)))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("name", "kind"), LATENT_CASES)
def test_samples_in_one_pass_are_passes_one_by_one(name: str, kind: Kind, path: str):
    """What samples share is computed once; value and gradient stay the same."""
    model = small_model(name, kind)
    batch = ragged_batch(model, [4, 2], samples=3)
    with PATHS[path]():
        at_once = iwae(model, batch.x, batch.mask, [batch.noise])
        found = gradient_of(model, at_once)
    one_by_one = iwae(model, batch.x, batch.mask, batch.noise.split(1))
    torch.testing.assert_close(at_once, one_by_one)
    torch.testing.assert_close(found, gradient_of(model, one_by_one))


def test_samples_in_one_pass_leave_a_state_for_each():
    for name in ("vrnn-gauss", "srnn-gauss"):
        model = small_model(name, "speech")
        assert isinstance(model, LatentModel)
        batch = ragged_batch(model, [3, 3], samples=2)
        terms = model(batch.x, batch.mask, batch.noise.transpose(0, 1).flatten(1, 2))
        for sample, noise in enumerate(batch.noise):
            alone_state = model(batch.x, batch.mask, noise).state
            for part, alone in zip(terms.state.tensors(), alone_state.tensors(), strict=True):
                torch.testing.assert_close(part[2 * sample : 2 * sample + 2], alone)


@pytest.mark.skipif(not packs(torch.float32), reason="this machine's torch has no oneDNN layout for float32")
def test_a_packed_weight_is_used_again_only_where_weights_do_not_change():
    model = small_model("vrnn-gauss", "speech").float()
    batch = ragged_batch(model, [4, 4])
    x, noise = batch.x.float(), batch.noise[0].float()
    with torch.no_grad(), packing_everything(), ExitStack() as stack:
        first = elbo(model, x, batch.mask, noise).value
        for parameter in model.parameters():
            parameter.data.mul_(1.5)
        changed = elbo(model, x, batch.mask, noise).value
        assert not torch.equal(first, changed)
        stack.enter_context(unchanging_weights())
        made = len(_made(lambda: elbo(model, x, batch.mask, noise)))
        assert made > 0
        assert _made(lambda: elbo(model, x, batch.mask, noise)) == []
        torch.testing.assert_close(elbo(model, x, batch.mask, noise).value, changed)


def _made(action: Callable[[], object]) -> list[int]:
    made: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        original = packed_weights.PackedWeight.__init__

        def counted(weight: packed_weights.PackedWeight, *arguments: object) -> None:
            made.append(1)
            original(weight, *arguments)  # type: ignore[arg-type]

        patch.setattr(packed_weights.PackedWeight, "__init__", counted)
        action()
    return made
