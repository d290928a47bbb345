"""Risk for an operator: how a login would be scored now, and whether the files that scores need can be used."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wardgate.admin.findings import Finding, Level
from wardgate.admin.office import Office
from wardgate.clock import to_ms
from wardgate.config.document import Document, to_plain
from wardgate.engine import brakes
from wardgate.risk.assessing import NOT_ASSESSED, Assessed, Seen, assessor_for, failures_in
from wardgate.risk.settings import RiskSettings


@dataclass(frozen=True, slots=True)
class Coming:
    """How the login comes that is asked about: the address, what the machine tells, and what stands for a place without address."""

    client: str | None
    binding: str
    device: Mapping[str, str] = field(default_factory=dict)
    known_device: bool = False


async def assess_now(office: Office, settings: RiskSettings, subject_id: str | None, coming: Coming, at: datetime) -> Assessed:
    """The assessment that the engine would come to. Writes nothing; whom nobody has met is at his first login."""
    assessor = await asyncio.to_thread(assessor_for, settings)
    if assessor is None:
        return NOT_ASSESSED
    who = subject_id or ""
    key = brakes.brake_keys(office.ring, who, coming.client, coming.binding).user
    row = await office.storage.get("brake", {"kind": brakes.USER, "key": key}) if subject_id is not None else None
    failures = failures_in(row, to_ms(office.clock.now()))
    seen = Seen(coming.client, coming.binding, coming.device, trusted_device=coming.known_device, failures=failures)
    return await assessor.assess(office.storage, office.ring, who, seen, at)


def risk_told(found: Assessed) -> dict[str, Any] | None:
    """An assessment with the reason of each contribution; None while scores are off."""
    if found.assessment is None:
        return None
    parts = [{"name": each.name, "points": each.points, "why": each.why} for each in found.assessment.contributions]
    return {"score": found.assessment.score, "band": found.band, "contributions": parts}


def risk_findings(document: Document) -> list[Finding]:
    """Files that cannot be used, and conditions on what nothing tells. Reads the files, so it blocks."""
    assessor = assessor_for(document.risk)
    cure = "put it right, readable for the server's user; conditions and points that need it do not hold until then"
    problems = assessor.problems() if assessor is not None else []
    found = [Finding(Level.WARNING, f"risk: {file} cannot be used, or not whole: {problem}", cure) for file, problem in problems]
    return found + list(_unheard(document))


def _unheard(document: Document) -> Iterator[Finding]:
    """Without a score or a country such a condition never holds, and under `not` always."""
    told = {"risk": document.risk.enabled, "country": document.risk.country_file is not None}
    cures = {"risk": "set risk.enabled: true, or take the condition out", "country": "set risk.country_file, or take it out"}
    for policy in to_plain(document).get("policies", ()):
        asked = set(_asked(policy))
        for name in ("risk", "country"):
            if name in asked and not told[name]:
                what = f"policy {policy['name']}: a condition asks for the {name}, which nothing tells"
                yield Finding(Level.WARNING, what, cures[name])


def _asked(part: object, in_condition: bool = False) -> Iterator[str]:
    """The names of all conditions, wherever in a policy they stand."""
    if isinstance(part, Mapping):
        for name, inner in part.items():
            if in_condition:
                yield name
            # What an attribute is called is no condition; neither is what a test is given.
            if name not in ("attribute", "device", "given"):
                yield from _asked(inner, in_condition or name == "when")
    elif isinstance(part, list):
        for inner in part:
            yield from _asked(inner, in_condition)
