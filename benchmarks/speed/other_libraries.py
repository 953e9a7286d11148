"""The same work in Hugging Face `datasets` and in lhotse, each as its own documentation recommends.

Both fork, which a process that runs Ray should not. So each run is a process of its own, which reports the time of its
work without its imports.

    python -m benchmarks.speed.other_libraries datasets|lhotse RAW OUT WORKERS
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

from benchmarks.speed.floor import SAMPLE_RATE, decode_plainly, sound_files, use_one_thread
from benchmarks.speed.timing import Spent, Stopwatch, Subject

__all__ = ["LIBRARIES", "NOTES", "LibraryFailedError", "prepare_with"]

_LIMIT_SECONDS = 900
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "LHOTSE_AUDIO_BACKEND": "LibsndfileBackend",
    "OMP_NUM_THREADS": "1",
}
"""For SPHERE, lhotse would use a program that is not on every machine; libsndfile reads it."""

NOTES = {
    "datasets": "map with soundfile and torchaudio in it: its own Audio decodes through torchcodec and FFmpeg",
    "lhotse": "to_shar, FLAC; of two channels the first alone (mixed cuts cannot be handed to its jobs)",
}
"""How each of them is used here."""


class LibraryFailedError(Exception):
    """A library cannot read a format on this machine; the message says why."""


def prepare_with(name: str, raw: Path, workers: int) -> Subject:
    """A subject that prepares sound files with another library.

    Args:
        name: a key of `LIBRARIES`.
        raw: directory of the sound files.
        workers: number of its processes.
    """

    def run() -> Spent:
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "benchmarks.speed.other_libraries", name, str(raw), out, str(workers)]
            environment = os.environ | _SETTINGS | {"HF_HOME": str(Path(out) / "home")}
            done = subprocess.run(  # noqa: S603 (this very module)
                command, env=environment, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
            )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise LibraryFailedError(f"{name}: {lines[-1][:300] if lines else 'no message'}")
        return Spent(**json.loads(done.stdout.splitlines()[-1]))

    return run


def _datasets(raw: Path, out: Path, workers: int) -> None:
    """A data set of paths, `map` with soundfile and torchaudio, `to_parquet`."""
    import datasets  # noqa: PLC0415

    paths = datasets.Dataset.from_dict({"path": [str(file) for file in sound_files(raw)]})
    decoded = paths.map(
        lambda row: {"pcm": decode_plainly(Path(row["path"]))},
        num_proc=workers,
        remove_columns=["path"],
        features=datasets.Features({"pcm": datasets.List(datasets.Value("int16"))}),
        cache_file_name=str(out / "cache.arrow"),
        writer_batch_size=100,
    )
    decoded.to_parquet(str(out / "all.parquet"), batch_size=100)


def _lhotse(raw: Path, out: Path, workers: int) -> None:
    """Recordings as cuts, resampled, `to_shar` with FLAC."""
    from lhotse import CutSet, Recording  # noqa: PLC0415

    whole = (_mono(Recording.from_file(file).to_cut()) for file in sound_files(raw))
    cuts = CutSet.from_cuts(cut.resample(SAMPLE_RATE) for cut in whole)
    size = max(1, len(cuts) // (8 * workers))
    (out / "shar").mkdir()
    cuts.to_shar(out / "shar", fields={"recording": "flac"}, shard_size=size, num_jobs=workers)


def _mono(cut: Any) -> Any:  # noqa: ANN401 (a cut of one channel, or of several, which is another class)
    """The first channel: lhotse mixes in memory, and such cuts cannot be passed to the jobs of `to_shar`."""
    return cut if cut.num_channels == 1 else cut.to_mono()[0]


LIBRARIES: dict[str, Callable[[Path, Path, int], None]] = {"datasets": _datasets, "lhotse": _lhotse}


if __name__ == "__main__":
    library, raw, out, workers = sys.argv[1:]
    use_one_thread()
    __import__(library)
    watch = Stopwatch()
    LIBRARIES[library](Path(raw), Path(out), int(workers))
    sys.stdout.write(json.dumps(asdict(watch.read())) + "\n")
