"""Two studies in memory: one that shows every section of the report, one whose every text is hostile."""

from typing import Any

from benchmarks.schema.comparison import Comparison
from benchmarks.schema.samples import LatentPath
from benchmarks.store.results import StoredStudy, StoredTrial
from tests.dashboards.corpora import corpus, pen_corpus
from tests.dashboards.report_cases import audit, difference, leak, published, side
from tests.dashboards.studies import (
    HOSTILE_STUDY,
    HOSTILE_TEXT,
    MODELS,
    PROTOCOL,
    compared,
    curves,
    description,
    pen_samples,
    row,
    samples_of_every_role,
    speech_samples,
    stored_trial,
    suite,
)

__all__ = ["HOSTILE_PLACES", "demo_study", "hostile", "hostile_study", "latent"]

KEYS = [*(f"speech-{model}-{seed}" for model in MODELS for seed in (0, 1)), "handwriting-RNN-GMM-0"]
PEN_PROTOCOL = PROTOCOL | {"kind": "pen", "frame_size": 1, "flip_y": True, "window_frames": None}
IWAE = {"estimator": "iwae", "num_samples": 40}


def latent(kind: str, frames: int, **changes: Any) -> dict[str, Any]:
    """A `samples/latent.json` over the real sample of `samples_of_every_role`, valid unless `changes` are not."""
    speech, end = kind == "speech", frames * 200
    return {
        "version": 1,
        "kind": kind,
        "source": "dr1-fvmh0/sx206",
        "file": "real-0.flac" if speech else "real-0.json",
        "frame_size": 200 if speech else 1,
        "sample_rate": 16000 if speech else None,
        "kl_nats": [float(frame % 7) for frame in range(frames)],
        "mean_change": [None, *(float(frame % 5) for frame in range(1, frames))],
        "segments": [[0, 4000, "sil"], [4000, 8000, "sh"], [8000, end, "s"]] if speech else [],
    } | changes


def _differences() -> list[dict[str, Any]]:
    lost = side("VRNN-GMM", seeds=1, seed_std=None, **IWAE)
    few = {"p_joint": None, "p_joint_corrected": None, "verdict": "not enough seeds"}
    few |= {"nats_per_sequence": difference()["nats_per_sequence"] | {"joint_interval": None}}
    few |= {"nats_per_frame": difference()["nats_per_frame"] | {"joint_interval": None}}
    few |= {"bits_per_sample": difference()["bits_per_sample"] | {"joint_interval": None}}
    pen = {"corpus": "handwriting", "dataset": "iamondb", "kind": "pen", "bits_per_sample": None}
    pen |= {"fingerprint": "sha256:0c57aa19de02", "sequences": 340, "frames": 209100}
    return [
        difference(first=side(**IWAE)),
        difference("VRNN-GMM", first=lost, **few),
        difference(first=side(**IWAE), **pen, verdict="not settled", p_joint=0.4, p_joint_corrected=0.8),
    ]


def demo_study() -> tuple[StoredStudy, Comparison]:
    """Two corpora and three models, one of which lost a seed."""
    warnings = ["speech/paper: silence lifts the score", "speech/paper/VRNN-GMM: one of 2 runs was lost"]
    about = description(
        protocols={"speech/paper": PROTOCOL, "handwriting/paper": PEN_PROTOCOL},
        keys=[*KEYS, "handwriting-VRNN-Gauss-0"],
        leaks={"speech/paper": leak(), "handwriting/paper": leak(shared=[])},
        warnings=["speech/paper: 3 speakers are in both"],
    )
    trials: list[StoredTrial] = []
    for model in MODELS:
        for seed in (0, 1):
            lost = (model, seed) == ("VRNN-GMM", 1)
            extra = _samples("speech", model, latent("speech", 80)) if seed == 0 else {}
            epochs = curves(model, seed, 30 if lost else 40, 120.0)
            trials.append(_trial("speech", model, seed, epochs, diverged=lost, **extra))
    for model in MODELS[:2]:
        extra = _samples("pen", model, latent("pen", 240))
        trials.append(_trial("handwriting", model, 0, curves(model, 0, 25, 2.2), **extra))
    stored = StoredStudy(about, {"speech": corpus(), "handwriting": pen_corpus()}, tuple(trials), "here")
    return stored, compared(differences=_differences(), published=[published()], warnings=warnings)


def _trial(place: str, model: str, seed: int, epochs: Any, *, diverged: bool = False, **extra: Any) -> StoredTrial:
    files = [*extra.pop("files", ()), *([] if diverged else [("", audit())])]
    outcome = {"diverged_at_step": 4210} if diverged else {}
    return stored_trial(epochs, files=files, outcome=outcome, corpus=place, model=model, seed=seed, **extra)


