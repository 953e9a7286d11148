from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.errors import StudyError
from benchmarks.scoring.evaluation import ScoreRequest, score_batches
from benchmarks.scoring.score import score, summarise_scores
from pipelines.batches.frames import Batch
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.conftest import MakeSpec
from tests.vrnn.cases import small_model
from vrnn.training import Checkpoint, load_checkpoint, train


def pen_batch(frames: dict[str, torch.Tensor], names: list[str], pad: int) -> Batch:
    lengths = torch.tensor([len(frames[name]) for name in names])
    padded = torch.zeros(int(lengths.max()) + pad, len(names), 3, dtype=torch.float64)
    for column, name in enumerate(names):
        padded[: lengths[column], column] = frames[name]
    return Batch(tuple(names), padded, torch.arange(len(padded))[:, None] < lengths, lengths)


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    pad=st.integers(0, 4),
    order=st.randoms(use_true_random=False),
    size=st.integers(1, 6),
    request_=st.sampled_from(
        [
            ("rnn-gmm", "exact", 1),
            ("vrnn-gauss", "elbo", 1),
            ("vrnn-gauss+smoothing", "iwae", 7),
            ("vrnn-gauss", "fivo", 7),
            ("srnn-gmm", "fivo", 4),
        ]
    ),
)
def test_a_score_does_not_change_with_batch_size_order_or_padding(
    lengths: list[int], pad: int, order: object, size: int, request_: tuple
) -> None:
    name, estimator, samples = request_
    model = small_model(name, "pen")
    generator = torch.Generator().manual_seed(0)
    frames = {
        f"s{n}": torch.randn(length, 3, generator=generator, dtype=torch.float64) for n, length in enumerate(lengths)
    }
    for value in frames.values():
        value[:, 2] = (value[:, 2] > 0).double()
    request = ScoreRequest("test", estimator, samples, precision="float64")
    alone = pd.concat([score_batches(model, [pen_batch(frames, [n], 0)], request) for n in frames])
    names = list(frames)
    order.shuffle(names)  # type: ignore[attr-defined]
    batches = [pen_batch(frames, names[i : i + size], pad) for i in range(0, len(names), size)]
    together = score_batches(model, batches, request).set_index("id").loc[alone["id"]]
    np.testing.assert_allclose(together["nats"], alone["nats"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(together["standard_error"], alone["standard_error"], rtol=0, atol=1e-6)
    assert together["frames"].tolist() == lengths


@pytest.mark.parametrize(("estimator", "samples"), [("elbo", 1), ("iwae", 6), ("fivo", 6)])
def test_cutting_a_batch_for_memory_changes_no_score(
    estimator: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model("vrnn-gauss", "pen")
    frames = {f"s{n}": torch.randn(n + 2, 3, dtype=torch.float64).abs().round() for n in range(5)}
    batch = pen_batch(frames, list(frames), 2)
    request = ScoreRequest("test", estimator, samples, precision="float64")  # type: ignore[arg-type]
    whole = score_batches(model, [batch], request)
    monkeypatch.setattr("benchmarks.scoring.evaluation._ELEMENTS", 100)
    pd.testing.assert_frame_equal(score_batches(model, [batch], request), whole, rtol=1e-12)


def test_repetitions_are_averaged_and_their_spread_is_the_standard_error() -> None:
    model = small_model("vrnn-gauss", "pen")
    frames = {"a": torch.randn(6, 3, dtype=torch.float64).abs().round(), "b": torch.zeros(4, 3, dtype=torch.float64)}
    batch = pen_batch(frames, ["a", "b"], 0)

    def scored(repeats: int, seed: int = 0) -> pd.DataFrame:
        return score_batches(
            model, [batch], ScoreRequest("test", "elbo", precision="float64", repeats=repeats, seed=seed)
        )

    one, two = scored(1), scored(2)
    second = 2 * two["nats"] - one["nats"]
    np.testing.assert_allclose(two["standard_error"], (second - one["nats"]).abs() / 2)
    assert one["standard_error"].isna().all()
    assert (two["standard_error"] > 0).all()
    many = scored(200)
    far = (scored(200, seed=1)["nats"] - many["nats"]).abs()
    assert (far < 4 * np.sqrt(2) * many["standard_error"]).all()
    assert (many["standard_error"] < two["standard_error"].max()).all()


@pytest.fixture
def trained(make_spec: MakeSpec, tmp_path: Path) -> Checkpoint:
    train(make_spec("vrnn-gauss", max_epochs=2, precision="float32"), Location(str(tmp_path)))
    return load_checkpoint(Location(str(tmp_path)))


def test_every_sequence_of_the_split_is_scored_exactly_once(trained: Checkpoint, ink: ShardSet) -> None:
    elbo = score(trained, ink, ScoreRequest("test", "elbo"))
    iwae = score(trained, ink, ScoreRequest("test", "iwae", 20, batch_size=3))
    expected = ink.index[ink.index["split"] == "test"]
    assert elbo["id"].tolist() == iwae["id"].tolist() == sorted(expected["id"])
    assert elbo["frames"].sum() == (expected["length"] - 1).sum()
    summary = summarise_scores(iwae, trained)
    assert summary.nats_per_sequence == pytest.approx(iwae["nats"].mean())
    assert summary.nats_per_frame == pytest.approx(iwae["nats"].sum() / iwae["frames"].sum())
    assert summary.bits_per_sample is None


def test_one_sample_of_iwae_is_the_first_of_more(trained: Checkpoint, ink: ShardSet) -> None:
    by_size = [score(trained, ink, ScoreRequest("test", "iwae", 3, batch_size=size))["nats"] for size in (1, 5)]
    np.testing.assert_allclose(by_size[0], by_size[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("split", "estimator", "samples", "message"),
    [
        ("dev", "elbo", 1, "no sequence in split 'dev'; use one of test, train, valid"),
        ("test", "exact", 1, "has a latent"),
        ("test", "elbo", 5, "elbo takes one sample"),
        ("test", "iwae", 0, "--num-samples 0: must be 1 or more"),
    ],
)
def test_a_wrong_request_is_an_error_in_one_line(
    trained: Checkpoint, ink: ShardSet, split: str, estimator: str, samples: int, message: str
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        score(trained, ink, ScoreRequest(split, estimator, samples))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_data_of_another_corpus_or_content_are_refused(trained: Checkpoint, ink: ShardSet, speech: ShardSet) -> None:
    with pytest.raises(StudyError, match=r"trained on iam_ondb.*contains timit"):
        score(trained, speech, ScoreRequest("test", "elbo"))
    other = Checkpoint(**vars(trained) | {"spec": trained.spec.model_copy(update={"fingerprint": "f" * 64})})
    with pytest.raises(StudyError, match="trained on data ffff"):
        score(other, ink, ScoreRequest("test", "elbo"))


def test_bits_per_sample_turn_a_density_of_frames_into_a_code_length_of_int16_samples(
    make_spec: MakeSpec,
    speech: ShardSet,
    tmp_path: Path,
) -> None:
    train(make_spec("rnn-gauss", "speech", max_epochs=1), Location(str(tmp_path)))
    checkpoint = load_checkpoint(Location(str(tmp_path)))
    table = score(checkpoint, speech, ScoreRequest("test", "exact"))
    summary = summarise_scores(table, checkpoint)
    std = speech.manifest.train_moments.std[0]
    per_sample_nats = table["nats"].sum() / table["samples"].sum() - np.log(std)
    assert summary.bits_per_sample == pytest.approx(-per_sample_nats / np.log(2))
    assert table["samples"].sum() == 200 * table["frames"].sum()


def test_a_discretised_model_scores_probabilities_of_the_recorded_integers(
    make_spec: MakeSpec, speech: ShardSet, tmp_path: Path
) -> None:
    """Bits of a mass are its code length as it stands; the table is never above 0, and the integers are not touched."""
    spec = make_spec("rnn-dmol", "speech", max_epochs=1)
    assert not spec.protocol.dequantise
    train(spec, Location(str(tmp_path)))
    checkpoint = load_checkpoint(Location(str(tmp_path)))
    table = score(checkpoint, speech, ScoreRequest("test", "exact"))
    summary = summarise_scores(table, checkpoint)
    assert (table["nats"] < 0).all()
    assert summary.measure == "mass"
    assert summary.bits_per_sample == pytest.approx(-table["nats"].sum() / table["samples"].sum() / np.log(2))
