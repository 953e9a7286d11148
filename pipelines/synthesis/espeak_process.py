"""The speech process: espeak-ng behind a line protocol. It runs as a script; no module imports it.

espeak-ng is under the GPL. It is loaded only here, in a process of its own, and the library talks to it through pipes.
The shared library and its data come from the `espeakng-loader` wheel, which is located and not imported. This file
needs the standard library alone.

The protocol has one JSON object in each line. First, the process writes `{"sample_rate": 22050, "version": "1.52.0"}`.
For each request `{"text", "voice", "words_per_minute", "pitch", "pitch_range", "seed"}` it writes one reply:

    {"pcm": base64 of 16-bit little-endian samples}

A reply `{"error": "..."}` gives the reason of a failure and is the last one. The process ends when its input ends.

Two runs with the same requests in the same order give the same bytes, because each request seeds espeak-ng's noise
source (by default it uses the clock). The order matters: the synthesiser carries state from one request to the next.
"""

import base64
import ctypes
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

__all__: list[str] = []

# Names and values of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_RATE, _PITCH, _RANGE = 1, 3, 4

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _Espeak:
    """The few functions of the wheel's library that are needed."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("espeakng_loader")
        if spec is None or spec.origin is None:
            raise OSError("the package espeakng-loader is not installed")
        folder = Path(spec.origin).parent
        names = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")
        path = next((folder / name for name in names if (folder / name).exists()), None)
        if path is None:
            raise OSError(f"no espeak-ng library in {folder}")
        self._library = ctypes.CDLL(str(path))
        self._pcm = bytearray()
        self._callback = _Callback(self._receive)  # ctypes holds no reference to it
        self.sample_rate: int = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(folder), _INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise OSError(f"espeak-ng does not start with the data in {folder}")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.version: str = self._library.espeak_Info(None).decode()

    def speak(self, request: dict[str, Any]) -> dict[str, str]:
        """Synthesise one sentence."""
        self._pcm.clear()
        library = self._library
        if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
            raise OSError(f"espeak-ng has no voice {request['voice']}")
        library.espeak_ng_SetRandSeed(ctypes.c_long(request["seed"]))
        for parameter, key in ((_RATE, "words_per_minute"), (_PITCH, "pitch"), (_RANGE, "pitch_range")):
            library.espeak_SetParameter(parameter, request[key], 0)
        text = request["text"].encode()
        status = library.espeak_Synth(text, len(text) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        if status != 0:
            raise OSError(f"espeak-ng fails with status {status}")
        return {"pcm": base64.b64encode(self._pcm).decode()}

    def _receive(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._pcm += ctypes.string_at(samples, 2 * count)
        return 0


def _serve() -> None:
    # The protocol has the real stdout to itself: everything that espeak-ng writes goes to stderr.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        espeak = _Espeak()
        reply({"sample_rate": espeak.sample_rate, "version": espeak.version})
        for line in sys.stdin:
            reply(espeak.speak(json.loads(line)))
    except OSError as error:
        reply({"error": str(error)})


if __name__ == "__main__":
    _serve()
