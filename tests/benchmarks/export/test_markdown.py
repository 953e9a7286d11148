import dataclasses

import pytest
from hypothesis import example, given, settings
from markdown_it import MarkdownIt

from benchmarks.export.markdown import markdown_item, markdown_table, markdown_tables
from benchmarks.export.table_cells import Number, Sheet
from benchmarks.schema.comparison import Comparison, ComparisonRow
from tests.benchmarks.export_cases import HOSTILE, compared, export_case, one_line, pipes, trials


@pytest.fixture(scope="module")
def found() -> Comparison:
    return export_case()


def cell_of(row: ComparisonRow) -> str:
    sign = {"exact": "=", "code": "=", "elbo": "≥", "iwae": "~"}[row.estimator]
    named = {"iwae": " (iwae-40)", "code": " (code)"}.get(row.estimator, "")
    spread = "not trained" if row.estimator == "code" else f"± {row.seed_std:.1f} over {row.seeds} seeds"
    low, high = row.interval
    return f"{sign} {row.nats_per_sequence:.1f}{named} [{low:.1f}, {high:.1f}] {spread}"


def test_models_are_down_and_corpora_across(found: Comparison) -> None:
    (head, *lines), *_ = pipes(markdown_tables(found))
    assert head == ["model", "timit, paper, test: 8 sequences", "iam_ondb, clean, test: 8 sequences"]
    names = ["rnn-gauss (density)", "vrnn-gauss (density)", "vrnn-dmol (mass)", "flac (mass)"]
    assert [line[0] for line in lines] == names
    for line, name in zip(lines, names, strict=True):
        for cell, corpus in zip(line[1:], ("timit", "iam_ondb"), strict=True):
            rows = [row for row in found.rows if (f"{row.model} ({row.measure})", row.corpus) == (name, corpus)]
            assert cell == "<br>".join(map(cell_of, rows))


def test_all_rows_differences_and_published_results_follow(found: Comparison) -> None:
    text = markdown_tables(found)
    _, scores, differences, published = pipes(text)
    assert len(scores) - 1 == len(found.rows)
    assert len(differences) - 1 == len(found.differences)
    assert len(published) - 1 == len(found.published)
    by_name = [dict(zip(differences[0], line, strict=True)) for line in differences[1:]]
    for line, row in zip(by_name, found.differences, strict=True):
        assert line["nats/sequence"] == f"{row.nats_per_sequence.difference:+.2f}"
        assert line["verdict on the first"] == row.verdict
        ps = [row.p_sequences_corrected, row.p_joint_corrected]
        assert [line["p sequences"], line["p both"]] == [
            "< 0.001" if p is None or p < 0.001 else f"{p:.3f}" for p in ps
        ]
        assert row.first.model in line["first"]
        assert (f"iwae-{row.first.num_samples}" in line["first"]) == (row.first.estimator == "iwae")
    for line, pair in zip(published[1:], found.published, strict=True):
        cells = dict(zip(published[0], line, strict=True))
        assert cells["comparable"] == "no"
        assert cells["why not"] == "<br>".join(reason.sentence for reason in pair.reasons if reason.blocks)
    assert "for 3 comparisons" in text


def test_warnings_notes_and_missing_trials_are_listed(found: Comparison) -> None:
    text = markdown_tables(found.model_copy(update={"unsent": "MLflow was away"}))
    for line in (
        "- timit/paper: 8 of 8 are shared",
        "- timit/rnn-gauss/seed9 diverged at step 17 and has no score",
        "- timit/paper/rnn-gauss/seed8 failed and has no score: no memory",
        "- MLflow was away",
        "- A note.",
    ):
        assert f"\n{line}\n" in text


def test_what_is_not_known_is_not_made_up() -> None:
    (_, *lines), scores, *_ = pipes(markdown_tables(compared(trials(seeds=1, sequences=1))))
    assert lines[0][1].endswith("unknown one seed")
    cells = dict(zip(scores[0], scores[3], strict=True))
    assert (cells["estimator"], cells["MC error"], cells["95 % interval"]) == ("~ iwae-40", "unknown", "unknown")


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
@settings(max_examples=100, deadline=None)
def test_any_name_stays_in_its_cell_of_markdown(first: str, second: str) -> None:
    text = markdown_table(Sheet((first, "b"), "lr", [(second, "x"), ((first, second), Number("-1.0"))]))
    if not one_line(first):
        return
    ((head, row, several),) = pipes(text)
    assert head == [one_line(first), "b"]
    assert row == [one_line(second), "x"]
    assert several == [f"{one_line(first)}<br>{one_line(second)}".strip(), "-1.0"]


@given(HOSTILE.filter(lambda text: bool(one_line(text))))
@example("1. an item within")
@example("23) another")
@example("- a third")
@example("# a heading")
@example("---")
@settings(max_examples=100, deadline=None)
def test_any_warning_is_one_item_of_a_list(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(f"{markdown_item(text)}\n- next\n")
    kinds = [token.type for token in tokens if token.type.endswith("_open") or token.type in ("hr", "code_block")]
    assert kinds == ["bullet_list_open", *["list_item_open", "paragraph_open"] * 2]
    (inline, _) = (token for token in tokens if token.type == "inline")
    assert "".join(child.content for child in inline.children or ()) == one_line(text)