def _samples(kind: str, model: str, path: dict[str, Any]) -> dict[str, Any]:
    """A model with a latent has samples of every role; the others reconstruct nothing."""
    made = samples_of_every_role(kind, MODELS.index(model))
    if model != "VRNN-Gauss":
        return {"samples": [each for each in made if each[0].role in ("real", "generated")]}
    return {"samples": made, "files": [("samples/", LatentPath.model_validate(path))]}


HOSTILE_PLACES = (
    "caption",
    "caution",
    "failure",
    "leak rule",
    "licence",
    "note",
    "option",
    "phone",
    "published blocker",
    "published note",
    "published source",
    "reject path",
    "sequence",
    "software",
    "split rule",
    "suite value",
    "warning",
)
"""Where the hostile study has a text of its own, which the page shows."""


def hostile(place: str) -> str:
    """The hostile text of one place."""
    return f"{HOSTILE_TEXT} {place}"


def hostile_study() -> tuple[StoredStudy, Comparison]:
    """Every text that a corpus, a configuration, a run or a caption supplies tries to leave its place."""
    name = f"{HOSTILE_TEXT}/{HOSTILE_TEXT}"
    about = description(
        suite=suite(corpora=[{"name": HOSTILE_TEXT, "shards": HOSTILE_TEXT}], runs=hostile("suite value")),
        protocols={name: PROTOCOL | {"rule": HOSTILE_TEXT}},
        keys=[HOSTILE_TEXT, f"{HOSTILE_TEXT}-{HOSTILE_TEXT}-0"],
        leaks={name: leak(rule=hostile("leak rule"), warnings=[HOSTILE_TEXT])},
        warnings=[HOSTILE_TEXT],
    )
    texts = dict.fromkeys(("corpus", "dataset", "protocol", "model", "fingerprint", "roles", "shards"), HOSTILE_TEXT)
    phones = [[0, 12000, hostile("phone")], [12000, 24000, "s"]]
    path = LatentPath.model_validate(latent("speech", 120, source=hostile("sequence"), segments=phones))
    trial = stored_trial(
        curves(MODELS[0], 0, 5, 1.0),
        samples=[*speech_samples(1, hostile("caption")), *pen_samples(1, hostile("caption"))],
        files=[("samples/", path), ("", audit(warnings=[HOSTILE_TEXT]))],
        code=dict.fromkeys(("commit", "clean", "lock_sha256"), HOSTILE_TEXT),
        earlier_commits=[HOSTILE_TEXT],
        **texts,
    )
    return StoredStudy(about, {HOSTILE_TEXT: _hostile_corpus()}, (trial,), HOSTILE_TEXT), _hostile_comparison()


def _hostile_comparison() -> Comparison:
    other = f"{HOSTILE_TEXT} too"
    place = dict.fromkeys(("corpus", "protocol", "split", "fingerprint"), HOSTILE_TEXT)
    reasons = [
        {"code": HOSTILE_TEXT, "sentence": hostile(name), "blocks": blocks}
        for name, blocks in (("published blocker", True), ("published note", False))
    ]
    score = {"source": hostile("published source"), "published_model": HOSTILE_TEXT, "reasons": reasons}
    return compared(
        HOSTILE_STUDY,
        rows=[row(model=model, **place) for model in (HOSTILE_TEXT, other)],
        notes=[hostile("note")],
        diverged=[{"corpus": HOSTILE_TEXT, "model": HOSTILE_TEXT, "seed": 1, "step": 2}],
        differences=[difference(HOSTILE_TEXT, other, **place, dataset=HOSTILE_TEXT, caution=hostile("caution"))],
        published=[published(model=HOSTILE_TEXT, **place, **score)],
        warnings=[f"{HOSTILE_TEXT}: {hostile('warning')}"],
        failed={HOSTILE_TEXT: hostile("failure")},
    )


def _hostile_corpus() -> Any:
    texts = dict.fromkeys(("corpus", "url", "fingerprint"), HOSTILE_TEXT)
    texts |= {"split_rule": hostile("split rule"), "licence": hostile("licence")}
    rejects = {"rejects": {HOSTILE_TEXT: 1}, "reject_examples": {HOSTILE_TEXT: HOSTILE_TEXT}}
    rejects |= {"reject_paths": {HOSTILE_TEXT: hostile("reject path")}}
    free = {"options": {HOSTILE_TEXT: hostile("option")}, "software": {HOSTILE_TEXT: hostile("software")}}
    return corpus(**texts, **rejects, **free)
