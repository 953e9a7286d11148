"""The studies of the session's store: one that shows every section of the report, one whose every text is hostile."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from tests.dashboards.report_cases import audit, beside, difference, leak, side
from tests.dashboards.corpora import LOCK, PROTOCOL, pen_document
from tests.dashboards.corpora import document as speech_document
from tests.dashboards.studies import (
    HOSTILE_STUDY,
    HOSTILE_TEXT,
    MODELS,
    STUDY,
    Writer,
    comparison,
    curves,
    pen_samples,
    row,
    samples_of_every_role,
    speech_samples,
)

__all__ = ["HOSTILE_PLACES", "hostile", "latent", "write_hostile_study", "write_study"]

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


def _about() -> dict[str, Any]:
    corpora = [{"name": name, "protocol": "paper", "shards": f"shards/{name}"} for name in ("speech", "handwriting")]
    return {
        "suite": {"study": STUDY, "seeds": [0, 1], "corpora": corpora, "models": list(MODELS)},
        "protocols": {"speech/paper": PROTOCOL, "handwriting/paper": PEN_PROTOCOL},
        "keys": [*KEYS, "handwriting-VRNN-Gauss-0"],
        "leaks": {"speech/paper": leak(), "handwriting/paper": leak(shared=[])},
        "warnings": ["speech/paper: 3 speakers are in both"],
    }


def write_study(client: MlflowClient, root: Path) -> dict[str, Any]:
    """Two corpora, three models, one of which lost a seed; returns its comparison."""
    document = comparison(
        differences=_differences(),
        published=[beside()],
        warnings=["speech/paper: silence lifts the figure", "speech/paper/VRNN-GMM: one of 2 runs was lost"],
    )
    writer = Writer(client, STUDY, root)
    parent = writer.parent(document)
    corpora = {"speech": speech_document(), "handwriting": pen_document()}
    writer.beside(parent, study=_about(), corpora=corpora)
    for model in MODELS:
        for seed in (0, 1):
            diverged: dict[str, Any] = {"diverged_at_step": 4210} if (model, seed) == ("VRNN-GMM", 1) else {}
            run = _child(writer, parent, "speech", model, seed, **diverged)
            writer.curves(run, curves(model, seed, 30 if diverged else 40, 120.0))
            if seed == 0:
                _samples(writer, run, "speech", model, latent("speech", 80))
    for model in MODELS[:2]:
        run = _child(writer, parent, "handwriting", model, 0)
        writer.curves(run, curves(model, 0, 25, 2.2))
        _samples(writer, run, "pen", model, latent("pen", 240))
    return document


def _child(writer: Writer, parent: str, corpus: str, model: str, seed: int, **tags: Any) -> str:
    run = writer.child(parent, corpus=corpus, model=model, seed=seed, git_clean="yes", lock_sha256=LOCK, **tags)
    if not tags:
        writer.beside(run, audit=audit())
    return run


def _samples(writer: Writer, run: str, kind: str, model: str, read: dict[str, Any]) -> None:
    """What has a latent makes samples of every role; what has none reconstructs nothing."""
    made = samples_of_every_role(kind, MODELS.index(model))
    has_latent = model == "VRNN-Gauss"
    writer.samples(run, made if has_latent else [each for each in made if each[0]["role"] in ("real", "generated")])
    if has_latent:
        writer.client.log_dict(run, read, "samples/latent.json")


HOSTILE_PLACES = (
    "caption",
    "caution",
    "failure",
    "failure of a trial",
    "leak rule",
    "licence",
    "note",
    "option",
    "phone",
    "published bar",
    "published remark",
    "published source",
    "reject path",
    "sequence",
    "software",
    "split rule",
    "suite key",
    "suite value",
    "warning",
)
"""Where the hostile study has a text of its own, which the page shows."""


def hostile(place: str) -> str:
    """The hostile text of one place."""
    return f"{HOSTILE_TEXT} {place}"


def write_hostile_study(client: MlflowClient, root: Path) -> dict[str, Any]:
    """Every text that a corpus, a configuration, a run or a caption supplies tries to leave its place."""
    writer, document = Writer(client, HOSTILE_STUDY, root), _hostile_comparison()
    parent = writer.parent(document)
    writer.beside(parent, study=_hostile_about(), corpora={HOSTILE_TEXT: _hostile_corpus()})
    texts = dict.fromkeys(("corpus", "protocol", "model", "fingerprint", "git_commit", "git_clean"), HOSTILE_TEXT)
    texts |= dict.fromkeys(("lock_sha256", "dataset", "split", "a tag"), HOSTILE_TEXT)
    run = writer.child(parent, seed=0, **texts)
    client.log_param(run, "stop", HOSTILE_TEXT)
    writer.curves(run, curves(MODELS[0], 0, 5, 1.0))
    writer.beside(run, audit=audit(warnings=[HOSTILE_TEXT]))
    writer.samples(run, speech_samples(1, hostile("caption")) + pen_samples(1, hostile("caption")))
    phones = [[0, 12000, hostile("phone")], [12000, 24000, "s"]]
    client.log_dict(run, latent("speech", 120, source=hostile("sequence"), segments=phones), "samples/latent.json")
    failed = texts | {"trial_key": HOSTILE_TEXT, "failed": hostile("failure of a trial")}
    writer.child(parent, seed=1, status="FAILED", **failed)
    return document


def _hostile_comparison() -> dict[str, Any]:
    other = f"{HOSTILE_TEXT} too"
    place = dict.fromkeys(("corpus", "protocol", "split", "fingerprint"), HOSTILE_TEXT)
    reasons = [
        {"code": HOSTILE_TEXT, "sentence": hostile(name), "bar": bar}
        for name, bar in (("published bar", True), ("published remark", False))
    ]
    figure = {"source": hostile("published source"), "published_model": HOSTILE_TEXT, "reasons": reasons}
    figure |= {name: text for name, text in place.items() if name != "fingerprint"} | {"model": HOSTILE_TEXT}
    return comparison(
        HOSTILE_STUDY,
        rows=[row(model=model, **place) for model in (HOSTILE_TEXT, other)],
        notes=[hostile("note")],
        diverged=[{"corpus": HOSTILE_TEXT, "model": HOSTILE_TEXT, "seed": 1, "step": 2}],
        differences=[difference(HOSTILE_TEXT, other, **place, dataset=HOSTILE_TEXT, caution=hostile("caution"))],
        published=[beside(**figure)],
        warnings=[f"{HOSTILE_TEXT}: {hostile('warning')}"],
        failed={HOSTILE_TEXT: hostile("failure")},
    )


def _hostile_about() -> dict[str, Any]:
    name = f"{HOSTILE_TEXT}/{HOSTILE_TEXT}"
    corpus = {"name": HOSTILE_TEXT, "shards": HOSTILE_TEXT}
    return {
        "suite": {"study": HOSTILE_STUDY, "corpora": [corpus], hostile("suite key"): hostile("suite value")},
        "protocols": {name: PROTOCOL | {"rule": HOSTILE_TEXT}},
        "keys": [HOSTILE_TEXT, f"{HOSTILE_TEXT}-{HOSTILE_TEXT}-0"],
        "leaks": {name: leak(rule=hostile("leak rule"), warnings=[HOSTILE_TEXT])},
        "warnings": [HOSTILE_TEXT],
    }


def _hostile_corpus() -> dict[str, Any]:
    texts = dict.fromkeys(("corpus", "url", "fingerprint"), HOSTILE_TEXT)
    texts |= {"split_rule": hostile("split rule"), "licence": hostile("licence")}
    rejects = {"rejects": {HOSTILE_TEXT: 1}, "reject_examples": {HOSTILE_TEXT: HOSTILE_TEXT}}
    rejects |= {"reject_paths": {HOSTILE_TEXT: hostile("reject path")}}
    free = {"options": {HOSTILE_TEXT: hostile("option")}, "software": {HOSTILE_TEXT: hostile("software")}}
    return speech_document(**texts, **rejects, **free)
