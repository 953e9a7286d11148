"""The built-in handwriting corpus: sentences written by a model of the pen, in the layout and files of IAM-OnDB.

    lineStrokes/a01/a01-000/a01-000u-01.xml     ascii/a01/a01-000/a01-000u.txt
    splits/trainset.txt  testset_v.txt  testset_t.txt  testset_f.txt

A form is a few lines of text by one writer; no writer and no sentence is in two forms. `testset_v` holds the validation
forms and `testset_f` the test forms. `testset_t`, the original's second validation set, gets a quarter as many as
`testset_v`, and at least one. `writers.py`, `lettering.py` and `pen.py` model the writing.
"""

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.randomness import keyed_generator
from pipelines.synthesis.ink_files import encode_line, encode_transcription
from pipelines.synthesis.lettering import advance, pen_paths
from pipelines.synthesis.pen_motion import write_paths
from pipelines.synthesis.sentences import distinct_sentences
from pipelines.synthesis.tree import Request, build_once
from pipelines.synthesis.writers import Writer, invent_writer

__all__ = ["synthesise_handwriting"]

_VERSION = 1
_SENTENCES_PER_FORM = 3
_FORMS_PER_FOLDER = 20


@dataclass(frozen=True)
class _Form:
    """The plan of a form: its id, its writer's number and its text."""

    id: str
    number: int
    text: str


def synthesise_handwriting(
    out: Path,
    *,
    train_forms: int = 30,
    valid_forms: int = 6,
    test_forms: int = 6,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the built-in handwriting corpus; do nothing if `out` already holds it.

    The same arguments give the same bytes in every file.

    Args:
        out: a directory that is new or empty.
        train_forms: number of forms in `trainset`, about five lines each.
        valid_forms: number of forms in `testset_v`; a quarter as many more are in `testset_t`.
        test_forms: number of forms in `testset_f`.
        seed: seed of writers, sentences and movements.
        on_progress: called after each form with (forms done, all forms).

    Returns:
        The number of lines.

    Raises:
        InputError: `out` holds something else, a number is out of range, or the `demo` extra is missing.
    """
    parameters = {"train_forms": train_forms, "valid_forms": valid_forms, "test_forms": test_forms, "seed": seed}
    sizes = {
        "trainset": train_forms,
        "testset_v": valid_forms,
        "testset_t": max(1, valid_forms // 4),
        "testset_f": test_forms,
    }

    def write(tree: Path) -> int:
        total = sum(sizes.values())
        lines = 0
        forms = list(_forms(total, seed))
        (tree / "splits").mkdir()
        remaining = iter(forms)
        for name, size in sizes.items():
            ids = [f" {form.id}\n" for form in islice(remaining, size)]
            (tree / "splits" / f"{name}.txt").write_bytes("".join(ids).encode())
        for done, form in enumerate(forms, start=1):
            lines += _write_form(tree, form, seed)
            if on_progress:
                on_progress(done, total)
        return lines

    return build_once(out, Request("handwriting", _VERSION, parameters), write)


def _forms(count: int, seed: int) -> Iterator[_Form]:
    sentences = distinct_sentences(count * _SENTENCES_PER_FORM, seed)
    for number in range(count):
        folder, place = divmod(number, _FORMS_PER_FOLDER)
        letter, tens = divmod(folder, 99)
        text = " ".join(sentences[number * _SENTENCES_PER_FORM : (number + 1) * _SENTENCES_PER_FORM])
        yield _Form(f"{chr(ord('a') + letter)}{tens + 1:02d}-{place:03d}{'uwxz'[number % 4]}", number, text)


def _write_form(tree: Path, form: _Form, seed: int) -> int:
    """Write one form's files, and return the number of its lines."""
    writer = invent_writer(seed, form.number)
    rng = keyed_generator("form", seed, form.number)
    strokes, texts = (tree / kind / form.id[:3] / form.id[:-1] for kind in ("lineStrokes", "ascii"))
    for folder in (strokes, texts):
        folder.mkdir(parents=True)
    lines = _balanced_lines(form.text, writer)
    (texts / f"{form.id}.txt").write_bytes(encode_transcription(lines))
    margin, top, spacing = rng.uniform(400, 1000), rng.uniform(800, 1600), rng.uniform(440, 560)
    clock = int(rng.integers(10**8, 10**9))
    for index, text in enumerate(lines):
        origin = (margin + rng.normal(0, 60), top + index * spacing)
        paths = [(starts, path + origin) for starts, path in pen_paths(text, writer, rng)]
        line = write_paths(paths, writer, rng)
        (strokes / f"{form.id}-{index + 1:02d}.xml").write_bytes(encode_line(line, clock))
        clock += line[-1].first_sample + len(line[-1].points) + int(rng.integers(60, 250))
    return len(lines)


def _balanced_lines(text: str, writer: Writer) -> list[str]:
    """Break the text into lines of about the same length, as few as the line width allows."""
    count = int(np.ceil(advance(text, writer) / writer.line_width))
    width = int(np.ceil(len(text) / count))
    while len(lines := textwrap.wrap(text, width, break_long_words=False)) > count:
        width += 1
    return lines
