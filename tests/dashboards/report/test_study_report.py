"""The page shows the results, escapes all of them, and refers to nothing outside itself."""

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.schema.base import ResultFileError
from benchmarks.schema.comparison import Comparison
from benchmarks.store.results import StoredStudy
from dashboards.page import write_page
from dashboards.report.study_report import build_report
from tests.dashboards.corpora import document as speech_document
from tests.dashboards.demo import HOSTILE_PLACES, demo_study, hostile
from tests.dashboards.studies import COMMIT, HOSTILE_STUDY, MODELS, STUDY, compared, description, stored_trial


class Document(HTMLParser):
    """What a browser would make of the page: tags with attributes, text, and the cells of each table row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self._raw = self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._raw = tag in ("script", "style")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._raw = False
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text.append(data)
            if self._in_cell:
                self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def document(page: str) -> Document:
    return Document(page)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return demo_study()[1]


def test_every_row_of_the_comparison_is_in_the_table(comparison: Comparison, document: Document):
    cells = {tuple(" ".join(cell.split()) for cell in row) for row in document.rows}
    signs = {"exact": ("exact", "="), "elbo": ("ELBO", "≥"), "iwae": ("IWAE-40", "~")}
    for row in comparison.model_dump()["rows"]:
        label, sign = signs[row["estimator"]]
        low, high = row["interval"]
        expected = [
            row["model"],
            label,
            f"{sign} {row['nats_per_sequence']:.2f}",
            f"[{low:.2f}, {high:.2f}]",
            "–" if row["monte_carlo_error"] is None else f"{row['monte_carlo_error']:.2f}",
            "–" if row["seed_std"] is None else f"{row['seed_std']:.2f}",
            f"{row['nats_per_frame']:.3f}",
            *([f"{row['bits_per_sample']:.3f}"] if row["kind"] == "speech" else []),
            str(row["seeds"]),
            str(row["parameters"]),
        ]
        assert tuple(expected) in cells


def test_the_sections_come_in_the_readers_order(document: Document):
    sections = [attrs.get("id") for tag, attrs in document.tags if tag == "section" and "id" in attrs]
    assert sections == [
        *("conclusions", "differences", "table", "results"),
        *("trust", "learning", "samples", "data", "reproduce"),
    ]


def test_the_page_says_how_to_check_it(comparison: Comparison, document: Document):
    text = "".join(document.text)
    assert COMMIT in text
    assert f"vrnn-bench run {STUDY}.toml" in text
    assert "sha256:91b0c4e8a77d" in text
    assert "VRNN-GMM on speech, seed 1, at step 4210" in text
    for note in comparison.notes:
        assert note in text


def test_a_study_shows_what_it_recorded(comparison: Comparison, document: Document):
    text = " ".join("".join(document.text).split())
    assert "1 of 3 comparisons is settled: VRNN-Gauss is ahead of RNN-GMM on speech." in text
    assert "26643 published, not comparable" in text
    for reason in comparison.published[0].reasons:
        assert reason.sentence in text
    for warning in comparison.warnings:
        assert warning.partition(": ")[2] in text
    assert "2 corpora (1 speech, 1 handwriting) with 6 sequences in total." in text
    assert "LDC User Agreement" in text
    assert 'study = "demo"' in text
    assert "Each of the suite's 8 trials and codec baselines has a result." in text


def test_a_real_sample_is_shown_once_and_generated_ones_with_their_model(document: Document):
    audio = [attrs["aria-label"] for tag, attrs in document.tags if tag == "audio"]
    roles = {"RNN-GMM": ("generated",), "VRNN-Gauss": ("reconstruction", "continuation", "generated")}
    roles["VRNN-GMM"] = ("generated",)
    assert audio == [
        "Real: real, caption of real",
        *(f"{model}, seed 0: {role}, caption of {role}" for model in MODELS for role in roles[model]),
    ]
    drawn = [attrs for tag, attrs in document.tags if tag == "svg" and attrs.get("class") == "ink"]
    assert len(drawn) == 1 + sum(len(roles[model]) for model in ("RNN-GMM", "VRNN-Gauss"))
    text = " ".join("".join(document.text).split())
    for role in ("Real", "Reconstruction", "Continuation", "Generated"):
        assert f"{role} caption of {role.lower()}" in text


def test_where_the_recorded_beginning_ends_is_drawn_and_said(document: Document):
    marks = [(tag, attrs) for tag, attrs in document.tags if attrs.get("class") == "mark"]
    assert sorted(tag for tag, _ in marks) == ["circle", "line"]
    (line,) = (attrs for tag, attrs in marks if tag == "line")
    assert line["x1"] == "50.0%"
    assert [attrs["class"] for tag, attrs in document.tags if tag == "path" and attrs.get("class")] == ["prime"]
    text = "".join(document.text)
    assert text.count("recorded up to 0.50 s") == 1
    assert text.count("the ring marks where the recorded part ends") == 1


def test_nothing_outside_the_page_is_loaded_and_a_link_sends_no_referrer(document: Document):
    addresses = [
        (tag, value)
        for tag, attrs in document.tags
        for name, value in attrs.items()
        if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
    ]
    assert addresses
    outside = [(tag, value) for tag, value in addresses if not value.startswith(("data:", "#"))]
    assert set(outside) == {("a", speech_document()["url"])}
    assert {attrs.get("rel") for tag, attrs in document.tags if ("a", attrs.get("href")) in outside} == {"noreferrer"}
    policy = next(attrs["content"] for _, attrs in document.tags if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert not re.search(r"http|unsafe|\*", policy)


def test_styles_refer_to_nothing_outside_the_page(page: str):
    styles = re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)


def test_every_label_reference_names_an_element(document: Document):
    ids = [attrs["id"] for _, attrs in document.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in document.tags:
        for name in ("aria-labelledby", "href"):
            value = attrs.get(name) or ""
            if name == "aria-labelledby" or value.startswith("#"):
                assert not value or value.removeprefix("#") in ids


def scripts(document: Document) -> list[dict[str, str]]:
    return [attrs for tag, attrs in document.tags if tag == "script" and attrs.get("type") is None]


def test_hostile_text_stays_text(document: Document, hostile_page: str):
    hostile_document = Document(hostile_page)
    text = "".join(hostile_document.text)
    # As it stands, or within a string of TOML.
    forms = {place: (hostile(place), json.dumps(hostile(place))[1:-1]) for place in HOSTILE_PLACES}
    assert [place for place, written in forms.items() if not any(form in text for form in written)] == []
    assert text.count(HOSTILE_STUDY) >= 2
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in hostile_document.tags)
    assert len(scripts(hostile_document)) == len(scripts(document))
    assert "window.hacked=1</script>" not in hostile_page


def test_a_command_with_a_hostile_name_is_quoted_for_the_shell(hostile_page: str):
    text = "".join(Document(hostile_page).text)
    line = next(line for line in text.splitlines() if line.startswith("vrnn-bench report"))
    assert shlex.split(line) == ["vrnn-bench", "report", HOSTILE_STUDY, "--out", "report.html"]


def test_a_study_that_is_not_complete_is_marked(page: str):
    stored = StoredStudy(description(keys=["a", "b"]), {}, (stored_trial(key="a"),), "here")
    html = build_report(stored, compared())
    assert "The study is incomplete: 1 of its trials has no result." in html
    assert "study is incomplete" not in page
    assert 'id="learning"' not in html
    assert 'id="samples"' not in html


def test_the_report_is_written_whole_and_the_same_study_gives_the_same_bytes(page: str, tmp_path: Path):
    out = tmp_path / "new" / "report.html"
    write_page(build_report(*demo_study()), out)
    assert out.read_text(encoding="utf-8") == page
    assert list(out.parent.iterdir()) == [out]


def test_a_report_that_cannot_be_built_leaves_the_last_one(tmp_path: Path):
    out = tmp_path / "report.html"
    out.write_text("the last one")
    broken = stored_trial()
    broken.artifacts.files["audit.json"] = b"{"  # type: ignore[attr-defined]
    with pytest.raises(ResultFileError, match=r"^speech/paper/RNN-GMM/seed0: audit\.json is not JSON"):
        write_page(build_report(StoredStudy(description(), {}, (broken,), "here"), compared()), out)
    assert out.read_text() == "the last one"
    assert list(tmp_path.iterdir()) == [out]


def test_an_open_report_stays_readable_while_the_next_one_is_written(tmp_path: Path):
    out = tmp_path / "report.html"
    out.write_text("the last one")
    with out.open() as reader:
        write_page("the next one", out)
        assert reader.read() == "the last one"
    assert out.read_text() == "the next one"
