"""What becomes of the lines of an export before they are written: nothing, pseudonyms, CEF, or messages for a syslog receiver."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from wardgate import __version__
from wardgate.audit import syslog
from wardgate.audit.cef import cef_line, severity
from wardgate.audit.export import EVENT, HEAD, OPENING
from wardgate.audit.pseudonyms import Pseudonyms
from wardgate.jsons import dumps, loads

_WARNING_FROM: Final = 5
_HEAD_KIND: Final = "audit:head:signed"
_OPENING_KIND: Final = "audit:export:begun"


class Form(StrEnum):
    """How an event is written."""

    JSONL = "jsonl"
    CEF = "cef"


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be, with what its syslog header needs."""

    at_ms: int | None
    kind: str
    text: str


Shape = Callable[[str], Iterator[Line]]


def shaped(form: Form, pseudonyms: Pseudonyms | None = None) -> Shape:
    """The function that turns lines of an export into lines of this form. `pseudonyms`: in place of who it was."""
    shape = _as_cef if form is Form.CEF else _as_they_are
    return shape if pseudonyms is None else lambda text: shape(_pseudonymised(pseudonyms, text))


def written(shape: Shape, text: str) -> str:
    """Lines as they stand in a file."""
    return "".join(line.text + "\n" for line in shape(text))


def messages(shape: Shape, text: str, host: str) -> list[bytes]:
    """Lines as syslog messages in their frames."""
    return [syslog.frame(syslog.message(line.at_ms, host, line.kind, _weight(line.kind), line.text)) for line in shape(text)]


def _weight(kind: str) -> int:
    return syslog.WARNING if severity(kind) >= _WARNING_FROM else syslog.INFORMATIONAL


def _rows(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        if line:
            yield loads(line)


def _pseudonymised(pseudonyms: Pseudonyms, text: str) -> str:
    """The opening and the events; a signed head would tie them to the original trail."""
    told: list[str] = []
    for row in _rows(text):
        if row["type"] == OPENING:
            told.append(dumps(pseudonyms.opening()))
        elif row["type"] == EVENT:
            told.append(dumps(pseudonyms.event(row)))
    return "\n".join(told)


def _as_they_are(text: str) -> Iterator[Line]:
    for row in _rows(text):
        kind = row["kind"] if row["type"] == EVENT else _HEAD_KIND if row["type"] == HEAD else _OPENING_KIND
        yield Line(row.get("created_at"), str(kind), dumps(row))


def _as_cef(text: str) -> Iterator[Line]:
    """Events only: a signed head means nothing without the digest that CEF does not carry."""
    for row in _rows(text):
        if row["type"] == EVENT:
            yield Line(row["created_at"], str(row["kind"]), cef_line(row, __version__))
