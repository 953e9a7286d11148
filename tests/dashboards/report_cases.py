"""Studies in memory with paired differences, published scores, audits and leak checks."""

from typing import Any

from benchmarks.schema.audit import Audit
from benchmarks.schema.trial import Outcome
from dashboards.charts.specs import model_colours
from dashboards.page import environment
from dashboards.report.results_section import results_section
from dashboards.report.study_data import StudyData, Trial
from dashboards.report.trust_section import trust_section
from tests.dashboards.studies import compared, description, record, row

SECTIONS = '{% include "sections/results.html.j2" %}{% include "sections/trust.html.j2" %}'


def gap(value: float, half: float = 5.0, seeds: float | None = 8.0) -> dict[str, Any]:
    joint = None if seeds is None else [value - seeds, value + seeds]
    return {"difference": value, "interval": [value - half, value + half], "joint_interval": joint}


def side(model: str = "VRNN-Gauss", **changes: Any) -> dict[str, Any]:
    exact = {"estimator": "exact", "num_samples": 1, "seeds": 3, "seed_std": 2.0, "nats_per_sequence": 100.0}
    return {"model": model} | exact | changes


def difference(model: str = "VRNN-Gauss", rival: str = "RNN-GMM", **changes: Any) -> dict[str, Any]:
    """A difference of `comparison.json`, valid unless `changes` make it otherwise."""
    return {
        "corpus": "speech",
        "dataset": "timit",
        "kind": "speech",
        "protocol": "paper",
        "split": "test",
        "measure": "density",
        "fingerprint": "sha256:91b0c4e8a77d",
        "first": side(model),
        "second": side(rival),
        "sequences": 168,
        "frames": 40320,
        "nats_per_sequence": gap(20.0),
        "nats_per_frame": gap(0.2, 0.05, 0.08),
        "bits_per_sample": gap(0.002, 0.0005, 0.0008),
        "p_sequences": 0.0001,
        "p_joint": 0.001,
        "p_sequences_corrected": 0.0004,
        "p_joint_corrected": 0.00004,
        "comparisons": 4,
        "verdict": "ahead",
        "caution": None,
    } | changes


def published(**changes: Any) -> dict[str, Any]:
    """A published score of `comparison.json`, for the row that `studies.row` writes."""
    return {
        "corpus": "speech",
        "dataset": "timit",
        "protocol": "paper",
        "model": "RNN-GMM",
        "estimator": "exact",
        "num_samples": 1,
        "split": "test",
        "fingerprint": "sha256:91b0c4e8a77d",
        "measure": "density",
        "source": "Chung et al. 2015, Table 1",
        "published_model": "RNN-GMM",
        "published_bound": "exact",
        "published_num_samples": 1,
        "published_value": 26643.0,
        "published_unit": "nats_per_sequence",
        "provenance": "read",
        "unit": "nats_per_sequence",
        "ours": 26643.12,
        "theirs": 26643.0,
        "difference": None,
        "comparable": False,
        "reasons": [
            {"code": "split_unknown", "sentence": "their split is not known", "blocks": True},
            {"code": "rounded", "sentence": "their number is rounded to 1", "blocks": False},
        ],
    } | changes


def part(name: str, share: float, nats: float | None) -> dict[str, Any]:
    values = {"frames": round(1000 * share), "nats": 1.0, "nats_per_frame": 1.0}
    return {"name": name, "share_of_frames": share, "share_of_nats": nats} | values


def floor(change: float) -> dict[str, Any]:
    return {"sigma_floor": 1e-4, "steps": 0.5, "nats_per_frame": 1.0, "change": change}


def coverage(left_out: float = 0.088) -> dict[str, Any]:
    counts = ("sequences", "sequences_left_out", "values", "values_scored", "values_in_tails", "values_in_windows")
    counts += ("values_in_sequences", "frames", "frames_scored")
    return dict.fromkeys(counts, 1) | {"share_left_out": left_out}


def audit(**changes: Any) -> Audit:
    """An `audit.json`: a tenth of the frames is silent, and half a step as a floor costs 3 nats a frame."""
    nats = ("nats", "nats_per_frame", "capped_nats_per_frame", "code_nats_per_frame")
    below = {"frames": 20, "share_of_frames": 0.02, "dequantised": False} | dict.fromkeys(nats, 0.5)
    values = {
        **{"model": "RNN-GMM", "protocol": "paper", "split": "test", "estimator": "exact", "measure": "density"},
        **{"seed": 0, "nats_per_frame": 1.0, "mean_size": 1.0, "not_finite": 0, "coverage": coverage()},
        "parts": [part("constant", 0.04, 0.1), part("near_silent", 0.06, 0.2), part("other", 0.9, 0.7)],
        "floors": [floor(0.0), floor(9.0), floor(-3.0)],
        "below_zero": below,
        "warnings": ["silence lifts the score"],
    }
    return Audit.model_validate(values | changes)


def overlap(kind: str = "speaker", values: int = 3, share: float = 0.5) -> dict[str, Any]:
    roles = ["fit", "report"]
    return {"kind": kind, "roles": roles, "values": values, "sequences": [9, 5], "share": share, "examples": []}


def leak(**changes: Any) -> dict[str, Any]:
    """A leak check of `study.json`: 3 speakers that were fitted on are in half of what is reported."""
    return {
        "protocol": "paper",
        "rule": "fit on train, checkpoint by valid, report test",
        "sequences": {"fit": 90, "select": 10, "report": 10},
        "speakers": {"fit": 8, "select": 2, "report": 4},
        "without_speaker": {"fit": 0, "select": 0, "report": 0},
        "reported_that_select": 0,
        "shared": [overlap()],
        "repeats": [],
        "warnings": [],
    } | changes


def trial(model: str = "RNN-GMM", seed: int = 0, **changes: Any) -> Trial:
    """A trial with an audit; `outcome` changes how it ended."""
    outcome = Outcome.model_validate({"identity": "i", "cut_off": False} | changes.pop("outcome", {}))
    found = changes.pop("audit", audit())
    return Trial(record(model=model, seed=seed, **changes), outcome, f"{model}-{seed}", None, found)


def study(*trials: Trial, about: dict[str, Any] | None = None, **changes: Any) -> StudyData:
    """A study whose comparison is that of `studies.comparison` with these changes."""
    return StudyData(compared(**changes), description(**(about or {})), {}, trials)


def many(corpora: int = 5, models: int = 5, seeds: int = 4) -> StudyData:
    """A study of that many trials, with every pair of models compared and a published score for each model."""
    names = [f"VRNN-{i}" for i in range(models)]
    places = [{"corpus": f"corpus {i}"} for i in range(corpora)]
    rows = [row(model=m, **place, **kind) for place in places for m in names for kind in ({}, {"estimator": "elbo"})]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    differences = [difference(a, b, **place) for place in places for a, b in pairs]
    trials = [trial(m, seed, **place) for place in places for m in names for seed in range(seeds)]
    found = [published(model=m, **place) for place in places for m in names]
    return study(*trials, rows=rows, diverged=[], differences=differences, published=found)


def sections(record: StudyData) -> str:
    """Both sections as the report has them."""
    colours = model_colours([r.model for r in record.comparison.rows] + [t.model for t in record.trials])
    results, trust = results_section(record.comparison, colours), trust_section(record, colours)
    content = {"study": record, "colours": colours, "results": results, "trust": trust}
    return environment().from_string(SECTIONS).render(content)
