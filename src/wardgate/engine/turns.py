"""How many messages go to one address in an hour and a day, and what else is counted by itself, such as starts of a flow.

Rows of `brake`, changed inside storage, so that workers and nodes count together.
"""

import json
from collections.abc import Mapping
from typing import Any

from wardgate.crypto import KeyRing
from wardgate.engine.brake_changes import current
from wardgate.engine.brake_rows import CLOCK_STEP_MS, DAY_MS, HOUR_MS, began, stored
from wardgate.engine.settings import CodeSettings
from wardgate.storage.port import Modified, Modify, Row, Value

DESTINATION = "destination"
# As many as may be allowed in a day: of what is not kept, no limit can count.
MAX_STAMPS = 1_000


def take_send(
    ring: KeyRing, channel: str, to: str, settings: CodeSettings, now_ms: int, resend: bool, refuse: bool = False
) -> Modify:
    """Reserve one message to an address. Result: 0 when it may go, else the seconds until one may.

    `refuse`: where it may not, nothing of the unit happens.
    """
    return Modify("brake", _destination(ring, channel, to), count_send, {**_sends(settings, now_ms, resend), "refuse": int(refuse)})


def note_full(ring: KeyRing, channel: str, to: str, settings: CodeSettings, now_ms: int, resend: bool) -> Modify:
    """An address may have no more messages for now. Result: `Began` for the first that is refused, else None."""
    return Modify("brake", _destination(ring, channel, to), hold_address, _sends(settings, now_ms, resend))


def _destination(ring: KeyRing, channel: str, to: str) -> Row:
    return {"kind": DESTINATION, "key": ring.mac("brake-destination", channel.encode(), to.lower().encode())}


def _sends(settings: CodeSettings, now_ms: int, resend: bool) -> Row:
    return {
        "now": now_ms,
        "resend": int(resend),
        "hour": settings.resends_per_hour,
        "day": settings.resends_per_day,
        "all_hour": settings.messages_per_hour,
        "all_day": settings.messages_per_day,
    }


def take_turn(kind: str, key: bytes, now_ms: int, an_hour: int, a_day: int) -> Modify:
    """One more of what is counted by itself, such as starts of a flow. Result: 0 when it may be, else the seconds until then."""
    arguments = {"now": now_ms, "resend": 0, "hour": 0, "day": 0, "all_hour": an_hour, "all_day": a_day, "refuse": 0}
    return Modify("brake", {"kind": kind, "key": key}, count_send, arguments)


def give_turn_back(kind: str, key: bytes, taken_at_ms: int) -> Modify:
    """A turn that was taken at this moment was no attempt after all."""
    return Modify("brake", {"kind": kind, "key": key}, uncount_send, {"now": taken_at_ms})


def count_send(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more message to an address, unless its hour or day is full."""
    row, now = current(old, arguments)
    stamps, wait_ms = _sent(row, now, arguments)
    if wait_ms and arguments.get("refuse"):
        return Modified(None, refuse=True)
    if not wait_ms:
        stamps.append([now, int(arguments["resend"] or 0)])
    row["stamps"] = json.dumps(stamps, separators=(",", ":"))
    return Modified(stored(row, now), -(-wait_ms // 1000))


def uncount_send(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One less of those that were counted at this moment."""
    row, now = current(old, arguments)
    stamps = json.loads(row["stamps"])
    counted = next((at for at, stamp in enumerate(stamps) if stamp[0] == now), None)
    if counted is None:
        return Modified(None)
    row["stamps"] = json.dumps(stamps[:counted] + stamps[counted + 1 :], separators=(",", ":"))
    return Modified(stored(row, now))


def hold_address(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The address has to wait: noted once, until a message may go again."""
    row, now = current(old, arguments)
    stamps, wait_ms = _sent(row, now, arguments)
    if not wait_ms or row["locked_until"] > now:
        return Modified(None)
    row.update(locked_until=now + wait_ms, level=row["level"] + 1)
    return Modified(stored(row, now), began(wait_ms, row["level"], len(stamps)))


def _sent(row: Mapping[str, Any], now: int, arguments: Mapping[str, Value]) -> tuple[list[list[int]], int]:
    """When the messages of the last day went, and how many milliseconds until one more may go."""
    stamps = [stamp for stamp in json.loads(row["stamps"]) if now - DAY_MS < stamp[0] <= now + CLOCK_STEP_MS][-MAX_STAMPS:]
    everything = [at for at, _ in stamps]
    resends = [at for at, resend in stamps if resend]
    waits = [
        _free_again(everything, HOUR_MS, int(arguments["all_hour"] or 0), now),
        _free_again(everything, DAY_MS, int(arguments["all_day"] or 0), now),
    ]
    if arguments["resend"]:
        waits.append(_free_again(resends, HOUR_MS, int(arguments["hour"] or 0), now))
        waits.append(_free_again(resends, DAY_MS, int(arguments["day"] or 0), now))
    return stamps, max(waits)


def _free_again(stamps: list[int], span_ms: int, limit: int, now: int) -> int:
    """Milliseconds until one of `limit` places within the span is free; 0: now."""
    recent = [at for at in stamps if at > now - span_ms]
    return 0 if len(recent) < limit else max(1, recent[-limit] + span_ms - now) if limit else span_ms
