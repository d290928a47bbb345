"""The same groups for everybody at once: all of them are read beforehand, instead of searching for each user."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap.filters import Filter, either, equal
from wardgate.directory.ldap.port import Entry, LdapClient, Scope
from wardgate.directory.openldap.budget import Budget
from wardgate.directory.openldap.groups import MAX_LISTED, POSIX, Group, GroupReader, dn_key, name_in
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.errors import DirectoryUnavailable

MAX_MEMBERSHIPS: Final = 5_000_000
"""Half a gigabyte of them: more are not kept."""
_GROUPS_PER_PAGE: Final = 100
_VALUES_PER_TURN: Final = 500


class LoadedGroups(GroupReader):
    """Walks groups that were read before. Made by `load`, for one walk over all users, and then thrown away."""

    def __init__(self, client: LdapClient, settings: OpenLdapSettings, clock: Clock) -> None:
        super().__init__(client, settings, clock)
        self._of_members: dict[str, list[Group]] = {}
        self._of_names: dict[str, list[Group]] = {}
        self._of_numbers: dict[str, list[Group]] = {}
        self._memberships = 0

    async def load(self, timeout_s: float) -> None:
        """Read every group with its members. `timeout_s`: for each page. Raises DirectoryUnavailable."""
        kinds = self._settings.kinds
        if not kinds:
            return  # nothing is searched for anybody: memberOf tells all, and each group is read once
        lists = {attribute for _, attribute in self._by_dn}
        posix = ("memberUid", "gidNumber") if POSIX in kinds else ()
        wanted: Filter = either(*(equal("objectClass", kind) for kind in kinds))
        asked = (self._settings.name, *sorted(lists), *posix)
        pages = self._client.stream(self._base, Scope.SUBTREE, wanted, asked, timeout_s=timeout_s, page=_GROUPS_PER_PAGE)
        async with aclosing(pages):
            async for entry in pages:
                await self._take(entry)

    async def _take(self, entry: Entry) -> None:
        group = Group(entry.text(self._settings.name) or name_in(entry.dn), entry.dn)
        for _, attribute in self._by_dn:
            await self._keep(self._of_members, entry.texts(attribute), group, dn_key)
        if POSIX in self._settings.kinds:
            await self._keep(self._of_names, entry.texts("memberUid"), group, str)
            await self._keep(self._of_numbers, entry.texts("gidNumber")[:1], group, str)

    async def _keep(self, where: dict[str, list[Group]], members: Iterable[str], group: Group, key: Callable[[str], str]) -> None:
        for number, member in enumerate(members, start=1):
            found = where.setdefault(key(member), [])
            # Some servers list the same member in both ways, and a posix group's name and number may both be meant.
            if group not in found:
                found.append(group)
            self._memberships += 1
            if self._memberships > MAX_MEMBERSHIPS:
                raise DirectoryUnavailable(
                    f"more than {MAX_MEMBERSHIPS} memberships in groups: too many to keep", "directory_too_much"
                )
            if number % _VALUES_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _listed(self, user: Entry, budget: Budget) -> tuple[Group, ...]:
        found = dict.fromkeys(self._of_members.get(dn_key(user.dn), ()))
        for name in user.texts(self._user_name):
            found.update(dict.fromkeys(self._of_names.get(name, ())))
        for number in user.texts("gidNumber")[:1]:
            found.update(dict.fromkeys(self._of_numbers.get(number, ())))
        return tuple(found)[:MAX_LISTED]

    async def _ask(self, group: Group, budget: Budget) -> tuple[Group, ...]:
        if self._by_dn:
            return tuple(self._of_members.get(dn_key(group.dn), ()))[:MAX_LISTED]
        return await super()._ask(group, budget)
