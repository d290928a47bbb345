"""An entry of a user into the user that the engine knows: state, groups, contacts, and a version of it all."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from wardgate.directory.active_directory.domain import Rules
from wardgate.directory.active_directory.groups import Group, aliases_of
from wardgate.directory.active_directory.settings import ActiveDirectoryAttributes
from wardgate.directory.active_directory.values import NEVER, generalized, guid_text, is_administrators, moment
from wardgate.directory.ldap.port import Entry
from wardgate.directory.phones import read_phones
from wardgate.directory.port import AccountState, DirectoryUser, Lockout

# Accounts of persons: contacts have no password, computers are users by their class.
PERSONS: Final = "(objectCategory=person)(objectClass=user)"
DN_ATTRIBUTE: Final = "distinguishedName"
MAX_MAILS: Final = 10

_DISABLED: Final = 0x2  # UF_ACCOUNTDISABLE, [MS-ADTS] section 2.2.16
_LOCKED: Final = 0x10  # UF_LOCKOUT, true only in the computed attribute
_NEVER_EXPIRES: Final = 0x10000  # UF_DONT_EXPIRE_PASSWD

_CONTROL: Final = "userAccountControl"
_COMPUTED: Final = "msDS-User-Account-Control-Computed"
_EXPIRY: Final = "msDS-UserPasswordExpiryTimeComputed"
RESULTANT_PSO: Final = "msDS-ResultantPSO"
TOKEN_GROUPS: Final = "tokenGroups"  # noqa: S105 - an attribute's name
# A wrong password moves these, and is no change of the account; what it leads to shows in the computed attribute.
_VOLATILE: Final = frozenset({"badpwdcount", "badpasswordtime"})
_MOST: Final = 2**63 - 1
# A domain goes on taking the password before for an hour after a change (OldPasswordAllowedPeriod), and clocks differ.
OLD_PASSWORD: Final = timedelta(minutes=65)
# Where the password was set as soon as the account was made, it is the first one.
FIRST_PASSWORD: Final = timedelta(minutes=1)
_ALWAYS: Final = (
    "objectGUID",
    "sAMAccountName",
    "userPrincipalName",
    _CONTROL,
    _COMPUTED,
    _EXPIRY,
    RESULTANT_PSO,
    "accountExpires",
    "pwdLastSet",
    "whenCreated",
    "lockoutTime",
    "adminCount",
    "badPwdCount",
    "badPasswordTime",
    TOKEN_GROUPS,
)


def attributes_to_read(names: ActiveDirectoryAttributes, one_server: bool) -> tuple[str, ...]:
    """Everything that is read of a user, in one read of his own entry (`tokenGroups` is told only there).

    `one_server`: the usual case, in which one server answers while it can. Then its own change number tells of every change at
    all; numbers of two servers would differ for the same account.
    """
    own = (names.display_name, names.mail, *names.other_mails, names.phone, *names.other_phones, names.language, *names.more)
    return tuple(dict.fromkeys((*_ALWAYS, *own, *(("uSNChanged",) if one_server else ()))))


def account_state(entry: Entry, now: datetime) -> AccountState:
    """Whether the account may be used. A lock is what counts least: it passes, and can be lifted."""
    if (entry.number(_CONTROL) or 0) & _DISABLED:
        return AccountState.DISABLED
    ends = moment(entry.number("accountExpires"))
    if ends is not None and ends <= now:
        return AccountState.EXPIRED
    locked = (entry.number(_COMPUTED) or 0) & _LOCKED
    return AccountState.LOCKED if locked else AccountState.ACTIVE


def must_change(entry: Entry) -> bool:
    """Whether the password was set by somebody else and has to be chosen anew."""
    expiry = entry.number(_EXPIRY)
    if expiry is not None:
        return expiry == 0
    return entry.number("pwdLastSet") == 0 and not (entry.number(_CONTROL) or 0) & _NEVER_EXPIRES


def lockout(entry: Entry, rules: Rules, now: datetime) -> Lockout | None:
    """How near the account is to its lock. Failures older than the window do not count any more, whatever the entry says."""
    if not rules.threshold:
        return None
    failures, last = entry.number("badPwdCount") or 0, moment(entry.number("badPasswordTime"))
    if rules.window_s and (last is None or (now - last).total_seconds() >= rules.window_s):
        failures = 0
    return Lockout(rules.threshold, rules.window_s, max(0, failures))


def is_protected(entry: Entry) -> bool:
    """Whether it is an administrator's. Windows sets adminCount within an hour of that, Samba never: the groups tell at once."""
    return (entry.number("adminCount") or 0) > 0 or any(is_administrators(sid) for sid in entry.values(TOKEN_GROUPS))


