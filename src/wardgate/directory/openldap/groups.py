"""In which groups a user is: by the groups that list him, by memberOf, by his posix group; and in which groups those are.

OpenLDAP has no rule that walks groups inside groups, so this walks them, each group once, whatever circles there are. The user's
own groups are read each time; in which groups a group is, is remembered for `groups.cache_s`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap.filters import Filter, both, either, equal
from wardgate.directory.ldap.names import normal_dn, parse_dn
from wardgate.directory.ldap.port import Entry, LdapClient, Scope
from wardgate.directory.openldap.budget import Budget
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.errors import MessageError

MAX_GROUPS: Final = 2_000
MAX_LISTED: Final = 500
"""How many groups may list one user, or one group: as many as come with one page."""
MAX_REMEMBERED: Final = 20_000
AT_ONCE: Final = 8
# The attribute by which a group of this class names its members by DN.
_BY_DN: Final[Mapping[str, str]] = {"groupOfNames": "member", "groupOfUniqueNames": "uniqueMember"}

POSIX: Final = "posixGroup"
# What has to be read of groups.
GROUP_ATTRIBUTES: Final = ("cn", "member", "uniqueMember", "memberUid", "gidNumber")


@dataclass(frozen=True, slots=True)
class Group:
    """One group, as policy may name it."""

    name: str
    dn: str


@dataclass(frozen=True, slots=True)
class Memberships:
    """All groups of a user, those that he is in by way of others included. `problems`: for an operator."""

    groups: tuple[Group, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(group.name for group in self.groups))

    @property
    def aliases(self) -> Mapping[str, tuple[str, ...]]:
        """The DNs of each name."""
        found: dict[str, tuple[str, ...]] = {}
        for group in self.groups:
            found[group.name] = (*found.get(group.name, ()), group.dn)
        return found

    def any_of(self, names: Sequence[str]) -> bool:
        """Whether one of them has one of these names or DNs."""
        if not names:
            return False
        wanted = {dn_key(name) for name in names} | {name.casefold() for name in names}
        return any(group.name.casefold() in wanted or dn_key(group.dn) in wanted for group in self.groups)


NONE: Final = Memberships()


@dataclass(slots=True)
class _Walk:
    """What one walk has seen."""

    found: OrderedDict[str, Group] = field(default_factory=OrderedDict)

    def add(self, groups: Sequence[Group]) -> list[Group]:
        """Those that are new, as many as there is room for."""
        new = []
        for group in groups:
            key = dn_key(group.dn)
            if key not in self.found and len(self.found) < MAX_GROUPS:
                self.found[key] = group
                new.append(group)
        return new


class GroupReader:
    """Walks groups. One for each directory."""

    def __init__(self, client: LdapClient, settings: OpenLdapSettings, clock: Clock) -> None:
        self._client = client
        self._settings = settings.groups
        self._base = settings.groups.base or settings.base
        self._user_name = settings.attributes.user_name
        self._clock = clock
        self._by_dn = [(kind, _BY_DN[kind]) for kind in settings.groups.kinds if kind in _BY_DN]
        self._parents: OrderedDict[str, tuple[float, tuple[Group, ...]]] = OrderedDict()

    async def of(self, user: Entry, budget: Budget) -> Memberships:
        """The groups of the user whose entry this is."""
        walk = _Walk()
        direct = await self._direct(user, budget)
        level = walk.add(direct)
        for _ in range(self._settings.depth):
            if not level:
                break
            level = walk.add(await self._above(level, budget))
        too_many = (
            ("groups: too many, the others are left out",) if len(walk.found) >= MAX_GROUPS or len(direct) >= MAX_LISTED else ()
        )
        too_deep = (f"groups: nested deeper than {self._settings.depth}",) if level and self._settings.depth else ()
        return Memberships(tuple(walk.found.values()), (*too_many, *too_deep))

    async def _direct(self, user: Entry, budget: Budget) -> list[Group]:
        listed = await self._listed(user, budget)
        known = {dn_key(group.dn) for group in listed}
        told = [dn for dn in user.texts(self._settings.member_of)[:MAX_GROUPS] if dn_key(dn) not in known]
        return [*listed, *(Group(name_in(dn), dn) for dn in told)]

    async def _listed(self, user: Entry, budget: Budget) -> tuple[Group, ...]:
        """The groups that list this user."""
        listing = self._listing(user)
        return await self._search(either(*listing), budget) if listing else ()

    def _listing(self, user: Entry) -> list[Filter]:
        """The groups that list this user, each kind in its way."""
        parts = self._with_member(user.dn)
        if POSIX in self._settings.kinds:
            names = [equal("memberUid", name) for name in user.texts(self._user_name)]
            numbers = [equal("gidNumber", number) for number in user.texts("gidNumber")[:1]]
            if names or numbers:
                parts.append(both(_is_a(POSIX), either(*names, *numbers)))
        return parts

    def _with_member(self, dn: str) -> list[Filter]:
        return [both(_is_a(kind), equal(attribute, dn)) for kind, attribute in self._by_dn]

    async def _above(self, level: Sequence[Group], budget: Budget) -> list[Group]:
        """The groups in which these are."""
        known = {group.dn: parents for group in level if (parents := self._remembered(group)) is not None}
        unknown = [group for group in level if group.dn not in known]
        for start in range(0, len(unknown), AT_ONCE):
            some = unknown[start : start + AT_ONCE]
            for group, parents in zip(some, await asyncio.gather(*(self._ask(each, budget) for each in some)), strict=True):
                self._remember(group, parents)
                known[group.dn] = parents
        return [parent for group in level for parent in known[group.dn]]

    async def _ask(self, group: Group, budget: Budget) -> tuple[Group, ...]:
        """By the groups' own lists, or, where none are searched, by memberOf."""
        if self._by_dn:
            return await self._search(either(*self._with_member(group.dn)), budget)
        name = self._settings.member_of
        entries = await self._client.search(group.dn, Scope.BASE, "(objectClass=*)", (name,), timeout_s=budget.left())
        return tuple(Group(name_in(dn), dn) for entry in entries for dn in entry.texts(name)[:MAX_GROUPS])

    async def _search(self, filter_text: Filter, budget: Budget) -> tuple[Group, ...]:
        name = self._settings.name
        entries = await self._client.search(
            self._base, Scope.SUBTREE, filter_text, (name,), timeout_s=budget.left(), limit=MAX_LISTED
        )
        return tuple(Group(entry.text(name) or name_in(entry.dn), entry.dn) for entry in entries)

    def _remembered(self, group: Group) -> tuple[Group, ...] | None:
        until, parents = self._parents.get(dn_key(group.dn), (0.0, ()))
        return parents if self._clock.monotonic() < until else None

    def _remember(self, group: Group, parents: tuple[Group, ...]) -> None:
        self._parents[dn_key(group.dn)] = (self._clock.monotonic() + self._settings.cache_s, parents)
        self._parents.move_to_end(dn_key(group.dn))
        while len(self._parents) > MAX_REMEMBERED:
            self._parents.popitem(last=False)


@lru_cache(maxsize=8)
def _is_a(kind: str) -> Filter:
    return equal("objectClass", kind)


# Reading a DN costs more than anything else of a look-up, and the same groups come again and again.
@lru_cache(maxsize=MAX_REMEMBERED)
def dn_key(dn: str) -> str:
    try:
        return normal_dn(dn)
    except MessageError:
        return dn.casefold()


@lru_cache(maxsize=MAX_REMEMBERED)
def name_in(dn: str) -> str:
    """A group's name as its DN tells it."""
    try:
        steps = parse_dn(dn)
    except MessageError:
        return dn
    return steps[0][0][1] if steps else dn
