"""Results of studies in memory, as the project writes them."""

import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from benchmarks.schema.base import File
from benchmarks.schema.comparison import Comparison
from benchmarks.schema.samples import SampleEntry, SampleList
from benchmarks.schema.study import StudyDescription
from benchmarks.schema.trial import Outcome, TrialRecord
from benchmarks.store.results import StoredTrial

STUDY = "demo"
HOSTILE_STUDY = "</title></script><script>window.hacked=1</script>'\"&{{7*7}}"
HOSTILE_TEXT = "</script><img src=x onerror=window.hacked=1>\"'&"
MODELS = ("RNN-GMM", "VRNN-Gauss", "VRNN-GMM")
COMMIT = "5f3c9a1e7b20d4c8f6a1b2c3d4e5f60718293a4b"
LOCK = "ab" * 32
CODE = {"commit": COMMIT, "clean": "yes", "lock_sha256": LOCK}
PROTOCOL: dict[str, Any] = {
    "name": "paper",
    "kind": "speech",
    "frame_size": 200,
    "normalisation": "per_channel",
    "dequantise": False,
    "split_column": "split_by_sequence",
    "window_frames": 40,
    "rest_kept": False,
    "rule": "fit on train",
}


def row(**changes: Any) -> dict[str, Any]:
    """A row of `comparison.json`, valid unless `changes` make it otherwise."""
    return {
        "corpus": "speech",
        "dataset": "timit",
        "kind": "speech",
        "protocol": "paper",
        "model": "RNN-GMM",
        "estimator": "exact",
        "num_samples": 1,
        "split": "test",
        "seeds": 2,
        "sequences": 168,
        "frames": 40320,
        "nats_per_sequence": 26643.12,
        "interval": [25910.5, 27380.25],
        "seed_std": 118.4,
        "nats_per_frame": 111.013,
        "bits_per_sample": 8.2988,
        "fingerprint": "sha256:91b0c4e8a77d",
        "measure": "density",
        "monte_carlo_error": None,
        "parameters": 1_234_567,
        "sigma_floor": 1e-4,
        "training_sequences": 3696,
    } | changes


def comparison(study: str = STUDY, **changes: Any) -> dict[str, Any]:
    """`comparison.json` of two corpora and three models, one of which lost a seed."""
    ink = {"corpus": "handwriting", "kind": "pen", "bits_per_sample": None, "seed_std": None, "seeds": 1}
    ink |= {"fingerprint": "sha256:0c57aa19de02", "sequences": 340, "frames": 209100}
    elbo, iwae = {"estimator": "elbo"}, {"estimator": "iwae", "num_samples": 40}
    gauss, gmm = {"model": "VRNN-Gauss"}, {"model": "VRNN-GMM", "seeds": 1, "seed_std": None}
    rows = [
        row(),
        row(
            nats_per_sequence=28805.9,
            interval=[28120.0, 29480.1],
            nats_per_frame=120.02,
            monte_carlo_error=2.5,
            **gauss,
            **elbo,
        ),
        row(nats_per_sequence=30235.4, interval=[29533.8, 30941.7], nats_per_frame=125.98, **gauss, **iwae),
        row(nats_per_sequence=28982.0, interval=[28260.3, 29701.0], nats_per_frame=120.76, **gmm, **elbo),
        row(nats_per_sequence=29604.7, interval=[28890.2, 30330.9], nats_per_frame=123.35, **gmm, **iwae),
        row(nats_per_sequence=1358.5, interval=[1301.1, 1415.0], nats_per_frame=2.209, **ink),
    ]
    for key, value in (("elbo", 1337.2), ("iwae", 1354.0)):
        scores = {"interval": [value - 55.5, value + 55.5], "nats_per_frame": value / 615}
        estimator = {"estimator": key, "num_samples": 40 if key == "iwae" else 1}
        rows.append(row(**(ink | gauss | estimator | scores | {"nats_per_sequence": value})))
    return {
        "version": 1,
        "study": study,
        "rows": rows,
        "differences": [],
        "published": [],
        "diverged": [{"corpus": "speech", "model": "VRNN-GMM", "seed": 1, "step": 4210}],
        "warnings": [],
        "notes": ["Built-in corpora: scores say nothing about TIMIT or IAM-OnDB.", "sigma floor 1e-4"],
        "failed": {},
    } | changes


def compared(study: str = STUDY, **changes: Any) -> Comparison:
    """The comparison of `comparison`, as an object."""
    return Comparison.model_validate(comparison(study, **changes))


def suite(**changes: Any) -> dict[str, Any]:
    """A suite of the models and corpora of `comparison`."""
    corpora = [{"name": name, "protocol": "paper", "shards": f"shards/{name}"} for name in ("speech", "handwriting")]
    return {"study": STUDY, "seeds": [0, 1], "corpora": corpora, "models": list(MODELS)} | changes


def description(**changes: Any) -> StudyDescription:
    """`study.json` without keys, valid unless `changes` make it otherwise."""
    values = {"suite": suite(), "code": CODE, "protocols": {}, "keys": [], "leaks": {}, "warnings": []}
    return StudyDescription.model_validate(values | changes)


