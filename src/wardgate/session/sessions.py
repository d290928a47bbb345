"""Begins, finds, renews and ends sessions.

The bearer value is 256 random bits in a cookie. It changes at each grant and step-up; one that arrives from outside is never taken
over. A session ends at its absolute end, after its idle time, and when its row goes.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock
from wardgate.crypto import KeyRing, new_id
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Committed, Delete, Insert, Operation, Reader, Row, Storage, Update, Where
from wardgate.values import quick_value

BEARER_BYTES: Final = 32
MAX_LIFE_S: Final = 24 * 3600
DEFAULT_LIFE_S: Final = 8 * 3600
DEFAULT_IDLE_S: Final = 30 * 60
# Whoever has two strong factors demanded of him is an administrator.
ADMINISTRATOR_LIFE_S: Final = 4 * 3600
ADMINISTRATOR_IDLE_S: Final = 15 * 60
# That a session was used is written so often at most: an idle time is kept to the minute.
SEEN_EVERY_MS: Final = 60_000
# A time ahead of the present was written before the clock was set back.
CLOCK_STEP_MS: Final = 60_000
MAX_SESSIONS: Final = 20
# Of a person, with those that rested too long: as many of these, and what several sign-ins at once add before they cut.
MAX_KEPT: Final = 4 * MAX_SESSIONS
MAX_DEVICE_CHARS: Final = 200
# How a session ended that nobody ended, and any other.
RESTED, OVER, GONE = "idle", "over", "ended"
_JUST_NOW: Final[Mapping[str, int]] = {}
_BEARER: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@quick_value
class Whose:
    """Whose session it is, as the login that began it found him."""

    subject_id: SubjectId
    realm: str
    directory: str
    user_name: str
    display_name: str
    language: str


@quick_value
class Session:
    """A live session. `id` names it in lists and in audit and opens nothing.

    `proofs`: the factors that were proved, each with when, in milliseconds. `confirmed_at`: when the person last proved that it
    is him for the sake of a change; 0: not in this session. `ends_at`: the absolute end; `idle_ms`: how long it may rest.
    `rested_ms`: for how long it rested at the longest since something was proved in it, as far as it was used again. `application`:
    what it was begun for; our own pages let in by it only once their own policy was asked (`admit`). `made_for`: the address of
    ours that the last sign-in led to; `made_at`: from then on everything was proved for that. `mac`: what is stored of the value
    that it was found by.
    """

    id: str
    whose: Whose
    proofs: Mapping[str, int]
    assurance: int
    application: str
    address: str
    device: str
    created_at: int
    seen_at: int
    ends_at: int
    idle_ms: int
    confirmed_at: int = 0
    rested_ms: int = 0
    made_for: str = ""
    made_at: int = 0
    mac: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Opening:
    """What a session begins with. `confirms`: the login that opens it has just shown by two factors who sits there.

    `proved_at`: when what was proved before was proved; all else was just now. `made_for`: as of a `Session`.
    """

    whose: Whose
    factors: Sequence[str]
    assurance: int
    application: str
    address: str
    device: str
    reference: str
    life_s: int = DEFAULT_LIFE_S
    idle_s: int = DEFAULT_IDLE_S
    confirms: bool = False
    proved_at: Mapping[str, int] = field(default_factory=dict)
    made_for: str = ""


class Sessions:
    """All sessions of the installation."""

    def __init__(self, storage: Storage, ring: Callable[[], KeyRing], clock: Clock) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock

    async def begin(self, opening: Opening, instead_of: str = "") -> str:
        """Begin a session and return its bearer value. `instead_of`: the bearer of the one that this browser had, which ends.

        A person has a bounded number of them: the one that rested longest goes first.
        """
        bearer, now_ms = secrets.token_urlsafe(BEARER_BYTES), self._clock.now_ms()
        session = _new(opening, now_ms)
        old = [Delete("sso_session", (Where("session_mac", "=", self._mac(instead_of)),))] if _is_bearer(instead_of) else []
        event = AuditEvent(
            Kind.SESSION_BEGUN,
            now_ms,
            "session",
            reference=opening.reference,
            subject_id=opening.whose.subject_id,
            details={
                "session": session.id,
                "application": opening.application,
                "factors": list(opening.factors),
                "device": session.device,
                "source": session.address,
            },
        )
        await self._storage.commit([*old, Insert("sso_session", _row(session, self._mac(bearer))), record(event)])
        await self._cut(opening.whose.subject_id)
        return bearer

    async def find(self, bearer: str) -> Session | None:
        """The live session of a bearer value; None for any other. That it was used is noted once a minute.

        How long it had rested by now is in it already.
        """
        now_ms = self._clock.now_ms()
        session = await self._stored(bearer, now_ms)
        if session is None or not is_live(session, now_ms):
            return None
        if now_ms - session.seen_at >= SEEN_EVERY_MS:
            # Whether this one or another request notes it does not matter; that it brings no ended session back does.
            seen = (Where("seen_at", "=", session.seen_at),)
            changes: Row = {"seen_at": now_ms, "body": _body(session)}
            await self._storage.commit([Update("sso_session", {"session_mac": session.mac}, changes, where=seen)])
            session = replace(session, seen_at=now_ms)
        return session

    async def look(self, bearer: str) -> Session | None:
        """The same, and it stays unused."""
        session = await self._stored(bearer)
        return session if session is not None and is_live(session, self._clock.now_ms()) else None

    async def why_ended(self, bearer: str) -> str:
        """How the session of this value ended: RESTED or OVER, whichever came first; GONE where its row went before that.

        Why a row went stands among its person's events, who is not known by the value alone.
        """
        session, now_ms = await self._stored(bearer), self._clock.now_ms()
        if session is None or is_live(session, now_ms):
            return GONE
        return RESTED if session.seen_at + session.idle_ms < session.ends_at else OVER

    async def _stored(self, bearer: str, used_at: int = 0) -> Session | None:
        row = await self._storage.get("sso_session", {"session_mac": self._mac(bearer)}) if _is_bearer(bearer) else None
        return _from_row(row, used_at) if row is not None else None

    async def confirm(self, bearer: str, subject_id: SubjectId, factors: Sequence[str]) -> str | None:
        """The person has just proved again that it is him: the session goes on under a new bearer value, which is returned.

        None when it is not there any more, or somebody else's: a proof of one person confirms nobody else's session.
        """
        session = await self.find(bearer)
        if session is None or session.whose.subject_id != subject_id:
            return None
        now_ms, value = self._clock.now_ms(), secrets.token_urlsafe(BEARER_BYTES)
        proofs = {**session.proofs, **dict.fromkeys(factors, now_ms)}
        moved = replace(session, proofs=proofs, confirmed_at=now_ms, seen_at=now_ms, rested_ms=0, made_for="", made_at=0)
        details = {"session": session.id, "factors": list(factors)}
        return await self._moved(bearer, moved, value, Kind.SESSION_CONFIRMED, details)

    async def prove(
        self,
        bearer: str,
        session_id: str,
        subject_id: SubjectId,
        factors: Sequence[str],
        application: str,
        assurance: int,
        proved_at: Mapping[str, int] = _JUST_NOW,
        made_for: str = "",
    ) -> str | None:
        """The person has proved more for the sake of this application: the session goes on under a new bearer value, with it.

        It confirms no change of his account: what that takes is not what an application asks for. `proved_at`: as of an `Opening`;
        a browser that was trusted long ago is not trusted anew by being shown. `made_for`: as of a `Session`. None as for
        `confirm`.
        """
        session = await self.find(bearer)
        if session is None or session.id != session_id or session.whose.subject_id != subject_id:
            return None
        now_ms, value = self._clock.now_ms(), secrets.token_urlsafe(BEARER_BYTES)
        dated = {kind: max(proved_at.get(kind, now_ms), session.proofs.get(kind, 0)) for kind in factors}
        proofs = {**session.proofs, **dated}
        reached = max(session.assurance, assurance)
        made_at = session.made_at if made_for and made_for == session.made_for else now_ms
        moved = replace(session, proofs=proofs, seen_at=now_ms, rested_ms=0, assurance=reached, made_for=made_for, made_at=made_at)
        details = {"session": session.id, "factors": list(factors), "application": application}
        return await self._moved(bearer, moved, value, Kind.SESSION_STEPPED_UP, details)

    async def _moved(self, bearer: str, moved: Session, value: str, kind: Kind, details: Mapping[str, object]) -> str | None:
        """Of two at once one goes on: the other finds the old row gone."""
        old, subject_id = self._mac(bearer), moved.whose.subject_id
        event = AuditEvent(kind, moved.seen_at, "session", subject_id=subject_id, details=details)
        there = Update("sso_session", {"session_mac": old}, {}, where=(Where("subject_id", "=", subject_id),))
        gone = Delete("sso_session", (Where("session_mac", "=", old),))
        commit = await self._storage.commit([there, gone, Insert("sso_session", _row(moved, self._mac(value))), record(event)])
        return value if isinstance(commit, Committed) else None

    def still(self, session: Session) -> Operation:
        """What refuses a unit once this session has ended, or goes on under another value than it was found by."""
        return Update("sso_session", {"session_mac": session.mac}, {}, where=(Where("id", "=", session.id),))

    def admit(self, session: Session, application: str) -> Operation:
        """The same, and the session counts as one of this application from then on."""
        changes = {"body": _body(replace(session, application=application))}
        return Update("sso_session", {"session_mac": session.mac}, changes, where=(Where("id", "=", session.id),))

    async def renew(self, bearer: str) -> str | None:
        """The session goes on under a new bearer value, which is returned; nothing was proved by that. None when it is gone."""
        session = await self.find(bearer)
        if session is None:
            return None
        value, old = secrets.token_urlsafe(BEARER_BYTES), self._mac(bearer)
        there = Update("sso_session", {"session_mac": old}, {"seen_at": session.seen_at})
        gone = Delete("sso_session", (Where("session_mac", "=", old),))
        commit = await self._storage.commit([there, gone, Insert("sso_session", _row(session, self._mac(value)))])
        return value if isinstance(commit, Committed) else None

    async def end(self, bearer: str, why: str) -> Session | None:
        """End the session of this bearer value; returns it when it was there."""
        if not _is_bearer(bearer):
            return None
        mac = self._mac(bearer)
        row = await self._storage.get("sso_session", {"session_mac": mac})
        if row is None:
            return None
        session = _from_row(row)
        await self._storage.commit(
            [Delete("sso_session", (Where("session_mac", "=", mac),)), self._ended(session.whose.subject_id, [session.id], why)]
        )
        return session

    async def of_subject(self, subject_id: SubjectId) -> list[Session]:
        """All live sessions of a person, the one used last first."""
        now_ms = self._clock.now_ms()
        return [session for session in await self._kept(subject_id, now_ms) if is_live(session, now_ms)]

    async def _kept(self, subject_id: SubjectId, now_ms: int) -> list[Session]:
        """Those that live, and those that rested too long: the one used last first."""
        mine = [Where("subject_id", "=", subject_id), Where("expires_at", ">", now_ms)]
        rows = await self._storage.find("sso_session", mine, order_by="seen_at", descending=True, limit=MAX_KEPT)
        return [_from_row(row) for row in rows]

    async def end_one(self, subject_id: SubjectId, session_id: str, why: str) -> bool:
        """End one session of this person by its id. Somebody else's is not there."""
        where = (Where("id", "=", session_id), Where("subject_id", "=", subject_id))
        found = await self._storage.find("sso_session", list(where), limit=1)
        if not found:
            return False
        await self._storage.commit([Delete("sso_session", where), self._ended(subject_id, [session_id], why)])
        return True

    async def end_others(self, subject_id: SubjectId, kept_id: str, why: str) -> int:
        """End all sessions of a person but one; returns how many went."""
        others = [session.id for session in await self.of_subject(subject_id) if session.id != kept_id]
        if others:
            where = (Where("subject_id", "=", subject_id), Where("id", "!=", kept_id))
            await self._storage.commit([Delete("sso_session", where), self._ended(subject_id, others, why)])
        return len(others)

    async def _cut(self, subject_id: SubjectId) -> None:
        now_ms = self._clock.now_ms()
        kept = await self._kept(subject_id, now_ms)
        live = [session for session in kept if is_live(session, now_ms)]
        for session in live[MAX_SESSIONS:]:
            await self.end_one(subject_id, session.id, "too_many")
        # So few that all are read: else whoever signs in again and again buries one under them, which nobody sees or ends.
        rested = tuple(session.id for session in kept if not is_live(session, now_ms))[MAX_SESSIONS:]
        if rested:
            await self._storage.commit([Delete("sso_session", (Where("subject_id", "=", subject_id), Where("id", "in", rested)))])

    def _ended(self, subject_id: SubjectId, ids: Sequence[str], why: str) -> Operation:
        now_ms = self._clock.now_ms()
        details = {"sessions": list(ids), "why": why}
        return record(AuditEvent(Kind.SESSION_ENDED, now_ms, "session", subject_id=subject_id, details=details))

    def _mac(self, bearer: str) -> bytes:
        return self._ring().mac("sso-session", bearer.encode())


