"""What a login comes to once everything is proved, and the commit by which it does."""

from collections.abc import Sequence

from wardgate.account.authenticator import release
from wardgate.audit.events import Kind
from wardgate.audit.timeline import Trail
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.engine import brakes, hand_over, interviews
from wardgate.engine.demands import NOTHING_DUE, Due
from wardgate.engine.hand_over import HAND_OVER
from wardgate.engine.outcome import Denied, Granted
from wardgate.engine.recording import Recording
from wardgate.engine.runtime import Application, EngineParts
from wardgate.engine.spent_code import remember_spent_code
from wardgate.engine.surroundings import to_remember
from wardgate.engine.transaction import Transaction
from wardgate.engine.trusted import TRUSTED_DEVICE
from wardgate.factors import STRONG_KINDS
from wardgate.factors.port import Holder
from wardgate.risk.carried import told as told_risk
from wardgate.storage.port import Commit, Operation
from wardgate.texts import Text
from wardgate.values import quick_value

# Authentication assurance levels, NIST SP 800-63B section 2.
AAL1, AAL2 = 1, 2
_STRONG = frozenset(STRONG_KINDS)
_TEXTS = {"password_expired": "password.expired", "must_change": "password.must_change"}


@quick_value
class Grant:
    """What letting somebody in needs besides the transaction.

    `released`: held authenticators that become active again. `note`: whose name it is, where that is news. `proved`: every factor
    that was proved. `due`: what policy demands besides. `prior`: what uses up an earlier proof that this one counts on, and
    `device` what a trusted one shows from now on. `details`: what else audit says. `client`: whose address may be handed over to.
    `nothing_new`: all of it was proved before, so that it says nothing of whoever failed since.
    """

    keys: brakes.BrakeKeys
    clean: brakes.Clean
    spent_key: bytes
    code: Secret | None
    claim: tuple[Operation, ...] = ()
    released: tuple[Operation, ...] = ()
    note: tuple[Operation, ...] = ()
    proved: tuple[str, ...] = ()
    due: Due = NOTHING_DUE
    prior: tuple[Operation, ...] = ()
    device: Secret | None = None
    details: tuple[tuple[str, object], ...] = ()
    client: str | None = None
    nothing_new: bool = False


async def commit_proved(
    parts: EngineParts,
    transaction: Transaction,
    grant: Grant,
    outcome: Granted | Denied,
    trail: Trail,
    step: Sequence[Operation],
    now_ms: int,
) -> Commit:
    """All is proved: the step, what the code claims, the brakes and the spent code in one commit with the audit event.

    Refused for its password, the login has spent its code and forgets the failures all the same: it was the person himself.
    """
    ring = parts.ring()
    spent: list[Operation] = []
    if grant.code:
        spent.append(remember_spent_code(ring, transaction.application, grant.spent_key, grant.code, now_ms))
        if transaction.terms.hand_over_s and grant.client is not None and isinstance(outcome, Granted):
            left = hand_over.leave(ring, transaction, grant.spent_key, grant.client, grant.code, grant.proved, now_ms)
            spent.append(left)
    unit = [*step, *grant.claim, *grant.prior, *grant.due.operations]
    if not grant.nothing_new:
        unit += _passes(transaction, grant, now_ms)
    unit += [*spent, *grant.released]
    asks = parts.configuration().questioner is not None and not grant.nothing_new
    if asks and isinstance(outcome, Granted) and not _STRONG.isdisjoint(outcome.factors):
        unit += await interviews.opened_by_grant(parts, transaction, now_ms)
    recording = recording_of(parts, trail, transaction)
    details: dict[str, object] = {"rule": transaction.rule, **dict(grant.details)}
    if transaction.grace:
        details["grace"] = True
    if transaction.lane:
        details["lane"] = transaction.lane
    if transaction.fail_open:
        details["fail_open"] = transaction.fail_open
    if transaction.risk:
        details["risk"] = told_risk(transaction.risk)
    if grant.due.told:
        details |= {"demands": list(grant.due.told), "actions": transaction.terms.actions}
        for told in grant.due.told:
            trail.note("policy demands something", **told)
    if isinstance(outcome, Denied):
        proved = list(grant.proved or transaction.proved)
        return await recording.commit_denied(unit, outcome, transaction.user_name, factors=proved, **details)
    details["factors"], details["assurance"] = list(outcome.factors), outcome.assurance
    # Who was let in with less makes nothing known: the next time it would spare him more.
    learns = transaction.risk and not transaction.fail_open and not grant.nothing_new
    habits = await to_remember(parts, transaction, now_ms) if learns else ()
    unit += [*grant.note, *habits]
    return await recording.commit(unit, Kind.LOGIN_GRANTED, outcome, transaction.user_name, **details)


def _passes(transaction: Transaction, grant: Grant, now_ms: int) -> list[Operation]:
    if transaction.fail_open:
        return brakes.let_pass(grant.keys, now_ms)
    return brakes.success(grant.keys, now_ms, grant.clean)


def release_after(proved: Sequence[str], holder: Holder) -> tuple[Operation, ...]:
    """What makes held authenticators active again: a grant in which another strong factor was proved. Held ones prove nothing."""
    if not holder.held or _STRONG.isdisjoint(proved):
        return ()
    return tuple(release(holder.held))


def proved_outcome(
    transaction: Transaction,
    user: DirectoryUser,
    factors: tuple[str, ...],
    application: Application,
    due: Due = NOTHING_DUE,
    device: Secret | None = None,
) -> Granted | Denied:
    """The outcome of a login that proved everything: let in, unless something has to be done first, which may be said now."""
    if transaction.refusal:
        text = Text(_TEXTS[transaction.refusal], {"ref": transaction.reference})
        return Denied(transaction.refusal, text, transaction.language, transaction.reference)
    if due.text is not None:
        return Denied("action_required", due.text, transaction.language, transaction.reference)
    groups, aliases = application.released_groups(user, transaction.realm)
    return Granted(
        subject_id=transaction.subject_id,
        user_name=user.name,
        directory=user.directory,
        realm=transaction.realm,
        display_name=user.display_name,
        mail=user.mail,
        groups=groups,
        attributes=user.attributes,
        factors=factors,
        assurance=_assurance(factors),
        application=transaction.application,
        reference=transaction.reference,
        group_aliases=aliases,
        session_s=transaction.terms.session_s,
        idle_s=transaction.terms.idle_s,
        language=transaction.language,
        texts=due.texts,
        device=device,
        own_language=user.language or "",
        phone=(user.phone or "") if application.settings.tells_phone else "",
        mark=application.mark,
    )


def _assurance(factors: Sequence[str]) -> int:
    """A trusted device proves no second factor now; what is handed over was a full login a moment ago."""
    if len(factors) > 1:
        return AAL1 if TRUSTED_DEVICE in factors and len(factors) == 2 else AAL2
    return AAL2 if HAND_OVER in factors else AAL1


def recording_of(parts: EngineParts, trail: Trail, transaction: Transaction) -> Recording:
    """The record of a step of this login."""
    return Recording(parts, trail, transaction.application, transaction.subject_id)
