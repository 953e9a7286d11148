"""The client of the speech process; `espeak_process.py` says why speech needs a process of its own."""

import base64
import contextlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import InputError

__all__ = ["EspeakError", "EspeakProcess", "Utterance"]


class EspeakError(RuntimeError):
    """The speech engine failed."""


@dataclass(frozen=True)
class Utterance:
    """A sentence to speak, and how to speak it.

    Attributes:
        text: one sentence.
        voice: an espeak-ng voice and variant, such as `en-us+f3`.
        words_per_minute: speed, 80 to 450.
        pitch: pitch relative to the voice's own, 0 to 100.
        pitch_range: 0 (monotone) to 100.
        seed: seed of the noise source.
    """

    text: str
    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int
    seed: int


class EspeakProcess:
    """A running speech engine, as a context manager.

    Attributes:
        sample_rate: rate of the synthesised samples, in Hz.

    Raises:
        InputError: the `demo` extra is not installed.
        EspeakError: the engine fails to start or to speak.
    """

    def __init__(self) -> None:
        """Start the process and wait until it is ready."""
        if importlib.util.find_spec("espeakng_loader") is None:
            raise InputError("built-in speech needs espeak-ng: pip install 'vrnn-bench[demo]'")
        script = Path(__file__).with_name("espeak_process.py")
        # No outside input reaches this command line: it holds this interpreter and a script of this package.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", str(script)],  # -P: modules in the script's directory shadow no others
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C goes to the caller alone
        )
        self.sample_rate = int(self._read()["sample_rate"])

    def __enter__(self) -> Self:
        """Return the running engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def speak(self, utterance: Utterance) -> NDArray[np.int16]:
        """Synthesise one sentence: samples of shape (N,) at `sample_rate`.

        Raises:
            EspeakError: the voice does not exist, or the engine failed.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # reading the reply then gives the reason
            self._process.stdin.write(json.dumps(asdict(utterance)) + "\n")
            self._process.stdin.flush()
        return np.frombuffer(base64.b64decode(self._read()["pcm"]), dtype="<i2").astype(np.int16)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        reply = json.loads(line) if line else {"error": f"espeak-ng ended with status {self._process.wait()}"}
        if "error" in reply:
            raise EspeakError(reply["error"])
        return reply
