import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.corpora import find_corpus
from pipelines.decode.ink import decode_ink
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.synthesis import glyphs, synthesise_handwriting
from pipelines.synthesis.pen_motion import MAX_ACCELERATION, SAMPLE_SECONDS
from pipelines.synthesis.sentences import distinct_sentences
from pipelines.synthesis.tree import MARKER

from .conftest import INK

LISTS = {"trainset": 3, "testset_v": 1, "testset_t": 1, "testset_f": 1}


def line_files(tree: Path) -> list[Path]:
    return sorted(tree.glob("lineStrokes/*/*/*.xml"))


def strokes(path: Path) -> list[np.ndarray]:
    """Each stroke as rows of x, y and centiseconds."""
    root = ElementTree.parse(path).getroot()
    return [
        np.array([[int(p.get("x")), int(p.get("y")), int(p.get("time").replace(".", ""))] for p in stroke])
        for stroke in root.iter("Stroke")
    ]


def text_lines(tree: Path, form: str) -> list[str]:
    content = (tree / "ascii" / form[:3] / form[:-1] / f"{form}.txt").read_bytes().decode("latin-1")
    head, _, body = content.partition("CSR:\r\n\r\n")
    assert head == "OCR:\r\n\r\n"
    assert body.endswith("\r\n")
    return body.removesuffix("\r\n").split("\r\n")


def forms(tree: Path, name: str) -> list[str]:
    content = (tree / "splits" / f"{name}.txt").read_text()
    assert re.fullmatch(r"( [a-z]\d\d-\d{3}[uwxz]\n)+", content)
    return content.split()


def test_the_tree_is_laid_out_as_iam_ondb(ink_tree):
    listed = [form for name in LISTS for form in forms(ink_tree, name)]
    assert len(set(listed)) == len(listed)
    assert {name: len(forms(ink_tree, name)) for name in LISTS} == LISTS
    expected = {ink_tree / MARKER} | {ink_tree / "splits" / f"{name}.txt" for name in LISTS}
    for form in listed:
        folder = f"{form[:3]}/{form[:-1]}"
        lines = range(1, len(text_lines(ink_tree, form)) + 1)
        expected |= {ink_tree / "lineStrokes" / folder / f"{form}-{line:02d}.xml" for line in lines}
        expected.add(ink_tree / "ascii" / folder / f"{form}.txt")
    assert {path for path in ink_tree.rglob("*") if path.is_file()} == expected


def test_no_sentence_is_in_two_forms_and_none_is_lost(ink_tree):
    listed = sorted(form for name in LISTS for form in forms(ink_tree, name))
    text = [" ".join(text_lines(ink_tree, form)) for form in listed]
    sentences = distinct_sentences(18, seed=5)
    assert sorted(text) == sorted(" ".join(sentences[first : first + 3]) for first in range(0, 18, 3))


def test_the_bytes_are_laid_out_as_in_the_original(ink_tree):
    for path in line_files(ink_tree):
        content = path.read_bytes().decode("iso-8859-1")
        points = np.concatenate(strokes(path))
        (left, top), (right, bottom) = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
        head, *middle = content.split("  <StrokeSet>\n")
        assert head == (
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<WhiteboardCaptureSession>\n  <WhiteboardDescription>\n'
            '    <SensorLocation corner="top_left"/>\n'
            f'    <DiagonallyOppositeCoords x="{right}" y="{bottom}"/>\n'
            f'    <VerticallyOppositeCoords x="{left}" y="{bottom}"/>\n'
            f'    <HorizontallyOppositeCoords x="{right}" y="{top}"/>\n  </WhiteboardDescription>\n'
        )
        time = r"\d+\.\d\d"
        assert re.fullmatch(
            rf'(    <Stroke colour="black" start_time="{time}" end_time="{time}">\n'
            rf'(      <Point x="\d+" y="\d+" time="{time}"/>\r\n)+'
            r"    </Stroke>\n)+  </StrokeSet>\n</WhiteboardCaptureSession>\n",
            middle[0],
        )


