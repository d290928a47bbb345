"""What a directory was told to make somebody's password, from before it is told until the truth is known.

A row goes before each writing, so that a lost answer or our own death leaves something to ask after: `reconciling.py` does. Where
the directory goes on taking the password of before for a while (Active Directory: an hour), the row also keeps a keyed fingerprint
of the new one for that time, and our doors refuse any other. Whoever changes it once more elsewhere makes that void: the directory
tells another date then.
"""

import contextlib
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeGuard

from wardgate.clock import to_ms
from wardgate.crypto import KeyRing, Secret, new_id, same
from wardgate.directory.port import Directory, DirectoryUser, OldPasswordTaking
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Whom
from wardgate.errors import DirectoryUnavailable
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Modified, Modify, Row, Value
from wardgate.values import quick_value

TABLE: Final = "password_write"
# The request that told the directory has given up by then.
ASKED_AFTER_MS: Final = 60_000
# What nobody can tell by then, nobody will.
GIVEN_UP_MS: Final = 24 * 3_600_000
# Where the directory could not be asked for its date of the change: its clock is hardly further off, or nobody could log in there.
CLOCK_SLACK_MS: Final = 5 * 60_000


@quick_value
class Pending:
    """One writing whose outcome nobody has told yet. `before`: the date of the password of before, where the directory tells it.

    `how`: as the audit trail says it. `mark`: the fingerprint of the new one, where the old one would go on being taken.
    """

    id: str
    directory: str
    immutable_id: str
    whom: Whom
    how: str
    door: str
    before: int | None
    at: int
    mark: bytes | None


class PasswordWrites:
    """Keeps the rows."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage

    async def begin(self, directory: Directory, user: DirectoryUser, new: Secret, whom: Whom, how: str, door: str) -> Pending:
        """The directory is about to be told."""
        ring, now_ms = self._parts.ring(), to_ms(self._parts.clock.now())
        mark = _mark(ring, user, new) if takes_old(directory) else None
        before = _date(user.password_changed_at)
        pending = Pending(new_id(), user.directory, user.immutable_id, whom, how, door, before, now_ms, mark)
        arguments: Row = {
            "id": pending.id,
            "subject_id": whom.subject_id,
            "body": _text_of(pending),
            "now": now_ms,
            "expires_at": now_ms + 2 * GIVEN_UP_MS,
        }
        await self._storage.commit([Modify(TABLE, _key(ring, user.directory, user.immutable_id), begin_write, arguments)])
        return pending

    async def written(self, pending: Pending, directory: Directory) -> None:
        """It was: from now on the password of before is none any more, whatever the directory says of it."""
        changed_at: int | None = None
        if pending.mark is not None:
            try:
                user = await directory.get(pending.immutable_id, self._parts.directory_timeout_s)
                changed_at = _date(user.password_changed_at) if user is not None else None
            except DirectoryUnavailable:
                changed_at = None
        await self._storage.commit([self.settle(pending, directory, True, changed_at)])

    async def refused(self, pending: Pending, directory: Directory) -> None:
        """It was not."""
        await self._storage.commit([self.settle(pending, directory, False)])

    def settle(
        self, pending: Pending, directory: Directory | None, written: bool, changed_at: int | None = None, *, alone: bool = False
    ) -> Modify:
        """The truth is known. `changed_at`: the directory's date of the change. `alone`: refuse where it was told before."""
        now_ms, marked = to_ms(self._parts.clock.now()), written and pending.mark is not None
        lasts_ms = int(directory.old_password_life_s() * 1000) if directory is not None and _can_take_old(directory) else 0
        arguments: Row = {
            "id": pending.id,
            "mark": pending.mark if marked else None,
            "changed_at": changed_at if changed_at is not None else now_ms + CLOCK_SLACK_MS,
            "marked_until": pending.at + lasts_ms,
            "now": now_ms,
            "alone": int(alone),
        }
        return Modify(TABLE, _key(self._parts.ring(), pending.directory, pending.immutable_id), settle_write, arguments)

    async def is_old(self, directory: Directory | None, user: DirectoryUser, password: Secret) -> bool:
        """Whether a password that the directory takes is the one of before. Reads nothing where the directory takes no such one."""
        if directory is None or not takes_old(directory):
            return False
        ring = self._parts.ring()
        row = await self._storage.get(TABLE, _key(ring, user.directory, user.immutable_id))
        return row is not None and is_before(row, _mark(ring, user, password), user, to_ms(self._parts.clock.now()))


