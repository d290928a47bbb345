"""What travels between a worker and the process that writes the SQLite file.

A **frame** is four octets of length and one value in `marshal`'s form: both ends are the same program, under the same user, and
nothing else is as quick. The writer speaks first: a `Greeting`. Then the worker sends `(registrations, units, announcing)` and the
writer `(outcomes, announcements, batch, failed)`:

- A registration gives a statement its number, which is good for this connection until it is given again. A unit is a tuple of
  (number, values). `announcing` holds the announcements of those units that have some, by their place in the frame.
- Outcomes stand in the order in which the units came, over all frames. `announcements` are of all workers. `batch` is told to one
  of the workers whose units it held: how many units it took, how many seconds it waited for the disk. `failed`: it was not written.

Functions of a `Modify` travel by name, and only module-level ones of packages that both ends were told.
"""

import importlib
import marshal
import struct
import sys
from types import FunctionType
from typing import Any, Final

from wardgate import errors
from wardgate.errors import MessageError, StorageError, WardgateError
from wardgate.storage.port import MAX_UNIT_BYTES, Committed, ModifyFunction, Refused
from wardgate.storage.shapes import shape_of
from wardgate.storage.statements import Statement

# Whose functions the writer runs.
PACKAGES: Final = ("wardgate",)
# The values of a unit, and something for the statements that it may have to register.
MAX_FRAME_BYTES: Final = MAX_UNIT_BYTES + 2**20
# More numbers than any worker gives: it begins anew long before.
MAX_STATEMENTS: Final = 16_384
_LENGTH: Final = struct.Struct("!I")
# The later forms of `marshal` look for each value whether it stood there before, for longer than it takes to write it again.
_FORM: Final = 2
_ERRORS: Final = {name: each for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, WardgateError)}

Greeting = tuple[str, int]
Registration = tuple[int, int, str, str, str, bool, str]
WireOutcome = tuple[Any, ...] | list[Any]


class FrameTooLarge(StorageError):
    """More than one frame takes."""


def frame(content: Any) -> bytes:
    """One frame. Raises FrameTooLarge, and ValueError for what is not plain data."""
    payload = marshal.dumps(content, _FORM)
    if len(payload) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"a unit holds at most {MAX_UNIT_BYTES} bytes")
    return _LENGTH.pack(len(payload)) + payload


class Frames:
    """Puts frames together from what a stream socket gives."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes | memoryview) -> list[Any]:
        """What is complete by now; `data` is not kept. Raises MessageError for what is no frame."""
        if not self._pending and len(data) >= _LENGTH.size and len(data) == _LENGTH.size + _LENGTH.unpack_from(data)[0]:
            return [_value(data[_LENGTH.size :])]  # as nearly always: one whole frame
        self._pending += data
        found: list[Any] = []
        start = 0
        while len(self._pending) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._pending, start)
            if length > MAX_FRAME_BYTES:
                raise MessageError(f"a frame of {length} bytes, where at most {MAX_FRAME_BYTES} are taken")
            end = start + _LENGTH.size + length
            if end > len(self._pending):
                break
            found.append(_value(bytes(self._pending[start + _LENGTH.size : end])))
            start = end
        del self._pending[:start]
        return found


def _value(payload: bytes | memoryview) -> Any:
    try:
        return marshal.loads(payload)  # noqa: S302 - from a process of the same user and program, checked when it connected
    except (EOFError, ValueError, TypeError, MemoryError) as error:
        raise MessageError(f"a frame that does not hold a value: {error}") from error


# --- statements ------------------------------------------------------------------------------------------------------


def registration(number: int, statement: Statement) -> Registration:
    """What the writer has to know of a statement."""
    function = function_name(statement.function) if statement.function is not None else ""
    table = str.__str__(statement.shape.name)  # SQLAlchemy's names are more than text
    return number, statement.kind, table, statement.sql, statement.write_sql, statement.writes, function


def registered(given: Registration, packages: tuple[str, ...]) -> tuple[int, Statement]:
    """The number and the statement. Raises MessageError for what cannot be one."""
    try:
        number, kind, table, sql, write_sql, writes, name = given
        if type(number) is not int or not 0 <= number < MAX_STATEMENTS:
            raise MessageError("a statement with a number that no worker gives")
        function = named_function(name, packages) if name else None
        return number, Statement(kind, shape_of(table), sql, write_sql=write_sql, writes=writes, function=function)
    except (TypeError, ValueError, AttributeError, ImportError, StorageError) as error:
        raise MessageError(f"a statement that cannot be registered: {error}") from error


def function_name(function: ModifyFunction) -> str:
    """The name by which another process finds a function."""
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"


def check_function(function: ModifyFunction, packages: tuple[str, ...]) -> None:
    """Raises StorageError when the writer would not find it, or would not run it."""
    name = function_name(function)
    module = sys.modules.get(name.partition(":")[0])
    if not _is_allowed(name, packages) or vars(module).get(name.partition(":")[2]) is not function:
        raise StorageError(f"the function {name} of a Modify is not at the level of a module of {', '.join(packages)}")


def named_function(name: str, packages: tuple[str, ...]) -> ModifyFunction:
    """The function with this name. Raises StorageError when it is none that the writer runs, ImportError when it is not there."""
    if not _is_allowed(name, packages):
        raise StorageError(f"{name} is no function of {', '.join(packages)}")
    module, _, own_name = name.partition(":")
    found = vars(importlib.import_module(module)).get(own_name)
    if not isinstance(found, FunctionType) or found.__module__ != module:
        raise StorageError(f"{name} is not a function of that module")
    return found


def _is_allowed(name: str, packages: tuple[str, ...]) -> bool:
    module, _, own_name = name.partition(":")
    return own_name.isidentifier() and module.partition(".")[0] in packages


# --- outcomes --------------------------------------------------------------------------------------------------------


def wire_outcome(outcome: Committed | Refused | WardgateError) -> WireOutcome:
    """An outcome as plain data: the results, or position and reason, or class, message and code."""
    if type(outcome) is Committed:
        return outcome.results
    if isinstance(outcome, Refused):
        return [outcome.position, outcome.reason]
    error = outcome if isinstance(outcome, WardgateError) else StorageError("an outcome of no kind")
    return [type(error).__name__, error.message, error.code]


def outcome_of(wired: WireOutcome) -> Committed | Refused | WardgateError:
    """The outcome again. Raises ValueError for what is none."""
    if type(wired) is tuple:
        return Committed(wired)
    if len(wired) == 2:
        return Refused(wired[0], wired[1])
    name, message, code = wired
    return _ERRORS.get(name, StorageError)(message, code)
