"""Asks for a strong factor before the password, where a brake stands for the name that was typed.

Somebody guesses at a person's password, from many places or from where he is himself: his brake holds, and he would be kept out
with the guesser. Instead everybody who uses that name is asked for a code of a strong factor, whoever the name belongs to and
whether or not to anybody; the password is kept, and checked once the code was right (`strong_answer`). So a guesser gets no answer
about a password without a code, and nobody learns from the question who exists or what he has.

The question stores nothing and sends nothing. The password goes into the handle, sealed under a key of its hour; every handle is as
long as any other.
"""

import struct
from typing import Final

from wardgate.audit.timeline import new_transaction_id
from wardgate.crypto import KeyRing, Secret, same
from wardgate.directory.names import canonical_name
from wardgate.engine import brakes, turns
from wardgate.engine.attempt import Attempt, Candidate
from wardgate.engine.bind_brake import name_asked, name_limit, name_wait_s, usual_lockout
from wardgate.engine.brake_rows import is_known_source, number
from wardgate.engine.lanes import strong_keys
from wardgate.engine.outcome import Challenge
from wardgate.engine.refusing import Refusing
from wardgate.engine.runtime import EngineParts
from wardgate.engine.sealed_handle import MAX_SEALED_BYTES, mark
from wardgate.engine.transaction import CLOCK_STEP_MS, Goal
from wardgate.errors import SealError
from wardgate.factors.totp import TotpFactor
from wardgate.storage.port import Committed
from wardgate.texts import Text, render
from wardgate.values import quick_value

PROMPT: Final = "code.ask_strong_first"
# Pages store what they ask. So many such questions are put at one address, then they hear the wait instead.
ASKED_ON_PAGES: Final = "strong_first"
ASKED_PER_HOUR: Final = 60
ASKED_PER_DAY: Final = 300
_HEAD = struct.Struct(">16s8sQ12s12sBB")
# Nonce, version and hour before what is sealed, the tag behind it.
_SEAL_BYTES: Final = 33
_ROOM_BYTES: Final = MAX_SEALED_BYTES - _SEAL_BYTES - _HEAD.size


@quick_value
class Kept:
    """What a handle of a first request says. `here`: it was given to the door that brings it. `named`: under this name."""

    id: str
    reference: str
    application: str
    password: Secret
    created_at: int
    here: bool
    named: bool

    def is_over(self, now_ms: int, life_ms: int) -> bool:
        """Whether its life has ended, or its time lies in the future."""
        return not self.created_at - CLOCK_STEP_MS <= now_ms < self.created_at + life_ms


def keep(ring: KeyRing, attempt: Attempt, epoch: str) -> bytes | None:
    """The handle for a first request; None where its password does not fit."""
    request = attempt.request
    if request.password is None or request.trail.transaction_id is None:
        return None
    application, password = attempt.application.settings.name.encode(), request.password.reveal()
    if len(application) + len(password) > _ROOM_BYTES or len(application) > 255 or len(password) > 255:
        return None
    head = _HEAD.pack(
        bytes.fromhex(request.trail.transaction_id),
        request.trail.reference.encode(),
        attempt.now_ms,
        mark(request.origin.binding),
        mark(canonical_name(request.user_name) or ""),
        len(application),
        len(password),
    )
    body = (head + application + password).ljust(_HEAD.size + _ROOM_BYTES, b"\0")
    return ring.seal_for_an_hour(body, _bound_to(epoch), attempt.now_ms)


def kept(ring: KeyRing, value: bytes, binding: str, user_name: str, epoch: str, now_ms: int) -> Kept | None:
    """What a handle says to who brings it under this name; None for any other than of `keep`."""
    if len(value) != MAX_SEALED_BYTES:
        return None
    try:
        body = ring.open_for_an_hour(value, _bound_to(epoch), now_ms)
    except SealError:
        return None
    transaction_id, reference, created_at, bound, named, application, password = _HEAD.unpack_from(body)
    at = _HEAD.size + application
    return Kept(
        id=transaction_id.hex(),
        reference=reference.decode(),
        application=body[_HEAD.size : at].decode(),
        password=Secret(body[at : at + password]),
        created_at=created_at,
        here=same(bound, mark(binding)),
        named=same(named, mark(canonical_name(user_name) or "")),
    )


