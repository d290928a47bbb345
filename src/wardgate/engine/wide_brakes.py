"""Token buckets over many people at once: of a source network, of a NAS and of everything, for failures and for messages.

They stop who spreads his guesses over names and addresses so thinly that no other brake sees him. Whoever logged in from his source
before never meets them; strangers wait while a bucket is empty. A bucket fills again all the time, as fast as it may be emptied
within its window. The wait for a bucket that was emptied doubles each time, until there has been peace for as long as the longest.

Only failures count, so that a login that goes well writes nothing here. Where a bucket is nearly empty, a stranger takes a token
before his password is checked and gives it back if it was right: of any number of guesses at once no more than the limit is judged.

All failures of a node meet in the row of a NAS and in the one of everything, under attack from all nodes at once: each is split
into parts by the name that was typed (docs/decisions/0009).
"""

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from wardgate.crypto import KeyRing
from wardgate.engine.brake_rows import (
    CLOCK_STEP_MS,
    EMPTY,
    MAX_DOUBLINGS,
    began,
    lives,
    locks,
    number,
    one,
    stored,
    wait_s,
)
from wardgate.engine.settings import BrakeSettings
from wardgate.storage.port import Find, Modified, Modify, Operation, Row, Value
from wardgate.values import quick_value

NETWORK = "network"
NAS = "nas"
GLOBAL = "global"
NETWORK_MESSAGES = "network_messages"
NAS_MESSAGES = "nas_messages"
GLOBAL_MESSAGES = "global_messages"
FAILURES = (NETWORK, NAS, GLOBAL)
MESSAGES = (NETWORK_MESSAGES, NAS_MESSAGES, GLOBAL_MESSAGES)

MAX_PARTS = 16
# A part is no smaller: names fall into the parts by chance, and guesses at a few names alone, up to the hard stop of each, must not
# empty one.
LEAST_OF_A_PART = 250
# From here on a stranger takes his token first. Before it as many may be judged at once as passwords can be checked at once.
HEADROOM = 64


@quick_value
class Bucket:
    """One bucket that an attempt falls into, or the part of it."""

    kind: str
    key: bytes
    limit: int


def buckets(
    ring: KeyRing, client: str | None, binding: str, part: bytes, settings: BrakeSettings, kinds: Sequence[str] = FAILURES
) -> tuple[Bucket, ...]:
    """The buckets of an attempt from this client through this NAS. `part`: a fingerprint of the name as it was looked up.

    Of the name, known or not, and never of the person: two names of one person must not be found to share a part. Without a
    client's address there is no network.
    """
    of_network, of_nas, of_all = kinds
    found = []
    network = network_of(client, settings) if client else None
    if network is not None:
        found.append(_bucket(ring, of_network, network, part, _limits(settings)[of_network], split=False))
    found.append(_bucket(ring, of_nas, nas_of(binding), part, _limits(settings)[of_nas]))
    found.append(_bucket(ring, of_all, "", part, _limits(settings)[of_all]))
    return tuple(bucket for bucket in found if bucket.limit > 0)


