"""Values as Active Directory writes them: FILETIME, intervals, SIDs, GUIDs, and the form of a password ([MS-ADTS], [MS-DTYP])."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from wardgate.crypto import Secret
from wardgate.errors import MessageError

NEVER: Final = 0x7FFF_FFFF_FFFF_FFFF
MAX_PASSWORD_CHARS: Final = 256
_TICKS_PER_S: Final = 10_000_000
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_MAX_AUTHORITIES: Final = 15
_BUILT_IN: Final = 32  # S-1-5-32: groups of the domain controllers themselves
_OF_A_DOMAIN: Final = 21  # S-1-5-21-...: of some domain
# Administrators and the operators of accounts, servers, printers and backups; domain, schema and enterprise administrators:
# [MS-DTYP] section 2.4.2.4. These are the groups whose members AdminSDHolder protects, [MS-ADTS] section 3.1.1.6.1.
_BUILT_IN_ADMINISTRATORS: Final = frozenset({544, 548, 549, 550, 551})
_DOMAIN_ADMINISTRATORS: Final = frozenset({512, 518, 519})


def moment(filetime: int | None) -> datetime | None:
    """The time of a FILETIME; None for 0, never, and what no calendar holds."""
    if filetime is None or not 0 < filetime < NEVER:
        return None
    try:
        return _EPOCH + timedelta(microseconds=filetime // 10)
    except OverflowError:
        return None


def generalized(text: str | None) -> datetime | None:
    """The time of a GeneralizedTime as the server writes it, `20261122063016.0Z`; None for anything else."""
    try:
        return datetime.strptime((text or "").partition(".")[0], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def filetime(at: datetime) -> int:
    """The FILETIME of a time."""
    past = at - _EPOCH
    return (past.days * 86_400 + past.seconds) * _TICKS_PER_S + past.microseconds * 10


def interval_s(value: int | None) -> int:
    """Seconds of an interval, which is stored negative; 0 for none and for `never`."""
    if value is None or value >= 0 or value <= -NEVER:
        return 0
    return -value // _TICKS_PER_S


def guid_text(value: bytes) -> str:
    """An objectGUID as text. Raises MessageError unless it is one."""
    if len(value) != 16:
        raise MessageError("an objectGUID is not 16 bytes long", "ldap_malformed")
    return str(UUID(bytes_le=value))


def guid_base(text: str) -> str | None:
    """A search base that names an entry by its objectGUID, wherever it was moved; None for what is no GUID."""
    try:
        return f"<GUID={UUID(text)}>" if len(text) == 36 else None
    except ValueError:
        return None


def sid_text(value: bytes) -> str:
    """A SID as text, `S-1-5-21-...`. Raises MessageError unless it is one. [MS-DTYP] section 2.4.2.2."""
    count = value[1] if len(value) >= 8 else _MAX_AUTHORITIES + 1
    if count > _MAX_AUTHORITIES or len(value) != 8 + 4 * count or value[0] != 1:
        raise MessageError("an objectSid is malformed", "ldap_malformed")
    parts = [int.from_bytes(value[at : at + 4], "little") for at in range(8, len(value), 4)]
    return "-".join(map(str, ("S", 1, int.from_bytes(value[2:8], "big"), *parts)))


def is_administrators(sid: bytes) -> bool:
    """Whether a SID is that of a group of administrators that every domain has."""
    if len(sid) not in (16, 28) or sid[0] != 1 or len(sid) != 8 + 4 * sid[1] or sid[2:8] != b"\0\0\0\0\0\x05":
        return False
    kind, last = int.from_bytes(sid[8:12], "little"), int.from_bytes(sid[-4:], "little")
    if len(sid) == 16:
        return kind == _BUILT_IN and last in _BUILT_IN_ADMINISTRATORS
    return kind == _OF_A_DOMAIN and last in _DOMAIN_ADMINISTRATORS


def password_text(password: Secret) -> str | None:
    """A password as characters; None for what cannot be a password here: no UTF-8, with a NUL, empty or overlong.

    A NUL must never reach a bind: what stands before it would be checked alone.
    """
    try:
        text = password.reveal().decode()
    except UnicodeDecodeError:
        return None
    return text if text and "\0" not in text and len(text) <= MAX_PASSWORD_CHARS else None


def unicode_pwd(password: Secret) -> bytes:
    """A password as `unicodePwd` wants it: in quotation marks, UTF-16 ([MS-ADTS] section 3.1.1.3.1.5)."""
    return f'"{password.reveal().decode()}"'.encode("utf-16-le")
