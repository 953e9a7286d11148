import json
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.samples import write_samples
from pipelines.shard_set import ShardSet
from pipelines.storage import Location
from tests.conftest import MakeSpec
from vrnn.training import load_checkpoint, train


def test_sound_samples_are_the_real_recordings_and_as_many_generated_ones(
    make_spec: MakeSpec,
    speech: ShardSet,
    tmp_path: Path,
) -> None:
    train(make_spec("rnn-gauss", "speech", max_epochs=1), Location(str(tmp_path / "run")))
    checkpoint = load_checkpoint(Location(str(tmp_path / "run")))
    for name in ("a", "b"):
        write_samples(checkpoint, speech, tmp_path / name, count=2, seed=3, frames=10)
    entries = json.loads((tmp_path / "a" / "samples.json").read_text())
    assert [entry["role"] for entry in entries] == ["real", "real", "generated", "generated"]
    for entry in entries:
        samples, rate = soundfile.read(tmp_path / "a" / entry["file"], dtype="int16")
        assert rate == 16000
        assert (tmp_path / "a" / entry["file"]).read_bytes() == (tmp_path / "b" / entry["file"]).read_bytes()
        if entry["role"] == "generated":
            assert len(samples) == 2000
        else:
            row = speech.index["id"].tolist().index(entry["caption"].removeprefix("real: "))
            np.testing.assert_array_equal(samples, np.asarray(speech.signal(row)))
