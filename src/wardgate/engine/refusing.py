"""Refusals of a first request: before everything is proved all are alike, and none leaves before its moment."""

from collections.abc import Sequence
from dataclasses import replace

from wardgate.engine import brakes
from wardgate.engine.attempt import Attempt, Candidate, Person
from wardgate.engine.outcome import Denied
from wardgate.engine.recording import Rate, Recording
from wardgate.engine.runtime import EngineParts
from wardgate.storage.port import Operation
from wardgate.texts import Text

# Wrong passwords for names that do not exist are recorded one by one, of each NAS as far as people mistype; beyond that, counted.
STRANGERS_RECORDED_PER_S = 20
# What is held because of what others did costs no check of a password, which would bound it: so many are counted for their names.
HELD_COUNTED_PER_S = 20
# What a refusal needs beside the check of a password: reads and one commit.
AFTER_CHECK_S = 0.1


class Refusing:
    """Words and records of refusals."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._strangers = Rate(STRANGERS_RECORDED_PER_S, parts.clock)
        self._held = Rate(HELD_COUNTED_PER_S, parts.clock)

    def refuse(self, attempt: Attempt, reason: str, text: Text | None = None) -> Denied:
        """A refusal before everything is proved: one text for all causes, and not before the realm's floor.

        Nor before the slowest password check can have ended: where all comes in one request, a right password, which is checked
        as fast as its own hash allows, would otherwise be refused for its code sooner than a wrong one.
        """
        trail = attempt.request.trail
        trail.result, trail.reason = "denied", reason
        # Code and a door that can ask: the strong factor was asked for first, and the person must hear that it may have been that.
        first = attempt.request.code is not None and attempt.request.can_challenge
        text = text or Text("signin.failed_first" if first else "signin.failed", {"ref": trail.reference})
        return Denied(reason, text, attempt.language, trail.reference, not_before=self.moment(attempt))

    def moment(self, attempt: Attempt) -> float:
        """Monotonic seconds at which whoever has proved nothing gets his reply, whatever it is."""
        slowest_s = self._parts.slowest_check_s()
        floor_s = max(attempt.realm.settings.reply_floor_ms / 1000, slowest_s + AFTER_CHECK_S if slowest_s else 0.0)
        return attempt.request.trail.started + floor_s

    def down(self, attempt: Attempt) -> Denied:
        """A directory does not answer: the same for all whose name it might hold."""
        return self.refuse(attempt, "directory_down", Text("down.directory", {"ref": attempt.request.trail.reference}))

    def counts_held(self, attempt: Attempt, hold: brakes.Hold) -> bool:
        """Whether this attempt counts for its name though it is held: as many as may be; asked once for each."""
        counts = hold.wide or (hold.strong_opens and bool(attempt.request.code))
        return counts and self._held.allows(attempt.request.trail.nas)

    async def held(self, attempt: Attempt, candidate: Candidate, hold: brakes.Hold, counted: bool = False) -> Denied:
        """A brake holds before anything is proved. The same for names that do not exist: they have brakes as well.

        One that must not show looks and counts like a guess at a name of nobody. What is held because of what others did counts
        like a wrong guess (`counted`): whoever was let past that brake and guesses is counted too, and the names must not differ
        afterwards. So does a code that came along, or codes could be tried without end on somebody who is held.
        """
        settings = attempt.configuration.brakes
        note = "a brake holds" if hold.told else "a brake holds, which must not show"
        attempt.request.trail.note(note, brake=hold.reason, wait_s=hold.wait_s)
        refusal = await self._waiting(attempt, candidate.keys, hold.reason, hold if hold.told else None)
        if counted:
            await self.record_unproved(attempt, candidate, brakes.settle_held(candidate.keys, settings, attempt.now_ms), refusal)
        elif hold.wide:
            attempt.request.trail.counted_only = True
        elif not hold.told:
            await self.record_unproved(attempt, candidate, brakes.settle_unseen(candidate.keys, settings, attempt.now_ms), refusal)
        return refusal

    async def wrong(self, attempt: Attempt, candidate: Candidate, reason: str) -> Denied:
        """A guess was wrong."""
        opened = candidate.opened
        return await self._waiting(attempt, candidate.keys, reason, opened if opened is not None and opened.told else None)

    def hold(self, attempt: Attempt, hold: brakes.Hold) -> Denied:
        """A brake began to hold while all that was asked for was proved."""
        attempt.request.trail.note("a brake holds", brake=hold.reason, wait_s=hold.wait_s)
        return self.refuse(attempt, hold.reason, _wait(attempt, hold))

    async def _waiting(self, attempt: Attempt, keys: brakes.BrakeKeys, reason: str, hold: brakes.Hold | None) -> Denied:
        """A refusal that tells the wait of `hold`; while strangers wait for what others did, everybody hears that wait instead.

        Who was here before is let past such a brake. If his wrong guess were answered by anything but the wait of strangers, it
        would tell that the name exists and whose source this is.
        """
        if hold is None or not hold.wide:
            hold = await brakes.wide_hold(self._storage, keys, attempt.configuration.brakes, attempt.now_ms) or hold
        if hold is None:
            return self.refuse(attempt, reason)
        return self.refuse(attempt, reason, _wait(attempt, hold))

    async def record_unproved(self, attempt: Attempt, candidate: Candidate, settle: Sequence[Operation], refusal: Denied) -> None:
        """Record a refusal before anything was proved. A flood of names of nobody is counted: it must not fill the disk."""
        trail = attempt.request.trail
        recording = Recording(self._parts, trail, attempt.application.settings.name, candidate.subject_id, whose=candidate.user)
        if candidate.user is None and not self._strangers.allows(trail.nas):
            trail.counted_only = True
            await recording.count(settle, attempt.name)
            return
        await recording.commit_denied(settle, refusal, candidate.user.name if candidate.user else attempt.name)

    async def deny_known(self, attempt: Attempt, person: Person, reason: str, text: Text) -> Denied:
        """A refusal after the password was proved: it may say what to do.

        Not where everything comes in one request: there the answer would tell a guesser that the password alone was right, and
        so would a brake that never begins to hold. Nor where the password has to be changed, which only a second factor may learn.
        """
        if person.refusal or attempt.request.code is not None or not attempt.request.can_challenge:
            return await self.deny_as_wrong(attempt, person, person.refusal or reason)
        trail = attempt.request.trail
        refusal = Denied(reason, text, person.language, trail.reference)
        await self._recording(attempt, person).commit_denied(person.settle, refusal, person.user.name)
        return refusal

    async def deny_as_wrong(self, attempt: Attempt, person: Person, reason: str, counted: bool = True) -> Denied:
        """The password was right, and what is said and counted is what a wrong one gets."""
        refusal = await self._waiting(attempt, person.keys, reason, None)
        counts = self._count_wrong(attempt, person) if counted else []
        await self._recording(attempt, person).commit_denied([*person.settle, *counts], refusal, person.user.name)
        return refusal

    def _recording(self, attempt: Attempt, person: Person) -> Recording:
        name = attempt.application.settings.name
        return Recording(self._parts, attempt.request.trail, name, person.holder.subject_id, whose=person.user)

    def _count_wrong(self, attempt: Attempt, person: Person) -> list[Operation]:
        # The tokens that were taken are given back with the password that was right.
        keys = replace(person.keys, taken=())
        return brakes.settle_wrong(keys, attempt.configuration.brakes, attempt.now_ms, reserved=False)


def _wait(attempt: Attempt, hold: brakes.Hold) -> Text:
    return Text("wait.person", {"min": -(-hold.wait_s // 60), "ref": attempt.request.trail.reference})
