"""Which brakes an answer in a flow is judged under, and the lane of those who prove by a strong factor.

Somebody guesses at a name until its brake holds: its owner would neither get in nor recover. So wherever a brake that stands for
this one name holds, an answer to a strong factor is judged all the same, under the brakes of the lane that a sign-in has (`lanes`),
and in the same rows: a few wrong answers from one source, some twenty of a name in a day, then nobody is listened to any more.
Names of nobody are counted alike. Codes that are sent and questions stay behind the brake: they can be coaxed out or found out.
"""

from dataclasses import dataclass, replace
from typing import Final

from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.engine import brakes
from wardgate.engine.brakes import BrakeKeys, Hold
from wardgate.engine.lanes import strong_keys
from wardgate.engine.outcome import Origin
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.factors import STRONG_KINDS
from wardgate.factors.port import Factor
from wardgate.storage.port import Operation

_STRONG: Final = frozenset(STRONG_KINDS)


@dataclass(frozen=True, slots=True)
class Way:
    """An answer may be judged.

    `wrong`: what is written where it is not right; `right`: what must still hold where it is. `in_vain`: it counts as wrong
    whatever it is, because a brake holds that must not show.
    """

    wrong: tuple[Operation, ...]
    right: tuple[Operation, ...] = ()
    in_vain: bool = False


class Braking:
    """Finds the way. One per engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def way(self, flow: Flow, factor: Factor, trail: Trail, origin: Origin) -> Way | Hold:
        """How an answer to this factor is judged now; or what holds it."""
        settings, now_ms = self._parts.configuration().brakes, to_ms(self._parts.clock.now())
        usual = self._usual(flow, origin)
        hold = await brakes.holding(self._parts.storage, usual, settings, now_ms)
        if hold is None:
            counted = brakes.settle_wrong(usual, settings, now_ms, reserved=False)
            return Way(tuple(counted), tuple(brakes.let_pass(usual, now_ms)))
        if flow.proofs:
            # He has shown that there is such a person: what holds may be told.
            hold = replace(hold, told=True)
        trail.note("a brake holds" if hold.told else "a brake holds, which must not show", brake=hold.reason, wait_s=hold.wait_s)
        opens = hold.asks_first and not (hold.decoy and flow.proofs)
        if opens and _speaks_for_him(flow, factor):
            return await self._in_lane(flow, usual, hold, trail, origin)
        if hold.told:
            return hold
        return Way(tuple(brakes.settle_unseen(usual, settings, now_ms)), in_vain=True)

    async def _in_lane(self, flow: Flow, usual: BrakeKeys, hold: Hold, trail: Trail, origin: Origin) -> Way | Hold:
        settings, now_ms = self._parts.configuration().brakes, to_ms(self._parts.clock.now())
        name, ring = _name(flow), self._parts.ring()
        lane = strong_keys(ring, flow.subject_id or name, origin.client, origin.source, name, usual)
        closed = await brakes.holding(self._parts.storage, lane, settings, now_ms)
        if closed is not None and (closed.told or flow.proofs):
            trail.note("too many wrong answers by strong factors as well", brake=closed.reason, wait_s=closed.wait_s)
            return closed
        if closed is not None:
            # Of nobody's name, what is guessed would be counted in the lane only where the name itself is held.
            counted = brakes.settle_unseen(lane if hold.told else usual, settings, now_ms)
            return Way(tuple(counted), in_vain=True)
        trail.note("a strong factor is judged all the same")
        wrong = brakes.settle_wrong(lane, settings, now_ms, reserved=False)
        if not hold.told:
            # Guesses at another name of his hold: this one is counted like one of nobody, and the lane for the person alone.
            person = replace(lane, typed=None, beside=replace(usual, typed=None))
            wrong = [*brakes.settle_unseen(usual, settings, now_ms), *brakes.settle_held(person, settings, now_ms)]
        return Way(tuple(wrong), tuple(brakes.still_open(lane, settings, now_ms)), in_vain=hold.decoy)

    def _usual(self, flow: Flow, origin: Origin) -> BrakeKeys:
        name, ring = _name(flow), self._parts.ring()
        if not flow.subject_id:
            return brakes.brake_keys(ring, name, origin.client, origin.source, of_name=True)
        return brakes.brake_keys(ring, flow.subject_id, origin.client, origin.source, typed=name)


def _speaks_for_him(flow: Flow, factor: Factor) -> bool:
    """Whether this is a strong factor, or comes after one in the same flow: who has proved one is no stranger any more."""
    return factor.strong or not _STRONG.isdisjoint(each.kind for each in flow.proofs)


def _name(flow: Flow) -> str:
    return f"{flow.realm}:{flow.user_name}"
