"""The password policy overlay: its control on the wire, its times, and what a policy entry says.

draft-behera-ldap-password-policy-10; OpenLDAP 2.4 to 2.6 speak it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Final

from wardgate.directory.ldap import ber
from wardgate.directory.ldap.port import Control, Entry, Result
from wardgate.directory.port import PasswordPolicy
from wardgate.errors import MessageError

OID: Final = "1.3.6.1.4.1.42.2.27.8.5.1"
# Not critical: a server without the overlay takes the request all the same.
ASK: Final = (Control(OID),)
# pwdAccountLockedTime with this value is an administrator's lock, which no time and no reset may lift (section 5.3.3).
LOCKED_FOR_GOOD: Final = "000001010000Z"
_WARNING, _ERROR, _EXPIRES_IN, _GRACE = 0xA0, 0x81, 0x80, 0x81
_GENERALIZED_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(?:(\d\d)(\d\d)?)?(?:[.,](\d+))?Z", re.ASCII)


class PolicyError(IntEnum):
    """What the control says beside the result code."""

    PASSWORD_EXPIRED = 0
    ACCOUNT_LOCKED = 1
    CHANGE_AFTER_RESET = 2
    PASSWORD_MOD_NOT_ALLOWED = 3
    MUST_SUPPLY_OLD_PASSWORD = 4
    INSUFFICIENT_QUALITY = 5
    TOO_SHORT = 6
    TOO_YOUNG = 7
    IN_HISTORY = 8
    TOO_LONG = 9


@dataclass(frozen=True, slots=True)
class Told:
    """What the response control held. `grace_left`: grace logins that are left after this bind, which used one."""

    expires_in_s: int | None = None
    grace_left: int | None = None
    error: int | None = None


NOTHING: Final = Told()


def told(result: Result) -> Told:
    """What the control of an answer says. Nothing when there is none. Raises MessageError when it is garbage."""
    control = result.control(OID)
    return NOTHING if control is None or not control.value else decode(control.value)


def decode(value: bytes) -> Told:
    """The value of the response control (section 6.2). Raises MessageError."""
    outer = ber.Reader(value)
    body = outer.enter()
    outer.end()
    expires_in_s = grace_left = error = None
    if body.tag == _WARNING:
        warning = body.enter(_WARNING)
        if warning.tag == _EXPIRES_IN:
            expires_in_s = warning.integer(_EXPIRES_IN)
        else:
            grace_left = warning.integer(_GRACE)
        warning.end()
    if body.tag == _ERROR:
        error = body.integer(_ERROR)
    body.end()
    return Told(expires_in_s, grace_left, error)


def read_time(text: str | None) -> datetime | None:
    """A GeneralizedTime in UTC (RFC 4517 section 3.3.13), fractions of a second included; None for anything else."""
    parts = _GENERALIZED_TIME.fullmatch(text) if text is not None and len(text) <= 40 else None
    if parts is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    try:
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    return at.replace(microsecond=int(((parts[7] or "") + "000000")[:6]))


def write_time(at: datetime) -> bytes:
    """The time as attributes hold it."""
    return at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy entry. 0: no such rule, as there. `lockout_duration_s` 0: until somebody lifts the lock."""

    dn: str
    min_length: int = 0
    max_length: int = 0
    history: int = 0
    quality: int = 0
    min_age_s: int = 0
    max_age_s: int = 0
    warn_s: int = 0
    grace_logins: int = 0
    locks: bool = False
    max_failures: int = 0
    failure_window_s: int = 0
    lockout_duration_s: int = 0
    safe_modify: bool = False
    user_may_change: bool = True
    must_change: bool = False

    def rules(self) -> PasswordPolicy:
        """What a new password has to fulfil. A length is checked only where quality is (pwdCheckQuality)."""
        return PasswordPolicy(
            min_length=self.min_length if self.quality else 0,
            max_length=self.max_length if self.quality else 0,
            history=self.history,
            min_age_s=self.min_age_s,
            max_age_s=self.max_age_s,
        )

    @property
    def threshold(self) -> int:
        """The wrong passwords that lock an account."""
        return self.max_failures if self.locks else 0


POLICY_ATTRIBUTES: Final = (
    "cn",
    "pwdMinLength",
    "pwdMaxLength",
    "pwdInHistory",
    "pwdCheckQuality",
    "pwdMinAge",
    "pwdMaxAge",
    "pwdExpireWarning",
    "pwdGraceAuthNLimit",
    "pwdLockout",
    "pwdMaxFailure",
    "pwdFailureCountInterval",
    "pwdLockoutDuration",
    "pwdSafeModify",
    "pwdAllowUserChange",
    "pwdMustChange",
)


def read_policy(entry: Entry) -> Policy:
    """The policy that an entry describes."""

    def number(name: str) -> int:
        return max(0, entry.number(name) or 0)

    return Policy(
        dn=entry.dn,
        min_length=number("pwdMinLength"),
        max_length=number("pwdMaxLength"),
        history=number("pwdInHistory"),
        quality=number("pwdCheckQuality"),
        min_age_s=number("pwdMinAge"),
        max_age_s=number("pwdMaxAge"),
        warn_s=number("pwdExpireWarning"),
        grace_logins=number("pwdGraceAuthNLimit"),
        locks=entry.text("pwdLockout") == "TRUE",
        max_failures=number("pwdMaxFailure"),
        failure_window_s=number("pwdFailureCountInterval"),
        lockout_duration_s=number("pwdLockoutDuration"),
        safe_modify=entry.text("pwdSafeModify") == "TRUE",
        user_may_change=entry.text("pwdAllowUserChange") != "FALSE",
        must_change=entry.text("pwdMustChange") == "TRUE",
    )


def later(at: datetime, seconds: int) -> datetime | None:
    """`at` and so many seconds; None beyond what a date can be, which is never."""
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return None


def garbled(error: MessageError) -> str:
    """What to tell of a control that cannot be read."""
    return f"its password policy control cannot be read: {error.message}"
