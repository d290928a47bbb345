"""Opens a login: its transaction, the first question, or the identical login that it is joined to."""

from wardgate.audit.timeline import new_transaction_id
from wardgate.directory.names import canonical_name
from wardgate.engine import demands
from wardgate.engine.asking import Asker
from wardgate.engine.attempt import Attempt, Person
from wardgate.engine.course import Course, told
from wardgate.engine.freezing import Freezes
from wardgate.engine.grace import seal_user
from wardgate.engine.held_password import hold_password
from wardgate.engine.outcome import Outcome
from wardgate.engine.refusing import Refusing
from wardgate.engine.request import BeginRequest
from wardgate.engine.runtime import EngineParts
from wardgate.engine.terms import Terms, dump_terms
from wardgate.engine.transaction import Transaction
from wardgate.errors import Overloaded
from wardgate.factors import PASSWORD
from wardgate.jsons import dumps

# How often a login may lose the race for being the open one of its kind.
FOLD_TRIES = 5


class Opening:
    """Opens logins. One per engine."""

    def __init__(self, parts: EngineParts, asker: Asker, refusing: Refusing, freezes: Freezes) -> None:
        self._parts = parts
        self._asker = asker
        self._refusing = refusing
        self._freezes = freezes

    async def challenge(self, attempt: Attempt, person: Person, course: Course) -> Outcome:
        """Open a transaction and ask for its first step, or join this login to an identical one that is open.

        Where the first question sends nothing, there is nothing to be sent twice: it is asked by a sealed handle, and not joined.
        """
        origin, trail = attempt.request.origin, attempt.request.trail
        transaction = self.transaction(attempt, person, course)
        if person.refusal and not self._asker.alternatives(transaction, person.holder):
            return await self._refusing.deny_as_wrong(attempt, person, person.refusal)
        application, holder, settle = attempt.application, person.holder, person.settle
        preface = told(course.text, person.language) if course.text else None
        asked = await self._asker.ask_sealed(transaction, holder, application, origin, trail, settle, preface)
        if asked is not None:
            return asked
        fold_key = self._fold_key(attempt, person, course)
        for _ in range(FOLD_TRIES):
            folded = await self._asker.fold(fold_key, origin.binding, trail, application, holder, settle, preface)
            if folded is not None:
                return folded
            transaction = self.transaction(attempt, person, course, fold_key)
            opened = await self._asker.open(transaction, holder, application, origin, trail, settle, preface)
            if opened is not None:
                return opened
        raise Overloaded("the same login is opened and ended again and again")

    def transaction(self, attempt: Attempt, person: Person, course: Course, fold_key: bytes | None = None) -> Transaction:
        """The login as it stands after its first factor."""
        request, terms = attempt.request, course.terms
        trail = request.trail
        trail.transaction_id = trail.transaction_id or new_transaction_id()
        return Transaction(
            id=trail.transaction_id,
            reference=trail.reference,
            application=attempt.application.settings.name,
            subject_id=person.holder.subject_id,
            realm=attempt.realm.name,
            directory=person.user.directory,
            immutable_id=person.user.immutable_id,
            user_name=person.user.name,
            name_key=canonical_name(request.user_name) or "",
            language=person.language,
            steps=course.steps,
            rule=course.rule,
            floors=course.floors,
            step=0,
            factor="",
            proved=course.proved or proved_already(request),
            tries_left=attempt.configuration.codes.tries,
            created_at=attempt.now_ms,
            expires_at=attempt.now_ms + self._life_ms(attempt, terms),
            fold_key=fold_key,
            refusal=person.refusal,
            grace=self._graced(attempt, person, trail.transaction_id),
            terms=terms,
            fail_open=course.fail_open,
            device=course.device,
            risk=person.surroundings.carried,
            held=self._held(attempt, person, course, trail.transaction_id),
            lane=person.lane,
        )

    def _graced(self, attempt: Attempt, person: Person, transaction_id: str) -> str:
        if not person.grace:
            return ""
        return seal_user(self._parts.ring(), person.user, transaction_id, attempt.configuration.version)

    def _life_ms(self, attempt: Attempt, terms: Terms) -> int:
        """How long the login may rest: a window waits as long as a code lives, and on a page one reads, looks around and types."""
        if terms.login_s or attempt.request.origin.shows_pages:
            return terms.longest_ms
        return attempt.configuration.codes.life_s * 1000

    def _held(self, attempt: Attempt, person: Person, course: Course, transaction_id: str) -> str:
        """The password, where it has to be changed before the grant at a door where that can be done: it is typed only once."""
        request = attempt.request
        if request.password is None or not request.origin.shows_pages:
            return ""
        changes = bool(person.refusal) or self._freezes.may_be(person.holder.subject_id)
        changes = changes or demands.asks_for_change(course.terms.demands, person.user, attempt.now_ms)
        return hold_password(self._parts.ring(), request.password, transaction_id, attempt.now_ms) if changes else ""

    def _fold_key(self, attempt: Attempt, person: Person, course: Course) -> bytes:
        """Same person, password, application, NAS and client address, and decided the same: the same login again, not a second one.

        Without what was decided, a login that needs a strong factor here and now would be joined to one that was let off elsewhere.
        Without what a device showed, whoever showed none would get its next value. Without what was proved, whoever has the
        password alone would be let in as who proved his app before it; without the lane, his guesses would count in the brakes of
        somebody who came past them.
        """
        request = attempt.request
        proved = course.proved or proved_already(request)
        password = request.password.reveal() if request.password is not None else b""
        where = request.origin.client or request.origin.source
        return self._parts.ring().mac(
            "fold",
            person.holder.subject_id.encode(),
            attempt.application.settings.name.encode(),
            request.origin.binding.encode(),
            where.encode(),
            (canonical_name(request.user_name) or "").encode(),
            person.refusal.encode(),
            dumps([course.rule, course.floors, course.steps, course.fail_open, dump_terms(course.terms), course.device]).encode(),
            dumps([proved, person.lane]).encode(),
            password,
        )


def proved_already(request: BeginRequest) -> tuple[str, ...]:
    """What stands proved when a first request brought a right password, or none."""
    return tuple(sorted(request.proved_elsewhere)) + ((PASSWORD,) if request.password is not None else ())
