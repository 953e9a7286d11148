"""The two kinds of signal: sound as samples, and ink as pen points.

They are defined apart from the decoders, so that reading shards needs no decoding library.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Ink", "Kind", "Pcm", "Signal"]

Kind = Literal["speech", "pen"]
Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Ink:
    """The points of one line of writing or one drawing, `[N]` each.

    Attributes:
        x: int32, in the device's units, growing to the right.
        y: int32, growing downward.
        pen_up: bool, True at the last point of each stroke.
        time: int64, hundredths of a second by the device's clock; it may run backwards.
    """

    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    pen_up: npt.NDArray[np.bool_]
    time: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)


Signal = Pcm | Ink