def end_all(subject_id: SubjectId) -> Operation:
    """The operation that ends every session of a person, for the unit of whatever made them void."""
    return Delete("sso_session", (Where("subject_id", "=", subject_id),))


def is_live(session: Session, now_ms: int) -> bool:
    """Whether a session has neither come to its end nor rested too long. One from the future was written by a wrong clock."""
    if not session.created_at - CLOCK_STEP_MS <= now_ms < session.ends_at:
        return False
    return now_ms < session.seen_at + session.idle_ms


def left_ms(session: Session, now_ms: int) -> int:
    """How long it still lives if nobody does anything any more."""
    return max(0, min(session.ends_at, session.seen_at + session.idle_ms) - now_ms)


async def count_live(storage: Reader, clock: Clock) -> int:
    """How many sessions have not come to their end."""
    return await storage.count("sso_session", [Where("expires_at", ">", clock.now_ms())])


def _is_bearer(bearer: str) -> bool:
    return bool(_BEARER.fullmatch(bearer))


def _new(opening: Opening, now_ms: int) -> Session:
    return Session(
        id=new_id(),
        whose=opening.whose,
        proofs={**dict.fromkeys(opening.factors, now_ms), **opening.proved_at},
        assurance=opening.assurance,
        application=opening.application,
        address=opening.address,
        device=opening.device[:MAX_DEVICE_CHARS],
        created_at=now_ms,
        seen_at=now_ms,
        ends_at=now_ms + min(opening.life_s, MAX_LIFE_S) * 1000,
        idle_ms=opening.idle_s * 1000,
        confirmed_at=now_ms if opening.confirms else 0,
        made_for=opening.made_for,
        made_at=now_ms,
    )


