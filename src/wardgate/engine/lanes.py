"""The ways around a brake that stands because of what somebody else did: a strong factor proved first, and one's own browser.

A lane has brakes of its own, so that nothing that is guessed in it is spared, and nothing that others guess outside of it counts
there. Whoever comes through proves no less than anybody: the lane decides only whose wrong guesses stand in his way.
"""

from dataclasses import replace

from wardgate.account.device import Shown, shown_in
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.engine.brakes import STRONG_LANE, BrakeKeys, brake_keys
from wardgate.engine.outcome import Origin
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import Transaction
from wardgate.engine.trusted import is_own

# What a login is marked with that came in by one of them.
STRONG_FIRST = "strong_first"
OWN_DEVICE = "own_device"
# Wrong answers for one name in a day, from wherever: then strangers are asked for nothing any more. Each is a guess at a code that
# one in some hundred thousand hits, and a hit is worth nothing without the password.
STRONG_FAILURES_A_DAY = 20


def strong_keys(ring: KeyRing, who: str, client: str | None, binding: str, name: str, usual: BrakeKeys) -> BrakeKeys:
    """The brakes of whoever is asked for a strong factor first. `who`, `name`: as in `brake_keys`, the same where it is nobody.

    `usual`: the keys that he has without the lane. What fails here counts for the person there too: no more than a hundred
    failures in a row, whatever they are made with. All of the lane is forgotten a day after the last failure.
    """
    typed = f"{STRONG_LANE}{name}" if usual.typed is not None else None
    keys = brake_keys(ring, f"{STRONG_LANE}{who}", client, binding, typed=typed, of_name=True)
    named = keys.typed
    return replace(
        keys,
        typed=(lambda: replace(named(), user_limit=STRONG_FAILURES_A_DAY)) if named is not None else None,
        user_limit=STRONG_FAILURES_A_DAY,
        beside=usual,
    )


def device_keys(ring: KeyRing, who: str, name: str, shown: Shown) -> BrakeKeys:
    """The brakes of a browser that its person trusts: his own failures in it, and nothing that others do at his address."""
    return replace(brake_keys(ring, who, None, f"device:{shown.id}", typed=name), wide=None, known=True)


async def keys_of(
    parts: EngineParts, transaction: Transaction, origin: Origin, name: str, usual: BrakeKeys, now_ms: int
) -> BrakeKeys:
    """The brakes of a login that came by a lane: those of its device only while that is still the person's."""
    ring, subject_id = parts.ring(), SubjectId(transaction.subject_id)
    if transaction.lane == STRONG_FIRST:
        return strong_keys(ring, subject_id, origin.client, origin.binding, name, usual)
    shown = shown_in(transaction.device) if transaction.device else None
    if shown is None or not await is_own(parts, shown, subject_id, now_ms):
        return usual
    return device_keys(ring, subject_id, name, shown)
