"""What every second factor must do, whatever it is. Each runs against a subject that has it, on every storage."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, PHONE_OF_TESTS, SECRET, World, a_storage
from wardgate.account.authenticator import active_authenticators
from wardgate.crypto import Secret
from wardgate.factors import BY_KIND, ON_PAGES, QUESTIONING, SECOND_FACTORS
from wardgate.factors.port import MAX_ANSWER_BYTES, Asked, Factor, Holder, Right, Task, Verdict, Wrong
from wardgate.factors.totp import hotp
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Committed, Refused
from wardgate.texts import LANGUAGES, render


@dataclass
class Case:
    """A subject with one factor. `right(asked)`: an answer that proves it now."""

    world: World
    factor: Factor
    holder: Holder
    right: Callable[[Asked], Awaitable[bytes]]

    def task(self, transaction_id: str = "t1") -> Task:
        return Task(transaction_id, self.world.clock.now(), self.world.codes, self.world.ring)

    async def refreshed(self) -> Holder:
        subject = self.holder.subject_id
        return replace(self.holder, authenticators=await active_authenticators(self.world.storage, subject))

    def verify(self, asked: Asked, answer: bytes, transaction_id: str = "t1", holder: Holder | None = None) -> Verdict:
        return self.factor.verify(holder or self.holder, self.task(transaction_id), asked.memory, answer)


async def _case(world: World, kind: str) -> Case:
    user = await world.person("ada", phone=PHONE_OF_TESTS, mail="ada@acme.test")
    sheet: list[str] = []
    if kind == "totp":
        await world.give_totp(user)
    elif kind == "hotp":
        await world.give_hotp(user)
    elif kind == "recovery_code":
        sheet = await world.give_recovery_codes(user)

    async def right(asked: Asked) -> bytes:
        if asked.sending is not None:
            return asked.sending.code.encode()
        return {"totp": world.totp(), "hotp": hotp(Secret(SECRET), 0, 6), "recovery_code": "".join(sheet[:1])}[kind].encode()

    subject = await world.subject_of(user)
    holder = Holder(subject, await active_authenticators(world.storage, subject), user.phone, user.mail)
    return Case(world, BY_KIND[kind], holder, right)


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with a_storage(request.param, tmp_path) as storage:
        yield World(storage)


# What a browser has to answer has tests of its own: `tests/unit/factors/test_passkey.py`. So has what asks several questions.
@pytest.fixture(params=[factor.kind for factor in SECOND_FACTORS if factor.kind not in (*ON_PAGES, *QUESTIONING)])
async def case(request: pytest.FixtureRequest, world: World) -> Case:
    return await _case(world, request.param)


async def test_it_is_enrolled_for_who_has_it_and_for_nobody_else(case: Case) -> None:
    nobody = Holder(case.holder.subject_id, [], None, None)
    assert case.factor.enrolled(case.holder)
    assert not case.factor.enrolled(nobody)
    assert case.factor.destination(nobody) is None


async def test_it_sends_exactly_when_it_has_a_channel(case: Case) -> None:
    asked = case.factor.ask(case.holder, case.task(), {})
    assert (asked.sending is not None) is (case.factor.channel is not None)
    assert (case.factor.destination(case.holder) is not None) is (case.factor.channel is not None)
    if asked.sending is not None:
        assert asked.sending.channel is case.factor.channel
        assert asked.sending.to == case.factor.destination(case.holder)


async def test_its_question_exists_in_every_language_and_holds_no_code(case: Case) -> None:
    asked = case.factor.ask(case.holder, case.task(), {})
    for language in LANGUAGES:
        for text in (asked.prompt, case.factor.repeat(case.holder, asked.memory)):
            sentence = render(text, language)
            assert 0 < len(sentence) <= 120
            assert "\n" not in sentence
            if asked.sending is not None:
                assert asked.sending.code not in sentence
                assert asked.sending.to not in sentence


async def test_what_it_remembers_survives_the_row_and_holds_no_code(case: Case) -> None:
    asked = case.factor.ask(case.holder, case.task(), {})
    memory: Mapping[str, object] = loads(dumps(dict(asked.memory)))
    answer = await case.right(asked)
    assert answer.decode() not in dumps(dict(asked.memory))
    assert isinstance(case.factor.verify(case.holder, case.task(), memory, answer), Right)


async def test_the_right_answer_proves_it(case: Case) -> None:
    asked = case.factor.ask(case.holder, case.task(), {})
    verdict = case.verify(asked, await case.right(asked))
    assert isinstance(verdict, Right)
    assert isinstance(await case.world.storage.commit([*verdict.claim]), Committed)


async def test_what_it_claims_is_claimed_once(case: Case) -> None:
    """Two nodes judged the same answer right: the second commit is refused, unless the transaction itself is what is used up."""
    asked = case.factor.ask(case.holder, case.task(), {})
    verdict = case.verify(asked, await case.right(asked))
    assert isinstance(verdict, Right)
    await case.world.storage.commit([*verdict.claim])
    again = await case.world.storage.commit([*verdict.claim])
    assert isinstance(again, Refused if verdict.claim else Committed)
    assert bool(verdict.claim) is (case.factor.channel is None)


async def test_an_answer_that_was_claimed_is_not_right_again(case: Case) -> None:
    asked = case.factor.ask(case.holder, case.task(), {})
    answer = await case.right(asked)
    verdict = case.verify(asked, answer)
    assert isinstance(verdict, Right)
    await case.world.storage.commit([*verdict.claim])
    if not verdict.claim:
        return
    again = case.verify(asked, answer, holder=await case.refreshed())
    refused = isinstance(again, Wrong) or isinstance(await case.world.storage.commit([*again.claim]), Refused)
    assert refused


async def test_a_revoked_authenticator_cannot_be_claimed(case: Case) -> None:
    """It was ended between judging and writing."""
    asked = case.factor.ask(case.holder, case.task(), {})
    verdict = case.verify(asked, await case.right(asked))
    assert isinstance(verdict, Right)
    for authenticator in case.holder.authenticators:
        await case.world.revoke(authenticator.id)
    if verdict.claim:
        assert isinstance(await case.world.storage.commit([*verdict.claim]), Refused)


@pytest.mark.parametrize(
    "answer",
    [b"", b" ", b"0", b"000000", b"sms", b"\xff" * 20, b"\0" * 6, "１２３４５６".encode(), b"9" * MAX_ANSWER_BYTES, b"9" * 10_000],
)
async def test_anything_else_proves_nothing_and_breaks_nothing(case: Case, answer: bytes) -> None:
    asked = case.factor.ask(case.holder, case.task(), {})
    if answer == await case.right(asked):
        return  # a code that was drawn may be any, once in a million times this one
    verdict = case.verify(asked, answer)
    if isinstance(verdict, Right):
        assert isinstance(await case.world.storage.commit([*verdict.claim]), Refused)
        assert verdict.refused.counted, "storage found out that it is wrong: it may have been a guess"
    else:
        assert verdict.counted


async def test_an_answer_to_nothing_that_was_asked_proves_nothing_for_factors_that_send(case: Case) -> None:
    if case.factor.channel is None:
        return
    asked = case.factor.ask(case.holder, case.task(), {})
    answer = await case.right(asked)
    assert isinstance(case.factor.verify(case.holder, case.task(), {}, answer), Wrong)
    assert isinstance(case.factor.verify(case.holder, case.task(), {"codes": "nonsense"}, answer), Wrong)
    assert isinstance(case.verify(asked, answer, transaction_id="t2"), Wrong), "a code belongs to its transaction"


async def test_codes_do_not_pile_up_however_often_it_asks(case: Case) -> None:
    memory: Mapping[str, object] = {}
    for _ in range(30):
        asked = case.factor.ask(case.holder, case.task(), memory)
        memory = asked.memory
    assert len(str(dict(memory))) < 2000
    assert isinstance(case.factor.verify(case.holder, case.task(), memory, await case.right(asked)), Right)
