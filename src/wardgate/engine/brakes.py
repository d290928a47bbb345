"""Limits on wrong proofs: per user and source, per user, per client address, and per destination of codes.

Those over many people at once, of a network, a NAS and everything, are in `wide_brakes.py`. All are rows of `brake`, changed by
pure functions inside storage (`Modify`), so that workers and nodes share them and nobody can be guessed against twice at once. Keys
are keyed fingerprints. Unknown names get brakes like known ones. Whoever logged in from his source before is held by nothing but
his own failures there. Two more ways around a brake that stands because of others are `lanes`.

A password check first *reserves* an attempt. What is reserved and never settled (a crash) counts as a failure later.
"""

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any, Final

from wardgate.crypto import KeyRing
from wardgate.engine import wide_brakes
from wardgate.engine.brake_rows import (
    CLOCK_STEP_MS,
    DAY_MS,
    EMPTY,
    HOUR_MS,
    MAX_DOUBLINGS,
    began,
    is_known_source,
    lives,
    locks,
    number,
    one,
    stored,
    wait_s,
)
from wardgate.engine.settings import BrakeSettings, CodeSettings
from wardgate.engine.wide_brakes import Bucket
from wardgate.storage.port import Committed, Delete, Find, Modified, Modify, Operation, Reader, Row, Storage, Update, Value, Where
from wardgate.values import quick_value

USER_SOURCE = "user_source"
USER = "user"
SOURCE = "source"
DESTINATION = "destination"
# The same two for the name under which a person was found: they hold nobody.
NAME_SOURCE = "name_source"
NAME = "name"
# Wrong passwords at a name where directories lock accounts: `bind_brake`.
NAME_DIRECTORY = "name_directory"
# Before whom or what a key of the lane is for whose strong factor is proved before the password.
STRONG_LANE = "strong:"

RESERVATION_LIFE_MS = 60_000
SUCCESS_NOTED_EVERY_MS = 3_600_000
_FOREVER_MS = 400 * 86_400_000
LONGEST_WAIT_MS = DAY_MS
# Of one person, for an operator's hand.
MAX_KNOWN_SOURCES = 1_000
_NOTHING_FAILED = (Where("failures", "=", 0), Where("level", "=", 0))
# As many as may be allowed in a day: of what is not kept, no limit can count.
MAX_STAMPS = 1_000


@quick_value
class BrakeKeys:
    """The keys of one login attempt. `source` is None when the NAS does not tell the client's address:

    braking the NAS's own address would let anybody shut out everybody behind it. `typed` makes the keys of the name under which a
    person was found: they hold nobody, they only say what may be told of the person's brake, and few logins need them.
    `of_name`: they are keys of a name, somebody's or nobody's: what they count ends a day after the last failure, or guesses at
    ever new names would fill the disk for a year. The same for both, or the end of a wait would tell who exists.

    `wide`: makes the buckets over many people; None: what fails here is counted in none. `taken`: those of which a token was taken.
    `user_limit`: what holds this user instead of the limit that is set; 0: that one. `beside`: the keys of the same person without
    a lane of his own (`lanes`): what fails counts there for the person as well, and a success forgets what failed there.
    `known`: they are of what shows by itself that its person was here before.
    """

    user_source: bytes
    user: bytes
    source: bytes | None
    typed: "Callable[[], BrakeKeys] | None" = None
    pair_kind: str = USER_SOURCE
    user_kind: str = USER
    of_name: bool = False
    wide: Callable[[BrakeSettings], tuple[Bucket, ...]] | None = None
    taken: tuple[Bucket, ...] = ()
    user_limit: int = 0
    beside: "BrakeKeys | None" = None
    known: bool = False


def brake_keys(
    ring: KeyRing, who: str, client: str | None, binding: str, typed: str | None = None, of_name: bool = False
) -> BrakeKeys:
    """`who`: subject id of a known user, else the name as it was looked up. `typed`: that name, for a known user."""
    source = connection(client) if client else None
    name = typed if typed is not None else who
    return BrakeKeys(
        user_source=ring.remembered_mac("brake-user-source", who.encode(), (source or binding).encode()),
        user=ring.remembered_mac("brake-user", who.encode()),
        source=source_key(ring, source) if source else None,
        typed=partial(_name_keys, ring, typed, client, binding) if typed is not None else None,
        of_name=of_name,
        wide=partial(_buckets, ring, client, binding, name),
    )


