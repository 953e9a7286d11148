"""The built-in speech corpus: sentences read by espeak-ng's voices, in the layout and files of TIMIT.

    TRAIN/DR1/FKWO0/SA1.WAV  SA1.TXT          TEST/...

As in TIMIT, a speaker reads ten sentences: SA1 and SA2, which all speakers read; five of the 450 SX sentences, which
several speakers share, but never a speaker of TRAIN with one of TEST; and three SI sentences of the speaker's own.
Eight accents take the place of the dialect regions. `.WAV` is SPHERE, 16 kHz, 16 bit; `.TXT` is `0 SAMPLES SENTENCE`.
There is no `.WRD` and no `.PHN`: espeak-ng times `on the` as one word, and its phonemes are not TIMIT's.

A little low-frequency noise, like that of a room, is added to all speech. Without it, pauses would repeat one value,
and the likelihood of a density model on them would be unbounded.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torchaudio.functional import resample

from pipelines.randomness import keyed_generator
from pipelines.synthesis.espeak import EspeakProcess, Utterance
from pipelines.synthesis.sentences import SHARED_SENTENCES, distinct_sentences
from pipelines.synthesis.sphere import encode_sphere
from pipelines.synthesis.tree import Request, build_once
from pipelines.synthesis.voices import Speaker, invent_speakers

__all__ = ["synthesise_speech"]

_VERSION = 1
_SAMPLE_RATE = 16_000
_HIGHEST_PEAK = 12_000
# TIMIT's numbering: SX3 to SX452, in 90 sets of five; SI from 453.
_SX_FIRST, _SX_SETS, _SX_PER_SET, _SX_TRAIN_SETS = 3, 90, 5, 66
_SI_FIRST, _SI_PER_SPEAKER = 453, 3
_PER_SPEAKER = len(SHARED_SENTENCES) + _SX_PER_SET + _SI_PER_SPEAKER


def synthesise_speech(
    out: Path,
    *,
    train_speakers: int = 10,
    test_speakers: int = 3,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the built-in speech corpus; do nothing if `out` already holds it.

    The same arguments give the same bytes in every file.

    Args:
        out: a directory that is new or empty.
        train_speakers: number of speakers in TRAIN, ten utterances each.
        test_speakers: number of speakers in TEST, ten utterances each.
        seed: seed of speakers, sentences and noise.
        on_progress: called after each utterance with (utterances done, all utterances).

    Returns:
        The number of utterances.

    Raises:
        InputError: `out` holds something else, a number is out of range, or the `demo` extra is missing.
        EspeakError: the speech engine failed.
    """
    parameters = {"train_speakers": train_speakers, "test_speakers": test_speakers, "seed": seed}

    def write(tree: Path) -> int:
        speakers = invent_speakers(train_speakers + test_speakers, seed)
        total = len(speakers) * _PER_SPEAKER
        texts = distinct_sentences(_SX_SETS * _SX_PER_SET + len(speakers) * _SI_PER_SPEAKER, seed)
        done = 0
        with EspeakProcess() as espeak:
            for index, speaker in enumerate(speakers):
                is_test = index >= train_speakers
                folder = tree / ("TEST" if is_test else "TRAIN") / f"DR{speaker.dialect}" / speaker.id
                folder.mkdir(parents=True)
                sx_set = _sx_set(index - train_speakers if is_test else index, is_test=is_test)
                for name, text in _sentences(texts, sx_set, index).items():
                    _write_utterance(folder / name, text, speaker, espeak, keyed_generator("utterance", seed, done))
                    done += 1
                    if on_progress:
                        on_progress(done, total)
        return total

    return build_once(out, Request("speech", _VERSION, parameters), write)


def _sx_set(index: int, *, is_test: bool) -> int:
    """The number of the SX set that the `index`-th speaker of a tree reads; TRAIN and TEST share no set."""
    return _SX_TRAIN_SETS + index % (_SX_SETS - _SX_TRAIN_SETS) if is_test else index % _SX_TRAIN_SETS


def _sentences(texts: list[str], sx_set: int, index: int) -> dict[str, str]:
    """The sentences of one speaker by name; set s holds the SX numbers s, s + 90, s + 180, ..."""
    sx = range(sx_set, _SX_SETS * _SX_PER_SET, _SX_SETS)
    si = range(index * _SI_PER_SPEAKER, (index + 1) * _SI_PER_SPEAKER)
    shared = {f"SA{number}": text for number, text in enumerate(SHARED_SENTENCES, start=1)}
    common = {f"SX{_SX_FIRST + number}": texts[number] for number in sx}
    return shared | common | {f"SI{_SI_FIRST + number}": texts[_SX_SETS * _SX_PER_SET + number] for number in si}


def _write_utterance(path: Path, text: str, speaker: Speaker, espeak: EspeakProcess, rng: np.random.Generator) -> None:
    """Write `path` with the suffixes .WAV and .TXT."""
    manner = {key: asdict(speaker)[key] for key in ("voice", "words_per_minute", "pitch", "pitch_range")}
    spoken = espeak.speak(Utterance(text=text, seed=int(rng.integers(1, 2**31)), **manner))
    samples = _record(spoken, speaker, rng)
    utterance_id = f"{speaker.id[1:]}_{path.name}".lower()
    path.with_suffix(".WAV").write_bytes(encode_sphere(samples, _SAMPLE_RATE, utterance_id))
    path.with_suffix(".TXT").write_bytes(f"0 {samples.size} {text}\n".encode())


def _record(pcm: NDArray[np.int16], speaker: Speaker, rng: np.random.Generator) -> NDArray[np.int16]:
    """The speech as a microphone in a room would record it: shape (N',), 16 kHz, with a short pause at both ends."""
    # float64, so that the rounding to 16 bits does not depend on the number of threads.
    speech = resample(torch.from_numpy(pcm.astype(np.float64)), speaker.playback_rate, _SAMPLE_RATE).numpy()
    speech = np.asarray(lfilter([1.0, -1.0], [1.0, -0.98], speech))  # a microphone blocks the constant part
    loudness = speaker.level * np.exp(rng.normal(0, 0.1))
    gain = min(loudness / np.sqrt(np.mean(speech**2)), _HIGHEST_PEAK / np.abs(speech).max())
    lead, tail = rng.integers(_SAMPLE_RATE // 10, _SAMPLE_RATE // 4, 2)
    speech = np.pad(gain * speech, (lead, tail))
    # First-order autoregressive noise, with the standard deviation of the speaker's room.
    memory = 0.8
    innovations = rng.normal(0, speaker.noise * np.sqrt(1 - memory**2), speech.size)
    noise = np.asarray(lfilter([1.0], [1.0, -memory], innovations))
    return np.rint(speech + noise).astype(np.int16)
