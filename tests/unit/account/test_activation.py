"""Activations: what an operator issues is used once, by whoever has it, and ends after three wrong answers."""

import asyncio
from dataclasses import replace

import pytest

from wardgate.account.activation import (
    CODE_LIFE_MS,
    MAIL_LIFE_MS,
    TRIES,
    Activation,
    Issued,
    Link,
    Occasion,
    State,
    cancel,
    code_fits,
    count_wrong,
    issue,
    link_mac_of,
    of_link,
    of_subject,
    read_one,
    told_address,
    use,
)
from wardgate.account.subject import SubjectId
from wardgate.audit.trail import chain_for
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed

RING = KeyRing({0: new_key(), 1: new_key()})
GRACE = SubjectId("grace")
NOW = 1_000_000
BY_MAIL = Link("email", "fingerprint of the mailbox", MAIL_LIFE_MS)


@pytest.fixture
def storage() -> MemoryStorage:
    made = MemoryStorage()
    made.use_chain(chain_for(RING, "test", 1))
    return made


async def issued(storage: MemoryStorage, subject_id: SubjectId = GRACE, link: Link | None = BY_MAIL) -> Issued:
    made = issue(RING, subject_id, "grace", "frank", NOW, link, CODE_LIFE_MS, "frank@acme.test")
    assert isinstance(await storage.commit([made.operation]), Committed)
    return made


async def kept(storage: MemoryStorage, subject_id: SubjectId = GRACE) -> Activation:
    found = read_one(*await storage.read([of_subject(subject_id)]))
    assert found is not None
    return found


def at(now_ms: int = NOW) -> Occasion:
    return Occasion(now_ms, "grace", "portal", "t1", "WG-1", "203.0.113.9")


async def works(storage: MemoryStorage, activation: Activation, now_ms: int = NOW) -> bool:
    return isinstance(await storage.commit(use(activation, at(now_ms))), Committed)


def typed(made: Issued) -> str:
    return (made.code or Secret("")).reveal().decode()


async def test_what_was_issued_stands_nowhere_in_clear(storage: MemoryStorage) -> None:
    made = await issued(storage)
    assert made.token is not None
    token, rows = made.token.reveal().decode(), repr(await storage.find("activation"))
    assert len(token) == 43
    assert token not in rows
    assert typed(made) not in rows
    assert typed(made).replace("-", "") not in rows
    assert typed(made) not in repr(made)
    assert "frank@acme.test" not in rows
    assert told_address(RING, await kept(storage)) == "frank@acme.test"
    assert told_address(RING, replace(await kept(storage), subject_id=SubjectId("heidi"))) == ""


async def test_link_is_found_by_its_token_and_by_nothing_else(storage: MemoryStorage) -> None:
    made = await issued(storage)
    assert made.token is not None
    token = made.token.reveal().decode()
    found = read_one(*await storage.read([of_link(link_mac_of(RING, token))]))
    assert found == made.activation
    for wrong in ("", "a" * 42, "a" * 43, token + "a", token.swapcase(), "../" + token[3:]):
        assert read_one(*await storage.read([of_link(link_mac_of(RING, wrong))])) is None, wrong


async def test_code_is_read_as_people_type_it(storage: MemoryStorage) -> None:
    code = typed(await issued(storage))
    activation = await kept(storage)
    for each in (code, code.lower(), code.replace("-", " "), code.replace("-", ""), code.replace("0", "O").replace("1", "l")):
        assert code_fits(RING, activation, GRACE, each, NOW), each
    for each in ("", "0" * 13, code[:-1], code + "0", "x" * 100):
        assert not code_fits(RING, activation, GRACE, each, NOW), each


async def test_code_of_another_person_does_not_fit(storage: MemoryStorage) -> None:
    mine, others = await issued(storage), await issued(storage, SubjectId("heidi"), None)
    assert not code_fits(RING, mine.activation, GRACE, typed(others), NOW)
    assert not code_fits(RING, others.activation, GRACE, typed(others), NOW)
    assert not code_fits(RING, None, GRACE, typed(mine), NOW)
    assert not code_fits(RING, replace(mine.activation, code_mac=None), GRACE, "", NOW)


async def test_activation_is_used_once(storage: MemoryStorage) -> None:
    await issued(storage)
    activation = await kept(storage)
    assert sorted(await asyncio.gather(*(works(storage, activation) for _ in range(8)))) == [False] * 7 + [True]
    after = await kept(storage)
    assert (after.used_by, after.login_name) == ("t1", "grace")
    assert (after.state, after.ended_at, after.link_works(NOW), after.code_works(NOW)) == (State.USED, NOW, False, False)
    assert not await works(storage, after)


async def test_link_ends_before_the_code_that_was_issued_with_it(storage: MemoryStorage) -> None:
    code = typed(await issued(storage))
    activation = await kept(storage)
    late = NOW + MAIL_LIFE_MS
    assert activation.link_works(late - 1)
    assert not activation.link_works(late)
    assert code_fits(RING, activation, GRACE, code, late)
    assert not code_fits(RING, activation, GRACE, code, NOW + CODE_LIFE_MS)
    assert not await works(storage, activation, NOW + CODE_LIFE_MS)


async def test_activation_of_the_future_does_not_work_after_the_clock_went_back(storage: MemoryStorage) -> None:
    code = typed(await issued(storage))
    assert not code_fits(RING, await kept(storage), GRACE, code, NOW - 60_000)


async def test_third_wrong_answer_ends_it_and_tells_the_issuer(storage: MemoryStorage) -> None:
    await issued(storage)
    for number in range(1, TRIES + 1):
        after, operations = count_wrong(await kept(storage), at())
        assert isinstance(await storage.commit(operations), Committed)
        assert await kept(storage) == after
        assert after.tries == number
    assert (after.state, after.is_open(NOW)) == (State.SPOILED, False)
    [event] = await storage.find("audit_event")
    assert event["kind"] == "account:activation:spoiled"
    assert '"issuer":"frank"' in str(event["payload"])
    assert not await works(storage, after)


async def test_of_many_guesses_at_once_three_count_at_most(storage: MemoryStorage) -> None:
    await issued(storage)

    async def guess() -> bool:
        return isinstance(await storage.commit(count_wrong(await kept(storage), at())[1]), Committed)

    before = await kept(storage)
    assert sum(await asyncio.gather(*(guess() for _ in range(50)))) <= TRIES
    assert not await works(storage, before), "a right answer that was read before the wrong ones"


async def test_new_activation_ends_the_old(storage: MemoryStorage) -> None:
    first, second = await issued(storage), await issued(storage)
    assert not code_fits(RING, await kept(storage), GRACE, typed(first), NOW)
    assert not await works(storage, first.activation)
    assert await works(storage, second.activation)


async def test_cancelled_activation_does_not_work_and_is_not_cancelled_twice(storage: MemoryStorage) -> None:
    made = await issued(storage)
    assert isinstance(await storage.commit([cancel(made.activation, NOW)]), Committed)
    assert not isinstance(await storage.commit([cancel(made.activation, NOW)]), Committed)
    assert (await kept(storage)).state is State.CANCELLED
    assert not await works(storage, made.activation)
