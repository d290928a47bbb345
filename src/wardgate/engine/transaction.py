"""The stored state of a login that is under way, and the rows that it makes.

```
CHALLENGED <-> (wrong code, other factor, next factor)      -> GRANTED | DENIED
```

A row exists only once the first factor is proved. Its `sequence` rises with every answer: whoever raises it first took the step.
A handle belongs to one sequence; several handles may point to it (a login that was folded into it), one of them is used.
"""

import secrets
from collections.abc import Mapping
from dataclasses import field, fields, replace
from enum import StrEnum
from typing import Any

from wardgate.crypto import KeyRing
from wardgate.engine.terms import NO_TERMS, Terms, dump_terms, load_terms
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Operation, Row, Update, Where
from wardgate.values import quick_value

HANDLE_BYTES = 24
OUTCOME_KEPT_MS = 30_000
# That a sealed handle was used is known for longer than any clock of ours could take it for a fresh one.
SEALED_USED_KEPT_MS = 600_000
MAX_ROUNDS = 12
# A clock that is kept by steps may go back by so much without any login being closed.
CLOCK_STEP_MS = 10_000


class Goal(StrEnum):
    """What a transaction is for."""

    LOGIN = "login"
    ACTIVATE = "activate"


class State(StrEnum):
    """Where a transaction stands. All but CHALLENGED are final."""

    CHALLENGED = "challenged"
    GRANTED = "granted"
    DENIED = "denied"


@quick_value
class Transaction:
    """A login whose first factor is proved. Times are milliseconds since 1970 UTC.

    `steps` are what the plan still demanded when it was made; `step` is the one that is open; `factor` the alternative that is
    asked; `memory` what each factor that was asked remembers, by its kind. `proved` are the factors proved so far. `name_key` is
    the name of the first request as it was looked up: the next one must bring the same. `refusal`: the password was right and has
    to be changed, so that this is what the login comes to. `grace`: it began while the directory was down; the user as the
    directory told him last, sealed. `terms`: what else of the plan it keeps. `fail_open`: why a step was left out. `device`: what
    it began with of a trusted device, for its grant. `risk`: its score, and what its grant has to remember (`risk.carried`).
    `held`: the password that it began with, sealed to it, where it has to be changed before the grant; gone when the login is over.
    `lane`: how it came past a brake (`lanes`), and so whose failures stand in its way.
    """

    id: str
    reference: str
    application: str
    subject_id: str
    realm: str
    directory: str
    immutable_id: str
    user_name: str
    name_key: str
    language: str
    steps: tuple[tuple[str, ...], ...]
    rule: str
    step: int
    factor: str
    proved: tuple[str, ...]
    tries_left: int
    created_at: int
    expires_at: int
    goal: Goal = Goal.LOGIN
    state: State = State.CHALLENGED
    sequence: int = 1
    fold_key: bytes | None = None
    memory: Mapping[str, object] = field(default_factory=dict)
    resends: int = 0
    sent_at: int = 0
    floors: tuple[str, ...] = ()
    refusal: str = ""
    grace: str = ""
    terms: Terms = NO_TERMS
    fail_open: str = ""
    device: str = ""
    risk: str = ""
    held: str = ""
    lane: str = ""

    def is_over(self, now_ms: int) -> bool:
        """Whether its life has ended. One that began in the future has: the clock was set back, and nobody knows how old it is."""
        return self.expires_at <= now_ms or self.created_at > now_ms + CLOCK_STEP_MS

    def recall(self, kind: str) -> Mapping[str, object]:
        """What this factor remembers of this login; empty before it was asked, and for factors that send nothing."""
        remembered = self.memory.get(kind)
        return remembered if isinstance(remembered, Mapping) else {}

    def moved(self, **changes: Any) -> "Transaction":
        """The successor state, one sequence further."""
        return replace(self, sequence=self.sequence + 1, **changes)


