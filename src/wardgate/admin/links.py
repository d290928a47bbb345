"""One-time links to the live log, and the sessions that they begin.

Both are 256 random bits that only the operator's side keeps; we store a keyed fingerprint. A link is taken by one conditional
update, in the same unit as the session that it begins and the audit event: of any number of tries at once, one wins.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, from_ms, to_ms
from wardgate.crypto import KeyRing
from wardgate.storage.port import Committed, Delete, Insert, Reader, Row, Storage, Update, Where

BEARER_BYTES = 32
LINK_LIFE_MS = 15 * 60 * 1000
SESSION_LIFE_MS = 4 * 60 * 60 * 1000
# How long a link that is past its life is kept, so that its page can still say whether it was used.
_KEPT_MS = 24 * 60 * 60 * 1000
_SWEEP_ROWS = 100
_BEARER = re.compile(r"[A-Za-z0-9_-]{43}")


class LinkState(Enum):
    """What a link is good for."""

    OPEN = "open"
    USED = "used"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Session:
    """A live session. `ends_at_ms` is absolute: nothing that is done in it makes it longer."""

    ends_at: datetime


async def make_link(storage: Storage, ring: KeyRing, clock: Clock, actor: str = "cli") -> str:
    """Store a new one-time link and return its bearer value, which is shown once and cannot be had again."""
    bearer = secrets.token_urlsafe(BEARER_BYTES)
    at_ms = to_ms(clock.now())
    await storage.commit(
        [
            Insert("admin_pass", _row(_link_mac(ring, bearer), "link", at_ms + LINK_LIFE_MS)),
            record(AuditEvent(Kind.ADMIN_LINK_MADE, at_ms, actor, details={"life_s": LINK_LIFE_MS // 1000})),
            Delete("admin_pass", (Where("expires_at", "<", at_ms - _KEPT_MS),), limit=_SWEEP_ROWS),
        ]
    )
    return bearer


async def link_state(storage: Reader, ring: KeyRing, clock: Clock, bearer: str) -> LinkState:
    """Say whether a link can still be used. Changes nothing, so that a page may ask."""
    if not _BEARER.fullmatch(bearer):
        return LinkState.UNKNOWN
    row = await storage.get("admin_pass", {"pass_mac": _link_mac(ring, bearer)})
    if row is None or row["kind"] != "link":
        return LinkState.UNKNOWN
    if row["used_at"] is not None:
        return LinkState.USED
    at_ms = to_ms(clock.now())
    return LinkState.OPEN if at_ms < int(row["expires_at"] or 0) <= at_ms + LINK_LIFE_MS else LinkState.UNKNOWN


async def use_link(storage: Storage, ring: KeyRing, clock: Clock, bearer: str, address: str) -> str | None:
    """Take a link and begin a session: its bearer value, or None when the link was used, has run out or was never made."""
    if not _BEARER.fullmatch(bearer):
        return None
    at_ms = to_ms(clock.now())
    session = secrets.token_urlsafe(BEARER_BYTES)
    taken = await storage.commit(
        [
            Update(
                "admin_pass",
                {"pass_mac": _link_mac(ring, bearer)},
                {"used_at": at_ms},
                # A life that ends later than it can: the clock was set back since, and must not lengthen it.
                where=(
                    Where("kind", "=", "link"),
                    Where("used_at", "is_null"),
                    Where("expires_at", ">", at_ms),
                    Where("expires_at", "<=", at_ms + LINK_LIFE_MS),
                ),
            ),
            Insert("admin_pass", _row(_session_mac(ring, session), "session", at_ms + SESSION_LIFE_MS)),
            record(AuditEvent(Kind.ADMIN_LINK_USED, at_ms, "admin link", details={"address": address})),
        ]
    )
    return session if isinstance(taken, Committed) else None


async def find_session(storage: Reader, ring: KeyRing, clock: Clock, bearer: str) -> Session | None:
    """The live session of this bearer value, or None."""
    if not _BEARER.fullmatch(bearer):
        return None
    row = await storage.get("admin_pass", {"pass_mac": _session_mac(ring, bearer)})
    if row is None or row["kind"] != "session" or row["used_at"] is not None:
        return None
    at_ms, ends_at_ms = to_ms(clock.now()), int(row["expires_at"] or 0)
    return Session(from_ms(ends_at_ms)) if at_ms < ends_at_ms <= at_ms + SESSION_LIFE_MS else None


async def end_session(storage: Storage, ring: KeyRing, bearer: str) -> None:
    """End a session now. Ending one that is not there is no fault."""
    if _BEARER.fullmatch(bearer):
        where = (Where("pass_mac", "=", _session_mac(ring, bearer)), Where("kind", "=", "session"))
        await storage.commit([Delete("admin_pass", where)])


def _row(pass_mac: bytes, kind: str, expires_at: int) -> Row:
    return {"pass_mac": pass_mac, "kind": kind, "expires_at": expires_at, "used_at": None}


def _link_mac(ring: KeyRing, bearer: str) -> bytes:
    return ring.mac("admin-link", bearer.encode())


def _session_mac(ring: KeyRing, bearer: str) -> bytes:
    return ring.mac("admin-session", bearer.encode())
