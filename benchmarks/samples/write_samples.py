"""What a model sounds or looks like: a directory of recordings or drawings, and their list `samples.json`.

Each file is written whole, and the list last: what it names is there. `generate` writes for a person: WAV, or strokes
with SVG and PNG. A study keeps what its report needs: FLAC (the same samples) or strokes alone, in short pieces.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.errors import NotFiniteError, StudyError
from benchmarks.samples.drawing import Strokes, svg_to_png, to_strokes, to_svg, units_per_point
from benchmarks.samples.generation import Generator
from benchmarks.samples.latent_path import write_latent
from benchmarks.samples.passages import Passage, Recordings
from benchmarks.samples.sound import FADE_SAMPLES, SAMPLE_RATE, Container, encode, to_sound
from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from vrnn.training import Checkpoint

__all__ = ["LISTING", "GenerateRequest", "Mode", "generate", "write_samples"]

Mode = Literal["prior", "continuation", "reconstruction"]
Entry = dict[str, Any]

LISTING = "samples.json"
_FRAMES = {"speech": 160, "pen": 400}
_PRIME_FRAMES = {"speech": 80, "pen": 150}
_STUDY_FRAMES = {"speech": 200, "pen": 800}
"""At most so much of a sequence is kept with a trial: 2.5 s of speech."""
_FADE_MS = 1000 * FADE_SAMPLES / SAMPLE_RATE


@dataclass(frozen=True)
class GenerateRequest:
    """What to generate.

    Attributes:
        mode: from nothing, from the beginning of a real sequence, or of a real sequence.
        count: how many; fewer where there are fewer real sequences.
        frames: how many are drawn, or of each real sequence reconstructed; None for a default, or for all of it.
        prime_frames: that a continuation begins with; None for a default.
        temperature: that frames are drawn with.
        split: that real sequences are taken from; None for the one that the trial reports.
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
) -> list[Entry]:
    """Write what is asked for, after the real sequences beside it, and return the list.

    Args:
        checkpoint: the model.
        shards: where the real sequences are; without them, the prior alone can be drawn from.
        target: the directory.
        request: what to generate.

    Raises:
        StudyError: the request does not fit the model or the shards.
        ModelError: the temperature is not positive and finite.
        NotFiniteError: what the model makes cannot be heard or drawn.
    """
    _check(checkpoint, shards, request)
    passages = _passages(checkpoint, shards, request)
    for passage in passages:
        if not passage.is_finite:
            raise NotFiniteError(
                f"{passage.role} ({passage.caption}) is not finite: the model runs away on its own samples; "
                "lower --temperature or --frames, or train it further"
            )
    return _write(passages, target, checkpoint.framing.protocol.kind, request.seed, for_person=True)


def _check(checkpoint: Checkpoint, shards: ShardSet | None, request: GenerateRequest) -> None:
    for flag, value in (("count", request.count), ("frames", request.frames), ("prime-frames", request.prime_frames)):
        if value is not None and value < 1:
            raise StudyError(f"--{flag} {value}: at least 1 is needed")
    if not 0 <= request.seed < 2**63:
        raise StudyError(f"--seed {request.seed}: must lie between 0 and 2^63 - 1")
    if request.mode != "continuation" and request.prime_frames is not None:
        raise StudyError(f"--prime-frames: --mode {request.mode} begins with no real frames; leave it out")
    if request.mode == "reconstruction" and request.temperature != 1:
        raise StudyError("--temperature: a reconstruction is what the model expects and draws no frame; leave it out")
    if request.mode == "reconstruction" and not checkpoint.spec.architecture.latent:
        name = checkpoint.spec.architecture.name
        raise StudyError(f"{name} has no latent to reconstruct from; use --mode continuation")
    if shards is None:
        if request.mode != "prior" or request.split is not None:
            what = f"--mode {request.mode}" if request.mode != "prior" else "--split"
            raise StudyError(f"{what} needs real sequences; add --shards with the data the model was trained on")
    elif shards.manifest.fingerprint != checkpoint.spec.fingerprint:
        raise StudyError(
            f"the checkpoint was trained on data {checkpoint.spec.fingerprint[:12]} of {checkpoint.corpus}, "
            f"{shards.location} holds {shards.manifest.fingerprint[:12]}; point --shards at the former"
        )


def _passages(checkpoint: Checkpoint, shards: ShardSet | None, request: GenerateRequest) -> list[Passage]:
    kind, seed = checkpoint.framing.protocol.kind, request.seed
    generator = Generator(checkpoint, seed, request.temperature)
    frames = request.frames or _FRAMES[kind]
    if shards is None:
        return generator.prior(request.count, frames)
    real = Recordings(shards, checkpoint.framing, request.split or checkpoint.report_split)
    if request.mode == "continuation":
        prime = request.prime_frames or _PRIME_FRAMES[kind]
        positions = real.choose(request.count, seed, least=prime)
        made = generator.continuations(real, positions, prime, frames)
        return real.passages(positions, prime + frames) + made
    positions = real.choose(request.count, seed)
    if request.mode == "reconstruction":
        return real.passages(positions, request.frames) + generator.reconstructions(real, positions, request.frames)
    return real.passages(positions, frames) + generator.prior(request.count, frames)


