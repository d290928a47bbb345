"""A real slapd for the suite: one for all tests of a process, whose users and groups are removed after each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests import slapd
from tests.conformance.directory.subject import Abilities, Subject
from tests.openldap_directory import directory
from wardgate.directory.port import AccountState

# A locked account is not checked, so nothing is known of its password.
ABILITIES = Abilities(
    checks_unusable=False,
    expires=True,
    tells_expiry=True,
    history=True,
    policy=True,
    writes_phone=True,
)
_LOCKS = {AccountState.DISABLED: "000001010000Z", AccountState.LOCKED: slapd.ago(1), AccountState.ACTIVE: ()}


@asynccontextmanager
async def openldap() -> AsyncIterator[Subject]:
    server = slapd.shared()
    made, client = directory(server, verified_cache_s=300, write_contacts=("phone", "mail"))
    added: dict[str, str] = {}
    groups: dict[str, str] = {}

    async def add(
        name: str,
        password: bytes | None,
        *,
        state: AccountState = AccountState.ACTIVE,
        must_change: bool = False,
        groups: tuple[str, ...] = (),
        **fields: Any,
    ) -> None:
        attributes = {"displayName": "display_name", "mail": "mail", "mobile": "phone", "preferredLanguage": "language"}
        given: dict[str, slapd.Values] = {ours: fields[theirs] for ours, theirs in attributes.items() if fields.get(theirs)}
        if password is not None:
            given["pwdChangedTime"] = slapd.ago(3600)
        if must_change:
            given["pwdReset"] = "TRUE"
        added[name.lower()] = server.add_user(name, password, **given)
        for group in groups:
            join(group, added[name.lower()])
        if state is not AccountState.ACTIVE:
            await set_state(name, state)

    def join(group: str, dn: str) -> None:
        if group in groups:
            server.change(slapd.ldif(groups[group], {"member": dn}, ("changetype: modify", "add: member")))
        else:
            where = f"cn={group},ou=suite,{slapd.GROUPS_DN}"
            groups[group] = server.add(where, {"objectClass": "groupOfNames", "cn": group, "member": dn})

    async def set_state(name: str, state: AccountState) -> None:
        server.replace(added[name.lower()], "pwdAccountLockedTime", _LOCKS[state])

    async def expire(name: str) -> None:
        server.replace(added[name.lower()], "pwdChangedTime", slapd.ago(60 * slapd.DAY_S))

    async def remove(name: str) -> None:
        server.delete(added.pop(name.lower()))

    if not server.read(f"ou=suite,{slapd.GROUPS_DN}"):
        server.add(f"ou=suite,{slapd.GROUPS_DN}", {"objectClass": "organizationalUnit", "ou": "suite"})
    try:
        yield Subject(made, add, set_state, remove, lambda: client.binds, expire)
    finally:
        await made.close()
        for dn in (*added.values(), *groups.values()):
            server.delete(dn)
