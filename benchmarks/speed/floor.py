"""The floor: the ten lines that a person would write instead of `prepare`, without checks, checksums or resuming.

Sound: soundfile to float32, mean of the channels, torchaudio's resampler with its defaults, int16, Parquet with its
defaults. Ink: one `int()` per attribute of an element tree.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

__all__ = [
    "SAMPLE_RATE",
    "decode_ink_plainly",
    "decode_plainly",
    "prepare_plainly",
    "prepare_plainly_on_all_cores",
    "sound_files",
    "use_one_thread",
]

SAMPLE_RATE = 16_000
_SCHEMA = pa.schema([("pcm", pa.list_(pa.int16()))])
_FILES_PER_BATCH = 8


def sound_files(root: Path) -> list[Path]:
    """The files in `root`, by name."""
    return sorted(root.iterdir())


def prepare_plainly(files: Sequence[Path], target: Path) -> None:
    """Decode sound files into one Parquet file, one row per file."""
    with pq.ParquetWriter(target, _SCHEMA) as writer:
        for start in range(0, len(files), _FILES_PER_BATCH):
            signals = [decode_plainly(file) for file in files[start : start + _FILES_PER_BATCH]]
            offsets = np.cumsum([0, *(len(signal) for signal in signals)], dtype=np.int32)
            lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(np.concatenate(signals)))
            writer.write_table(pa.table({"pcm": lists}, schema=_SCHEMA))


def prepare_plainly_on_all_cores(
    files: Sequence[Path], target: Path, pool: ProcessPoolExecutor, processes: int
) -> None:
    """The same in several processes, each with a part of the files and a Parquet file of its own."""
    parts = [(files[number::processes], target.with_suffix(f".{number}")) for number in range(processes)]
    for done in [pool.submit(prepare_plainly, *part) for part in parts]:
        done.result()


def use_one_thread() -> None:
    """Import torch and limit it to one thread, since a worker has one core."""
    import torch  # noqa: PLC0415
    import torchaudio  # noqa: F401, PLC0415

    torch.set_num_threads(1)


def decode_plainly(file: Path) -> npt.NDArray[np.int16]:
    """The samples of a sound file at 16 kHz."""
    import torch  # noqa: PLC0415
    from torchaudio.functional import resample  # noqa: PLC0415

    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = torch.from_numpy(samples).mean(dim=1)
    scaled = resample(mono, rate, SAMPLE_RATE) * 2**15
    return scaled.round().clamp(-(2**15), 2**15 - 1).to(torch.int16).numpy()


def decode_ink_plainly(content: bytes) -> dict[str, npt.NDArray[np.int64]]:
    """The points of an IAM-OnDB line: `x`, `y`, `time` and `pen_up`, `[N]` each."""
    x, y, time, pen_up = [], [], [], []
    for stroke in ElementTree.fromstring(content).iter("Stroke"):  # noqa: S314
        for point in stroke.iter("Point"):
            x.append(int(point.attrib["x"]))
            y.append(int(point.attrib["y"]))
            time.append(round(float(point.attrib["time"]) * 100))
            pen_up.append(0)
        pen_up[-1] = 1
    return {"x": np.array(x), "y": np.array(y), "time": np.array(time), "pen_up": np.array(pen_up)}
