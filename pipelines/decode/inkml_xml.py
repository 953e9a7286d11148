"""W3C InkML: `<trace>` elements in document order; each is a series of points with values for the channels.

Recommendation of 20 September 2011, sections 3.1 (traceFormat) and 3.2 (trace): https://www.w3.org/TR/InkML

Supported: traces within traceGroups, any order of the regular channels, difference modifiers, integers, decimals,
exponents and hexadecimal numbers. Ignored: traces of type `penUp` (the pen hovers), traces within `<definitions>` (they
are only referred to), all channels but X, Y and T, and mappings between coordinate systems (so y is as recorded: it
grows downward unless the device differs). Rejected: trace formats with different channels, a stroke cut into several
traces, and missing or repeated (`?`, `*`) values of X, Y or T.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

import numpy as np

from pipelines.decode.points import Number, make_ink, shorten, to_centiseconds, to_coordinates
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
    """Collects the traces and the trace formats of a document, and decodes them at its end."""

    ROOTS = ("ink", f"{_NAMESPACE}ink")

    def __init__(self) -> None:
        self._traces: list[list[str]] = []
        self._formats: list[dict[str, str]] = []
        self._inside: list[str] = []
        self._in_trace = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Handle the start of an element; elements of other namespaces are ignored."""
        local = name.removeprefix(_NAMESPACE)
        self._inside.append(local)
        if local == "traceFormat":
            self._formats.append({})
        elif local == "channel" and self._formats and "intermittentChannels" not in self._inside[-2:]:
            channel = attributes.get("name", "")
            if channel in self._formats[-1]:
                raise RejectedSourceError("bad_point", f"the trace format has two channels called {shorten(channel)!r}")
            self._formats[-1][channel] = attributes.get("units", attributes.get("unit", ""))
        elif local == "trace" and "definitions" not in self._inside and attributes.get("type") != "penUp":
            if "continuation" in attributes:
                raise RejectedSourceError("unsupported_ink", "a stroke is cut into several traces (continuation)")
            self._in_trace = True
            self._traces.append([])

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        self._inside.pop()
        self._in_trace = self._in_trace and name.removeprefix(_NAMESPACE) != "trace"

    def text(self, text: str) -> None:
        """Collect the text of a trace, which may come in pieces."""
        if self._in_trace:
            self._traces[-1].append(text)

    def ink(self, scale: int) -> Ink:
        """The points of all traces.

        Raises:
            RejectedSourceError: there are none, or their coordinates are not integers.
        """
        channels = self._channels()
        traces = [_decode_trace("".join(trace), list(channels)) for trace in self._traces]
        values = {name: [value for trace in traces for value in trace.get(name, ())] for name in "XYT"}
        x, y = (to_coordinates(values[name], name, scale) for name in "XY")
        times = np.zeros(len(x), "int64")
        if "T" in channels:
            unit = channels["T"] or "ms"
            if unit not in _UNITS:
                raise RejectedSourceError("bad_point", f"the unit of T is {shorten(unit)!r}, neither s nor ms")
            times = to_centiseconds(values["T"], _UNITS[unit])
        return make_ink(x, y, times, [len(trace["X"]) for trace in traces])

    def _channels(self) -> dict[str, str]:
        """The regular channels in their order, with their units."""
        formats = [channels for channels in self._formats if channels]
        if any(list(channels.items()) != list(formats[0].items()) for channels in formats):
            raise RejectedSourceError("unsupported_ink", "the document has trace formats with different channels")
        channels = formats[0] if formats else {"X": "", "Y": ""}
        if not {"X", "Y"} <= channels.keys():
            raise RejectedSourceError(
                "bad_point", f"the trace format has no channels X and Y, only {shorten(', '.join(channels))}"
            )
        return channels


def _decode_trace(text: str, channels: list[str]) -> dict[str, list[Number]]:
    """The values of X, Y and T for each point; a channel that the trace lacks has no entry."""
    wanted = {name: (channels.index(name), _Channel(name)) for name in "XYT" if name in channels}
    decoded: dict[str, list[Number]] = {name: [] for name in wanted}
    for point in _points(text):
        if len(point) < len(channels):
            raise RejectedSourceError("bad_point", f"a point has {len(point)} values for {len(channels)} channels")
        for name, (index, channel) in wanted.items():
            decoded[name].append(channel.next(*point[index]))
    return decoded


def _points(text: str) -> Iterator[list[tuple[str, str, str, str]]]:
    """The values of each point as (modifier, sign, number, other); the last point may end in a comma."""
    if not text.strip():
        return
    for point in text.rstrip().removesuffix(",").split(","):
        if not _POINT.fullmatch(point.strip()):
            raise RejectedSourceError("bad_point", f"{shorten(point.strip())!r} is not a point")
        yield _VALUE.findall(point.strip())


class _Channel:
    """Turns the values of one channel in one trace into positions; a value may be a first or second difference."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._order = _EXPLICIT
        self._position: Number | None = None
        self._velocity: Number = 0

    def next(self, modifier: str, sign: str, number: str, other: str) -> Number:
        """The position that the next value denotes."""
        if other:
            raise RejectedSourceError("bad_point", f"{self._name} is {other!r}, not a number")
        # A modifier holds for all further values of the channel, up to the next modifier.
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
