"""What an application asked for, kept here until its answer leaves: a row at one address, `/saml/continue/{id}`.

An application's POST comes without our cookies (SameSite), so a request is stored before it is known whose browser it is in, under
an id that is told to that browser alone. The first request for that address binds it to the browser; from then on it is nobody
else's. It is used up by one conditional write, in the commit of the grant that it leads to: of many at once one gets an answer.

The id of a request is remembered for longer than its message could be taken for a fresh one, so that none comes in twice.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from wardgate.clock import Clock
from wardgate.crypto import KeyRing, same
from wardgate.engine.brakes import connection
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Operation, Refused, Row, Storage, Update, Where
from wardgate.values import quick_value

TABLE: Final = "saml_request"
ID_BYTES: Final = 16
# How long somebody may take to sign in.
LIFE_MS: Final = 15 * 60_000
# For longer than any message is taken after it was issued (`saml.requests`), clocks' errors included.
KEPT_MS: Final = 30 * 60_000
CLOCK_STEP_MS: Final = 60_000
# What an office behind one address may have waiting at once.
MAX_OPEN_OF_SOURCE: Final = 2_000
# What a browser takes along to its new id: nobody has more tabs waiting, and each is a commit.
MAX_FOLLOWING: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
OPEN, USED = "open", "used"
# What was answered at once never waited anywhere.
_NOTHING: Final = b""
_ANSWERED: Final[Row] = {"request_mac": None, "source_mac": None, "state": USED, "sealed": _NOTHING}
# Of a stored request, beside what was asked: the address of what came before is nowhere else.
_OWN_ID: Final = "own_id"
SIGN_IN, SIGN_OUT = "sign_in", "sign_out"


@quick_value
class Asked:
    """What an application asked for, checked against what its metadata says.

    `party`: the application's name; `request_id`: of its message, empty where we began. `answer_to`: the address of its metadata
    where the answer goes; `relay_state`: its own text, None where there was none. `name_id_format`: the one that it wants; empty:
    any. `signed`: by a key of its metadata. `binding`, `name_id`, `session_indexes`: of a sign-out.
    """

    party: str
    request_id: str
    answer_to: str
    relay_state: str | None
    kind: str = SIGN_IN
    fresh: bool = False
    passive: bool = False
    contexts: tuple[str, ...] = ()
    comparison: str = "exact"
    name_id_format: str = ""
    attribute_index: int | None = None
    signed: bool = False
    binding: str = ""
    name_id: tuple[str, str, str] = ("", "", "")
    session_indexes: tuple[str, ...] = ()


@quick_value
class Waiting:
    """A stored request. `replay_mac`: what it is known by when it comes again; `bound`: it belongs to a browser by now."""

    id: str
    replay_mac: bytes
    asked: Asked
    bound: bool
    used: bool


@quick_value
class Draft:
    """A request that is not stored yet. `browser`: whose it is, if known."""

    waiting: Waiting
    source: str
    browser: bytes | None
    created_at: int


class TooManyOpen(Exception):
    """One source has too many requests open."""


class StoredRequests:
    """The rows."""

    def __init__(self, storage: Storage, ring: Callable[[], KeyRing], clock: Clock) -> None:
        self._storage = storage
        self._ring = ring
        self._clock = clock

    def draft(self, asked: Asked, entity_id: str, source: str, browser: bytes | None = None) -> Draft:
        """A request that came in just now, not stored yet. `browser`: whose it is, where that is known already."""
        request_id = secrets.token_urlsafe(ID_BYTES)
        if asked.request_id:
            once = self._ring().mac("saml-request-id", entity_id.encode(), asked.kind.encode(), asked.request_id.encode())
        else:
            once = self._mac(request_id)
        waiting = Waiting(request_id, once, asked, browser is not None, False)
        return Draft(waiting, source, browser, self._clock.now_ms())

    async def keep(self, draft: Draft) -> bool:
        """Store it; False where the application sent one of its id before. Raises TooManyOpen."""
        source, request_id = self._ring().mac("saml-source", connection(draft.source).encode()), draft.waiting.id
        waiting = (Where("source_mac", "=", source), Where("state", "=", OPEN))
        if await self._storage.count(TABLE, waiting, MAX_OPEN_OF_SOURCE) >= MAX_OPEN_OF_SOURCE:
            raise TooManyOpen
        body, mac = dumps({**asdict(draft.waiting.asked), _OWN_ID: request_id}).encode(), self._mac(request_id)
        here: Row = {"request_mac": mac, "source_mac": source, "state": OPEN, "sealed": self._ring().seal(body, _bound_to(mac))}
        row = {**_known_by(draft), **here}
        return not isinstance(await self._storage.commit([Insert(TABLE, row)]), Refused)

    def use_at_once(self, draft: Draft) -> Operation:
        """What stores it as used, for a grant that needs no second look; refused where one of its id came before.

        Nobody resumes it, so that nothing is kept of it but by what it is known again, and whose it was.
        """
        return Insert(TABLE, {**_known_by(draft), **_ANSWERED})

    async def find(self, browser: bytes, request_id: str) -> Waiting | None:
        """What waits under this id, unless it is another browser's, or over."""
        if not _ID.fullmatch(request_id):
            return None
        rows = await self._storage.find(TABLE, [Where("request_mac", "=", self._mac(request_id))], limit=1)
        return self._waiting(browser, rows[0]) if rows else None

    async def again(self, browser: bytes, draft: Draft) -> Waiting | None:
        """What this browser was given for the same message when it came before; None where it came in another one, or is over."""
        row = await self._storage.get(TABLE, _key(draft.waiting))
        if row is None or row["browser_mac"] is None:
            return None
        if row["sealed"] == _NOTHING:
            answered = Waiting("", draft.waiting.replay_mac, draft.waiting.asked, True, True)
            return answered if self._is_of(browser, row) else None
        return self._waiting(browser, row)

    def _is_of(self, browser: bytes, row: Row) -> bool:
        """Whether a row is no other browser's, and its time is not over."""
        now_ms, created_at, bound_to = self._clock.now_ms(), int(row["created_at"] or 0), row["browser_mac"]
        if not created_at - CLOCK_STEP_MS <= now_ms < created_at + LIFE_MS:
            return False
        return not isinstance(bound_to, bytes) or same(bound_to, browser)

    def _waiting(self, browser: bytes, row: Row) -> Waiting | None:
        if not self._is_of(browser, row):
            return None
        try:
            body = loads(self._ring().open(_bytes(row["sealed"]), _bound_to(_bytes(row["request_mac"]))))
        except SealError:
            return None
        request_id = str(body.pop(_OWN_ID))
        return Waiting(request_id, _bytes(row["replay_mac"]), asked_of(body), row["browser_mac"] is not None, row["state"] != OPEN)

    async def bind(self, browser: bytes, waiting: Waiting) -> bool:
        """Make it this browser's; False where another one was first."""
        if waiting.bound:
            return True
        mine = Update(TABLE, _key(waiting), {"browser_mac": browser}, where=(Where("browser_mac", "is_null"),))
        return not isinstance(await self._storage.commit([mine]), Refused)

    def use(self, browser: bytes, waiting: Waiting) -> Operation:
        """What uses it up, for whoever is first; refused for every other, and where it has become another browser's."""
        whose = Where("browser_mac", "=", browser) if waiting.bound else Where("browser_mac", "is_null")
        changes: Row = {"state": USED} if waiting.bound else {"state": USED, "browser_mac": browser}
        where = (Where("state", "=", OPEN), whose)
        return Update(TABLE, _key(waiting), changes, where=where)

    async def follow(self, old: bytes, new: bytes) -> None:
        """A browser goes on under a new id, with what it has waiting: the newest, for what is heaped up is nobody's sign-in."""
        mine = (Where("browser_mac", "=", old), Where("request_mac", "not_null"), Where("state", "=", OPEN))
        found = await self._storage.find(TABLE, mine, order_by="created_at", descending=True, limit=MAX_FOLLOWING)
        for row in found:
            # In a commit of its own: one that was used meanwhile keeps no other back.
            await self._storage.commit([Update(TABLE, {"replay_mac": row["replay_mac"]}, {"browser_mac": new}, where=mine)])

    def _mac(self, request_id: str) -> bytes:
        return self._ring().mac("saml-request", request_id.encode())


def _known_by(draft: Draft) -> Row:
    """What is kept of every request: by what it is known when it comes again, whose it is, and for how long."""
    return {
        "replay_mac": draft.waiting.replay_mac,
        "browser_mac": draft.browser,
        "created_at": draft.created_at,
        "expires_at": draft.created_at + KEPT_MS,
    }


def _key(waiting: Waiting) -> Row:
    return {"replay_mac": waiting.replay_mac}


def asked_of(body: Mapping[str, Any]) -> Asked:
    """What `asdict` made plain, as it was."""
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
    return Asked(**told)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _bound_to(mac: bytes) -> str:
    return f"saml_request:{mac.hex()}"
