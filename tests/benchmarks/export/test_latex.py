import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings

from benchmarks.export import write_exports
from benchmarks.export.latex import tex_table, tex_tables
from benchmarks.export.table_cells import Number
from benchmarks.schema.comparison import Comparison, ComparisonRow
from tests.benchmarks.export_cases import HOSTILE, compared, export_case, one_line, pipes, trials
from tests.benchmarks.tex_checker import TexTable, read_tables


@pytest.fixture(scope="module")
def found() -> Comparison:
    return export_case()


def test_scores_in_latex_are_those_of_the_comparison(found: Comparison) -> None:
    densities, masses, *_ = read_tables(tex_tables(found))
    assert densities.rows[0] == ["model", "estimator", "timit", "iam_ondb"]
    assert masses.rows[0] == ["model", "estimator", "timit"]
    for table, measure in ((densities, "density"), (masses, "mass")):
        expected = [row for row in found.rows if row.measure == measure]
        assert len(table.rows) - 1 == 3 * len({(row.model, row.estimator) for row in expected})
        for row in expected:
            check_score(table, row)


def check_score(table: TexTable, row: ComparisonRow) -> None:
    column = table.rows[0].index(row.corpus)
    name = "iwae-40" if row.estimator == "iwae" else row.estimator
    (place,) = (number for number, line in enumerate(table.rows) if line[:2] == [row.model, name])
    sign = {"exact": "=", "code": "=", "elbo": "≥", "iwae": "∼"}[row.estimator]
    score, ends, spread = (table.rows[place + below][column] for below in range(3))
    assert score.split() == [sign, f"{row.nats_per_sequence:.1f}"]
    assert ends == "[{:.1f}, {:.1f}]".format(*row.interval)
    assert (
        spread == "not trained" if row.seed_std is None else spread.split() == ["±", f"{row.seed_std:.1f}", "of", "3"]
    )


def test_every_number_in_latex_is_mathematics(found: Comparison) -> None:
    """Outside of mathematics, a minus would be a hyphen."""
    for line in tex_tables(found).splitlines():
        if line.endswith(r"\\"):
            assert not re.search(r"-\d+\.\d", re.sub(r"\$[^$]*\$", "", line)), line


def test_captions_say_what_scores_are(found: Comparison) -> None:
    densities, masses, differences, *_ = read_tables(tex_tables(found))
    for said in (
        "study_1",
        "nats per sequence",
        "≥ ELBO",
        "∼ IWAE, K = 40",
        "Seeds of training: 3",
        "95 %",
        "Trials without a score, since they diverged or failed: 2",
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
        nats = row.nats_per_sequence
        assert above[:3] == [row.first.model, row.second.model, f"{nats.difference:+.2f}"]
        assert nats.interval is not None
        assert nats.joint_interval is not None
        assert (above[4], below[4]) == tuple(
            "[{:+.2f}, {:+.2f}]".format(*e) for e in (nats.interval, nats.joint_interval)
        )
        assert above[6] == row.verdict
        assert below[6] == f"seeds: {row.first.seeds}, {row.second.seeds}"
        ps = [row.p_sequences_corrected, row.p_joint_corrected]
        assert [above[5], below[5]] == ["< 0.001" if p is None or p < 0.001 else f"{p:.3f}" for p in ps]


def test_a_long_table_is_cut_between_models_and_loses_none() -> None:
    several = [trial for number in range(6) for trial in trials(1, 3, rename=lambda name, n=number: f"{name}_{n}")]
    tables = read_tables(tex_tables(compared(several, claims=(("rnn-gauss_0", "vrnn-gauss_0"),))))
    densities = [table for table in tables if "density" in table.label]
    assert len(densities) > 1
    assert all(len(table.rows) <= 46 for table in tables)
    assert [re.search(r"\((\d+) of (\d+)\)$", table.caption).groups() for table in densities] == [  # type: ignore[union-attr]
        (str(number), str(len(densities))) for number in range(1, len(densities) + 1)
    ]
    names = [line[0] for table in densities for line in table.rows[1:] if line[0]]
    assert sorted(set(names)) == sorted(f"{model}_{n}" for n in range(6) for model in ("rnn-gauss", "vrnn-gauss"))
    assert len({table.label for table in tables}) == len(tables)


@given(HOSTILE, HOSTILE)
@settings(max_examples=120, deadline=None)
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
