"""The same login again in another packet: joined to the open one, so that nobody gets two messages for one login."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from tests.flows.world import NAS, World, at_once, elsewhere, is_asked_first, is_granted, reason, rule, says
from wardgate.audit.timeline import Trail
from wardgate.crypto import Secret
from wardgate.engine.outcome import Challenge, Granted, Origin
from wardgate.policy.settings import FloorSettings, FloorThenSettings, RuleSettings, ThenSettings
from wardgate.storage.port import Commit, Delete, Operation, Storage, Where

PHONE = "+905321234567"


async def bob(world: World) -> Challenge:
    await world.person("bob", phone=PHONE, mail="bob@acme.test")
    return await world.challenged("bob")


async def test_an_identical_login_joins_the_open_one(world: World) -> None:
    first = await bob(world)
    second = await world.challenged("bob")
    assert second.reference == first.reference
    assert second.handle != first.handle
    assert says(second) == says(first)
    assert len(await world.messages()) == 1
    assert len(await world.rows("login_transaction")) == 1
    assert is_granted(await world.answer(second, await world.code(), name="bob"))


async def test_both_handles_of_a_joined_login_work_and_one_of_them_once(world: World) -> None:
    first = await bob(world)
    second = await world.challenged("bob")
    code = await world.code()
    assert is_granted(await world.answer(first, code, name="bob"))
    assert reason(await world.answer(second, code, name="bob")) == "state_used"


async def test_a_handle_that_was_not_used_dies_with_the_step_that_it_belonged_to(world: World) -> None:
    first = await bob(world)
    second = await world.challenged("bob")
    await world.answer(first, "wrong", name="bob")
    assert reason(await world.answer(second, await world.code(), name="bob")) == "state_used"


async def test_the_other_half_of_an_ha_pair_joins_too(world: World) -> None:
    """The firewall's second server entry, or its standby, asks with a packet of its own."""
    first = await bob(world)
    second = await world.challenged("bob", origin=elsewhere(source="192.0.2.11"), engine=world.another_engine())
    assert second.reference == first.reference
    assert len(await world.messages()) == 1


@pytest.mark.parametrize(
    "origin",
    [
        elsewhere(client="203.0.113.8"),
        elsewhere(client=None),
        elsewhere(binding="radius:branch:", nas="branch"),
        elsewhere(binding="radius:hq:gateway", nas_identifier="gateway"),
    ],
)
async def test_another_nas_or_client_is_another_login(world: World, origin: Origin) -> None:
    first = await bob(world)
    second = await world.challenged("bob", origin=origin)
    assert second.reference != first.reference
    assert len(await world.messages()) == 2


async def test_without_a_client_address_the_packets_source_stands_for_it(world: World) -> None:
    await world.person("bob", phone=PHONE)
    one = await world.challenged("bob", origin=elsewhere(client=None))
    assert (await world.challenged("bob", origin=elsewhere(client=None))).reference == one.reference
    assert (await world.challenged("bob", origin=elsewhere(client=None, source="192.0.2.11"))).reference != one.reference


async def test_another_user_name_is_another_login(world: World) -> None:
    first = await bob(world)
    await world.person("eve", phone="+905559999999")
    assert (await world.challenged("eve")).reference != first.reference
    assert (await world.challenged("acme\\bob")).reference != first.reference, "a State belongs to the name as it was typed"


async def test_another_password_is_another_login(world: World) -> None:
    """A directory may accept two passwords for a while (the old one after a change): they do not share a login."""
    first = await bob(world)
    user = await world.directory.find("bob", 1)
    assert user is not None
    await world.directory.reset_password(user, Secret("new password"), must_change=False, timeout_s=1)
    second = await world.challenged("bob", "new password")
    assert second.reference != first.reference


async def test_a_wrong_password_does_not_join(world: World) -> None:
    await bob(world)
    assert reason(await world.begin("bob", "guess")) == "password_wrong"


