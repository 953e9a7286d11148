import dataclasses
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks import comparison as comparing
from benchmarks import resampling
from benchmarks.comparison import ComparisonRow, Scored, compare_scores
from benchmarks.differences import compare_pairs
from benchmarks.errors import StudyError
from benchmarks.exports import write_exports
from benchmarks.exports.citation import citation
from benchmarks.exports.flat import differences_csv, published_csv, rows_csv
from benchmarks.exports.latex import tex_tables
from benchmarks.exports.markdown import markdown_tables
from benchmarks.exports.markup import Number, Sheet, markdown_item, markdown_table, tex_table
from benchmarks.exports.protocol import protocol_statement
from benchmarks.leaks import Leaks
from benchmarks.results import Comparison
from benchmarks.suite import Suite
from benchmarks.verdicts import beside_published
from pipelines.protocol import find_protocol
from tests.benchmarks.tex_checker import TexTable, read_tables

FILES = ["table.md", "table.tex", "rows.csv", "differences.csv", "published.csv"]
FILES += ["comparison.json", "protocol.md", "CITATION.cff"]
RULE = "fit on train, checkpoint by valid, report test"
SPEECH, PEN = ("timit", "speech", "paper"), ("iam_ondb", "pen", "clean")
MODELS = {"rnn-gauss": 0.0, "vrnn-gauss": 40.0, "vrnn-dmol": -900.0}
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
                table = pd.concat([scores(sequences, name, k, nats + k / 10, seed) for name, k in bounds])
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
    leaks = Leaks("paper", RULE, {"fit": 101, "select": 23, "report": 8}, {}, 0, (), (), ())  # type: ignore[arg-type]
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


@pytest.fixture(scope="module")
def found() -> Comparison:
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


# Files


