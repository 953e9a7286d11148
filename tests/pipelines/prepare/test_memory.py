"""Memory does not depend on a file's length: one worker decodes ten hours of sound, and a decompression bomb."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

RATE, HOURS = 22050, 10
ALLOWED = 500 * 2**20
SCRIPT = """
import json, resource, sys
from tests.conftest import prepare_here
from pathlib import Path
raw, out = map(Path, sys.argv[1:])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = prepare_here("audio_folder", raw, out)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lengths = {name: split.length for name, split in done.manifest.splits.items()}
print(json.dumps({"grown": (after - before) * 1024, "lengths": lengths, "rejects": done.manifest.rejects}))
"""


def sparse_wave(path: Path, seconds: int) -> int:
    """A mono 16-bit WAV of silence, which takes no room on the disk; returns its bytes of sound."""
    size = seconds * RATE * 2
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * 2, 2, 16)
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<I", 16) + form
    with path.open("wb") as file:
        file.write(header + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    return size


@pytest.mark.slow
def test_ten_hours_of_sound_take_no_more_memory_than_an_hour_would(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    size = sparse_wave(raw / "long.wav", HOURS * 3600)
    assert size > 3 * ALLOWED
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(raw), str(out)],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["rejects"] == {}
    assert result["lengths"] == {"train": HOURS * 3600 * 16000}
    assert result["grown"] < ALLOWED
    index = pq.read_table(out / "index.parquet", columns=["id", "offset", "length"]).to_pylist()
    assert len(index) == HOURS * 12
    assert [row["offset"] for row in index] == [5 * 60 * 16000 * part for part in range(HOURS * 12)]
    shard = pq.ParquetFile(next(out.glob("train-*.parquet"))).metadata
    largest = max(shard.row_group(group).total_byte_size for group in range(shard.num_row_groups))
    assert largest < 40 * 2**20
