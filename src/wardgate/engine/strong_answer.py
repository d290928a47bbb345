"""Judges what came back to the question for a strong factor first: the code, and only then the password that was kept.

An answer takes one try of the lane and uses its handle up with one commit, before anything is looked at. Whatever is wrong, the
code, the password, both, or that there is nobody by this name, is refused by one path with one text, and a password is checked, or
as much time spent, in each of them.
"""

import asyncio
from dataclasses import replace

from wardgate.clock import to_ms
from wardgate.crypto import same
from wardgate.engine import brakes
from wardgate.engine.attempt import Attempt, Candidate
from wardgate.engine.brakes import BrakeKeys
from wardgate.engine.first_factor import RESERVE_AGAIN_S, RESERVE_WAIT_S, FirstFactor
from wardgate.engine.lanes import STRONG_FIRST
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted, Outcome, Waiting, dump_outcome, load_outcome
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import AnswerRequest
from wardgate.engine.runtime import EngineParts
from wardgate.engine.strong_first import Kept, lane_keys
from wardgate.engine.transaction import (
    OUTCOME_KEPT_MS,
    SEALED_USED_KEPT_MS,
    Handle,
    handle_from_row,
    handle_mac,
    outcome_bound_to,
    used_by,
)
from wardgate.engine.waiters import Waiters
from wardgate.errors import DirectoryUnavailable, Overloaded
from wardgate.storage.port import Committed, Operation, Refused, Update

# A packet that comes again while the first is being judged elsewhere waits for that outcome, as long as an attempt for its place.
_REPEAT_TRIES = int(RESERVE_WAIT_S / RESERVE_AGAIN_S)

Judged = Challenge | Granted | Denied | ActionRequired


class StrongAnswers:
    """The second half of the lane."""

    def __init__(self, parts: EngineParts, refusing: Refusing, first: FirstFactor, waiters: Waiters) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._refusing = refusing
        self._first = first
        self._waiters = waiters

    def handle(self, kept: Kept, request: AnswerRequest) -> Handle:
        """The handle that has no row yet."""
        ring, settings = self._parts.ring(), self._parts.configuration().codes
        until = kept.created_at + settings.life_s * 1000 + SEALED_USED_KEPT_MS
        return Handle(handle_mac(ring, request.handle), kept.id, 0, request.origin.binding, until, None, None, None, True)

    async def prove(self, attempt: Attempt, handle: Handle, fingerprint: bytes) -> Candidate | Denied | None:
        """Who has proved a strong factor, then his password. None: the handle was used. Raises Overloaded, StorageUnavailable."""
        try:
            return await self._prove(attempt, handle, fingerprint)
        except DirectoryUnavailable as error:
            attempt.request.trail.note("directory did not answer", error=error.message)
            return self._refusing.down(attempt)

    async def _prove(self, attempt: Attempt, handle: Handle, fingerprint: bytes) -> Candidate | Denied | None:
        found = await self._first.find(attempt)
        if found.down is not None:
            raise found.down
        candidate, settings = await self._first.look(attempt, found), attempt.configuration.brakes
        hold = await brakes.held_by(self._storage, candidate.keys, candidate.seen, settings, attempt.now_ms)
        keys, use = lane_keys(self._parts.ring(), attempt, candidate), used_by(handle, fingerprint, attempt.now_ms)
        lane = replace(candidate, keys=keys, lane=STRONG_FIRST)
        taken = await self._take_try(attempt, keys, use)
        if taken is None:
            return None
        try:
            if isinstance(taken, brakes.Hold):
                return await self._no_try(attempt, lane, taken, use)
            stands = hold is not None and (hold.decoy or not hold.asks_first)
            proved = "" if stands else await self._first.spend_strong(attempt, lane)
            if proved:
                return await self._first.judge_proved(attempt, replace(lane, proved=proved))
            await self._first.pass_time(attempt, lane)
            return await self._first.wrong(attempt, lane, "code_wrong", ())
        finally:
            self._waiters.wake(keys.user_source)

    async def _take_try(self, attempt: Attempt, keys: BrakeKeys, use: Operation) -> bool | brakes.Hold | None:
        """One try and the handle, with one commit: without the one there is not the other. None: the handle was used."""
        loop = asyncio.get_running_loop()
        until, settings = loop.time() + RESERVE_WAIT_S, attempt.configuration.brakes
        while True:
            now_ms = to_ms(self._parts.clock.now())
            hold = await brakes.holding(self._storage, keys, settings, now_ms)
            if hold is not None:
                return hold
            commit = await self._storage.commit([brakes.reserve(keys, settings, now_ms, refuse=True), use])
            if isinstance(commit, Committed):
                return True
            if commit.position:
                return None
            left_s = until - loop.time()
            if left_s <= 0:
                return brakes.Hold("brake_user_source", settings.user_source_wait_s, told=False)
            await self._waiters.wait(keys.user_source, min(RESERVE_AGAIN_S, left_s))

    async def _no_try(self, attempt: Attempt, lane: Candidate, hold: brakes.Hold, use: Operation) -> Denied | None:
        """The lane is closed. Where that must not show, the answer is used up and wrong like any."""
        if hold.told:
            return await self._refusing.held(attempt, lane, hold)
        if isinstance(await self._storage.commit([use]), Refused):
            return None
        await self._first.pass_time(attempt, lane)
        return await self._refusing.held(attempt, lane, hold)

    # --- the same packet again -----------------------------------------------------------------------------------

    async def keep_outcome(self, handle: Handle, outcome: Outcome) -> None:
        """For an identical packet."""
        if isinstance(outcome, Waiting):
            return
        sealed = self._parts.ring().seal(dump_outcome(outcome), outcome_bound_to(handle.mac))
        await self._storage.commit([Update("handle", {"handle_mac": handle.mac}, {"outcome": sealed})])

    async def repeated(self, handle: Handle, request: AnswerRequest) -> Judged | None:
        """The outcome of the identical packet that used the handle, once it is there; None for any other packet, or too late.

        Raises Overloaded where it does not come.
        """
        for _ in range(_REPEAT_TRIES):
            row = await self._storage.get("handle", {"handle_mac": handle.mac})
            used = handle_from_row(row) if row is not None else None
            if used is None or used.fingerprint is None or not same(used.fingerprint, request.fingerprint):
                return None
            if (used.consumed_at or 0) + OUTCOME_KEPT_MS <= to_ms(self._parts.clock.now()):
                return None
            if used.outcome is not None:
                request.trail.result, request.trail.reason = "repeated", "duplicate"
                return load_outcome(self._parts.ring().open(used.outcome, outcome_bound_to(used.mac)))
            await self._waiters.wait(handle.mac, RESERVE_AGAIN_S)
        raise Overloaded("the same answer is still being judged")