def write_samples(checkpoint: Checkpoint, shards: ShardSet, target: Path, *, count: int, seed: int) -> None:
    """Write what a study keeps of a trial: `count` real and generated sequences, and what becomes of a real one.

    The first real sequence is continued and, where the model has a latent, reconstructed and followed (`latent.json`).
    A passage that is not finite is left out with a warning: a study does not end for it.
    """
    kind = checkpoint.framing.protocol.kind
    real = Recordings(shards, checkpoint.framing, checkpoint.report_split)
    positions, most = real.choose(count, seed), _STUDY_FRAMES[kind]
    generator, first = Generator(checkpoint, seed), positions[:1]
    passages = real.passages(positions, most)
    if checkpoint.spec.architecture.latent:
        passages += generator.reconstructions(real, first, most)
    prime = min(_PRIME_FRAMES[kind], (int(real.source.lengths[first[0]]) + 1) // 2)
    passages += generator.continuations(real, first, prime, min(_FRAMES[kind], most - prime))
    passages += generator.prior(count, _FRAMES[kind])
    for passage in passages:
        if not passage.is_finite:
            logging.getLogger(__name__).warning("left out, not finite: %s, %s", passage.role, passage.caption)
    kept = [passage for passage in passages if passage.is_finite]
    entries = _write(kept, Location(str(target)), kind, seed, for_person=False)
    if checkpoint.spec.architecture.latent:
        shown = entries[0]["file"]
        write_latent(Location(str(target)), checkpoint, generator, real, int(first[0]), most, shown)


def _write(passages: Sequence[Passage], target: Location, kind: str, seed: int, *, for_person: bool) -> list[Entry]:
    write = _write_sounds if kind == "speech" else _write_drawings
    described = [
        {
            "kind": kind,
            "role": passage.role,
            "caption": passage.caption,
            "source": passage.source,
            "temperature": passage.temperature,
            "seed": seed,
            "prime_frames": passage.prime_frames,
            "prime_steps": passage.prime_steps,
        }
        for passage in passages
    ]
    written = write(passages, _stems(passages), target, for_person=for_person)
    entries = [_with_gain(file | description) for file, description in zip(written, described, strict=True)]
    (target / LISTING).write_bytes(json.dumps(entries, indent=1).encode())
    return entries


def _with_gain(entry: Entry) -> Entry:
    """Loudness that cannot be compared is told where the sample is named."""
    gain = entry.get("gain_db")
    return entry | {"caption": f"{entry['caption']}, scaled by {gain:.1f} dB to full scale"} if gain else entry


def _stems(passages: Sequence[Passage]) -> list[str]:
    """The name of each file, without its end: its role, and its number within the role."""
    seen: Counter[str] = Counter()
    stems: list[str] = []
    for passage in passages:
        stems.append(f"{passage.role}-{seen[passage.role]}")
        seen[passage.role] += 1
    return stems


def _write_sounds(
    passages: Sequence[Passage], stems: Sequence[str], target: Location, *, for_person: bool
) -> list[Entry]:
    container: Container = "wav" if for_person else "flac"
    entries: list[Entry] = []
    for stem, passage in zip(stems, passages, strict=True):
        sound = to_sound(passage.values)
        (target / f"{stem}.{container}").write_bytes(encode(sound.pcm, container))
        entries.append({"file": f"{stem}.{container}", "gain_db": round(sound.gain_db, 2), "fade_ms": _FADE_MS})
    return entries


def _write_drawings(
    passages: Sequence[Passage], stems: Sequence[str], target: Location, *, for_person: bool
) -> list[Entry]:
    drawings = [to_strokes(passage.values) for passage in passages]
    scale = units_per_point(drawings)
    entries: list[Entry] = []
    for stem, passage, strokes in zip(stems, passages, drawings, strict=True):
        points = {"strokes": [stroke.round(1).tolist() for stroke in strokes]}
        (target / f"{stem}.json").write_bytes(json.dumps(points).encode())
        entry: Entry = {"file": f"{stem}.json"}
        if for_person:
            entry["pictures"] = _write_pictures(strokes, scale, passage, target, stem)
        entries.append(entry)
    return entries


def _write_pictures(strokes: Strokes, scale: float, passage: Passage, target: Location, stem: str) -> list[str]:
    svg = to_svg(strokes, scale, prime_points=passage.prime_steps, title=f"{passage.role}: {passage.caption}")
    (target / f"{stem}.svg").write_bytes(svg.encode())
    (target / f"{stem}.png").write_bytes(svg_to_png(svg))
    return [f"{stem}.svg", f"{stem}.png"]
