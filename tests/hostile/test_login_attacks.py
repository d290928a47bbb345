"""Everything at once: the same code in many answers, many logins, many requests, on two nodes over one storage.

One of them may win. Storage decides it by conditional writes; what these tests look for is a place where something read earlier
decided instead.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, SECRET, World, a_storage, at_once, elsewhere, is_granted, reason
from wardgate.crypto import Secret
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied, Outcome
from wardgate.engine.settings import BrakeSettings, CodeSettings
from wardgate.factors.totp import hotp

PACKETS = 16
ROUNDS = {"memory": 40, "sqlite": 12}
# So that what is looked for is the race alone.
NO_BRAKES = BrakeSettings(
    user_source_failures=1000,
    user_failures=100_000,
    source_failures=100_000,
    network_failures=0,
    nas_failures=0,
    global_failures=0,
)


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def world(backend: str, tmp_path: Path) -> AsyncIterator[World]:
    async with a_storage(backend, tmp_path) as storage:
        yield World(storage, brakes=NO_BRAKES, codes=CodeSettings(messages_per_hour=1000))


def nodes(world: World) -> list[Engine]:
    """The node of each packet: two of them, in turn."""
    other = world.another_engine()
    return [other if number % 2 else world.engine for number in range(PACKETS)]


def granted(outcomes: list[Outcome]) -> int:
    return sum(is_granted(outcome) for outcome in outcomes)


async def recorded(world: World) -> int:
    return len(await world.events("engine:login:granted"))


async def everywhere(world: World, name: str) -> list[Challenge]:
    """As many logins of one person as there are packets, none folded into another."""
    return [
        await world.challenged(name, origin=elsewhere(client=f"198.51.100.{number + 1}"), engine=engine)
        for number, engine in enumerate(nodes(world))
    ]


async def answers(world: World, challenges: list[Challenge], code: str, name: str) -> list[Outcome]:
    """The same code in answers to all of these at once, each in a packet of its own."""
    calls = [
        world.answer(challenge, code, name=name, engine=engine, origin=elsewhere(client=f"198.51.100.{number + 1}"))
        for number, (challenge, engine) in enumerate(zip(challenges, nodes(world), strict=True))
    ]
    return await at_once(*calls)


# --- one State, many packets -----------------------------------------------------------------------------------------


async def test_of_sixteen_answers_to_one_state_at_once_one_is_accepted(world: World, backend: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    for round_number in range(1, ROUNDS[backend] + 1):
        challenge = await world.challenged("ada")
        outcomes = await answers(world, [challenge] * PACKETS, world.totp(), "ada")
        assert granted(outcomes) == 1
        assert {reason(outcome) for outcome in outcomes if not is_granted(outcome)} == {"state_used"}
        assert await recorded(world) == round_number
        world.later(30)


async def test_of_sixteen_guesses_at_one_state_at_once_one_is_judged(world: World) -> None:
    """Guesses in parallel are no way around the three tries."""
    ada = await world.person("ada")
    await world.give_totp(ada)
    challenge = await world.challenged("ada")
    wrong = [f"{number:06d}" for number in range(100) if f"{number:06d}" not in {world.totp(step) for step in (-1, 0, 1)}]
    engines = nodes(world)
    outcomes = await at_once(*(world.answer(challenge, wrong[n], name="ada", engine=engines[n]) for n in range(PACKETS)))
    assert sum(isinstance(outcome, Challenge) for outcome in outcomes) == 1
    assert await world.failures("user") == 1


async def test_of_a_right_and_fifteen_wrong_answers_at_once_only_the_first_counts(world: World, backend: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    for _ in range(ROUNDS[backend]):
        challenge = await world.challenged("ada")
        codes = [world.wrong_code()] * (PACKETS - 1) + [world.totp()]
        engines = nodes(world)
        outcomes = await at_once(*(world.answer(challenge, codes[n], name="ada", engine=engines[n]) for n in range(PACKETS)))
        won = [outcome for outcome in outcomes if not (isinstance(outcome, Denied) and outcome.reason == "state_used")]
        assert len(won) == 1
        world.later(30)


# --- many States, one code -------------------------------------------------------------------------------------------


async def test_one_totp_code_in_sixteen_logins_at_once_lets_in_once(world: World, backend: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    for round_number in range(1, ROUNDS[backend] + 1):
        challenges = await everywhere(world, "ada")
        assert granted(await answers(world, challenges, world.totp(), "ada")) == 1
        assert await recorded(world) == round_number
        world.later(600)


async def test_one_hotp_code_in_sixteen_logins_at_once_lets_in_once(world: World, backend: str) -> None:
    erin = await world.person("erin")
    await world.give_hotp(erin)
    for counter in range(ROUNDS[backend]):
        challenges = await everywhere(world, "erin")
        code = hotp(Secret(SECRET), counter, 6)
        assert granted(await answers(world, challenges, code, "erin")) == 1
        world.later(600)
    assert await recorded(world) == ROUNDS[backend]


async def test_the_next_sixteen_hotp_codes_at_once_spend_each_other_in_order(world: World) -> None:
    erin = await world.person("erin")
    await world.give_hotp(erin)
    challenges = await everywhere(world, "erin")
    engines = nodes(world)
    codes = [hotp(Secret(SECRET), counter, 6) for counter in range(10, -1, -1)]
    outcomes = await at_once(
        *(
            world.answer(challenges[n], code, name="erin", engine=engines[n], origin=elsewhere(client=f"198.51.100.{n + 1}"))
            for n, code in enumerate(codes)
        )
    )
    assert [is_granted(outcome) for outcome in outcomes] == [True] + [False] * 10, "a later code spends the earlier ones"


async def test_one_recovery_code_in_sixteen_logins_at_once_lets_in_once(world: World) -> None:
    dave = await world.person("dave")
    for round_number, code in enumerate((await world.give_recovery_codes(dave))[:8], start=1):
        challenges = await everywhere(world, "dave")
        assert granted(await answers(world, challenges, code, "dave")) == 1
        assert await recorded(world) == round_number
        world.later(600)


async def test_ten_recovery_codes_at_once_let_in_ten_times_and_no_more(world: World) -> None:
    dave = await world.person("dave")
    codes = await world.give_recovery_codes(dave)
    challenges = await everywhere(world, "dave")
    engines = nodes(world)
    outcomes = await at_once(
        *(
            world.answer(
                challenges[n], codes[n % 10], name="dave", engine=engines[n], origin=elsewhere(client=f"198.51.100.{n + 1}")
            )
            for n in range(PACKETS)
        )
    )
    assert granted(outcomes) == 10


async def test_one_sms_code_in_sixteen_logins_at_once_lets_in_at_its_own(world: World) -> None:
    await world.person("bob", phone="+905321234567")
    for _ in range(5):
        challenges = await everywhere(world, "bob")
        codes = {message.reference: message.code for message in await world.messages()}
        outcomes = await answers(world, challenges, codes[challenges[3].reference], "bob")
        assert [number for number, outcome in enumerate(outcomes) if is_granted(outcome)] == [3]
        world.later(600)


# --- one request -----------------------------------------------------------------------------------------------------


async def test_one_totp_code_beside_the_password_sixteen_times_at_once_lets_in_once(world: World, backend: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    for round_number in range(1, ROUNDS[backend] + 1):
        engines = nodes(world)
        outcomes = await at_once(
            *(world.begin("ada", code=world.totp(), can_challenge=False, engine=engines[n]) for n in range(PACKETS))
        )
        assert granted(outcomes) == 1
        assert {reason(outcome) for outcome in outcomes if not is_granted(outcome)} == {"code_replayed"}
        assert await recorded(world) == round_number
        world.later(30)


async def test_one_code_beside_the_password_and_in_answers_at_once_lets_in_once(world: World, backend: str) -> None:
    ada = await world.person("ada")
    await world.give_totp(ada)
    for round_number in range(1, ROUNDS[backend] + 1):
        challenges = (await everywhere(world, "ada"))[:8]
        calls = [
            world.answer(challenge, world.totp(), name="ada", origin=elsewhere(client=f"198.51.100.{number + 1}"))
            for number, challenge in enumerate(challenges)
        ]
        outcomes = await at_once(*calls, *(world.begin("ada", code=world.totp(), can_challenge=False) for _ in range(8)))
        assert granted(outcomes) == 1
        assert await recorded(world) == round_number
        world.later(600)


# --- one person, first seen ------------------------------------------------------------------------------------------


async def test_sixteen_first_logins_of_a_new_person_at_once_make_one_subject_and_one_message(world: World) -> None:
    world.directory.add("bob", "correct horse", phone="+905321234567")
    engines = nodes(world)
    outcomes = await at_once(*(world.begin("bob", engine=engine) for engine in engines))
    assert all(isinstance(outcome, Challenge) for outcome in outcomes)
    assert len(await world.rows("subject")) == 1
    assert len(await world.events("account:subject:created")) == 1
    assert len(await world.messages()) == 1
    assert granted(await answers_from_one_place(world, outcomes, await world.code(), "bob")) == 1


async def answers_from_one_place(world: World, challenges: list[Outcome], code: str, name: str) -> list[Outcome]:
    return await at_once(*(world.answer(challenge, code, name=name) for challenge in challenges))


# --- identical logins ------------------------------------------------------------------------------------------------


async def test_sixteen_identical_logins_at_once_send_one_message_and_open_one_login(world: World, backend: str) -> None:
    await world.person("bob", phone="+905321234567")
    for round_number in range(1, ROUNDS[backend] // 2 + 1):
        engines = nodes(world)
        outcomes = await at_once(*(world.begin("bob", engine=engine) for engine in engines))
        assert all(isinstance(outcome, Challenge) for outcome in outcomes)
        assert len(await world.messages()) == round_number
        assert len({outcome.reference for outcome in outcomes if isinstance(outcome, Challenge)}) == 1
        code = await world.code()
        assert granted(await answers_from_one_place(world, outcomes, code, "bob")) == 1
        world.later(600)


async def test_two_identical_logins_at_once_send_one_message(world: World, backend: str) -> None:
    await world.person("bob", phone="+905321234567")
    other = world.another_engine()
    for round_number in range(1, ROUNDS[backend] + 1):
        first, second = await at_once(world.begin("bob"), world.begin("bob", engine=other))
        assert isinstance(first, Challenge)
        assert isinstance(second, Challenge)
        assert first.handle != second.handle
        assert len(await world.messages()) == round_number
        world.later(600)


# --- everything after the races --------------------------------------------------------------------------------------


async def test_the_audit_chain_holds_after_a_hundred_logins_at_once_on_two_nodes(world: World) -> None:
    for number in range(20):
        await world.give_totp(await world.person(f"user{number}"), bytes([number]) * 20)
    engines = nodes(world)

    async def login(number: int) -> Outcome:
        name, secret = f"user{number % 20}", bytes([number % 20]) * 20
        origin = elsewhere(client=f"198.51.100.{number + 1}")
        challenge = await world.begin(name, origin=origin, engine=engines[number % PACKETS])
        return await world.answer(challenge, world.totp(secret=secret), name=name, origin=origin, engine=engines[-1])

    outcomes = await at_once(*(login(number) for number in range(100)))
    assert granted(outcomes) == await recorded(world) == 20
    found = await world.verified()
    assert found.findings == ()
    assert found.events == len(await world.events())