def test_stroke_times_are_those_of_their_points_and_never_decrease(ink_tree):
    for form in {path.name[:8] for path in line_files(ink_tree)}:
        last = 0
        for path in sorted(ink_tree.glob(f"lineStrokes/*/*/{form}-*.xml")):
            root = ElementTree.parse(path).getroot()
            for element, stroke in zip(root.iter("Stroke"), strokes(path), strict=True):
                times = [float(element.get("start_time")), float(element.get("end_time"))]
                assert times == [stroke[0, 2] / 100, stroke[-1, 2] / 100]
                assert stroke[0, 2] > last
                assert set(np.diff(stroke[:, 2])) <= {1, 2}
                last = stroke[-1, 2]


def test_within_a_stroke_nothing_jumps(ink_tree):
    # Acceleration along and across the path, the tremor (1.5 units at most in the mean), and rounding.
    bound = np.sqrt(2) * MAX_ACCELERATION * SAMPLE_SECONDS**2 + 8
    steps, starts, ends = [], [], []
    for path in line_files(ink_tree):
        for stroke in strokes(path):
            velocity = np.diff(stroke[:, :2], axis=0)
            if len(velocity) > 1:
                assert np.hypot(*np.diff(velocity, axis=0).T).max() <= bound
            if len(velocity) > 8:
                speed = np.hypot(*velocity.T)
                steps.append(speed.mean())
                starts.append(speed[0])
                ends.append(speed[-1])
    assert np.mean(starts) < 0.6 * np.mean(steps)
    assert np.mean(ends) < 0.6 * np.mean(steps)


def test_sizes_are_those_of_real_lines(ink_tree):
    for path in line_files(ink_tree):
        ink = strokes(path)
        points = np.concatenate(ink)
        assert 250 <= len(points) <= 1300
        assert 4 <= len(ink) <= 90
        assert 2000 <= np.ptp(points[:, 0]) <= 8000
        assert 180 <= np.ptp(points[:, 1]) <= 1000
        assert points[:, :2].min() > 0


def test_each_line_is_below_the_last(ink_tree):
    for form in {path.name[:8] for path in line_files(ink_tree)}:
        middles = [
            np.concatenate(strokes(path))[:, 1].mean()
            for path in sorted(ink_tree.glob(f"lineStrokes/*/*/{form}-*.xml"))
        ]
        assert (np.diff(middles) > 250).all()


def test_two_processes_write_the_same_bytes(ink_tree, other_process):
    first = {path.relative_to(ink_tree): path.read_bytes() for path in ink_tree.rglob("*.*")}
    again = other_process / "ink"
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*.*")} == first


def test_another_seed_gives_another_corpus(ink_tree, tmp_path):
    synthesise_handwriting(tmp_path, train_forms=1, valid_forms=1, test_forms=1, seed=6)
    ours = {path.read_bytes() for path in line_files(tmp_path)}
    assert not ours & {path.read_bytes() for path in line_files(ink_tree)}


def test_a_second_run_does_nothing(ink_tree):
    before = {path: path.stat().st_mtime_ns for path in ink_tree.rglob("*")}
    assert synthesise_handwriting(ink_tree, **INK) == len(line_files(ink_tree))
    assert {path: path.stat().st_mtime_ns for path in ink_tree.rglob("*")} == before


def test_without_the_demo_extra_the_error_names_what_to_install(tmp_path, monkeypatch):
    glyphs.load_letters.cache_clear()

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(glyphs.importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"pip install 'vrnn-bench\[demo\]'"):
        synthesise_handwriting(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_the_forms(tmp_path):
    calls = []
    sizes = {"train_forms": 1, "valid_forms": 1, "test_forms": 1}
    synthesise_handwriting(tmp_path, **sizes, on_progress=lambda *call: calls.append(call))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_iam_ondb_adapter_and_the_decoder_take_every_file(ink_tree):
    items = find_corpus("iam_ondb").list_items(Location(str(ink_tree)), {}).items
    assert len(items) == len(line_files(ink_tree))
    assert {item.split for item in items} == {"train", "valid", "valid2", "test"}
    for item in items:
        ink = strokes(ink_tree / item.file.path)
        decoded = decode_ink((ink_tree / item.file.path).read_bytes())
        np.testing.assert_array_equal(np.stack([decoded.x, decoded.y], axis=1), np.concatenate(ink)[:, :2])
        assert decoded.pen_up.sum() == len(ink)
        assert item.transcript == text_lines(ink_tree, item.id[:8])[int(item.id[9:]) - 1]
