"""Directories of samples: each mode writes what it says, from real sequences, the same for the same seed."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from benchmarks.errors import NotFiniteError, StudyError
from benchmarks.samples.sound import FADE_SAMPLES
from benchmarks.samples.write_samples import GenerateRequest, generate, write_samples
from benchmarks.schema.samples import LatentPath, SampleList
from pipelines.batches.frames import FrameSource
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from pipelines.signals import Ink
from tests.benchmarks.untrained import untrained
from tests.oracles.textbook import latent_terms
from vrnn.errors import ModelError
from vrnn.models import LatentModel
from vrnn.training import Checkpoint
from vrnn.training.noise import latent_noise

LISTING, LATENT = SampleList.file_name, LatentPath.file_name
SVG = "{http://www.w3.org/2000/svg}"
CONTINUE = GenerateRequest("continuation", count=2, frames=12, prime_frames=30, seed=3)


def written(checkpoint: Checkpoint, shards: ShardSet | None, target: Path, **request: Any) -> list[dict[str, Any]]:
    entries = generate(checkpoint, shards, Location(str(target)), GenerateRequest(**request))
    listed = [entry.model_dump(mode="json") for entry in entries]
    assert listing_of(target) == listed
    return listed


def listing_of(target: Path) -> list[dict[str, Any]]:
    return json.loads((target / LISTING).read_text())["samples"]


def wave(target: Path, entry: dict[str, Any]) -> np.ndarray:
    samples, rate = soundfile.read(target / entry["file"], dtype="int16", always_2d=True)
    assert rate == 16000
    assert samples.shape[1] == 1
    return samples[:, 0].astype(np.int64)


def points(target: Path, entry: dict[str, Any]) -> np.ndarray:
    return np.concatenate(json.loads((target / entry["file"]).read_text())["strokes"])


def files(target: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(target.iterdir())}


def signal(shards: ShardSet, name: str | None) -> Any:
    return shards.signal(shards.index["id"].tolist().index(name))


def inner(samples: np.ndarray) -> np.ndarray:
    return samples[FADE_SAMPLES:-FADE_SAMPLES]


@pytest.mark.parametrize("model", ["rnn-gauss", "vrnn-gauss", "vrnn-gauss+smoothing", "srnn-gauss", "rnn-dmol"])
def test_a_spoken_continuation_begins_with_the_recorded_integers(model: str, speech: ShardSet, tmp_path: Path) -> None:
    generate(untrained(speech, model), speech, Location(str(tmp_path)), CONTINUE)
    real, _, first, second = listing_of(tmp_path)
    assert [real["role"], first["role"], second["role"]] == ["real", "continuation", "continuation"]
    assert first["source"] == real["source"] != second["source"]
    assert (first["prime_frames"], first["prime_steps"]) == (30, 6000)
    assert "first 30 frames" in first["caption"]
    samples = wave(tmp_path, first)
    assert len(samples) == len(wave(tmp_path, real)) == 42 * 200
    recorded = np.asarray(signal(speech, first["source"]))[FADE_SAMPLES:6000]
    assert first["gain_db"] == 0
    np.testing.assert_array_equal(samples[FADE_SAMPLES:6000], recorded)
    assert samples[6000:-FADE_SAMPLES].std() > 0


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_a_written_continuation_begins_with_the_recorded_points(protocol: str, ink: ShardSet, tmp_path: Path) -> None:
    generate(untrained(ink, "vrnn-gmm", protocol), ink, Location(str(tmp_path)), CONTINUE)
    entry = listing_of(tmp_path)[2]
    assert (entry["role"], entry["prime_frames"], entry["prime_steps"]) == ("continuation", 30, 31)
    drawn, recorded = points(tmp_path, entry), signal(ink, entry["source"])
    assert isinstance(recorded, Ink)
    assert len(drawn) == 43
    expected = np.stack([recorded.x - recorded.x[0], recorded.y - recorded.y[0]], axis=1)[:31]
    np.testing.assert_array_equal(drawn[:31], expected)


def test_a_continuation_starts_from_the_state_after_its_beginning(speech: ShardSet, tmp_path: Path) -> None:
    """At a temperature near 0, the first new frame is the mean given the beginning, not that of the initial state."""
    checkpoint, prime = untrained(speech, "rnn-gauss"), 20
    asked = {"mode": "continuation", "count": 1, "prime_frames": prime, "frames": 2, "temperature": 1e-9}
    _, entry = written(checkpoint, speech, tmp_path, **asked)
    signal_ = np.asarray(signal(speech, entry["source"]))[: prime * 200].astype(np.float64)
    framing, model = checkpoint.framing, checkpoint.model()
    frames = torch.from_numpy(((signal_ - framing.mean[0]) / framing.std[0]).astype(np.float32)).reshape(prime, 1, 200)
    with torch.no_grad():
        state = model(frames, torch.ones(prime, 1, dtype=torch.bool)).state
        mean = model.emission(model.decode(state)).mean
        initial = model.emission(model.decode(model.initial_state(1))).mean
    drawn, expected = wave(tmp_path, entry)[prime * 200 :][:200], framing.denormalise(mean.numpy())
    # Dequantisation moves the beginning by half a step.
    distance = np.abs(drawn - expected).max()
    assert distance < 3
    assert np.abs(drawn - framing.denormalise(initial.numpy())).max() > 5 * distance


@pytest.mark.parametrize(("kind", "model"), [("speech", "rnn-gauss"), ("speech", "rnn-dmol"), ("pen", "rnn-gauss")])
def test_a_temperature_near_zero_gives_the_means(
    kind: str, model: str, speech: ShardSet, ink: ShardSet, tmp_path: Path
) -> None:
    checkpoint = untrained(speech if kind == "speech" else ink, model)
    (entry,) = written(checkpoint, None, tmp_path, count=1, frames=4, temperature=1e-9)
    built = checkpoint.model()
    state, means = built.initial_state(1), []
    with torch.no_grad():
        for _ in range(4 if kind == "speech" else 1):
            means.append(built.emission(built.decode(state)).mean)
            state = built.update_state(means[-1], state)
    expected = checkpoint.framing.denormalise(torch.cat(means).numpy())
    if kind == "speech":
        step = 0.51 if model == "rnn-gauss" else 3
        np.testing.assert_allclose(inner(wave(tmp_path, entry)), inner(expected), atol=step)
    else:
        np.testing.assert_allclose(points(tmp_path, entry)[1], expected[0, :2], atol=0.06)


@pytest.mark.parametrize("model", ["vrnn-gauss", "vrnn-gauss+smoothing", "srnn-gauss"])
def test_a_spoken_reconstruction_comes_with_its_real_sequence(model: str, speech: ShardSet, tmp_path: Path) -> None:
    asked = {"mode": "reconstruction", "count": 2, "seed": 1}
    real, other, made, _ = written(untrained(speech, model), speech, tmp_path, **asked)
    assert (real["role"], made["role"]) == ("real", "reconstruction")
    assert real["source"] == made["source"] != other["source"]
    recorded = np.asarray(signal(speech, real["source"]))
    whole = len(recorded) // 200 * 200
    assert len(wave(tmp_path, made)) == len(wave(tmp_path, real)) == whole
    np.testing.assert_array_equal(inner(wave(tmp_path, real)), inner(recorded[:whole]))
    assert made["temperature"] is None
    shorter = written(untrained(speech, model), speech, tmp_path / "s", **asked, frames=9)
    assert {len(wave(tmp_path / "s", entry)) for entry in shorter} == {1800}


def test_a_reconstruction_is_the_mean_at_latents_of_the_sequence(ink: ShardSet, tmp_path: Path) -> None:
    checkpoint, seed = untrained(ink, "vrnn-gauss"), 4
    real, made = written(checkpoint, ink, tmp_path, mode="reconstruction", count=1, seed=seed)
    row = ink.index["id"].tolist().index(real["source"])
    source = FrameSource(ink, checkpoint.framing, np.array([row]))
    batch, model = source.batch(np.array([0]), "generate", seed), checkpoint.model()
    noise = latent_noise(batch, model.latent_size, "generate", seed)
    assert isinstance(model, LatentModel)
    mean = checkpoint.framing.denormalise(model.reconstruct(batch.frames, batch.mask, noise)[:, 0].numpy())
    np.testing.assert_allclose(points(tmp_path, made)[1:], np.cumsum(mean[:, :2], axis=0), atol=0.051)
    lifts = np.flatnonzero(mean[:, 2] > 0.5)
    strokes = json.loads((tmp_path / made["file"]).read_text())["strokes"]
    assert len(strokes) == len(lifts) + (not len(lifts) or lifts[-1] < len(mean) - 1)


def test_drawings_are_written_as_strokes_as_svg_and_as_png(ink: ShardSet, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"mode": "continuation", "count": 2, "frames": 60, "prime_frames": 40}
    scales = set()
    for entry in written(untrained(ink, "rnn-gmm"), ink, tmp_path, **asked):
        strokes = json.loads((tmp_path / entry["file"]).read_text())["strokes"]
        assert sum(map(len, strokes)) == 101
        svg, png = entry["pictures"]
        root = ElementTree.fromstring((tmp_path / svg).read_text())
        ends = np.cumsum([len(stroke) for stroke in strokes])
        split = entry["role"] == "continuation" and 41 not in ends
        assert len(list(root.iter(f"{SVG}path"))) == len(strokes) + split
        image = Image.open(tmp_path / png)
        assert image.size == pytest.approx((float(root.attrib["width"]), float(root.attrib["height"])), abs=1)
        extent = np.ptp(points(tmp_path, entry), axis=0).max()
        scales.add(round((max(image.size) - 60) / extent, 2))
        if entry["role"] == "real":
            lifts = signal(ink, entry["source"]).pen_up[1:101]
            assert len(strokes) == lifts.sum() + (not lifts[-1])
    assert max(scales) - min(scales) <= 0.03


@pytest.mark.parametrize("kind", ["speech", "pen"])
@pytest.mark.parametrize("mode", ["prior", "continuation", "reconstruction"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    mode: str, kind: str, speech: ShardSet, ink: ShardSet, tmp_path: Path
) -> None:
    shards = speech if kind == "speech" else ink
    checkpoint, asked = untrained(shards, "vrnn-gauss"), {"mode": mode, "count": 2, "frames": 8}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        written(checkpoint, shards, tmp_path / name, **asked, seed=seed)
    first, again, other = (files(tmp_path / name) for name in "abc")
    assert first == again
    assert first.keys() == other.keys()
    made = [name for name in first if name.startswith(("generated", "continuation", "reconstruction"))]
    assert len(made) == (2 if kind == "speech" else 6)
    assert all(first[name] != other[name] for name in made)


def test_temperature_changes_the_samples_and_is_in_their_captions(speech: ShardSet, tmp_path: Path) -> None:
    checkpoint = untrained(speech, "rnn-gauss")
    spreads = []
    for temperature in (0.1, 1.0, 2.0):
        target = tmp_path / str(temperature)
        (entry,) = written(checkpoint, None, target, count=1, frames=20, temperature=temperature)
        assert entry["temperature"] == temperature
        assert (f"temperature {temperature:g}" in entry["caption"]) == (temperature != 1)
        spreads.append(wave(target, entry).std() / 10 ** (entry["gain_db"] / 20))
    assert spreads[0] < spreads[1] / 2 < spreads[2] / 2
    with pytest.raises(ModelError, match="temperature"):
        written(checkpoint, None, tmp_path / "no", temperature=0.0)
    assert not (tmp_path / "no").exists()


def test_without_shards_only_the_prior_is_sampled(ink: ShardSet, tmp_path: Path) -> None:
    listed = written(untrained(ink, "vrnn-gauss"), None, tmp_path, count=3, frames=5, seed=9)
    assert [(entry["role"], entry["source"], entry["seed"]) for entry in listed] == [("generated", None, 9)] * 3
    assert all(sum(map(len, json.loads((tmp_path / e["file"]).read_text())["strokes"])) == 6 for e in listed)


def test_a_sound_beyond_full_scale_is_scaled_down_and_its_caption_says_so(speech: ShardSet, tmp_path: Path) -> None:
    (entry,) = written(untrained(speech, "rnn-gauss"), None, tmp_path, count=1, frames=10, temperature=1000.0)
    assert entry["gain_db"] < -6
    assert f"scaled by {entry['gain_db']:.1f} dB" in entry["caption"]
    peak = np.abs(wave(tmp_path, entry)).max()
    assert 20 * math.log10(peak / 2**15) == pytest.approx(-1, abs=0.01)


def runaway(checkpoint: Checkpoint) -> Checkpoint:
    weights = {name: value * math.inf for name, value in checkpoint.weights.items()}
    return replace(checkpoint, weights=weights)


def test_non_finite_samples_are_an_error_in_one_line_and_nothing_is_written(speech: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(NotFiniteError, match="diverges on its own samples") as caught:
        written(runaway(untrained(speech, "rnn-gauss")), None, tmp_path / "out", count=1, frames=3)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("model", "with_shards", "request_", "message"),
    [
        ("rnn-gauss", True, {"mode": "reconstruction"}, "no latent to reconstruct from"),
        ("vrnn-gauss", False, {"mode": "reconstruction"}, "add --shards"),
        ("vrnn-gauss", False, {"mode": "continuation"}, "add --shards"),
        ("vrnn-gauss", False, {"split": "test"}, "add --shards"),
        ("vrnn-gauss", True, {"mode": "continuation", "prime_frames": 10**6}, "--prime-frames 1000000: the longest"),
        ("vrnn-gauss", True, {"prime_frames": 5}, "--prime-frames"),
        ("vrnn-gauss", True, {"mode": "reconstruction", "temperature": 0.5}, "--temperature"),
        ("vrnn-gauss", True, {"mode": "reconstruction", "frames": 0}, "--frames 0"),
        ("vrnn-gauss", True, {"mode": "continuation", "prime_frames": 0}, "--prime-frames 0"),
        ("vrnn-gauss", True, {"count": 0}, "--count 0"),
        ("vrnn-gauss", True, {"seed": -1}, "--seed -1"),
        ("vrnn-gauss", True, {"mode": "continuation", "split": "tset"}, "'tset'; use one of"),
    ],
)
def test_a_wrong_request_is_an_error_in_one_line(
    model: str, with_shards: bool, request_: dict[str, Any], message: str, ink: ShardSet, tmp_path: Path
) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        written(untrained(ink, model), ink if with_shards else None, tmp_path / "out", **request_)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_shards_that_the_model_was_not_trained_on_are_refused(ink: ShardSet, speech: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="set --shards to"):
        written(untrained(ink, "rnn-gauss"), speech, tmp_path, mode="continuation")


def test_the_list_is_replaced_last(speech: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    write = Location.write_bytes

    def noted(place: Location, content: bytes) -> None:
        order.append(Path(place.uri).name)
        write(place, content)

    monkeypatch.setattr(Location, "write_bytes", noted)
    for seed in (0, 1):
        order.clear()
        written(untrained(speech, "rnn-gauss"), speech, tmp_path, count=1, frames=3, seed=seed)
        assert order == ["real-0.wav", "generated-0.wav", LISTING]
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_real_sequences_come_from_the_split_that_is_asked_for(ink: ShardSet, tmp_path: Path) -> None:
    splits = ink.index.set_index("id")["split"]
    for split in ("train", "test"):
        asked = {"mode": "continuation", "split": split, "prime_frames": 3, "frames": 3, "count": 3}
        listed = written(untrained(ink, "rnn-gauss"), ink, tmp_path / split, **asked)
        assert {splits[entry["source"]] for entry in listed} == {split}


@pytest.mark.parametrize("model", ["rnn-gauss", "vrnn-gauss"])
def test_a_study_keeps_short_samples_of_every_role(model: str, speech: ShardSet, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_samples(untrained(speech, model), speech, tmp_path / name, count=2, seed=3)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    entries = listing_of(tmp_path / "a")
    middle = ["reconstruction"] if model == "vrnn-gauss" else []
    assert [entry["role"] for entry in entries] == ["real", "real", *middle, "continuation", *["generated"] * 2]
    assert {entry["source"] for entry in entries[2:-2]} == {entries[0]["source"]}
    for entry in entries:
        samples = wave(tmp_path / "a", entry)
        assert entry["file"].endswith(".flac")
        assert len(samples) <= 2.5 * 16000
        assert 0 <= entry["prime_steps"] < len(samples)
        if entry["role"] == "real":
            recorded = np.asarray(signal(speech, entry["source"]))[: len(samples)]
            np.testing.assert_array_equal(inner(samples), inner(recorded))
    continued = next(entry for entry in entries if entry["role"] == "continuation")
    first = wave(tmp_path / "a", entries[0])
    prime = continued["prime_steps"]
    assert prime == 80 * 200
    np.testing.assert_array_equal(wave(tmp_path / "a", continued)[FADE_SAMPLES:prime], first[FADE_SAMPLES:prime])


def test_a_study_keeps_strokes_alone_for_pen(ink: ShardSet, tmp_path: Path) -> None:
    write_samples(untrained(ink, "vrnn-gauss"), ink, tmp_path, count=1, seed=0)
    entries = listing_of(tmp_path)
    assert [entry["role"] for entry in entries] == ["real", "reconstruction", "continuation", "generated"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 200_000


def test_a_study_leaves_out_samples_that_are_not_finite(
    speech: ShardSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_samples(runaway(untrained(speech, "vrnn-gauss")), speech, tmp_path, count=1, seed=0)
    assert [entry["role"] for entry in listing_of(tmp_path)] == ["real"]
    assert "left out, not finite: generated" in caplog.text


def test_wav_and_flac_hold_the_same_samples(speech: ShardSet, tmp_path: Path) -> None:
    checkpoint = untrained(speech, "rnn-gauss")
    write_samples(checkpoint, speech, tmp_path / "study", count=1, seed=4)
    written(checkpoint, None, tmp_path / "person", count=1, frames=160, seed=4)
    flac, wav = (tmp_path / name for name in ("study/generated-0.flac", "person/generated-0.wav"))
    assert soundfile.info(io.BytesIO(wav.read_bytes())).subtype == "PCM_16"
    np.testing.assert_array_equal(soundfile.read(flac, dtype="int16")[0], soundfile.read(wav, dtype="int16")[0])


@pytest.mark.parametrize("model", ["vrnn-gauss", "vrnn-i-gauss", "srnn-gauss"])
def test_a_study_writes_the_latent_path_of_its_first_real_sequence(
    model: str, speech: ShardSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = untrained(speech, model)
    phones = "0 500 h#\n500 30000 sh\n30000 90000000 iy\n"
    monkeypatch.setattr(FrameSource, "attributes", lambda *_: {"phones": phones})
    write_samples(checkpoint, speech, tmp_path, count=2, seed=4)
    found, listing = json.loads((tmp_path / LATENT).read_text()), listing_of(tmp_path)
    real = next(entry for entry in listing if entry["file"] == found["file"])
    assert (real["role"], real["source"]) == ("real", found["source"])
    frames = len(found["kl_nats"])
    assert len(wave(tmp_path, real)) == frames * found["frame_size"]
    ends = min(30000, frames * 200)
    assert found["segments"][:2] == [[0, 500, "h#"], [500, ends, "sh"]]
    assert found["segments"][2:] == ([[30000, frames * 200, "iy"]] if frames * 200 > 30000 else [])

    row = speech.index["id"].tolist().index(found["source"])
    source = FrameSource(speech, checkpoint.framing, np.array([row]))
    batch, built = source.batch(np.array([0]), "generate", 4), checkpoint.model()
    frames_read, mask = batch.frames[:frames], batch.mask[:frames]
    cut = replace(batch, frames=frames_read, mask=mask, lengths=batch.lengths.clamp(max=frames))
    noise = latent_noise(cut, built.latent_size, "generate", 4)
    means: list[torch.Tensor] = []

    def choose(t: int, posterior: torch.distributions.Normal) -> torch.Tensor:
        means.append(posterior.mean)
        return posterior.mean + posterior.stddev * noise[t]

    with torch.no_grad():
        terms = latent_terms(dict(built.named_parameters()), built.config, frames_read, choose)
    assert math.fsum(found["kl_nats"]) == pytest.approx(float(terms.kl), rel=1e-3)
    change = torch.stack(means).squeeze(1).diff(dim=0).square().sum(-1)
    assert found["mean_change"][0] is None
    np.testing.assert_allclose(found["mean_change"][1:], change.numpy(), rtol=1e-3, atol=1e-9)


def test_a_model_without_a_latent_leaves_no_path(speech: ShardSet, ink: ShardSet, tmp_path: Path) -> None:
    write_samples(untrained(speech, "rnn-gauss"), speech, tmp_path / "a", count=1, seed=0)
    write_samples(untrained(ink, "vrnn-gauss"), ink, tmp_path / "b", count=1, seed=0)
    assert not (tmp_path / "a" / LATENT).exists()
    drawn = json.loads((tmp_path / "b" / LATENT).read_text())
    assert (drawn["kind"], drawn["sample_rate"], drawn["segments"]) == ("pen", None, [])