def takes_old(directory: Directory) -> bool:
    """Whether the directory may take the password before the present one for right."""
    return _can_take_old(directory) and directory.old_password_life_s() > 0


def is_before(row: Mapping[str, Value], mark: bytes, user: DirectoryUser, now_ms: int) -> bool:
    """Whether the password with this fingerprint is not the one that was set last, as far as a row tells."""
    if user.must_change:
        # Ours need not be changed: somebody has set another since.
        return False
    changed_at, kept = _date(user.password_changed_at), row["mark"]
    pending = pending_in(row)
    if pending is not None and pending.mark is not None and changed_at is not None and changed_at != pending.before:
        return not same(pending.mark, mark)
    if not isinstance(kept, bytes) or _number(row, "marked_until") <= now_ms:
        return False
    # A server that has not heard of the change yet tells an earlier date.
    return (changed_at is None or changed_at <= _number(row, "changed_at")) and not same(kept, mark)


def pending_in(row: Mapping[str, Value]) -> Pending | None:
    """The writing of a row whose outcome is not known."""
    if not row["pending"]:
        return None
    body: dict[str, Any] = loads(str(row["pending"]))
    mark = body.pop("mark")
    return Pending(**{**body, "whom": Whom(**body["whom"]), "mark": bytes.fromhex(mark) if mark else None})


def _text_of(pending: Pending) -> str:
    whom = {name: getattr(pending.whom, name) for name in _WHOM}
    rest = {name: getattr(pending, name) for name in ("id", "directory", "immutable_id", "how", "door", "before", "at")}
    return dumps({**rest, "whom": whom, "mark": pending.mark.hex() if pending.mark is not None else ""})


_WHOM: Final = ("subject_id", "user_name", "application", "transaction_id", "reference", "language", "realm")


def _key(ring: KeyRing, directory: str, immutable_id: str) -> Row:
    return {"account_mac": ring.mac("password-write", directory.encode(), immutable_id.encode())}


def _mark(ring: KeyRing, user: DirectoryUser, password: Secret) -> bytes:
    """In one Unicode form: another one of the same text is no other password."""
    typed = password.reveal()
    with contextlib.suppress(UnicodeDecodeError):
        typed = unicodedata.normalize("NFC", typed.decode()).encode()
    return ring.mac("new-password", user.directory.encode(), user.immutable_id.encode(), typed)


def _date(at: datetime | None) -> int | None:
    return to_ms(at) if at is not None else None


def _can_take_old(directory: Directory) -> TypeGuard[OldPasswordTaking]:
    return _kind_can_take_old(type(directory))


@lru_cache(maxsize=64)
def _kind_can_take_old(kind: type) -> bool:
    """Asked once for each kind of directory: every login asks."""
    return issubclass(kind, OldPasswordTaking)


# --- pure functions that run inside storage --------------------------------------------------------------------------


def begin_write(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """A writing begins. What was marked before stays until it has succeeded."""
    row = _row(old)
    row.update(
        subject_id=arguments["subject_id"],
        pending_id=arguments["id"],
        pending=arguments["body"],
        next_at=_number(arguments, "now") + ASKED_AFTER_MS,
        expires_at=arguments["expires_at"],
    )
    return Modified(row)


def settle_write(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Its outcome is known: refused, or left as it is, where another writing has begun since or its outcome was told before."""
    if old is None or old["pending_id"] != arguments["id"] or not old["pending"]:
        return Modified(None, refuse=bool(arguments["alone"]))
    row = _row(old)
    row.update(pending="", next_at=0)
    if arguments["mark"] is not None:
        row.update(mark=arguments["mark"], changed_at=arguments["changed_at"], marked_until=arguments["marked_until"])
    row["expires_at"] = max(_number(arguments, "now"), _number(row, "marked_until"))
    return Modified(row)


def put_off_write(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nobody can tell yet: ask again later."""
    if old is None or old["pending_id"] != arguments["id"] or not old["pending"]:
        return Modified(None)
    return Modified({**_row(old), "next_at": arguments["next_at"]})


def _row(old: Row | None) -> dict[str, Value]:
    row: dict[str, Value] = dict.fromkeys(("changed_at", "marked_until", "next_at", "expires_at"), 0)
    row.update(subject_id="", mark=None, pending_id="", pending="")
    row.update({name: value for name, value in (old or {}).items() if name in row})
    return row


def _number(row: Mapping[str, Value], name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else 0
