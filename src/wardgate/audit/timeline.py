"""The flight recorder: what came, what was decided and why, step by step with durations.

A door opens a `Trail` when a request arrives; door and engine note steps in it; it is stored as one row of `timeline` (in the
engine's commit when there is one), and whoever follows the live log is told. Nothing secret goes in: no passwords, codes, State
values or whole telephone numbers.
"""

from collections.abc import Mapping
from typing import Any

from wardgate.clock import Clock
from wardgate.crypto import KeyRing, new_id, new_reference, random_bytes
from wardgate.jsons import dumps
from wardgate.storage.port import Insert, Reader, Row, Where

MAX_STEPS = 60
MAX_DETAIL_CHARS = 300
MAX_NAME_CHARS = 253


class Trail:
    """The steps of one request, as they happen."""

    __slots__ = (
        "_clock",
        "_monotonic",
        "_started",
        "application",
        "client",
        "client_counts",
        "counted_only",
        "door",
        "nas",
        "reason",
        "reference",
        "result",
        "source",
        "steps",
        "stored",
        "text",
        "transaction_id",
        "user",
    )

    def __init__(self, clock: Clock, door: str) -> None:
        self._clock = clock
        self._monotonic = clock.monotonic
        self._started = self._monotonic()
        self.door = door
        self.reference = new_reference()
        self.transaction_id: str | None = None
        self.nas = ""
        self.application = ""
        self.user = ""
        self.source = ""
        self.client = ""
        # Not where the NAS is not to be believed about it: then it is shown, and nothing hangs on it.
        self.client_counts = True
        self.result = ""
        self.reason = ""
        self.text = ""
        self.steps: list[tuple[float, str, Mapping[str, object]]] = []
        self.stored = False
        # One of a flood: it is counted with its reason and not stored.
        self.counted_only = False

    @property
    def started(self) -> float:
        """Monotonic seconds at which the request arrived."""
        return self._started

    @property
    def counted_client(self) -> str:
        """The client's address where limits may go by it, else nothing."""
        return self.client if self.client_counts else ""

    def begin_anew(self) -> None:
        """Leave the login that this request was joined to: it is one of its own, under a reference of its own."""
        self.reference = new_reference()
        self.transaction_id = None

    def note(self, what: str, **detail: object) -> None:
        """Add a step. `what` is a short phrase in English; details are plain values."""
        if len(self.steps) < MAX_STEPS:
            self.steps.append((self._ms_so_far(), what, detail))

    def _ms_so_far(self) -> float:
        """Milliseconds since it began, to the microsecond. `round` would write the number as text, and read that."""
        return int((self._monotonic() - self._started) * 1_000_000 + 0.5) / 1000

    def body(self) -> dict[str, Any]:
        """What is stored."""
        return {
            "door": self.door,
            "nas": self.nas,
            "application": self.application,
            "user": self.user[:MAX_NAME_CHARS],
            "source": self.source,
            "client": self.client,
            "result": self.result,
            "reason": self.reason,
            "text": self.text,
            "steps": [{"at_ms": at, "what": what, "detail": _short(detail)} for at, what, detail in self.steps],
            "took_ms": self._ms_so_far(),
        }

    def entry(self, ring: KeyRing, at_ms: int | None = None) -> Insert:
        """The row to store. `at_ms`: the present, where it is known already."""
        return entry(
            ring,
            at_ms=self._clock.now_ms() if at_ms is None else at_ms,
            reference=self.reference,
            transaction_id=self.transaction_id,
            door=self.door,
            result=self.result,
            user=self.user,
            body=self.body(),
        )


def entry(
    ring: KeyRing,
    *,
    at_ms: int,
    reference: str,
    transaction_id: str | None,
    door: str,
    result: str,
    user: str,
    body: Mapping[str, Any],
) -> Insert:
    """A row of `timeline`; its id sorts by time."""
    return Insert(
        "timeline",
        {
            "id": first_id_of(at_ms) + random_bytes(6).hex(),
            "reference": reference,
            "transaction_id": transaction_id,
            "user_key": user_key(ring, user) if user else None,
            "door": door,
            "result": result,
            "body": dumps(body),
            "created_at": at_ms,
        },
    )


def first_id_of(at_ms: int) -> str:
    """What all ids of this moment and of later ones are at least."""
    return f"{at_ms:012x}"


def user_key(ring: KeyRing, name: str) -> str:
    """The look-up value of a name as it was typed (without its case)."""
    return ring.remembered_mac("timeline-user", name.strip().casefold().encode("utf-8", "surrogatepass")).hex()[:32]


def new_transaction_id() -> str:
    """An id for a login."""
    return new_id()


def _short(detail: Mapping[str, object]) -> Mapping[str, object]:
    for value in detail.values():
        if value is None or (type(value) is str and len(value) > MAX_DETAIL_CHARS):
            break
    else:
        # Nearly every one is as it should be.
        return detail
    return {name: value[:MAX_DETAIL_CHARS] if type(value) is str else value for name, value in detail.items() if value is not None}


def plain_reference(typed: str) -> str:
    """A reference as it is stored, from one that somebody read off a screen."""
    return typed.strip().upper().replace("-", "").replace("O", "0").replace("I", "1").replace("L", "1")


async def by_reference(storage: Reader, reference: str, limit: int = 200) -> list[Row]:
    """All rows of the login that this reference belongs to, oldest first."""
    return await storage.find("timeline", [Where("reference", "=", plain_reference(reference))], order_by="id", limit=limit)


async def last_of_user(storage: Reader, ring: KeyRing, name: str) -> list[Row]:
    """All rows of the newest login under this name, as it was typed; empty when there is none."""
    newest = await storage.find("timeline", [Where("user_key", "=", user_key(ring, name))], order_by="id", descending=True, limit=1)
    return await by_reference(storage, str(newest[0]["reference"])) if newest else []


async def newest(storage: Reader, limit: int = 100, before_id: str | None = None) -> list[Row]:
    """The stream for the live log, newest first; `before_id` pages back."""
    where = [Where("id", "<", before_id)] if before_id else []
    return await storage.find("timeline", where, order_by="id", descending=True, limit=limit)
