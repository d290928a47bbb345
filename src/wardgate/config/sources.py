"""The files that make a document: put together into one, and the place of a fault in them.

The lists of all files are joined in the order of the files; `codes` and the like stand in one file only. Where a thing stands
is looked up only when something is wrong with it, by reading its file a second time: a right document pays nothing for it.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml
from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

from wardgate.config.faults import Fault, place_of, unknown_key
from wardgate.config.reading import LOADER, YamlError, read_yaml

INCLUDE: Final = "include"
_PLACE: Final = re.compile(r"(\w+)\[(\d+)\](.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a document. `name` is how the operator calls it; empty for a text that has no name."""

    name: str
    text: str = field(repr=False)


class Joined:
    """The plain values of several files as those of one document, with what is wrong about the joining."""

    def __init__(self, sources: Sequence[Source], sections: Collection[str], lists: Collection[str]) -> None:
        self._sources = sources
        self._sections = sections
        self._lists = lists
        self._items: dict[str, list[tuple[int, int]]] = {}
        self._owners: dict[str, int] = {}
        self._local: list[tuple[int, Fault]] = []
        self.plain: dict[str, Any] = {}
        for number, source in enumerate(sources):
            self._join(number, source)

    def faults(self, found: Iterable[Fault]) -> list[Fault]:
        """What is wrong with the joining, and `found` (whose paths are those of the joined document), each with its place."""
        everything = [*self._local, *map(self._in_its_file, found)]
        wanted: dict[int, set[str]] = {}
        for number, fault in everything:
            if number >= 0 and fault.path and not fault.line:
                wanted.setdefault(number, set()).add(fault.path)
        marks = {number: locate(self._sources[number].text, paths) for number, paths in wanted.items()}
        return [self._placed(number, fault, marks) for number, fault in everything]

    def _placed(self, number: int, fault: Fault, marks: Mapping[int, Mapping[str, tuple[int, int]]]) -> Fault:
        if number < 0:
            # Such as a list that is missing: nowhere in the file, and in no file when there are several.
            return replace(fault, file=self._sources[0].name if len(self._sources) == 1 else "")
        line, column = (fault.line, fault.column) if fault.line else marks.get(number, {}).get(fault.path, (0, 0))
        return replace(fault, file=self._sources[number].name, line=line, column=column, other=self._other(fault.other))

    def _other(self, path: str) -> str:
        """The second place of a fault, as its reader finds it."""
        if not path:
            return ""
        number, fault = self._in_its_file(Fault(path, ""))
        if number < 0:
            return path
        line, column = locate(self._sources[number].text, {fault.path}).get(fault.path, (0, 0))
        where = place_of(self._sources[number].name, line, column).rstrip(": ")
        return f"{fault.path} ({where})" if where else fault.path

    def _in_its_file(self, fault: Fault) -> tuple[int, Fault]:
        """Which file a path of the joined document stands in, and the path there. -1: in none, or the only one does not say."""
        found = _PLACE.fullmatch(fault.path)
        if found is None:
            return self._owners.get(fault.path.partition(".")[0].partition("[")[0], -1), fault
        section, item, rest = found.groups()
        places = self._items.get(section, [])
        if int(item) >= len(places):
            return self._owners.get(section, -1), fault
        number, own = places[int(item)]
        return number, replace(fault, path=f"{section}[{own}]{rest}")

    def _join(self, number: int, source: Source) -> None:
        try:
            plain = read_yaml(source.text)
        except YamlError as error:
            self._local.append((number, Fault("", error.problem, line=error.line, column=error.column)))
            return
        if plain is None:
            return
        if not isinstance(plain, Mapping):
            told = f"the document must be keys with values, such as {', '.join(self._sections)}"
            self._local.append((number, Fault("", told)))
            return
        for key, value in plain.items():
            if key == INCLUDE:
                self._included(number, value)
            elif key not in self._sections:
                self._local.append((number, unknown_key((), key, (*self._sections, INCLUDE))))
            elif key in self._lists:
                self._list(number, key, value)
            else:
                self._single(number, key, value)

    def _included(self, number: int, value: object) -> None:
        """The command has read the files and sends them along; a text that comes without them would be half a document."""
        if value and len(self._sources) == 1:
            told = "names other files, which only the command `wardgate config` reads, from a document that is a file itself"
            self._local.append((number, Fault(INCLUDE, told)))

    def _list(self, number: int, key: str, value: object) -> None:
        self._owners.setdefault(key, number)
        if value is None:
            return
        if not isinstance(value, list):
            self._local.append((number, Fault(key, "must be a list")))
            return
        self.plain.setdefault(key, []).extend(value)
        self._items.setdefault(key, []).extend((number, own) for own in range(len(value)))

    def _single(self, number: int, key: str, value: object) -> None:
        owner = self._owners.setdefault(key, number)
        if owner != number:
            self._local.append((number, Fault(key, f"stands in one file only, and is in {self._sources[owner].name} already")))
            return
        self.plain[key] = value


# --- where a path stands in a text -----------------------------------------------------------------------------------


def locate(text: str, paths: Collection[str]) -> dict[str, tuple[int, int]]:
    """Line and column (from 1) of each path, or of the nearest thing around it that is there. The text was read before.

    A value in a mapping is told by its key, an entry of a list by its beginning.
    """
    wanted = {path[:end] for path in paths for end in (*_cuts(path), len(path))}
    found: dict[str, tuple[int, int]] = {}
    try:
        for path, mark in _marks(yaml.parse(text, Loader=LOADER), wanted):
            found.setdefault(path, (mark.line + 1, mark.column + 1))
    except (yaml.YAMLError, UnicodeError):
        # A text that broke off: what came before is placed.
        found.setdefault("", (1, 1))
    return {path: place for path in paths if (place := _nearest_place(path, found)) is not None}


def _cuts(path: str) -> Iterator[int]:
    """Where the path may be cut to name something around it; a dot inside a key gives a cut that names nothing."""
    return (place for place, char in enumerate(path) if char in ".[")


def _nearest_place(path: str, found: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    ends = [len(path), *sorted(_cuts(path), reverse=True)]
    return next((found[path[:end]] for end in ends if path[:end] in found), None)


def _marks(events: Iterator[Any], wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The wanted paths with their marks, in the order of the text."""
    for event in events:
        if isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent):
            yield "", event.start_mark
            yield from _inside(event, "", events, wanted)
            return


def _inside(event: Any, path: str, events: Iterator[Any], wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """What is wanted below a value whose first event is `event`; all its events are taken. As deep as `reading` allows."""
    if isinstance(event, SequenceStartEvent):
        for number, item in enumerate(iter(lambda: next(events), None)):
            if isinstance(item, yaml.SequenceEndEvent):
                return
            here = f"{path}[{number}]"
            if here in wanted:
                yield here, item.start_mark
            yield from _inside(item, here, events, wanted)
    elif isinstance(event, MappingStartEvent):
        for key in iter(lambda: next(events), None):
            if isinstance(key, yaml.MappingEndEvent):
                return
            word = str(getattr(key, "value", ""))[:64]
            here = f"{path}.{word}" if path else word
            if here in wanted:
                yield here, key.start_mark
            yield from _inside(next(events), here, events, wanted)
