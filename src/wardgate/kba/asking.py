"""Asking and judging. Whoever asks learns nothing of who exists; all answers are judged together, each with the same work.

**Which questions.** Before another proof: catalogue questions only, chosen by a keyed fingerprint of the person and the day, so
that asking again fishes for nothing. A name that is no person, or a person without answers, is asked questions that are chosen in
the same way out of a pool of its own, as large as a person's. After another proof: any of the person's questions, fixed in storage
until he has passed or a day is over.

**Judging.** A round is reserved first (`rounds.py`), then every answer is hashed, whatever became of the others. A right round is
the caller's to commit, together with what it grants.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from wardgate.account.subject import NO_SUBJECT, SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import Clock, to_ms
from wardgate.crypto import KeyRing, Secret
from wardgate.errors import WardgateError
from wardgate.kba import answers as stored
from wardgate.kba import rounds
from wardgate.kba.answers import (
    STATE,
    Answer,
    answers_in,
    fingerprint,
    form_of,
    kept_answers,
    kept_state,
    state_in,
    text_of,
    usable,
)
from wardgate.kba.catalogue import Catalogue, Question
from wardgate.kba.enrolment import Enrolment
from wardgate.kba.normalisation import Form, normalise
from wardgate.kba.renewal import renewal_due
from wardgate.kba.rounds import Limits
from wardgate.kba.rules import MAX_ANSWER_CHARS
from wardgate.kba.standing import Answered
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Committed, Find, Modified, Modify, Operation, Refused, Row, Storage, Update, Value, Where

DAY_MS: Final = 86_400_000
_NOBODY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Who:
    """With whom a caller seems to speak. `subject_id`: None for a name that is nobody's. `name_key`: the name as it is compared."""

    realm: str
    name_key: str
    subject_id: SubjectId | None = None


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """One question as a page or a window shows it."""

    id: str
    text: str
    form: Form


