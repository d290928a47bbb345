"""Erasing a person beside the audit trail: what is kept of his logins, and on request all that he has with us.

Every table stands in exactly one of the tuples below; a test holds them against the schema, so that a new table is decided upon.
Rows are found by the person's own id, by the accounts that are linked to it and by the names that are known of them. What can only
be found by reading a whole table is read page by page, in the order of its key, so that no login waits for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from wardgate.account.subject import SubjectId
from wardgate.admin.office import Office
from wardgate.audit.events import AuditEvent, Kind
from wardgate.audit.timeline import user_key
from wardgate.engine import lifting
from wardgate.errors import Conflict
from wardgate.kba.asking import reopened
from wardgate.storage.port import MAX_IN_VALUES, Delete, Operation, Row, Where

# What he did: goes in any case. By his own id ...
DEEDS: Final = ("habit", "hand_over")
# ... by the names that he typed, in pages ...
BY_NAME: Final = ("timeline", "outbox", "accounting")
# ... and by what the brakes know him as.
BY_BRAKE_KEY: Final = ("brake",)
# What he has: only with `everything`.
BELONGINGS: Final = (
    "login_transaction",
    "demand",
    "trusted_device",
    "kba_answer",
    "kba_state",
    "authenticator",
    "contact",
    "directory_contact",
    "mail_link",
    "short_link",
    "freeze",
    "activation",
    "password_write",
    "self_service",
    "sso_session",
    "saml_participant",
    "subject_link",
)
# The same, found by something else than the person's id.
BELONGINGS_OTHERWISE: Final = ("recovery_code", "known_name", "subject")
# A local account is removed by `wardgate user remove`, which decides about it and what hangs on it alone.
ACCOUNTS: Final = ("local_user", "local_password_history")
# Payloads go, the chain stays: `audit/erasure.py`.
TRAIL: Final = ("audit_event",)
# Keyed fingerprints that tell no one's name and end by themselves, what is counted of nobody, and what is the installation's own.
NOT_OF_PEOPLE: Final = (
    "admin_pass",
    "audit_head",
    "configuration",
    "data_key",
    "federation_key",
    "handle",
    "incident",
    "installation",
    "kba_round",
    "lease",
    "page_step",
    "party_metadata",
    "saml_request",
    "sending",
    "spent_code",
    "token",
)
PAGE_ROWS: Final = 500
MAX_ACCOUNTS: Final = 100
_NAME_COLUMNS: Final = {"outbox": "user_name", "accounting": "user_name"}


@dataclass(frozen=True, slots=True)
class PersonErasure:
    """Whose rows go, and why. `names`: as they were typed; `subjects`: his own ids."""

    names: tuple[str, ...]
    subjects: tuple[str, ...]
    reason: str
    everything: bool


async def erase_person_page(office: Office, erasure: PersonErasure, after: str | None) -> dict[str, Any]:
    """Erase one page. `after`: where the page before ended, as it was told; None: from the beginning. Raises Conflict."""
    table, _, last = (after or "").partition(":")
    names = await _names(office, erasure)
    if not table:
        if erasure.everything:
            await _check_no_local_account(office, erasure.subjects)
        return _page("timeline", "", 0)
    if table == "timeline":
        gone = await _timeline(office, names)
        return _page("timeline" if gone else "outbox", "", gone)
    if table in _NAME_COLUMNS:
        rows = await _scanned(office, table, last)
        gone = await _delete_of_person(office, table, rows, erasure, names)
        if len(rows) == PAGE_ROWS:
            return _page(table, str(rows[-1]["id"]), gone)
        following = BY_NAME.index(table) + 1
        return _page(BY_NAME[following] if following < len(BY_NAME) else "rest", "", gone)
    return {"rows": await _rest(office, erasure), "after": None}


def _page(table: str, last: str, rows: int) -> dict[str, Any]:
    return {"rows": rows, "after": f"{table}:{last}"}


async def _links(office: Office, subjects: Sequence[str]) -> list[Row]:
    if not subjects:
        return []
    return await office.storage.find("subject_link", [Where("subject_id", "in", tuple(subjects))], limit=MAX_ACCOUNTS)


async def _names(office: Office, erasure: PersonErasure) -> frozenset[str]:
    """The names that were given, and those under which his accounts were let in."""
    found = {name.strip().casefold() for name in erasure.names}
    for link in await _links(office, erasure.subjects):
        account = [Where("directory", "=", link["directory"]), Where("immutable_id", "=", link["immutable_id"])]
        known = await office.storage.find("known_name", account, limit=MAX_ACCOUNTS)
        found |= {str(row["name_key"]).casefold() for row in known}
    return frozenset(found)


async def _check_no_local_account(office: Office, subjects: Sequence[str]) -> None:
    for link in await _links(office, subjects):
        if await office.storage.get("local_user", {"id": link["immutable_id"]}) is not None:
            raise Conflict(f"the person still has an account in {link['directory']!s}: remove it first, wardgate user remove")


async def _timeline(office: Office, names: frozenset[str]) -> int:
    keys = tuple(user_key(office.ring, name) for name in sorted(names))[:MAX_IN_VALUES]
    rows = await office.storage.find("timeline", [Where("user_key", "in", keys)], limit=PAGE_ROWS) if keys else []
    return await _delete(office, "timeline", rows)


async def _scanned(office: Office, table: str, last: str) -> list[Row]:
    beyond = [Where("id", ">", last)] if last else []
    return await office.storage.find(table, beyond, order_by="id", limit=PAGE_ROWS)


async def _delete_of_person(office: Office, table: str, rows: Sequence[Row], erasure: PersonErasure, names: frozenset[str]) -> int:
    column = _NAME_COLUMNS[table]
    return await _delete(office, table, [row for row in rows if _is_of(row, column, erasure.subjects, names)])


def _is_of(row: Row, column: str, subjects: Sequence[str], names: frozenset[str]) -> bool:
    """By the person's id where the row has one: a name may have been another's."""
    subject_id = row.get("subject_id")
    if subject_id is not None and subjects:
        return subject_id in subjects
    return str(row[column]).strip().casefold() in names


async def _delete(office: Office, table: str, rows: Sequence[Row]) -> int:
    if rows:
        await office.storage.commit([Delete(table, (Where("id", "in", tuple(str(row["id"]) for row in rows)),))])
    return len(rows)


async def _rest(office: Office, erasure: PersonErasure) -> int:
    """All that is found at once, with the event that says so, in one unit."""
    links = await _links(office, erasure.subjects)
    unit: list[Operation] = []
    if erasure.subjects:
        mine = Where("subject_id", "in", erasure.subjects)
        unit += [Delete(table, (mine,)) for table in DEEDS]
        if erasure.everything:
            unit += await _belongings(office, mine, links, erasure.subjects)
    deleted = len(unit)
    unit += lifting.release_user(
        office.ring, [*erasure.subjects, *(f"{row['directory']!s}:{row['immutable_id']!s}" for row in links)]
    )
    details = {"reason": erasure.reason, "everything": erasure.everything}
    subject_id = erasure.subjects[0] if erasure.subjects else None
    erased = AuditEvent(Kind.PERSON_ERASED, office.now_ms(), office.actor, subject_id=subject_id, details=details)
    unit.append(office.record(erased))
    commit = await office.storage.commit(unit)
    results = getattr(commit, "results", ())[:deleted]
    return sum(each for each in results if isinstance(each, int))


async def _belongings(office: Office, mine: Where, links: Sequence[Row], subjects: tuple[str, ...]) -> list[Operation]:
    sets = await office.storage.find("authenticator", [mine], limit=MAX_IN_VALUES)
    ids = tuple(str(row["id"]) for row in sets)
    unit: list[Operation] = [Delete("recovery_code", (Where("authenticator_id", "in", ids),))] if ids else []
    for row in links:
        account = (Where("directory", "=", row["directory"]), Where("immutable_id", "=", row["immutable_id"]))
        unit.append(Delete("known_name", account))
    unit += [Delete(table, (mine,)) for table in BELONGINGS]
    # How often somebody answered wrongly is kept by a keyed fingerprint of his id.
    unit += [reopened(office.ring, SubjectId(each)) for each in subjects]
    return [*unit, Delete("subject", (Where("id", "in", subjects),))]
