import io
import math

import numpy as np
import soundfile

from benchmarks.trials.codec_baselines import flac
from pipelines.batches.protocol import find_protocol
from pipelines.batches.roles import split_rows
from pipelines.shards.read import ShardSet


def test_flac_codes_the_scored_samples_of_every_sequence(speech: ShardSet) -> None:
    protocol = find_protocol("clean", "speech", "timit")
    table = flac(speech, protocol, "test")
    rows = split_rows(speech, protocol, ("test",))
    assert sorted(table["id"]) == sorted(speech.index["id"].iloc[rows])
    for row in rows:
        entry = table.set_index("id").loc[speech.index["id"].iloc[row]]
        signal = np.asarray(speech.signal(int(row)))[: int(entry["samples"])]
        assert len(signal) == entry["samples"] == 200 * entry["frames"]
        stream = io.BytesIO()
        soundfile.write(stream, signal, 16000, format="FLAC", subtype="PCM_16", compression_level=1.0)
        bits = -entry["nats"] / math.log(2)
        assert 0 < 8 * len(stream.getvalue()) - bits < 8 * 10_000
        assert bits % 8 < 1e-6 or bits % 8 > 8 - 1e-6
        assert bits < 16 * len(signal) + 8 * 200


def test_noise_costs_its_bits_and_silence_next_to_none(speech: ShardSet, monkeypatch) -> None:
    protocol = find_protocol("clean", "speech", "timit")
    noise = np.random.default_rng(0).integers(-32768, 32768, size=4000).astype(np.int16)
    for signal, low, high in ((noise, 15.9, 16.3), (np.zeros(4000, dtype=np.int16), 0.0, 0.2)):
        monkeypatch.setattr("pipelines.batches.frames.FrameSource.signal", lambda _self, _position, s=signal: s)
        table = flac(speech, protocol, "test").assign(samples=4000)
        assert low <= -table["nats"].mean() / math.log(2) / 4000 <= high
