"""A forgotten password by challenge questions, where policy allows it; and what an attacker would try. The pages show the same."""

import html
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from tests.flows.portal_world import PortalWorld
from tests.flows.test_portal_recovery import UNLIKE
from tests.flows.test_questions import TEXTS
from tests.flows.world import ANSWERS, NAS, OWN_ANSWER, OWN_QUESTION, at_once
from wardgate.account.contact import Source, create_contact
from wardgate.audit.timeline import Trail
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import ContactKind, DirectoryUser, PasswordVerdict
from wardgate.engine.outcome import Origin
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.engine import SelfService
from wardgate.engine.self_service.outcome import Ask, Choose, ChoosePassword, Closed, Done, SelfServiceOutcome
from wardgate.engine.self_service.starting import Start
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.factors.port import answer_to_all
from wardgate.kba.settings import KbaSettings
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    ActionEntrySettings,
    ActionSettings,
    FloorSettings,
    FloorThenSettings,
    NeedRuleSettings,
    NeedSettings,
    PolicySettings,
    RuleSettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
    ThenSettings,
)
from wardgate.storage.port import Delete, Where

HERE = replace(NAS, door="portal", binding="portal:browser")
NEW = "a very long new passphrase"
WEAKER = AcceptWeakerSettings(reason="migration", until="2027-06-30")
ALONE = SelfServiceGoalSettings(need=NeedSettings(proofs=1, weight=1, alone=("kba",)), accept_weaker=WEAKER)
ADMINS = FloorSettings(name="admins", when={"group": ["local:admins"]}, then=FloorThenSettings(strong_factors=2, never=("kba",)))


@dataclass
class Conversation:
    """One browser's way through a flow."""

    world: PortalWorld
    origin: Origin = HERE
    flow: str = ""
    outcome: SelfServiceOutcome | None = None
    service: SelfService = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        self.service = SelfService(
            EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)
        )

    @property
    def trail(self) -> Trail:
        return Trail(self.world.clock, "portal")

    async def begin(self, name: str, goal: str = "reset") -> SelfServiceOutcome:
        self.flow, self.outcome = await self.service.begin(Start(goal, "portal", name, self.origin, self.trail))
        return self.outcome

    async def choose(self, kind: str) -> SelfServiceOutcome:
        self.outcome = await self.service.choose(self.flow, kind, self.trail, self.origin)
        return self.outcome

    async def answer(self, text: str) -> SelfServiceOutcome:
        assert isinstance(self.outcome, Ask), self.outcome
        self.outcome = await self.service.answer(self.flow, self.outcome.turn, Secret(text), self.trail, self.origin)
        return self.outcome

    async def answer_all(self, right: bool = True) -> SelfServiceOutcome:
        return await self.answer(answer_to_all([_right(each) if right else "somewhere else" for each in self.questions]).decode())

    @property
    def questions(self) -> tuple[str, ...]:
        assert isinstance(self.outcome, Ask), self.outcome
        return self.outcome.questions

    async def code(self, kind: str) -> SelfServiceOutcome:
        """Prove by a message."""
        await self.choose(kind)
        return await self.answer(next(each.code for each in await self.world.messages() if each.code))


def _right(question: str) -> str:
    return OWN_ANSWER if question == OWN_QUESTION else ANSWERS.get(TEXTS[question], "anything")


def a_world(reset: SelfServiceGoalSettings | None = None, asks: bool = True, **weights: int) -> PortalWorld:
    """People have a text message beside the password, and are asked to answer questions."""
    world = PortalWorld(kba=KbaSettings())
    settings = PolicySettings(
        name="portal",
        rules=(RuleSettings(name="all", when={}, then=ThenSettings(steps=(("password",), ("sms",)))),),
        actions=(ActionSettings(name="q", when={}, then=(ActionEntrySettings(enrol="kba", level="optional"),)),) if asks else (),
        floors=(ADMINS,),
        self_service=SelfServiceSettings(weights=weights, reset=reset),
    )
    world.policy = compile_policy(settings, KINDS, STRONG_KINDS)
    return world


async def ada_of(world: PortalWorld, own: bool = False, **fields: object) -> DirectoryUser:
    ada = await world.person("ada", phone="+905321234567", **fields)
    await world.give_answers(ada, own)
    return ada


async def test_phone_and_questions_reset_a_password() -> None:
    world = a_world()
    ada = await ada_of(world)
    talk = Conversation(world)
    assert isinstance(await talk.begin("ada"), Choose)
    chosen = await talk.code("sms")
    assert isinstance(chosen, Choose)
    assert "kba" in chosen.kinds
    asked = await talk.choose("kba")
    assert isinstance(asked, Ask)
    assert len(asked.questions) == 3
    last = await talk.answer_all()
    assert isinstance(last, ChoosePassword)
    done = await talk.service.set_password(talk.flow, last.turn, Secret(NEW), talk.trail, HERE)
    assert isinstance(done, Done)
    assert await world.directory.check_password(ada, Secret(NEW), 1.0) is PasswordVerdict.RIGHT


