"""A person's own challenge questions: which answers are there, which are due, and setting, changing and clearing them.

What is set here resets passwords where a policy says so. Every change is therefore told everywhere, and refused when the answers
are no longer those that its form was made for: of two tabs one wins, and the other is shown what came of it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import asked, unfrozen
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import from_ms, to_ms
from wardgate.crypto import Secret, new_reference
from wardgate.directory.port import DirectoryUser
from wardgate.directory.settings import realm_words
from wardgate.engine.holders import holder_of
from wardgate.engine.notices import notify
from wardgate.engine.runtime import EngineParts
from wardgate.engine.wording import Whom
from wardgate.errors import NotFound, Overloaded
from wardgate.kba.answers import (
    MAX_ANSWERS,
    Answer,
    Source,
    answers_in,
    form_of,
    kept_answers,
    kept_state,
    state_in,
    text_of,
    usable,
)
from wardgate.kba.asking import Questioner, reopened
from wardgate.kba.catalogue import Catalogue, Question
from wardgate.kba.enrolment import About, Broken, Given, Offline, Prepared, about
from wardgate.kba.normalisation import VERSION, Form
from wardgate.kba.renewal import Renewal, renewal_due
from wardgate.kba.rounds import TABLE as ROUNDS
from wardgate.kba.rounds import Limits, is_closed, key_of
from wardgate.kba.rules import Rule
from wardgate.kba.settings import KbaSettings
from wardgate.policy.needs import QUESTIONS
from wardgate.storage.port import Find, Operation, Refused, Where
from wardgate.texts import Text

# The kind of the factor that asks them.
KIND: Final = QUESTIONS
# What a person chooses to write a question himself; no question of the catalogue is called so, because this is no name of one.
OWN: Final = "+own"
BY_PERSON: Final = "person"
# Too many passwords wait to be hashed at this moment.
BUSY: Final = Text("kba.busy")
# Who makes vaults for a computer's offline recovery: handed whose answers they are and the answers, once, before the commit.
KeepOffline = Callable[[SubjectId, Offline], Awaitable[Sequence[Operation]]]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose questions they are. `transaction_id`, `reference`: of the login in which he sets them; empty outside of one.

    `client`: the address that he is at, for the record.
    """

    subject_id: SubjectId
    user: DirectoryUser
    application: str
    language: str
    transaction_id: str = ""
    reference: str = ""
    realm: str = ""
    client: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A question of the catalogue, as the person reads it."""

    id: str
    text: str
    form: Form


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the form, by its number. `fixed`: the question that has to be answered there; None: one is chosen.

    `own`: a question of his own may stand there.
    """

    number: int
    fixed: Choice | None = None
    own: bool = False