def record(**changes: Any) -> TrialRecord:
    """The record of a trial; `code` changes only the given fields of the code."""
    values: dict[str, Any] = {
        "study": STUDY,
        "identity": "i",
        "corpus": "speech",
        "dataset": "timit",
        "kind": "speech",
        "protocol": "paper",
        "model": MODELS[0],
        "seed": 0,
        "fingerprint": "f",
        "shards": "shards/speech",
        "measure": "density",
        "frame_size": 200,
        "sample_std": 540.5,
        "roles": "fit on train",
    } | changes
    name = f"{values['corpus']}/{values['protocol']}/{values['model']}/seed{values['seed']}"
    key = f"{values['corpus']}-{values['model']}-{values['seed']}"
    values = {"name": name, "key": key} | values | {"code": CODE | values.get("code", {})}
    return TrialRecord.model_validate(values)


@dataclass
class MemoryArtifacts:
    """The artifacts of a trial in memory."""

    files: dict[str, bytes] = field(default_factory=dict)
    where: str = "the trial"

    def names(self) -> Collection[str]:
        return self.files.keys()

    def read(self, name: str) -> bytes:
        return self.files[name]


Samples = Sequence[tuple[SampleEntry, bytes]]


def stored_trial(
    curves: pd.DataFrame | None = None,
    samples: Samples = (),
    files: Sequence[tuple[str, File]] = (),
    outcome: Mapping[str, Any] | None = None,
    **changes: Any,
) -> StoredTrial:
    """A trial with these artifacts; `files` are named by their folder, which ends in a slash if it is not empty."""
    content: dict[str, bytes] = {f"{folder}{file.file_name}": file.to_bytes() for folder, file in files}
    if curves is not None:
        buffer = io.BytesIO()
        curves.to_parquet(buffer)
        content["curves.parquet"] = buffer.getvalue()
    if samples:
        listed = SampleList(samples=tuple(entry for entry, _ in samples))
        content["samples/samples.json"] = listed.to_bytes()
        content |= {f"samples/{entry.file}": data for entry, data in samples}
    made = record(**changes)
    ended = Outcome.model_validate({"identity": made.identity, "cut_off": False} | dict(outcome or {}))
    return StoredTrial(made, ended, MemoryArtifacts(content, made.name))


def flac(seconds: float, seed: int) -> bytes:
    """A gliding vowel-like tone under noise, 16 kHz mono."""
    time = np.arange(int(seconds * 16000)) / 16000
    pitch = 110 + 30 * np.sin(3 * time + seed)
    voice = sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / 16000) / k for k in range(1, 12))
    noise = np.random.default_rng(seed).normal(size=time.size) * 0.05
    signal = 0.12 * (voice * np.abs(np.sin(2 * np.pi * 1.7 * time)) + noise)
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, 16000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def strokes(seed: int) -> bytes:
    """Loops that lean and travel to the right, with a lone dot, y downward."""
    rng = np.random.default_rng(seed)
    lines = []
    for word in range(3):
        phase = np.linspace(0, 2 * math.pi * rng.uniform(2.5, 4.5), 80)
        size = rng.uniform(12, 22)
        xs = word * 130 + phase * 5.5 + size * np.cos(phase)
        lines.append(np.stack([xs, 60 - size * np.sin(phase) * rng.uniform(0.8, 1.6)], axis=1).tolist())
    return json.dumps({"strokes": [*lines, [[80.0, 22.0]]]}).encode()


def curves(model: str, seed: int, epochs: int, scale: float) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    rng = np.random.default_rng([seed, MODELS.index(model)])
    best = scale * (1 + 0.06 * MODELS.index(model))
    valid = best - 4 * scale * np.exp(-epoch / 3) + rng.normal(size=epochs) * scale * 0.01
    latent = model.startswith("VRNN")
    return pd.DataFrame(
        {
            "epoch": epoch,
            "step": epoch * 140,
            "train_nats_per_frame": valid + scale * 0.02,
            "valid_nats_per_frame": valid,
            "valid_kl_nats_per_frame": scale * 0.05 * (1 - np.exp(-epoch / 8)) if latent else np.nan,
            "seconds": 12.5,
            "frames_per_second": 31000.0,
            "data_wait_share": 0.004,
        }
    )


def sample_entry(kind: str, role: str, file: str, caption: str, **changes: Any) -> SampleEntry:
    """An entry of `samples.json`."""
    values = {"kind": kind, "role": role, "file": file, "caption": caption, "source": None, "temperature": None}
    return SampleEntry.model_validate(values | {"seed": 0, "prime_frames": 0, "prime_steps": 0} | changes)


def speech_samples(seed: int, caption: str = "generated") -> Samples:
    return [
        (sample_entry("speech", "real", "real-0.flac", "dr1-fvmh0/sx206"), flac(1.5, 0)),
        (sample_entry("speech", "generated", "generated-0.flac", caption), flac(1.0, seed + 7)),
    ]


def pen_samples(seed: int, caption: str = "generated") -> Samples:
    return [
        (sample_entry("pen", "real", "real-0.json", "a01-000u-01"), strokes(0)),
        (sample_entry("pen", "generated", "generated-0.json", caption), strokes(seed + 3)),
    ]


def samples_of_every_role(kind: str, seed: int = 0) -> Samples:
    """A real sequence, its reconstruction, its continuation after a half, and a generated one.

    Args:
        kind: of the corpus.
        seed: of all but the real one.
    """
    make, end, prime = (flac, "flac", 8000) if kind == "speech" else (strokes, "json", 120)
    samples: list[tuple[SampleEntry, bytes]] = []
    for number, role in enumerate(("real", "reconstruction", "continuation", "generated")):
        steps = prime if role == "continuation" else 0
        entry = sample_entry(kind, role, f"{role}-0.{end}", f"caption of {role}", prime_steps=steps)
        own = number + 10 * seed if number else 0
        samples.append((entry, make(1.0, own) if kind == "speech" else make(own)))
    return samples
