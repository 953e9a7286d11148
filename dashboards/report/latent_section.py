"""The latent path of the models along one real sequence: Chung et al. (2015), figure 1 and section 5.2.

Below the waveform, on its time axis, are two panels for every latent model: the KL divergence of the approximate
posterior from the prior at each frame, and how far the posterior's mean moved since the previous frame. All models
share one KL axis, because they share its unit. The coordinates of a latent have no unit, so the change has one axis per
model, and the text compares it only within a model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.schema.samples import LatentPath
from dashboards.media.players import Clip, digest
from dashboards.media.spectrograms import Tick, ticks
from dashboards.report.study_data import Trial
from dashboards.text import counted

__all__ = ["Label", "LatentFigure", "Panel", "PhoneRow", "latent_figures"]

PANEL_HEIGHT = 100
LABEL_ROWS = 2


@dataclass(frozen=True)
class Panel:
    """One quantity of one model over time.

    Attributes:
        title: what is drawn, with its unit.
        path: SVG path of the steps, one unit per frame, `PANEL_HEIGHT` high, closed at the bottom.
        low: lower end of the axis.
        top: upper end of the axis.
        description: what the panel shows, in words.
    """

    title: str
    model: str
    colour: str
    path: str
    low: float
    top: float
    description: str


@dataclass(frozen=True)
class Label:
    """A phone label: start and width as fractions of the axis, and its row; None if there is no room for the text."""

    start: float
    width: float
    text: str
    description: str
    row: int | None


@dataclass(frozen=True)
class PhoneRow:
    """A row of the phone table: label, start and end in s, and mean KL and mean change of each model if known."""

    label: str
    start: float
    end: float
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class LatentFigure:
    """The chart of one sequence.

    Attributes:
        box: SVG view box of every panel.
        clip: the sequence as sound; None for pen.
        clip_share: the clip's duration as a fraction of the axis.
        seconds: length of the axis; 0 for pen.
        ticks: ticks of the axis.
        axis: title of the axis.
        rules: phone boundaries as fractions of the axis.
        findings: one sentence per model.
    """

    source: str
    box: str
    clip: Clip | None
    clip_share: float
    seconds: float
    ticks: tuple[Tick, ...]
    axis: str
    rules: tuple[float, ...]
    labels: tuple[Label, ...]
    models: tuple[str, ...]
    panels: tuple[Panel, ...]
    rows: tuple[PhoneRow, ...]
    findings: tuple[str, ...]


def latent_figures(trials: Sequence[Trial], colours: Mapping[str, str], real: Sequence[Clip]) -> list[LatentFigure]:
    """One figure for each real sequence that has a latent path.

    `trials` are those of one corpus and protocol, `real` the recordings of the corpus.
    """
    found: dict[tuple[object, ...], list[tuple[Trial, LatentPath]]] = {}
    for trial in trials:
        if latent := trial.latent:
            key = (latent.kind, latent.source, latent.frame_size, latent.sample_rate, len(latent.kl_nats))
            # Models are drawn in one figure only if their frames are the same.
            found.setdefault((*key, latent.segments), []).append((trial, latent))
    return [_figure(members, colours, real) for members in found.values()]


def _figure(
    members: Sequence[tuple[Trial, LatentPath]], colours: Mapping[str, str], real: Sequence[Clip]
) -> LatentFigure:
    trial, first = members[0]
    extent, rate = first.extent, first.sample_rate
    digests = {digest(sample) for sample in trial.samples if sample.file == first.file}
    clip = next((clip for clip in real if clip.digest in digests), None)
    return LatentFigure(
        source=first.source,
        box=f"0 0 {len(first.kl_nats)} {PANEL_HEIGHT}",
        clip=clip,
        clip_share=clip.seconds * clip.rate / extent if clip else 0.0,
        seconds=extent / rate if rate else 0.0,
        ticks=tuple(ticks(extent / rate, "s") if rate else ticks(extent)),
        axis="time in s" if rate else "pen points",
        rules=tuple(boundary / extent for boundary in first.boundaries),
        labels=tuple(_labels(first)),
        models=tuple(trial.model for trial, _ in members),
        panels=tuple(_panels(members, colours)),
        rows=tuple(_phone_rows([latent for _, latent in members])),
        findings=tuple(_finding(trial.model, latent) for trial, latent in members),
    )


def _panels(members: Sequence[tuple[Trial, LatentPath]], colours: Mapping[str, str]) -> Iterable[Panel]:
    # A KL estimated from samples can be slightly negative.
    low = min(0.0, *(value for _, latent in members for value in latent.kl_nats))
    top = max(value for _, latent in members for value in latent.kl_nats)
    unit = "frame" if members[0][1].sample_rate else "point"
    for trial, latent in members:
        model, colour, change = trial.model, colours[trial.model], _changes(latent)
        kl_title, highest = f"KL divergence, nats per {unit}", max(change.values(), default=0.0)
        yield _panel(kl_title, model, colour, dict(enumerate(latent.kl_nats)), low, top, unit)
        yield _panel("Squared change of the posterior mean", model, colour, change, 0.0, highest, unit)


def _changes(latent: LatentPath) -> dict[int, float]:
    return {frame: value for frame, value in enumerate(latent.mean_change) if value is not None}


def _panel(
    title: str, model: str, colour: str, values: Mapping[int, float], low: float, top: float, unit: str
) -> Panel:
    span = (top - low) or 1.0
    heights = {frame: f"{PANEL_HEIGHT * (1 - (value - low) / span):.1f}" for frame, value in values.items()}
    # One step per frame: vertical to its value, then horizontal to the next frame.
    steps = "".join(f"V{height}H{frame + 1}" for frame, height in heights.items())
    path = f"M{min(values, default=0)} {PANEL_HEIGHT}{steps}V{PANEL_HEIGHT}Z"
    description = "no value"
    if values:
        peak = max(values, key=values.__getitem__)
        mean, where = fmean(values.values()), f"{unit} {peak + 1} of {max(values) + 1}"
        description = f"mean {mean:.2f}, maximum {values[peak]:.2f} at {where}"
    return Panel(title, model, colour, path, low, top, description)


def _labels(latent: LatentPath) -> Iterable[Label]:
    """Phone labels; each is written in the first row with room for it."""
    occupied = [0.0] * LABEL_ROWS
    scale = latent.sample_rate or 1
    for start, end, name in latent.segments_within:
        left, right = start / latent.extent, end / latent.extent
        # A letter takes 7.5 pixels; on a narrow page the figure is 700 pixels wide.
        half = 7.5 * (len(name) + 1) / 700 / 2
        middle = (left + right) / 2
        free = [row for row in range(LABEL_ROWS) if middle - half >= occupied[row]]
        row = free[0] if free and middle + half <= 1 else None
        if row is not None:
            occupied[row] = middle + half
        yield Label(left, right - left, name, f"{name}, {start / scale:.2f} to {end / scale:.2f} s", row)


def _phone_rows(latents: Sequence[LatentPath]) -> Iterable[PhoneRow]:
    first = latents[0]
    scale = first.sample_rate or 1
    for start, end, name in first.segments_within:
        # All frames that the phone touches: floor of the start, ceiling of the end.
        frames = range(start // first.frame_size, -(-end // first.frame_size))
        means = (_mean(series, frames) for latent in latents for series in (latent.kl_nats, latent.mean_change))
        yield PhoneRow(name, start / scale, end / scale, tuple(means))


def _mean(series: Sequence[float | None], frames: range) -> float | None:
    known = [value for frame in frames if (value := series[frame]) is not None]
    return fmean(known) if known else None


def _finding(model: str, latent: LatentPath) -> str:
    """How much more the posterior's mean moves at phone boundaries than elsewhere.

    Frames before the first boundary are left out, because a model starts there without any history.
    """
    near = {edge // latent.frame_size + offset for edge in latent.boundaries for offset in (-1, 0, 1)}
    change = {frame: value for frame, value in _changes(latent).items() if frame >= min(near, default=0)}
    at = [value for frame, value in change.items() if frame in near]
    elsewhere = [value for frame, value in change.items() if frame not in near]
    if not at or not elsewhere:
        unit = "frame" if latent.sample_rate else "point"
        peak = max(range(len(latent.kl_nats)), key=latent.kl_nats.__getitem__)
        return (
            f"{model}: the KL divergence is {fmean(latent.kl_nats):.2f} nats per {unit} on average; its maximum is "
            f"{latent.kl_nats[peak]:.2f} at {unit} {peak + 1} of {len(latent.kl_nats)}."
        )
    if not any(elsewhere):
        return f"{model}: the posterior mean does not change between phone boundaries."
    ratio, count = fmean(at) / fmean(elsewhere), len(latent.boundaries)
    boundaries = "1 boundary" if count == 1 else f"{count} boundaries"
    return (
        f"{model}: after the first phone boundary, the posterior mean changes {ratio:.1f} times as much within one "
        f"frame of a boundary as elsewhere ({boundaries}, {len(at)} of {counted(len(change), 'frame')})."
    )
