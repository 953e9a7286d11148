"""Writing samples: a directory of sounds or drawings, and their list `samples.json`.

Each file is written as a whole, and the list last, so that every file it names exists. `generate` writes for a person:
WAV, or strokes with SVG and PNG. `write_samples` writes what the report of a study shows: short FLAC files (the same
samples), or strokes alone.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.errors import NotFiniteError, StudyError
from benchmarks.samples.drawing import svg_to_png, to_strokes, to_svg, units_per_point
from benchmarks.samples.generation import Generator
from benchmarks.samples.latent_path import write_latent_path
from benchmarks.samples.recordings import Recordings, Sample
from benchmarks.samples.sound import FADE_SAMPLES, SAMPLE_RATE, Container, encode, to_sound
from benchmarks.schema.base import Kind
from benchmarks.schema.samples import SampleEntry, SampleList
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.training import Checkpoint

__all__ = ["GenerateRequest", "Mode", "generate", "write_samples"]

Mode = Literal["prior", "continuation", "reconstruction"]

_FRAMES = {"speech": 160, "pen": 400}
_PRIME_FRAMES = {"speech": 80, "pen": 150}
_STUDY_FRAMES = {"speech": 200, "pen": 800}
"""The most frames of a sequence that a study keeps: 2.5 s of speech."""
_FADE_MS = 1000 * FADE_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True)
class GenerateRequest:
    """What to generate.

    Attributes:
        mode: from scratch, from the beginning of a real sequence, or a reconstruction of a real sequence.
        count: number of sequences; fewer if there are fewer real ones.
        frames: frames to generate, or to reconstruct of each sequence; None for a default, or for the whole sequence.
        prime_frames: real frames at the beginning of a continuation; None for a default.
        temperature: of the distribution of new frames.
        split: of the real sequences; None for the one that the trial reports.
        seed: of all noise, and of the choice of real sequences.
    """

    mode: Mode = "prior"
    count: int = 4
    frames: int | None = None
    prime_frames: int | None = None
    temperature: float = 1.0
    split: str | None = None
    seed: int = 0


def generate(
    checkpoint: Checkpoint, shards: ShardSet | None, target: Location, request: GenerateRequest
) -> tuple[SampleEntry, ...]:
    """Write the requested samples, and the real sequences to compare them with.

    Args:
        checkpoint: the model.
        shards: the real sequences; None if they are not needed.
        target: the directory.
        request: what to generate.

    Returns:
        The list of samples.

    Raises:
        StudyError: the request does not fit the model or the shards.
        ModelError: the temperature is not positive and finite.
        NotFiniteError: a sample has values that are not finite.
    """
    _check(checkpoint, shards, request)
    samples = _make_samples(checkpoint, shards, request)
    for sample in samples:
        if not sample.is_finite:
            raise NotFiniteError(
                f"{sample.role} ({sample.caption}) is not finite: the model diverges on its own samples; "
                "lower --temperature or --frames, or train it longer"
            )
    return _write(samples, target, checkpoint.framing.protocol.kind, request.seed, for_person=True)


def _check(checkpoint: Checkpoint, shards: ShardSet | None, request: GenerateRequest) -> None:
    for flag, value in (("count", request.count), ("frames", request.frames), ("prime-frames", request.prime_frames)):
        if value is not None and value < 1:
            raise StudyError(f"--{flag} {value}: must be 1 or more")
    if not 0 <= request.seed < 2**63:
        raise StudyError(f"--seed {request.seed}: must be between 0 and 2^63 - 1")
    if request.mode != "continuation" and request.prime_frames is not None:
        raise StudyError(f"--prime-frames: --mode {request.mode} starts with no real frames; remove the flag")
    if request.mode == "reconstruction" and request.temperature != 1:
        raise StudyError("--temperature: a reconstruction is the expected frame, nothing is drawn; remove the flag")
    if request.mode == "reconstruction" and not checkpoint.spec.model.latent:
        name = checkpoint.spec.model.name
        raise StudyError(f"{name} has no latent to reconstruct from; use --mode continuation")
    if shards is None:
        if request.mode != "prior" or request.split is not None:
            flag = f"--mode {request.mode}" if request.mode != "prior" else "--split"
            raise StudyError(f"{flag} needs real sequences; add --shards with the data the model was trained on")
    elif shards.manifest.fingerprint != checkpoint.spec.fingerprint:
        raise StudyError(
            f"the checkpoint was trained on data {checkpoint.spec.fingerprint[:12]} of {checkpoint.corpus}, "
            f"{shards.location} contains {shards.manifest.fingerprint[:12]}; set --shards to the former"
        )


def _make_samples(checkpoint: Checkpoint, shards: ShardSet | None, request: GenerateRequest) -> list[Sample]:
    kind, seed = checkpoint.framing.protocol.kind, request.seed
    generator = Generator(checkpoint, seed, request.temperature)
    frames = request.frames or _FRAMES[kind]
    if shards is None:
        return generator.prior(request.count, frames)
    real = Recordings(shards, checkpoint.framing, request.split or checkpoint.report_split)
    if request.mode == "continuation":
        prime = request.prime_frames or _PRIME_FRAMES[kind]
        positions = real.choose(request.count, seed, least=prime)
        continued = generator.continuations(real, positions, prime, frames)
        return real.samples(positions, prime + frames) + continued
    positions = real.choose(request.count, seed)
    if request.mode == "reconstruction":
        return real.samples(positions, request.frames) + generator.reconstructions(real, positions, request.frames)
    return real.samples(positions, frames) + generator.prior(request.count, frames)


def write_samples(checkpoint: Checkpoint, shards: ShardSet, target: Path, *, count: int, seed: int) -> None:
    """Write the samples that a study keeps of a trial: `count` real and `count` generated sequences, and a few more.

    The first real sequence is continued and, if the model has a latent, reconstructed and given a latent path. A sample
    that is not finite is left out with a warning: it does not end the study.
    """
    kind = checkpoint.framing.protocol.kind
    real = Recordings(shards, checkpoint.framing, checkpoint.report_split)
    positions, most = real.choose(count, seed), _STUDY_FRAMES[kind]
    generator, first = Generator(checkpoint, seed), positions[:1]
    samples = real.samples(positions, most)
    if checkpoint.spec.model.latent:
        samples += generator.reconstructions(real, first, most)
    # At most half of a short sequence is given to the model.
    prime = min(_PRIME_FRAMES[kind], (int(real.source.lengths[first[0]]) + 1) // 2)
    samples += generator.continuations(real, first, prime, min(_FRAMES[kind], most - prime))
    samples += generator.prior(count, _FRAMES[kind])
    for sample in samples:
        if not sample.is_finite:
            logging.getLogger(__name__).warning("left out, not finite: %s, %s", sample.role, sample.caption)
    kept = [sample for sample in samples if sample.is_finite]
    entries = _write(kept, Location(str(target)), kind, seed, for_person=False)
    if checkpoint.spec.model.latent:
        shown = entries[0].file
        write_latent_path(Location(str(target)), checkpoint, generator, real, int(first[0]), most, shown)


def _write(
    samples: Sequence[Sample], target: Location, kind: Kind, seed: int, *, for_person: bool
) -> tuple[SampleEntry, ...]:
    """Write all files and then their list."""
    numbers: Counter[str] = Counter()
    stems: list[str] = []
    for sample in samples:
        stems.append(f"{sample.role}-{numbers[sample.role]}")
        numbers[sample.role] += 1
    write = _write_sounds if kind == "speech" else _write_drawings
    entries = tuple(
        SampleEntry(
            kind=kind,
            role=sample.role,
            # A sound that was scaled says so, since its loudness cannot be compared.
            caption=sample.caption
            + (f", scaled by {files['gain_db']:.1f} dB to full scale" if files.get("gain_db") else ""),
            source=sample.source,
            temperature=sample.temperature,
            seed=seed,
            prime_frames=sample.prime_frames,
            prime_steps=sample.prime_steps,
            **files,
        )
        for sample, files in zip(samples, write(samples, stems, target, for_person=for_person), strict=True)
    )
    (target / SampleList.file_name).write_bytes(SampleList(samples=entries).to_bytes())
    return entries


def _write_sounds(
    samples: Sequence[Sample], stems: Sequence[str], target: Location, *, for_person: bool
) -> list[dict[str, Any]]:
    container: Container = "wav" if for_person else "flac"
    written: list[dict[str, Any]] = []
    for stem, sample in zip(stems, samples, strict=True):
        sound = to_sound(sample.values)
        (target / f"{stem}.{container}").write_bytes(encode(sound.pcm, container))
        written.append({"file": f"{stem}.{container}", "gain_db": round(sound.gain_db, 2), "fade_ms": _FADE_MS})
    return written


def _write_drawings(
    samples: Sequence[Sample], stems: Sequence[str], target: Location, *, for_person: bool
) -> list[dict[str, Any]]:
    drawings = [to_strokes(sample.values) for sample in samples]
    scale = units_per_point(drawings)
    written: list[dict[str, Any]] = []
    for stem, sample, strokes in zip(stems, samples, drawings, strict=True):
        points = {"strokes": [stroke.round(1).tolist() for stroke in strokes]}
        (target / f"{stem}.json").write_bytes(json.dumps(points).encode())
        files: dict[str, Any] = {"file": f"{stem}.json"}
        if for_person:
            svg = to_svg(strokes, scale, prime_points=sample.prime_steps, title=f"{sample.role}: {sample.caption}")
            (target / f"{stem}.svg").write_bytes(svg.encode())
            (target / f"{stem}.png").write_bytes(svg_to_png(svg))
            files["pictures"] = (f"{stem}.svg", f"{stem}.png")
        written.append(files)
    return written