def test_every_file_is_there_and_the_same_comparison_makes_the_same_bytes(found: Comparison, tmp_path: Path) -> None:
    first = write_exports(found, tmp_path / "new" / "one")
    assert [path.name for path in first] == FILES
    assert sorted(path.name for path in (tmp_path / "new" / "one").iterdir()) == sorted(FILES)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "table.md").write_text("of an earlier study, longer than nothing")
    for one, other in zip(first, write_exports(found, tmp_path / "two"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_file_in_place_of_the_directory_is_named(found: Comparison, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(StudyError, match="out: a file lies there"):
        write_exports(found, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_no_file_says_where_data_lie(found: Comparison, tmp_path: Path) -> None:
    for path in write_exports(found, tmp_path):
        assert not re.search("somewhere|elsewhere", path.read_text()), path.name


def test_json_is_the_comparison_with_null_for_what_is_not_finite(tmp_path: Path) -> None:
    one = compared(trials(sequences=1, seeds=1))
    assert one.rows[0].interval == (-math.inf, math.inf)
    write_exports(one, tmp_path)
    read = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert read["rows"][0]["interval"] == [None, None]
    assert read["rows"][0]["nats_per_sequence"] == one.rows[0].nats_per_sequence
    assert set(read) == set(one.to_json())


# CSV


def read_csv(text: str) -> pd.DataFrame:
    """With no string taken for a missing one."""
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def flattened(rows: list[Any]) -> pd.DataFrame:
    """What pandas makes of the same rows."""
    table = pd.json_normalize([dataclasses.asdict(row) for row in rows], sep="_")
    for name in [name for name in table if name.endswith("interval")]:
        stem = "nats_per_sequence_" if name == "interval" else name.removesuffix("interval")
        table[f"{stem}low"] = [ends[0] if isinstance(ends, tuple) else None for ends in table[name]]
        table[f"{stem}high"] = [ends[1] if isinstance(ends, tuple) else None for ends in table[name]]
        table = table.drop(columns=name)
    return table.drop(columns=["reasons", "bits_per_sample"] if "first_model" in table else "reasons", errors="ignore")


@pytest.mark.parametrize(("of", "write"), [("rows", rows_csv), ("differences", differences_csv)])
def test_csv_holds_every_field_to_the_last_digit(found: Comparison, of: str, write: Callable[..., str]) -> None:
    read, expected = read_csv(write(getattr(found, of))), flattened(getattr(found, of))
    assert sorted(read) == sorted(expected)
    assert len(read) == len(expected) > 2
    for name in expected:
        for ours, theirs in zip(read[name], expected[name], strict=True):
            assert ours == theirs or (pd.isna(ours) and pd.isna(theirs)), name


def test_published_csv_holds_every_field_and_every_reason(found: Comparison) -> None:
    read, expected = read_csv(published_csv(found.published)), flattened(found.published)
    assert sorted(read) == sorted([*expected, "bars", "remarks", "reasons"])
    assert len(read) == len(found.published) > 0
    for line, pair in zip(read.astype(object).fillna("").to_dict("records"), found.published, strict=True):
        assert (line["ours"], line["published_value"]) == (pair.ours, pair.published_value)
        codes = [*filter(None, line["bars"].split(" | ")), *filter(None, line["remarks"].split(" | "))]
        assert codes == [reason.code for reason in pair.reasons]
        assert line["reasons"].split(" | ") == [reason.sentence for reason in pair.reasons]
        assert bool(line["bars"]) != pair.comparable


@pytest.mark.parametrize(
    ("of", "write"), [("rows", rows_csv), ("differences", differences_csv), ("published", published_csv)]
)
def test_a_table_without_rows_has_the_same_columns(found: Comparison, of: str, write: Callable[..., str]) -> None:
    assert write([]) == write(getattr(found, of)).splitlines(keepends=True)[0]


def test_counts_stay_whole_beside_missing_ones(found: Comparison) -> None:
    lines = rows_csv(found.rows).splitlines()
    position = lines[0].split(",").index("parameters")
    assert {line.split(",")[position] for line in lines[1:]} == {"1234567", "4321", ""}


def test_an_unbounded_interval_is_read_back_as_such() -> None:
    read = read_csv(rows_csv(compared(trials(sequences=1, seeds=1)).rows))
    assert set(read["nats_per_sequence_low"]) == {-math.inf}


@given(HOSTILE)
@settings(max_examples=60, deadline=None)
def test_names_come_back_from_csv(name: str) -> None:
    (row, *_) = ROWS
    read = pd.read_csv(
        io.StringIO(rows_csv([dataclasses.replace(row, model=name)])),
        keep_default_na=False,
        dtype=str,
        lineterminator="\n",
    )
    assert read["model"].tolist() == [name]


ROWS = compare_scores(trials(seeds=1, sequences=3))


# Markdown


def cell_of(row: ComparisonRow) -> str:
    sign = {"exact": "=", "code": "=", "elbo": "≥", "iwae": "~"}[row.estimator]
    named = {"iwae": " (iwae-40)", "code": " (code)"}.get(row.estimator, "")
    spread = "not trained" if row.estimator == "code" else f"± {row.seed_std:.1f} over {row.seeds} seeds"
    low, high = row.interval
    return f"{sign} {row.nats_per_sequence:.1f}{named} [{low:.1f}, {high:.1f}] {spread}"


def test_models_stand_down_and_corpora_across(found: Comparison) -> None:
    (head, *lines), *_ = pipes(markdown_tables(found))
    assert head == ["model", "timit, paper, test: 8 sequences", "iam_ondb, clean, test: 8 sequences"]
    names = ["rnn-gauss (density)", "vrnn-gauss (density)", "vrnn-dmol (mass)", "flac (mass)"]
    assert [line[0] for line in lines] == names
    for line, name in zip(lines, names, strict=True):
        for cell, corpus in zip(line[1:], ("timit", "iam_ondb"), strict=True):
            rows = [row for row in found.rows if (f"{row.model} ({row.measure})", row.corpus) == (name, corpus)]
            assert cell == "<br>".join(map(cell_of, rows))


def test_all_rows_differences_and_published_figures_follow(found: Comparison) -> None:
    text = markdown_tables(found)
    _, figures, differences, published = pipes(text)
    assert len(figures) - 1 == len(found.rows)
    assert len(differences) - 1 == len(found.differences)
    assert len(published) - 1 == len(found.published)
    by_name = [dict(zip(differences[0], line, strict=True)) for line in differences[1:]]
    for line, row in zip(by_name, found.differences, strict=True):
        assert line["nats/sequence"] == f"{row.nats_per_sequence.difference:+.2f}"
        assert line["verdict on the first"] == row.verdict
        assert row.first.model in line["first"]
        assert (f"iwae-{row.first.num_samples}" in line["first"]) == (row.first.estimator == "iwae")
    for line, pair in zip(published[1:], found.published, strict=True):
        told = dict(zip(published[0], line, strict=True))
        assert told["comparable"] == "no"
        assert told["why not"] == "<br>".join(reason.sentence for reason in pair.reasons if reason.bar)
    assert "over 3 comparisons" in text


def test_warnings_notes_and_lost_trials_are_told(found: Comparison) -> None:
    text = markdown_tables(dataclasses.replace(found, unsent="MLflow was away"))
    for line in (
        "- timit/paper: 8 of 8 are shared",
        "- timit/rnn-gauss/seed9 diverged at step 17 and is in no figure",
        "- timit/paper/rnn-gauss/seed8 was not finished and is in no figure: no memory",
        "- MLflow was away",
        "- A note.",
    ):
        assert f"\n{line}\n" in text


def test_what_is_not_known_is_not_made_up() -> None:
    (_, *lines), figures, *_ = pipes(markdown_tables(compared(trials(seeds=1, sequences=1))))
    assert lines[0][1].endswith("unknown one seed")
    told = dict(zip(figures[0], figures[3], strict=True))
    assert (told["estimator"], told["MC error"], told["95 % interval"]) == ("~ iwae-40", "unknown", "unknown")


def test_other_content_of_the_same_corpus_has_a_column_of_its_own() -> None:
    others = [dataclasses.replace(trial, fingerprint="o" * 64) for trial in trials(seeds=1)]
    (head, *_), *_ = pipes(markdown_tables(compared([*trials(seeds=1), *others])))
    assert head[1:] == [
        f"{names}, data {letter * 12}: 8 sequences"
        for names, letter in (
            ("timit, paper, test", "t"),
            ("timit, paper, test", "o"),
            ("iam_ondb, clean, test", "i"),
            ("iam_ondb, clean, test", "o"),
        )
    ]


@given(HOSTILE, HOSTILE)
@settings(max_examples=150, deadline=None)
def test_any_name_stays_in_its_cell_of_markdown(first: str, second: str) -> None:
    text = markdown_table(Sheet((first, "b"), "lr", [(second, "x"), ((first, second), Number("-1.0"))]))
    if not one_line(first):
        return
    ((head, row, several),) = pipes(text)
    assert head == [one_line(first), "b"]
    assert row == [one_line(second), "x"]
    assert several == [f"{one_line(first)}<br>{one_line(second)}".strip(), "-1.0"]


@given(HOSTILE.filter(lambda text: bool(one_line(text))))
@settings(max_examples=150, deadline=None)
def test_any_warning_is_one_item_of_a_list(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"{markdown_item(text)}\n- next\n")
    kinds = [token.type for token in tokens if token.type.endswith("_open") or token.type in ("hr", "code_block")]
    assert kinds == ["bullet_list_open", *["list_item_open", "paragraph_open"] * 2]
    (inline, _) = (token for token in tokens if token.type == "inline")
    assert "".join(child.content for child in inline.children or ()) == one_line(text)


# LaTeX


def test_figures_in_latex_are_those_of_the_comparison(found: Comparison) -> None:
    densities, masses, *_ = read_tables(tex_tables(found))
    assert densities.rows[0] == ["model", "estimator", "timit", "iam_ondb"]
    assert masses.rows[0] == ["model", "estimator", "timit"]
    for table, measure in ((densities, "density"), (masses, "mass")):
        expected = [row for row in found.rows if row.measure == measure]
        assert len(table.rows) - 1 == 3 * len({(row.model, row.estimator) for row in expected})
        for row in expected:
            check_figure(table, row)


def check_figure(table: TexTable, row: ComparisonRow) -> None:
    column = table.rows[0].index(row.corpus)
    name = "iwae-40" if row.estimator == "iwae" else row.estimator
    (place,) = (number for number, line in enumerate(table.rows) if line[:2] == [row.model, name])
    sign = {"exact": "=", "code": "=", "elbo": "≥", "iwae": "∼"}[row.estimator]
    figure, ends, spread = (table.rows[place + below][column] for below in range(3))
    assert figure.split() == [sign, f"{row.nats_per_sequence:.1f}"]
    assert ends == "[{:.1f}, {:.1f}]".format(*row.interval)
    assert (
        spread == "not trained" if row.seed_std is None else spread.split() == ["±", f"{row.seed_std:.1f}", "of", "3"]
    )


def test_every_number_in_latex_is_mathematics(found: Comparison) -> None:
    """Outside of it a minus is a hyphen."""
    for line in tex_tables(found).splitlines():
        if line.endswith(r"\\"):
            assert not re.search(r"-\d+\.\d", re.sub(r"\$[^$]*\$", "", line)), line


def test_captions_say_what_figures_are(found: Comparison) -> None:
    densities, masses, differences, *_ = read_tables(tex_tables(found))
    for said in (
        "study_1",
        "nats per sequence",
        "≥ ELBO",
        "∼ IWAE, K = 40",
        "Seeds of training: 3",
        "95 %",
        "no figure",
    ):
        assert said in re.sub(" +", " ", densities.caption)
    assert "timit, paper, test: 8 sequences; iam_ondb, clean, test: 8 sequences" in densities.caption
    assert "densities of normalised frames" in densities.caption
    assert "FIVO" not in densities.caption
    assert "iam_ondb" not in masses.caption
    assert "masses (probabilities of the recorded integers)" in masses.caption
    assert "Holm's correction for 3 comparisons" in differences.caption
    assert "of 8 sequences" in differences.caption


def test_differences_in_latex_are_those_of_the_comparison(found: Comparison) -> None:
    lines = [line for table in read_tables(tex_tables(found))[2:] for line in table.rows[1:]]
    assert len(lines) == 2 * len(found.differences)
    for above, below, row in zip(lines[::2], lines[1::2], found.differences, strict=True):
        gap = row.nats_per_sequence
        assert above[:3] == [row.first.model, row.second.model, f"{gap.difference:+.2f}"]
        assert gap.interval is not None
        assert gap.joint_interval is not None
        assert (above[4], below[4]) == tuple(
            "[{:+.2f}, {:+.2f}]".format(*e) for e in (gap.interval, gap.joint_interval)
        )
        assert above[6] == row.verdict
        assert below[6] == f"seeds: {row.first.seeds}, {row.second.seeds}"
        ps = [row.p_sequences_corrected, row.p_joint_corrected]
        assert [above[5], below[5]] == ["< 0.001" if p is None or p < 0.001 else f"{p:.3f}" for p in ps]


def test_a_long_table_is_cut_between_models_and_loses_none() -> None:
    several = [trial for number in range(12) for trial in trials(1, rename=lambda name, n=number: f"{name}_{n}")]
    tables = read_tables(tex_tables(compared(several, claims=(("rnn-gauss_0", "vrnn-gauss_0"),))))
    figures = [table for table in tables if "density" in table.label]
    assert len(figures) > 1
    assert all(len(table.rows) <= 46 for table in tables)
    assert [re.search(r"\((\d+) of (\d+)\)$", table.caption).groups() for table in figures] == [  # type: ignore[union-attr]
        (str(number), str(len(figures))) for number in range(1, len(figures) + 1)
    ]
    names = [line[0] for table in figures for line in table.rows[1:] if line[0]]
    assert sorted(set(names)) == sorted(f"{model}_{n}" for n in range(12) for model in ("rnn-gauss", "vrnn-gauss"))
    assert len({table.label for table in tables}) == len(tables)


@given(HOSTILE, HOSTILE)
@settings(max_examples=200, deadline=None)
def test_any_name_is_shown_by_latex_as_it_is(first: str, second: str) -> None:
    (table,) = read_tables(
        tex_table(f"{second} {first}", first, (first, second), "lr", [[(second, Number("-1.0"))], [(first, first)]])
    )
    assert table.rows == [[tex_shown(first), tex_shown(second)], [tex_shown(second), "-1.0"], [tex_shown(first)] * 2]
    assert table.caption == tex_shown(f"{second} {first}")


def tex_shown(text: str) -> str:
    known = "≥∼±"
    letters = unicodedata.normalize("NFC", one_line(text))
    return "".join(
        c if c in known else (c if c.isascii() or ("À" <= c <= "ÿ" and c not in "ÐÞð×÷þ") else f"(U+{ord(c):04X})")
        for c in letters
    )


def test_any_corpus_and_model_may_be_exported(tmp_path: Path) -> None:
    hostile = r"\[*] 100%_$x$ {#&} ~^ <|> `--`" + "\n"
    write_exports(compared(trials(1, rename=lambda name: hostile + name)), tmp_path)
    tables = read_tables((tmp_path / "table.tex").read_text())
    assert tables[0].rows[1][0] == one_line(hostile + "rnn-gauss")
    (_, first, *_), *_ = pipes((tmp_path / "table.md").read_text())
    assert first[0] == one_line(hostile + "rnn-gauss") + " (density)"


# The protocol


def test_the_protocol_says_what_a_paper_must(found: Comparison) -> None:
    text = protocol_statement(found)
    for said in (
        "A frame is 200 consecutive samples, without overlap",
        "A frame is (dx, dy, pen up)",
        "No recording or line is cut",
        "Dequantisation: none",
        "Dequantisation: noise U(-1/2, 1/2)",
        "probabilities of the recorded integers",
        RULE,
        "101 fitted on, 23 choose the checkpoint, 8 reported",
        f"Fingerprint of the content: {'t' * 64}",
        f"Fingerprint of the content: {'i' * 64}",
        "Seeds, of initial weights, order and noise: 3, 5, 7",
        "the mean of 4 independent repetitions (noise seed 11)",
        "K = 40 importance weights",
        "95 % bootstrap",
        "after Holm for 3 comparisons: all pairs, none was named in advance",
        f"Commit {'c' * 40}; the checkout was clean",
        "d" * 64,
        "k" * 16,
        "- timit/paper: 8 of 8 are shared",
        "seed9 diverged at step 17",
    ):
        assert said in text, said
    assert "unrecorded" not in text
    models, rules = pipes(text)
    rows = {(line[0], line[1]): line[3:] for line in models[1:]}
    assert rows["vrnn-gauss", "timit"] == ["tiny", "1234567", "density", "0.0001", "elbo, iwae-40", "3"]
    assert rows["rnn-gauss", "iam_ondb"] == ["small", "1234567", "density", "0.0001", "exact", "3"]
    assert rows["vrnn-dmol", "timit"] == ["tiny", "4321", "mass", "none", "elbo, iwae-40", "3"]
    assert rows["flac", "timit"] == ["", "", "mass", "none", "code", "not trained"]
    told = {line[0]: line[1:] for line in rules}
    assert (told["learning_rate"], told["patience"]) == (["0.00042", "0.001"], ["9", "5"])


def test_windows_are_told() -> None:
    about = study_file()
    about["protocols"] = {
        "timit/paper": find_protocol("paper", "speech", "blizzard").model_dump(mode="json") | {"rule": RULE},
        "iam_ondb/clean": find_protocol("clean", "speech", "timit").model_dump(mode="json") | {"rule": RULE},
    }
    text = protocol_statement(compared(trials(1), about=about))
    assert "windows of 40 frames, each a sequence that begins from the zero state; what is shorter" in text
    assert "windows of 3200 frames, each a sequence that begins from the zero state; the rest is kept" in text


def test_claims_are_named() -> None:
    about = study_file()
    about["suite"]["claims"] = [["vrnn-gauss", "rnn-gauss"]]
    text = protocol_statement(compared(trials(), claims=(("vrnn-gauss", "rnn-gauss"),), about=about))
    assert "for 2 comparisons, of the pairs that the study named before it ran: vrnn-gauss against rnn-gauss." in text


def test_nothing_is_made_up_where_the_study_left_no_file(found: Comparison) -> None:
    text = protocol_statement(dataclasses.replace(found, about={}))
    for said in (
        "What was fitted on, and what chose the checkpoint, is unrecorded",
        "How signals became frames is unrecorded",
        "How models were fitted is unrecorded",
        "How often bounds were repeated is unrecorded",
        "The commit and the lock of the packages are unrecorded",
        "in common with what is fitted on is unrecorded",
    ):
        assert said in text, said
    assert "named in advance" not in text
    assert "Nothing was found" not in text


def test_noise_under_densities_is_not_told_by_a_discretised_model() -> None:
    """The rules kept of a corpus are those of its first model; one that is discretised is never given noise."""
    about = study_file()
    about["protocols"]["iam_ondb/clean"]["dequantise"] = False
    mixed = sorted(trials(1), key=lambda trial: trial.measure != "mass")
    dmol_first = [
        dataclasses.replace(trial, corpus="iam_ondb", protocol="clean") for trial in mixed if trial.kind == "speech"
    ]
    text = protocol_statement(compared(dmol_first, about=about))
    part = text[text.index("iam\\_ondb/clean** (protocol") :]
    assert "Whether noise was added to the integers under densities is unrecorded" in part
    assert "Dequantisation" not in part


def test_nothing_found_is_said_only_where_it_was_looked_for() -> None:
    clean = protocol_statement(compared(trials(1), warnings=[], about=study_file()))
    assert "Nothing was found that a reader must be warned of" in clean


def test_the_numbers_of_the_statistics_are_those_of_the_code() -> None:
    text = protocol_statement(compared(trials(1)))
    assert f"BCa, {comparing._RESAMPLES:,} resamples" in text
    assert f"at least {resampling._LEAST_RESAMPLES:,}" in text
    assert (
        f"{resampling.CONFIDENCE:.0%}".replace("%", " %") == f"{comparing._CONFIDENCE:.0%}".replace("%", " %") == "95 %"
    )


# The citation

KEYS = {
    "cff-version",
    "message",
    "type",
    "title",
    "abstract",
    "version",
    "commit",
    "license",
    "authors",
    "references",
}
REFERENCE_KEYS = {"type", "title", "authors", "year", "collection-title", "identifiers"}


def check_citation(text: str) -> dict[str, Any]:
    """Against the schema of CFF 1.2.0: what it requires, and of what types."""
    read = yaml.safe_load(text)
    assert {"cff-version", "message", "title", "authors"} <= read.keys() <= KEYS
    assert read["cff-version"] == "1.2.0"
    assert all(isinstance(read[key], str) and read[key] for key in KEYS - {"authors", "references", "commit"})
    assert read["authors"] == [{"name": "vrnn-bench developers"}]
    (reference,) = read["references"]
    assert {"authors", "title", "type"} <= reference.keys() <= REFERENCE_KEYS
    assert reference["type"] == "conference-paper"
    assert isinstance(reference["year"], int)
    assert all(person.keys() == {"given-names", "family-names"} for person in reference["authors"])
    assert all(other.keys() == {"type", "value", "description"} for other in reference["identifiers"])
    return read


def test_the_citation_names_software_paper_and_study() -> None:
    read = check_citation(citation("study_1", study_file()))
    assert "study_1" in read["message"]
    assert (read["license"], read["commit"]) == ("Apache-2.0", "c" * 40)
    families = [person["family-names"] for person in read["references"][0]["authors"]]
    assert families == ["Chung", "Kastner", "Dinh", "Goel", "Courville", "Bengio"]


def test_a_changed_checkout_is_no_commit_to_cite() -> None:
    about = study_file()
    about["code"]["clean"] = "no"
    assert "commit" not in check_citation(citation("study_1", about))
    assert "commit" not in check_citation(citation("study_1", {}))


def test_the_repository_cites_itself_by_the_same_words() -> None:
    kept = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    assert kept == citation(), "write benchmarks.exports.citation.citation() to CITATION.cff"
    assert "study" not in kept
    check_citation(kept)


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z"))
@settings(max_examples=50, deadline=None)
def test_any_study_can_be_cited(study: str) -> None:
    assert f" {study}," in check_citation(citation(study))["message"]
