"""The straight way of an answer: a code for the last step of a login that nothing stands against, which is nearly every one.

What only refusals need is not read for it: the brakes of the person from anywhere and of the address, which do not hold him at a
source that is his. No code is looked at where his own brake there holds, or the sealed handle was used: it would be a guess that
nobody counts, and its time would tell whether it was right. The commit's own conditions decide both once more. Whoever cannot go
this way, and whoever is refused on it, is looked at again with everything, as if nothing had been; until then nothing was written.
"""

from datetime import datetime

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.subject import SubjectId, link_of, subject_in
from wardgate.clock import to_ms
from wardgate.directory.names import canonical_name
from wardgate.directory.realm import parse_login_name
from wardgate.engine import brakes, known_names
from wardgate.engine.accounts import Accounts
from wardgate.engine.brakes import Clean
from wardgate.engine.freezing import Freezes
from wardgate.engine.holders import Contactless, holder_of
from wardgate.engine.request import AnswerRequest
from wardgate.engine.rounds import Answer
from wardgate.engine.runtime import EngineParts
from wardgate.engine.spent_code import user_key
from wardgate.engine.steps import STORAGE_READ, Steps
from wardgate.engine.transaction import Handle, Transaction, used
from wardgate.factors import BY_KIND, LONGEST_ANSWER, QUESTIONING
from wardgate.factors.port import Right, Task

_NOT_READ = brakes.Seen(None, None, None)


class Straight:
    """Looks at answers and judges them on this way. One per engine."""

    def __init__(self, parts: EngineParts, contactless: Contactless, freezes: Freezes, accounts: Accounts) -> None:
        self._parts = parts
        self._steps = Steps(parts)
        self._contactless = contactless
        self._freezes = freezes
        self._accounts = accounts

    async def look(self, handle: Handle, transaction: Transaction, request: AnswerRequest, now: datetime) -> Answer | None:
        """What is to be known of an answer that can go this way. Raises DirectoryUnavailable."""
        configuration, ring, now_ms = self._parts.configuration(), self._parts.ring(), to_ms(now)
        subject_id = SubjectId(transaction.subject_id)
        application = configuration.applications.get(transaction.application)
        if application is None or not self._may_go(handle, transaction, request, now_ms):
            return None
        realm, typed = parse_login_name(request.user_name, configuration.realms)
        name = canonical_name(typed) or ""
        origin = request.origin
        keys = brakes.brake_keys(ring, subject_id, origin.client, origin.binding, typed=f"{realm.name}:{name}")
        began = self._steps.begin()
        finds = [
            link_of(transaction.directory, transaction.immutable_id),
            kept_authenticators(subject_id),
            brakes.pair_of(keys),
            used(handle.mac),
        ]
        own, named = self._contactless.asked(subject_id), known_names.known_name(realm, name)
        link, kept, pair, before, *rows = await self._parts.storage.read([*finds, *own, *named])
        self._steps.end(STORAGE_READ, began)
        known = known_names.first_row([rows.pop()]) if named else None
        contacts = rows.pop() if own else []
        if own:
            self._contactless.read(subject_id, contacts)
        if before or not brakes.stays_clean(pair, now_ms):
            return None
        user = await self._accounts.of(transaction, application)
        if user is None or subject_in(link) != subject_id:
            return None
        active, held = active_and_held(kept)
        holder = holder_of(ring, subject_id, user, active, held, contacts)
        known_as = (keys, _NOT_READ, user_key(ring, realm.name, name))
        note = known_names.note(realm, name, user, known, now_ms)
        return Answer(request, handle, transaction, application, user, holder, *known_as, now, now_ms, note, contacts, True)

    def _may_go(self, handle: Handle, transaction: Transaction, request: AnswerRequest, now_ms: int) -> bool:
        """Whether a right code is all that its grant needs, as far as the login tells."""
        terms = transaction.terms
        return (
            handle.clean in (Clean.NOTED, Clean.KNOWN)
            and transaction.step + 1 == len(transaction.steps)
            and not (terms.demands or terms.links or transaction.refusal)
            and transaction.factor not in QUESTIONING
            and canonical_name(request.user_name) == transaction.name_key
            and not transaction.is_over(now_ms)
            and self._freezes.knows_none(SubjectId(transaction.subject_id))
        )

    def judge(self, answer: Answer) -> Right | None:
        """What a right code proves."""
        given, transaction = answer.request.answer.reveal(), answer.transaction
        factor = BY_KIND[transaction.factor]
        if not factor.enrolled(answer.holder) or len(given) > LONGEST_ANSWER[factor.kind]:
            return None
        codes = transaction.terms.codes(self._parts.configuration().codes)
        task = Task(transaction.id, answer.now, codes, self._parts.ring(), answer.request.origin.site)
        verdict = factor.verify(answer.holder, task, transaction.recall(factor.kind), given)
        return verdict if isinstance(verdict, Right) else None
