"""The same work in Hugging Face `datasets` and in lhotse, each as its own documentation has it done.

Both fork, which a process with a Ray in it should not: each run is a process of its own, which reports the seconds
that its work took, without its imports.

    python -m benchmarks.speed.rivals datasets|lhotse RAW OUT WORKERS
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.speed.clocks import Spent, Stopwatch
from benchmarks.speed.floor import SAMPLE_RATE, decode_plainly, sound_files, use_one_thread
from benchmarks.speed.pairing import Subject

__all__ = ["NOTES", "RIVALS", "RivalFailedError", "rival"]

_LIMIT_SECONDS = 900
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "LHOTSE_AUDIO_BACKEND": "LibsndfileBackend",
    "OMP_NUM_THREADS": "1",
}
"""lhotse's own choice for SPHERE is a program that is not on every machine; libsndfile reads it."""

NOTES = {
    "datasets": "map with soundfile and torchaudio in it: its own Audio decodes through torchcodec and FFmpeg",
    "lhotse": "to_shar, FLAC; of two channels the first alone (mixed cuts cannot be handed to its jobs)",
}
"""What each of them does here."""


class RivalFailedError(Exception):
    """A rival cannot do a form here; the message says why."""


def rival(name: str, raw: Path, workers: int) -> Subject:
    """A rival as a subject.

    Args:
        name: one of `RIVALS`.
        raw: where the sound files lie.
        workers: its processes.
    """

    def run() -> Spent:
        with tempfile.TemporaryDirectory() as out:
            return _in_own_process(name, raw, Path(out), workers)

    return run


def _in_own_process(name: str, raw: Path, out: Path, workers: int) -> Spent:
    command = [sys.executable, "-m", "benchmarks.speed.rivals", name, str(raw), str(out), str(workers)]
    environment = os.environ | _SETTINGS | {"HF_HOME": str(out / "home")}
    done = subprocess.run(  # noqa: S603 (this very module)
        command, env=environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
    )
    if done.returncode:
        raise RivalFailedError(f"{name}: {_last_line(done.stderr)}")
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"


def _datasets(raw: Path, out: Path, workers: int) -> None:
    """Paths, a map with soundfile and torchaudio in it, `to_parquet`."""
    import datasets  # noqa: PLC0415

    paths = datasets.Dataset.from_dict({"path": [str(file) for file in sound_files(raw)]})
    decoded = paths.map(
        _decoded,
        num_proc=workers,
        remove_columns=["path"],
        features=datasets.Features({"pcm": datasets.List(datasets.Value("int16"))}),
        cache_file_name=str(out / "cache.arrow"),
        writer_batch_size=100,
    )
    decoded.to_parquet(str(out / "all.parquet"), batch_size=100)


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    return {"pcm": decode_plainly(Path(row["path"]))}


def _lhotse(raw: Path, out: Path, workers: int) -> None:
    """Recordings, cuts, resampled, to Shar with FLAC in it."""
    from lhotse import CutSet, Recording  # noqa: PLC0415

    whole = (_mono(Recording.from_file(file).to_cut()) for file in sound_files(raw))
    cuts = CutSet.from_cuts(cut.resample(SAMPLE_RATE) for cut in whole)
    size = max(1, len(cuts) // (8 * workers))
    (out / "shar").mkdir()
    cuts.to_shar(out / "shar", fields={"recording": "flac"}, shard_size=size, num_jobs=workers)


def _mono(cut: Any) -> Any:  # noqa: ANN401 (a cut of one channel, or of several, which is another class)
    """The first channel: a mix is made at once, in memory, and such cuts cannot be handed to the jobs of `to_shar`."""
    return cut if cut.num_channels == 1 else cut.to_mono()[0]


RIVALS: dict[str, Callable[[Path, Path, int], None]] = {"datasets": _datasets, "lhotse": _lhotse}


def _main(name: str, raw: str, out: str, workers: str) -> None:
    use_one_thread()
    __import__(name)
    watch = Stopwatch()
    RIVALS[name](Path(raw), Path(out), int(workers))
    sys.stdout.write(json.dumps(asdict(watch.read())) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