async def test_tries_are_shared_by_all_who_joined(world: World) -> None:
    """Or each new packet would bring three more guesses at one code."""
    challenge = await bob(world)
    code = await world.code()
    wrong = "000000" if code != "000000" else "000001"
    for left in ("2 tries", "1 try"):
        challenge = await world.answer(challenge, wrong, name="bob")
        assert says(challenge).startswith(f"The code is not right; {left} left.")
        challenge = await world.challenged("bob")
    assert reason(await world.answer(challenge, wrong, name="bob")) == "code_closed"
    assert len(await world.messages()) == 1


async def test_a_joined_login_lives_no_longer(world: World) -> None:
    first = await bob(world)
    world.later(29)  # not long enough for another code
    challenge = await world.challenged("bob")
    assert challenge.reference == first.reference
    assert challenge.expires_in_s == 151
    world.later(151)
    assert reason(await world.answer(challenge, await world.code(), name="bob")) == "transaction_expired"


async def test_who_joins_after_the_wait_gets_another_code_under_the_resend_rules(world: World) -> None:
    await bob(world)
    sent = []
    for wait in (29, 1, 59, 1, 119, 1, 150):
        world.later(wait)
        challenge = await world.challenged("bob")
        sent.append(len(await world.messages()))
    assert sent == [1, 2, 2, 3, 3, 4, 4]
    assert is_granted(await world.answer(challenge, await world.code(), name="bob"))


async def test_who_joins_after_a_switch_is_asked_what_is_open_now(world: World) -> None:
    challenge = await world.answer(await bob(world), "mail", name="bob")
    joined = await world.challenged("bob")
    assert joined.factor == "email"
    assert says(joined) == says(challenge)
    assert len(await world.messages()) == 2


async def test_an_expired_open_login_is_replaced(world: World) -> None:
    first = await bob(world)
    old = await world.code()
    world.later(180)
    second = await world.challenged("bob")
    assert second.reference != first.reference
    assert second.expires_in_s == 180
    assert len(await world.messages()) == 2
    assert reason(await world.answer(first, old, name="bob")) == "state_used"
    assert is_granted(await world.answer(second, await world.code(), name="bob"))


@pytest.mark.parametrize("ending", ["granted", "closed", "cancelled"])
async def test_a_login_that_ended_is_not_joined(world: World, ending: str) -> None:
    first = await bob(world)
    if ending == "granted":
        await world.answer(first, await world.code(), name="bob")
    elif ending == "cancelled":
        await world.engine.cancel(first.handle, Trail(world.clock, "radius"))
    else:
        outcome: object = first
        while isinstance(outcome, Challenge):
            outcome = await world.answer(outcome, "wrong", name="bob")
    second = await world.challenged("bob")
    assert second.reference != first.reference
    assert len(await world.messages()) == 2


async def test_a_login_that_is_answered_while_another_joins_it_brings_no_second_grant(world: World) -> None:
    for _ in range(10):
        await world.person(f"bob{_}", phone=PHONE)
        first = await world.challenged(f"bob{_}")
        code = await world.code(f"bob{_}")
        granted, joined = await at_once(world.answer(first, code, name=f"bob{_}"), world.begin(f"bob{_}"))
        assert is_granted(granted)
        assert isinstance(joined, Challenge)
        assert not is_granted(await world.answer(joined, code, name=f"bob{_}"))


