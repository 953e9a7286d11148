import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.batches.protocol import PROTOCOLS, Framing, find_protocol, frame_count
from pipelines.batches.roles import assign_roles
from pipelines.errors import InputError
from pipelines.randomness import keyed_generator
from pipelines.shards.moments import Moments
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink

LINE = Ink(
    x=np.array([10, 12, 9, 9], dtype=np.int32),
    y=np.array([5, 5, 7, 4], dtype=np.int32),
    pen_up=np.array([False, True, False, True]),
    time=np.arange(4),
)


def framing(name: str, kind: str, mean: tuple[float, ...], std: tuple[float, ...]) -> Framing:
    return Framing(PROTOCOLS[name, kind], mean, std)  # type: ignore[index]


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.int16, st.integers(0, 1100)), st.floats(-50, 50), st.floats(0.5, 900))
def test_speech_frames_are_the_normalised_samples_without_the_rest(
    samples: np.ndarray, mean: float, std: float
) -> None:
    rules = framing("paper", "speech", (mean,), (std,))
    frames = rules.frames(samples, None)
    assert frames.shape == (len(samples) // 200, 200)
    assert len(frames) == frame_count(rules.protocol, len(samples))
    kept = samples[: frames.size]
    np.testing.assert_allclose(rules.denormalise(frames), kept, rtol=1e-5, atol=1e-2)


def test_pen_frames_are_offsets_and_pen_lifts() -> None:
    frames = framing("clean", "pen", (0.0, 0.0), (1.0, 1.0)).frames(LINE, keyed_generator("x"))
    np.testing.assert_allclose(frames[:, :2], [[2, 0], [-3, 2], [0, -3]], atol=0.5)
    np.testing.assert_array_equal(frames[:, 2], [1, 0, 1])
    assert frame_count(PROTOCOLS["clean", "pen"], len(LINE)) == len(frames)


def test_under_paper_y_grows_upward_and_denormalise_restores_it() -> None:
    rules = framing("paper", "pen", (8.0, 8.0), (56.0, 56.0))
    frames = rules.frames(LINE, None)
    np.testing.assert_allclose(frames[:, 1] * 56 + 8, [0, -2, 3], atol=1e-5)
    np.testing.assert_allclose(rules.denormalise(frames)[:, :2], [[2, 0], [-3, 2], [0, -3]], atol=1e-5)


def test_dequantisation_stays_within_half_a_step_and_depends_on_its_key() -> None:
    rules = framing("clean", "speech", (0.0,), (1.0,))
    samples = np.arange(400, dtype=np.int16)
    noisy = rules.frames(samples, keyed_generator("a")).ravel()
    assert np.abs(noisy - samples).max() <= 0.5
    assert np.std(noisy - samples) == pytest.approx(math.sqrt(1 / 12), rel=0.1)
    np.testing.assert_array_equal(noisy, rules.frames(samples, keyed_generator("a")).ravel())
    assert not np.array_equal(noisy, rules.frames(samples, keyed_generator("b")).ravel())


def test_the_normalisation_of_each_protocol_follows_the_moments(speech: ShardSet, ink: ShardSet) -> None:
    train = [speech.signal(row) for row in np.flatnonzero(speech.index["split"] == "train")]
    samples = np.concatenate([np.asarray(signal) for signal in train]).astype(np.float64)
    fitted = Framing.fit(PROTOCOLS["clean", "speech"], speech.manifest)
    assert fitted.mean[0] == pytest.approx(samples.mean(), abs=1e-9)
    assert fitted.std[0] == pytest.approx(samples.std(), rel=1e-12)
    shared = Framing.fit(PROTOCOLS["paper", "pen"], ink.manifest)
    assert shared.mean[0] == shared.mean[1] == int(shared.mean[0])
    assert shared.std[0] == shared.std[1]


def test_the_released_integer_normalisation_is_one_mean_for_both_axes() -> None:
    moments = Moments(count=10, sums=(75, -12), sums_of_squares=(700, 300))
    rules = PROTOCOLS["paper", "pen"]
    manifest = type("M", (), {"train_moments_by_sequence": moments, "corpus": "iam_ondb"})()
    fitted = Framing.fit(rules, manifest)  # type: ignore[arg-type]
    assert fitted.mean == (8.0, 8.0)
    assert fitted.std[0] == pytest.approx(math.sqrt(100 - 64))


def test_an_unknown_protocol_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean clean"):
        find_protocol("claen", "speech", "timit")


def test_roles_never_choose_a_checkpoint_on_what_clean_reports(speech: ShardSet, ink: ShardSet) -> None:
    for shards in (speech, ink):
        protocol = PROTOCOLS["clean", shards.manifest.kind]
        roles = assign_roles(shards, protocol)
        splits = shards.index["split"].to_numpy()
        assert roles.report_split == "test"
        assert set(splits[roles.fit]) == {"train"}
        assert set(splits[roles.select]) == {"valid"}


def test_the_paper_reports_iam_ondb_on_the_set_that_chose_the_checkpoint(ink: ShardSet) -> None:
    roles = assign_roles(ink, PROTOCOLS["paper", "pen"])
    splits = ink.index["split"].to_numpy()
    assert set(splits[roles.fit]) == {"train", "valid2", "test"}
    assert (set(splits[roles.select]), roles.report_split) == ({"valid"}, "valid")


def test_without_a_test_split_groups_of_train_choose_the_checkpoint_and_valid_is_reported(ink: ShardSet) -> None:
    ink.index = ink.index[ink.index["split"].isin(["train", "valid"])].reset_index(drop=True)
    del ink.manifest.splits["test"]
    roles = assign_roles(ink, PROTOCOLS["clean", "pen"])
    groups = ink.index["group"].to_numpy()
    assert roles.report_split == "valid"
    assert set(ink.index["split"].to_numpy()[roles.select]) == {"train"}
    assert not set(groups[roles.select]) & set(groups[roles.fit])
    assert len(roles.select) + len(roles.fit) == (ink.index["split"] == "train").sum()
