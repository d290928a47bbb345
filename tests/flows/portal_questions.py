"""A portal whose policy names challenge questions, and people who set them by its pages."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from wardgate.account.subject import SubjectId
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser
from wardgate.engine.runtime import EngineConfiguration
from wardgate.kba.answers import Answer, answers_in, kept_answers
from wardgate.kba.asking import Questioner, Right, Who
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.enrolment import About, Given, Prepared
from wardgate.kba.settings import KbaSettings, QuestionSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Committed

LIST = "/account/questions"
SET = f"{LIST}/set"
STAFF_NUMBER = QuestionSettings(
    name="staff_number", kind="mandatory", form="digits", texts={"en": "What is your staff number?", "tr": "Sicil numaranız nedir?"}
)
# Answers that break no rule, by question; the staff number is asked of everybody.
ANSWERS = {
    "staff_number": "0012 34",
    "dish": "Ratatouille à la niçoise",
    "lost": "Lighthouse of Fener",
    "toy": "Lokomotif Ali",
    "film": "Selvi Boylum",
}
OWN_QUESTION, OWN_ANSWER = "Who rowed the leaking boat?", "Uncle Mehmet"


@dataclass
class QuestionWorld(PortalWorld):
    """Its policy names questions in no step: they are set, and proved where a test says so."""

    settings: KbaSettings = field(default_factory=KbaSettings)
    questions: tuple[QuestionSettings, ...] = (STAFF_NUMBER,)
    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher(2, 100, time_cost=1, memory_kib=8))
    uses_questions: bool = True

    @property
    def questioner(self) -> Questioner:
        """Who asks."""
        catalogue = compile_catalogue(self.settings, self.questions)
        return Questioner(self.storage, lambda: self.ring, self.hasher, self.clock, catalogue)

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        return replace(super().configuration(), questioner=self.questioner if self.uses_questions else None)

    async def ada(self, **fields: object) -> DirectoryUser:
        """Somebody with an app and a mailbox."""
        given = {"mail": "ada@acme.test", "display_name": "Ada Lovelace", **fields}
        user = await self.person("ada", **given)
        await self.give_totp(user)
        return user

    async def answers_of(self, user: DirectoryUser) -> list[Answer]:
        """What is stored of his answers."""
        [rows] = await self.storage.read([kept_answers(await self.subject_of(user))])
        return answers_in(rows)

    async def ids(self, user: DirectoryUser) -> set[str]:
        """The questions that he has answered; his own ones by one word."""
        return {"own" if answer.own else answer.question_id for answer in await self.answers_of(user)}

    async def set_answers(self, user: DirectoryUser, answers: Mapping[str, str] = ANSWERS, own: bool = False) -> None:
        """Have him answer, without a page."""
        subject_id = await self.subject_of(user)
        given = [Given(Secret(text), question_id=question_id) for question_id, text in answers.items()]
        more = [Given(Secret(OWN_ANSWER), question=OWN_QUESTION)] if own else []
        prepared = await self.questioner.enrolment.prepare(About(subject_id), [*given, *more], "test")
        assert isinstance(prepared, Prepared), prepared
        assert isinstance(await self.storage.commit(prepared.operations), Committed)

    async def is_right(self, user: DirectoryUser, answers: Mapping[str, str]) -> bool:
        """Whether a round of these answers would be right."""
        subject_id: SubjectId = await self.subject_of(user)
        who = Who("acme", user.name, subject_id)
        given = {question_id: Secret(text) for question_id, text in answers.items()}
        judged = await self.questioner.judge(who, [*answers], given, "test", proved=True)
        return isinstance(judged, Right) and isinstance(await self.storage.commit(judged.claim), Committed)

    @asynccontextmanager
    async def signed_in(self, name: str = "ada") -> AsyncIterator[BrowserOfTests]:
        """A browser in which he is signed in, and has just proved that it is him."""
        async with self.browser() as browser:
            self.later(30)
            await browser.sign_in(name)
            await browser.post(code=self.totp(), act="answer")
            assert browser.path == "/account", browser.page.text
            yield browser

    async def confirm(self, browser: BrowserOfTests) -> None:
        """Prove again that it is him, where he is asked."""
        if browser.path == "/confirm":
            self.later(30)
            await browser.post(str(browser.page.url), password="correct horse")
            await browser.post(code=self.totp(), act="answer")

    async def to_form(self, browser: BrowserOfTests, path: str = SET) -> None:
        """Up to the form."""
        await browser.get(path)
        await self.confirm(browser)
        assert 'name="answer_1"' in browser.page.text, browser.page.text


def filled(answers: Mapping[str, str] = ANSWERS, *, own: bool = False) -> dict[str, str]:
    """The fields of the form for these answers, the mandatory one first, and one of his own at the end."""
    fields = {}
    for number, (question_id, answer) in enumerate(answers.items(), start=1):
        fields |= {f"question_{number}": question_id, f"answer_{number}": answer}
    if own:
        last = len(answers)
        fields |= {f"question_{last}": "+own", f"own_{last}": OWN_QUESTION, f"answer_{last}": OWN_ANSWER}
    return fields
