import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.corpora import find_corpus
from pipelines.errors import InputError
from pipelines.runtime.storage import Location
from pipelines.synthesis import synthesise_speech
from pipelines.synthesis.espeak import EspeakError, EspeakProcess, Utterance
from pipelines.synthesis.sentences import SHARED_SENTENCES
from pipelines.synthesis.tree import MARKER
from pipelines.synthesis.voices import ACCENTS, PLAYBACK_RATES, invent_speakers
from tests.pipelines.sound_files import decoded

from .conftest import SPEECH

HELLO = Utterance("Hello.", "en-us+f1", words_per_minute=160, pitch=50, pitch_range=50, seed=1)


def utterances(tree: Path) -> list[Path]:
    return sorted(path.with_suffix("") for path in tree.glob("T*/DR*/*/*.WAV"))


def header(path: Path) -> dict[str, str]:
    lines = path.with_suffix(".WAV").read_bytes()[:1024].decode("ascii").split("\nend_head")[0].splitlines()
    return {key: value for key, _, value in (line.split(maxsplit=2) for line in lines[2:])}


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path.with_suffix(".WAV"), dtype="int16")[0]


def sentence(path: Path) -> str:
    return path.with_suffix(".TXT").read_text().split(maxsplit=2)[2].strip()


def test_the_tree_is_laid_out_as_timit(speech_tree):
    paths = utterances(speech_tree)
    assert len(paths) == 30
    for path in paths:
        assert re.search(r"/(TRAIN|TEST)/DR[1-8]/[FM][A-Z]{3}[0-9]/S[AIX][0-9]+$", path.as_posix())
    for folder in {path.parent for path in paths}:
        kinds = sorted(path.name[:2] for path in paths if path.parent == folder)
        assert kinds == ["SA"] * 2 + ["SI"] * 3 + ["SX"] * 5
    files = [path for path in speech_tree.rglob("*") if path.is_file() and path.name != MARKER]
    assert sorted(files) == sorted(path.with_suffix(end) for path in paths for end in (".WAV", ".TXT"))


def test_the_assignment_of_sentences_to_speakers_is_timits(tmp_path):
    """The texts of many speakers by the names that the tree would have, without synthesising them."""
    from pipelines.synthesis.sentences import distinct_sentences
    from pipelines.synthesis.speech import _sentences, _sx_set

    texts = distinct_sentences(450 + 3 * 100, seed=0)
    read = [_sentences(texts, _sx_set(i if i < 80 else i - 80, is_test=i >= 80), i) for i in range(100)]
    assert all(list(reader.values())[:2] == list(SHARED_SENTENCES) for reader in read)
    by_name: dict[str, str] = {}
    for reader in read:
        for name, text in reader.items():
            assert by_name.setdefault(name, text) == text
    assert len(set(by_name.values())) == len(by_name)
    train, test = ({name for reader in part for name in reader} for part in (read[:80], read[80:]))
    assert train & test == {"SA1", "SA2"}
    assert all(3 <= int(name[2:]) <= 452 for name in train | test if name.startswith("SX"))
    assert len([name for reader in read for name in reader if name.startswith("SI")]) == 300
    assert len({name for name in by_name if name.startswith("SI")}) == 300


def test_headers_and_texts_match_the_samples(speech_tree):
    for path in utterances(speech_tree):
        pcm, fields = samples(path), header(path)
        assert fields["sample_count"] == str(len(pcm))
        assert fields["sample_min"] == str(pcm.min())
        assert fields["sample_max"] == str(pcm.max())
        assert fields["sample_rate"] == "16000"
        assert fields["utterance_id"] == f"{path.parent.name[1:]}_{path.name}".lower()
        assert path.with_suffix(".TXT").read_bytes() == f"0 {len(pcm)} {sentence(path)}\n".encode()


def test_the_sound_is_like_a_recording(speech_tree):
    for path in utterances(speech_tree):
        pcm = samples(path).astype(float)
        assert 1.0 <= len(pcm) / 16000 <= 8.0
        assert 1_000 <= np.abs(pcm).max() <= 12_050
        assert 150 <= pcm.std() <= 1500
        assert abs(pcm.mean()) < 2
        for silence in (pcm[:1600], pcm[-1600:]):
            assert 0.8 <= silence.std() <= 12
            assert np.abs(silence).max() < 60
            assert np.diff(silence).any()
        assert b"\r" in pcm.astype("<i2").tobytes()


