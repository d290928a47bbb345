"""Writes what happened together with the change itself: audit event and timeline in the engine's own commit."""

from collections.abc import Sequence

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import Clock
from wardgate.directory.port import DirectoryUser
from wardgate.engine.locks import BeganLock, Locks, begun, whence
from wardgate.engine.outcome import ActionRequired, Challenge, Denied, Granted
from wardgate.engine.runtime import EngineParts
from wardgate.engine.steps import COMMIT, Steps
from wardgate.storage.port import Commit, Committed, Operation
from wardgate.texts import Text, render

# The value of a text that is a link, and what stands for it in the timeline.
LINK = "link"
HIDDEN = "(link)"


class Rate:
    """So many a second for each name; bounded in names by those of the configuration."""

    def __init__(self, per_s: int, clock: Clock) -> None:
        self._per_s = per_s
        self._clock = clock
        self._seen: dict[str, tuple[int, int]] = {}

    def allows(self, name: str) -> bool:
        """Whether one more is within the rate."""
        second = int(self._clock.monotonic())
        at, count = self._seen.get(name, (second, 0))
        count = count + 1 if at == second else 1
        self._seen[name] = (second, count)
        return count <= self._per_s


class Recording:
    """One step's record."""

    def __init__(
        self,
        parts: EngineParts,
        trail: Trail,
        application: str,
        subject_id: str | None,
        now_ms: int | None = None,
        whose: DirectoryUser | None = None,
    ) -> None:
        """`now_ms`: the present, where it is known already. `whose`: the user, for what he may be told when a brake holds him."""
        self._parts = parts
        self._steps = Steps(parts)
        self._trail = trail
        self._application = application
        self._subject_id = subject_id
        self._now_ms = now_ms
        self._whose = whose

    async def commit(
        self,
        operations: Sequence[Operation],
        kind: Kind,
        outcome: Challenge | Granted | Denied | ActionRequired,
        user: str,
        **details: object,
    ) -> Commit:
        """Commit the change with its audit event and timeline. The record is kept only if the change is.

        A lock that begins with the change gets an event of its own.
        """
        trail = self._trail
        self._finish(outcome)
        now_ms = self._parts.clock.now_ms() if self._now_ms is None else self._now_ms
        unit = [*operations, self._event(kind, user, details, now_ms), trail.entry(self._parts.ring(), now_ms)]
        began = self._steps.begin()
        commit = await self._parts.storage.commit(unit)
        self._steps.end(COMMIT, began)
        trail.stored = isinstance(commit, Committed)
        locks = begun(operations, commit)
        if locks:
            await self._note_locks(locks, user, now_ms)
        return commit

    async def count(self, operations: Sequence[Operation], user: str) -> None:
        """Commit what a refusal counts without a record of its own: of a flood only the locks are recorded."""
        now_ms = self._parts.clock.now_ms()
        locks = begun(operations, await self._parts.storage.commit(operations))
        if locks:
            await self._note_locks(locks, user, now_ms)

    async def _note_locks(self, locks: Sequence[BeganLock], user: str, now_ms: int) -> None:
        self._trail.note("a brake begins to hold", brakes=", ".join(lock.kind for lock in locks))
        # Only now: nearly no login comes here.
        about = Locks(self._parts, self._trail, self._application, now_ms)
        await about.note(locks, user, self._subject_id, self._whose)

    async def commit_denied(self, operations: Sequence[Operation], refusal: Denied, user: str, **details: object) -> Commit:
        """Commit a refusal."""
        return await self.commit(operations, Kind.LOGIN_DENIED, refusal, user, reason=refusal.reason, **details)

    def _event(self, kind: Kind, user: str, details: dict[str, object], now_ms: int) -> Operation:
        trail = self._trail
        return record(
            AuditEvent(
                kind,
                now_ms,
                "engine",
                transaction_id=trail.transaction_id,
                reference=trail.reference,
                subject_id=self._subject_id,
                details={"user": user, "application": self._application, **whence(trail), **details},
            )
        )

    def _finish(self, outcome: Challenge | Granted | Denied | ActionRequired) -> None:
        trail = self._trail
        match outcome:
            case Challenge():
                trail.result = "challenged"
                trail.reason = trail.reason or "challenged"
                parts = outcome.texts if outcome.preface is None else (outcome.preface, *outcome.texts)
                if outcome.questions:
                    # What somebody asks himself is his own: no operator reads it.
                    parts = tuple(Text("kba.ask_any") if "question" in text.values else text for text in parts)
                trail.text = " ".join(render(_told(text), outcome.language) for text in parts)
            case Granted():
                trail.result = trail.reason = "granted"
                if outcome.texts:
                    trail.text = " ".join(render(text, outcome.language) for text in outcome.texts)
            case ActionRequired():
                trail.result, trail.reason = "waiting", "action_required"
                trail.text = render(outcome.text, outcome.language)
            case Denied():
                trail.result, trail.reason = "denied", outcome.reason
                trail.text = render(outcome.text, outcome.language)


def _told(text: Text) -> Text:
    """What the timeline keeps of a text: not the link in it, which leads whoever reads it into somebody's login."""
    return Text(text.id, {**text.values, LINK: HIDDEN}) if LINK in text.values else text