def source_key(ring: KeyRing, client: str) -> bytes:
    """The row of a client address."""
    return ring.remembered_mac("brake-source", connection(client).encode())


def _buckets(ring: KeyRing, client: str | None, binding: str, name: str, settings: BrakeSettings) -> tuple[Bucket, ...]:
    part = ring.remembered_mac("brake-user", name.encode())
    return wide_brakes.buckets(ring, client, binding, part, settings)


def _name_keys(ring: KeyRing, typed: str, client: str | None, binding: str) -> BrakeKeys:
    return replace(brake_keys(ring, typed, client, binding, of_name=True), pair_kind=NAME_SOURCE, user_kind=NAME)


def asker(client: str | None, binding: str) -> str:
    """On whose behalf a password is checked: those who wait for a check take turns by this."""
    return connection(client) if client else binding


def connection(client: str) -> str:
    """What counts as one source: an IPv6 client by its /64, which one connection is given whole, to take addresses from at will."""
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    if address.ipv4_mapped is not None:
        # Else all of IPv4 behind a socket for both would be one source.
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


class Reservation(StrEnum):
    """What came of reserving an attempt. BUSY: attempts of the same user and source are being judged; ask again in a moment."""

    TAKEN = "taken"
    BUSY = "busy"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Hold:
    """The attempt has to wait. Not `told`: for guesses at another name of this person, and to say so would link the two names.

    `wide`: it holds because of what others did. `strong_opens`: not for who proves a strong factor before his password, in one
    request. `asks_first`: it stands for this one name, and whoever uses it is asked for a strong factor first where the door can
    ask; with `decoy` in vain: what stands for the person, by another name of his, is not opened by that.
    """

    reason: str
    wait_s: int
    told: bool = True
    wide: bool = False
    strong_opens: bool = False
    asks_first: bool = False
    decoy: bool = False


@quick_value
class Seen:
    """The rows of one attempt as they were read. `known`: what he showed tells that he was here before, if the pair does not.

    Not `is_read`: nothing has hung on them so far; whoever asks whether a brake holds reads them then.
    """

    pair: Row | None
    user: Row | None
    source: Row | None
    known: bool = False
    is_read: bool = True


NOT_READ: Final = Seen(None, None, None, is_read=False)


def asked(keys: BrakeKeys) -> list[Find]:
    """What to read for `seen`, to be read together with whatever else is needed."""
    finds = [one(keys.pair_kind, keys.user_source), one(keys.user_kind, keys.user)]
    if keys.source is not None:
        finds.append(one(SOURCE, keys.source))
    return finds


def seen(rows: Sequence[Sequence[Row]], known: bool = False) -> Seen:
    """The rows that `asked` brought."""
    pair, user, *source = [found[0] if found else None for found in rows]
    return Seen(pair, user, source[0] if source else None, known)