@dataclass(frozen=True, slots=True)
class Right:
    """Every answer was right. Commit `claim` with what it proves; refused: it took too long, or answers were changed meanwhile."""

    claim: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Nothing is proved. `reason` is for the timeline, never for the person: answers_wrong, questions_closed, kind_not_enrolled."""

    reason: str


Judgement = Right | Wrong


@dataclass(frozen=True, slots=True)
class _Known:
    """What storage holds of somebody.

    `answers`: those that may be asked for; `version`: of all his answers; `lacks`: whether a mandatory question is not answered.
    """

    answers: tuple[Answer, ...]
    version: int
    lacks: bool

    def fitting(self, proved: bool, catalogue: Catalogue) -> list[Answer]:
        """The questions that may be shown now: an own one only to somebody who has proved something.

        Before that nobody is asked without the mandatory ones, or what a stranger could not be asked: a question that is offered no
        more, or two that are never offered together. He would be told apart by it.
        """
        if proved:
            return [*self.answers]
        if self.lacks:
            return []
        for offer in catalogue.offers:
            found = [answer for answer in self.answers if answer.question_id in offer]
            if len(found) >= catalogue.settings.asked:
                return found
        return []


class Questioner:
    """Asks people their questions and judges what they answer. One for each version of the document, whose catalogue it is."""

    def __init__(
        self, storage: Storage, ring: Callable[[], KeyRing], hasher: PasswordHasher, clock: Clock, catalogue: Catalogue
    ) -> None:
        self._storage = storage
        self._ring = ring
        self._hasher = hasher
        self._clock = clock
        self._catalogue = catalogue
        self._limits = Limits.of(catalogue.settings)
        self._nobody = ""

    @property
    def catalogue(self) -> Catalogue:
        """The questions that there are."""
        return self._catalogue

    @property
    def enrolment(self) -> Enrolment:
        """Who sets answers to them."""
        return Enrolment(self._storage, self._ring(), self._hasher, self._clock, self._catalogue)

    def reads(self, subject_id: SubjectId) -> list[Find]:
        """What to read for `standing`, together with whatever else is read of a person."""
        key = rounds.key_of(self._ring(), subject_id.encode())
        return [kept_answers(subject_id), Find(rounds.TABLE, (Where("key", "=", key),), limit=1)]

    def standing(self, kept: Sequence[Row], round_rows: Sequence[Row]) -> Answered:
        """What is to be known of somebody before he is asked."""
        now_ms, answers = to_ms(self._clock.now()), answers_in(kept)
        closed = rounds.is_closed(round_rows[0] if round_rows else None, self._limits, now_ms)
        due = renewal_due(self._catalogue, answers, False, now_ms) is not None
        return Answered(self._is_enough(answers), due, closed)

    def is_enough(self, kept: Sequence[Row]) -> bool:
        """Whether somebody with these answers can be asked."""
        return self._is_enough(answers_in(kept))

    def _is_enough(self, answers: Sequence[Answer]) -> bool:
        return len(self._askable(answers)) >= self._catalogue.settings.asked

    async def has_answers(self, subject_id: SubjectId, proved: bool) -> bool:
        """Whether a person has set enough answers to be asked."""
        return len((await self._known(subject_id)).fitting(proved, self._catalogue)) >= self._catalogue.settings.asked

    async def ask(self, who: Who, language: str, proved: bool = False) -> tuple[AskedQuestion, ...]:
        """The questions for somebody. `proved`: whether he has proved something else in this transaction."""
        known = await self._known(who.subject_id)
        fitting = known.fitting(proved, self._catalogue)
        wanted = self._catalogue.settings.asked
        if len(fitting) < wanted or who.subject_id is None:
            return self._decoys(who, language)
        by_id = {answer.question_id: answer for answer in fitting}
        if not proved:
            chosen = self._of_the_day([*by_id], who.subject_id.encode(), wanted)
        else:
            chosen = await self._fixed(who.subject_id, by_id, wanted)
        return tuple(self._shown(by_id[question_id], language) for question_id in chosen)

    async def judge(
        self,
        who: Who,
        asked: Sequence[str],
        given: Mapping[str, Secret],
        actor: str,
        proved: bool = False,
        source: str = "",
    ) -> Judgement:
        """Judge a round. `asked`: the ids that `ask` gave, which the caller kept; `given`: the answers by these ids.

        `source`: on whose behalf, for the turns of those who wait for a thread. Raises Overloaded, and then nothing was counted.
        """
        known = await self._known(who.subject_id)
        fitting = {answer.question_id: answer for answer in known.fitting(proved, self._catalogue)}
        pairs = [(fitting.get(question_id), given.get(question_id, Secret(b""))) for question_id in dict.fromkeys(asked)]
        enough = len(pairs) >= self._catalogue.settings.asked
        real = who.subject_id is not None and enough and all(answer is not None for answer, _ in pairs)
        key = rounds.key_of(self._ring(), self._identity(who, real))
        reserved_at = to_ms(self._clock.now())
        is_open = isinstance(await self._storage.commit([rounds.reserve(key, self._limits, reserved_at)]), Committed)
        try:
            right = await self._compare(pairs, source)
        except WardgateError:
            # Nothing was learned from it.
            if is_open:
                await self._storage.commit([rounds.give_back(key, self._limits, to_ms(self._clock.now()))])
            raise
        if not is_open:
            return await self._closed(who, real, key, actor)
        if not right or not real or who.subject_id is None:
            return await self._wrong(who, real, key, actor)
        now_ms = to_ms(self._clock.now())
        unchanged = (Where("answers_version", "=", known.version),)
        passed = Update(STATE, {"subject_id": who.subject_id}, {"asked": "[]", "asked_until": 0}, where=unchanged)
        return Right((rounds.settle_right(key, self._limits, reserved_at, now_ms), passed))

    async def is_closed(self, subject_id: SubjectId) -> bool:
        """Whether a person's questions are closed; he is not told."""
        key = rounds.key_of(self._ring(), subject_id.encode())
        row = await self._storage.get(rounds.TABLE, {"key": key})
        return rounds.is_closed(row, self._limits, to_ms(self._clock.now()))

    # --- judging ---------------------------------------------------------------------------------------------------------

    async def _compare(self, pairs: Sequence[tuple[Answer | None, Secret]], source: str) -> bool:
        """Hash every answer, also where one was wrong, or there is nothing to compare with."""
        nobody = await self._nobodys_hash()

        async def fits(answer: Answer | None, given: Secret) -> bool:
            guess = self._guess(answer, given)
            checked = await self._hasher.check(nobody if answer is None else answer.hashed, guess, upgrade=False, source=source)
            return checked.right and answer is not None

        found = await asyncio.gather(*(fits(answer, given) for answer, given in pairs), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return bool(found) and all(found)

    def _guess(self, answer: Answer | None, given: Secret) -> Secret:
        """What is hashed of a typed answer."""
        typed = given.reveal().decode("utf-8", "replace")
        if answer is None:
            return fingerprint(self._ring(), NO_SUBJECT, "", normalise(typed[:MAX_ANSWER_CHARS]))
        return answer.fingerprint_of(self._ring(), typed, form_of(answer, self._catalogue))

    async def _nobodys_hash(self) -> str:
        """A hash that nothing belongs to, of what a real one costs."""
        if not self._nobody:
            self._nobody = await self._hasher.hash(Secret(secrets.token_bytes(_NOBODY_BYTES)))
        return self._nobody

    async def _wrong(self, who: Who, real: bool, key: bytes, actor: str) -> Wrong:
        """A strike; the last one closes a person's questions, on record."""
        commit = await self._storage.commit([rounds.settle_wrong(key, self._limits, to_ms(self._clock.now()))])
        strikes = commit.results[0] if isinstance(commit, Committed) else 0
        if real and isinstance(strikes, int) and strikes >= self._limits.strikes:
            await self._close(who, key, actor)
        return Wrong("answers_wrong" if real else "kind_not_enrolled")

    async def _closed(self, who: Who, real: bool, key: bytes, actor: str) -> Wrong:
        """No strike is left. Rounds that nobody settled may have taken the last one, without a word of it on record."""
        if real:
            await self._close(who, key, actor)
        return Wrong("questions_closed" if real else "kind_not_enrolled")

    async def _close(self, who: Who, key: bytes, actor: str) -> None:
        now_ms = to_ms(self._clock.now())
        details = {"user": who.name_key, "realm": who.realm}
        event = AuditEvent(Kind.QUESTIONS_CLOSED, now_ms, actor, subject_id=who.subject_id, details=details)
        # Refused when another round has just closed them, or some are only on their way.
        await self._storage.commit([rounds.close(key, self._limits, now_ms), record(event)])

    # --- choosing --------------------------------------------------------------------------------------------------------

    def _decoys(self, who: Who, language: str) -> tuple[AskedQuestion, ...]:
        """What is asked of a name that is nobody's: questions of a pool of its own, as a person has one."""
        wanted, name = self._catalogue.settings.asked, self._identity(who, real=False)
        by_id = {question.id: question for question in self._catalogue.all_live}
        chosen = self._of_the_day(self._pool_of(name), name, wanted)
        return tuple(_of_catalogue(by_id[question_id], language) for question_id in chosen)

    def _pool_of(self, name: bytes) -> list[str]:
        """What the stranger would have answered: questions that are offered together, some names more of them than others."""
        settings, offers = self._catalogue.settings, self._catalogue.offers
        if not offers:
            return []
        offer = offers[self._chance(b"offer", name) % len(offers)]
        mandatory = [question.id for question in self._catalogue.all_live if question.mandatory]
        optional = [question_id for question_id in offer if question_id not in mandatory]
        size = settings.asked + self._chance(b"size", name) % (1 + max(0, settings.set - settings.asked))
        return [*mandatory, *self._ranked(optional, b"pool", name)[: max(0, size - len(mandatory))]]

    def _chance(self, *about: bytes) -> int:
        """A number that is always the same, and that nobody without our keys can foretell."""
        return int.from_bytes(self._ring().mac("kba-chance", *about)[:6], "big")

    def _of_the_day(self, question_ids: Sequence[str], identity: bytes, wanted: int) -> list[str]:
        """Mandatory ones first, the others by a fingerprint of whose day it is. Everybody's day begins at another moment."""
        begins = int.from_bytes(self._ring().mac("kba-day", identity)[:6], "big") % DAY_MS
        day = (to_ms(self._clock.now()) - begins) // DAY_MS
        return self._first(self._ranked(question_ids, str(day).encode(), identity), wanted)

    async def _fixed(self, subject_id: SubjectId, by_id: Mapping[str, Answer], wanted: int) -> list[str]:
        """The questions that storage holds for a person; chosen by chance when it holds none."""
        shuffled = self._ranked([*by_id], secrets.token_bytes(16), subject_id.encode())
        now_ms = to_ms(self._clock.now())
        arguments: Row = {
            "chosen": json.dumps(self._first(shuffled, wanted)),
            "fitting": json.dumps(list(by_id)),
            "now": now_ms,
            "until": now_ms + DAY_MS,
        }
        commit = await self._storage.commit([Modify(STATE, {"subject_id": subject_id}, keep_or_choose, arguments)])
        asked = "[]" if isinstance(commit, Refused) else str(commit.results[0])
        # Answers that were cleared between two reads: there is nothing to ask, and nothing will be right.
        return [question_id for question_id in json.loads(asked) if question_id in by_id]

    def _first(self, ranked: Sequence[str], wanted: int) -> list[str]:
        """Mandatory ones first, in the order of the catalogue whoever is asked; the others as they are ranked."""
        mandatory = [question.id for question in self._catalogue.all_live if question.mandatory and question.id in ranked]
        return [*mandatory, *(each for each in ranked if each not in mandatory)][:wanted]

    def _ranked(self, question_ids: Sequence[str], *about: bytes) -> list[str]:
        return sorted(question_ids, key=lambda each: self._ring().mac("kba-rank", *about, each.encode()))

    def _identity(self, who: Who, real: bool) -> bytes:
        """What chooses and counts: a person, or a name that might be one. Neither can be taken for the other."""
        if real and who.subject_id is not None:
            return who.subject_id.encode()
        return b"name\0" + who.realm.encode() + b"\0" + who.name_key.encode()

    def _shown(self, answer: Answer, language: str) -> AskedQuestion:
        text = text_of(answer, self._catalogue, self._ring(), language) or ""
        return AskedQuestion(answer.question_id, text, form_of(answer, self._catalogue))

    async def _known(self, subject_id: SubjectId | None) -> _Known:
        """The same reads for somebody and for nobody."""
        wanted = subject_id if subject_id is not None else NO_SUBJECT
        states, rows = await self._storage.read([kept_state(wanted), kept_answers(wanted)])
        state = state_in(states)
        answers = self._askable(answers_in(rows))
        ids = {answer.question_id for answer in answers}
        lacks = any(question.mandatory and question.id not in ids for question in self._catalogue.all_live)
        return _Known(tuple(answers), state.answers_version if state is not None else 0, lacks)

    def _askable(self, answers: Iterable[Answer]) -> list[Answer]:
        """Those of questions that are asked and can be read."""
        return [each for each in usable(answers, self._catalogue) if text_of(each, self._catalogue, self._ring(), "")]


def keep_or_choose(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """The questions that are being asked already, while they may be; else those that were chosen now. For `Modify`."""
    if old is None:
        return Modified(None, "[]")
    asked, chosen = json.loads(str(old["asked"])), json.loads(str(arguments["chosen"]))
    until, now = old["asked_until"], arguments["now"]
    alive = isinstance(until, int) and isinstance(now, int) and now < until <= now + DAY_MS
    if alive and len(asked) == len(chosen) and set(asked) <= set(json.loads(str(arguments["fitting"]))):
        return Modified(None, old["asked"])
    return Modified({**old, "asked": arguments["chosen"], "asked_until": arguments["until"]}, arguments["chosen"])


def reopened(ring: KeyRing, subject_id: SubjectId) -> Operation:
    """Open a person's questions: after a sign-in with a strong factor, or by the help desk."""
    return rounds.reopen(rounds.key_of(ring, subject_id.encode()))


def erased(ring: KeyRing, subject_id: SubjectId) -> list[Operation]:
    """Everything that is kept of somebody's challenge questions goes with him."""
    return [*stored.erase(subject_id), reopened(ring, subject_id)]


def _of_catalogue(question: Question, language: str) -> AskedQuestion:
    return AskedQuestion(question.id, question.text(language), question.form)
