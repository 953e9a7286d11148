"""The section "Samples": recorded sequences next to what the models generate, corpus by corpus.

All samples of a corpus are prepared together, so that they share their scales. A recording that several trials contain
is shown once. The sources of the first samples are shown directly, the others are folded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import fmean

from dashboards.media.players import Clip, Drawing, Sample, clips, drawings
from dashboards.media.sound_files import Container
from dashboards.media.spectrograms import Tick, frequency_ticks, ticks
from dashboards.report.latent_section import LatentFigure, latent_figures
from dashboards.report.study_data import Trial, by_corpus
from dashboards.text import typeset

__all__ = ["Gallery", "Source", "samples_section"]

SAMPLES_SHOWN = 16
FLAC_BYTES = 3 * 2**20
REAL = "Real"
ONE_PER_ROLE = "The page shows one sample per role and model to stay small; the others are artifacts in MLflow."


@dataclass(frozen=True)
class Source:
    """The origin of samples: the corpus, or one model and seed.

    Attributes:
        key: "real", or a number that is unique in the gallery.
        colour: the model's colour; None for the corpus.
    """

    key: str
    name: str
    colour: str | None
    clips: tuple[Clip, ...]
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Gallery:
    """The samples of one corpus and protocol.

    Attributes:
        shown: sources that are shown directly, the recordings first.
        folded: the other sources.
        findings: what the samples show, one sentence each.
        latents: the latent path of the models along a real sequence.
        longest: duration of the longest clip in s.
        times: ticks of the clips' time axis.
        frequencies: ticks of the spectrograms' frequency axis, from the bottom.
    """

    corpus: str
    protocol: str
    shown: tuple[Source, ...]
    folded: tuple[Source, ...]
    findings: tuple[str, ...]
    latents: tuple[LatentFigure, ...]
    longest: float
    times: tuple[Tick, ...]
    frequencies: tuple[Tick, ...]


def samples_section(trials: Sequence[Trial], colours: Mapping[str, str]) -> list[Gallery]:
    """Build the section, one gallery per corpus that has samples, in the order of the trials.

    Raises:
        ReportError: a sample or a latent path is malformed.
    """
    size = sum(len(s.content) for trial in trials for s in trial.samples if s.kind == "speech")
    # A page with too much sound uses OGG, and one sample per role and trial.
    container: Container = "flac" if size <= FLAC_BYTES else "ogg"
    shown = trials
    if container == "ogg":
        # Reversed, so that the first sample of a role is the one that stays.
        firsts = [{s.role: s for s in reversed(trial.samples)} for trial in trials]
        shown = [replace(t, samples=tuple(s.values())[::-1]) for t, s in zip(trials, firsts, strict=True)]
    left_out = sum(len(trial.samples) for trial in trials) > sum(len(trial.samples) for trial in shown)
    made = ((key, _sources(members, colours, container), members) for key, members in by_corpus(shown).items())
    return [_gallery(key, sources, members, colours, left_out) for key, sources, members in made if sources]


def _sources(trials: Sequence[Trial], colours: Mapping[str, str], container: Container) -> list[Source]:
    samples: dict[tuple[str, str | None], list[Sample]] = {}
    for trial in trials:
        real = [sample for sample in trial.samples if sample.role == "real"]
        made = [sample for sample in trial.samples if sample.role != "real"]
        samples.setdefault((REAL, None), []).extend(real)
        if made:
            samples[f"{trial.model}, seed {trial.seed}", colours[trial.model]] = made
    # The same content is shown once per source. All are rendered together, so that they share one scale.
    unique = [
        (source, sample)
        for source, members in samples.items()
        for sample in {sample.content: sample for sample in members}.values()
    ]
    flat = [sample for _, sample in unique]
    spoken = [source for source, sample in unique if sample.kind == "speech"]
    written = [source for source, sample in unique if sample.kind == "pen"]
    all_clips = list(zip(spoken, clips(flat, container), strict=True))
    all_drawings = list(zip(written, drawings(flat), strict=True))
    return [
        Source(
            REAL.lower() if key == (REAL, None) else str(number),
            *key,
            tuple(clip for source, clip in all_clips if source == key),
            tuple(drawing for source, drawing in all_drawings if source == key),
        )
        for number, (key, members) in enumerate(samples.items())
        if members
    ]


def _gallery(
    key: tuple[str, str],
    sources: Sequence[Source],
    trials: Sequence[Trial],
    colours: Mapping[str, str],
    left_out: bool,
) -> Gallery:
    all_clips = [clip for source in sources for clip in source.clips]
    longest = max((clip.seconds for clip in all_clips), default=0.0)
    counts = accumulate(len(source.clips) + len(source.drawings) for source in sources)
    # The recordings and one model are always shown.
    count = max(2, sum(count <= SAMPLES_SHOWN for count in counts))
    findings = (_loudness_finding(sources), _stroke_finding(sources), ONE_PER_ROLE if left_out else "")
    return Gallery(
        *key,
        shown=tuple(sources[:count]),
        folded=tuple(sources[count:]),
        findings=tuple(filter(None, findings)),
        latents=tuple(latent_figures(trials, colours, [clip for clip in all_clips if clip.role == "real"])),
        longest=longest,
        times=tuple(ticks(longest, "s") if longest else ()),
        frequencies=tuple(frequency_ticks(min(clip.rate for clip in all_clips) / 2) if all_clips else ()),
    )


def _loudness_finding(sources: Sequence[Source]) -> str:
    """Loudness of generated clips relative to the recordings, before levelling; empty if it was not measurable."""
    real = _mean_loudness(sources, "real")
    if real is None:
        return ""
    levels = {source.name: _mean_loudness([source], "generated") for source in sources if source.name != REAL}
    parts = [_relative_loudness(name, level - real) for name, level in levels.items() if level is not None]
    start = f"Before levelling, the recordings shown have a mean loudness of {typeset(real, '.1f')} LUFS"
    return f"{start}; generated clips are {', '.join(parts)}." if parts else f"{start}."


def _relative_loudness(name: str, difference: float) -> str:
    if abs(difference) < 0.05:
        return f"as loud ({name})"
    return f"{abs(difference):.1f} dB {'louder' if difference > 0 else 'quieter'} ({name})"


def _mean_loudness(sources: Sequence[Source], role: str) -> float | None:
    levels = [clip.before for s in sources for clip in s.clips if clip.role == role and clip.before is not None]
    return fmean(levels) if levels else None


def _stroke_finding(sources: Sequence[Source]) -> str:
    """Points per stroke of the recorded and of the generated drawings; empty without recordings."""
    real = _points_per_stroke(sources, "real")
    if real is None:
        return ""
    rates = {source.name: _points_per_stroke([source], "generated") for source in sources if source.name != REAL}
    parts = [f"{rate:.1f} ({name})" for name, rate in rates.items() if rate is not None]
    start = f"The real drawings shown have {real:.1f} points per stroke on average"
    return f"{start}; generated drawings have {', '.join(parts)}." if parts else f"{start}."


def _points_per_stroke(sources: Sequence[Source], role: str) -> float | None:
    drawn = [drawing for source in sources for drawing in source.drawings if drawing.role == role]
    strokes = sum(drawing.strokes for drawing in drawn)
    return sum(drawing.points for drawing in drawn) / strokes if strokes else None
