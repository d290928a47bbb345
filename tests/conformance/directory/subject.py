"""A directory under test, and what of the suite holds for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from wardgate.directory.port import AccountState

Add = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Abilities:
    """What of the suite holds for a back-end. The defaults are what Wardgate's own directories do; tests ask by these names.

    any_bytes: a password may be any bytes. blank: an account may have no password. counts: `Subject.work` counts checks.
    checks_unusable: the password of a disabled or locked account is checked all the same. disables, locks: `set_state` can.
    versions: each change of the account raises the version. refusal_keeps: a reset that the history refuses leaves the password as
    it was. remembers: it can remember verified passwords. names_beside_mails:
    a login name may look like a mail address. tells_language: `language` is told. must_change, changes, resets, unlocks: as the
    protocols say. lists: everybody is told. empties: an empty new password is refused by a UsageError before anything is asked.

    The rest is off unless a back-end says so. expires: `Subject.expire` makes a password too old. tells_expiry: and when one
    will be is told. history: earlier passwords are refused. policy: the rules for a new password are told, and there is a least
    length. writes_phone, writes_mail: contacts are taken back.
    """

    any_bytes: bool = True
    blank: bool = True
    counts: bool = True
    checks_unusable: bool = True
    disables: bool = True
    locks: bool = True
    versions: bool = True
    refusal_keeps: bool = True
    remembers: bool = True
    names_beside_mails: bool = True
    tells_language: bool = True
    must_change: bool = True
    changes: bool = True
    resets: bool = True
    unlocks: bool = True
    empties: bool = True
    lists: bool = True
    expires: bool = False
    tells_expiry: bool = False
    history: bool = False
    policy: bool = False
    writes_phone: bool = False
    writes_mail: bool = False


async def _cannot(name: str) -> None:
    raise RuntimeError("this back-end did not say that it can")


@dataclass(frozen=True)
class Subject:
    """A directory under test. `add(name, password, **fields)`, `set_state(name, state)`, `remove(name)`; `work()` rises by one with
    each password check's worth of work. `expire(name)`: his password is older than it may be."""

    directory: Any
    add: Add
    set_state: Callable[[str, AccountState], Awaitable[None]]
    remove: Callable[[str], Awaitable[None]]
    work: Callable[[], int]
    expire: Callable[[str], Awaitable[None]] = _cannot
