"""Limits on wrong proofs: per user and source, per user, and per client address.

Those over many people at once, of a network, a NAS and everything, are in `wide_brakes.py`, those on messages in `turns.py`; what
is lifted, in `lifting.py`. All are rows of `brake`, changed by the pure functions of `brake_changes.py` inside storage (`Modify`),
so that workers and nodes share them and nobody can be guessed against twice at once. Keys are keyed fingerprints. Unknown names get
brakes like known ones. Whoever logged in from his source before is held by nothing but his own failures there. Two more ways around
a brake that stands because of others are `lanes`.

A password check first *reserves* an attempt. What is reserved and never settled (a crash) counts as a failure later.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from typing import Final

from wardgate.crypto import KeyRing
from wardgate.engine import wide_brakes
from wardgate.engine.brake_changes import (
    FOREVER_MS,
    SUCCESS_NOTED_EVERY_MS,
    count_failure,
    forget_failures,
    forgive_source,
    pass_and_forget,
    pass_below,
    pass_only,
    release_attempt,
    reserve_attempt,
)
from wardgate.engine.brake_rows import (
    DAY_MS,
    is_known_source,
    lives,
    locks,
    number,
    one,
    wait_s,
)
from wardgate.engine.settings import BrakeSettings
from wardgate.engine.wide_brakes import Bucket
from wardgate.storage.port import Committed, Delete, Find, Modify, Operation, Reader, Row, Storage, Update, Where
from wardgate.values import quick_value

USER_SOURCE = "user_source"
USER = "user"
SOURCE = "source"
# The same two for the name under which a person was found: they hold nobody.
NAME_SOURCE = "name_source"
NAME = "name"
# Wrong passwords at a name where directories lock accounts: `bind_brake`.
NAME_DIRECTORY = "name_directory"
# Before whom or what a key of the lane is for whose strong factor is proved before the password.
STRONG_LANE = "strong:"

_NOTHING_FAILED = (Where("failures", "=", 0), Where("level", "=", 0))


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
        "window": FOREVER_MS,
        "keep": DAY_MS if keys.of_name else FOREVER_MS,
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