@dataclass(frozen=True, slots=True)
class SetAnswer:
    """An answer that is there. `text`: empty where nobody knows the question any more.

    `live`: its question is still asked; `mandatory`: it cannot be exchanged for another question.
    """

    number: int
    question_id: str
    text: str
    own: bool
    form: Form
    live: bool
    mandatory: bool
    prepared: bool
    set_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of a person's questions, and what is to be done.

    `version`: rises with each change; a form bears it. `wanted`: how many have to be set. `due`: why answers have to be set, or
    None. `places`: what is to be filled in for that; `choices`: what may be chosen there. `leaving`: answers that go with it.
    `settings`: the rules, for those who are told.
    """

    version: int
    wanted: int
    answers: tuple[SetAnswer, ...]
    due: Renewal | None
    places: tuple[Place, ...]
    choices: tuple[Choice, ...]
    leaving: tuple[str, ...]
    settings: KbaSettings

    @property
    def closed(self) -> bool:
        """Whether all answers have to be set anew, and none can be changed by itself."""
        return self.due is Renewal.CLOSED

    @property
    def live(self) -> int:
        """How many answers count."""
        return sum(answer.live for answer in self.answers)

    def find(self, number: int) -> SetAnswer | None:
        """The answer of this number."""
        return next((answer for answer in self.answers if answer.number == number), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """What was filled in at a place. `question_id`: `OWN` for a question that the person wrote (`own_text`)."""

    question_id: str
    own_text: str
    answer: Secret


@dataclass(frozen=True, slots=True)
class RefusedEntries:
    """Nothing was stored: for each entry the rule that it broke, or None."""

    rules: tuple[Rule | None, ...]


class OwnQuestions:
    """One per engine. `keep_offline`: who makes vaults of answers, where computers recover offline."""

    def __init__(self, parts: EngineParts, keep_offline: KeepOffline | None = None) -> None:
        self._parts = parts
        self._storage = parts.storage
        self._keep_offline = keep_offline

    @property
    def in_use(self) -> bool:
        """Whether any policy names challenge questions: only then people see them."""
        return self._parts.configuration().questioner is not None

    async def look(self, person: Person, language: str) -> Standing:
        """What there is and what is due, with the questions in this language."""
        return (await self._looked(person.subject_id, language))[0]

    async def form_for(self, person: Person, number: int, language: str) -> Standing | None:
        """The same with one place, for what may stand instead of the answer of this number; None where there is none.

        Where guesses had closed the questions it is the whole form: an answer would stay that somebody guessed at.
        """
        standing, catalogue = await self._looked(person.subject_id, language)
        found = standing.find(number)
        if found is None or standing.closed:
            return standing if found is not None else None
        others = {answer.question_id for answer in standing.answers if answer is not found}
        own = found.own or sum(answer.own for answer in standing.answers) < catalogue.settings.own
        fixed = Choice(found.question_id, found.text, found.form) if found.mandatory and found.live else None
        places = (Place(1, fixed, own and fixed is None),)
        choices = _choices(catalogue, language, others, 1)
        return replace(standing, places=places, choices=choices, leaving=(found.question_id,), due=None)

    async def set_answers(self, person: Person, standing: Standing, entries: Sequence[Entry]) -> RefusedEntries | Text | None:
        """Set what was filled in at the places of `standing`. A text: nothing was done, for that reason."""
        choices = {choice.id for choice in standing.choices}
        given = [_given(place, entry, choices) for place, entry in zip(standing.places, entries, strict=True)]
        if not standing.places:
            return None
        questioner = self._questioner()
        given_ids = {each.question_id for each in given}
        gone = [question_id for question_id in standing.leaving if question_id not in given_ids]
        try:
            prepared = await questioner.enrolment.prepare(
                self._about(person, questioner.catalogue), given, BY_PERSON, Source.PERSON, gone
            )
        except Overloaded:
            return BUSY
        if isinstance(prepared, Broken) and prepared.closed:
            return Text("flow.done_elsewhere")
        if isinstance(prepared, Broken):
            return RefusedEntries(prepared.rules)
        if prepared.offline.answers_version != standing.version + 1:
            return Text("flow.done_elsewhere")
        return await self._written(person, [*prepared.operations, *await self._beside(person, standing, prepared)])

    async def _written(self, person: Person, unit: Sequence[Operation]) -> Text | None:
        """Commit a change, unless the account is frozen or somebody else has changed the answers."""
        if not isinstance(await self._storage.commit([unfrozen(person.subject_id), *unit]), Refused):
            return None
        [frozen] = await self._storage.read([asked(person.subject_id)])
        return Text("freeze.on") if frozen else Text("flow.done_elsewhere")

    async def clear(self, person: Person, version: int) -> Text | None:
        """Remove all answers."""
        standing, _ = await self._looked(person.subject_id, person.language)
        if standing.version != version:
            return Text("flow.done_elsewhere")
        details = {"directory": person.user.directory, "user": person.user.name, **_where(person)}
        count, unit = await self._questioner().enrolment.clear(person.subject_id, details, BY_PERSON)
        if not count:
            return None
        told = await self._notices(person, "questions_cleared")
        return await self._written(person, [*unit, *told])

    # --- looking ---------------------------------------------------------------------------------------------------

    async def _looked(self, subject_id: SubjectId, language: str) -> tuple[Standing, Catalogue]:
        ring, now_ms = self._parts.ring(), to_ms(self._parts.clock.now())
        catalogue = self._questioner().catalogue
        key = key_of(ring, subject_id.encode())
        of_rounds = Find(ROUNDS, (Where("key", "=", key),), limit=1)
        states, rows, rounds = await self._storage.read([kept_state(subject_id), kept_answers(subject_id), of_rounds])
        answers, state = answers_in(rows), state_in(states)
        closed = is_closed(rounds[0] if rounds else None, Limits.of(catalogue.settings), now_ms)
        due = renewal_due(catalogue, answers, closed, now_ms)
        leaving = _leaving(catalogue, answers, due, now_ms)
        staying = [answer for answer in answers if answer.question_id not in leaving]
        places, choices = _form(catalogue, language, staying)
        live = {answer.question_id for answer in usable(answers, catalogue)}
        standing = Standing(
            version=state.answers_version if state is not None else 0,
            wanted=catalogue.settings.set,
            answers=tuple(self._shown(answer, catalogue, language, live) for answer in answers),
            due=due,
            places=places,
            choices=choices,
            leaving=tuple(leaving),
            settings=catalogue.settings,
        )
        return standing, catalogue

    def _shown(self, answer: Answer, catalogue: Catalogue, language: str, live: set[str]) -> SetAnswer:
        question = catalogue.questions.get(answer.question_id)
        return SetAnswer(
            number=answer.number,
            question_id=answer.question_id,
            text=text_of(answer, catalogue, self._parts.ring(), language) or "",
            own=answer.own,
            form=form_of(answer, catalogue),
            live=answer.question_id in live,
            mandatory=question is not None and question.mandatory,
            prepared=answer.source == Source.PREPARED.value,
            set_at=from_ms(answer.set_at),
        )

    # --- writing ---------------------------------------------------------------------------------------------------

    def _questioner(self) -> Questioner:
        """Raises NotFound where no policy asks questions any more."""
        found = self._parts.configuration().questioner
        if found is None:
            raise NotFound("no policy names challenge questions")
        return found

    def _about(self, person: Person, catalogue: Catalogue) -> About:
        realms = [realm.settings for realm in self._parts.configuration().realms]
        words = [*realm_words(realms, person.user.directory), *catalogue.settings.organisation]
        found = about(person.user, person.subject_id, words)
        return replace(found, details={**found.details, **_where(person)})

    async def _beside(self, person: Person, standing: Standing, prepared: Prepared) -> list[Operation]:
        """What goes with it. Answers that are all new open questions that wrong ones of before had closed."""
        unit = [*await self._notices(person, "questions_set")]
        if standing.closed:
            details = {"directory": person.user.directory, "user": person.user.name}
            now_ms = to_ms(self._parts.clock.now())
            event = AuditEvent(Kind.QUESTIONS_REOPENED, now_ms, BY_PERSON, subject_id=person.subject_id, details=details)
            unit += [reopened(self._parts.ring(), person.subject_id), record(event)]
        if self._keep_offline is not None:
            unit += await self._keep_offline(person.subject_id, prepared.offline)
        return unit

    async def _notices(self, person: Person, happened: str) -> tuple[Operation, ...]:
        subject_id = person.subject_id
        rows, contacts = await self._storage.read([kept_authenticators(subject_id), kept_contacts(subject_id)])
        holder = holder_of(self._parts.ring(), subject_id, person.user, *active_and_held(rows), contacts)
        reference = person.reference or new_reference()
        name, application = person.user.name, person.application
        whom = Whom(subject_id, name, application, person.transaction_id, reference, person.language, person.realm)
        return notify(self._parts, whom, holder, happened)


def _where(person: Person) -> Mapping[str, str]:
    return {"client": person.client} if person.client else {}


def _leaving(catalogue: Catalogue, answers: Sequence[Answer], due: Renewal | None, now_ms: int) -> list[str]:
    """The answers that go when those that are due are set: all where somebody guessed at them, else those with a fault."""
    fitting = {answer.question_id for answer in usable(answers, catalogue)}
    settings, after_ms = catalogue.settings, catalogue.settings.renew_after_ms

    def goes(answer: Answer) -> bool:
        looser = answer.normalisation != VERSION or (settings.case_sensitive and not answer.case_sensitive)
        old = after_ms is not None and answer.set_at + after_ms <= now_ms
        return due is Renewal.CLOSED or answer.question_id not in fitting or looser or old

    return [answer.question_id for answer in answers if goes(answer)]


def _form(catalogue: Catalogue, language: str, staying: Sequence[Answer]) -> tuple[tuple[Place, ...], tuple[Choice, ...]]:
    """What is missing: mandatory questions first, then others to choose, as far as there are any; and what may be chosen."""
    there = {answer.question_id for answer in staying}
    fixed = [_choice(each, language) for each in catalogue.all_live if each.mandatory and each.id not in there]
    missing = max(0, catalogue.settings.set - len(staying) - len(fixed))
    choices = _choices(catalogue, language, there, missing)
    own = max(0, catalogue.settings.own - sum(answer.own for answer in staying))
    chosen = min(missing, len(choices) + own)
    places = [Place(number, each) for number, each in enumerate(fixed, start=1)]
    # Own questions at the end: who does not want to write one never comes to it before it is the last to choose.
    first_own = len(fixed) + 1 + max(0, chosen - own)
    for number in range(len(fixed) + 1, len(fixed) + 1 + chosen):
        places.append(Place(number, own=number >= first_own))
    return tuple(places[: MAX_ANSWERS - len(staying)]), choices


def _choices(catalogue: Catalogue, language: str, taken: Collection[str], wanted: int) -> tuple[Choice, ...]:
    """The optional questions that are left, in this language; in any where there are not enough for so many places."""

    def left(questions: Iterable[Question]) -> tuple[Choice, ...]:
        return tuple(_choice(each, language) for each in questions if not each.mandatory and each.id not in taken)

    found = left(catalogue.offered(language))
    return found if len(found) >= wanted else left(catalogue.offerable)


def _choice(question: Question, language: str) -> Choice:
    return Choice(question.id, question.text(language), question.form)


def _given(place: Place, entry: Entry, choices: Collection[str]) -> Given:
    """What the room of questions is given; a question that may not stand there is none."""
    if place.fixed is not None:
        return Given(entry.answer, question_id=place.fixed.id)
    if entry.question_id == OWN and place.own:
        # A question without a letter is told as one that is too short.
        return Given(entry.answer, question=entry.own_text or " ")
    return Given(entry.answer, question_id=entry.question_id if entry.question_id in choices else "")
