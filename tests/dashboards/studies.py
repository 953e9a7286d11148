"""Studies written into a real MLflow store as the project's tracking writes them."""

import io
import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from mlflow import MlflowClient

STUDY = "demo"
HOSTILE_STUDY = "</title></script><script>window.hacked=1</script>'\"&{{7*7}}"
HOSTILE_TEXT = "</script><img src=x onerror=window.hacked=1>\"'&"
UNFINISHED_STUDY = "unfinished"
MODELS = ("RNN-GMM", "VRNN-Gauss", "VRNN-GMM")
COMMIT = "5f3c9a1e7b20d4c8f6a1b2c3d4e5f60718293a4b"


@dataclass(frozen=True)
class Store:
    """The tracking URI, that of an empty store, and the comparison of each study as it was written."""

    uri: str
    empty_uri: str
    comparisons: dict[str, dict[str, Any]]


def row(**changes: Any) -> dict[str, Any]:
    """A row of `comparison.json`, valid unless `changes` make it otherwise."""
    return {
        "corpus": "speech",
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
    } | changes


def comparison(study: str = STUDY, **changes: Any) -> dict[str, Any]:
    """A study of two corpora and three models, one of which lost a seed."""
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
        figures = {"interval": [value - 55.5, value + 55.5], "nats_per_frame": value / 615}
        estimator = {"estimator": key, "num_samples": 40 if key == "iwae" else 1}
        rows.append(row(**(ink | gauss | estimator | figures | {"nats_per_sequence": value})))
    return {
        "study": study,
        "rows": rows,
        "diverged": [{"corpus": "speech", "model": "VRNN-GMM", "seed": 1, "step": 4210}],
        "notes": ["Built-in corpora: figures say nothing about TIMIT or IAM-OnDB.", "sigma floor 1e-4"],
    } | changes


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


class Writer:
    """Writes runs of one experiment."""

    def __init__(self, client: MlflowClient, study: str, root: Path) -> None:
        self.client = client
        self.study = study
        self.experiment = client.create_experiment(study, artifact_location=root.as_uri())

    def parent(self, document: dict[str, Any] | None, status: str = "FINISHED") -> str:
        run = self.client.create_run(self.experiment, tags={"study": self.study}).info.run_id
        if document is not None:
            self.client.log_text(run, json.dumps(document), "comparison.json")
        self.client.set_terminated(run, status)
        return run

    def child(self, parent: str, *, status: str = "FINISHED", **tags: Any) -> str:
        identity = f"{tags['corpus']}-{tags['model']}-{tags['seed']}"
        tags = {
            "mlflow.parentRunId": parent,
            "study": self.study,
            "protocol": "paper",
            "fingerprint": "f",
            "git_commit": COMMIT,
            "trial_key": identity,
        } | {key: str(value) for key, value in tags.items()}
        run = self.client.create_run(self.experiment, tags=tags).info.run_id
        self.client.set_terminated(run, status)
        return run

    def beside(self, run: str, **files: Any) -> None:
        """Log JSON artifacts of a run by their names without `.json`."""
        for name, content in files.items():
            self.client.log_text(run, json.dumps(content), f"{name}.json")

    def curves(self, run: str, frame: pd.DataFrame) -> None:
        with tempfile.TemporaryDirectory() as directory:
            frame.to_parquet(Path(directory) / "curves.parquet")
            self.client.log_artifact(run, str(Path(directory) / "curves.parquet"))

    def samples(self, run: str, entries: list[tuple[dict[str, Any], bytes]]) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for entry, content in entries:
                (Path(directory) / entry["file"]).write_bytes(content)
            listing = json.dumps([entry for entry, _ in entries])
            (Path(directory) / "samples.json").write_text(listing)
            self.client.log_artifacts(run, directory, "samples")


def speech_samples(seed: int, caption: str = "generated") -> list[tuple[dict[str, str], bytes]]:
    entry = {"kind": "speech", "role": "real", "file": "real-0.flac", "caption": "dr1-fvmh0/sx206"}
    made = {"kind": "speech", "role": "generated", "file": "generated-0.flac", "caption": caption}
    return [(entry, flac(1.5, 0)), (made, flac(1.0, seed + 7))]


def pen_samples(seed: int, caption: str = "generated") -> list[tuple[dict[str, str], bytes]]:
    entry = {"kind": "pen", "role": "real", "file": "real-0.json", "caption": "a01-000u-01"}
    made = {"kind": "pen", "role": "generated", "file": "generated-0.json", "caption": caption}
    return [(entry, strokes(0)), (made, strokes(seed + 3))]


def samples_of_every_role(kind: str, seed: int = 0) -> list[tuple[dict[str, Any], bytes]]:
    """A real sequence, its reconstruction, its continuation after a half, and a generated one.

    Args:
        kind: of the corpus.
        seed: of all but the real one.
    """
    make, end, prime = (flac, "flac", 8000) if kind == "speech" else (strokes, "json", 120)
    entries: list[tuple[dict[str, Any], bytes]] = []
    for number, role in enumerate(("real", "reconstruction", "continuation", "generated")):
        entry = {"kind": kind, "role": role, "file": f"{role}-0.{end}", "caption": f"caption of {role}"}
        entry |= {"prime_steps": prime if role == "continuation" else 0}
        own = number + 10 * seed if number else 0
        entries.append((entry, make(1.0, own) if kind == "speech" else make(own)))
    return entries
