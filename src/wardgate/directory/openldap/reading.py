"""A user from an entry: state, expiry, lock-out and contacts, as they are at a given time."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from wardgate.clock import Clock
from wardgate.directory.ldap.port import Entry
from wardgate.directory.names import canonical_name
from wardgate.directory.openldap.groups import Memberships
from wardgate.directory.openldap.ppolicy import LOCKED_FOR_GOOD, Policy, later, read_time
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.directory.phones import read_phones
from wardgate.directory.port import AccountState, DirectoryUser, Lockout
from wardgate.errors import DirectoryUnavailable

MAX_TEXT_CHARS: Final = 1_000
MAX_VALUES: Final = 100
MAX_MAILS: Final = 10
MAX_MAIL_CHARS: Final = 254
# The user's DN, as the server wrote it, among his attributes; also where the further ones that are asked for stand.
DN: Final = "dn"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_MAIL = re.compile(r"[^\s@]+@[^\s@]+")
_CSN = re.compile(r"(\d{14})\.(\d{6})Z.*", re.DOTALL | re.ASCII)
_VERSION_BITS: Final = 12
# What a change of leaves entryCSN as it is where the overlay itself writes.
_STATE_ATTRIBUTES: Final = (
    "entryCSN",
    "pwdChangedTime",
    "pwdReset",
    "pwdAccountLockedTime",
    "pwdPolicySubentry",
    "pwdStartTime",
    "pwdEndTime",
    "shadowExpire",
)
_STATE_NAMES: Final = tuple((name.lower(), name.lower().encode() + b"\0") for name in (*_STATE_ATTRIBUTES, "modifyTimestamp"))


class UserReader:
    """Makes users of entries. `attributes` is what has to be read of an entry."""

    def __init__(self, settings: OpenLdapSettings, region: str | None, clock: Clock) -> None:
        self._settings = settings
        self._region = region
        self._clock = clock
        named = settings.attributes
        self.attributes: tuple[str, ...] = tuple(
            dict.fromkeys(
                (
                    named.user_name,
                    named.id,
                    *named.display_name,
                    named.mail,
                    named.phone,
                    *named.other_phones,
                    named.language,
                    *named.more,
                    settings.groups.member_of,
                    "gidNumber",
                    "modifyTimestamp",
                    "pwdFailureTime",
                    *_STATE_ATTRIBUTES,
                )
            )
        )

    def id_of(self, entry: Entry) -> str:
        """The immutable id. Raises DirectoryUnavailable: without it nobody can be told from his successor."""
        found = entry.text(self._settings.attributes.id)
        if not found:
            raise DirectoryUnavailable(
                f"directory {self._settings.name}: the service account cannot read {self._settings.attributes.id} of users"
            )
        return found

    def is_named(self, entry: Entry, key: str) -> bool:
        """Whether this is the entry's login name. The server's own comparison folds letters that we hold to be different."""
        return any(canonical_name(value) == key for value in entry.texts(self._settings.attributes.user_name))

    def has_mail(self, entry: Entry, key: str) -> bool:
        """Whether this is one of the entry's mail addresses."""
        return any(canonical_name(value) == key for value in entry.texts(self._settings.attributes.mail))

    def user(self, entry: Entry, policy: Policy | None, memberships: Memberships) -> DirectoryUser:
        """The user as he is now. Raises DirectoryUnavailable when the entry has no readable id."""
        named, now = self._settings.attributes, self._clock.now()
        phones, unusable = self._phones(entry)
        mails = [mail for mail in entry.texts(named.mail) if len(mail) <= MAX_MAIL_CHARS and _MAIL.fullmatch(mail)][:MAX_MAILS]
        names = entry.texts(named.user_name)
        return DirectoryUser(
            directory=self._settings.name,
            immutable_id=self.id_of(entry),
            name=_short(names[0]) if names else "",
            state=state_of(entry, policy, now, self._settings.shadow),
            display_name=next((_short(text) for name in named.display_name if (text := entry.text(name))), ""),
            mail=mails[0] if mails else None,
            phone=phones[0] if phones else None,
            language=self._language(entry),
            groups=memberships.names,
            attributes=self._attributes(entry),
            must_change=must_change(entry, policy),
            password_expires_at=expires_at(entry, policy),
            password_changed_at=read_time(entry.text("pwdChangedTime")),
            version=version_of(entry),
            other_mails=tuple(mails[1:]),
            other_phones=phones[1:],
            group_aliases=memberships.aliases,
            protected=memberships.any_of(self._settings.groups.protected),
            lockout=lockout_of(entry, policy, now),
            unusable=(*unusable, *memberships.problems),
        )

    def _phones(self, entry: Entry) -> tuple[tuple[str, ...], tuple[str, ...]]:
        usable: dict[str, None] = {}
        unusable: list[str] = []
        for attribute in (self._settings.attributes.phone, *self._settings.attributes.other_phones):
            good, bad = read_phones(attribute, entry.texts(attribute), self._region)
            usable.update(dict.fromkeys(good))
            unusable.extend(bad)
        return tuple(usable), tuple(unusable)

    def _language(self, entry: Entry) -> str | None:
        """The first language of an Accept-Language value (RFC 2798 section 2.7)."""
        found = _LANGUAGE.match((entry.text(self._settings.attributes.language) or "").strip())
        return found[0] if found else None

    def _attributes(self, entry: Entry) -> dict[str, tuple[str, ...]]:
        more = {
            name: tuple(_short(value) for value in values[:MAX_VALUES])
            for name in self._settings.attributes.more
            if (values := entry.texts(name))
        }
        return {**more, DN: (entry.dn,)}


