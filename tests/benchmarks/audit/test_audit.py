"""Audits are held to scores, to densities that scipy works out from planted weights, and to planted silence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from scipy import stats
from scipy.special import expit

from benchmarks.audit.audit import audit, emission_floor, quietness
from benchmarks.errors import StudyError
from benchmarks.schema.audit import Audit
from benchmarks.schema.base import to_json
from benchmarks.scoring.score import ScoreRequest, score, summarise_scores
from pipelines.batches.protocol import Framing
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink
from tests.benchmarks.untrained import untrained
from tests.conftest import prepare_here
from tests.vrnn.cases import ragged_batch, small_model
from vrnn.likelihood.bounds import elbo, exact, frame_terms
from vrnn.training import Checkpoint

LEVEL, LOUD = 40, 1000
"""What planted silence is, and how far loud samples reach."""

Floats = npt.NDArray[np.float64]


def planted() -> dict[str, npt.NDArray[np.int16]]:
    """Test sentences: constant, near-silent and loud frames, one with tails, one that is too short for a frame."""
    generator = np.random.default_rng(7)

    def loud(frames: int) -> npt.NDArray[np.int16]:
        return generator.integers(-LOUD, LOUD, 200 * frames).astype(np.int16)

    def flat(frames: int, level: int = LEVEL) -> npt.NDArray[np.int16]:
        return np.full(200 * frames, level, np.int16)

    wobbling = flat(2)
    wobbling[::2] += 2
    wobbling[200::3] -= 1
    step = flat(1)
    step[100:] += 2
    return {
        "SI1": np.concatenate([flat(3), loud(2), flat(1, -32768), step]),
        "SI2": np.concatenate([wobbling, loud(4), flat(1)[:150]]),
        "SI3": flat(1)[:120],
    }


@pytest.fixture(scope="module")
def silent_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TIMIT's layout, with planted test sentences of one speaker."""
    place = tmp_path_factory.mktemp("silence")
    generator = np.random.default_rng(3)
    sentences = {
        ("TRAIN", f"F{voice * 3}0", "SI5"): generator.integers(-LOUD, LOUD, 2000).astype(np.int16) for voice in "ABC"
    } | {("TEST", "MDDD0", name): samples for name, samples in planted().items()}
    for (tree, speaker, name), samples in sentences.items():
        path = place / "raw" / tree / "DR1" / speaker / f"{name}.WAV"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 16000, format="WAV", subtype="PCM_16")
    prepare_here("timit", place / "raw", place / "shards")
    return place / "shards"


@pytest.fixture
def silent(silent_shards: Path) -> ShardSet:
    return ShardSet(Location(str(silent_shards)))


def framing_of(shards: ShardSet) -> Framing:
    return untrained(shards, "iid-gauss", "paper").framing


def with_bias(checkpoint: Checkpoint, bias: Floats) -> Checkpoint:
    """An `iid` model whose emission is defined by its biases alone."""
    weights = {name: value.double() for name, value in checkpoint.weights.items()}
    weights["emission.affine.weights.0"].zero_()
    weights["emission.affine.bias"] = torch.from_numpy(np.asarray(bias, dtype=np.float64))
    return replace(checkpoint, weights=weights)


def flat_gaussian(shards: ShardSet, protocol: str, steps: float, level: float = LEVEL) -> Checkpoint:
    """Every sample is N(level, (steps + floor)^2), in quantisation steps."""
    checkpoint = untrained(shards, "iid-gauss", protocol)
    framing = checkpoint.framing
    mean, std = (level - framing.mean[0]) / framing.std[0], steps / framing.std[0]
    return with_bias(checkpoint, np.repeat([mean, np.log(np.expm1(std))], 200))


