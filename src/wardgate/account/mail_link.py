"""Links in messages to a person: each does one thing, once, for some days, and only when somebody presses the button behind it.

The token has 256 random bits and stands in the message alone; stored is its keyed fingerprint. What the link is for is sealed to
its row. Whoever opens a link proves that he reads a mailbox, and nothing else: no link signs anybody in.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Find, Insert, Operation, Row, Update, Where

TABLE: Final = "mail_link"
TOKEN_BYTES: Final = 32
LIFE_MS: Final = 7 * 86_400_000
# Of one person, newest first: what a stolen session could make in a week is bounded by its codes.
MAX_LINKS: Final = 100
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class Purpose(StrEnum):
    """What a link does."""

    UNDO_CONTACT = "undo_contact"
    NOT_ME = "not_me"


@dataclass(frozen=True, slots=True)
class MailLink:
    """A row of `mail_link`, opened. `payload`: what is needed to act."""

    mac: bytes
    subject_id: SubjectId
    purpose: Purpose
    payload: Mapping[str, Any] = field(repr=False)
    created_at: int
    expires_at: int
    used_at: int | None

    def is_open(self, now_ms: int) -> bool:
        """Whether it can still be used."""
        return self.used_at is None and now_ms < self.expires_at


def make(
    ring: KeyRing, subject_id: SubjectId, purpose: Purpose, payload: Mapping[str, object], at_ms: int
) -> tuple[Secret, Insert]:
    """A new link: the token for the message, and the operation that belongs into the unit of what it could undo."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    mac = _mac(ring, token)
    row: Row = {
        "link_mac": mac,
        "subject_id": subject_id,
        "purpose": purpose.value,
        "sealed": ring.seal(dumps(payload).encode(), bound_to(mac)),
        "created_at": at_ms,
        "expires_at": at_ms + LIFE_MS,
        "used_at": None,
    }
    return Secret(token), Insert(TABLE, row)


def mac_of(ring: KeyRing, token: str) -> bytes | None:
    """The fingerprint of a token; None for what cannot be one."""
    return _mac(ring, token) if _TOKEN.fullmatch(token) else None


def from_row(ring: KeyRing, row: Row) -> MailLink | None:
    """The typed value of a stored row; None for one that was tampered with."""
    mac, sealed, used_at = row["link_mac"], row["sealed"], row["used_at"]
    if not isinstance(mac, bytes) or not isinstance(sealed, bytes):
        return None
    try:
        payload = loads(ring.open(sealed, bound_to(mac)))
    except SealError:
        return None
    return MailLink(
        mac=mac,
        subject_id=SubjectId(str(row["subject_id"])),
        purpose=Purpose(str(row["purpose"])),
        payload=payload,
        created_at=int(row["created_at"] or 0),
        expires_at=int(row["expires_at"] or 0),
        used_at=used_at if isinstance(used_at, int) else None,
    )


def use(link: MailLink, now_ms: int) -> Operation:
    """Use it up, in the unit of its act: of two who press the button at once, one acts."""
    still_open = (Where("used_at", "is_null"), Where("expires_at", ">", now_ms))
    return Update(TABLE, {"link_mac": link.mac}, {"used_at": now_ms}, where=still_open)


def links_of(subject_id: SubjectId, now_ms: int) -> Find:
    """What to read of a person's links that have not run out."""
    where = (Where("subject_id", "=", subject_id), Where("expires_at", ">", now_ms))
    return Find(TABLE, where, order_by="created_at", descending=True, limit=MAX_LINKS)


def bound_to(mac: bytes) -> str:
    """The associated data of a row of table `mail_link`."""
    return f"mail_link:{mac.hex()}"


def _mac(ring: KeyRing, token: str) -> bytes:
    return ring.mac("mail-link", token.encode())
