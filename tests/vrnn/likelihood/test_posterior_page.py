"""docs/posterior.md: its programs print what the page shows, and its claims agree with them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "posterior.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def printed() -> list[tuple[str, str]]:
    """The output of each program of the page, run one after another, and the output that the page shows."""
    page, names = PAGE.read_text(encoding="utf-8"), {}
    programs = PROGRAM.findall(page)
    assert len(programs) == page.count("```python") == 2
    found = []
    for program, claimed in programs:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(program, str(PAGE), "exec"), names)
        found.append((output.getvalue(), claimed))
    return found


def test_the_programs_print_what_the_page_says(printed: list[tuple[str, str]]):
    for output, claimed in printed:
        assert output.splitlines() == claimed.splitlines()


def test_the_sampled_gaps_are_the_exact_ones(printed: list[tuple[str, str]]):
    output, _ = printed[0]
    rows = re.findall(r"= +(\S+) \+- (\S+) sampled, +(\S+) exact$", output, re.MULTILINE)
    assert len(rows) == 4
    for sampled, error, exact in rows:
        assert float(sampled) == pytest.approx(float(exact), abs=4 * float(error) + 0.01)


def test_the_table_says_what_the_page_reads_from_it(printed: list[tuple[str, str]]):
    _, *lines = printed[1][0].splitlines()
    rows = {(row[0], row[1]): row[2:] for row in ([float(value) for value in line.split()] for line in lines)}
    for prior, filtering, best, smoothing, remainder in rows.values():
        assert smoothing == 0 <= best <= filtering <= prior
        assert best == pytest.approx(remainder, abs=0.01)
    by_persistence = [rows[persistence, 1.0][1] for persistence in (0.0, 0.5, 0.9, 0.99)]
    assert by_persistence[0] == 0
    assert by_persistence == sorted(set(by_persistence))
    assert rows[0.99, 1.0][1] > 2 * rows[0.99, 1.0][4]
    by_noise = [rows[0.9, noise][1] for noise in (0.01, 0.1, 1.0, 10.0, 100.0)]
    assert by_noise[:3] == sorted(by_noise[:3])
    assert by_noise[2:] == sorted(by_noise[2:], reverse=True)
