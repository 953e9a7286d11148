"""W3C InkML: `<trace>` elements in document order, each a run of points with their channels' values.

Recommendation of 20 September 2011, sections 3.1 (traceFormat) and 3.2 (trace): https://www.w3.org/TR/InkML

Read: traces within traceGroups, the order of the regular channels, the difference modifiers, integers, decimals,
exponents and hexadecimal numbers. Left out: traces of type `penUp`, which hover; traces within `<definitions>`, which
are there to be referred to; every channel but X, Y and T; mappings between coordinate systems, so that y is as
recorded (it grows downward unless the device says otherwise). Refused rather than guessed at: two trace formats with
different channels, a stroke cut into several traces, and a missing or a repeated (`?`, `*`) value of X, Y or T.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

import numpy as np

from pipelines.decode.points import Number, assemble, shorten, to_centiseconds, to_coordinates
from pipelines.errors import RejectedSourceError
from pipelines.signals import Ink

__all__ = ["InkmlReader"]

_NAMESPACE = "http://www.w3.org/2003/InkML}"
_UNITS = {"s": 1, "ms": 1000}

_NUMBER = r"(?:#[0-9A-Fa-f]{1,16}|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?)"
_POINT = re.compile(rf"(?:\s*+(?:[!'\"]?\s*+-?\s*+{_NUMBER}|[TF*?]))++", re.ASCII)
_VALUE = re.compile(rf"\s*+(?:([!'\"]?)\s*+(-?)\s*+({_NUMBER})|([TF*?]))", re.ASCII)
_EXPLICIT, _VELOCITY, _ACCELERATION = "!", "'", '"'


class InkmlReader:
    """Gathers the traces and the trace formats of a document, and decodes them when it has ended."""

    ROOTS = ("ink", f"{_NAMESPACE}ink")

    def __init__(self) -> None:
        self._traces: list[list[str]] = []
        self._formats: list[dict[str, str]] = []
        self._inside: list[str] = []
        self._in_trace = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins; those of other namespaces mean nothing."""
        local = name.removeprefix(_NAMESPACE)
        self._inside.append(local)
        if local == "traceFormat":
            self._formats.append({})
        elif local == "channel" and self._formats and "intermittentChannels" not in self._inside[-2:]:
            self._add_channel(attributes)
        elif local == "trace" and "definitions" not in self._inside and attributes.get("type") != "penUp":
            if "continuation" in attributes:
                raise RejectedSourceError("unsupported_ink", "a stroke is cut into several traces (continuation)")
            self._in_trace = True
            self._traces.append([])

    def _add_channel(self, attributes: Mapping[str, str]) -> None:
        name = attributes.get("name", "")
        if name in self._formats[-1]:
            raise RejectedSourceError("bad_point", f"the trace format has two channels called {shorten(name)!r}")
        self._formats[-1][name] = attributes.get("units", attributes.get("unit", ""))

    def end(self, name: str) -> None:
        """An element ends."""
        self._inside.pop()
        self._in_trace = self._in_trace and name.removeprefix(_NAMESPACE) != "trace"

    def text(self, text: str) -> None:
        """Part of a trace's points, or nothing of interest."""
        if self._in_trace:
            self._traces[-1].append(text)

    def ink(self, scale: int) -> Ink:
        """The points of all traces.

        Raises:
            RejectedSourceError: there are none, or they cannot be read as integers.
        """
        channels = self._channels()
        traces = [_decode_trace("".join(trace), list(channels)) for trace in self._traces]
        values = {name: [value for trace in traces for value in trace.get(name, ())] for name in "XYT"}
        x, y = (to_coordinates(values[name], name, scale) for name in "XY")
        times = (
            to_centiseconds(values["T"], _per_second(channels["T"])) if "T" in channels else np.zeros(len(x), "int64")
        )
        return assemble(x, y, times, [len(trace["X"]) for trace in traces])

    def _channels(self) -> dict[str, str]:
        """The regular channels in order, with their units."""
        formats = [channels for channels in self._formats if channels]
        if any(list(channels.items()) != list(formats[0].items()) for channels in formats):
            raise RejectedSourceError("unsupported_ink", "the document has trace formats with different channels")
        channels = formats[0] if formats else {"X": "", "Y": ""}
        if not {"X", "Y"} <= channels.keys():
            raise RejectedSourceError(
                "bad_point", f"the trace format has no channels X and Y, only {shorten(', '.join(channels))}"
            )
        return channels


def _per_second(unit: str) -> int:
    if unit and unit not in _UNITS:
        raise RejectedSourceError("bad_point", f"the unit of T is {shorten(unit)!r}, neither s nor ms")
    return _UNITS[unit or "ms"]


def _decode_trace(text: str, channels: list[str]) -> dict[str, list[Number]]:
    """The values of X, Y and T, where the trace has them, point by point."""
    wanted = {name: (channels.index(name), _Channel(name)) for name in "XYT" if name in channels}
    decoded: dict[str, list[Number]] = {name: [] for name in wanted}
    for point in _points(text):
        if len(point) < len(channels):
            raise RejectedSourceError("bad_point", f"a point has {len(point)} values for {len(channels)} channels")
        for name, (index, channel) in wanted.items():
            decoded[name].append(channel.next(*point[index]))
    return decoded


def _points(text: str) -> Iterator[list[tuple[str, str, str, str]]]:
    """The values of each point as (modifier, sign, number, other); a comma after the last point is allowed."""
    if not text.strip():
        return
    for point in text.rstrip().removesuffix(",").split(","):
        if not _POINT.fullmatch(point.strip()):
            raise RejectedSourceError("bad_point", f"{shorten(point.strip())!r} is no point")
        yield _VALUE.findall(point.strip())


class _Channel:
    """Turns one channel's values of one trace into positions: as they are, or as first or second differences."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._order = _EXPLICIT
        self._position: Number | None = None
        self._velocity: Number = 0

    def next(self, modifier: str, sign: str, number: str, other: str) -> Number:
        """The position that the next value stands for."""
        if other:
            raise RejectedSourceError("bad_point", f"{self._name} is {other!r} where a number should stand")
        self._order = modifier or self._order
        value = -_number(number) if sign else _number(number)
        if self._order == _EXPLICIT:
            self._velocity = 0 if self._position is None else value - self._position
            self._position = value
            return value
        if self._position is None:
            raise RejectedSourceError("bad_point", f"the first {self._name} of a trace is a difference")
        self._velocity = value if self._order == _VELOCITY else self._velocity + value
        self._position += self._velocity
        return self._position


def _number(text: str) -> Number:
    if text.startswith("#"):
        return int(text[1:], 16)
    return int(text) if text.isdigit() and len(text) < 20 else Decimal(text)