async def test_email_and_questions_are_not_enough() -> None:
    """Weight 1 and 1: it is said at once, instead of asking for more."""
    world = a_world()
    ada = await world.person("ada")
    subject, day_ago = await world.subject_of(ada), to_ms(world.clock.now()) - 86_400_000
    await world.storage.commit(
        create_contact(world.ring, subject, ContactKind.MAIL, "ada@home.test", Source.PERSON, day_ago, day_ago)
    )
    await world.give_answers(ada)
    talk = Conversation(world)
    await talk.begin("ada")
    closed = await talk.code("email")
    assert isinstance(closed, Closed)
    assert closed.reason == "not_enough"


async def test_own_question_never_shown_before_another_proof() -> None:
    """By the parity policy questions come first; a stranger who knows a name must see nothing that the person wrote."""
    world = a_world(ALONE)
    world.kba = KbaSettings(asked=6, set=6)
    await ada_of(world, own=True)
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    assert len(talk.questions) == 6
    assert OWN_QUESTION not in talk.questions
    world = a_world()
    world.kba = KbaSettings(asked=6, set=6)
    await ada_of(world, own=True)
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.code("sms")
    await talk.choose("kba")
    assert OWN_QUESTION in talk.questions


async def test_questions_are_no_first_proof_unless_they_may_stand_alone() -> None:
    world = a_world()
    await ada_of(world)
    talk = Conversation(world)
    first = await talk.begin("ada")
    assert isinstance(first, Choose)
    assert "kba" not in first.kinds
    refused = await talk.choose("kba")
    assert isinstance(refused, Choose)
    assert refused.text is not None


async def test_three_right_answers_reset_where_weaker_is_accepted_and_not_a_day_longer() -> None:
    world = a_world(ALONE)
    await ada_of(world)
    talk = Conversation(world)
    first = await talk.begin("ada")
    assert isinstance(first, Choose)
    assert "kba" in first.kinds
    await talk.choose("kba")
    assert isinstance(await talk.answer_all(), ChoosePassword)
    world.later((datetime(2027, 7, 1, 9, 0, tzinfo=UTC) - world.clock.now()).total_seconds())
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    assert not isinstance(await talk.answer_all(), ChoosePassword)


async def test_administrator_cannot_reset_by_questions_under_the_floor() -> None:
    world = a_world(ALONE)
    await ada_of(world, groups=("admins",))
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    closed = await talk.answer_all()
    assert isinstance(closed, Closed)
    assert closed.reason == "not_enough"


async def _pages_of(world: PortalWorld, name: str) -> list[object]:
    talk, seen = Conversation(world), []
    await talk.begin(name)
    for _ in range(3):
        asked = await talk.choose("kba") if not isinstance(talk.outcome, Ask) else talk.outcome
        assert isinstance(asked, Ask)
        answered = await talk.answer_all(right=False)
        text = answered.text.id if answered.text is not None else ""
        seen.append((len(asked.questions), asked.wrong, type(answered).__name__, text))
    return seen


async def test_outsider_sees_the_same_for_a_name_of_nobody() -> None:
    seen = []
    for name in ("ada", "nobody"):
        world = a_world(ALONE)
        await ada_of(world)
        seen.append(await _pages_of(world, name))
    assert seen[0] == seen[1]
    assert [each[2] for each in seen[0]] == ["Ask", "Ask", "Choose"]  # type: ignore[index]


async def _shown_to(world: PortalWorld, typed: str) -> tuple[tuple[str, ...], list[tuple[int, str]]]:
    """The questions that a name is asked, and what its pages are without them, the name and what is unlike each time."""
    pages = []
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username=typed)
        page = await browser.post(method="kba", act="choose")
        questions = tuple(sorted((text for text in TEXTS if html.escape(text) in page.text), key=page.text.index))
        for _ in range(2):
            body = re.sub(UNLIKE, "", page.text)
            for text in (*questions, typed):
                body = body.replace(html.escape(text), "")
            pages.append((page.status_code, body))
            wrong = {f"answer_{place}": "somewhere else" for place, _ in enumerate(questions, start=1)}
            page = await browser.post(**wrong, act="answer")
    return questions, pages