async def holding(storage: Reader, keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> Hold | None:
    """Whether a brake holds this attempt, by what is stored now."""
    return await held_by(storage, keys, seen(await storage.read(asked(keys)), keys.known), settings, now_ms)


async def held_by(storage: Reader, keys: BrakeKeys, found: Seen, settings: BrakeSettings, now_ms: int) -> Hold | None:
    """Whether a brake holds this attempt, by what was read. The reservation and the grant decide; this only spares work."""
    if not found.is_read:
        return await holding(storage, keys, settings, now_ms)
    hold = _holds(found, keys, settings, now_ms)
    if hold is None or keys.typed is None:
        return hold
    typed = keys.typed()
    named = _holds(seen(await storage.read(asked(typed))), typed, settings, now_ms)
    shown = named or hold
    opens = hold.strong_opens and shown.strong_opens
    return replace(shown, told=named is not None, strong_opens=opens, decoy=not hold.asks_first)


def _holds(found: Seen, keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> Hold | None:
    limit = keys.user_limit or settings.user_failures
    failures = number(found.user, "failures") if found.user and lives(found.user, now_ms) else 0
    if found.pair and locks(found.pair, now_ms, settings.user_source_wait_max_s * 1000):
        # Others' failures are in the pair as well: behind one NAT, or where nobody tells the client's address.
        return Hold("brake_user_source", wait_s(found.pair, now_ms), asks_first=failures < 2 * limit)
    if found.known or is_known_source(found.pair, now_ms):
        # He has been here before: what others do from here is no reason to keep him out, and his own failures are in the pair.
        return None
    if found.source and locks(found.source, now_ms, settings.source_wait_s * 1000):
        return Hold("brake_source", wait_s(found.source, now_ms), strong_opens=True)
    if failures >= limit:
        # NIST SP 800-63B 3.2.2: no more than a hundred failed attempts in a row, whatever they are made with.
        opens = failures < 2 * limit
        return Hold("brake_user", settings.user_source_wait_max_s, strong_opens=opens, asks_first=opens)
    return None


async def admit(storage: Storage, keys: BrakeKeys, found: Seen, settings: BrakeSettings, now_ms: int) -> Hold | BrakeKeys:
    """Whether a first request may go on; if so the keys to go on with, which tell of what a token was taken.

    Of who was here before, nothing more is read than was read already.
    """
    hold = await held_by(storage, keys, found, settings, now_ms)
    if hold is not None:
        return hold
    is_known = found.known or is_known_source(found.pair, now_ms)
    buckets = keys.wide(settings) if keys.wide is not None and not is_known else ()
    if not buckets:
        return keys
    rows = await storage.read(wide_brakes.asked(buckets))
    hold = _wide(wide_brakes.empty_one(buckets, rows, settings, now_ms))
    near = wide_brakes.nearly_empty(buckets, rows, now_ms)
    if hold is not None or not near:
        return hold or keys
    taken = await storage.commit([wide_brakes.take(bucket, settings, now_ms) for bucket in near])
    if isinstance(taken, Committed):
        return replace(keys, taken=near)
    # The last tokens are out: whoever has them will begin a lock with them, or give them back.
    return Hold(f"brake_{near[taken.position].kind}", settings.wide_wait_s, wide=True, strong_opens=True)


async def wide_hold(storage: Reader, keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> Hold | None:
    """The wait that strangers are told now: who was let past it and fails is told the same."""
    buckets = keys.wide(settings) if keys.wide is not None else ()
    if not buckets:
        return None
    return _wide(wide_brakes.empty_one(buckets, await storage.read(wide_brakes.asked(buckets)), settings, now_ms))


def _wide(found: tuple[str, int] | None) -> Hold | None:
    return Hold(f"brake_{found[0]}", found[1], wide=True, strong_opens=True) if found is not None else None


def give_back(keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> tuple[Operation, ...]:
    """The tokens that were taken are returned: the password was right, or nobody said whether it was."""
    return tuple(wide_brakes.give_back(bucket, settings, now_ms) for bucket in keys.taken)


def reserve(keys: BrakeKeys, settings: BrakeSettings, now_ms: int, refuse: bool = False) -> Modify:
    """Reserve one attempt. Result: a `Reservation`. `refuse`: where it is not TAKEN, nothing of the unit happens."""
    arguments: Row = {
        "now": now_ms,
        "owner": keys.user,
        "limit": settings.user_source_failures,
        "window": settings.user_source_window_s * 1000,
        "wait_max": settings.user_source_wait_max_s * 1000,
        "refuse": int(refuse),
    }
    return Modify("brake", {"kind": USER_SOURCE, "key": keys.user_source}, reserve_attempt, arguments)


def settle_wrong(keys: BrakeKeys, settings: BrakeSettings, now_ms: int, reserved: bool) -> list[Operation]:
    """The attempt was wrong: count it everywhere. Result of each: `Began` when a lock began with this failure, else None."""
    operations = settle_held(keys, settings, now_ms, reserved)
    if keys.source is not None:
        operations.append(_count_source(keys.source, settings, now_ms))
    return operations + _count_wide(keys, settings, now_ms)


def settle_held(keys: BrakeKeys, settings: BrakeSettings, now_ms: int, reserved: bool = False) -> list[Operation]:
    """The attempt was held because of what others did: it counts for its name like one that was wrong.

    Who was let past the brake and guesses wrongly is counted too: afterwards nothing must tell the one name from the other.
    """
    operations = _count_person(keys, keys.user, settings, now_ms, reserved)
    if keys.typed is not None:
        operations += _count_person(keys.typed(), keys.user, settings, now_ms, reserved=False)
    return operations


def settle_unseen(keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> list[Operation]:
    """The attempt was held without a word (`Hold.told`): count it as one at a name that does not exist."""
    named = keys.typed() if keys.typed is not None else keys
    operations = _count_person(named, keys.user, settings, now_ms, reserved=False)
    if keys.beside is not None and keys.beside.typed is not None:
        operations.append(_count_user(keys.beside.typed(), keys.beside.user, settings, now_ms))
    if keys.source is not None:
        operations.append(_count_source(keys.source, settings, now_ms))
    return operations + _count_wide(keys, settings, now_ms)


def _count_wide(keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> list[Operation]:
    return wide_brakes.settle(keys.wide(settings), keys.taken, settings, now_ms) if keys.wide is not None else []


def _count_person(keys: BrakeKeys, owner: bytes, settings: BrakeSettings, now_ms: int, reserved: bool) -> list[Operation]:
    pair: Row = {
        "now": now_ms,
        "owner": owner,
        "reserved": int(reserved),
        "limit": settings.user_source_failures,
        "window": settings.user_source_window_s * 1000,
        "wait": settings.user_source_wait_s * 1000,
        "wait_max": settings.user_source_wait_max_s * 1000,
    }
    counted: list[Operation] = [
        Modify("brake", {"kind": keys.pair_kind, "key": keys.user_source}, count_failure, pair),
        _count_user(keys, owner, settings, now_ms),
    ]
    if keys.beside is not None:
        counted.append(_count_user(keys.beside, keys.beside.user, settings, now_ms))
        if keys.beside.typed is not None:
            counted.append(_count_user(keys.beside.typed(), keys.beside.user, settings, now_ms))
    return counted


def _count_user(keys: BrakeKeys, owner: bytes, settings: BrakeSettings, now_ms: int) -> Operation:
    user: Row = {
        "now": now_ms,
        "owner": owner if owner != keys.user else None,
        "reserved": 0,
        "limit": keys.user_limit or settings.user_failures,
        "window": _FOREVER_MS,
        "keep": DAY_MS if keys.of_name else _FOREVER_MS,
        "wait": 0,
        "wait_max": 0,
    }
    return Modify("brake", {"kind": keys.user_kind, "key": keys.user}, count_failure, user)


def _count_source(key: bytes, settings: BrakeSettings, now_ms: int) -> Modify:
    source = {
        "now": now_ms,
        "reserved": 0,
        "limit": settings.source_failures,
        "window": settings.source_window_s * 1000,
        "wait": settings.source_wait_s * 1000,
        "wait_max": settings.source_wait_s * 1000,
    }
    return Modify("brake", {"kind": SOURCE, "key": key}, count_failure, source)


def settle_right(keys: BrakeKeys, now_ms: int) -> Modify:
    """The password was right: give the reservation back. Failures stay until the whole login succeeds."""
    return Modify("brake", {"kind": USER_SOURCE, "key": keys.user_source}, release_attempt, {"now": now_ms})


class Clean(IntEnum):
    """What a success would find to forget: nothing but with NO. Then it writes no more than it has to.

    NOTED: that the source is the person's was noted a short while ago. UNNOTED: it was not.
    """

    NO = 0
    NOTED = 1
    UNNOTED = 2


def cleanness(found: Seen, keys: BrakeKeys, now_ms: int) -> Clean:
    """What these rows show. A name's failures are always the person's as well."""
    pair, user = found.pair, found.user
    if not found.is_read or keys.beside is not None or (user is not None and user["failures"]):
        return Clean.NO
    if pair is None:
        return Clean.UNNOTED
    if pair["failures"] or pair["level"] or pair["in_flight"]:
        return Clean.NO
    return Clean.NOTED if number(pair, "succeeded_at") > now_ms - SUCCESS_NOTED_EVERY_MS else Clean.UNNOTED


def success(keys: BrakeKeys, now_ms: int, clean: Clean = Clean.NO) -> list[Operation]:
    """The login succeeds: forget the failures of this user, and remember the source as his.

    The first operation refuses the whole unit when a lock began meanwhile: of many answers that are judged at once, a right
    one that comes to be written after the wrong ones filled the limit is worth nothing. `clean`: where there is nothing to
    forget, no more is written than has to be; what failed since then stays counted. Whoever came by a lane forgets what stood in
    his way without it.
    """
    if clean == Clean.NOTED:
        return [Update("brake", _pair(keys), {}, where=(Where("locked_until", "<=", now_ms),))]
    operations: list[Operation] = [Modify("brake", _pair(keys), pass_and_forget, {"now": now_ms, "owner": keys.user})]
    if clean != Clean.NO:
        return operations
    operations.append(Modify("brake", {"kind": USER, "key": keys.user}, forget_failures, {"now": now_ms}))
    if keys.typed is not None:
        operations.append(_forget_names(keys))
    return operations if keys.beside is None else operations + forgive(keys.beside, now_ms)


def _pair(keys: BrakeKeys) -> Row:
    return {"kind": USER_SOURCE, "key": keys.user_source}


def forgive(keys: BrakeKeys, now_ms: int) -> list[Operation]:
    """It was he himself, as a strong factor and his password have shown: whatever lock holds here is over."""
    return [
        Modify("brake", {"kind": USER_SOURCE, "key": keys.user_source}, forgive_source, {"now": now_ms, "owner": keys.user}),
        Modify("brake", {"kind": USER, "key": keys.user}, forget_failures, {"now": now_ms}),
        _forget_names(keys),
    ]


def _forget_names(keys: BrakeKeys) -> Delete:
    return Delete("brake", (Where("owner", "=", keys.user), Where("kind", "in", (NAME_SOURCE, NAME, NAME_DIRECTORY))))


def let_pass(keys: BrakeKeys, now_ms: int) -> list[Operation]:
    """The login is let in without a step of its plan: it forgets no failures and makes its source nobody's."""
    return [Modify("brake", {"kind": USER_SOURCE, "key": keys.user_source}, pass_only, {"now": now_ms, "owner": keys.user})]


def still_open(keys: BrakeKeys, settings: BrakeSettings, now_ms: int) -> list[Operation]:
    """Conditions of a right answer: no lock began here while it was judged, and the person's failures do not fill the limit.

    Of guesses that are judged at once at many addresses, the right one is worth nothing once the wrong ones have filled it.
    """
    limit: Row = {"now": now_ms, "limit": keys.user_limit or settings.user_failures}
    return [*let_pass(keys, now_ms), Modify("brake", {"kind": keys.user_kind, "key": keys.user}, pass_below, limit)]


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


# --- pure functions that run inside storage --------------------------------------------------------------------------


def reserve_attempt(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more attempt in flight, unless failures and attempts in flight already fill the limit."""
    row, now = _current(old, arguments)
    limit = int(arguments["limit"] or 0)
    if row["locked_until"] > now or row["failures"] >= limit:
        return Modified(None, Reservation.LOCKED, refuse=bool(arguments["refuse"]))
    if row["failures"] + row["in_flight"] >= limit:
        return Modified(None, Reservation.BUSY, refuse=bool(arguments["refuse"]))
    row["in_flight"] += 1
    row["in_flight_until"] = now + RESERVATION_LIFE_MS
    return Modified(stored(row, now), Reservation.TAKEN)


def count_failure(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more failure; at the limit a lock begins, and each further lock doubles up to the longest."""
    row, now = _current(old, arguments)
    if arguments["reserved"]:
        row["in_flight"] = max(0, row["in_flight"] - 1)
    if not row["failures"]:
        row["window_started_at"] = now
    row["failures"] += 1
    limit, wait, wait_max = (int(arguments[name] or 0) for name in ("limit", "wait", "wait_max"))
    if not wait:
        # No wait ends it: failures from anywhere are kept until a success or an operator lifts them; of a name, for a day.
        told = began(0, 1, row["failures"]) if row["failures"] == limit else None
        return Modified(stored(row, now, int(arguments["keep"] or 0)), told)
    if row["failures"] < limit or row["locked_until"] > now:
        return Modified(stored(row, now))
    wait_ms, failures = min(wait << min(row["level"], MAX_DOUBLINGS), wait_max), row["failures"]
    row.update(locked_until=now + wait_ms, level=row["level"] + 1, failures=0)
    return Modified(stored(row, now), began(wait_ms, row["level"], failures))


def release_attempt(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One attempt less in flight."""
    row, now = _current(old, arguments)
    row["in_flight"] = max(0, row["in_flight"] - 1)
    return Modified(stored(row, now))


def pass_and_forget(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """No failures any more and a source that is known from now on; refused while a lock holds.

    What is in flight stays: it is somebody else's attempt.
    """
    row, now = _current(old, arguments)
    if row["locked_until"] > now:
        return Modified(None, refuse=True)
    if old is not None and not row["failures"] and not row["level"] and row["succeeded_at"] > now - SUCCESS_NOTED_EVERY_MS:
        return Modified(None)
    row.update(failures=0, level=0, succeeded_at=now)
    return Modified(stored(row, now))


def forgive_source(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing failed here, nothing holds, and the source is known from now on. What is in flight stays: it is somebody else's."""
    row, now = _current(old, arguments)
    row.update(failures=0, level=0, locked_until=0, succeeded_at=now)
    return Modified(stored(row, now))


def pass_only(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing changes; refused while a lock holds."""
    row, now = _current(old, arguments)
    return Modified(None, refuse=row["locked_until"] > now)


def pass_below(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing changes; refused where the failures fill the limit."""
    row, _ = _current(old, arguments)
    return Modified(None, refuse=row["failures"] >= int(arguments["limit"] or 0))


def forget_failures(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """No failures any more."""
    if old is None or not old["failures"]:
        return Modified(None)
    row, now = _current(old, arguments)
    row["failures"] = 0
    return Modified(stored(row, now))


def lift_wait(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Nothing failed and nobody waits any more; nor does anybody wait for messages of the last day."""
    if old is None:
        return Modified(None, 0)
    row, now = _current(old, arguments)
    held = int(row["locked_until"] > now or row["failures"] > 0)
    row.update(failures=0, level=0, locked_until=0, stamps="[]", label=None)
    return Modified(stored(row, now), held)


def count_send(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One more message to an address, unless its hour or day is full."""
    row, now = _current(old, arguments)
    stamps, wait_ms = _sent(row, now, arguments)
    if wait_ms and arguments.get("refuse"):
        return Modified(None, refuse=True)
    if not wait_ms:
        stamps.append([now, int(arguments["resend"] or 0)])
    row["stamps"] = json.dumps(stamps, separators=(",", ":"))
    return Modified(stored(row, now), -(-wait_ms // 1000))


def uncount_send(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One less of those that were counted at this moment."""
    row, now = _current(old, arguments)
    stamps = json.loads(row["stamps"])
    counted = next((at for at, stamp in enumerate(stamps) if stamp[0] == now), None)
    if counted is None:
        return Modified(None)
    row["stamps"] = json.dumps(stamps[:counted] + stamps[counted + 1 :], separators=(",", ":"))
    return Modified(stored(row, now))


def hold_address(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The address has to wait: noted once, until a message may go again."""
    row, now = _current(old, arguments)
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


def _current(old: Row | None, arguments: Mapping[str, Value]) -> tuple[dict[str, Any], int]:
    """The row as it stands now: windows that ended are empty, reservations that were never settled are failures.

    A row whose time has run out says nothing any more, whether it was cleared away yet or not.

    What lies in an impossible future has ended too: nobody is to be kept out until a clock that was set back has caught up.
    """
    now = int(arguments["now"] or 0)
    current = old if old is not None and lives(old, now) else EMPTY
    row: dict[str, Any] = {name: value for name, value in current.items() if name not in ("kind", "key")}
    row["owner"] = arguments.get("owner") or row["owner"]
    if not locks(row, now, int(arguments.get("wait_max") or LONGEST_WAIT_MS)):
        row["locked_until"] = min(row["locked_until"], now)
    if row["in_flight_until"] > now + RESERVATION_LIFE_MS + CLOCK_STEP_MS:
        row["in_flight"] = 0
    if row["in_flight"] and row["in_flight_until"] <= now:
        if not row["failures"]:
            # Their window has a beginning of its own: without one it would have ended long ago, and they with it.
            row["window_started_at"] = row["in_flight_until"]
        row["failures"] += row["in_flight"]
        row["in_flight"] = 0
    window = arguments.get("window")
    if window is not None and row["failures"] and _window_ended(row["window_started_at"], int(window), now):
        row["failures"] = 0
    return row, now


def _window_ended(started_at: int, window_ms: int, now: int) -> bool:
    return started_at + window_ms <= now or (started_at > now + CLOCK_STEP_MS and window_ms < _FOREVER_MS)
