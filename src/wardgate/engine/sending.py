"""Whether a code may be sent: the limits of its address, of a part of the world and of a day, and of where the logins come from.

Who makes a server send messages makes its owner pay for them, and may have a share in it (SMS pumping): prefixes that nobody needs
are closed, and caps end what a stolen list of accounts could cost. All limits are taken in one unit: a message that one of them
refuses is counted in none of the others. How many went, and how many were refused, stands in the table `sending` for each day.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import phonenumbers

from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.contacts import mask_mail, mask_phone
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.engine import brakes, turns, wide_brakes
from wardgate.engine.brake_rows import DAY_MS, HOUR_MS, is_known_source, number
from wardgate.engine.locks import BeganLock, Locks, begun
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import SendingSettings
from wardgate.factors.port import Factor, Holder
from wardgate.storage.port import Commit, Committed, Find, Modified, Modify, Operation, Refused, Row, Value, Where
from wardgate.values import quick_value

TABLE = "sending"
# The row of all messages of a channel on a day.
ALL = "*"
SOURCE_MESSAGES = "source_messages"
_MAX_PAIRS = 100


def prefix_of(number_e164: str, settings: SendingSettings) -> str:
    """The part of the world that a number belongs to: the longest prefix that is listed or has a price, else its country code."""
    known = [each for each in (*settings.sms_prefixes, *settings.prices) if each.startswith("+") and number_e164.startswith(each)]
    return max(known, key=len, default="") or _country(number_e164)


def source_messages_key(ring: KeyRing, client: str) -> bytes:
    """The row of the messages for one client address."""
    return ring.mac("brake-source-messages", brakes.asker(client, "").encode())


@lru_cache(maxsize=4096)
def _country(number_e164: str) -> str:
    try:
        return f"+{phonenumbers.parse(number_e164, None).country_code}"
    except phonenumbers.NumberParseException:
        return "+"


@quick_value
class _Limit:
    """One limit: what takes a message of it, and, for when it is full, what notes that in a second unit and who is told of it.

    `cap`: one of a day, which is no row of `brake`.
    """

    take: Modify
    full: Modify | None = None
    cap: str = ""


class MessageLimits:
    """Takes messages of all limits. One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def may_send(self, factor: Factor, holder: Holder, resend: bool, trail: Trail, application: str, user: str) -> bool:
        """Reserve one message of this factor."""
        channel, to, now_ms = factor.channel, factor.destination(holder) or "", to_ms(self._parts.clock.now())
        if channel is None:
            return True
        limits = self._limits(channel, to, resend, now_ms)
        if not await self._is_known(holder, trail, now_ms):
            limits += self._of_strangers(channel, holder, trail, now_ms)
        commit = await self._parts.storage.commit([limit.take for limit in limits])
        if isinstance(commit, Committed):
            return True
        await self._refused(commit, limits, channel, to, now_ms, _Whose(trail, application, user, holder.subject_id))
        return False

    async def note_closed(self, to: str, trail: Trail) -> None:
        """A code was wanted for a number whose prefix is closed."""
        settings = self._parts.configuration().sending
        trail.note("no SMS to numbers of this prefix", prefix=_country(to))
        now_ms = to_ms(self._parts.clock.now())
        await self._parts.storage.commit([_refuse(Channel.SMS, prefix_of(to, settings), now_ms)])

    # --- the limits ----------------------------------------------------------------------------------------------

    def _limits(self, channel: Channel, to: str, resend: bool, now_ms: int) -> list[_Limit]:
        configuration, ring = self._parts.configuration(), self._parts.ring()
        codes, caps = configuration.codes, configuration.sending
        address = _Limit(
            turns.take_send(ring, channel.value, to, codes, now_ms, resend, refuse=True),
            turns.note_full(ring, channel.value, to, codes, now_ms, resend),
        )
        if channel is Channel.EMAIL:
            return [address, _Limit(_take(channel, ALL, caps.email_per_day, now_ms), cap="email_per_day")]
        prefix = prefix_of(to, caps)
        return [
            address,
            _Limit(_take(channel, prefix, caps.sms_per_prefix_per_day, now_ms), cap="sms_per_prefix_per_day"),
            _Limit(_take(channel, ALL, caps.sms_per_day, now_ms), cap="sms_per_day"),
        ]

    def _of_strangers(self, channel: Channel, holder: Holder, trail: Trail, now_ms: int) -> list[_Limit]:
        configuration, ring = self._parts.configuration(), self._parts.ring()
        settings, client = configuration.brakes, trail.counted_client or None
        part = ring.mac("brake-user", holder.subject_id.encode())
        binding = f"{trail.door}:{trail.nas}:"
        found = wide_brakes.buckets(ring, client, binding, part, settings, wide_brakes.MESSAGES)
        limits = [
            _Limit(wide_brakes.take(bucket, settings, now_ms), wide_brakes.count(bucket, settings, now_ms, taken=True))
            for bucket in found
        ]
        an_hour = configuration.sending.sms_per_source_per_hour
        if channel is Channel.SMS and client and an_hour:
            key: Row = {"kind": SOURCE_MESSAGES, "key": source_messages_key(ring, client)}
            arguments: Row = {"now": now_ms, "limit": an_hour, "window": HOUR_MS, "wait": HOUR_MS, "wait_max": HOUR_MS, "taken": 1}
            take = Modify("brake", key, wide_brakes.take_token, arguments)
            limits.append(_Limit(take, Modify("brake", key, wide_brakes.count_token, arguments)))
        return limits

    async def _is_known(self, holder: Holder, trail: Trail, now_ms: int) -> bool:
        """Whether this user logged in from this source before. Where the NAS tells no client's address: whether he logged in."""
        client = trail.counted_client
        keys = brakes.brake_keys(self._parts.ring(), holder.subject_id, client or None, "")
        here = Where("key", "=", keys.user_source) if client else Where("owner", "=", keys.user)
        find = Find("brake", (Where("kind", "=", brakes.USER_SOURCE), here), limit=_MAX_PAIRS)
        [rows] = await self._parts.storage.read([find])
        return any(is_known_source(row, now_ms) for row in rows)

    # --- what follows when one is full ---------------------------------------------------------------------------

    async def _refused(
        self, refused: Refused, limits: Sequence[_Limit], channel: Channel, to: str, now_ms: int, whose: "_Whose"
    ) -> None:
        limit = limits[refused.position]
        what = limit.cap or str(limit.take.key["kind"])
        whose.trail.note("no more messages for now", limit=what)
        prefix = prefix_of(to, self._parts.configuration().sending) if channel is Channel.SMS else ALL
        unit: list[Operation] = [] if limit.full is None else [limit.full]
        unit.append(_refuse(channel, prefix, now_ms))
        commit = await self._parts.storage.commit(unit)
        began = begun(unit[:1] if limit.full is not None else [], commit) + _cap_began(limit, commit, now_ms)
        if began:
            masked = mask_phone(to) if channel is Channel.SMS else mask_mail(to)
            locks = Locks(self._parts, whose.trail, whose.application, now_ms)
            await locks.note_address(began, masked, whose.user, whose.subject_id)


