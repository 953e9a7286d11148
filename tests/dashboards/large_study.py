"""A study of the largest expected size: ten models with ten seeds each on five corpora.

Curves have 400 epochs with a spike and gaps, one seed of each model has six samples of 2.5 s, every trial has an audit,
and every pair of models has a difference.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.schema.comparison import Comparison
from benchmarks.store.results import StoredStudy
from tests.dashboards.report_cases import audit, difference, floor, part, side
from tests.dashboards.studies import Samples, compared, description, flac, row, sample_entry, stored_trial

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


def large_study(seeds: int = SEEDS) -> tuple[StoredStudy, Comparison]:
    trials = [
        stored_trial(
            long_curves(model, seed),
            samples=samples(model) if seed == 0 else (),
            files=[("", large_audit(model))],
            outcome={"diverged_at_step": 9000} if (model, seed) == ("Z-forcing", 1) else {},
            **{"corpus": corpus, "model": model, "seed": seed},
        )
        for corpus, model, seed in itertools.product(CORPORA, MODELS, range(seeds))
    ]
    return StoredStudy(description(), {}, tuple(trials), "here"), large_comparison(seeds)


def large_comparison(seeds: int) -> Comparison:
    estimators = {m: [("exact", 1)] if m in EXACT else [("elbo", 1), ("iwae", 40)] for m in MODELS}
    rows = [
        row(corpus=corpus, model=model, estimator=key, num_samples=k, seeds=seeds, **scores(model, k))
        for corpus in CORPORA
        for model in MODELS
        for key, k in estimators[model]
    ]
    pairs = list(itertools.combinations(MODELS, 2))
    differences = [large_difference(corpus, *pair, count=len(pairs)) for corpus in CORPORA for pair in pairs]
    return compared(LARGE_STUDY, rows=rows, diverged=[], differences=differences)


def scores(model: str, k: int) -> dict[str, Any]:
    nats = 26000.0 + 500 * MODELS.index(model) + 10 * k
    return {"nats_per_sequence": nats, "interval": [nats - 700, nats + 700], "nats_per_frame": nats / 240}


def large_difference(corpus: str, first: str, second: str, count: int) -> dict[str, Any]:
    gap = 500.0 * (MODELS.index(first) - MODELS.index(second))

    def unit(scale: float) -> dict[str, Any]:
        ends = [gap / scale - 30, gap / scale + 30]
        return {"difference": gap / scale, "interval": ends, "joint_interval": ends}

    units = {"nats_per_sequence": unit(1), "nats_per_frame": unit(240), "bits_per_sample": unit(30000)}
    p_values = {"p_sequences_corrected": 0.0045, "p_joint": 0.01, "p_joint_corrected": 0.45}
    sides = {"first": large_side(first), "second": large_side(second)}
    return difference(corpus=corpus, comparisons=count, verdict="not settled", **units, **p_values, **sides)


def large_side(model: str) -> dict[str, Any]:
    estimator, k = ("exact", 1) if model in EXACT else ("iwae", 40)
    nats = scores(model, k)["nats_per_sequence"]
    return side(model, estimator=estimator, num_samples=k, seeds=SEEDS, seed_std=118.4, nats_per_sequence=nats)


def long_curves(model: str, seed: int) -> pd.DataFrame:
    """Noisy curves with one deep spike, and an epoch without a finite score."""
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


def samples(model: str) -> Samples:
    """A recording that all models share, and five samples of this model."""
    return [
        (
            sample_entry(
                "speech",
                role,
                f"{role}-{i}.flac",
                f"{role} {i}",
                prime_steps=20000 if role == "continuation" else 0,
            ),
            flac(SECONDS, i if role == "real" else 10 * MODELS.index(model) + i),
        )
        for i, role in enumerate(ROLES)
    ]


def large_audit(model: str) -> Any:
    counts = {"constant": 20, "near_silent": 300, "other": 40000}
    return audit(
        model=model,
        estimator="exact" if model in EXACT else "elbo",
        parts=[part(name, n / 40320, n / 40320) for name, n in counts.items()],
        floors=[floor(0.0), floor(-0.1)],
        warnings=["a warning of one line"],
    )
