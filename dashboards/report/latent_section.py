"""What the latent does over one real sequence: Chung et al. (2015), figure 1 and section 5.2.

Under the waveform, on its time axis, lie the KL divergence of the approximate posterior from the prior at each frame
and how far the posterior's mean moved since the frame before, for every latent model, with the phones between. The KL
shares one axis among models, since a nat is a nat. A latent's coordinates have no unit, so the change has an axis for
each model, and only its ratio within a model is told.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from dashboards.media.players import Clip, digest
from dashboards.media.spectrograms import Tick, ticks
from dashboards.report.latent_file import Latent, parse_latent
from dashboards.report.study_record import Trial

__all__ = ["Label", "LatentFigure", "Panel", "PhoneRow", "latent_figures"]

PANEL_HEIGHT = 100
LABEL_PIXELS = 700
"""Width for which labels are thinned out: that of the figure where the page is narrow."""
PIXELS_PER_LETTER = 7.5
LABEL_ROWS = 2
NEAR_FRAMES = 1


@dataclass(frozen=True)
class Panel:
    """One quantity of one model over time.

    Attributes:
        title: what is drawn, with its unit.
        path: SVG path of the steps in a box of one unit a frame by `PANEL_HEIGHT`, closed at the bottom.
        low: of the axis.
        top: of the axis.
        seen: what it shows, in figures.
    """

    title: str
    model: str
    colour: str
    path: str
    low: float
    top: float
    seen: str


@dataclass(frozen=True)
class Label:
    """A phone: where it lies as fractions of the axis, its row, or None where there is no room to write it."""

    start: float
    width: float
    text: str
    seen: str
    row: int | None


@dataclass(frozen=True)
class PhoneRow:
    """A phone in figures: label, start and end in s, and mean KL and mean change of each model, None where unknown."""

    label: str
    start: float
    end: float
    figures: tuple[float | None, ...]


@dataclass(frozen=True)
class LatentFigure:
    """A figure of one sequence.

    Attributes:
        frames: how many the axis holds.
        box: of every panel, so many units wide.
        clip: the sequence as it sounds; None for pen.
        clip_share: its duration as a fraction of the axis.
        seconds: that the axis spans; 0 for pen.
        ticks: marks of the axis, which `axis` names.
        rules: phone boundaries, as fractions of the axis.
        findings: what it shows, a sentence for each model.
    """

    source: str
    frames: int
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
    """A figure for each real sequence that models of one corpus and protocol were read on.

    Args:
        trials: of one corpus and protocol.
        colours: the colour of each model.
        real: the recordings of the corpus, among which the sequences are.

    Raises:
        ReportError: a `samples/latent.json` is malformed, or names a sample that is not there.
    """
    found: dict[tuple[object, ...], list[tuple[Trial, Latent]]] = {}
    for trial in trials:
        latent = parse_latent(trial)
        if latent is not None:
            key = (latent.kind, latent.source, latent.frame_size, latent.sample_rate, len(latent.kl_nats))
            found.setdefault((*key, latent.segments), []).append((trial, latent))
    return [_figure(members, colours, real) for members in found.values()]


def _figure(members: Sequence[tuple[Trial, Latent]], colours: Mapping[str, str], real: Sequence[Clip]) -> LatentFigure:
    trial, first = members[0]
    frames, extent, rate = len(first.kl_nats), first.extent, first.sample_rate
    content = {digest(sample) for sample in trial.samples if sample.file == first.file}
    clip = next((clip for clip in real if clip.digest in content), None)
    return LatentFigure(
        source=first.source,
        frames=frames,
        box=f"0 0 {frames} {PANEL_HEIGHT}",
        clip=clip,
        clip_share=clip.seconds * clip.rate / extent if clip else 0.0,
        seconds=extent / rate if rate else 0.0,
        ticks=tuple(ticks(extent / rate, "s") if rate else ticks(extent)),
        axis="time in s" if rate else "points of the pen",
        rules=tuple(boundary / extent for boundary in first.boundaries),
        labels=tuple(_labels(first)),
        models=tuple(trial.model for trial, _ in members),
        panels=tuple(_panels(members, colours)),
        rows=tuple(_rows([latent for _, latent in members])),
        findings=tuple(_finding(trial.model, latent) for trial, latent in members),
    )


def _panels(members: Sequence[tuple[Trial, Latent]], colours: Mapping[str, str]) -> Iterable[Panel]:
    low = min(0.0, *(value for _, latent in members for value in latent.kl_nats))
    top = max(value for _, latent in members for value in latent.kl_nats)
    unit = "frame" if members[0][1].sample_rate else "point"
    for trial, latent in members:
        change = _changes(latent)
        title = f"KL divergence, nats per {unit}"
        model, colour = trial.model, colours[trial.model]
        yield _panel(title, model, colour, dict(enumerate(latent.kl_nats)), low, top, unit)
        yield _panel("Squared change of the posterior mean", model, colour, change, 0.0, _highest(change), unit)


def _changes(latent: Latent) -> dict[int, float]:
    return {frame: value for frame, value in enumerate(latent.mean_change) if value is not None}


def _highest(values: Mapping[int, float]) -> float:
    return max(values.values(), default=0.0)


def _panel(
    title: str, model: str, colour: str, values: Mapping[int, float], low: float, top: float, unit: str
) -> Panel:
    span = (top - low) or 1.0
    heights = {frame: f"{PANEL_HEIGHT * (1 - (value - low) / span):.1f}" for frame, value in values.items()}
    first = min(values, default=0)
    steps = "".join(f"V{height}H{frame + 1}" for frame, height in heights.items())
    if values:
        peak = max(values, key=values.__getitem__)
        seen = (
            f"mean {fmean(values.values()):.2f}, highest {values[peak]:.2f} at {unit} {peak + 1} of {max(values) + 1}"
        )
    else:
        seen = "no value"
    return Panel(title, model, colour, f"M{first} {PANEL_HEIGHT}{steps}V{PANEL_HEIGHT}Z", low, top, seen)


def _labels(latent: Latent) -> Iterable[Label]:
    """Phones, each written in the first row where it meets no other, and left unwritten where there is none."""
    taken = [0.0] * LABEL_ROWS
    scale = latent.sample_rate or 1
    for start, end, name in latent.within:
        left, right = start / latent.extent, end / latent.extent
        reach = PIXELS_PER_LETTER * (len(name) + 1) / LABEL_PIXELS / 2
        middle = (left + right) / 2
        free = [row for row in range(LABEL_ROWS) if middle - reach >= taken[row]]
        row = free[0] if free and middle + reach <= 1 else None
        if row is not None:
            taken[row] = middle + reach
        yield Label(left, right - left, name, f"{name}, {start / scale:.2f} to {end / scale:.2f} s", row)


def _rows(latents: Sequence[Latent]) -> Iterable[PhoneRow]:
    first = latents[0]
    scale = first.sample_rate or 1
    for start, end, name in first.within:
        frames = range(start // first.frame_size, -(-end // first.frame_size))
        means = (_mean(series, frames) for latent in latents for series in (latent.kl_nats, latent.mean_change))
        yield PhoneRow(name, start / scale, end / scale, tuple(means))


def _mean(series: Sequence[float | None], frames: range) -> float | None:
    known = [value for frame in frames if (value := series[frame]) is not None]
    return fmean(known) if known else None


def _finding(model: str, latent: Latent) -> str:
    """How much more the posterior's mean moves at phone boundaries than between them.

    What comes before the first boundary is left out: there a model starts from nothing.
    """
    near = {
        edge // latent.frame_size + offset
        for edge in latent.boundaries
        for offset in range(-NEAR_FRAMES, NEAR_FRAMES + 1)
    }
    change = _changes(latent)
    change = {frame: value for frame, value in change.items() if frame >= min(near, default=0)}
    at = [value for frame, value in change.items() if frame in near]
    between = [value for frame, value in change.items() if frame not in near]
    if not at or not between:
        return f"{model}: the KL divergence {_kl_words(latent)}."
    if not any(between):
        return f"{model}: the posterior mean does not change between phone boundaries."
    ratio, count = fmean(at) / fmean(between), len(latent.boundaries)
    return (
        f"{model}: the posterior mean changes {ratio:.1f} times as much within one frame of a phone boundary as "
        f"elsewhere after the first ({count} {'boundary' if count == 1 else 'boundaries'}, {len(at)} of {len(change)} "
        "frames)."
    )


def _kl_words(latent: Latent) -> str:
    unit = "frame" if latent.sample_rate else "point"
    peak = max(range(len(latent.kl_nats)), key=latent.kl_nats.__getitem__)
    return (
        f"is {fmean(latent.kl_nats):.2f} nats per {unit} on average and highest, {latent.kl_nats[peak]:.2f}, "
        f"at {unit} {peak + 1} of {len(latent.kl_nats)}"
    )
