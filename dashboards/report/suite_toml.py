"""Writes a study's suite as TOML, so that it can be run again."""

import json
import math
from collections.abc import Mapping
from typing import Any

from dashboards.errors import ReportError

__all__ = ["suite_toml"]


def suite_toml(suite: Mapping[str, Any]) -> str:
    """The suite as TOML. A null is left out, because TOML has none.

    Args:
        suite: the suite as JSON values.

    Raises:
        ReportError: a value cannot be written as TOML.
    """
    plain = {key: value for key, value in suite.items() if value is not None}
    tables = {key: value for key, value in plain.items() if isinstance(value, Mapping)}
    # TOML needs plain values first: after a table header they would belong to that table.
    arrays = {key: value for key, value in plain.items() if _is_tables(value)}
    lines = _pairs({key: value for key, value in plain.items() if key not in tables and key not in arrays})
    for key, value in tables.items():
        lines += ["", f"[{_key(key)}]", *_pairs(value)]
    for key, members in arrays.items():
        for member in members:
            lines += ["", f"[[{_key(key)}]]", *_pairs(member)]
    return "\n".join(lines) + "\n"


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(member, Mapping) for member in value)


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _string(key)


def _string(text: str) -> str:
    """TOML has the escapes of JSON, and must also escape DEL, which JSON does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value)
        case str():
            return _string(value)
        case list():
            return f"[{', '.join(_value(member) for member in value if member is not None)}]"
        case Mapping():
            return f"{{ {', '.join(_pairs(value))} }}" if _pairs(value) else "{}"
    raise ReportError(f"study.json: suite: {value!r} is not a valid value; run the study again")
