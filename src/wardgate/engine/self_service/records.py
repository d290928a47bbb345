"""The steps of a flow as rows: each is one conditional write with its audit event and timeline."""

from collections.abc import Sequence

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import (
    Flow,
    Stage,
    advance,
)
from wardgate.engine.self_service.outcome import Closed
from wardgate.storage.port import Committed, Operation, Refused
from wardgate.texts import Text


class Records:
    """Writes them. One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._storage = parts.storage

    async def step(
        self,
        old: Flow,
        new: Flow,
        trail: Trail,
        reason: str,
        operations: Sequence[Operation],
        kind: Kind = Kind.SELF_SERVICE_STEP,
        denied: bool = False,
    ) -> bool | None:
        """Commit a step with its record; False when a condition did not hold, None when the flow had gone on before."""
        ring, now_ms = self._parts.ring(), to_ms(self._parts.clock.now())
        trail.result, trail.reason = "denied" if denied else "granted" if new.stage is Stage.DONE else "challenged", reason
        event = self.event(kind, new, now_ms, trail, reason)
        unit = [advance(ring, old, new), *operations, event, trail.entry(ring, now_ms)]
        commit = await self._storage.commit(unit)
        trail.stored = isinstance(commit, Committed)
        return None if isinstance(commit, Refused) and commit.position == 0 else trail.stored

    async def close(self, flow: Flow, trail: Trail, reason: str, text: Text) -> Closed:
        """End a flow by a refusal."""
        await self.step(flow, flow.moved(stage=Stage.CLOSED), trail, reason, (), denied=True)
        return Closed(reason, text)

    def event(self, kind: Kind, flow: Flow, now_ms: int, trail: Trail, reason: str = "") -> Operation:
        """The record of a step."""
        details: dict[str, object] = {
            "user": flow.user_name,
            "goal": flow.goal,
            "application": flow.application,
            "door": trail.door,
            "source": trail.source,
            "client": trail.client,
            "proofs": [each.kind for each in flow.proofs],
        }
        if reason:
            details["reason"] = reason
        return record(
            AuditEvent(
                kind,
                now_ms,
                "engine",
                transaction_id=flow.id,
                reference=flow.reference,
                subject_id=flow.subject_id or None,
                details=details,
            )
        )
