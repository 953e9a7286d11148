"""A gallery shows every recording once, shares its scales, and says what the samples show."""

import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
import soundfile

from benchmarks.schema.samples import SampleRole
from dashboards.media.players import Sample
from dashboards.report.samples_section import (
    ONE_PER_ROLE,
    SAMPLES_SHOWN,
    Gallery,
    samples_section,
)
from dashboards.report.study_data import Trial, by_corpus
from tests.dashboards.corpora import trial as trial_of


def sound(role: SampleRole, amplitude: float, seconds: float = 0.5, file: str = "s.flac") -> Sample:
    buffer = io.BytesIO()
    time = np.arange(round(16000 * seconds)) / 16000
    signal = amplitude * np.sin(2 * np.pi * 1000 * time)
    soundfile.write(buffer, signal, 16000, format="FLAC", subtype="PCM_16")
    return Sample(file, "speech", role, f"{role} {amplitude}", buffer.getvalue())


def ink(role: SampleRole, *strokes: int) -> Sample:
    """A drawing of strokes of so many points."""
    lines = [[[x, y] for x in range(points)] for y, points in enumerate(strokes)]
    return Sample("s.json", "pen", role, role, json.dumps({"strokes": lines}).encode())


def trial(model: str, samples: Sequence[Sample], seed: int = 0, corpus: str = "speech") -> Trial:
    return trial_of(model=model, seed=seed, corpus=corpus, samples=tuple(samples))


def gallery(*trials: Trial) -> Gallery:
    (made,) = samples_section(trials, {each.model: f"colour of {each.model}" for each in trials})
    return made


def test_a_recording_that_every_trial_holds_is_shown_once_and_first():
    trials = [trial(model, [sound("real", 0.5), sound("generated", 0.1)]) for model in ("A", "B")]
    shown = gallery(*trials).shown
    assert [(source.key, source.name, source.colour, len(source.clips)) for source in shown] == [
        ("real", "Real", None, 1),
        ("1", "A, seed 0", "colour of A", 1),
        ("2", "B, seed 0", "colour of B", 1),
    ]


def test_a_model_called_real_is_not_the_recordings():
    made = gallery(trial("Real", [sound("real", 0.5), sound("generated", 0.1)]))
    assert [(source.key, source.name) for source in made.shown] == [("real", "Real"), ("1", "Real, seed 0")]


def test_generated_clips_are_described_by_their_loudness_before_levelling():
    trials = [
        trial("A", [sound("real", 0.5), sound("generated", 0.05), sound("reconstruction", 0.9)]),
        trial("B", [sound("generated", 0.6)]),
        trial("C", [sound("generated", 0.5)]),
        trial("D", [sound("generated", 0.5, 0.1)]),
    ]
    assert gallery(*trials).findings == (
        "Before levelling, the recordings shown have a mean loudness of −9.1 LUFS; generated clips are "
        "20.0 dB quieter (A, seed 0), 1.6 dB louder (B, seed 0), as loud (C, seed 0).",
    )


def test_recordings_that_cannot_be_measured_are_compared_with_nothing():
    assert gallery(trial("A", [sound("real", 0.0), sound("generated", 0.5)])).findings == ()
    (finding,) = gallery(trial("A", [sound("real", 0.5), sound("generated", 0.0)])).findings
    assert finding == "Before levelling, the recordings shown have a mean loudness of −9.1 LUFS."


def test_drawings_are_described_by_how_often_the_pen_is_lifted():
    trials = [trial("A", [ink("real", 10, 20), ink("generated", 4, 4, 4), ink("continuation", 50)])]
    assert gallery(*trials).findings == (
        "The real drawings shown have 15.0 points per stroke on average; generated drawings have 4.0 (A, seed 0).",
    )


def test_axes_reach_to_the_longest_clip_and_to_half_the_rate():
    made = gallery(trial("A", [sound("real", 0.5, 1.0), sound("generated", 0.5, 2.0)]))
    assert made.longest == 2.0
    assert [tick.label for tick in made.times] == ["0.0", "0.5", "1.0", "1.5", "2.0 s"]
    assert [tick.label for tick in made.frequencies][-1] == "8k"
    drawn = gallery(trial("A", [ink("real", 3)]))
    assert (drawn.longest, drawn.times, drawn.frequencies) == (0.0, (), ())


