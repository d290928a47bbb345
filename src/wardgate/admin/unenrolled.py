"""Who has nothing enrolled yet and nothing to begin with: whom an operator gives a start code, a whole group at once."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from wardgate.account.activation import TABLE as ACTIVATIONS
from wardgate.account.activation import State
from wardgate.account.authenticator import AuthenticatorState
from wardgate.admin.office import Office
from wardgate.admin.people import opened, settings_of
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.directory.port import AccountState, DirectoryUser, Listing
from wardgate.directory.realm import Realm, Realms
from wardgate.engine.finding import login_name
from wardgate.errors import UsageError
from wardgate.policy.groups import group_form, qualified_groups
from wardgate.storage.port import Where

# As many as are issued at once, one after the other.
MAX_NAMES: Final = 5_000
PAGE_TIMEOUT_S: Final = 30.0
_KEPT: Final = (AuthenticatorState.ACTIVE.value, AuthenticatorState.HELD.value)


async def unenrolled(office: Office, *, group: str | None = None, directory: str | None = None) -> dict[str, Any]:
    """The login names of all active users who have no authenticator and no activation that is open, in order.

    `group`: only its members, by its name or as policies write it (`acme-ad:vpn-users`). Raises UsageError where a directory
    cannot tell all of its users, or there are too many; NotFound, DirectoryUnavailable.
    """
    _, document = await load_current(office.storage)
    found: list[str] = []
    for realm, name in _places(document, directory):
        found += await _of_directory(office, document, realm, name, group)
        if len(found) > MAX_NAMES:
            raise UsageError(f"more than {MAX_NAMES} people: name a group that has fewer")
    return {"names": sorted(dict.fromkeys(found))}


def _places(document: Document, wanted: str | None) -> list[tuple[str, str]]:
    """Each directory with the realm in which its people sign in: the first that asks it."""
    if wanted is not None:
        settings_of(document, wanted)
    first: dict[str, str] = {}
    for realm in document.realms:
        for each in realm.directories:
            first.setdefault(each, realm.name)
    return [(realm, each) for each, realm in first.items() if wanted in (None, each)]


async def _of_directory(office: Office, document: Document, realm: str, name: str, group: str | None) -> list[str]:
    realms = Realms([Realm(each, ()) for each in document.realms])
    found: list[str] = []
    async with opened(office, document, settings_of(document, name)) as directory:
        if not isinstance(directory, Listing):
            raise UsageError(f"directory {name} does not tell all of its users: write their names into a file and give --file")
        async with aclosing(directory.users(PAGE_TIMEOUT_S)) as pages:
            async for page in pages:
                live = [each for each in page if each.state is AccountState.ACTIVE and _is_in(each, realm, group)]
                without = await _without(office, name, live)
                found += [login_name(realms, realm, each.name) for each in without]
                if len(found) > MAX_NAMES:
                    return found
    return found


def _is_in(user: DirectoryUser, realm: str, group: str | None) -> bool:
    if group is None:
        return True
    wanted = group_form(group)
    qualified = qualified_groups((user.directory, realm), user.groups, user.group_aliases)
    return wanted in qualified or wanted in {group_form(each) for each in user.groups}


async def _without(office: Office, directory: str, users: Sequence[DirectoryUser]) -> list[DirectoryUser]:
    """Those of them who have neither."""
    ids = tuple(each.immutable_id for each in users)
    if not ids:
        return []
    where = [Where("directory", "=", directory), Where("immutable_id", "in", ids)]
    links = await office.storage.find("subject_link", where, limit=len(ids))
    subjects = {str(row["immutable_id"]): str(row["subject_id"]) for row in links}
    theirs = Where("subject_id", "in", tuple(subjects.values()))
    has: set[str] = set()
    if subjects:
        kept = await office.storage.find("authenticator", [theirs, Where("state", "in", _KEPT)], limit=100 * len(subjects))
        issued = await office.storage.find(
            ACTIVATIONS,
            [theirs, Where("state", "=", State.OPEN.value), Where("expires_at", ">", office.now_ms())],
            limit=len(subjects),
        )
        has = {str(row["subject_id"]) for row in (*kept, *issued)}
    return [each for each in users if subjects.get(each.immutable_id, "") not in has or each.immutable_id not in subjects]
