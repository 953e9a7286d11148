"""Put on PYTHONPATH by tests: sources that name a misdeed in their first samples commit it when they are decoded.

This stands for a codec with a fault: nothing but the process that decodes knows what happens.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

KILLER, SLEEPER, SLOW, ONCE = 1111, 2222, 3333, 4444
MARK = 77


def marked(misdeed: int, count: int = 2000) -> np.ndarray:
    """Samples that commit `misdeed`."""
    return np.array([MARK, misdeed, *([5] * count)], dtype=np.int16)


def _commit(misdeed: int) -> None:
    if misdeed == KILLER:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif misdeed == SLEEPER:
        time.sleep(3600)
    elif misdeed == SLOW:
        time.sleep(0.3)
    elif misdeed == ONCE:
        trace = Path(os.environ["SABOTEUR_TRACE"])
        if not trace.exists():
            trace.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def _install() -> None:
    import soundfile

    genuine = soundfile.SoundFile.read

    def read(self: soundfile.SoundFile, *arguments: Any, **named: Any) -> Any:
        block = genuine(self, *arguments, **named)
        if len(block) > 1 and block.dtype == np.int16 and block[0, 0] == MARK:
            _commit(int(block[1, 0]))
        return block

    soundfile.SoundFile.read = read


if os.environ.get("SABOTEUR"):
    _install()