def state_of(entry: Entry, policy: Policy | None, now: datetime, shadow: bool = False) -> AccountState:
    """Whether the account may be used. A lock that has run out is none, and one that the policy does not know is none either;
    an administrator's is one whatever the policy says.

    When the policy cannot be read, it is unknown when a lock runs out: then the account counts as active, and the bind tells.
    """
    lock = entry.text("pwdAccountLockedTime")
    if lock is not None and lock.startswith(LOCKED_FOR_GOOD[:8]):
        return AccountState.DISABLED
    if _is_over(entry, now, shadow):
        return AccountState.EXPIRED
    if policy is not None and is_locked(entry, policy, now):
        return AccountState.LOCKED
    return AccountState.ACTIVE


def is_locked(entry: Entry, policy: Policy | None, now: datetime) -> bool:
    """Whether wrong passwords locked the account and that may be undone. Any such lock, where the policy cannot be read."""
    lock = entry.text("pwdAccountLockedTime")
    if lock is None or lock.startswith(LOCKED_FOR_GOOD[:8]):
        return False
    return policy is None or (policy.locks and _locked_at(lock, policy, now))


def must_change(entry: Entry, policy: Policy | None) -> bool:
    """Whether the password was set by somebody else, and has to be changed. A policy without pwdMustChange ignores the mark."""
    return entry.text("pwdReset") == "TRUE" and (policy is None or policy.must_change)


def expires_at(entry: Entry, policy: Policy | None) -> datetime | None:
    """When the password stops being good. A password without pwdChangedTime never does, as the overlay has it."""
    changed = read_time(entry.text("pwdChangedTime"))
    return later(changed, policy.max_age_s) if changed is not None and policy is not None and policy.max_age_s else None


def lockout_of(entry: Entry, policy: Policy | None, now: datetime) -> Lockout | None:
    """When the server locks the account, and the failures that it counts now."""
    if policy is None:
        return None
    since = now - timedelta(seconds=min(policy.failure_window_s, 10 * 366 * 86_400))
    times = [read_time(text) for text in entry.texts("pwdFailureTime")]
    failures = sum(1 for at in times if at is not None and (not policy.failure_window_s or at > since))
    return Lockout(policy.threshold, policy.failure_window_s, failures)


def version_of(entry: Entry) -> int:
    """Rises with every change that somebody made to the entry, and differs after every change of state that the overlay made.

    The time of the last change in microseconds, from entryCSN, and below it some bits of all that tells the account's state.
    0: nothing can be read that a change of the password would show in.
    """
    # Neither a name nor a value of these can hold a NUL or a line end.
    told = b"\n".join([label + b"\0".join(values) for name, label in _STATE_NAMES if (values := entry.values(name))])
    digest = int.from_bytes(hashlib.blake2b(told, digest_size=8).digest())
    changed = _changed_us(entry)
    if changed is None:
        return digest >> 1 | 1 if entry.values("pwdChangedTime") else 0
    return changed << _VERSION_BITS | digest & ((1 << _VERSION_BITS) - 1)


def _changed_us(entry: Entry) -> int | None:
    csn = _CSN.fullmatch(entry.text("entryCSN") or "")
    at = read_time(f"{csn[1]}.{csn[2]}Z" if csn else entry.text("modifyTimestamp"))
    # In whole numbers: seconds as a float do not hold every microsecond.
    return None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _locked_at(lock: str, policy: Policy, now: datetime) -> bool:
    if not policy.lockout_duration_s:
        return True
    since = read_time(lock)
    until = later(since, policy.lockout_duration_s) if since is not None else None
    return until is None or now < until


def _is_over(entry: Entry, now: datetime, shadow: bool) -> bool:
    begins, ends = read_time(entry.text("pwdStartTime")), read_time(entry.text("pwdEndTime"))
    if (begins is not None and now < begins) or (ends is not None and now >= ends):
        return True
    # shadow(5): the day, counted from 1970, from which the account may not be used; below 1: never.
    day = entry.number("shadowExpire") if shadow else None
    return day is not None and day > 0 and int(now.timestamp()) // 86_400 >= day


def _short(text: str) -> str:
    return text[:MAX_TEXT_CHARS]


def merged(values: Sequence[str], new: str | None) -> tuple[bytes, ...]:
    """The values of an attribute with another preferred one, or without it; nothing twice."""
    kept = [value for value in values[1:] if value != new]
    return tuple(value.encode() for value in ([new, *kept] if new is not None else kept))
