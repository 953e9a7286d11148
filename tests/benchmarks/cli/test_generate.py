"""`vrnn-bench generate`: files, one JSON object, exit statuses."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from pipelines.runtime.storage import Location
from pipelines.shards.read import ShardSet
from tests.benchmarks.cli.test_entry import assert_refused, bench, json_of
from tests.benchmarks.untrained import untrained
from vrnn.training import Checkpoint
from vrnn.training.checkpoints import BEST, save_checkpoint


def saved(checkpoint: Checkpoint, folder: Path) -> Path:
    save_checkpoint(Location(str(folder)) / BEST, checkpoint)
    return folder


@pytest.mark.parametrize(("mode", "made"), [("prior", "generated"), ("continuation", "continuation")])
def test_speech_is_written_as_wav_and_the_list_is_printed(
    mode: str, made: str, speech: ShardSet, speech_shards: Path, tmp_path: Path
) -> None:
    place = saved(untrained(speech, "rnn-gauss"), tmp_path / "run")
    flags = ["--mode", mode, "--shards", speech_shards, "--frames", 9, "--count", 1, "--seed", 2, "--json"]
    printed = json_of(bench("generate", place, "--out", "g", *flags, cwd=tmp_path))
    assert printed.keys() >= {"out", "mode", "model", "seed", "samples"}
    assert printed["samples"] == json.loads((tmp_path / "g" / "samples.json").read_text())["samples"]
    assert [entry["role"] for entry in printed["samples"]] == ["real", made]
    for entry in printed["samples"]:
        info = soundfile.info(tmp_path / "g" / entry["file"])
        assert (info.format, info.subtype, info.samplerate) == ("WAV", "PCM_16", 16000)
        assert entry.keys() >= {"kind", "caption", "source", "temperature", "prime_frames", "gain_db", "fade_ms"}


def test_handwriting_is_written_as_pictures_and_listed(ink: ShardSet, ink_shards: Path, tmp_path: Path) -> None:
    place = saved(untrained(ink, "vrnn-gauss"), tmp_path / "run")
    flags = ["--mode", "reconstruction", "--shards", ink_shards, "--count", 2, "--split", "train"]
    done = bench("generate", place, "--out", "g", *flags, cwd=tmp_path)
    assert done.returncode == 0
    assert "reconstruction-1.json: reconstruction" in done.stderr
    assert "g: 4 samples" in done.stderr
    names = {path.name for path in (tmp_path / "g").iterdir()}
    assert names >= {"real-1.svg", "real-1.png", "reconstruction-0.svg", "reconstruction-0.png", "samples.json"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode", "continuation"], "--mode continuation needs real sequences; add --shards"),
        (["--mode", "reconstruction", "--shards", "SHARDS"], "rnn-gauss has no latent"),
        (["--temperature", "0"], "temperature: expected a positive finite number"),
        (["--temperature", "nan"], "temperature: expected a positive finite number"),
        (["--count", "0"], "--count 0: must be 1 or more"),
        (["--mode", "continuation", "--shards", "nowhere"], "holds no manifest.json"),
    ],
)
def test_wrong_requests_exit_2_with_one_line(
    flags: list[str], message: str, ink: ShardSet, ink_shards: Path, tmp_path: Path
) -> None:
    place = saved(untrained(ink, "rnn-gauss"), tmp_path / "run")
    given = [str(ink_shards) if flag == "SHARDS" else flag for flag in flags]
    assert_refused(bench("generate", place, "--out", "g", *given, cwd=tmp_path), message)
    assert not (tmp_path / "g").exists()


def test_non_finite_samples_exit_1_with_one_line(speech: ShardSet, tmp_path: Path) -> None:
    checkpoint = untrained(speech, "rnn-gauss")
    endless = {name: value * math.inf for name, value in checkpoint.weights.items()}
    place = saved(replace(checkpoint, weights=endless), tmp_path / "run")
    done = bench("generate", place, "--out", "g", cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "diverges on its own samples" in done.stderr