def old_password_until(entry: Entry) -> datetime | None:
    """Until when a bind with the password before the present one may succeed."""
    since, created = moment(entry.number("pwdLastSet")), generalized(entry.text("whenCreated"))
    if since is None or (created is not None and since - created <= FIRST_PASSWORD):
        return None
    return since + OLD_PASSWORD


def version_of(entry: Entry) -> int:
    """A number that differs when anything that was read differs, and rises with the server's change number where that was read."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(entry.attributes):
        if name in _VOLATILE:
            continue
        for part in (name.encode(), *sorted(entry.attributes[name])):
            digest.update(len(part).to_bytes(4, "big") + part)
    mark, change = int.from_bytes(digest.digest(), "big"), entry.number("uSNChanged")
    return mark >> 1 if change is None else (change << 24 | mark >> 40) & _MOST


def user_from(
    directory: str,
    entry: Entry,
    names: ActiveDirectoryAttributes,
    groups: Sequence[Group],
    rules: Rules,
    now: datetime,
    region: str | None,
) -> DirectoryUser:
    """The user. Raises MessageError when the entry has no objectGUID."""
    phones, unusable = _phones(entry, names, region)
    mails = _mails(entry, names)
    expiry = entry.number(_EXPIRY)
    return DirectoryUser(
        directory=directory,
        immutable_id=guid_text(next(iter(entry.values("objectGUID")), b"")),
        name=entry.text("sAMAccountName") or "",
        state=account_state(entry, now),
        display_name=entry.text(names.display_name) or "",
        mail=next(iter(mails), None),
        phone=next(iter(phones), None),
        language=_language(entry.text(names.language)),
        groups=tuple(dict.fromkeys(group.name for group in groups)),
        attributes={DN_ATTRIBUTE: (entry.dn,), **{name: entry.texts(name) for name in names.more if entry.texts(name)}},
        must_change=must_change(entry),
        password_expires_at=None if expiry == NEVER else moment(expiry),
        version=version_of(entry),
        other_mails=mails[1:],
        other_phones=phones[1:],
        group_aliases=aliases_of(groups),
        protected=is_protected(entry),
        lockout=lockout(entry, rules, now),
        unusable=unusable,
        old_password_until=old_password_until(entry),
    )


def _phones(entry: Entry, names: ActiveDirectoryAttributes, region: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    phones: dict[str, None] = {}
    unusable: list[str] = []
    for attribute in (names.phone, *names.other_phones):
        good, bad = read_phones(attribute, entry.texts(attribute), region)
        phones.update(dict.fromkeys(good))
        unusable += bad
    return tuple(phones), tuple(unusable)


def _mails(entry: Entry, names: ActiveDirectoryAttributes) -> tuple[str, ...]:
    """Addresses, each once. `proxyAddresses` writes `smtp:` before them, and other words before what is none."""
    found: dict[str, str] = {}
    for attribute in (names.mail, *names.other_mails):
        for value in entry.texts(attribute)[:MAX_MAILS]:
            kind, colon, address = value.strip().rpartition(":")
            if "@" in address and (not colon or kind.lower() == "smtp"):
                found.setdefault(address.casefold(), address)
    return tuple(found.values())[:MAX_MAILS]


def _language(value: str | None) -> str | None:
    """The first language of `tr-TR, en;q=0.5`, without its country."""
    first = (value or "").partition(",")[0].partition(";")[0].strip()
    word = first.partition("-")[0].partition("_")[0].lower()
    return word if word.isascii() and word.isalpha() and 2 <= len(word) <= 3 else None
