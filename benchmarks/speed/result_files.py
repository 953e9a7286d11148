"""Where a benchmark's result goes, and the numbers that its command line takes."""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["positive", "positive_int", "write_json"]


def write_json(result: Mapping[str, Any], place: Path | None) -> None:
    """One JSON object, at `place` or else on stdout."""
    text = json.dumps(result, indent=2) + "\n"
    if place is None:
        sys.stdout.write(text)
    else:
        place.write_text(text)


def positive(text: str) -> float:
    """A number above 0, for argparse.

    Raises:
        ValueError, ArgumentTypeError: it is none.
    """
    if not 0 < (number := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return number


def positive_int(text: str) -> int:
    """A whole number above 0, for argparse.

    Raises:
        ValueError, ArgumentTypeError: it is none.
    """
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return number
