"""A trusted device in a login: what it showed, what that is worth, and what becomes of one whose value somebody else has used."""

from collections.abc import Sequence

from wardgate.account import device
from wardgate.account.contact import kept_contacts
from wardgate.account.device import Judged, Shown
from wardgate.account.freeze import unfrozen
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.engine.attempt import Attempt, Person, SeenDevice
from wardgate.engine.holders import holder_of
from wardgate.engine.notices import notify
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import Goal, Transaction
from wardgate.engine.wording import Whom
from wardgate.factors import KERBEROS, PASSWORD, STRONG_KINDS
from wardgate.policy.plan import Plan
from wardgate.storage.port import Committed, Operation, Row

# What it is called among the factors of a grant. It is no factor of policies.
TRUSTED_DEVICE = "trusted_device"
MAX_DEVICES = 20
# Why a device is forgotten whose value was shown by somebody else.
REUSED = "reused"
# The directory's clock may be ahead of ours where a new password was demanded before the grant that trusts the device.
CLOCK_SLACK_MS = 60_000
_STRONG = frozenset(STRONG_KINDS)


def stands_for_factor(seen: SeenDevice, plan: Plan, attempt: Attempt, person: Person) -> bool:
    """Whether it spares the second factor of this login: never the password, never anything but a login, never for long."""
    request, trusted_ms = attempt.request, plan.lifetimes.trusted_device_s * 1000
    return (
        seen.trusted
        and request.goal is Goal.LOGIN
        and not request.fresh
        and not request.asked
        and request.password is not None
        and plan.strong_factors == 0
        and not (person.refusal or person.grace)
        and seen.created_at + trusted_ms > attempt.now_ms
    )


def is_password_alone(proved: Sequence[str]) -> bool:
    """Whether nothing was proved now beside the password, or what stands for it: too little to enrol anything with."""
    return set(proved) <= {PASSWORD, KERBEROS, TRUSTED_DEVICE}


async def seen_device(
    parts: EngineParts, attempt: Attempt, subject_id: SubjectId, user: DirectoryUser, value: Secret
) -> SeenDevice | None:
    """The person's device that shows this value, after his password was proved. One that shows an old value is forgotten."""
    trail = attempt.request.trail
    shown = device.read_value(parts.ring(), value)
    if shown is None:
        return None
    row = await _row(parts, shown)
    judged = device.judge(row, shown, subject_id, attempt.now_ms)
    trail.note("a trusted device is shown", worth=judged.value)
    if row is None or judged == Judged.UNKNOWN:
        return None
    if judged == Judged.REUSED:
        if await _forget(parts, attempt, subject_id, user, shown, REUSED):
            trail.note("its value was used before: somebody else had it, and the device is forgotten", device=shown.id)
        return None
    if _is_older_than_password(row, user):
        if await _forget(parts, attempt, subject_id, user, shown, "password_changed"):
            trail.note("the password was changed since it was trusted: the device is forgotten", device=shown.id)
        return None
    return SeenDevice(shown, int(row["created_at"] or 0), judged == Judged.KNOWN)


async def own_device(parts: EngineParts, value: Secret, subject_id: SubjectId, now_ms: int) -> Shown | None:
    """The person's own trusted device that shows its present value, before anything else is proved.

    It spares nothing by that: it shows that this is no stranger. An old value is nothing here, and ends no trust: who has it
    may not even know the password.
    """
    shown = device.read_value(parts.ring(), value)
    return shown if shown is not None and await is_own(parts, shown, subject_id, now_ms) else None


async def is_own(parts: EngineParts, shown: Shown, subject_id: SubjectId, now_ms: int) -> bool:
    """Whether this is the present value of a device that the person trusts. One that a restore holds shows nothing."""
    return device.judge(await _row(parts, shown), shown, subject_id, now_ms) == Judged.KNOWN


async def use_at_grant(
    parts: EngineParts, kept: str, subject_id: SubjectId, proved: tuple[str, ...], now_ms: int
) -> tuple[Secret | None, tuple[Operation, ...]]:
    """What a login that began with a device gives it instead of its value, where that is good at the end. `kept`: `Shown.text`.

    A held one is set free by a strong factor that was proved meanwhile.
    """
    shown, is_strong = device.shown_in(kept), not _STRONG.isdisjoint(proved)
    judged = device.judge(await _row(parts, shown), shown, subject_id, now_ms)
    if judged != Judged.KNOWN and not (judged == Judged.HELD and is_strong):
        return None, ()
    value, operation = device.use(parts.ring(), shown, subject_id, now_ms, is_strong)
    return value, (operation,)


async def trust_at_grant(
    parts: EngineParts, transaction: Transaction, label: str, client: str | None, now_ms: int
) -> tuple[Secret, tuple[Operation, ...]]:
    """The value for a browser that its person trusts from this grant on, and what the grant writes for that.

    Another device that this browser showed goes, and of a person who has many the oldest. `client`: where the browser is, for the
    record: a person tells by it whether that was he.
    """
    subject_id, life_s = SubjectId(transaction.subject_id), transaction.terms.trusted_s
    [rows] = await parts.storage.read([device.devices_of(subject_id)])
    value, made = device.make(parts.ring(), subject_id, label, now_ms, life_s)
    gone = {str(row["id"]) for row in rows[: max(0, len(rows) - MAX_DEVICES + 1)]}
    if transaction.device:
        gone.add(device.shown_in(transaction.device).id)
    event = AuditEvent(
        Kind.DEVICE_TRUSTED,
        now_ms,
        "engine",
        transaction_id=transaction.id,
        reference=transaction.reference,
        subject_id=subject_id,
        details={
            "user": transaction.user_name,
            "application": transaction.application,
            "life_s": life_s,
            **({"client": client} if client else {}),
        },
    )
    return value, (unfrozen(subject_id), *made, *(device.forget(subject_id, each) for each in sorted(gone)), record(event))


async def _row(parts: EngineParts, shown: Shown) -> Row | None:
    [rows] = await parts.storage.read([device.asked(shown)])
    return rows[0] if rows else None


def _is_older_than_password(row: Row, user: DirectoryUser) -> bool:
    """Whether the password was set after the device was trusted, by whomever: after a theft it is set in the directory itself.

    Where the directory tells no date, only what is reset through us ends the trust.
    """
    changed_at = user.password_changed_at
    return changed_at is not None and to_ms(changed_at) > int(row["created_at"] or 0) + CLOCK_SLACK_MS


async def _forget(parts: EngineParts, attempt: Attempt, subject_id: SubjectId, user: DirectoryUser, shown: Shown, why: str) -> bool:
    trail = attempt.request.trail
    details = {"device": shown.id, "why": why, "user": user.name, "source": trail.source, "client": trail.client}
    event = AuditEvent(
        Kind.DEVICE_FORGOTTEN, attempt.now_ms, "engine", reference=trail.reference, subject_id=subject_id, details=details
    )
    told: tuple[Operation, ...] = ()
    if why == REUSED:
        [contacts] = await parts.storage.read([kept_contacts(subject_id)])
        holder = holder_of(parts.ring(), subject_id, user, (), (), contacts)
        language = user.language or attempt.realm.settings.language
        whom = Whom(subject_id, user.name, attempt.application.settings.name, "", trail.reference, language, attempt.realm.name)
        told = notify(parts, whom, holder, "device_reused")
    unit = [device.forget(subject_id, shown.id), record(event), *told]
    return isinstance(await parts.storage.commit(unit), Committed)
