"""What a login looks like beside its proofs: the country that it comes from, and how much it looks like somebody else's.

Asked once the first factor is proved, so that guesses cost no look at habits. The same for every door: it is all made of the
`Origin`. What is to be remembered of a login travels with it and is written by its grant alone; whoever fails, or is refused,
makes nothing known.
"""

from wardgate.audit.timeline import Trail
from wardgate.clock import from_ms
from wardgate.engine.attempt import Attempt
from wardgate.engine.brakes import Seen as SeenFailures
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import Transaction
from wardgate.risk.assessing import Assessed, Assessor, Seen, failures_in
from wardgate.storage.port import Operation


async def look_around(
    parts: EngineParts, assessor: Assessor, attempt: Attempt, subject_id: str, failures: SeenFailures, trusted_device: bool = False
) -> Assessed:
    """What is known of the login, noted in its timeline. Reads the habits of its person, if scores are on."""
    origin = attempt.request.origin
    seen = Seen(
        client=origin.client,
        binding=origin.binding,
        device=origin.device,
        trusted_device=trusted_device,
        failures=failures_in(failures.user, attempt.now_ms),
    )
    found = await assessor.assess(parts.storage, parts.ring(), subject_id, seen, attempt.now)
    _note(attempt.request.trail, found)
    return found


async def to_remember(parts: EngineParts, transaction: Transaction, now_ms: int) -> tuple[Operation, ...]:
    """What the grant of this login writes. Nothing where risk was switched off meanwhile."""
    assessor = parts.configuration().risk
    if assessor is None or not assessor.settings.enabled:
        return ()
    return await assessor.remember(parts.storage, parts.ring(), transaction.subject_id, transaction.risk, from_ms(now_ms))


def _note(trail: Trail, found: Assessed) -> None:
    country = found.country or None
    if found.assessment is not None:
        trail.note("risk assessed", **found.assessment.told(), country=country)
    elif country is not None:
        trail.note("country of the address", country=country)
