"""Studies in memory with what a recent study records: paired differences, published figures, audits and leaks."""

import json
from typing import Any

from dashboards.charts.specs import interval_chart, model_colours
from dashboards.page import environment
from dashboards.report.comparison_file import parse_comparison
from dashboards.report.conclusions import conclude, group_rows
from dashboards.report.results_section import find_ahead
from dashboards.report.study_record import Study, Trial
from dashboards.report.trust_section import find_trust
from tests.dashboards.studies import comparison, row

SECTIONS = '{% include "sections/ahead.html.j2" %}{% include "sections/trust.html.j2" %}'


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


def beside(**changes: Any) -> dict[str, Any]:
    """A published figure of `comparison.json`, of the row that `studies.row` writes."""
    return {
        "corpus": "speech",
        "protocol": "paper",
        "model": "RNN-GMM",
        "estimator": "exact",
        "num_samples": 1,
        "split": "test",
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
            {"code": "split_unknown", "sentence": "which split theirs is of is not known", "bar": True},
            {"code": "rounded", "sentence": "their number is rounded to 1", "bar": False},
        ],
    } | changes


def audit(**changes: Any) -> dict[str, Any]:
    """An `audit.json`: a tenth of the frames is silent, and half a step as a floor costs 3 nats a frame."""
    parts = [("constant", 0.04, 0.1), ("near_silent", 0.06, 0.2), ("other", 0.9, 0.7)]
    return {
        "coverage": {"share_left_out": 0.088},
        "parts": [{"name": name, "share_of_frames": share, "share_of_nats": nats} for name, share, nats in parts],
        "floors": [{"change": 0.0}, {"change": 9.0}, {"change": -3.0}],
        "below_zero": {"share_of_frames": 0.02, "nats_per_frame": 0.5},
        "not_finite": 0,
        "warnings": ["silence lifts the figure"],
    } | changes


def leak(**changes: Any) -> dict[str, Any]:
    """A leak check of `study.json`: 3 speakers that were fitted on are in half of what is reported."""
    shared = {"kind": "speaker", "roles": ["fit", "report"], "values": 3, "sequences": [9, 5], "share": 0.5}
    return {
        "rule": "fit on train, checkpoint by valid, report test",
        "sequences": {"fit": 90, "select": 10, "report": 10},
        "speakers": {"fit": 8, "select": 2, "report": 4},
        "without_speaker": {"fit": 0, "select": 0, "report": 0},
        "reported_that_select": 0,
        "shared": [shared],
        "repeats": [],
        "warnings": [],
    } | changes


def trial(model: str = "RNN-GMM", seed: int = 0, **changes: Any) -> Trial:
    named = {"corpus": "speech", "protocol": "paper", "status": "FINISHED", "diverged_at_step": None}
    rest = {"trial_key": "k", "fingerprint": "f", "git_commit": "c", "curves": None, "audit": audit()}
    return Trial(**(named | rest | {"run_id": f"{model}-{seed}", "model": model, "seed": seed} | changes))


def study(*trials: Trial, about: dict[str, Any] | None = None, **changes: Any) -> Study:
    """A study whose comparison is that of `studies.comparison` with these changes."""
    return Study("demo", "parent", "FINISHED", parse_comparison(json.dumps(comparison(**changes))), trials, about or {})


def many(corpora: int = 5, models: int = 5, seeds: int = 4) -> Study:
    """A study of that many trials, with every pair of models compared and published figures beside each."""
    names = [f"VRNN-{i}" for i in range(models)]
    places = [{"corpus": f"corpus {i}"} for i in range(corpora)]
    rows = [row(model=m, **place, **kind) for place in places for m in names for kind in ({}, {"estimator": "elbo"})]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    differences = [difference(a, b, **place) for place in places for a, b in pairs]
    trials = [trial(m, seed, **place) for place in places for m in names for seed in range(seeds)]
    published = [beside(model=m, **place) for place in places for m in names]
    return study(*trials, rows=rows, diverged=[], differences=differences, published=published)


def sections(record: Study) -> str:
    """Both sections as the report has them."""
    colours = model_colours([r.model for r in record.comparison.rows] + [t.model for t in record.trials])
    groups = group_rows(record.comparison.rows)
    return environment().from_string(SECTIONS).render(content(record, colours, groups))


def content(record: Study, colours: Any, groups: Any) -> dict[str, Any]:
    comparison_ = record.comparison
    results = [
        {
            "group": group,
            "conclusion": conclude(group, comparison_.diverged, comparison_.differences),
            "chart": interval_chart(group.rows, colours),
        }
        for group in groups
    ]
    ahead, trust = find_ahead(comparison_, colours), find_trust(record, colours)
    return {"study": record, "comparison": comparison_, "colours": colours, "results": results} | {
        "ahead": ahead,
        "trust": trust,
    }
