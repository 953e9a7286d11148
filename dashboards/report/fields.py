"""JSON objects read strictly: a field is there, of its type and finite, or reading ends in one line that says where.

Every artifact that the page repeats is read through this, so that a gap is refused instead of being drawn.
"""

import math
from collections.abc import Iterable
from typing import Any, NoReturn

from dashboards.errors import ReportError

__all__ = ["Fields"]

Interval = tuple[float, float]
_SHOWN = 60


class Fields:
    """A JSON object that knows where it stands, so that each refusal can say so.

    Args:
        mapping: what should be an object.
        where: the artifact and the place in it.
        remedy: what to do about a fault.

    Raises:
        ReportError: here and in each reading: it is not as it should be.
    """

    def __init__(self, mapping: object, where: str, remedy: str = "run the comparison again") -> None:
        self._where = where
        self._remedy = remedy
        if not isinstance(mapping, dict):
            self._refuse("it", "an object", mapping)
        self._mapping: dict[str, Any] = mapping

    def _refuse(self, key: str, expected: str, value: object) -> NoReturn:
        found = repr(value)[:_SHOWN]
        raise ReportError(f"{self._where}: {key} must be {expected}, not {found}: {self._remedy}")

    def has(self, key: str) -> bool:
        """Whether there is a value that is not null."""
        return self._mapping.get(key) is not None

    def names(self) -> Iterable[str]:
        """The names of all fields, in their order."""
        return self._mapping.keys()

    def text(self, key: str) -> str:
        """A string."""
        value = self._mapping.get(key)
        if not isinstance(value, str):
            self._refuse(key, "text", value)
        return value

    def optional_text(self, key: str) -> str | None:
        """A string; None for null or an absent field."""
        return self.text(key) if self.has(key) else None

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """One of the given strings."""
        value = self.text(key)
        if value not in choices:
            self._refuse(key, " or ".join(choices), value)
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._mapping.get(key)
        if not isinstance(value, bool):
            self._refuse(key, "true or false", value)
        return value

    def count(self, key: str) -> int:
        """An integer from 0."""
        value = self._mapping.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._refuse(key, "a count", value)
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        return self._finite(key, self._mapping.get(key))

    def share(self, key: str) -> float:
        """A number from 0 to 1."""
        value = self.number(key)
        if not 0 <= value <= 1:
            self._refuse(key, "from 0 to 1", value)
        return value

    def optional_number(self, key: str) -> float | None:
        """A finite number; None for null or an absent field."""
        return self.number(key) if self.has(key) else None

    def optional_count(self, key: str) -> int | None:
        """An integer from 0; None for null or an absent field."""
        return self.count(key) if self.has(key) else None

    def optional_share(self, key: str) -> float | None:
        """A number from 0 to 1; None for null or an absent field."""
        return self.share(key) if self.has(key) else None

    def interval(self, key: str) -> Interval:
        """[low, high], both finite, or (-inf, inf) where nothing is known."""
        ends = self.items(key)
        if ends == [-math.inf, math.inf]:
            return -math.inf, math.inf
        finite = [self._finite(key, end) for end in ends]
        if len(finite) != 2 or finite[0] > finite[1]:
            self._refuse(key, "[low, high]", ends)
        return finite[0], finite[1]

    def optional_interval(self, key: str) -> Interval | None:
        """[low, high]; None for null, an absent field, or where nothing is known."""
        if not self.has(key):
            return None
        ends = self.interval(key)
        return ends if math.isfinite(ends[0]) else None

    def items(self, key: str) -> list[Any]:
        """A list of anything."""
        value = self._mapping.get(key)
        if not isinstance(value, list):
            self._refuse(key, "a list", value)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self.items(key)
        for value in values:
            if not isinstance(value, str):
                self._refuse(key, "a list of texts", value)
        return tuple(values)

    def pair(self, key: str, choices: tuple[str, ...]) -> tuple[str, str]:
        """Two of the given strings."""
        values = self.texts(key)
        if len(values) != 2 or not set(values) <= set(choices):
            self._refuse(key, f"two of {', '.join(choices)}", values)
        return values[0], values[1]

    def inner(self, key: str) -> "Fields":
        """An object in this one."""
        return Fields(self._mapping.get(key), f"{self._where}, {key}", self._remedy)

    def optional_inner(self, key: str) -> "Fields | None":
        """An object in this one; None for null or an absent field."""
        return self.inner(key) if self.has(key) else None

    def each(self, key: str, name: str, *, optional: bool = False) -> "list[Fields]":
        """The objects of a list; `name` is what one is called. An absent optional list is empty."""
        if optional and not self.has(key):
            return []
        return [Fields(item, f"{self._where}, {name} {i}", self._remedy) for i, item in enumerate(self.items(key))]

    def _finite(self, key: str, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            self._refuse(key, "a finite number", value)
        return float(value)