_COLUMNS = ("id", "reference", "state", "goal", "application", "subject_id", "fold_key", "sequence", "created_at", "expires_at")
_BODY = tuple(each.name for each in fields(Transaction) if each.name not in _COLUMNS)


def insert(transaction: Transaction) -> Insert:
    """The operation that begins it."""
    return Insert("login_transaction", _row(transaction))


def advance(old: Transaction, new: Transaction) -> Update:
    """The operation that takes a step, for whoever is first."""
    row = _row(new)
    changes = {name: row[name] for name in ("state", "sequence", "body", "expires_at")}
    if new.state is not State.CHALLENGED or new.fold_key != old.fold_key:
        # Only an open login holds its fold key: the next one of the same person begins anew. One that was taken from it meanwhile
        # is not taken back.
        changes["fold_key"] = new.fold_key if new.state is State.CHALLENGED else None
    return Update(
        "login_transaction",
        {"id": old.id},
        changes,
        where=(Where("sequence", "=", old.sequence), Where("state", "=", State.CHALLENGED.value)),
    )


def give_up_fold_key(transaction: Transaction) -> Update:
    """The operation after which no other login is joined to it; its open question stays what it is."""
    where = (Where("sequence", "=", transaction.sequence), Where("state", "=", State.CHALLENGED.value))
    return Update("login_transaction", {"id": transaction.id}, {"fold_key": None}, where=where)


def from_row(row: Row) -> Transaction:
    """The typed value of a stored row."""
    body = loads(str(row["body"]))
    fold_key = row["fold_key"]
    return Transaction(
        id=str(row["id"]),
        reference=str(row["reference"]),
        state=State(str(row["state"])),
        goal=Goal(str(row["goal"])),
        application=str(row["application"]),
        subject_id=str(row["subject_id"]),
        fold_key=fold_key if isinstance(fold_key, bytes) else None,
        sequence=int(row["sequence"] or 0),
        created_at=int(row["created_at"] or 0),
        expires_at=int(row["expires_at"] or 0),
        **{
            **body,
            "steps": tuple(tuple(step) for step in body["steps"]),
            "proved": tuple(body["proved"]),
            "floors": tuple(body["floors"]),
            "terms": load_terms(body.get("terms", "")),
        },
    )


def _row(transaction: Transaction) -> Row:
    columns = {name: getattr(transaction, name) for name in _COLUMNS}
    columns["state"] = transaction.state.value
    columns["goal"] = transaction.goal.value
    body = {name: getattr(transaction, name) for name in _BODY}
    body["terms"] = dump_terms(transaction.terms)
    return {**columns, "body": dumps(body)}


# --- handles ---------------------------------------------------------------------------------------------------------


@quick_value
class Handle:
    """A stored handle, or with `is_sealed` one whose row is made by who uses it. `outcome` is sealed, for an identical resend."""

    mac: bytes
    transaction_id: str
    sequence: int
    binding: str
    expires_at: int
    consumed_at: int | None
    fingerprint: bytes | None
    outcome: bytes | None
    is_sealed: bool = False


def unused_handle(ring: KeyRing, value: bytes, transaction: Transaction, binding: str) -> Handle:
    """The handle of a sealed handle that nobody has used yet."""
    kept_until = transaction.expires_at + SEALED_USED_KEPT_MS
    return Handle(handle_mac(ring, value), transaction.id, transaction.sequence, binding, kept_until, None, None, None, True)


def new_handle(ring: KeyRing, transaction: Transaction, binding: str) -> tuple[bytes, Insert]:
    """A fresh handle for the transaction's present sequence: the value for the asker and the row."""
    value = secrets.token_bytes(HANDLE_BYTES)
    row: Row = {
        "handle_mac": handle_mac(ring, value),
        "transaction_id": transaction.id,
        "sequence": transaction.sequence,
        "binding": binding,
        "expires_at": transaction.expires_at + OUTCOME_KEPT_MS,
        "consumed_at": None,
        "fingerprint": None,
        "outcome": None,
    }
    return value, Insert("handle", row)