def log_densities(framing: Framing, steps: float, level: float = LEVEL) -> Floats:
    """Of every planted whole frame under such a model with so many steps in all, by scipy, on the normalised scale."""
    values = np.concatenate([signal[: len(signal) // 200 * 200] for signal in planted().values()])
    mean, std = framing.mean[0], framing.std[0]
    samples = ((values - mean) / std).astype(np.float32).astype(np.float64)
    terms = stats.norm.logpdf(samples, (level - mean) / std, steps / std)
    return terms.reshape(-1, 200).sum(1)


def by_name(found: Audit) -> dict[str, tuple[int, float]]:
    return {part.name: (part.frames, part.nats) for part in found.parts}


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("rnn-gmm", "pen"),
        ("vrnn-gauss+smoothing", "pen"),
        ("vrnn-gauss", "speech"),
        ("srnn-gmm", "speech"),
        ("rnn-hier", "speech"),
        ("rnn-dmol", "speech"),
    ],
)
def test_the_audited_terms_add_up_to_the_score(
    model: str, kind: str, ink: ShardSet, silent: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = ink if kind == "pen" else silent
    checkpoint = untrained(shards, model)
    estimator = "elbo" if checkpoint.spec.model.latent else "exact"
    request = ScoreRequest("test", estimator, seed=5, precision="float64", repeats=1)
    scores = score(checkpoint, shards, request)
    found = audit(checkpoint, shards, seed=5, precision="float64")
    assert found.nats_per_frame == pytest.approx(summarise_scores(scores, checkpoint).nats_per_frame, rel=1e-12)
    assert sum(nats for _, nats in by_name(found).values()) == pytest.approx(scores["nats"].sum(), rel=1e-12)
    assert found.coverage.frames_scored == scores["frames"].sum() == sum(part.frames for part in found.parts)
    assert found.estimator == estimator
    if estimator == "elbo":
        assert audit(checkpoint, shards, precision="float64").nats_per_frame != found.nats_per_frame

    monkeypatch.setattr("benchmarks.scoring.evaluation._ELEMENTS", 2000)
    apart = audit(checkpoint, shards, seed=5, precision="float64", batch_size=3)
    assert [floor.nats_per_frame for floor in apart.floors] == pytest.approx(
        [floor.nats_per_frame for floor in found.floors], rel=1e-9
    )
    assert by_name(apart)["other"] == pytest.approx(by_name(found)["other"], rel=1e-9)


def test_planted_silence_is_counted_and_has_the_nats_that_scipy_gives_it(silent: ShardSet) -> None:
    found = audit(flat_gaussian(silent, "paper", 50.0), silent, precision="float64")
    terms = log_densities(framing_of(silent), 50.0 + found.floors[0].steps)
    constant, near = [0, 1, 2, 5], [6, 7]
    assert found.nats_per_frame == pytest.approx(terms.mean(), rel=1e-6)
    other = sorted(set(range(len(terms))) - {*constant, *near})
    expected = {"constant": constant, "near_silent": near, "other": other}
    for name, frames in expected.items():
        assert by_name(found)[name] == (len(frames), pytest.approx(terms[frames].sum(), rel=1e-6))
    assert [part.share_of_frames for part in found.parts] == [4 / 13, 2 / 13, 7 / 13]
    assert found.mean_size == pytest.approx(np.abs(terms).mean(), rel=1e-6)


def mixture(checkpoint: Checkpoint, steps: float, level: float) -> tuple[Checkpoint, Callable[[float], Floats]]:
    """An `iid-gmm` of one narrow component and others that take all else; and scipy's terms under a floor in steps."""
    framing, components = checkpoint.framing, checkpoint.spec.model.components
    means = np.repeat([level, *[0.0] * (components - 1)], 200) - framing.mean[0]
    spreads = np.repeat([steps, *[20000.0] * (components - 1)], 200)
    raw = np.log(np.expm1(spreads / framing.std[0]))

    def terms(floor: float) -> Floats:
        narrow, rest = (log_densities(framing, *at) for at in ((steps + floor, level), (20000.0 + floor, 0.0)))
        return np.logaddexp(narrow - np.log(components), rest + np.log(1 - 1 / components))

    return with_bias(checkpoint, np.concatenate([means / framing.std[0], raw, np.zeros(components)])), terms


def test_silence_that_lifts_the_figure_is_warned_of(silent: ShardSet) -> None:
    checkpoint, terms = mixture(untrained(silent, "iid-gmm", "paper"), 2.0, LEVEL)
    found = audit(checkpoint, silent, precision="float64")
    nats = terms(found.floors[0].steps)
    (lift,) = (warning for warning in found.warnings if "near-silent frames" in warning)
    assert "46.2% of all" in lift
    assert f"from {nats[[3, 4, 8, 9, 10, 11, 12]].mean():.3f} to {nats.mean():.3f} nats" in lift
    assert not [warning for warning in found.warnings if "no code" in warning]
    dequantised, _ = mixture(untrained(silent, "iid-gmm", "clean"), 2.0, LEVEL)
    found = audit(dequantised, silent, precision="float64")
    assert found.nats_per_frame > (found.parts[-1].nats_per_frame or 0)
    assert all("unscored" in warning for warning in found.warnings)


def test_a_share_is_given_where_all_parts_have_one_sign_alone(silent: ShardSet) -> None:
    wide = audit(flat_gaussian(silent, "paper", 1e5), silent, precision="float64")
    total = sum(part.nats for part in wide.parts)
    assert total < 0
    assert [part.share_of_nats for part in wide.parts] == pytest.approx([part.nats / total for part in wide.parts])
    assert sum(part.share_of_nats or 0 for part in wide.parts) == pytest.approx(1)
    narrow = audit(flat_gaussian(silent, "paper", 50.0), silent, precision="float64")
    assert {np.sign(part.nats) for part in narrow.parts} == {1.0, -1.0}
    assert [part.share_of_nats for part in narrow.parts] == [None] * 3


def test_quiet_frames_are_told_by_extent_and_not_by_level() -> None:
    ends = np.concatenate([np.full(4, -32768), np.full(4, 32767), [-32768, 32767, 0, 0], [5, 7, 6, 5], [5, 8, 6, 5]])
    tail = np.zeros(3)
    assert quietness(np.concatenate([ends, tail]).astype(np.int16), 5, 4).tolist() == [0, 0, 2, 1, 2]
    x, y = np.array([3, 3, 4, 4, 4, 6, 5], np.int32), np.array([0, 0, 1, 0, -2, -2, -3], np.int32)
    ink = Ink(x, y, np.zeros(7, np.bool_), np.arange(7))
    assert quietness(ink, 6, 3).tolist() == [0, 1, 1, 2, 2, 1]


def test_floors_are_the_closed_form_of_the_same_weights(silent: ShardSet) -> None:
    checkpoint = flat_gaussian(silent, "paper", 3.0)
    std = checkpoint.framing.std[0]
    found = audit(checkpoint, silent, precision="float64")
    assert [floor.sigma_floor for floor in found.floors] == pytest.approx([1e-4, 1e-3, 1e-2, 0.5 / std])
    assert [floor.steps for floor in found.floors] == pytest.approx([1e-4 * std, 1e-3 * std, 1e-2 * std, 0.5])
    expected = [log_densities(checkpoint.framing, 3.0 + floor.steps).mean() for floor in found.floors]
    assert [floor.nats_per_frame for floor in found.floors] == pytest.approx(expected, rel=1e-6)
    assert [floor.change for floor in found.floors] == pytest.approx([value - expected[0] for value in expected])
    assert found.floors[0].change == 0


def test_negative_code_lengths_are_found_and_their_nats_are_what_scipy_gives(silent: ShardSet) -> None:
    checkpoint = flat_gaussian(silent, "paper", 0.1)
    found = audit(checkpoint, silent, precision="float64")
    steps = 0.1 + found.floors[0].steps
    gain = 200 * stats.norm.logpdf(0, scale=steps)
    assert gain > 0
    assert found.below_zero is not None
    assert (found.below_zero.frames, found.below_zero.share_of_frames) == (3, 3 / 13)
    assert found.below_zero.nats == pytest.approx(3 * gain, rel=1e-4)
    assert found.below_zero.nats_per_frame == pytest.approx(3 * gain / 13, rel=1e-4)
    assert found.below_zero.capped_nats_per_frame == pytest.approx(found.nats_per_frame - 3 * gain / 13)
    bits = (200 * np.log(checkpoint.framing.std[0]) - found.nats_per_frame) / np.log(2)
    assert found.below_zero.code_nats_per_frame / np.log(2) == pytest.approx(bits)
    assert any("23.1% of frames have a density above 1" in warning for warning in found.warnings)


@pytest.mark.parametrize(("steps", "impossible"), [(0.398, 3), (0.400, 0)])
def test_a_gaussian_of_0_4_steps_has_no_density_above_one_an_integer(
    silent: ShardSet, steps: float, impossible: int
) -> None:
    checkpoint = flat_gaussian(silent, "paper", steps - 1e-4 * framing_of(silent).std[0])
    below = audit(checkpoint, silent, precision="float64").below_zero
    assert below is not None
    assert below.frames == impossible


def test_dequantised_frames_fall_below_zero_by_a_fluke_alone(silent: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that gain by integers gain nothing by integers plus noise, unless the noise is kept from the model."""
    checkpoint = flat_gaussian(silent, "clean", 0.2)
    found = audit(checkpoint, silent, precision="float64")
    assert found.below_zero is not None
    assert found.below_zero.dequantised
    assert found.below_zero.nats_per_frame <= 1
    assert found.warnings == tuple(warning for warning in found.warnings if "unscored" in warning)
    monkeypatch.setattr(Framing, "_dequantised", lambda _, values, __: values.astype(np.float64))
    faulty = audit(checkpoint, silent, precision="float64")
    assert any("not independent" in warning for warning in faulty.warnings)


def test_the_classes_are_of_recorded_integers_whatever_the_noise(silent: ShardSet) -> None:
    clean, paper = (audit(flat_gaussian(silent, protocol, 9.0), silent) for protocol in ("clean", "paper"))
    assert [part.frames for part in clean.parts] == [part.frames for part in paper.parts] == [4, 2, 7]


def test_pen_frames_have_the_density_that_scipy_gives_them(ink: ShardSet) -> None:
    """A narrow Gaussian at the first line's first offset: there alone is its density above 1 an integer."""
    checkpoint = untrained(ink, "iid-gauss", "paper")
    mean, scale = (np.array(values) for values in (checkpoint.framing.mean, checkpoint.framing.std))
    first = ink.signal(int(np.flatnonzero(ink.index["split"] == checkpoint.report_split)[0]))
    assert isinstance(first, Ink)
    centre = np.array([int(first.x[1]) - int(first.x[0]), int(first.y[0]) - int(first.y[1])])
    bias = np.array([*(centre - mean) / scale, *np.log(np.expm1(0.2 / scale)), 0.4, -2.0])
    found = audit(with_bias(checkpoint, bias), ink, precision="float64")
    std, rho = np.log1p(np.exp(bias[2:4])) + 1e-4, (1 - 1e-4) * np.tanh(0.4)
    covariance = np.outer(std, std) * [[1, rho], [rho, 1]]
    terms, quiet = [], []
    for row in np.flatnonzero(ink.index["split"] == checkpoint.report_split):
        signal = ink.signal(int(row))
        assert isinstance(signal, Ink)
        for t in range(len(signal) - 1):
            dx, dy = int(signal.x[t + 1]) - int(signal.x[t]), int(signal.y[t + 1]) - int(signal.y[t])
            offset = np.array([(dx - mean[0]) / scale[0], (-dy - mean[1]) / scale[1]], np.float32)
            pen = expit(-2.0 if signal.pen_up[t + 1] else 2.0)
            terms.append(stats.multivariate_normal.logpdf(offset, bias[:2], covariance) + np.log(pen))
            quiet.append("constant" if dx == dy == 0 else "near_silent" if max(abs(dx), abs(dy)) == 1 else "other")
    nats = np.array(terms)
    assert found.nats_per_frame == pytest.approx(nats.mean(), rel=1e-6)
    for name, (frames, of_part) in by_name(found).items():
        assert frames == quiet.count(name)
        assert of_part == pytest.approx(nats[np.array(quiet) == name].sum(), rel=1e-6)
    code_lengths = np.log(scale[0] * scale[1]) - nats
    assert found.below_zero is not None
    assert 0 < found.below_zero.frames == (code_lengths < 0).sum() < len(nats)
    assert found.below_zero.nats == pytest.approx(-code_lengths[code_lengths < 0].sum(), rel=1e-6)
    across, along = untrained(ink, "iid-gauss", "clean").framing.std
    clean = audit(untrained(ink, "iid-gauss", "clean"), ink)
    assert across != along
    assert clean.floors[-1].sigma_floor == pytest.approx(0.5 / min(across, along))
    assert clean.floors[-1].steps == pytest.approx(0.5)


def test_a_mass_has_nothing_below_zero_and_is_not_warned_of(silent: ShardSet) -> None:
    found = audit(untrained(silent, "iid-dmol", "paper"), silent, precision="float64")
    assert found.measure == "mass"
    assert found.below_zero is None
    assert found.nats_per_frame < 0
    assert len({floor.nats_per_frame for floor in found.floors}) == len(found.floors)
    assert all("unscored" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("window", "kept", "expected"),
    [
        (None, True, (1, 150, 0, 120, 13)),
        (2, True, (1, 150, 0, 120, 13)),
        (4, False, (1, 150, 5 * 200, 120, 8)),
        (7, False, (2, 0, 0, 6 * 200 + 150 + 120, 7)),
    ],
)
def test_what_a_protocol_leaves_out_is_told_apart(
    silent: ShardSet, window: int | None, kept: bool, expected: tuple[int, ...]
) -> None:
    checkpoint = untrained(silent, "iid-gauss", "paper")
    rules = checkpoint.spec.protocol.model_copy(update={"window_frames": window, "rest_kept": kept})
    cut = replace(
        checkpoint,
        spec=checkpoint.spec.model_copy(update={"protocol": rules}),
        framing=replace(checkpoint.framing, protocol=rules),
    )
    found = audit(cut, silent)
    left_out, tails, windows, whole, scored = expected
    coverage = found.coverage
    assert (coverage.sequences, coverage.sequences_left_out) == (3, left_out)
    assert (coverage.values_in_tails, coverage.values_in_windows, coverage.values_in_sequences) == (
        tails,
        windows,
        whole,
    )
    assert (coverage.frames, coverage.frames_scored) == (13, scored)
    assert coverage.values == 13 * 200 + 150 + 120 == coverage.values_scored + tails + windows + whole
    assert coverage.share_left_out == pytest.approx((tails + windows + whole) / coverage.values)
    (warning,) = (warning for warning in found.warnings if "unscored" in warning)
    assert f"{left_out} of 3 sequences as a whole" in warning


def test_a_floor_that_decides_the_figure_is_warned_of_and_others_are_not(silent: ShardSet) -> None:
    """One frame is of the lowest integer, and one component as narrow there as the floor lets it be."""
    narrow, terms = mixture(untrained(silent, "iid-gmm", "paper"), 1e-3, -32768)
    found = audit(narrow, silent, precision="float64")
    expected = [terms(floor.steps).mean() for floor in found.floors]
    assert [floor.nats_per_frame for floor in found.floors] == pytest.approx(expected, rel=1e-5)
    assert expected[-1] < expected[0]
    (warning,) = (warning for warning in found.warnings if "floor moves the score" in warning)
    assert f"is {expected[0]:.3f} nats per frame, at" in warning
    assert f"have {expected[-1]:.3f}:" in warning
    wide, _ = mixture(untrained(silent, "iid-gmm", "paper"), 20000.0, 0.0)
    assert not [warning for warning in audit(wide, silent).warnings if "floor" in warning]


def test_what_is_not_finite_is_told_and_no_json_number(silent: ShardSet) -> None:
    broken = with_bias(untrained(silent, "iid-gauss", "paper"), np.repeat([np.inf, 0.0], 200))
    found = audit(broken, silent)
    assert found.not_finite == 13
    assert any("13 of 13 frames have no finite score" in warning for warning in found.warnings)
    stored = to_json(found)
    assert stored["nats_per_frame"] is None
    assert stored["parts"][0]["nats"] is None
    assert stored["coverage"]["frames_scored"] == 13


def test_another_floor_of_the_emission_leaves_the_latents_alone() -> None:
    model = small_model("vrnn-gauss", "pen")
    batch = ragged_batch(model, [4, 2])
    own = model(batch.x, batch.mask, batch.noise[0])
    with emission_floor(model, 0.3):
        raised = model(batch.x, batch.mask, batch.noise[0])
    assert torch.equal(raised.kl, own.kl)
    assert not torch.isclose(raised.log_emission, own.log_emission).any()
    assert torch.equal(model(batch.x, batch.mask, batch.noise[0]).log_emission, own.log_emission)


@pytest.mark.parametrize("name", ["rnn-gmm", "vrnn-gauss", "srnn-gauss"])
def test_frame_terms_add_up_to_the_bound_and_leave_padding_out(name: str) -> None:
    model = small_model(name, "pen")
    batch = ragged_batch(model, [5, 1, 3])
    if model.latent_size:
        whole = elbo(model, batch.x, batch.mask, batch.noise[0]).value
        terms = frame_terms(model, batch.x, batch.mask, batch.noise[0])
    else:
        whole, terms = exact(model, batch.x, batch.mask), frame_terms(model, batch.x, batch.mask)
    torch.testing.assert_close(terms.sum(0), whole, rtol=1e-12, atol=0)
    assert terms.shape == batch.mask.shape
    assert (terms[~batch.mask] == 0).all()
    assert (terms[batch.mask] != 0).all()


def test_shards_of_another_corpus_are_refused(ink: ShardSet, silent: ShardSet) -> None:
    with pytest.raises(StudyError, match=r"trained on timit.*contains iam_ondb"):
        audit(untrained(silent, "iid-gauss"), ink)
    with pytest.raises(StudyError, match="no sequence in split 'dev'"):
        audit(untrained(silent, "iid-gauss"), silent, split="dev")