def test_most_energy_is_where_speech_has_it(speech_tree):
    power = 0.0
    for path in utterances(speech_tree):
        spectrum = np.abs(np.fft.rfft(samples(path).astype(float), 2**17)) ** 2
        power = power + spectrum / spectrum.sum()
    hertz = np.fft.rfftfreq(2**17, 1 / 16000)
    share = np.cumsum(power) / np.sum(power)
    assert np.interp(60, hertz, share) < 0.02
    assert 0.6 < np.interp(1500, hertz, share) < 0.97
    assert 0.9 < np.interp(5000, hertz, share) < 0.9995


def test_female_voices_are_higher_than_male_ones():
    with EspeakProcess() as espeak:
        pitches = {"F": [], "M": []}
        for speaker in invent_speakers(16, seed=2):
            utterance = Utterance("Our arms are all far away.", speaker.voice, 150, speaker.pitch, 30, 1)
            pitches[speaker.id[0]].append(_pitch(espeak.speak(utterance), espeak.sample_rate))
    assert np.median(pitches["F"]) > 1.3 * np.median(pitches["M"])


def _pitch(pcm: np.ndarray, rate: int) -> float:
    frames = pcm[: len(pcm) // 2048 * 2048].reshape(-1, 2048).astype(float)
    frames = frames[frames.std(axis=1) > frames.std()]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 4096)) ** 2)
    shortest, longest = rate // 400, rate // 60
    return rate / float(np.median(shortest + correlation[:, shortest:longest].argmax(axis=1)))


def test_every_accent_and_variant_exists():
    spec = importlib.util.find_spec("espeakng_loader")
    assert spec is not None
    assert spec.origin is not None
    variants = Path(spec.origin).parent / "espeak-ng-data" / "voices" / "!v"
    speakers = invent_speakers(400, seed=0)
    assert {speaker.voice.split("+")[0] for speaker in speakers} == set(ACCENTS)
    assert all((variants / speaker.voice.split("+")[1]).is_file() for speaker in speakers)
    with EspeakProcess() as espeak:
        for accent in ACCENTS:
            assert espeak.speak(Utterance("Bath.", accent, 160, 50, 50, 1)).max() > 1000


def test_speakers_have_distinct_ids():
    speakers = invent_speakers(3000, seed=0)
    assert len({speaker.id[1:] for speaker in speakers}) == 3000
    assert any(speaker.id.endswith("1") for speaker in speakers)
    assert {speaker.playback_rate for speaker in speakers} == set(PLAYBACK_RATES)
    for dialect in range(1, 9):
        assert {speaker.id[0] for speaker in speakers[:16] if speaker.dialect == dialect} == {"F", "M"}
    assert invent_speakers(30, seed=0) == speakers[:30]


def test_two_processes_write_the_same_bytes(speech_tree, other_process):
    first = {path.relative_to(speech_tree): path.read_bytes() for path in speech_tree.rglob("*.*")}
    again = other_process / "speech"
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*.*")} == first


def test_another_seed_gives_another_corpus(speech_tree, tmp_path):
    synthesise_speech(tmp_path, train_speakers=1, test_speakers=1, seed=6)
    ours = {path.read_bytes() for path in tmp_path.rglob("*.WAV")}
    assert not ours & {path.read_bytes() for path in speech_tree.rglob("*.WAV")}


def test_a_second_run_finds_the_corpus_without_the_engine(speech_tree, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert synthesise_speech(speech_tree, **SPEECH) == 30


def test_without_the_demo_extra_the_error_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'vrnn-bench\[demo\]'"):
        synthesise_speech(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_the_utterances(tmp_path):
    calls = []
    synthesise_speech(tmp_path, train_speakers=1, test_speakers=1, on_progress=lambda *call: calls.append(call))
    assert calls == [(done, 20) for done in range(1, 21)]


def test_the_engine_stays_out_of_this_process(speech_tree):
    assert "espeakng_loader" not in sys.modules
    maps = Path("/proc/self/maps")
    assert not maps.exists() or "espeak" not in maps.read_text()


def test_an_unknown_voice_and_a_dead_engine_are_named():
    with EspeakProcess() as espeak:
        with pytest.raises(EspeakError, match="no voice nonesuch"):
            espeak.speak(Utterance("Hello.", "nonesuch", 160, 50, 50, 1))
        with pytest.raises(EspeakError, match="ended"):
            espeak.speak(HELLO)


def test_the_timit_adapter_and_the_decoder_take_every_file(speech_tree):
    raw = Location(str(speech_tree))
    corpus = find_corpus("timit")
    items = corpus.list_items(raw, {"include_sa": True}).items
    assert len(items) == 30
    assert {item.split for item in items} == {"train", "valid", "test"}
    for item in items:
        path = (speech_tree / item.file.path).with_suffix("")
        assert item.transcript == sentence(path)
        np.testing.assert_array_equal(decoded(path.with_suffix(".WAV").read_bytes()), samples(path))
