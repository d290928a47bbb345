"""What an operator, or a person who has proved himself, lifts of the brakes; and which rows are about a person."""

from collections.abc import Iterable

from wardgate.crypto import KeyRing
from wardgate.engine.brake_changes import lift_wait
from wardgate.engine.brakes import STRONG_LANE, USER
from wardgate.storage.port import Delete, Modify, Operation, Reader, Row, Where

# Of one person, for an operator's hand.
MAX_KNOWN_SOURCES = 1_000


def release_user(ring: KeyRing, who: Iterable[str]) -> list[Operation]:
    """Forget all that the brakes know of a person: `who` as in `brake_keys`, the subject id and the names before it was met."""
    return [
        operation
        for owner in _owners(ring, who)
        for operation in (
            Delete("brake", (Where("owner", "=", owner),)),
            Delete("brake", (Where("kind", "=", USER), Where("key", "=", owner))),
        )
    ]


async def lift_user(storage: Reader, ring: KeyRing, who: Iterable[str], now_ms: int) -> list[Operation]:
    """Lift every wait of a person who is helped: `who` as in `release_user`. Where he logged in from stays known as his.

    Else whoever is helped while he is attacked would be a stranger at home, whom the next guesses of others keep out.
    """
    owners = _owners(ring, who)
    known = (Where("owner", "in", owners), Where("succeeded_at", ">", 0))
    operations: list[Operation] = []
    for row in await storage.find("brake", known, limit=MAX_KNOWN_SOURCES):
        key = row["key"]
        if isinstance(key, bytes):
            operations.append(lift(str(row["kind"]), key, now_ms))
    operations += [Delete("brake", (Where("owner", "=", owner), Where("succeeded_at", "<=", 0))) for owner in owners]
    return operations + [Delete("brake", (Where("kind", "=", USER), Where("key", "=", owner))) for owner in owners]


async def rows_of(storage: Reader, ring: KeyRing, who: Iterable[str], locked_after_ms: int, limit: int) -> list[Row]:
    """Rows of a person, found by their keys: those that are locked, and those that count him from anywhere."""
    owners = _owners(ring, who)
    locked = (Where("owner", "in", owners), Where("locked_until", ">", locked_after_ms))
    own = (Where("kind", "=", USER), Where("key", "in", owners))
    return [*await storage.find("brake", own, limit=limit), *await storage.find("brake", locked, limit=limit)]


def _owners(ring: KeyRing, who: Iterable[str]) -> tuple[bytes, ...]:
    """Whose the rows of these are, in the lane of strong factors too."""
    return tuple(ring.mac("brake-user", name.encode()) for each in who for name in (each, f"{STRONG_LANE}{each}"))


def lift(kind: str, key: bytes, now_ms: int) -> Modify:
    """Lift one wait, for an operator; that a source is known stays. Result: 1 where there was something to lift."""
    return Modify("brake", {"kind": kind, "key": key}, lift_wait, {"now": now_ms})
