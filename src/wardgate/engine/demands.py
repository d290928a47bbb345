"""What policy demands once all is proved: what is met, what is put off and counted, and what must be done before anybody is let in.

A forced demand may be put off so many times; each is counted in `demand` by the commit of the grant, once in eight hours at most,
so that somebody whose connection breaks does not use them up in a morning. An optional one is mentioned from time to time. Nothing
is read or written where nothing is unmet.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.directory.port import DirectoryUser
from wardgate.factors import QUESTIONING, SECOND_FACTORS
from wardgate.factors.port import Holder
from wardgate.policy.plan import Demand
from wardgate.storage.port import Modified, Modify, Operation, Reader, Row, Value, Where
from wardgate.texts import Text, catalogue, language_of
from wardgate.values import quick_value

TABLE: Final = "demand"
COUNTED_EVERY_MS: Final = 8 * 3_600_000
# A time that lies further ahead was written before the clock was set back.
CLOCK_STEP_MS: Final = 60_000
# What may be demanded of one person at once is what a policy's entry lists.
MAX_DEMANDS: Final = 100
CONFIRM_CONTACT: Final = "confirm:contact"
CHANGE_PASSWORD: Final = "change:password"  # noqa: S105 - an action's name


@quick_value
class Standing:
    """What meets demands: the factors that a person has, when a contact of his own was last verified, his account as it is."""

    enrolled: frozenset[str]
    contact_at_ms: int
    user: DirectoryUser


@quick_value
class Due:
    """What is still to be done. `must`: before anybody is let in, in `text`; else `texts` go along with the grant.

    `told`: what audit and timeline say. `operations`: what counts, for the commit of the grant; a deferral that is not there any
    more refuses it.
    """

    must: Demand | None = None
    text: Text | None = None
    texts: tuple[Text, ...] = ()
    told: tuple[Mapping[str, object], ...] = ()
    operations: tuple[Operation, ...] = ()


NOTHING_DUE: Final = Due()


def standing(holder: Holder, contacts: Sequence[Row], user: DirectoryUser, is_strong: bool = False) -> Standing:
    """What of a person meets demands. What a restore holds is enrolled all the same; what has to be set anew is not.

    `is_strong`: he proves a strong factor, which opens closed questions.
    """
    enrolled = {factor.kind for factor in SECOND_FACTORS if factor.enrolled(holder)} | {each.kind for each in holder.held}
    answered = holder.answered
    if answered.due or (answered.closed and not is_strong):
        enrolled -= QUESTIONING.keys()
    return Standing(frozenset(enrolled), max((_number(row, "verified_at") for row in contacts), default=0), user)


def asks_for_change(demands: Sequence[Demand], user: DirectoryUser, now_ms: int) -> bool:
    """Whether a new password may have to be chosen before this person is let in."""
    person = Standing(frozenset(), 0, user)
    return any(each.action == CHANGE_PASSWORD and not _is_met(each, person, now_ms) for each in demands)


def password_due(refusal: str) -> Due:
    """What stands before the grant of somebody whose password was right and has to be changed (`refusal`: why)."""
    demand = Demand(CHANGE_PASSWORD, "forced")
    return Due(
        demand,
        Text("pw.must_change" if refusal == "must_change" else "pw.expired"),
        told=({"action": CHANGE_PASSWORD, "must": True},),
    )


async def due(
    storage: Reader,
    demands: Sequence[Demand],
    subject_id: SubjectId,
    person: Standing,
    now: datetime,
    language: str,
    reference: str,
) -> Due:
    """What of the demands is to be done by this person now, in their order."""
    now_ms = to_ms(now)
    unmet = [each for each in demands if not _is_met(each, person, now_ms)]
    if not unmet:
        return NOTHING_DUE
    rows = await storage.find(TABLE, [Where("subject_id", "=", subject_id)], limit=MAX_DEMANDS)
    known = {str(row["action"]): row for row in rows}
    unmet = [each for each in unmet if not _was_confirmed(each, known.get(each.action), now_ms)]
    texts: list[Text] = []
    told: list[Mapping[str, object]] = []
    operations: list[Operation] = []
    for demand in unmet:
        arguments: Row = {
            "now": now_ms,
            "deferrals": demand.deferrals,
            "remind_ms": demand.remind_s * 1000,
            "met_at": max(_met_at(demand, person), _confirmed_at(known.get(demand.action))),
            "forced": int(demand.level == "forced"),
        }
        step = put_off(known.get(demand.action), arguments)
        if step.refuse:
            must = {"action": demand.action, "must": True}
            return Due(demand, _text(demand, "must", language, reference), told=(must,))
        if demand.level != "forced" and step.row is None:
            continue
        key: Row = {"subject_id": subject_id, "action": demand.action}
        operations.append(Modify(TABLE, key, put_off, arguments))
        texts.append(_text(demand, "due" if demand.level == "forced" else "offer", language, reference))
        if demand.level == "forced":
            left = int(str(step.result))
            texts.append(_deferrals(left))
            told.append({"action": demand.action, "left": left})
        else:
            told.append({"action": demand.action, "optional": True})
    return Due(None, None, tuple(texts), tuple(told), tuple(operations))


def confirmed(subject_id: SubjectId, now_ms: int) -> Modify:
    """The person has shown, by a code that was sent there, that he can still be reached where we reach him."""
    return Modify(TABLE, {"subject_id": subject_id, "action": CONFIRM_CONTACT}, note_met, {"now": now_ms})


def note_met(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """It was done now. Runs inside storage."""
    row: dict[str, Value] = {"put_off": 0, "put_off_at": 0, "reminded_at": 0}
    row.update({name: value for name, value in (old or {}).items() if name in row})
    return Modified({**row, "met_at": _number(arguments, "now")})


def put_off(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """One login more without it. Result: how often it may still be put off; refused when it may not. Runs inside storage.

    What was done after it was last put off begins the count anew: a contact confirmed last year is to be confirmed again.
    """
    row: dict[str, Value] = {"put_off": 0, "put_off_at": 0, "reminded_at": 0, "met_at": None}
    row.update({name: value for name, value in (old or {}).items() if name in row})
    now, deferrals, at = _number(arguments, "now"), _number(arguments, "deferrals"), _number(row, "put_off_at")
    if not arguments["forced"]:
        reminded = _number(row, "reminded_at")
        if now - _number(arguments, "remind_ms") < reminded <= now + CLOCK_STEP_MS:
            return Modified(None)
        return Modified({**row, "reminded_at": now})
    done = min(deferrals, _number(row, "put_off")) if _number(arguments, "met_at") <= at else 0
    counted_lately = done > 0 and now - COUNTED_EVERY_MS < at <= now + CLOCK_STEP_MS
    if counted_lately:
        return Modified(None, deferrals - done)
    if done >= deferrals:
        return Modified(None, refuse=True)
    return Modified({**row, "put_off": done + 1, "put_off_at": now}, deferrals - done - 1)


def _is_met(demand: Demand, person: Standing, now_ms: int) -> bool:
    if demand.factors:
        return not person.enrolled.isdisjoint(demand.factors)
    if demand.action == CHANGE_PASSWORD and person.user.must_change:
        return False
    met_at = _met_at(demand, person)
    if demand.action == CHANGE_PASSWORD and (not demand.every_s or not met_at):
        # How old the password is, not every directory tells.
        return True
    return met_at > 0 and (not demand.every_s or met_at > now_ms - demand.every_s * 1000)


def _met_at(demand: Demand, person: Standing) -> int:
    """When it was last done, as far as anybody knows; 0: never."""
    changed_at = person.user.password_changed_at
    if demand.action == CHANGE_PASSWORD and changed_at is not None:
        return to_ms(changed_at)
    return person.contact_at_ms if demand.action == CONFIRM_CONTACT else 0


def _was_confirmed(demand: Demand, row: Row | None, now_ms: int) -> bool:
    at = _confirmed_at(row)
    return demand.action == CONFIRM_CONTACT and at > 0 and (not demand.every_s or at > now_ms - demand.every_s * 1000)


def _confirmed_at(row: Row | None) -> int:
    return _number(row, "met_at") if row is not None and row["action"] == CONFIRM_CONTACT else 0


def _text(demand: Demand, form: str, language: str, reference: str) -> Text:
    verb = demand.action.partition(":")[0]
    if demand.factors and QUESTIONING.keys() >= {*demand.factors}:
        verb = "questions"
    names = catalogue(language_of(language))
    factors = ", ".join(names.get(f"page.factor_{kind}", kind) for kind in demand.factors)
    return Text(f"{verb}.{form}", {"factors": factors, "ref": reference})


def _deferrals(left: int) -> Text:
    if left > 1:
        return Text("enrol.defer", {"left": left})
    return Text("enrol.defer_once" if left else "enrol.defer_last")


def _number(row: Mapping[str, Value], name: str) -> int:
    value = row[name]
    return value if isinstance(value, int) else 0