async def test_no_spelling_of_a_name_tells_whether_it_is_somebodys() -> None:
    """Questions are the only proof. Fatma has fewer answers than are asked, Nilay has none, and zeynep is nobody's name."""
    world = a_world(ALONE)
    await ada_of(world)
    few = await world.person("fatma")
    await world.give_answers(few)
    of_few = Where("subject_id", "=", await world.subject_of(few))
    await world.storage.commit([Delete("kba_answer", (of_few, Where("question_id", "in", tuple(ANSWERS)[2:])))])
    await world.person("nilay")
    asked: dict[str, set[tuple[str, ...]]] = {}
    looks: dict[str, list[object]] = {}
    for name in ("ada", "fatma", "nilay", "zeynep"):
        for typed in (name, name.upper(), name.title(), f"{name}@acme", f"ACME\\{name.upper()}"):
            questions, pages = await _shown_to(world, typed)
            asked.setdefault(name, set()).add(questions)
            # The guesses at one name count together, however it is spelled: from the fourth page on it is told to wait.
            looks.setdefault(name, []).append(pages)
    assert {name: len(sets) for name, sets in asked.items()} == {"ada": 1, "fatma": 1, "nilay": 1, "zeynep": 1}
    assert {len(questions) for sets in asked.values() for questions in sets} == {3}
    assert all(each == looks["zeynep"] for each in looks.values())


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_asking_again_fishes_for_no_easier_questions(name: str) -> None:
    """The same questions all day, in every flow and on every worker, for a name of nobody as for a person's."""
    world = a_world(ALONE)
    await ada_of(world)
    seen = set()
    for number in range(4):
        talk = Conversation(world, replace(HERE, client=f"203.0.113.{number}"))
        await talk.begin(name)
        await talk.choose("kba")
        seen.add(talk.questions)
        assert isinstance(await talk.service.show(talk.flow, talk.trail), Ask)
        shown = await talk.service.show(talk.flow, talk.trail)
        assert isinstance(shown, Ask)
        assert shown.questions == talk.questions
        world.later(1)
    assert len(seen) == 1


async def test_third_wrong_round_closes_silently_also_for_the_right_answers() -> None:
    world = a_world(ALONE)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    for _ in range(3):
        await talk.answer_all(right=False)
    assert len(await world.events("account:questions:closed")) == 1
    world.later(3600)
    talk = Conversation(world, replace(HERE, client="203.0.113.99"))
    await talk.begin("ada")
    await talk.choose("kba")
    outcome = await talk.answer_all()
    assert isinstance(outcome, Ask)
    assert outcome.text is not None
    assert outcome.text.id == "kba.wrong"
    assert "closed" not in str(outcome)


async def test_same_round_twice_at_once_proves_once() -> None:
    world = a_world(ALONE)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    assert isinstance(talk.outcome, Ask)
    turn, given = talk.outcome.turn, answer_to_all([_right(each) for each in talk.questions])
    services = (talk.service, Conversation(world).service)
    await at_once(*(each.answer(talk.flow, turn, Secret(given), talk.trail, HERE) for each in services))
    assert sum(row["kind"] == "engine:recovery:step" for row in await world.events()) == 2, "asked, and proved once"
    assert isinstance(await talk.service.show(talk.flow, talk.trail), ChoosePassword)


async def test_one_answer_after_the_other_is_taken_as_well() -> None:
    world = a_world(ALONE)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    for question in talk.questions:
        await talk.answer(_right(question))
    assert isinstance(talk.outcome, ChoosePassword)


async def test_imported_answers_prove_nothing_where_no_policy_names_questions() -> None:
    world = a_world(asks=False)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    closed = await talk.code("sms")
    assert isinstance(closed, Closed), "a text message alone is not enough, and there is nothing else"
    world = a_world(asks=False, kba=1)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    chosen = await talk.code("sms")
    assert isinstance(chosen, Choose)
    assert chosen.kinds == ("kba",)


async def test_policy_that_only_asks_who_has_answered_takes_no_answers_as_a_proof() -> None:
    """A condition on `kba` has the answers read; that makes them no proof."""
    rules = (NeedRuleSettings(name="new", when={"enrolled_not": ["kba"]}, then=NeedSettings(weight=4)),)
    world = a_world(SelfServiceGoalSettings(rules=rules), asks=False)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    assert isinstance(await talk.code("sms"), Closed)


async def test_typed_answers_and_questions_stand_nowhere_in_clear() -> None:
    world = a_world(ALONE)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    await talk.choose("kba")
    questions = talk.questions
    await talk.answer_all()
    for table in ("self_service", "audit_event", "timeline", "kba_round", "kba_state"):
        kept = str(await world.rows(table))
        for text in (*map(_right, questions), *questions):
            assert text not in kept, table


async def test_question_that_is_chosen_again_sends_nothing_and_says_so_neither() -> None:
    world = a_world(ALONE)
    await ada_of(world)
    talk = Conversation(world)
    await talk.begin("ada")
    for kind in ("kba", "totp", "kba"):
        outcome = await talk.choose(kind)
        assert isinstance(outcome, Ask)
        assert outcome.text is None
        await talk.service.back(talk.flow, outcome.turn, talk.trail)
