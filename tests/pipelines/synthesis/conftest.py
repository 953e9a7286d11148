"""One small corpus of each kind for all tests, and the same two again from another process."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.synthesis import synthesise_handwriting, synthesise_speech

SPEECH = {"train_speakers": 2, "test_speakers": 1, "seed": 5}
INK = {"train_forms": 3, "valid_forms": 1, "test_forms": 1, "seed": 5}

_PROGRAM = """
import sys
from pathlib import Path
from pipelines.synthesis import synthesise_handwriting, synthesise_speech
out = Path(sys.argv[1])
synthesise_speech(out / "speech", **{speech})
synthesise_handwriting(out / "ink", **{ink})
"""


@pytest.fixture(scope="session")
def speech_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("speech")
    assert synthesise_speech(out, **SPEECH) == 30
    return out


@pytest.fixture(scope="session")
def ink_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ink")
    assert synthesise_handwriting(out, **INK) == len(list(out.glob("lineStrokes/*/*/*.xml")))
    return out


@pytest.fixture(scope="session")
def other_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("other")
    program = _PROGRAM.format(speech=SPEECH, ink=INK)
    subprocess.run([sys.executable, "-c", program, str(out)], check=True, cwd=Path(__file__).parents[3])
    return out
