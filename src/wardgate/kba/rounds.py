"""How often somebody answered wrongly: rows of `kba_round`, changed by pure functions inside storage.

A round is *reserved* before any hash is made, so that a hundred guesses at once are no more than the strikes that are left. What
was reserved and never settled (a crash, a caller who hung up) counts as wrong later. Names that do not exist have rounds like
everybody else, so that their refusals cost the same; those rows go when their time is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wardgate.crypto import KeyRing
from wardgate.kba.settings import KbaSettings
from wardgate.storage.port import Delete, Modified, Modify, Operation, Row, Value, Where

TABLE: Final = "kba_round"
RESERVATION_LIFE_MS: Final = 60_000
# Closed until somebody opens it.
FOR_EVER: Final = 2**53
_COLUMNS: Final = ("strikes", "window_started_at", "pending", "pending_until", "closed_at", "expires_at")


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for one round, as plain numbers that travel into storage."""

    strikes: int
    window_ms: int
    reopen_after_ms: int

    @classmethod
    def of(cls, settings: KbaSettings) -> "Limits":
        """What the document says. 0: closed questions do not open by themselves."""
        return cls(settings.strikes, settings.strikes_window_ms, settings.reopen_after_ms or 0)

    def arguments(self, now_ms: int, **more: int) -> Row:
        """As the functions below take them."""
        return {"limit": self.strikes, "window_ms": self.window_ms, "reopen_ms": self.reopen_after_ms, "now": now_ms, **more}


def key_of(ring: KeyRing, identity: bytes) -> bytes:
    """The key of somebody's row: a keyed fingerprint, of an existing person as of a name that is none."""
    return ring.mac("kba-round", identity)


def is_closed(row: Row | None, limits: Limits, now_ms: int) -> bool:
    """Whether a person's questions are closed now."""
    return row is not None and _closed(_current(row, limits.arguments(now_ms)), limits.strikes)


def reserve(key: bytes, limits: Limits, now_ms: int) -> Modify:
    """Begin a round. The unit is refused when no strike is left: then nothing may be compared."""
    return Modify(TABLE, {"key": key}, reserve_round, limits.arguments(now_ms, until=now_ms + RESERVATION_LIFE_MS))


def settle_wrong(key: bytes, limits: Limits, now_ms: int) -> Modify:
    """End a round that was wrong. Its result: how many strikes there are now."""
    return Modify(TABLE, {"key": key}, count_strike, limits.arguments(now_ms))


def close(key: bytes, limits: Limits, now_ms: int) -> Modify:
    """Close the questions for good. Refused when they were closed already, or are not to be."""
    return Modify(TABLE, {"key": key}, close_questions, limits.arguments(now_ms))


def settle_right(key: bytes, limits: Limits, reserved_at: int, now_ms: int) -> Modify:
    """End a round that was right. Refused when it took so long that it was counted as wrong."""
    return Modify(TABLE, {"key": key}, forget_strikes, limits.arguments(now_ms, until=reserved_at + RESERVATION_LIFE_MS))


def give_back(key: bytes, limits: Limits, now_ms: int) -> Modify:
    """End a round in which nothing was compared."""
    return Modify(TABLE, {"key": key}, drop_reservation, limits.arguments(now_ms))


def reopen(key: bytes) -> Operation:
    """Open the questions again: after a strong sign-in, or by the help desk. Its result: how many rows went."""
    return Delete(TABLE, (Where("key", "=", key),))


# --- inside storage ------------------------------------------------------------------------------------------------------


def reserve_round(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more round on its way, if a strike is left for it."""
    row = _current(old, arguments)
    if _closed(row, _number(arguments, "limit")) or row["strikes"] + row["pending"] >= _number(arguments, "limit"):
        return Modified(None, refuse=True)
    row["pending"] += 1
    row["pending_until"] = _number(arguments, "until")
    return Modified(_kept(row, arguments), row["strikes"])


def count_strike(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """A wrong round."""
    row = _current(old, arguments)
    row["pending"] = max(0, row["pending"] - 1)
    row["strikes"] += 1
    return Modified(_kept(row, arguments), row["strikes"])


def close_questions(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Closed, once."""
    row = _current(old, arguments)
    if row["closed_at"] or row["strikes"] < _number(arguments, "limit"):
        return Modified(None, refuse=True)
    row["closed_at"] = _number(arguments, "now")
    return Modified(_kept(row, arguments))


def forget_strikes(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """A right round: strikes are forgotten. Questions that were closed while it was judged stay closed."""
    row = _current(old, arguments)
    if old is None or not row["pending"] or _number(arguments, "now") >= _number(arguments, "until"):
        return Modified(None, refuse=True)
    row["pending"] -= 1
    row["strikes"] = 0
    return Modified(_kept(row, arguments))


def drop_reservation(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """A round that was none."""
    row = _current(old, arguments)
    row["pending"] = max(0, row["pending"] - 1)
    return Modified(_kept(row, arguments) if old is not None else None)


def _current(old: Row | None, arguments: Mapping[str, Value]) -> dict[str, Any]:
    """The row as it is now: rounds that were never settled are wrong, strikes of long ago and a closing that is over are gone."""
    now = _number(arguments, "now")
    row: dict[str, Any] = {name: _number(old or {}, name) for name in _COLUMNS}
    if row["pending"] and now >= row["pending_until"]:
        row["strikes"] += row["pending"]
        row["pending"] = 0
    reopen_ms = _number(arguments, "reopen_ms")
    over = row["closed_at"] and reopen_ms and now >= row["closed_at"] + reopen_ms
    if over or (not row["closed_at"] and now >= row["window_started_at"] + _number(arguments, "window_ms")):
        row |= {"strikes": 0, "window_started_at": now, "closed_at": 0}
    return row


def _closed(row: Mapping[str, Any], limit: int) -> bool:
    return bool(row["closed_at"]) or row["strikes"] >= limit


def _kept(row: dict[str, Any], arguments: Mapping[str, Value]) -> Row:
    """The row with the time after which it tells nothing any more."""
    reopen_ms = _number(arguments, "reopen_ms")
    if row["closed_at"]:
        return row | {"expires_at": row["closed_at"] + reopen_ms if reopen_ms else FOR_EVER}
    return row | {"expires_at": max(row["window_started_at"] + _number(arguments, "window_ms"), row["pending_until"])}


def _number(row: Mapping[str, Value], name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0
