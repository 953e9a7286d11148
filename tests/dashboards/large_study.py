"""A study of the size that the report must bear: ten models with ten seeds each on five corpora.

Curves are of 400 epochs with a spike and gaps, one seed of each model has six samples of 2.5 s, every run has an audit,
and every pair of models a difference.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Param

from benchmarks.audit.audit_warnings import Floor, Part
from benchmarks.schema.audit import Audit, BelowZero, Coverage, PartName
from tests.dashboards.studies import Writer, comparison, flac, row

LARGE_STUDY = "large"
CORPORA = ("timit", "blizzard", "accent", "onomatopoeia", "vctk")
MODELS = (
    *("RNN-Gauss", "RNN-GMM", "VRNN-Gauss", "VRNN-GMM", "VRNN-I-Gauss"),
    *("SRNN", "STORN", "Z-forcing", "WaveNet", "FIVO-VRNN"),
)
EXACT = ("RNN-Gauss", "RNN-GMM", "WaveNet")
SEEDS = 10
EPOCHS = 400
ROLES = ("real", "reconstruction", "continuation", "generated", "generated", "generated")
SECONDS = 2.5


def write_large_study(client: MlflowClient, root: Path, seeds: int = SEEDS) -> None:
    """Half a minute of writing at its full size."""
    writer = Writer(client, LARGE_STUDY, root)
    parent = writer.parent(large_comparison(seeds))
    for corpus, model, seed in itertools.product(CORPORA, MODELS, range(seeds)):
        diverged: dict[str, Any] = {"diverged_at_step": 9000} if (model, seed) == ("Z-forcing", 1) else {}
        run = writer.child(parent, corpus=corpus, model=model, seed=seed, kind="speech", **diverged)
        client.log_batch(run, params=[Param("optimisation.max_epochs", str(EPOCHS))])
        writer.curves(run, long_curves(model, seed))
        client.log_dict(run, audit(model), "audit.json")
        if seed == 0:
            writer.samples(run, samples(model))


def large_comparison(seeds: int) -> dict[str, Any]:
    estimators = {m: [("exact", 1)] if m in EXACT else [("elbo", 1), ("iwae", 40)] for m in MODELS}
    rows = [
        row(corpus=corpus, model=model, estimator=key, num_samples=k, seeds=seeds, **figures(model, k))
        for corpus in CORPORA
        for model in MODELS
        for key, k in estimators[model]
    ]
    pairs = list(itertools.combinations(MODELS, 2))
    differences = [difference(corpus, *pair, count=len(pairs)) for corpus in CORPORA for pair in pairs]
    return comparison(LARGE_STUDY, rows=rows, diverged=[], differences=differences)


def figures(model: str, k: int) -> dict[str, Any]:
    nats = 26000.0 + 500 * MODELS.index(model) + 10 * k
    return {"nats_per_sequence": nats, "interval": [nats - 700, nats + 700], "nats_per_frame": nats / 240}


def difference(corpus: str, first: str, second: str, count: int) -> dict[str, Any]:
    gap = 500.0 * (MODELS.index(first) - MODELS.index(second))

    def unit(scale: float) -> dict[str, Any]:
        ends = [gap / scale - 30, gap / scale + 30]
        return {"difference": gap / scale, "interval": ends, "joint_interval": ends}

    return {
        **{"corpus": corpus, "dataset": corpus, "kind": "speech", "protocol": "paper", "split": "test"},
        **{"measure": "density", "fingerprint": "f", "first": side(first), "second": side(second)},
        **{"sequences": 168, "frames": 40320, "nats_per_sequence": unit(1), "nats_per_frame": unit(240)},
        **{"bits_per_sample": unit(30000), "p_sequences": 1e-4, "p_joint": 0.01, "p_sequences_corrected": 0.0045},
        **{"p_joint_corrected": 0.45, "comparisons": count, "verdict": "not settled", "caution": None},
    }


def side(model: str) -> dict[str, Any]:
    estimator, k = ("exact", 1) if model in EXACT else ("iwae", 40)
    nats = figures(model, k)["nats_per_sequence"]
    return {
        **{"model": model, "estimator": estimator, "num_samples": k, "seeds": SEEDS},
        **{"seed_std": 118.4, "nats_per_sequence": nats},
    }


def long_curves(model: str, seed: int) -> pd.DataFrame:
    """Noisy curves with one deep spike, and an epoch without a finite figure."""
    place = MODELS.index(model)
    rng = np.random.default_rng([seed, place])
    epoch = np.arange(1, EPOCHS + 1)
    valid = 100 + 5 * place - 300 * np.exp(-epoch / 12) + rng.normal(size=EPOCHS)
    valid[200 + seed] -= 60
    valid[300 + seed] = np.nan
    latent = model not in EXACT
    return pd.DataFrame(
        {
            "epoch": epoch,
            "step": epoch * 140,
            "train_nats_per_frame": valid + 3 + rng.normal(size=EPOCHS) * 0.2,
            "train_kl_nats_per_frame": np.nan,
            "valid_nats_per_frame": valid,
            "valid_kl_nats_per_frame": (4 + place) * (1 - np.exp(-epoch / 30)) if latent else np.nan,
            "seconds": 12.5 + rng.random(EPOCHS),
            "frames_per_second": 31000 + 900 * rng.normal(size=EPOCHS),
            "data_wait_share": 0.004,
            "fraction_of_peak": 0.07,
        }
    )


def samples(model: str) -> list[tuple[dict[str, Any], bytes]]:
    """A recording that all models share, and five that this one made."""
    return [
        (
            {"kind": "speech", "role": role, "file": f"{role}-{i}.flac", "caption": f"{role} {i}"}
            | {"prime_steps": 20000 if role == "continuation" else 0},
            flac(SECONDS, i if role == "real" else 10 * MODELS.index(model) + i),
        )
        for i, role in enumerate(ROLES)
    ]


def audit(model: str) -> dict[str, Any]:
    counts: dict[PartName, int] = {"constant": 20, "near_silent": 300, "other": 40000}
    parts = tuple(Part(name, n, n / 40320, 111.0 * n, 111.0, n / 40320) for name, n in counts.items())
    return Audit(
        model=model,
        protocol="paper",
        split="test",
        estimator="exact" if model in EXACT else "elbo",
        measure="density",
        seed=0,
        nats_per_frame=111.0,
        mean_size=111.0,
        not_finite=0,
        coverage=Coverage(168, 0, 8_100_000, 8_064_000, 6000, 30000, 0, 40500, 40320, 0.0044),
        parts=parts,
        floors=(Floor(1e-4, 0.2, 111.0, 0.0), Floor(2.5e-4, 0.5, 110.9, -0.1)),
        below_zero=BelowZero(12, 0.0003, 5.0, 0.0001, 110.9, 3.2, dequantised=False),
        warnings=("a warning of one line",),
    ).to_json()
