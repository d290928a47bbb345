"""Conditions tried in Python on rows that are at hand, with the answers that SQL would give."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from wardgate.storage.port import Where
from wardgate.storage.shapes import TableShape, Values, check_where

Test = Callable[[Values], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def tests_of(shape: TableShape, where: Sequence[Where]) -> list[Test]:
    """One test of a whole row for each condition. Raises StorageError for a condition that cannot be meant."""
    return [_test(shape, item) for item in where]


def meets(values: Values, tests: Sequence[Test]) -> bool:
    """Whether a whole row meets every condition."""
    for test in tests:  # noqa: SIM110 - runs for every conditional write, and twice as quickly as a generator
        if not test(values):
            return False
    return True


def _test(shape: TableShape, where: Where) -> Test:
    wanted = check_where(shape, where)
    position = shape.names.index(where.column)
    if where.operator == "is_null":
        return lambda values: values[position] is None
    if where.operator == "not_null":
        return lambda values: values[position] is not None
    if where.operator == "in":
        return lambda values: values[position] in wanted
    compare, value = _COMPARE[where.operator], wanted[0]
    # A comparison with NULL never holds.
    return lambda values: values[position] is not None and compare(values[position], value)
