"""What the models make beside what was recorded, corpus by corpus.

All samples of a corpus are prepared together, so that they share their scales. A recording that several trials hold is
shown once. The page shows the sources of the first samples at once and folds the rest away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import fmean

from dashboards.media.players import Clip, Drawing, clips, drawings
from dashboards.media.sound_files import Container
from dashboards.media.spectrograms import Tick, frequency_ticks, ticks
from dashboards.report.latent_section import LatentFigure, latent_figures
from dashboards.report.study_record import Sample, Trial
from dashboards.text import typeset

__all__ = ["Gallery", "Source", "by_corpus", "galleries"]

SAMPLES_SHOWN = 16
FLAC_BYTES = 3 * 2**20
REAL = "Real"
SPARING = "One sample of each role and model is shown, to keep the page small; the others are artifacts in MLflow."


@dataclass(frozen=True)
class Source:
    """Where samples come from: the corpus, or one model and seed.

    Attributes:
        key: "real", or a number that tells it from the others of its gallery.
        colour: the model's; None for the corpus.
    """

    key: str
    name: str
    colour: str | None
    clips: tuple[Clip, ...]
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Gallery:
    """Recorded samples of one corpus and protocol beside what the models make.

    Attributes:
        shown: sources that are shown at once, the recordings first.
        folded: the others.
        findings: what the samples show, a sentence each.
        latents: the latent state of the models over a real sequence.
        longest: duration of the longest clip in s.
        times: marks of the clips' time axis.
        frequencies: marks of the spectrograms' frequency axis, from the bottom.
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


def by_corpus(trials: Iterable[Trial]) -> dict[tuple[str, str], list[Trial]]:
    """Trials by (corpus, protocol), in order of first appearance."""
    members: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        members.setdefault((trial.corpus, trial.protocol), []).append(trial)
    return members


def galleries(trials: Sequence[Trial], colours: Mapping[str, str]) -> list[Gallery]:
    """The galleries of a study's corpora, in the order of the trials; a corpus without samples has none.

    Args:
        trials: of the study; those that carry samples are shown.
        colours: the colour of each model.

    Raises:
        ReportError: a sample or a latent figure is malformed.
    """
    container = container_for(trials)
    shown = trials if container == "flac" else [replace(trial, samples=_one_a_role(trial.samples)) for trial in trials]
    left = sum(len(trial.samples) for trial in trials) - sum(len(trial.samples) for trial in shown)
    made = ((key, _sources(members, colours, container), members) for key, members in by_corpus(shown).items())
    return [_gallery(*key, sources, members, colours, left) for key, sources, members in made if sources]


def _one_a_role(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple({sample.role: sample for sample in reversed(tuple(samples))}.values())[::-1]


def container_for(trials: Iterable[Trial]) -> Container:
    """FLAC where all sounds of a page have room as such; else OGG, and of each trial one sample of each role."""
    size = sum(len(s.content) for trial in trials for s in trial.samples if s.kind == "speech")
    return "flac" if size <= FLAC_BYTES else "ogg"


def _gallery(
    corpus: str,
    protocol: str,
    sources: Sequence[Source],
    members: Sequence[Trial],
    colours: Mapping[str, str],
    left: int,
) -> Gallery:
    heard = [clip for source in sources for clip in source.clips]
    longest = max((clip.seconds for clip in heard), default=0.0)
    counts = accumulate(len(source.clips) + len(source.drawings) for source in sources)
    at_once = max(2, sum(count <= SAMPLES_SHOWN for count in counts))
    real = [clip for source in sources for clip in source.clips if clip.role == "real"]
    findings = (_loudness_finding(sources), _pen_finding(sources), SPARING if left else "")
    return Gallery(
        corpus,
        protocol,
        tuple(sources[:at_once]),
        tuple(sources[at_once:]),
        tuple(finding for finding in findings if finding),
        tuple(latent_figures(members, colours, real)),
        longest,
        tuple(ticks(longest, "s") if longest else ()),
        tuple(frequency_ticks(min(clip.rate for clip in heard) / 2) if heard else ()),
    )


def _sources(trials: Sequence[Trial], colours: Mapping[str, str], container: Container) -> list[Source]:
    samples: dict[tuple[str, str | None], list[Sample]] = {}
    for trial in trials:
        real = [sample for sample in trial.samples if sample.role == "real"]
        made = [sample for sample in trial.samples if sample.role != "real"]
        samples.setdefault((REAL, None), []).extend(real)
        if made:
            samples[f"{trial.model}, seed {trial.seed}", colours[trial.model]] = made
    return _rendered(samples, container)


def _rendered(samples: Mapping[tuple[str, str | None], Sequence[Sample]], container: Container) -> list[Source]:
    """Render the samples of every source together, so that they share one scale; repeats are shown once."""
    unique = [
        (source, sample)
        for source, members in samples.items()
        for sample in {sample.content: sample for sample in members}.values()
    ]
    flat = [sample for _, sample in unique]
    spoken = [source for source, sample in unique if sample.kind == "speech"]
    drawn = [source for source, sample in unique if sample.kind == "pen"]
    heard, seen = list(zip(spoken, clips(flat, container), strict=True)), list(zip(drawn, drawings(flat), strict=True))
    return [
        Source(
            REAL.lower() if key == (REAL, None) else str(number),
            *key,
            tuple(clip for source, clip in heard if source == key),
            tuple(drawing for source, drawing in seen if source == key),
        )
        for number, (key, members) in enumerate(samples.items())
        if members
    ]


def _loudness_finding(sources: Sequence[Source]) -> str:
    """How loud what the models generate was beside the recordings, before all were levelled."""
    real = _mean_loudness(sources, "real")
    if real is None:
        return ""
    levels = {source.name: _mean_loudness([source], "generated") for source in sources if source.name != REAL}
    told = [_beside(name, level - real) for name, level in levels.items() if level is not None]
    start = f"Before clips were levelled, the recordings shown measured {typeset(real, '.1f')} LUFS (mean)"
    return f"{start}; generated ones were {', '.join(told)}." if told else f"{start}."


def _beside(name: str, difference: float) -> str:
    if abs(difference) < 0.05:
        return f"as loud ({name})"
    return f"{abs(difference):.1f} dB {'louder' if difference > 0 else 'quieter'} ({name})"


def _mean_loudness(sources: Sequence[Source], role: str) -> float | None:
    levels = [clip.before for s in sources for clip in s.clips if clip.role == role and clip.before is not None]
    return fmean(levels) if levels else None


def _pen_finding(sources: Sequence[Source]) -> str:
    """How often the pen is lifted in what the models generate, and in the recordings."""
    real = _points_per_stroke(sources, "real")
    if real is None:
        return ""
    rates = {source.name: _points_per_stroke([source], "generated") for source in sources if source.name != REAL}
    told = [f"{rate:.1f} ({name})" for name, rate in rates.items() if rate is not None]
    start = f"A stroke of the real drawings shown has {real:.1f} points on average"
    return f"{start}; of the generated ones {', '.join(told)}." if told else f"{start}."


def _points_per_stroke(sources: Sequence[Source], role: str) -> float | None:
    drawn = [drawing for source in sources for drawing in source.drawings if drawing.role == role]
    strokes = sum(drawing.strokes for drawing in drawn)
    return sum(drawing.points for drawing in drawn) / strokes if strokes else None
