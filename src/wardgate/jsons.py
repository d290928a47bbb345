"""JSON for rows: compact text, in one place, so that every room writes and reads it alike."""

from typing import Any

import orjson


def dumps(value: object) -> str:
    """Compact JSON text. Keys are text; what is no JSON value (an enum, a date) becomes its text."""
    return orjson.dumps(value, default=str).decode()


def loads(text: str | bytes) -> Any:
    """The value of JSON text. Raises ValueError for anything else."""
    return orjson.loads(text)
