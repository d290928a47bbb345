"""A real domain controller for the suite: one for all processes of the machine, and an OU that is emptied after each test.

Account names are unique in a domain, so one test at a time has it, whichever process runs it.
"""

import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests import samba
from tests.active_directory import CountingClient, parts
from tests.conformance.directory.subject import Abilities, Subject
from wardgate.directory.active_directory.directory import ActiveDirectory
from wardgate.directory.port import AccountState

# A password is text. A locked account is not checked. An @ cannot stand in an account name, and a UPN is no better than a mail
# address: of two people, neither is meant. When a password was set cannot be written. Samba knows the history at a change only, so
# a reset sets a random password first.
ABILITIES = Abilities(
    any_bytes=False,
    checks_unusable=False,
    names_beside_mails=False,
    refusal_keeps=False,
    history=True,
    policy=True,
    writes_phone=True,
    writes_mail=True,
)
_ATTRIBUTES = {"displayName": "display_name", "mail": "mail", "mobile": "phone", "preferredLanguage": "language"}


@asynccontextmanager
async def active_directory() -> AsyncIterator[Subject]:
    server = samba.shared()
    with (server.home / "suite.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        ou = server.add_ou(samba.name("suite"))
        settings = server.settings("staff", base=ou, verified_cache_s=300, write_contacts=("phone", "mail"))
        client = CountingClient(settings, parts())
        directory = ActiveDirectory(settings, client, parts())
        try:
            yield _subject(server, directory, client, ou)
        finally:
            await directory.close()
            server.delete(ou, everything_below=True)


def _subject(server: samba.DomainController, directory: ActiveDirectory, client: CountingClient, ou: str) -> Subject:
    added: dict[str, str] = {}
    made_groups: dict[str, str] = {}

    async def add(
        name: str,
        password: bytes | None,
        *,
        state: AccountState = AccountState.ACTIVE,
        must_change: bool = False,
        groups: tuple[str, ...] = (),
        **fields: Any,
    ) -> None:
        given = {ours: fields[theirs] for ours, theirs in _ATTRIBUTES.items() if fields.get(theirs)}
        text = None if password is None else password.decode()
        dn = added[name.lower()] = server.add_user(name, text, ou=ou, groups=[group_dn(group) for group in groups], **given)
        if must_change:
            server.set(dn, pwdLastSet="0")
        if state is not AccountState.ACTIVE:
            await set_state(name, state)

    def group_dn(name: str) -> str:
        if name not in made_groups:
            made_groups[name] = server.add_group(name, ou=ou)
        return made_groups[name]

    async def set_state(name: str, state: AccountState) -> None:
        if state is AccountState.LOCKED:
            server.lock(added[name.lower()])
        else:
            server.set(added[name.lower()], userAccountControl="514" if state is AccountState.DISABLED else "512")

    async def remove(name: str) -> None:
        server.delete(added.pop(name.lower()))

    return Subject(directory, add, set_state, remove, lambda: client.binds)