def parts_of(limit: int, split: bool = True) -> int:
    """Into how many parts a bucket of this size is split."""
    return max(1, min(MAX_PARTS, limit // LEAST_OF_A_PART)) if split else 1


def bucket_keys(ring: KeyRing, kind: str, what: str, limit: int) -> list[bytes]:
    """The keys of all parts of a bucket, for an operator's hand. `what`: a network, the name of a NAS, or nothing."""
    split = kind not in (NETWORK, NETWORK_MESSAGES)
    return [_key(ring, kind, what, number) for number in range(parts_of(limit, split))]


def _bucket(ring: KeyRing, kind: str, what: str, part: bytes, limit: int, split: bool = True) -> Bucket:
    parts = parts_of(limit, split)
    return Bucket(kind, _key(ring, kind, what, part[0] % parts), -(-limit // parts))


def _key(ring: KeyRing, kind: str, what: str, part: int) -> bytes:
    return ring.remembered_mac("brake-wide", kind.encode(), what.encode(), bytes((part,)))


def _limits(settings: BrakeSettings) -> Mapping[str, int]:
    return {
        NETWORK: settings.network_failures,
        NAS: settings.nas_failures,
        GLOBAL: settings.global_failures,
        NETWORK_MESSAGES: settings.network_messages,
        NAS_MESSAGES: settings.nas_messages,
        GLOBAL_MESSAGES: settings.global_messages,
    }


def limit_of(kind: str, settings: BrakeSettings) -> int:
    """What may fail, or be sent, within the window."""
    return _limits(settings)[kind]


def network_of(client: str, settings: BrakeSettings) -> str | None:
    """The network that an address lies in; None for what is no address."""
    return _network(client, settings.network_bits_ipv4, settings.network_bits_ipv6)


@lru_cache(maxsize=4096)
def _network(client: str, bits_ipv4: int, bits_ipv6: int) -> str | None:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if isinstance(address, ipaddress.IPv4Address):
        return str(ipaddress.IPv4Network((int(address), bits_ipv4), strict=False))
    return str(ipaddress.IPv6Network((int(address), bits_ipv6), strict=False))


def nas_of(binding: str) -> str:
    """The NAS of a binding, without the identifier that whoever asks may choose."""
    door, _, rest = binding.partition(":")
    return f"{door}:{rest.partition(':')[0]}"


# --- operations ------------------------------------------------------------------------------------------------------


def asked(found: Sequence[Bucket]) -> list[Find]:
    """What to read of these buckets."""
    return [one(bucket.kind, bucket.key) for bucket in found]


def empty_one(
    found: Sequence[Bucket], rows: Sequence[Sequence[Row]], settings: BrakeSettings, now_ms: int
) -> tuple[str, int] | None:
    """The first of these buckets that makes strangers wait, and for how many seconds."""
    for bucket, row in zip(found, rows, strict=True):
        if row and lives(row[0], now_ms) and locks(row[0], now_ms, settings.wide_wait_max_s * 1000):
            return bucket.kind, wait_s(row[0], now_ms)
    return None


def nearly_empty(found: Sequence[Bucket], rows: Sequence[Sequence[Row]], now_ms: int) -> tuple[Bucket, ...]:
    """Those of which a stranger has to take a token before he is judged."""
    return tuple(
        bucket
        for bucket, row in zip(found, rows, strict=True)
        if number(row[0] if row and lives(row[0], now_ms) else EMPTY, "failures") >= bucket.limit - max(bucket.limit // 2, HEADROOM)
    )


def take(bucket: Bucket, settings: BrakeSettings, now_ms: int) -> Modify:
    """Take a token; where none is left, nothing of the unit happens."""
    return Modify("brake", {"kind": bucket.kind, "key": bucket.key}, take_token, _arguments(bucket, settings, now_ms))


def give_back(bucket: Bucket, settings: BrakeSettings, now_ms: int) -> Modify:
    """The token was not used up: the password was right."""
    return Modify("brake", {"kind": bucket.kind, "key": bucket.key}, return_token, _arguments(bucket, settings, now_ms))


def count(bucket: Bucket, settings: BrakeSettings, now_ms: int, taken: bool) -> Modify:
    """One more failure, or with `taken` the one whose token was taken before. Result: `Began` when a lock begins, else None."""
    arguments = {**_arguments(bucket, settings, now_ms), "taken": int(taken)}
    return Modify("brake", {"kind": bucket.kind, "key": bucket.key}, count_token, arguments)


def settle(found: Sequence[Bucket], taken: Sequence[Bucket], settings: BrakeSettings, now_ms: int) -> list[Operation]:
    """An attempt failed: count it in all of its buckets."""
    return [count(bucket, settings, now_ms, bucket in taken) for bucket in found]


def _arguments(bucket: Bucket, settings: BrakeSettings, now_ms: int) -> Row:
    return {
        "now": now_ms,
        "limit": bucket.limit,
        "window": settings.wide_window_s * 1000,
        "wait": settings.wide_wait_s * 1000,
        "wait_max": settings.wide_wait_max_s * 1000,
    }


# --- pure functions that run inside storage --------------------------------------------------------------------------


def take_token(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One token less, unless the bucket is empty or locked: then the unit is refused."""
    row, now = _current(old, arguments)
    if row["locked_until"] > now or row["failures"] >= number(arguments, "limit"):
        return Modified(None, refuse=True)
    return Modified(_used(row, now))


def return_token(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One token more. None where a lock began meanwhile: the bucket was filled by it."""
    row, now = _current(old, arguments)
    if not row["failures"]:
        return Modified(None)
    row["failures"] -= 1
    return Modified(stored(row, now))


def count_token(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """A failure. With the last token a lock begins, and the bucket is full again when it ends.

    While it is locked nothing counts: those who fail then were let past it, because they are no strangers.
    """
    row, now = _current(old, arguments)
    if row["locked_until"] > now:
        return Modified(None)
    if not arguments["taken"]:
        _used(row, now)
    if row["failures"] < number(arguments, "limit"):
        return Modified(stored(row, now))
    wait_ms = min(number(arguments, "wait") << min(row["level"], MAX_DOUBLINGS), number(arguments, "wait_max"))
    failures = row["failures"]
    row.update(locked_until=now + wait_ms, level=row["level"] + 1, failures=0)
    return Modified(stored(row, now), began(wait_ms, row["level"], failures))


def _used(row: dict[str, Any], now: int) -> Row:
    if not row["failures"]:
        row["window_started_at"] = now
    row["failures"] += 1
    return stored(row, now)


def _current(old: Row | None, arguments: Mapping[str, Value]) -> tuple[dict[str, Any], int]:
    """The row as it stands now: with the tokens that have come back, and no doubling after a long peace.

    `window_started_at` is the moment up to which tokens were given back. What lies in an impossible future was written before the
    clock was set back.
    """
    now, limit, window = (number(arguments, name) for name in ("now", "limit", "window"))
    row: dict[str, Any] = dict(old if old is not None and lives(old, now) else EMPTY)
    row.pop("kind", None)
    row.pop("key", None)
    longest = number(arguments, "wait_max")
    if row["locked_until"] > now and not locks(row, now, longest):
        row["locked_until"] = now
    if row["level"] and row["locked_until"] + longest <= now:
        row["level"] = 0
    if row["window_started_at"] > now + CLOCK_STEP_MS:
        row["window_started_at"] = now
    back = max(0, now - row["window_started_at"]) * limit // window
    if back and row["failures"]:
        row["failures"] = max(0, row["failures"] - back)
        row["window_started_at"] += back * window // limit
    return row, now
