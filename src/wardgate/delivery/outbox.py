"""Messages that wait, as rows: putting one in, reading them for people, clearing old ones away. `worker.py` hands them over.

A message's id is its idempotency key and is written with the message, in the commit of the challenge it belongs to. Address,
text and code are one value sealed to the row; it is erased when the message has reached its end. The states:

    queued -> sending -> sent            a gateway took it
                      -> queued          none took it now; again at `next_try_at`
                      -> failed          every gateway refused it for good
                      -> expired         the life of its code ended first
    sending -> sending                   its worker died; another took the claim over after `next_try_at`
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wardgate.clock import from_ms
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.errors import SealError
from wardgate.storage.port import Announce, Committed, Delete, Insert, Operation, Reader, Row, Storage, Value, Where

TABLE = "outbox"
TOPIC = "outbox"
MAX_LISTED = 1_000
# Between the sender and the id of a message where it is announced. No id holds one.
_SENDER_ENDS = ":"


class OutboxState(StrEnum):
    """Where a message is on its way."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"


LIVE = (OutboxState.QUEUED, OutboxState.SENDING)
ENDED = (OutboxState.SENT, OutboxState.FAILED, OutboxState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Body:
    """What is sealed. `code` is empty unless the message was put in to be read on the outbox page."""

    to: str
    text: str
    subject: str
    code: str

    def __repr__(self) -> str:
        return "Body(...)"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One message for the demo's outbox page. `to`, `text` and `code` are empty once the body was erased."""

    id: str
    created_at: str
    channel: str
    to: str
    user: str
    transaction: str
    reference: str
    text: str
    code: str
    state: str
    gateway: str


def enqueue(
    ring: KeyRing,
    *,
    message_id: str,
    channel: Channel,
    to: str,
    text: str,
    subject: str,
    code: str,
    user_name: str,
    subject_id: str,
    application: str,
    transaction_id: str,
    reference: str,
    created_at_ms: int,
    expires_at_ms: int,
    keep: bool,
    sender: str = "",
) -> list[Operation]:
    """The operations that put one message into the outbox; they belong into the commit of the challenge.

    `sender`: the holder of the outbox worker in this process, which hands it over if it can; the others leave it a moment.
    `keep` stores the bare code beside the text, for the demo's outbox page; whether the body outlives the hand-over is the
    worker's `keep_text`.
    """
    body = Body(to, text, subject, code if keep else "")
    row: dict[str, Value] = {
        "id": message_id,
        "transaction_id": transaction_id,
        "reference": reference,
        "subject_id": subject_id,
        "user_name": user_name,
        "application": application,
        "channel": channel.value,
        "sealed": seal_body(ring, message_id, body),
        "state": OutboxState.QUEUED.value,
        "created_at": created_at_ms,
        "expires_at": expires_at_ms,
        "next_try_at": created_at_ms,
        "tries": 0,
        "claimed_by": None,
        "gateway": None,
        "answer": None,
        "sent_at": None,
    }
    return [Insert(TABLE, row), Announce(TOPIC, f"{sender}{_SENDER_ENDS}{message_id}" if sender else message_id)]


def sender_of(key: str) -> str:
    """The sender that an announcement names; empty when it names none, or may stand for several."""
    return key.rpartition(_SENDER_ENDS)[0]


def seal_body(ring: KeyRing, message_id: str, body: Body) -> bytes:
    """Seal a body to its row."""
    fields = {"to": body.to, "text": body.text, "subject": body.subject, "code": body.code}
    return ring.seal(json.dumps(fields).encode(), bound_to(message_id))


def open_body(ring: KeyRing, message_id: str, sealed: bytes) -> Body:
    """Open a body. Raises SealError when it is not this row's or its key is gone."""
    fields = json.loads(ring.open(sealed, bound_to(message_id)))
    return Body(fields["to"], fields["text"], fields["subject"], fields["code"])


def bound_to(message_id: str) -> str:
    """What the sealed body of a message is bound to."""
    return f"{TABLE}:{message_id}"


async def list_messages(storage: Reader, ring: KeyRing, limit: int) -> list[OutboxEntry]:
    """The newest messages first, at most MAX_LISTED."""
    rows = await storage.find(TABLE, order_by="created_at", descending=True, limit=max(0, min(limit, MAX_LISTED)))
    return [_entry(ring, row) for row in rows]


async def purge(storage: Storage, before_ms: int, limit: int) -> int:
    """Remove at most `limit` messages that were created before `before_ms` and have reached their end; how many went."""
    where = (Where("created_at", "<", before_ms), in_states(ENDED))
    outcome = await storage.commit([Delete(TABLE, where, limit)])
    removed = outcome.results[0] if isinstance(outcome, Committed) else 0
    return removed if isinstance(removed, int) else 0


def _entry(ring: KeyRing, row: Row) -> OutboxEntry:
    body = _readable(ring, row)
    created_at = from_ms(number(row, "created_at")).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return OutboxEntry(
        id=text(row, "id"),
        created_at=created_at,
        channel=text(row, "channel"),
        to=body.to,
        user=text(row, "user_name"),
        transaction=text(row, "transaction_id"),
        reference=text(row, "reference"),
        text=body.text,
        code=body.code,
        state=text(row, "state"),
        gateway=text(row, "gateway"),
    )


def _readable(ring: KeyRing, row: Row) -> Body:
    sealed = row["sealed"]
    if not isinstance(sealed, bytes):
        return Body("", "", "", "")
    try:
        return open_body(ring, text(row, "id"), sealed)
    except SealError:
        # One row of a key that is gone must not hide the others.
        return Body("", "", "", "")


def text(row: Row, column: str) -> str:
    """A text column, empty for NULL."""
    value = row[column]
    return value if isinstance(value, str) else ""


def number(row: Row, column: str) -> int:
    """A number column, 0 for NULL."""
    value = row[column]
    return value if isinstance(value, int) else 0


def in_states(states: Sequence[OutboxState]) -> Where:
    """The condition that a message is in one of these states."""
    return Where("state", "in", tuple(state.value for state in states))
