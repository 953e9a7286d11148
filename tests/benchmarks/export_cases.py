"""Comparisons to export, names that are hard to write down, and another reader of Markdown."""

import math
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks.published.comparability import compare_with_published
from benchmarks.schema.comparison import Comparison, Divergence
from benchmarks.schema.leaks import LeakCheck
from benchmarks.schema.study import AppliedProtocol, Code, StudyDescription
from benchmarks.schema.suite import Suite
from benchmarks.statistics.paired_differences import compare_pairs
from benchmarks.statistics.table import ScoredTrial, compare_scores
from pipelines.batches.protocol import Protocol, find_protocol

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


def trials(seeds: int = 3, sequences: int = 8, rename: Callable[[str], str] = str) -> list[ScoredTrial]:
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
                found.append(ScoredTrial(*given, table, scale, *rest))
    codec = scores(sequences, "code", 1, -800.0, 0)
    given = (rename("timit"), "timit", "speech", "paper", "flac", 0, "t" * 64)
    return [*found, ScoredTrial(*given, codec, (200, 0.0), "mass")]


def study_description(first_model: str = "rnn-gauss") -> StudyDescription:
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
    leaks = LeakCheck(
        protocol="paper",
        rule=RULE,
        sequences={"fit": 101, "select": 23, "report": 8},
        speakers={},
        without_speaker={},
        reported_that_select=0,
        shared=(),
        repeats=(),
        warnings=(),
    )
    rules = {
        "timit/paper": find_protocol("paper", "speech", "timit"),
        "iam_ondb/clean": find_protocol("clean", "pen", "iam_ondb"),
    }
    return StudyDescription(
        suite=suite,
        code=Code(commit="c" * 40, clean="yes", lock_sha256="d" * 64),
        protocols={name: applied(rule) for name, rule in rules.items()},
        leaks={"timit/paper": leaks},
        warnings=(),
        keys=("k" * 16,),
    )


def applied(protocol: Protocol) -> AppliedProtocol:
    return AppliedProtocol(**protocol.model_dump(), rule=RULE)


def compared(scored: list[ScoredTrial], claims: tuple[tuple[str, str], ...] = (), **given: Any) -> Comparison:
    rows = compare_scores(scored)
    rest = {
        "diverged": (),
        "warnings": ("timit/paper: 8 of 8 are shared",),
        "notes": ("A note.",),
        "description": study_description(),
    }
    return Comparison(
        study="study_1",
        rows=tuple(rows),
        differences=tuple(compare_pairs(scored, claims)),
        published=tuple(compare_with_published(rows)),
        **rest | given,
    )


def export_case() -> Comparison:
    """A study with everything that an export can state."""
    diverged = (Divergence(corpus="timit", model="rnn-gauss", seed=9, step=17),)
    return compared(trials(), diverged=diverged, failed={"timit/paper/rnn-gauss/seed8": "no memory"})


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