_BODY: Final = ("realm", "directory", "user_name", "display_name", "language")
_whose_of: Final = itemgetter(*_BODY)


def _body(session: Session) -> str:
    return dumps(
        {
            **{name: getattr(session.whose, name) for name in _BODY},
            "proofs": dict(session.proofs),
            "assurance": session.assurance,
            "application": session.application,
            "address": session.address,
            "device": session.device,
            "rested_ms": session.rested_ms,
            **({"made_for": session.made_for, "made_at": session.made_at} if session.made_for else {}),
        }
    )


def _row(session: Session, mac: bytes) -> Row:
    return {
        "session_mac": mac,
        "id": session.id,
        "subject_id": session.whose.subject_id,
        "body": _body(session),
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "confirmed_at": session.confirmed_at,
        "idle_ms": session.idle_ms,
        "expires_at": session.ends_at,
    }


def _from_row(row: Row, used_at: int = 0) -> Session:
    """`used_at`: it is used now, and how long it has rested by then counts; 0: it is only looked at."""
    body, mac, seen_at = loads(str(row["body"])), row["session_mac"], int(row["seen_at"] or 0)
    return Session(
        id=str(row["id"]),
        whose=Whose(SubjectId(str(row["subject_id"])), *_whose_of(body)),
        proofs=body["proofs"],
        assurance=body["assurance"],
        application=body["application"],
        address=body["address"],
        device=body["device"],
        created_at=int(row["created_at"] or 0),
        seen_at=seen_at,
        ends_at=int(row["expires_at"] or 0),
        idle_ms=int(row["idle_ms"] or 0),
        confirmed_at=int(row["confirmed_at"] or 0),
        rested_ms=max(body.get("rested_ms", 0), used_at - seen_at if used_at else 0),
        made_for=body.get("made_for", ""),
        made_at=body.get("made_at", 0),
        mac=mac if isinstance(mac, bytes) else b"",
    )
