"""YAML in, plain values out: the core schema of YAML 1.2, with every size bounded.

YAML 1.1 reads `no` as false, `1:20` as a number and a date as an object; here only true, false, null and decimal numbers are
anything but text. A key that stands twice is refused, because the later one would win in silence. Aliases are expanded
under a budget, so that a few lines cannot grow to gigabytes.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from wardgate.errors import SettingsError

MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
MAX_UNITS: Final = 500_000
CHARS_PER_UNIT: Final = 16
MAX_DEPTH: Final = 40
# An application's metadata, with its certificates and a logo, is the longest text that anybody writes.
MAX_TEXT_CHARS: Final = 65_536

Plain = dict[str, "Plain"] | list["Plain"] | str | int | float | bool | None

LOADER = getattr(yaml, "CLoader", yaml.Loader)  # the loader is used for its parser only: events, never objects
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{0,18}(?:[eE][-+][0-9]{1,3})?")
_WORDS: Final[dict[str, Plain]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class YamlError(SettingsError):
    """The text is not what we read. `line` and `column` count from 1; 0 where there is no place to name."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {problem}" if line else problem)
        self.problem = problem
        self.line = line
        self.column = column


def read_yaml(text: str) -> Plain:
    """The one document in `text` as dicts with text keys, lists, text, numbers, booleans and None.

    Raises YamlError with line and column for bad syntax, a key that stands twice, a tag, a second document, and for anything
    beyond the limits. The message never shows the text itself, which may hold a secret.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_DOCUMENT_BYTES:
        raise YamlError(f"the document is larger than {MAX_DOCUMENT_BYTES // 1024 // 1024} MiB")
    try:
        return _Builder(yaml.parse(text, Loader=LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        raise YamlError(f"not YAML: {error.problem or error.context or 'cannot be read'}", *place) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise YamlError("not YAML: a character that YAML does not allow") from error


class _Builder:
    """Builds plain values from parser events, counting what it builds."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._left = MAX_UNITS
        self._anchors: dict[str, tuple[Plain, int]] = {}

    def document(self) -> Plain:
        self._expect(StreamStartEvent)
        event = next(self._events)
        if isinstance(event, StreamEndEvent):
            return None
        if not isinstance(event, DocumentStartEvent):
            raise _fault(event, "cannot be read")
        value = self._value(next(self._events), 0)
        self._expect(DocumentEndEvent)
        after = next(self._events)
        if not isinstance(after, StreamEndEvent):
            raise _fault(after, "a second document begins here; one file holds one document")
        return value

    def _expect(self, kind: type[Event]) -> None:
        event = next(self._events)
        if not isinstance(event, kind):
            raise _fault(event, "cannot be read")

    def _value(self, event: Any, depth: int) -> Plain:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise _fault(event, f"nested deeper than {MAX_DEPTH} levels")
        before = self._left
        self._spend(event, _cost(event))
        value = self._fresh(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, before - self._left)
        return value

    def _fresh(self, event: Any, depth: int) -> Plain:
        if isinstance(event, ScalarEvent):
            return _scalar(event)
        if event.tag not in (None, "!"):
            raise _fault(event, "tags are not allowed")
        if isinstance(event, SequenceStartEvent):
            return self._list(depth)
        if isinstance(event, MappingStartEvent):
            return self._mapping(depth)
        raise _fault(event, "cannot be read")

    def _list(self, depth: int) -> Plain:
        items: list[Plain] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, depth: int) -> Plain:
        items: dict[str, Plain] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise _fault(event, "a key must be a word")
            self._spend(event, _cost(event))
            if event.value in items:
                raise _fault(event, f"the key {event.value[:64]!r} stands here a second time")
            _bounded(event)
            items[event.value] = self._value(next(self._events), depth + 1)
        return items

    def _alias(self, event: Any) -> Plain:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise _fault(event, f"the alias *{event.anchor} has no anchor before it")
        self._spend(event, known[1])
        return known[0]

    def _spend(self, event: Event, units: int) -> None:
        self._left -= units
        if self._left < 0:
            raise _fault(event, "the document holds too much (what an alias stands for is counted each time)")


def _cost(event: Event) -> int:
    """One for a value, and one more for every sixteen characters of a text."""
    return 1 + (len(event.value) // CHARS_PER_UNIT if isinstance(event, ScalarEvent) else 0)


def _scalar(event: ScalarEvent) -> Plain:
    _bounded(event)
    text: str = event.value
    if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
        raise _fault(event, "tags are not allowed")
    if not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _bounded(event: ScalarEvent) -> None:
    if len(event.value) > MAX_TEXT_CHARS:
        raise _fault(event, f"a text is longer than {MAX_TEXT_CHARS} characters")


def _fault(event: Event, problem: str) -> YamlError:
    mark = event.start_mark
    return YamlError(problem, mark.line + 1, mark.column + 1) if mark is not None else YamlError(problem)