@quick_value
class _Whose:
    """Whose message was refused, and by which request."""

    trail: Trail
    application: str
    user: str
    subject_id: str


def _cap_began(limit: _Limit, commit: Commit, now_ms: int) -> list[BeganLock]:
    """A cap is told of once a day: with the first message that it refuses."""
    if not limit.cap or not isinstance(commit, Committed) or commit.results[-1] != 1:
        return []
    until_midnight_s = (DAY_MS - now_ms % DAY_MS) // 1000
    return [BeganLock(limit.cap, b"", until_midnight_s, 1, number(limit.take.arguments, "cap"))]


def _take(channel: Channel, prefix: str, cap: int, now_ms: int) -> Modify:
    return Modify(TABLE, _row_key(channel, prefix, now_ms), count_message, {"cap": cap})


def _refuse(channel: Channel, prefix: str, now_ms: int) -> Modify:
    return Modify(TABLE, _row_key(channel, prefix, now_ms), count_refused, {})


def _row_key(channel: Channel, prefix: str, now_ms: int) -> Row:
    return {"day": now_ms // DAY_MS, "channel": channel.value, "prefix": prefix}


# --- pure functions that run inside storage --------------------------------------------------------------------------


def count_message(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more message of a day, unless its cap is reached."""
    messages, refused, cap = _counts(old, arguments)
    if cap and messages >= cap:
        return Modified(None, refuse=True)
    return Modified({"messages": messages + 1, "refused": refused})


def count_refused(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more message that was not let go. Result: how many those are by now."""
    messages, refused, _ = _counts(old, arguments)
    return Modified({"messages": messages, "refused": refused + 1}, refused + 1)


def _counts(old: Row | None, arguments: Mapping[str, Value]) -> tuple[int, int, int]:
    cap = arguments.get("cap")
    return (
        number(old, "messages") if old is not None else 0,
        number(old, "refused") if old is not None else 0,
        cap if isinstance(cap, int) else 0,
    )