def lane_keys(ring: KeyRing, attempt: Attempt, candidate: Candidate) -> brakes.BrakeKeys:
    """The lane's brakes of whoever this may be."""
    name, origin, user = f"{attempt.realm.name}:{attempt.name}", attempt.request.origin, candidate.user
    who = name if user is None else candidate.subject_id or f"{user.directory}:{user.immutable_id}"
    return strong_keys(ring, who, origin.client, origin.binding, name, candidate.keys)


class StrongFirst:
    """Puts the question."""

    def __init__(self, parts: EngineParts, refusing: Refusing) -> None:
        self._parts = parts
        self._refusing = refusing

    async def ask_before_directory(self, attempt: Attempt, candidate: Candidate) -> Challenge | None:
        """Ask, where strangers have used up the tries of this name at directories that lock. None: go on.

        What has failed of a person is what has failed of all his names: without as much, nothing more is read.
        """
        user = candidate.seen.user
        if user is None or not _asks(attempt):
            return None
        lockout = usual_lockout(attempt.realm.directories)
        if lockout is None or number(user, "failures") < name_limit(lockout):
            return None
        if candidate.seen.known or is_known_source(candidate.seen.pair, attempt.now_ms):
            return None
        [rows] = await self._parts.storage.read([name_asked(candidate.keys)])
        wait_s = name_wait_s(rows[0] if rows else None, lockout, attempt.now_ms)
        if not wait_s:
            return None
        return await self.ask(attempt, candidate, brakes.Hold("brake_directory", wait_s, asks_first=True))

    async def ask(self, attempt: Attempt, candidate: Candidate, hold: brakes.Hold) -> Challenge | None:
        """Ask, where this brake lets itself be opened like that and this door can ask. None: it cannot, or there were too many."""
        request, trail = attempt.request, attempt.request.trail
        if not (hold.asks_first and hold.told and _asks(attempt)):
            return None
        if hold.reason == "brake_user_source" and await self._strangers_wait(attempt, candidate):
            return None
        keys = lane_keys(self._parts.ring(), attempt, candidate)
        closed = await brakes.holding(self._parts.storage, keys, attempt.configuration.brakes, attempt.now_ms)
        if closed is not None and closed.told:
            trail.note("too many wrong codes: nobody is asked for a strong factor first", wait_s=closed.wait_s)
            return None
        trail.transaction_id = new_transaction_id()
        handle = keep(self._parts.ring(), attempt, self._parts.epoch)
        if handle is None or (request.origin.shows_pages and not await self._may_be_stored(attempt)):
            return None
        trail.note("a brake holds: a strong factor is asked for before the password is checked", brake=hold.reason)
        prompt = Text(PROMPT, {"min": -(-hold.wait_s // 60)})
        trail.result, trail.reason, trail.text = "challenged", "strong_first", render(prompt, attempt.language)
        return Challenge(
            handle,
            TotpFactor.kind,
            (prompt,),
            attempt.configuration.codes.life_s,
            attempt.language,
            trail.reference,
            not_before=self._refusing.moment(attempt),
        )

    async def _strangers_wait(self, attempt: Attempt, candidate: Candidate) -> bool:
        """Whether strangers hear a wait for what others did.

        Only a name that was let in from here before can have failed so often meanwhile: a question would tell that it exists.
        """
        settings = attempt.configuration.brakes
        return await brakes.wide_hold(self._parts.storage, candidate.keys, settings, attempt.now_ms) is not None

    async def _may_be_stored(self, attempt: Attempt) -> bool:
        """Whether this address may have one more step of a page. It goes by nothing but the address."""
        origin = attempt.request.origin
        key = brakes.source_key(self._parts.ring(), origin.client or origin.source)
        turn = turns.take_turn(ASKED_ON_PAGES, key, attempt.now_ms, ASKED_PER_HOUR, ASKED_PER_DAY)
        commit = await self._parts.storage.commit([turn])
        return isinstance(commit, Committed) and commit.results[0] == 0


def _asks(attempt: Attempt) -> bool:
    """Whether this request's door can ask, and has something to keep."""
    request = attempt.request
    return request.can_challenge and request.code is None and bool(request.password) and request.goal is Goal.LOGIN


def _bound_to(epoch: str) -> str:
    return f"strong-first:{epoch}"