def handle_mac(ring: KeyRing, value: bytes) -> bytes:
    """What is stored of a handle, so that a stolen database opens no login."""
    return ring.mac("handle", value)


def handle_from_row(row: Row) -> Handle:
    """The typed value of a stored row."""
    consumed, fingerprint, outcome, mac = row["consumed_at"], row["fingerprint"], row["outcome"], row["handle_mac"]
    return Handle(
        mac=mac if isinstance(mac, bytes) else b"",
        transaction_id=str(row["transaction_id"]),
        sequence=int(row["sequence"] or 0),
        binding=str(row["binding"]),
        expires_at=int(row["expires_at"] or 0),
        consumed_at=consumed if isinstance(consumed, int) else None,
        fingerprint=fingerprint if isinstance(fingerprint, bytes) else None,
        outcome=outcome if isinstance(outcome, bytes) else None,
    )


def consume(ring: KeyRing, handle: Handle, fingerprint: bytes, outcome: bytes, now_ms: int) -> Update:
    """The operation that uses a handle up, for whoever is first, and keeps the outcome for an identical resend."""
    return Update(
        "handle",
        {"handle_mac": handle.mac},
        {
            "consumed_at": now_ms,
            "fingerprint": fingerprint,
            "outcome": ring.seal(outcome, outcome_bound_to(handle.mac)),
            "expires_at": now_ms + OUTCOME_KEPT_MS,
        },
        where=(Where("consumed_at", "is_null"),),
    )


@quick_value
class Use:
    """A handle that is used up: by which request, and with which outcome, to be kept for an identical one."""

    handle: Handle
    fingerprint: bytes
    outcome: bytes
    at_ms: int

    def operation(self, ring: KeyRing) -> Operation:
        """What uses it up, for whoever is first. The handle of a sealed handle gets its row by it."""
        if self.handle.is_sealed:
            sealed = ring.seal(self.outcome, outcome_bound_to(self.handle.mac))
            return _used_sealed(self.handle, self.fingerprint, sealed, self.at_ms)
        return consume(ring, self.handle, self.fingerprint, self.outcome, self.at_ms)


def go_on(ring: KeyRing, use: Use, old: Transaction, new: Transaction) -> list[Operation]:
    """The operations by which a login goes on with a further question. After a sealed handle it becomes a row."""
    return [use.operation(ring), insert(new) if use.handle.is_sealed else advance(old, new)]


def end(ring: KeyRing, use: Use, old: Transaction, state: State) -> list[Operation]:
    """The operations by which a login ends. One that was a sealed handle never needs a row."""
    operation = use.operation(ring)
    return [operation] if use.handle.is_sealed else [operation, advance(old, old.moved(state=state, held=""))]


def take_back(handle: Handle, old: Transaction, now_ms: int) -> Operation:
    """The operation that ends a login without an answer."""
    if handle.is_sealed:
        return used_handle(handle, now_ms)
    return advance(old, old.moved(state=State.DENIED, held=""))


def used_handle(handle: Handle, now_ms: int) -> Insert:
    """The operation that uses up what has no row, for whoever is first."""
    return _used_sealed(handle, None, None, now_ms)


def used_by(handle: Handle, fingerprint: bytes, now_ms: int) -> Insert:
    """The same by a request whose outcome is not known yet."""
    return _used_sealed(handle, fingerprint, None, now_ms)


def _used_sealed(handle: Handle, fingerprint: bytes | None, outcome: bytes | None, now_ms: int) -> Insert:
    return Insert(
        "handle",
        {
            "handle_mac": handle.mac,
            "transaction_id": handle.transaction_id,
            "sequence": handle.sequence,
            "binding": handle.binding,
            "expires_at": handle.expires_at,
            "consumed_at": now_ms,
            "fingerprint": fingerprint,
            "outcome": outcome,
        },
    )


def outcome_bound_to(mac: bytes) -> str:
    """The associated data of a sealed outcome."""
    return f"handle:{mac.hex()}"
