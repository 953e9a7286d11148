"""The corpus report, from a description and from shards by the command line's own function."""

import io
import json
import re
from pathlib import Path

import pytest
import soundfile

from benchmarks.cli.shard_verbs import inspect
from benchmarks.samples.excerpts import EXCERPT_SECONDS, excerpts
from dashboards.corpus.corpus_page import build_corpus_report, write_corpus_report
from dashboards.errors import ReportError
from dashboards.media.players import Sample
from dashboards.page import render, write_page
from dashboards.report.data_section import data_section
from pipelines.shards.read import ShardSet
from tests.dashboards.corpora import corpus, document, study
from tests.dashboards.studies import HOSTILE_TEXT, PROTOCOL, compared, flac, row

CLIP = Sample("excerpt-0.flac", "speech", "real", "faks0-sx1, 1.00 s", flac(1.0, 0))


def without_scripts(page: str) -> str:
    return re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", page, flags=re.S)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", without_scripts(page)).split())


def test_the_page_says_what_the_description_does():
    page = build_corpus_report(corpus(), [CLIP])
    text = text_of(page)
    for part in (
        "3 sequences, 4.25 seconds",
        "no header",
        "13 source files",
        "include_sa=false",
        "540.500",
        "faks0-sx1",
    ):
        assert part in text
    assert 'href="https://catalog.ldc.upenn.edu/LDC93S1"' in page
    assert "The licence of the corpus applies to this page too: LDC User Agreement." in text
    assert page.count('class="chart"') == 2
    assert page == build_corpus_report(corpus(), [CLIP])


def test_hostile_text_is_escaped_and_no_script_is_linked():
    texts = dict.fromkeys(("corpus", "fingerprint", "split_rule", "licence"), HOSTILE_TEXT)
    speaker = document()["by_speaker"][0] | {"speaker": HOSTILE_TEXT, "split": HOSTILE_TEXT}
    texts |= {
        "options": {HOSTILE_TEXT: HOSTILE_TEXT},
        "software": {HOSTILE_TEXT: HOSTILE_TEXT},
        "by_speaker": [speaker],
    }
    texts |= {"rejects": {HOSTILE_TEXT: 1}, "reject_examples": {HOSTILE_TEXT: HOSTILE_TEXT}, "reject_paths": {}}
    page = without_scripts(build_corpus_report(corpus(url="javascript:alert(1)", **texts)))
    assert "<img" not in page
    assert page.count("&lt;img") > 10
    assert 'href="javascript' not in page


def test_the_studys_section_escapes_the_names_of_a_corpus_and_a_study():
    texts = dict.fromkeys(("corpus", "fingerprint", "split_rule", "licence", "url"), HOSTILE_TEXT)
    hostile = study(
        comparison=compared(rows=[row(corpus=HOSTILE_TEXT, protocol=HOSTILE_TEXT)]),
        corpora={HOSTILE_TEXT: corpus(**texts)},
        protocols={f"{HOSTILE_TEXT}/{HOSTILE_TEXT}": PROTOCOL | {"rule": HOSTILE_TEXT}},
        trials=(),
    )
    page = without_scripts(render("sections/data.html.j2", {"data": data_section(hostile)}, styles=(), scripts=()))
    assert "<img" not in page
    assert page.count("&lt;img") > 10


def test_the_studys_section_without_descriptions_is_the_table_of_what_was_scored():
    page = render("sections/data.html.j2", {"data": data_section(study())}, styles=(), scripts=())
    assert "did not record what its corpora contain" in page
    assert (page.count("<article"), page.count("<table")) == (0, 1)
    assert "40,320" in page


def test_without_examples_there_is_no_such_section():
    assert 'id="examples"' not in build_corpus_report(corpus())


def test_a_page_that_cannot_be_written_is_one_line_and_leaves_what_was_there(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for out in (tmp_path / "file" / "page.html", tmp_path / "folder"):
        with pytest.raises(ReportError, match="cannot be written") as caught:
            write_corpus_report(corpus(), out)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    write_page("old", tmp_path / "new" / "page.html")
    write_page("new", tmp_path / "new" / "page.html")
    assert [path.read_text() for path in (tmp_path / "new").iterdir()] == ["new"]


def test_excerpts_are_the_beginnings_of_training_sequences(speech: ShardSet):
    found = excerpts(speech)
    train = speech.index[speech.index["split"] == "train"].sort_values("id")
    assert len(found) == 4
    assert found[0].caption.startswith(train["id"].iloc[0])
    assert found[-1].caption.startswith(train["id"].iloc[-1])
    decoded = [soundfile.read(io.BytesIO(one.content), dtype="int16") for one in found]
    assert all(rate == 16000 and 0 < len(pcm) <= EXCERPT_SECONDS * rate for pcm, rate in decoded)
    for (pcm, _), place in ((decoded[0], train.index[0]), (decoded[-1], train.index[-1])):
        assert (pcm == speech.signal(int(place))[: len(pcm)]).all()
    assert excerpts(speech, "nowhere") == []


def test_excerpts_of_ink_hold_every_point(ink: ShardSet):
    first = excerpts(ink)[0]
    place = next(place for place in ink.index.index if first.caption.startswith(str(ink.index["id"].iloc[place])))
    signal, strokes = ink.signal(place), json.loads(first.content)["strokes"]
    assert [point for stroke in strokes for point in stroke] == [
        list(pair) for pair in zip(signal.x, signal.y, strict=True)
    ]  # type: ignore[union-attr]
    assert len(strokes) == int(signal.pen_up.sum())  # type: ignore[union-attr]


def test_inspect_writes_the_page_and_its_json(
    speech_shards: Path, ink_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for shards, mark in ((speech_shards, "<audio"), (ink_shards, 'class="ink"')):
        inspect(str(shards), verify=False, html=tmp_path / "page.html", json_=True)
        printed = json.loads(capsys.readouterr().out)
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert page.count(mark) == 4
        assert printed["fingerprint"] in page
        assert {"histogram", "licence"}.isdisjoint(printed)
        assert str(shards) not in page
