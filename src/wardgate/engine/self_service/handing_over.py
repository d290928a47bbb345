"""From an activation whose proofs are enough to a login that goes on where its proofs would end.

Nothing of it is a second version: the login waits for a new password as that of somebody does who must choose one, then for what
policy demands, and is granted and recorded as any other. What the activation proved stands for the steps of the plan, once, so
whatever the plan would ask and the person cannot prove has to be enrolled before the grant.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from wardgate.account.freeze import unfrozen
from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.directory.names import canonical_name
from wardgate.directory.port import Directory, DirectoryUser, PasswordResetting
from wardgate.engine.activated import ACTIVATION
from wardgate.engine.outcome import Origin
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.flow import Flow
from wardgate.engine.self_service.outcome import Closed, HandedOver
from wardgate.engine.self_service.weighing import Weighing
from wardgate.engine.terms import terms_of
from wardgate.engine.transaction import Goal, Transaction, insert, new_handle
from wardgate.factors import BY_KIND, PASSWORD
from wardgate.factors.port import Holder
from wardgate.policy.plan import Demand, NoEntry
from wardgate.policy.rules import decide
from wardgate.storage.port import Operation
from wardgate.texts import Text

# What a person can enrol himself where nobody has given him anything.
BY_HIMSELF: Final = ("passkey", "totp", "recovery_code")
MUST_CHANGE: Final = "must_change"


def hand_over(
    parts: EngineParts,
    weighing: Weighing,
    flow: Flow,
    directory: Directory,
    user: DirectoryUser,
    holder: Holder,
    used: Sequence[Operation],
    origin: Origin,
) -> tuple[Sequence[Operation], HandedOver] | Closed:
    """The login and its handle, for the unit of the last proof; or why the person may not be let in at all.

    `used`: what uses the activation up, where no password is set that would do so.
    """
    application, now_ms, ring = parts.configuration().applications[flow.application], to_ms(parts.clock.now()), parts.ring()
    facts = replace(weighing.facts(flow, user, holder), goal="login", client=origin.client, device=origin.device)
    plan = decide(application.policy, facts)
    if isinstance(plan, NoEntry):
        return Closed(plan.reason, Text("policy.denied", {"application": application.title, "ref": flow.reference}))
    terms, settable = terms_of(plan, pages=True), isinstance(directory, PasswordResetting)
    demands = (*_unmet(plan.steps, holder, terms.demands), *terms.demands)
    transaction = Transaction(
        id=flow.id,
        reference=flow.reference,
        application=flow.application,
        subject_id=flow.subject_id,
        realm=flow.realm,
        directory=flow.directory,
        immutable_id=flow.immutable_id,
        user_name=user.name,
        name_key=canonical_name(flow.login_name) or "",
        language=flow.language,
        steps=(),
        rule=plan.rule,
        floors=plan.floors,
        step=0,
        factor="",
        proved=tuple(dict.fromkeys(each.kind for each in flow.proofs)),
        tries_left=parts.configuration().codes.tries,
        created_at=now_ms,
        expires_at=now_ms + terms.longest_ms,
        goal=Goal.ACTIVATE,
        memory={ACTIVATION: {"id": flow.activation}},
        # A directory that takes no password from here keeps its own, and only the rest is done.
        refusal=MUST_CHANGE if settable else "",
        terms=replace(terms, demands=demands, trusted_s=0),
    )
    value, insert_handle = new_handle(ring, transaction, origin.binding)
    unit = (unfrozen(SubjectId(flow.subject_id)), insert(transaction), insert_handle, *(() if settable else used))
    return unit, HandedOver(value, flow.login_name, flow.language, flow.reference)


def _unmet(steps: Sequence[tuple[str, ...]], holder: Holder, demanded: Sequence[Demand]) -> tuple[Demand, ...]:
    """What has to be enrolled so that the next login can pass its steps, where policy does not demand it already."""
    found: list[Demand] = []
    for step in steps:
        kinds = tuple(kind for kind in step if kind in BY_HIMSELF)
        passes = any(kind == PASSWORD or BY_KIND[kind].enrolled(holder) for kind in step)
        forced = any(
            each.level == "forced" and not each.deferrals and set(each.factors) <= set(step) for each in demanded if each.factors
        )
        if kinds and not passes and not forced:
            found.append(Demand(f"enrol:{'+'.join(kinds)}", "forced", kinds))
    return tuple(dict.fromkeys(found))
