"""Setting answers: rules, hashes in the pool of threads, and the operations that store them. The caller commits.

`Prepared.offline` is the hook for offline recovery at a computer. Its vault wraps a key under whole subsets of the answers, never
under one answer alone: then each could be guessed by itself, a thousand times faster. So nothing for it can be stored answer by
answer; whoever makes vaults is handed the normalised answers in the one moment in which they are known, and must forget them.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, to_ms
from wardgate.crypto import MAC_ROOT, KeyRing, Secret, new_id
from wardgate.directory.port import DirectoryUser
from wardgate.errors import UsageError, WardgateError
from wardgate.kba import answers as stored
from wardgate.kba import rounds
from wardgate.kba.answers import STATE, Answer, Source, State, answers_in, form_of, state_in, usable
from wardgate.kba.catalogue import OWN_PREFIX, Catalogue, Question
from wardgate.kba.normalisation import VERSION
from wardgate.kba.rules import Rule, Typed, broken_question, broken_rule, forbidden_words, read_answer, repeated
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Committed, Delete, Insert, Operation, Refused, Row, Storage, Update, Where

_NOTHING_ASKED: Final[Row] = {"asked": "[]", "asked_until": 0}


@dataclass(frozen=True, slots=True)
class Given:
    """One answer that is to be set: to a question of the catalogue, or to one that the person wrote (`question`, without an id)."""

    answer: Secret
    question_id: str = ""
    question: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """Whose answers they are, and what is no answer to anything for him. `details`: who he is, as audit events tell."""

    subject_id: SubjectId
    forbidden: frozenset[str] = frozenset()
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offline:
    """What a vault is made of, in the order of `number`: per answer the question's number and the normalised answer."""

    answers_version: int
    normalisation: int
    case_sensitive: bool
    answers: tuple[tuple[int, str, Secret], ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Answers that were taken. Commit the operations; refused: somebody else changed answers meanwhile, so prepare them again."""

    operations: tuple[Operation, ...]
    question_ids: tuple[str, ...]
    offline: Offline


@dataclass(frozen=True, slots=True)
class Broken:
    """Answers that were not taken: for each of those given its broken rule, or None. `closed`: too many were wrong to go on."""

    rules: tuple[Rule | None, ...]
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Change:
    """Answers that were taken, and those that go."""

    person: About
    given: tuple[Given, ...]
    typed: tuple[Typed, ...]
    gone: Sequence[str]
    actor: str
    source: Source


def about(user: DirectoryUser, subject_id: SubjectId, organisation: Iterable[str]) -> About:
    """What a directory's user may not answer: names, mail addresses, the organisation."""
    names = [user.name, user.display_name, user.mail, *user.other_mails, *organisation]
    for attribute in ("givenName", "given_name", "sn", "surname", "family_name"):
        names += user.attributes.get(attribute, ())
    details = {"directory": user.directory, "user": user.name}
    return About(subject_id, forbidden_words(*names), details)


class Enrolment:
    """Sets and clears the answers of people."""

    def __init__(self, storage: Storage, ring: KeyRing, hasher: PasswordHasher, clock: Clock, catalogue: Catalogue) -> None:
        self._storage = storage
        self._ring = ring
        self._hasher = hasher
        self._clock = clock
        self._catalogue = catalogue

    async def prepare(
        self,
        person: About,
        given: Sequence[Given],
        actor: str,
        source: Source = Source.PERSON,
        without: Sequence[str] = (),
    ) -> Prepared | Broken:
        """Judge answers and hash those that are taken. What was answered before stays, unless it is answered anew.

        `without`: the ids of questions whose answers go, such as the own one that another takes the place of. Raises UsageError
        for more answers than anybody may have.
        """
        state, before = await self._read(person.subject_id)
        kept = [answer for answer in before if answer.question_id not in without]
        if len(given) + len(kept) > stored.MAX_ANSWERS:
            raise UsageError(f"nobody has more than {stored.MAX_ANSWERS} answers: clear those of retired questions")
        questions = [self._question(each) for each in given]
        typed = [
            read_answer(question, _text(each.answer), self._catalogue.settings)
            for question, each in zip(questions, given, strict=True)
        ]
        rules = self._rules(person, given, typed, kept, source)
        if not any(rules) and source is Source.PERSON and not self._catalogue.settings.repeats:
            compared = await self._compared(person, typed, kept, actor)
            if compared is None:
                return Broken((None,) * len(typed), closed=True)
            rules = compared
        if any(rules):
            return Broken(tuple(rules))
        gone = [answer.question_id for answer in before if answer.question_id in without]
        return await self._prepared(_Change(person, tuple(given), tuple(typed), gone, actor, source), state, before)

    async def clear(self, subject_id: SubjectId, details: Mapping[str, object], actor: str) -> tuple[int, list[Operation]]:
        """Remove every answer: how many there are, and the operations. Offline kits of before are old from then on."""
        state, kept = await self._read(subject_id)
        if not kept or state is None:
            return 0, []
        now_ms = to_ms(self._clock.now())
        event = AuditEvent(Kind.QUESTIONS_CLEARED, now_ms, actor, subject_id=subject_id, details={**details, "answers": len(kept)})
        return len(kept), [
            *self._change_state(subject_id, state, state.next_number, now_ms),
            Delete(stored.TABLE, (Where("subject_id", "=", subject_id),)),
            rounds.reopen(rounds.key_of(self._ring, subject_id.encode())),
            record(event),
        ]

    # --- rules -----------------------------------------------------------------------------------------------------------

    def _question(self, given: Given) -> Question:
        """The question that is meant; an own one is made for it."""
        if given.question:
            return Question(OWN_PREFIX + new_id(), False, "text", {"": given.question.strip()}, self._catalogue.common)
        live = self._catalogue.live(given.question_id)
        return live if live is not None else Question("", False, "text", {}, frozenset())

    def _rules(
        self, person: About, given: Sequence[Given], typed: Sequence[Typed], kept: Sequence[Answer], source: Source
    ) -> list[Rule | None]:
        prepared = source is Source.PREPARED
        settings = self._catalogue.settings
        twice = [False] * len(typed) if prepared else repeated(typed, settings)
        own = self._own_rules(given, typed, kept)
        found: list[Rule | None] = []
        seen: set[str] = set()
        for each, again, of_own in zip(typed, twice, own, strict=True):
            question_id = each.question.id
            rule = Rule.UNKNOWN_QUESTION if not question_id else Rule.QUESTION_TWICE if question_id in seen else None
            rule = rule or broken_rule(each, settings, person.forbidden, prepared=prepared)
            found.append(rule or of_own or (Rule.REPEATED if again else None))
            seen.add(question_id)
        return found

    def _own_rules(self, given: Sequence[Given], typed: Sequence[Typed], kept: Sequence[Answer]) -> list[Rule | None]:
        """What is wrong with the questions that the person wrote."""
        texts = [self._own_text(answer) for answer in kept if answer.own]
        shown = [text for question in self._catalogue.all_live for text in question.texts.values()]
        found: list[Rule | None] = []
        for each, answer in zip(given, typed, strict=True):
            if not each.question:
                found.append(None)
                continue
            text = each.question.strip()
            rule = broken_question(text, answer.plain or "", [*texts, *shown])
            texts.append(text)
            found.append(Rule.TOO_MANY_OWN if rule is None and len(texts) > self._catalogue.settings.own else rule)
        return found

    def _own_text(self, answer: Answer) -> str:
        return stored.text_of(answer, self._catalogue, self._ring, "") or ""

    async def _compared(
        self, person: About, typed: Sequence[Typed], kept: Sequence[Answer], actor: str
    ) -> list[Rule | None] | None:
        """Whether a new answer is one that is stored for another question: only its hash can tell. None: closed, not compared.

        Such answers are a wrong round. Whoever holds a session would otherwise guess at what is stored by what is refused: nothing
        is set then, so that no strike is counted and the person hears nothing of it.
        """
        replaced = {each.question.id for each in typed}
        others = [answer for answer in usable(kept, self._catalogue) if answer.question_id not in replaced]
        if not others:
            return [None] * len(typed)
        key, limits = rounds.key_of(self._ring, person.subject_id.encode()), rounds.Limits.of(self._catalogue.settings)
        reserved = await self._storage.commit([rounds.reserve(key, limits, to_ms(self._clock.now()))])
        if isinstance(reserved, Refused):
            return None
        try:
            found = [await self._repeats(each, others) for each in typed]
        except WardgateError:
            await self._storage.commit([rounds.give_back(key, limits, to_ms(self._clock.now()))])
            raise
        if any(found):
            await self._strike(person, key, limits, actor)
        else:
            await self._storage.commit([rounds.give_back(key, limits, to_ms(self._clock.now()))])
        return found

    async def _repeats(self, typed: Typed, others: Sequence[Answer]) -> Rule | None:
        async def is_there(answer: Answer) -> bool:
            guess = answer.fingerprint_of(self._ring, typed.plain or "", form_of(answer, self._catalogue))
            return await self._hasher.verify(answer.hashed, guess)

        same = await asyncio.gather(*(is_there(answer) for answer in others))
        return Rule.REPEATED if any(same) else None

    async def _strike(self, person: About, key: bytes, limits: rounds.Limits, actor: str) -> None:
        now_ms = to_ms(self._clock.now())
        commit = await self._storage.commit([rounds.settle_wrong(key, limits, now_ms)])
        strikes = commit.results[0] if isinstance(commit, Committed) else 0
        if isinstance(strikes, int) and strikes >= limits.strikes:
            event = AuditEvent(Kind.QUESTIONS_CLOSED, now_ms, actor, subject_id=person.subject_id, details=person.details)
            await self._storage.commit([rounds.close(key, limits, now_ms), record(event)])

    # --- operations ------------------------------------------------------------------------------------------------------

    async def _prepared(self, change: _Change, state: State | None, kept: Sequence[Answer]) -> Prepared:
        subject_id, now_ms = change.person.subject_id, to_ms(self._clock.now())
        numbers = {answer.question_id: answer.number for answer in kept}
        before = state or State()
        following = before.next_number
        made: list[Answer] = []
        for typed, given, hashed in zip(change.typed, change.given, await self._hashes(subject_id, change.typed), strict=True):
            number = numbers.setdefault(typed.question.id, following)
            following += number == following
            made.append(self._answer(subject_id, typed, given, number, hashed, change.source, now_ms))
        ids = tuple(answer.question_id for answer in made)
        # An own question's id says nothing; its text belongs to nobody else.
        details = {**change.person.details, "questions": list(ids), "removed": list(change.gone), "source": change.source.value}
        event = AuditEvent(Kind.QUESTIONS_SET, now_ms, change.actor, subject_id=subject_id, details=details)
        mine = Where("subject_id", "=", subject_id)
        operations = (
            *self._change_state(subject_id, state, following, now_ms),
            *[Delete(stored.TABLE, (mine, Where("question_id", "=", question_id))) for question_id in change.gone],
            *map(stored.store, made),
            record(event),
        )
        told = [
            (answer.number, answer.question_id, Secret((typed.plain or "").encode("utf-8", "surrogatepass")))
            for answer, typed in zip(made, change.typed, strict=True)
        ]
        handed = tuple(sorted(told, key=lambda each: each[0]))
        return Prepared(
            operations, ids, Offline(before.answers_version + 1, VERSION, self._catalogue.settings.case_sensitive, handed)
        )

    async def _hashes(self, subject_id: SubjectId, typed: Sequence[Typed]) -> list[str]:
        """One after the other: setting answers is nobody's hurry, and logins wait for the same threads."""
        return [
            await self._hasher.hash(stored.fingerprint(self._ring, subject_id, each.question.id, each.plain or ""))
            for each in typed
        ]

    def _answer(
        self, subject_id: SubjectId, typed: Typed, given: Given, number: int, hashed: str, source: Source, now_ms: int
    ) -> Answer:
        question_id = typed.question.id
        place = stored.bound_to(subject_id, question_id)
        sealed = self._ring.seal(given.question.strip().encode(), place) if given.question else None
        case_sensitive = self._catalogue.settings.case_sensitive
        return Answer(subject_id, question_id, number, source, sealed, hashed, MAC_ROOT, VERSION, case_sensitive, now_ms)

    def _change_state(self, subject_id: SubjectId, state: State | None, next_number: int, now_ms: int) -> list[Operation]:
        """One version more, for whoever is first. What was being asked is not asked any more."""
        changes: Row = {"next_number": next_number, "changed_at": now_ms, **_NOTHING_ASKED}
        if state is None:
            return [Insert(STATE, {"subject_id": subject_id, "answers_version": 1, **changes})]
        unchanged = (Where("answers_version", "=", state.answers_version),)
        return [Update(STATE, {"subject_id": subject_id}, changes, where=unchanged, add={"answers_version": 1})]

    async def _read(self, subject_id: SubjectId) -> tuple[State | None, list[Answer]]:
        rows = await self._storage.read([stored.kept_state(subject_id), stored.kept_answers(subject_id)])
        return state_in(rows[0]), answers_in(rows[1])


def _text(answer: Secret) -> str:
    return answer.reveal().decode("utf-8", "replace")