def test_beyond_so_many_samples_models_are_folded_away_and_none_is_lost():
    made = [sound("generated", amplitude) for amplitude in np.linspace(0.1, 0.9, 6)]
    trials = [trial(f"M{i}", [sound("real", 0.5), *made]) for i in range(5)]
    parts = gallery(*trials)
    assert sum(len(source.clips) for source in parts.shown) <= SAMPLES_SHOWN
    assert [source.name for source in parts.shown] == ["Real", "M0, seed 0", "M1, seed 0"]
    assert [source.name for source in parts.folded] == ["M2, seed 0", "M3, seed 0", "M4, seed 0"]


def test_one_model_is_shown_however_many_samples_it_has():
    many = [sound("generated", amplitude) for amplitude in np.linspace(0.1, 0.9, SAMPLES_SHOWN + 1)]
    parts = gallery(trial("A", [sound("real", 0.5), *many]), trial("B", many))
    assert [source.name for source in parts.shown] == ["Real", "A, seed 0"]
    assert [source.name for source in parts.folded] == ["B, seed 0"]


def test_a_corpus_without_samples_has_no_gallery():
    trials = [trial("A", []), trial("A", [ink("real", 3)], corpus="ink")]
    assert [made.corpus for made in samples_section(trials, {"A": "c"})] == ["ink"]
    assert samples_section([], {}) == []


def test_corpora_keep_the_order_in_which_they_come():
    trials = [trial("A", [], corpus=corpus) for corpus in ("b", "a", "b")]
    assert {key: len(members) for key, members in by_corpus(trials).items()} == {("b", "paper"): 2, ("a", "paper"): 1}
    assert list(by_corpus(trials)) == [("b", "paper"), ("a", "paper")]


@pytest.mark.parametrize("role", ["generated", "continuation"])
def test_samples_without_a_recording_are_shown_alone(role: SampleRole):
    made = gallery(trial("A", [sound(role, 0.5)]))
    assert [source.name for source in made.shown] == ["A, seed 0"]


def containers(*trials: Trial) -> set[str]:
    shown = samples_section(trials, {each.model: "c" for each in trials})
    clips = [clip for made in shown for source in made.shown for clip in source.clips]
    return {clip.url.partition(";")[0].removeprefix("data:audio/") for clip in clips}


def test_sounds_are_flac_until_those_of_the_page_are_too_large(monkeypatch: pytest.MonkeyPatch):
    real, other, drawing = sound("real", 0.5), sound("real", 0.3), ink("real", 500)
    monkeypatch.setattr("dashboards.report.samples_section.FLAC_BYTES", len(real.content) + len(other.content))
    assert containers(trial("A", [real, drawing]), trial("B", [other])) == {"flac"}
    more = sound("real", 0.1, 0.01)
    assert containers(trial("A", [real]), trial("B", [other], corpus="ink"), trial("C", [more])) == {"ogg"}


def test_a_page_without_room_for_flac_plays_ogg_and_fewer_samples_and_says_so(monkeypatch: pytest.MonkeyPatch):
    made = trial("A", [sound("real", 0.5), sound("generated", 0.3), sound("generated", 0.2)])
    whole = gallery(made)
    assert [len(source.clips) for source in whole.shown] == [1, 2]
    assert whole.shown[0].clips[0].url.startswith("data:audio/flac;")
    assert ONE_PER_ROLE not in whole.findings
    monkeypatch.setattr("dashboards.report.samples_section.FLAC_BYTES", 100)
    small = gallery(made)
    assert [[clip.digest for clip in source.clips] for source in small.shown] == [
        [clip.digest for clip in source.clips[:1]] for source in whole.shown
    ]
    assert small.shown[0].clips[0].url.startswith("data:audio/ogg;")
    assert ONE_PER_ROLE in small.findings
