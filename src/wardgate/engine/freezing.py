"""Freezes accounts, knows which ones are frozen at no cost to all other logins, and says which login may lift a freeze.

The few frozen accounts are remembered by every worker and announced to all. What keeps a thief's authenticator out of a login is
not this memory but the state of its row, and what refuses changes is a condition of their own units (`account/freeze.py`): the
memory decides only what is demanded of the person himself when he signs in.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from wardgate.account.contact import kept_contacts, usable_contacts
from wardgate.account.freeze import (
    TABLE,
    TOPIC,
    Freeze,
    Prepared,
    SetBy,
    asked,
    freeze_in,
    freezing,
    left_over,
    lifting,
    taken_away,
)
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.directory.port import ContactKind, DirectoryUser, PasswordChanging, PasswordResetting
from wardgate.engine.demands import CHANGE_PASSWORD, Due
from wardgate.engine.notices import CHANNELS, Addressee, everywhere, notify, tell, to_security
from wardgate.engine.runtime import EngineParts
from wardgate.engine.transaction import Goal, Transaction
from wardgate.engine.wording import Notice, Whom
from wardgate.factors import BY_KIND, STRONG_KINDS
from wardgate.factors.port import Holder
from wardgate.policy.plan import Demand
from wardgate.session.sessions import end_all
from wardgate.storage.port import Committed, Operation
from wardgate.texts import Text, render

# Whoever hears no announcement learns of a freeze within this time.
REMEMBERED_FOR_S: Final = 60.0
# Beyond so many every login asks for its own person's.
MAX_REMEMBERED: Final = 10_000
_TRIES: Final = 3
_STRONG: Final = frozenset(STRONG_KINDS)


class Freezes:
    """Who is frozen: one for each engine."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._known: set[str] = set()
        self._heard: set[str] = set()
        self._until = float("-inf")
        self._too_many = False
        parts.storage.subscribe(TOPIC, self._hear)

    def knows_none(self, subject_id: SubjectId) -> bool:
        """Whether it is known here that an account is not frozen: then `of` need not be asked."""
        return subject_id not in self._known and not self._too_many and self._parts.clock.monotonic() < self._until

    async def of(self, subject_id: SubjectId) -> Freeze | None:
        """The freeze of an account. Reads nothing for nearly everybody."""
        if self._parts.clock.monotonic() >= self._until:
            await self._read_all()
        if subject_id not in self._known and not self._too_many:
            return None
        rows, taken = await self._parts.storage.read([asked(subject_id), taken_away(subject_id)])
        if not rows:
            self._known.discard(subject_id)
        freeze = freeze_in(self._parts.ring(), rows)
        return replace(freeze, took_strong=any(row["kind"] in _STRONG for row in taken)) if freeze is not None else None

    def may_be(self, subject_id: SubjectId) -> bool:
        """Whether an account is frozen as far as is known here. Reads nothing."""
        return subject_id in self._known or self._too_many

    async def _read_all(self) -> None:
        """What is announced while they are read must not be lost."""
        heard: set[str] = set()
        self._heard = heard
        rows = await self._parts.storage.find(TABLE, (), order_by="subject_id", limit=MAX_REMEMBERED)
        self._too_many = len(rows) >= MAX_REMEMBERED
        self._known = {str(row["subject_id"]) for row in rows} | heard
        self._until = self._parts.clock.monotonic() + REMEMBERED_FOR_S

    def _hear(self, subject_id: str) -> None:
        """An empty id: something may have been missed."""
        if subject_id:
            self._known.add(subject_id)
            self._heard.add(subject_id)
        else:
            self._until = float("-inf")


def stands_before(freeze: Freeze, transaction: Transaction) -> bool:
    """Whether a login was begun before the freeze: what it has proved may have gone since."""
    return transaction.created_at <= freeze.set_at


def may_lift(
    freeze: Freeze,
    transaction: Transaction,
    proved: Sequence[str],
    holder: Holder,
    user: DirectoryUser,
    directory: object,
) -> bool:
    """Whether this login lifts the freeze once its person has chosen another password.

    It has to have proved a factor beside the password; what was added since the disputed event proves nothing. Where the person
    has a strong one, that one; else a code that was sent, unless the password is younger than the event: both may be a thief's.
    Nor where the freeze took a strong one away: whoever has the number would freeze the account to be rid of the owner's app.
    """
    if transaction.goal is not Goal.LOGIN or stands_before(freeze, transaction):
        return False
    if not isinstance(directory, PasswordChanging | PasswordResetting):
        # Nothing would come of it but a login that never ends: the help desk lifts it.
        return False
    if not _STRONG.isdisjoint(proved):
        return True
    changed_at = user.password_changed_at
    fresh = changed_at is not None and to_ms(changed_at) >= freeze.disputed_at
    sent = any(kind in BY_KIND and BY_KIND[kind].channel is not None for kind in proved)
    has_strong = freeze.took_strong or any(each.kind in _STRONG for each in (*holder.authenticators, *holder.held))
    return sent and not fresh and not has_strong