class Between:
    """A storage that lets something else happen just before the n-th commit."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self._left = 0
        self._happens: Callable[[], Awaitable[object]] | None = None

    def before(self, commits: int, happens: Callable[[], Awaitable[object]]) -> None:
        self._left, self._happens = commits, happens

    async def commit(self, operations: Sequence[Operation]) -> Commit:
        happens, self._left = self._happens, self._left - 1
        if self._left == 0 and happens is not None:
            self._happens = None
            await happens()
        return await self._inner.commit(operations)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("answer", ["right", "wrong"])
async def test_who_joins_a_login_that_takes_its_step_meanwhile_gets_a_question_that_can_be_answered(
    world: World, answer: str
) -> None:
    """The reservation is the first commit of the second request, the joining its second."""
    between = Between(world.storage)
    world = World(between, ring=world.ring)
    first = await bob(world)
    code = await world.code()
    between.before(
        2, lambda: world.answer(first, code if answer == "right" else "wrong", name="bob", engine=world.another_engine())
    )
    second = await world.challenged("bob")
    assert (second.reference == first.reference) is (answer == "wrong")
    assert is_granted(await world.answer(second, await world.code(), name="bob"))


async def test_joining_is_recorded(world: World) -> None:
    await bob(world)
    await world.challenged("bob")
    assert [payload.get("folded") for payload in await world.payloads("engine:login:challenged")] == [None, True]


async def test_joining_gives_the_reserved_attempt_back(world: World) -> None:
    await bob(world)
    for _ in range(10):
        await world.challenged("bob")
    assert await world.in_flight() == 0


async def test_the_fold_key_tells_neither_name_nor_password(world: World) -> None:
    await bob(world)
    [row] = await world.rows("login_transaction")
    assert b"correct horse" not in bytes(row["fold_key"] or b"")
    assert "correct horse" not in str(row)
    assert NAS.client is not None


async def test_a_login_is_not_folded_into_one_that_was_decided_more_weakly(world: World) -> None:
    """The password is known, and the login from the office laptop waits for its text message; the same one from another machine."""
    rules = [RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp", "sms"))))]
    strict = FloorThenSettings(strong_factors=1)
    elsewhere_strict = FloorSettings(name="other machines", when={"not": {"device": {"hostname": "acme-1042"}}}, then=strict)
    world.use_policy(rules, [elsewhere_strict])
    await world.person("bob", phone=PHONE)
    office = await world.challenged("bob", origin=elsewhere(device={"hostname": "acme-1042"}))
    assert office.factor == "sms"
    other = await world.begin("bob", origin=elsewhere(device={"hostname": "home"}))
    assert reason(other) == "no_factor"
    assert len(await world.messages()) == 1


async def test_who_has_the_password_alone_is_not_folded_into_a_login_whose_app_was_proved_first(world: World) -> None:
    """The owner of a name under attack proved his app, in a lane of its own, and waits for his text message; the brake is lifted.

    Whoever begins with the password from the same address has proved less, and his guesses are his own.
    """
    world.use_policy([rule("all", ("password",), ("sms",))])
    await world.give_totp(await world.person("bob", phone=PHONE))
    there = elsewhere(client="198.51.100.200")
    for number in range(world.brakes.user_failures):
        await world.begin("bob", "guess", origin=elsewhere(client=f"10.{number}.0.1"))
    world.later(30)
    asked = await world.begin("bob", origin=there)
    assert is_asked_first(asked)
    owner = await world.answer(asked, world.totp(), name="bob", origin=there)
    assert isinstance(owner, Challenge)
    assert owner.factor == "sms"
    await world.storage.commit([Delete("brake", (Where("kind", "in", ("user", "user_source")),))])
    world.later(1)
    other = await world.challenged("bob", origin=there)
    assert other.reference != owner.reference
    await world.answer(other, await world.code(), name="bob", origin=there)
    [granted] = await world.payloads("engine:login:granted")
    assert granted["factors"] == ["password", "sms"]
    assert "lane" not in granted


async def test_a_login_that_brought_a_proof_of_elsewhere_is_not_shared_with_one_that_brought_none(world: World) -> None:
    world.use_policy([rule("all", ("password",), ("sms",))])
    await world.person("bob", phone=PHONE)
    with_proof = await world.challenged("bob", proved_elsewhere=frozenset({"totp"}))
    world.later(1)
    without = await world.challenged("bob")
    assert without.reference != with_proof.reference
    granted = await world.answer(without, await world.code(), name="bob")
    assert isinstance(granted, Granted)
    assert "totp" not in granted.factors


async def test_a_login_after_an_apply_is_not_folded_into_one_of_before(world: World) -> None:
    await bob(world)
    world.use_policy([RuleSettings(name="strong", then=ThenSettings(steps=(("password",), ("totp",))))])
    assert reason(await world.begin("bob")) == "no_factor"
