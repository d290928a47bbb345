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

from wardgate.clock import Clock, to_ms
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
# Of what was answered at once.
_NOTHING: Final = b""
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
    """A stored request. `bound`: it belongs to a browser by now."""

    id: str
    asked: Asked
    bound: bool
    used: bool


@quick_value
class Draft:
    """A request that is not stored yet. `replay_mac`: what it is known by when it comes again; `browser`: whose it is, if known."""

    waiting: Waiting
    replay_mac: bytes
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
        waiting = Waiting(request_id, asked, browser is not None, False)
        return Draft(waiting, once, source, browser, to_ms(self._clock.now()))

    async def keep(self, draft: Draft) -> bool:
        """Store it; False where the application sent one of its id before. Raises TooManyOpen."""
        source, request_id = self._ring().mac("saml-source", connection(draft.source).encode()), draft.waiting.id
        waiting = (Where("source_mac", "=", source), Where("state", "=", OPEN))
        if await self._storage.count(TABLE, waiting, MAX_OPEN_OF_SOURCE) >= MAX_OPEN_OF_SOURCE:
            raise TooManyOpen
        body = dumps({**asdict(draft.waiting.asked), _OWN_ID: request_id}).encode()
        row = self._row(draft, OPEN, source, self._ring().seal(body, _bound_to(self._mac(request_id))))
        return not isinstance(await self._storage.commit([Insert(TABLE, row)]), Refused)

    def use_at_once(self, draft: Draft) -> Operation:
        """What stores it as used, for a grant that needs no second look; refused where one of its id came before.

        Nobody resumes it, so that nothing is kept of it but by what it is known again, and whose it was.
        """
        return Insert(TABLE, self._row(draft, USED, _NOTHING, _NOTHING))

    def _row(self, draft: Draft, state: str, source: bytes, sealed: bytes) -> Row:
        return {
            "request_mac": self._mac(draft.waiting.id),
            "replay_mac": draft.replay_mac,
            "browser_mac": draft.browser,
            "source_mac": source,
            "state": state,
            "sealed": sealed,
            "created_at": draft.created_at,
            "expires_at": draft.created_at + KEPT_MS,
        }

    async def find(self, browser: bytes, request_id: str) -> Waiting | None:
        """What waits under this id, unless it is another browser's, or over."""
        if not _ID.fullmatch(request_id):
            return None
        row = await self._storage.get(TABLE, {"request_mac": self._mac(request_id)})
        return self._waiting(browser, row) if row is not None else None

    async def again(self, browser: bytes, draft: Draft) -> Waiting | None:
        """What this browser was given for the same message when it came before; None where it came in another one, or is over."""
        rows = await self._storage.find(TABLE, [Where("replay_mac", "=", draft.replay_mac)], limit=1)
        if not rows or rows[0]["browser_mac"] is None:
            return None
        if rows[0]["sealed"] == _NOTHING:
            return Waiting("", draft.waiting.asked, True, True) if self._is_of(browser, rows[0]) else None
        return self._waiting(browser, rows[0])

    def _is_of(self, browser: bytes, row: Row) -> bool:
        """Whether a row is no other browser's, and its time is not over."""
        now_ms, created_at, bound_to = to_ms(self._clock.now()), int(row["created_at"] or 0), row["browser_mac"]
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
        return Waiting(request_id, asked_of(body), row["browser_mac"] is not None, row["state"] != OPEN)

    async def bind(self, browser: bytes, waiting: Waiting) -> bool:
        """Make it this browser's; False where another one was first."""
        if waiting.bound:
            return True
        mine = Update(
            TABLE, {"request_mac": self._mac(waiting.id)}, {"browser_mac": browser}, where=(Where("browser_mac", "is_null"),)
        )
        return not isinstance(await self._storage.commit([mine]), Refused)

    def use(self, browser: bytes, waiting: Waiting) -> Operation:
        """What uses it up, for whoever is first; refused for every other, and where it has become another browser's."""
        whose = Where("browser_mac", "=", browser) if waiting.bound else Where("browser_mac", "is_null")
        changes: Row = {"state": USED} if waiting.bound else {"state": USED, "browser_mac": browser}
        where = (Where("state", "=", OPEN), whose)
        return Update(TABLE, {"request_mac": self._mac(waiting.id)}, changes, where=where)

    async def follow(self, old: bytes, new: bytes) -> None:
        """A browser goes on under a new id, with what it has waiting: the newest, for what is heaped up is nobody's sign-in."""
        mine = (Where("browser_mac", "=", old), Where("state", "=", OPEN))
        found = await self._storage.find(TABLE, mine, order_by="created_at", descending=True, limit=MAX_FOLLOWING)
        for row in found:
            # In a commit of its own: one that was used meanwhile keeps no other back.
            await self._storage.commit([Update(TABLE, {"request_mac": row["request_mac"]}, {"browser_mac": new}, where=mine)])

    def _mac(self, request_id: str) -> bytes:
        return self._ring().mac("saml-request", request_id.encode())


def asked_of(body: Mapping[str, Any]) -> Asked:
    """What `asdict` made plain, as it was."""
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
    return Asked(**told)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _bound_to(mac: bytes) -> str:
    return f"saml_request:{mac.hex()}"