def lift_due() -> Due:
    """What stands before the grant of somebody who may lift the freeze of his account."""
    told = {"action": CHANGE_PASSWORD, "must": True, "lifts": "freeze"}
    return Due(Demand(CHANGE_PASSWORD, "forced"), Text("freeze.lift"), told=(told,))


class Freezing:
    """Sets and lifts freezes, with their records and the word to the person."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def set(
        self,
        whom: Whom,
        user: DirectoryUser | None,
        disputed_at: int,
        set_by: SetBy,
        before: Sequence[Operation],
        after: Sequence[Operation],
    ) -> bool:
        """Freeze an account, in one unit with what the caller gives: `before` decides, so that a link is used once.

        False where one of those did not hold.
        """
        storage, ring, subject_id = self._parts.storage, self._parts.ring(), SubjectId(whom.subject_id)
        for _ in range(_TRIES):
            now_ms = to_ms(self._parts.clock.now())
            made = await freezing(storage, ring, subject_id, disputed_at, set_by, now_ms)
            told = await self.hearing(made.freeze, user)
            unit = [*before, *made.operations, end_all(subject_id), *self._records(made, whom, told, now_ms), *after]
            commit = await storage.commit(unit)
            if isinstance(commit, Committed):
                rest = await left_over(storage, made.freeze)
                if rest:
                    await storage.commit(rest)
                return True
            if commit.position < len(before):
                return False
        return False

    async def hearing(self, freeze: Freeze, user: DirectoryUser | None) -> list[Addressee]:
        """Where the person hears of it: what he removed lately hears it too, and what was added since does not."""
        [rows] = await self._parts.storage.read([kept_contacts(freeze.subject_id)])
        gone = {(each["kind"], each["value"]) for each in freeze.gone}
        kept = [each for each in usable_contacts(self._parts.ring(), rows) if (each.kind.value, each.value) not in gone]
        back = [Addressee(CHANNELS[ContactKind(each["kind"])], str(each["value"])) for each in freeze.back]
        return list(dict.fromkeys([*everywhere(user, kept), *back]))

    def _records(self, made: Prepared, whom: Whom, told: Sequence[Addressee], now_ms: int) -> list[Operation]:
        freeze = made.freeze
        details = {"user": whom.user_name, "by": freeze.set_by, "disputed_at": freeze.disputed_at, **made.told}
        about = (now_ms, "person", whom.transaction_id or None, whom.reference, freeze.subject_id)
        ended = AuditEvent(Kind.SESSION_ENDED, now_ms, "session", subject_id=freeze.subject_id, details={"why": "frozen"})
        return [
            record(AuditEvent(Kind.ACCOUNT_FROZEN, *about, details=details)),
            record(ended),
            *self.word(freeze, whom, told),
        ]

    def word(self, freeze: Freeze, whom: Whom, told: Sequence[Addressee]) -> list[Operation]:
        """The messages to the person and to those who will be called."""
        desk = to_security(self._parts, whom, self._desk(whom, freeze))
        return [*tell(self._parts, whom, told, Notice("frozen")), *desk]

    def _desk(self, whom: Whom, freeze: Freeze) -> Notice:
        """For the help desk, who will be called."""
        language = self._parts.configuration().realms.default.settings.language
        return Notice("frozen_desk", {"name": whom.user_name, "why": render(Text(f"notice.frozen_by_{freeze.set_by}"), language)})

    async def lifted(self, freeze: Freeze, whom: Whom, holder: Holder, proved: Sequence[str]) -> tuple[Operation, ...]:
        """What lifts it, for the unit that changes the password."""
        now_ms = to_ms(self._parts.clock.now())
        made = await lifting(self._parts.storage, self._parts.ring(), freeze, now_ms)
        details = {"user": whom.user_name, "by": SetBy.PERSON.value, "factors": list(proved), **made.told}
        event = AuditEvent(
            Kind.ACCOUNT_UNFROZEN, now_ms, "engine", whom.transaction_id or None, whom.reference, freeze.subject_id, details=details
        )
        return (*made.operations, record(event), *notify(self._parts, whom, holder, "unfrozen"))
