"""The audit trail and the timelines."""

from collections.abc import Mapping
from typing import Final

from wardgate.admin import (
    audit_trail,
    traces,
)
from wardgate.admin.management import Desk
from wardgate.admin.operations.places import Result
from wardgate.control import Operation, Progress


async def audit_verify(desk: Desk, progress: Progress, heads: list[str] | None = None) -> Result:
    """Walk the audit chains and check their signed heads."""
    return await audit_trail.verify_audit(desk.office, progress=progress, heads=heads or ())


async def audit_search(
    desk: Desk,
    users: list[str] | None = None,
    subjects: list[str] | None = None,
    kinds: list[str] | None = None,
    application: str | None = None,
    reference: str | None = None,
    node: str | None = None,
    text: str | None = None,
    begin: str | None = None,
    end: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Result:
    """A page of the newest audit events that fit."""
    return await audit_trail.search_audit(
        desk.office,
        users=users or (),
        subjects=subjects,
        kinds=kinds or (),
        application=application,
        reference=reference,
        node=node,
        text=text,
        begin=begin,
        end=end,
        limit=limit,
        cursor=cursor,
    )


async def audit_erase(
    desk: Desk,
    users: list[str],
    reason: str,
    subjects: list[str] | None = None,
    look_up: bool = True,
    cursor: str | None = None,
) -> Result:
    """Erase a page of payloads about a person."""
    return await audit_trail.erase_payloads(
        desk.office, users=users, reason=reason, subjects=subjects, look_up=look_up, cursor=cursor
    )


async def audit_erase_person(
    desk: Desk, users: list[str], subjects: list[str], reason: str, everything: bool = False, after: str | None = None
) -> Result:
    """Erase a page of what is kept of a person beside the audit trail."""
    return await audit_trail.erase_person(
        desk.office, users=users, subjects=subjects, reason=reason, everything=everything, after=after
    )


async def audit_key(desk: Desk) -> Result:
    """The public key of the audit heads."""
    return await audit_trail.describe_key(desk.office)


async def audit_begin_export(desk: Desk, since: str | None = None) -> Result:
    """Where an export begins."""
    return await audit_trail.begin_export(desk.office, since=since)


async def audit_export_page(desk: Desk, positions: list[audit_trail.Position], look_for_chains: bool = True) -> Result:
    """Some lines of an export."""
    return await audit_trail.export_page(desk.office, positions=positions, look_for_chains=look_for_chains)


async def audit_check_lines(desk: Desk, lines: str, before: list[audit_trail.LastLink]) -> Result:
    """The keyed links of some lines of an export."""
    return await audit_trail.check_lines(desk.office, lines=lines, before=before)


async def audit_chains(desk: Desk) -> Result:
    """Every audit chain."""
    return await audit_trail.list_chains(desk.office)


async def audit_page(desk: Desk, writer: str, epoch: int, after: int) -> Result:
    """Some events of a chain."""
    return await audit_trail.audit_page(desk.office, writer=writer, epoch=epoch, after=after)


async def trace_reference(desk: Desk, reference: str) -> Result:
    """The timeline of one login."""
    return await traces.trace_reference(desk.office, reference=reference)


async def trace_user(desk: Desk, name: str) -> Result:
    """The timeline of a user's last login."""
    return await traces.trace_user(desk.office, name=name)


OPERATIONS: Final[Mapping[str, Operation]] = {
    "audit.verify": audit_verify,
    "audit.search": audit_search,
    "audit.erase": audit_erase,
    "audit.erase_person": audit_erase_person,
    "audit.key": audit_key,
    "audit.begin_export": audit_begin_export,
    "audit.export_page": audit_export_page,
    "audit.check_lines": audit_check_lines,
    "audit.chains": audit_chains,
    "audit.page": audit_page,
    "trace.reference": trace_reference,
    "trace.user": trace_user,
}
