"""Groups of a user: the SIDs of his `tokenGroups` (nested ones and the primary one among them) and what they are called.

`tokenGroups` holds what gives rights: no distribution groups. A SID is read once and remembered for some minutes. A group's name is
its sAMAccountName, which the domain has once. Its cn is no name of it: in each OU another group may have the same one.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.directory.active_directory.domain import Domain
from wardgate.directory.active_directory.reading import Budget, Reader
from wardgate.directory.active_directory.values import sid_text
from wardgate.directory.ldap.filters import escape
from wardgate.directory.ldap.port import Scope
from wardgate.errors import MessageError

LIFE_S: Final = 600.0
MAX_KNOWN: Final = 20_000
MAX_OF_A_USER: Final = 5_000
_BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Group:
    """What a group is called, and what else it may be called in a policy."""

    name: str
    aliases: tuple[str, ...]


def aliases_of(groups: Sequence[Group]) -> Mapping[str, tuple[str, ...]]:
    """What else each name stands for. Groups of two domains may share one: then it has the aliases of both."""
    found: dict[str, tuple[str, ...]] = {}
    for group in groups:
        if group.aliases:
            found[group.name] = (*found.get(group.name, ()), *group.aliases)
    return found


class Groups:
    """The groups whose names are known."""

    def __init__(self, reader: Reader, domain: Domain) -> None:
        self._reader = reader
        self._domain = domain
        self._known: OrderedDict[bytes, tuple[float, Group]] = OrderedDict()

    async def of(self, sids: Sequence[bytes], budget: Budget) -> tuple[Group, ...]:
        """The groups with these SIDs, by name. One that cannot be found (of another domain, say) is called by its SID."""
        now = self._reader.clock.monotonic()
        wanted = sids[:MAX_OF_A_USER]
        found: dict[bytes, Group] = {}
        for sid in wanted:
            known = self._known.get(sid)
            if known is not None and known[0] > now:
                found[sid] = known[1]
        missing = [sid for sid in wanted if sid not in found]
        for start in range(0, len(missing), _BATCH):
            found.update(await self._read(missing[start : start + _BATCH], budget))
        self._remember(((sid, found[sid]) for sid in missing if sid in found), now + LIFE_S)
        return tuple(sorted(found.values(), key=lambda group: group.name.casefold()))

    def _remember(self, groups: Iterable[tuple[bytes, Group]], until: float) -> None:
        for sid, group in groups:
            self._known[sid] = (until, group)
            self._known.move_to_end(sid)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def _read(self, sids: Sequence[bytes], budget: Budget) -> dict[bytes, Group]:
        found: dict[bytes, Group] = {}
        for sid in sids:
            try:
                text = sid_text(sid)
            except MessageError:
                continue  # what is no SID names no group
            found[sid] = Group(text, ())
        filters = "".join(f"(objectSid={escape(sid)})" for sid in found)
        if not filters:
            return found
        base = (await self._domain.names(budget)).base
        # Everywhere in the domain: groups need not be where users are.
        entries = await self._reader.entries(
            base, Scope.SUBTREE, f"(|{filters})", ("objectSid", "sAMAccountName"), budget, limit=len(found)
        )
        for entry in entries:
            sid = next(iter(entry.values("objectSid")), b"")
            name = entry.text("sAMAccountName")
            if sid in found and name:
                found[sid] = Group(name, (entry.dn, sid_text(sid)))
        return found
