"""Comparisons to export, names that are hard to write down, and another reader of Markdown."""

import math
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks.audit.leaks import Leaks
from benchmarks.published.comparability import beside_published
from benchmarks.statistics.paired_differences import compare_pairs
from benchmarks.statistics.table import Scored, compare_scores
from benchmarks.study.summary import Comparison
from benchmarks.suites.suite import Suite
from pipelines.batches.protocol import find_protocol

RULE = "fit on train, checkpoint by valid, report test"
SPEECH, PEN = ("timit", "speech", "paper"), ("iam_ondb", "pen", "clean")
MODELS = {"rnn-gauss": 0.0, "vrnn-gauss": 1.0, "vrnn-dmol": -900.0}
HOSTILE = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12) | st.text(
    r"\|&%$#_{}~^`*[]<>-+=!:;.,'" + '"\n\t 1)a', min_size=1, max_size=12
)


def scores(sequences: int, estimator: str, num_samples: int, nats: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng([seed, int(abs(nats))])
    return pd.DataFrame(
        {
            "id": [f"s{number}" for number in range(sequences)],
            "split": "test",
            "estimator": estimator,
            "num_samples": num_samples,
            "frames": 40,
            "nats": nats - 1000 + rng.standard_normal(sequences) + rng.standard_normal(),
            "standard_error": math.nan if estimator == "iwae" else 0.25,
        }
    )


def trials(seeds: int = 3, sequences: int = 8, rename: Callable[[str], str] = str) -> list[Scored]:
    found = []
    for corpus, kind, protocol in (SPEECH, PEN):
        for model, nats in MODELS.items():
            mass = model.endswith("dmol")
            bounds = [("elbo", 1), ("iwae", 40)] if model.startswith("vrnn") else [("exact", 1)]
            scale = None if kind == "pen" else (200, 0.0 if mass else 1261.3)
            rest = ("mass", 4321, None) if mass else ("density", 1234567, 1e-4)
            if kind == "pen" and mass:
                continue
            for seed in range(seeds):
                table = pd.concat([scores(sequences, name, k, nats + k / 40, seed + len(corpus)) for name, k in bounds])
                given = (rename(corpus), corpus, kind, protocol, rename(model), seed, corpus[0] * 64)
                found.append(Scored(*given, table, scale, *rest))
    coder = scores(sequences, "code", 1, -800.0, 0)
    return [*found, Scored(rename("timit"), "timit", "speech", "paper", "flac", 0, "t" * 64, coder, (200, 0.0), "mass")]


def study_file(first_model: str = "rnn-gauss") -> dict[str, Any]:
    models = sorted(MODELS, key=lambda name: name != first_model)
    suite = Suite.model_validate(
        {
            "study": "study_1",
            "models": models,
            "seeds": [3, 5, 7],
            "scoring": {"num_samples": 40, "repeats": 4, "seed": 11},
            "corpora": [
                {
                    "name": "timit",
                    "shards": "somewhere",
                    "protocol": "paper",
                    "size": "tiny",
                    "optimisation": {"learning_rate": 0.00042, "patience": 9},
                },
                {"name": "iam_ondb", "shards": "elsewhere", "size": "small"},
            ],
        }
    )
    leaks = Leaks("paper", RULE, {"fit": 101, "select": 23, "report": 8}, {}, {}, 0, (), (), ())  # type: ignore[arg-type]
    rules = {
        "timit/paper": find_protocol("paper", "speech", "timit"),
        "iam_ondb/clean": find_protocol("clean", "pen", "iam_ondb"),
    }
    return {
        "suite": suite.model_dump(mode="json"),
        "code": {"commit": "c" * 40, "clean": "yes", "lock_sha256": "d" * 64},
        "protocols": {name: rule.model_dump(mode="json") | {"rule": RULE} for name, rule in rules.items()},
        "leaks": {"timit/paper": leaks.to_json()},
        "warnings": [],
        "keys": ["k" * 16],
    }


def compared(scored: list[Scored], claims: tuple[tuple[str, str], ...] = (), **given: Any) -> Comparison:
    rows = compare_scores(scored)
    whole = {"diverged": [], "warnings": ["timit/paper: 8 of 8 are shared"], "notes": ["A note."]} | given
    return Comparison("study_1", rows, compare_pairs(scored, claims), beside_published(rows), **whole)


def export_case() -> Comparison:
    """A study with all that an export may have to tell."""
    fallen = [{"corpus": "timit", "model": "rnn-gauss", "seed": 9, "step": 17}]
    return compared(trials(), diverged=fallen, failed={"timit/paper/rnn-gauss/seed8": "no memory"}, about=study_file())


def pipes(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown file as another reader of it finds them: rows of cells, in plain text."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tables: list[list[list[str]]] = []
    inside = False
    for token in parser.parse(text):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            tables += [[]] if inside else []
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and inside and token.children is not None:
            allowed = {"text", "html_inline", "text_special"}
            assert {child.type for child in token.children} <= allowed, token.content
            assert all(child.content == "<br>" for child in token.children if child.type == "html_inline")
            tables[-1][-1].append("".join(child.content for child in token.children))
    return tables


def one_line(text: str) -> str:
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())
