"""A room of challenge questions in memory."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from wardgate.account.subject import SubjectId
from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.kba.asking import Judgement, Questioner, Right, Who
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.enrolment import About, Broken, Enrolment, Given, Prepared
from wardgate.kba.rules import Rule
from wardgate.kba.settings import KbaSettings, QuestionSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed, Storage

ADA = SubjectId("ada-subject")
STAFF_NUMBER = QuestionSettings(
    name="staff_number", kind="mandatory", form="digits", texts={"en": "What is your staff number?", "tr": "Sicil numaranız nedir?"}
)
ANSWERS = {"staff_number": "0012 34", "dish": "Ratatouille à la niçoise", "lost": "Lighthouse of Fener", "toy": "Lokomotif Ali"}
OWN_QUESTION, OWN_ANSWER = "Who rowed the leaking boat?", "Uncle Mehmet"


@dataclass
class Room:
    """Everything that a test of this room needs; `questioner` and `enrolment` are made anew, as each worker has its own."""

    storage: Storage
    ring: KeyRing
    hasher: PasswordHasher
    clock: FixedClock
    settings: KbaSettings = field(default_factory=KbaSettings)
    questions: tuple[QuestionSettings, ...] = (STAFF_NUMBER,)

    @property
    def questioner(self) -> Questioner:
        return Questioner(
            self.storage, lambda: self.ring, self.hasher, self.clock, compile_catalogue(self.settings, self.questions)
        )

    @property
    def enrolment(self) -> Enrolment:
        return Enrolment(self.storage, self.ring, self.hasher, self.clock, compile_catalogue(self.settings, self.questions))

    async def prepare(self, *given: Given, subject_id: SubjectId = ADA, without: tuple[str, ...] = ()) -> Prepared | Broken:
        return await self.enrolment.prepare(About(subject_id, frozenset({"ada", "acme"})), given, "ada", without=without)

    async def set(self, *given: Given, subject_id: SubjectId = ADA) -> Prepared:
        made = await self.prepare(*given, subject_id=subject_id)
        assert isinstance(made, Prepared), made
        assert isinstance(await self.storage.commit(made.operations), Committed)
        return made

    async def refused(self, *given: Given) -> tuple[Rule | None, ...]:
        made = await self.prepare(*given)
        assert isinstance(made, Broken)
        return made.rules

    async def set_all(self, subject_id: SubjectId = ADA) -> Prepared:
        own = Given(Secret(OWN_ANSWER), question=OWN_QUESTION)
        return await self.set(*answers(ANSWERS), own, subject_id=subject_id)

    async def judge(self, who: Who, given: Mapping[str, str], proved: bool = False) -> Judgement:
        asked = [question.id for question in await self.questioner.ask(who, "en", proved)]
        return await self.questioner.judge(who, asked, {name: Secret(text) for name, text in given.items()}, "ada", proved)

    async def passes(self, who: Who, given: Mapping[str, str], proved: bool = False) -> bool:
        judged = await self.judge(who, given, proved)
        return isinstance(judged, Right) and isinstance(await self.storage.commit(judged.claim), Committed)


def answers(by_id: Mapping[str, str]) -> list[Given]:
    return [Given(Secret(text), question_id=question_id) for question_id, text in by_id.items()]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    ring = KeyRing({0: new_key(), 1: new_key()})
    storage = MemoryStorage()
    storage.use_chain(chain_for(ring, "test", 1))
    hasher = PasswordHasher(2, 100, time_cost=1, memory_kib=8)
    yield Room(storage, ring, hasher, FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC)))
    hasher.close()
    await storage.close()
