"""The latent figure shows what its file contains, on one time axis."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile

from benchmarks.schema.samples import LatentPath
from dashboards.media.players import Sample, clips
from dashboards.report.latent_section import LatentFigure, latent_figures
from dashboards.report.study_data import Trial
from tests.dashboards.corpora import trial as trial_of

RATE, FRAME = 16000, 200


def sound(length: int = 2000, seed: int = 0) -> Sample:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).normal(size=length) * 0.1
    soundfile.write(buffer, noise, RATE, format="FLAC", subtype="PCM_16")
    return Sample("real-0.flac", "speech", "real", "caption", buffer.getvalue())


def document(**changes: Any) -> dict[str, Any]:
    """Ten frames of 200 samples, with a boundary in the middle of the fifth frame."""
    return {
        "version": 1,
        "kind": "speech",
        "source": "dr1-fvmh0/sx206",
        "file": "real-0.flac",
        "frame_size": FRAME,
        "sample_rate": RATE,
        "kl_nats": [1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 3.0, 4.0],
        "mean_change": [None, 1.0, 1.0, 4.0, 5.0, 6.0, 1.0, 1.0, 1.0, 1.0],
        "segments": [[0, 900, "sil"], [900, 2400, "ih"]],
    } | changes


def trial(latent: dict[str, Any] | None, model: str = "VRNN-Gauss", samples: Sequence[Sample] = ()) -> Trial:
    path = latent and LatentPath.model_validate(latent)
    return trial_of(model=model, samples=tuple(samples) or (sound(),), latent=path)


def drawn(*trials: Trial) -> LatentFigure:
    real = clips([sample for each in trials for sample in each.samples])
    (figure,) = latent_figures(trials, {each.model: "#0072B2" for each in trials}, real)
    return figure


def test_the_change_at_boundaries_is_given_as_a_multiple_of_that_elsewhere():
    started = [None, 90.0, *document()["mean_change"][2:]]
    assert drawn(trial(document(mean_change=started))).findings == (
        "VRNN-Gauss: after the first phone boundary, the posterior mean changes 5.0 times as much within one frame of "
        "a boundary as elsewhere (1 boundary, 3 of 7 frames).",
    )


def test_a_boundary_that_several_phones_share_counts_once_and_one_past_the_end_not_at_all():
    segments = [[0, 400, "a"], [400, 800, "b"], [900, 2000, "c"], [2000, 2600, "d"]]
    latent = LatentPath.model_validate(document(segments=segments))
    assert latent.boundaries == (400, 800, 900)
    assert [name for _, _, name in latent.segments_within] == ["a", "b", "c"]
    figure = drawn(trial(document(segments=segments)))
    assert figure.rules == pytest.approx((0.2, 0.4, 0.45))
    assert "(3 boundaries, 5 of 9 frames)" in figure.findings[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"segments": []},
            "the KL divergence is 2.50 nats per frame on average; its maximum is 5.00 at frame 5 of 10.",
        ),
        ({"segments": [[100 * i, 100 * i + 100, "x"] for i in range(20)]}, "the KL divergence is 2.50 nats per frame"),
        ({"mean_change": [0.0] * 10}, "the posterior mean does not change between phone boundaries."),
    ],
)
def test_without_frames_on_both_sides_there_is_no_ratio(changes: dict[str, Any], sentence: str):
    (finding,) = drawn(trial(document(**changes))).findings
    assert sentence in finding
    assert "times" not in finding


def steps(path: str) -> list[float]:
    return [float(height) for height in re.findall(r"V([\d.]+)H", path)]


def test_every_frame_is_a_step_and_models_share_the_axis_of_the_kl_alone():
    large = trial(document(kl_nats=[10.0] * 10, mean_change=[None, *[80.0] * 9]), "VRNN-GMM")
    small = drawn(trial(document()), large).panels
    kl, change, other_kl, other_change = small
    assert [panel.top for panel in small] == [10.0, 6.0, 10.0, 80.0]
    assert steps(kl.path) == pytest.approx([90, 80, 70, 60, 50, 100, 90, 80, 70, 60])
    assert steps(other_kl.path) == [*steps(other_change.path), 0.0] == [0.0] * 10
    assert kl.path.startswith("M0 100V90.0H1V80.0H2")
    assert change.path.startswith("M1 100V")
    assert change.path.endswith("H10V100Z")
    assert change.description == "mean 2.33, maximum 6.00 at frame 6 of 10"


def test_the_waveform_is_on_the_time_axis_of_the_frames():
    figure = drawn(trial(document(), samples=[sound(1500)]))
    assert figure.clip is not None
    assert figure.clip_share == pytest.approx(0.75)
    assert figure.seconds == pytest.approx(0.125)
    assert figure.box == "0 0 10 100"


def test_the_waveform_is_that_of_the_named_sample_and_the_recording_is_not_held_twice():
    other = replace(sound(seed=1), file="real-1.flac")
    figure = drawn(trial(document(file="real-1.flac"), samples=[sound(), other]))
    assert figure.clip == clips([sound(), other])[1]


def test_phones_keep_their_place_in_words_where_they_are_not_written():
    segments = [[40 * i, 40 * i + 40, "axh"] for i in range(50)]
    labels = drawn(trial(document(segments=segments))).labels
    assert len(labels) == 50
    written = [label for label in labels if label.row is not None]
    assert 5 < len(written) < 50
    for row in (0, 1):
        places = [label.start for label in written if label.row == row]
        assert np.diff(places).min() * 700 >= 7.5 * 3
    assert labels[1].description == "axh, 0.00 to 0.01 s"


def test_the_table_holds_means_over_the_frames_that_a_phone_touches():
    rows = drawn(trial(document())).rows
    assert [(row.label, row.start, row.end) for row in rows] == [("sil", 0.0, 0.05625), ("ih", 0.05625, 0.125)]
    assert rows[0].values == pytest.approx((3.0, 11 / 4))
    assert rows[1].values == pytest.approx((15 / 6, 15 / 6))


def test_a_phone_of_the_first_frame_alone_has_no_change():
    rows = drawn(trial(document(segments=[[0, 200, "a"], [200, 2000, "b"]]))).rows
    assert rows[0].values == (1.0, None)


def test_pen_has_points_for_an_axis_and_no_waveform():
    ink = Sample("real-0.json", "pen", "real", "caption", b'{"strokes": [[[0, 0], [1, 1]]]}')
    pen = document(kind="pen", file="real-0.json", frame_size=1, sample_rate=None, segments=[])
    figure = drawn(trial(pen, samples=[ink]))
    assert (figure.clip, figure.seconds, figure.axis) == (None, 0.0, "pen points")
    assert figure.findings[0].endswith("2.50 nats per point on average; its maximum is 5.00 at point 5 of 10.")
    assert figure.ticks[-1].label == "10"


def test_sequences_that_differ_are_drawn_apart():
    trials = [trial(document()), trial(document(source="other"), "VRNN-GMM")]
    figures = latent_figures(trials, dict.fromkeys(("VRNN-Gauss", "VRNN-GMM"), "c"), clips([sound()]))
    assert [(figure.source, figure.models) for figure in figures] == [
        ("dr1-fvmh0/sx206", ("VRNN-Gauss",)),
        ("other", ("VRNN-GMM",)),
    ]


def test_trials_without_a_latent_have_no_figure():
    assert latent_figures([trial(None)], {}, []) == []
