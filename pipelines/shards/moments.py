"""Exact first and second moments of integer signals.

Sums of integers are exact and do not depend on the order, so one worker and a thousand workers give the same
normalisation to the last bit. The mean and the standard deviation are rounded once, at the end.
"""

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipelines.signals import Ink, Signal

__all__ = ["Moments", "signal_moments"]


class Moments(BaseModel):
    """The count of values, and the sum and the sum of squares of each channel.

    Speech has one channel, the samples. Pen has two: the offsets in x and in y between successive points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    sums: tuple[int, ...]
    sums_of_squares: tuple[int, ...]

    @classmethod
    def total(cls, parts: Iterable["Moments"], channels: int) -> "Moments":
        """The moments of all `parts` together."""
        count, sums, squares = 0, [0] * channels, [0] * channels
        for part in parts:
            count += part.count
            sums = [a + b for a, b in zip(sums, part.sums, strict=True)]
            squares = [a + b for a, b in zip(squares, part.sums_of_squares, strict=True)]
        return cls(count=count, sums=tuple(sums), sums_of_squares=tuple(squares))

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel; nan if the count is 0."""
        return tuple(float(Fraction(value, self.count)) if self.count else math.nan for value in self.sums)

    @property
    def std(self) -> tuple[float, ...]:
        """The population standard deviation of each channel; nan if the count is 0."""
        if not self.count:
            return (math.nan,) * len(self.sums)
        return tuple(
            math.sqrt(Fraction(self.count * square - value * value, self.count**2))
            for value, square in zip(self.sums, self.sums_of_squares, strict=True)
        )


def signal_moments(signal: Signal) -> Moments:
    """The moments of one signal."""
    channels = [np.diff(signal.x), np.diff(signal.y)] if isinstance(signal, Ink) else [signal]
    # Squares of 16-bit samples overflow 32 bits when they are added up.
    wide = [channel.astype(np.int64) for channel in channels]
    return Moments(
        count=len(wide[0]),
        sums=tuple(int(channel.sum()) for channel in wide),
        sums_of_squares=tuple(int(np.dot(channel, channel)) for channel in wide),
    )
