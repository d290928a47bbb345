"""Finds the rules that match without asking each of them: what is asked of one fact in many rules is asked once.

Floors, actions and lifetimes stand behind the rules in the same index, so that one look at the tables serves them all.

The rules are bits of one number; one with `any` is several, one for each way to match. For each question (application, group,
network, time ...) a table holds which rules ask for which value; the answer of the facts leaves the rules that ask for it or do
not ask at all. What no table can hold (patterns, a second question of the same kind) is asked of the rules that are left, in their
order, and once where several ask the same.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from wardgate.policy.conditions import AllOf, AnyOf, AtTime, InNetwork, Node, Not, OneOf, prefix_of
from wardgate.policy.view import View

# Those that cost least and tell most stand first; what comes after is not asked when nothing is left.
_ORDER: Final = (
    "application", "application_kind", "door", "goal", "realm", "directory", "nas", "nas_identifier", "risk",
    "known_device", "country", "user", "group", "client",
)  # fmt: skip

MAX_WAYS: Final = 8


class Index:
    """The conditions of a list of rules, in the order of the rules."""

    __slots__ = ("_all", "_residuals", "_rules", "_tables")

    def __init__(self, conditions: Sequence[Node]) -> None:
        ways = [(number, way) for number, condition in enumerate(conditions) for way in _ways(condition)]
        self._all = (1 << len(ways)) - 1
        self._rules = tuple(number for number, _ in ways)
        texts: dict[str, _TextTable] = {}
        times: dict[str, _TimeTable] = {}
        networks = _NetworkTable()
        residuals: list[tuple[tuple[int, Node], ...]] = []
        numbers: dict[Node, int] = {}
        for place, (_, way) in enumerate(ways):
            bit = 1 << place
            left: list[tuple[int, Node]] = []
            for node in way:
                asked, excluded = (node.part, True) if isinstance(node, Not) else (node, False)
                taken = False
                if isinstance(asked, OneOf):
                    taken = texts.setdefault(asked.key, _TextTable(asked.key)).take(bit, asked, excluded)
                elif isinstance(asked, InNetwork):
                    taken = networks.take(bit, asked, excluded)
                elif isinstance(asked, AtTime):
                    zone = asked.window.zone
                    taken = times.setdefault(zone.key, _TimeTable(zone)).take(bit, asked, excluded)
                if not taken:
                    left.append((numbers.setdefault(node, len(numbers)), node))
            residuals.append(tuple(left))
        for text_table in texts.values():
            text_table.close()
        for time_table in times.values():
            time_table.close()
        ordered = sorted(texts.values(), key=lambda table: _ORDER.index(table.key) if table.key in _ORDER else len(_ORDER))
        self._tables: tuple[_Table, ...] = (*ordered, *([networks] if networks.concerned else []), *times.values())
        self._residuals = tuple(residuals)

    def bits(self, begin: int, end: int) -> int:
        """The ways of the conditions from `begin` up to `end`, to look among those alone."""
        return sum(1 << place for place, number in enumerate(self._rules) if begin <= number < end)

    def left(self, view: View) -> int:
        """The ways that the tables leave: what no table holds has not been asked of them yet."""
        left = self._all
        for table in self._tables:
            if left & table.concerned:
                left &= table.matching(view)
                if not left:
                    break
        return left

    def first(self, left: int, view: View, known: dict[int, bool]) -> int | None:
        """The number of the first condition that matches among these ways. `known`: what was asked before, for this view."""
        while left:
            lowest = left & -left
            place = lowest.bit_length() - 1
            residual = self._residuals[place]
            if not residual or _all_hold(residual, view, known):
                return self._rules[place]
            left ^= lowest
        return None

    def every(self, left: int, view: View, known: dict[int, bool]) -> Iterator[int]:
        """The numbers of all conditions that match among these ways, the first one first."""
        last = -1
        while left:
            lowest = left & -left
            place = lowest.bit_length() - 1
            number = self._rules[place]
            if number != last and _all_hold(self._residuals[place], view, known):
                last = number
                yield number
            left ^= lowest

    def matching(self, view: View) -> Iterator[int]:
        """The numbers of all conditions that match, the first one first."""
        return self.every(self.left(view), view, {})


def _all_hold(nodes: Sequence[tuple[int, Node]], view: View, known: dict[int, bool]) -> bool:
    for number, node in nodes:
        found = known.get(number)
        if found is None:
            found = known[number] = node.holds(view)
        if not found:
            return False
    return True


def _ways(condition: Node) -> list[tuple[Node, ...]]:
    """The ways in which a condition can hold, each as what must then hold: `any` taken apart, as long as they are few."""
    ways: list[tuple[Node, ...]] = [()]
    for node in _conjuncts(condition):
        parts = [tuple(_conjuncts(part)) for part in node.parts] if isinstance(node, AnyOf) else []
        if 0 < len(parts) * len(ways) <= MAX_WAYS:
            ways = [(*way, *part) for way in ways for part in parts]
        else:
            ways = [(*way, node) for way in ways]
    return ways


def _conjuncts(node: Node) -> Iterator[Node]:
    """What must hold, each by itself."""
    if isinstance(node, AllOf):
        for part in node.parts:
            yield from _conjuncts(part)
    elif isinstance(node, Not) and isinstance(node.part, Not):
        yield from _conjuncts(node.part.part)
    elif isinstance(node, Not) and isinstance(node.part, AnyOf):
        for part in node.part.parts:
            yield from _conjuncts(Not(part))
    else:
        yield node


class _TextTable:
    """Which rules ask for which value of one question, and which exclude it."""

    __slots__ = ("_asking", "_values", "_wanted", "concerned", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.concerned = 0
        self._asking = 0
        # By value: the rules that ask for it, and those that exclude it.
        self._values: dict[str, tuple[int, int]] = {}
        self._wanted: frozenset[str] = frozenset()

    def take(self, bit: int, asked: OneOf, excluded: bool) -> bool:
        """Whether the table now stands for this question of a rule. It can ask one thing and exclude any number."""
        if not excluded and self._asking & bit:
            return False
        for value in asked.wanted:
            asks, excludes = self._values.get(value, (0, 0))
            self._values[value] = (asks, excludes | bit) if excluded else (asks | bit, excludes)
        self._asking |= 0 if excluded else bit
        self.concerned |= bit
        return True

    def close(self) -> None:
        """Take what is asked for together, when all rules are known."""
        self._wanted = frozenset(self._values)

    def matching(self, view: View) -> int:
        """Which rules may match; those that ask nothing of this may."""
        found, excluded = ~self._asking, 0
        held, values = view.held(self.key), self._values
        # Most facts have one value. Somebody may be in a thousand groups: of two sets, the smaller is walked.
        for value in held if type(held) is tuple else self._wanted.intersection(held):
            hit = values.get(value)
            if hit is not None:
                found |= hit[0]
                excluded |= hit[1]
        return found & ~excluded if excluded else found


class _NetworkTable:
    """The same for networks, by version and length: one look for each length that is used."""

    __slots__ = ("_asking", "_lengths", "concerned")

    def __init__(self) -> None:
        self.concerned = 0
        self._asking = 0
        # By version and the number of bits behind the prefix: prefix to the rules that ask for it and those that exclude it.
        self._lengths: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}

    def take(self, bit: int, asked: InNetwork, excluded: bool) -> bool:
        """Whether the table now stands for this question of a rule."""
        if not excluded and self._asking & bit:
            return False
        for network in asked.networks:
            length = (network.version, network.max_prefixlen - network.prefixlen)
            prefixes = self._lengths.setdefault(length, {})
            asks, excludes = prefixes.get(prefix_of(network), (0, 0))
            prefixes[prefix_of(network)] = (asks, excludes | bit) if excluded else (asks | bit, excludes)
        self._asking |= 0 if excluded else bit
        self.concerned |= bit
        return True

    def matching(self, view: View) -> int:
        """Which rules may match; those that ask nothing of this may."""
        address = view.address()
        found = ~self._asking
        if address is None:
            return found
        version, number = address
        excluded = 0
        for (of_version, behind), prefixes in self._lengths.items():
            if of_version == version:
                hit = prefixes.get(number >> behind)
                if hit is not None:
                    found |= hit[0]
                    excluded |= hit[1]
        return found & ~excluded


class _TimeTable:
    """The same for time windows of one zone: the week is cut where a window begins or ends."""

    __slots__ = ("_asking", "_begins", "_masks", "_windows", "_zone", "concerned")

    def __init__(self, zone: ZoneInfo) -> None:
        self.concerned = 0
        self._asking = 0
        self._zone = zone
        self._windows: list[tuple[int, AtTime, bool]] = []
        self._begins: list[int] = []
        self._masks: list[int] = []

    def take(self, bit: int, asked: AtTime, excluded: bool) -> bool:
        """Whether the table now stands for this question of a rule."""
        if not excluded and self._asking & bit:
            return False
        self._windows.append((bit, asked, excluded))
        self._asking |= 0 if excluded else bit
        self.concerned |= bit
        return True

    def close(self) -> None:
        """Cut the week, when all rules are known."""
        self._begins = sorted({0, *(minute for _, asked, _ in self._windows for span in asked.window.spans for minute in span)})
        for begin in self._begins:
            found, excluded = ~self._asking, 0
            for bit, asked, excludes in self._windows:
                if asked.window.holds(begin):
                    found, excluded = (found, excluded | bit) if excludes else (found | bit, excluded)
            self._masks.append(found & ~excluded)

    def matching(self, view: View) -> int:
        """Which rules may match; those that ask nothing of this may."""
        return self._masks[bisect_right(self._begins, view.minute_of_week(self._zone)) - 1]


_Table = _TextTable | _NetworkTable | _TimeTable
