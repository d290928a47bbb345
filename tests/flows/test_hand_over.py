"""GlobalProtect logs in at the portal and again at the gateway with what was typed last: where policy says so, one code will do."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.flows.plans import use_plan
from tests.flows.world import World, at_once, elsewhere, floor, is_granted, reason, rule
from wardgate.directory.port import AccountState
from wardgate.engine.outcome import ActionRequired, Challenge, Granted, Outcome
from wardgate.engine.settings import ApplicationSettings, CodeSettings
from wardgate.engine.spent_code import user_key
from wardgate.policy.settings import ActionEntrySettings
from wardgate.storage.port import Upsert

GATEWAY = elsewhere(binding="radius:gateway:gw", nas="gateway", nas_identifier="gw", source="192.0.2.99")
WITHIN_S = 60


async def at_portal(world: World, name: str = "ada", within_s: int = WITHIN_S) -> str:
    """Ada has logged in at the portal, from her machine; the code that she typed."""
    world.application = ApplicationSettings(name="vpn", hand_over_s=within_s)
    await world.give_totp(await world.person("ada"))
    code = world.totp()
    assert is_granted(await world.answer(await world.challenged(name), code, name=name))
    return code


async def refused_as_replay(world: World, outcome: Outcome) -> bool:
    """Whether it was refused as a replay, and counted nowhere."""
    return reason(outcome) == "credential_replay" and await world.failures() == 0


async def test_the_spent_code_opens_the_gateway_once(world: World) -> None:
    code = await at_portal(world)
    checks, reference = world.directory.checks, world.trail.reference
    outcome = await world.begin("ada", code, origin=GATEWAY)
    assert isinstance(outcome, Granted)
    assert (outcome.factors, outcome.assurance) == (("hand_over",), 2)
    assert world.directory.checks == checks
    assert any(detail.get("reference") == reference for _, _, detail in world.trail.steps)
    [_, payload] = await world.payloads("engine:login:granted")
    assert payload["handed_over"] == reference
    assert payload["factors"] == ["hand_over"]
    assert not await world.rows("hand_over")
    assert await refused_as_replay(world, await world.begin("ada", code, origin=GATEWAY))


async def test_the_password_opens_the_gateway_once_and_is_checked(world: World) -> None:
    await at_portal(world)
    checks, reference = world.directory.checks, world.trail.reference
    outcome = await world.begin("ada", origin=GATEWAY)
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "hand_over")
    assert world.directory.checks == checks + 1
    [_, payload] = await world.payloads("engine:login:granted")
    assert payload["handed_over"] == reference
    assert isinstance(await world.begin("ada", origin=GATEWAY), Challenge)


async def test_a_field_with_password_and_code_is_taken_once_more_too(world: World) -> None:
    world.application = ApplicationSettings(name="vpn", hand_over_s=WITHIN_S)
    await world.give_totp(await world.person("ada"))
    code = world.totp()
    assert is_granted(await world.begin("ada", code=code, can_challenge=False))
    other = await world.begin("ada", code=world.totp(5), can_challenge=False, origin=GATEWAY)
    assert reason(other) == "code_wrong"
    outcome = await world.begin("ada", code=code, can_challenge=False, origin=GATEWAY)
    assert isinstance(outcome, Granted)
    assert outcome.factors == ("password", "hand_over")
    assert reason(await world.begin("ada", code=code, can_challenge=False, origin=GATEWAY)) == "code_replayed"


@pytest.mark.parametrize("notice_s", [0, 10])
async def test_it_lasts_as_long_as_it_says_however_long_replays_are_noticed(world: World, notice_s: int) -> None:
    world.codes = CodeSettings(replay_notice_s=notice_s)
    code = await at_portal(world)
    world.later(50)
    assert is_granted(await world.begin("ada", code, origin=GATEWAY))


async def test_off_a_replay_is_refused_uncounted_and_nothing_is_left(world: World) -> None:
    code = await at_portal(world, within_s=0)
    assert not await world.rows("hand_over")
    assert await refused_as_replay(world, await world.begin("ada", code, origin=GATEWAY))
    assert isinstance(await world.begin("ada", origin=GATEWAY), Challenge)


async def test_turned_off_meanwhile_what_was_left_is_worth_nothing(world: World) -> None:
    code = await at_portal(world)
    world.application = ApplicationSettings(name="vpn")
    assert await refused_as_replay(world, await world.begin("ada", code, origin=GATEWAY))


@pytest.mark.parametrize("shown", ["code", "password"])
async def test_two_gateways_at_once_on_two_nodes_redeem_it_exactly_once(world: World, shown: str) -> None:
    code = await at_portal(world)
    given = code if shown == "code" else "correct horse"
    nodes = [world.another_engine(), world.another_engine()]
    outcomes = await at_once(*(world.begin("ada", given, origin=GATEWAY, engine=nodes[number % 2]) for number in range(6)))
    assert sum(is_granted(outcome) for outcome in outcomes) == 1
    assert await world.failures() == 0
    [_, payload] = await world.payloads("engine:login:granted")
    assert payload["handed_over"]


@pytest.mark.parametrize(("seconds", "open_"), [(59.9, True), (60, False)])
async def test_it_is_good_for_seconds(world: World, seconds: float, open_: bool) -> None:
    code = await at_portal(world)
    world.later(seconds)
    assert is_granted(await world.begin("ada", code, origin=GATEWAY)) is open_


async def test_another_address_redeems_nothing(world: World) -> None:
    code = await at_portal(world)
    stranger = replace(GATEWAY, client="203.0.113.8")
    assert await refused_as_replay(world, await world.begin("ada", code, origin=stranger))
    assert isinstance(await world.begin("ada", origin=stranger), Challenge)


async def test_without_an_address_nothing_is_left_and_nothing_redeemed(world: World) -> None:
    code = await at_portal(world)
    assert await refused_as_replay(world, await world.begin("ada", code, origin=replace(GATEWAY, client=None)))
    world.later(30)
    nowhere = elsewhere(client=None)
    challenge = await world.challenged("ada", origin=nowhere)
    [before] = await world.rows("hand_over")
    assert is_granted(await world.answer(challenge, world.totp(), name="ada", origin=nowhere))
    assert await world.rows("hand_over") == [before]


async def test_another_persons_login_redeems_nothing(world: World) -> None:
    code = await at_portal(world)
    await world.give_totp(await world.person("eve"))
    assert reason(await world.begin("eve", code, origin=GATEWAY)) == "password_wrong"
    assert isinstance(await world.begin("eve", origin=GATEWAY), Challenge)


async def test_another_code_or_a_wrong_password_redeems_nothing(world: World) -> None:
    await at_portal(world)
    assert reason(await world.begin("ada", world.totp(1), origin=GATEWAY)) == "password_wrong"
    assert reason(await world.begin("ada", "guess", origin=GATEWAY)) == "password_wrong"
    assert len(await world.rows("hand_over")) == 1


async def test_a_login_by_password_alone_leaves_nothing(world: World) -> None:
    use_plan(world, ["password"])
    world.application = ApplicationSettings(name="vpn", hand_over_s=WITHIN_S)
    await world.person("ada")
    assert is_granted(await world.begin("ada"))
    assert not await world.rows("hand_over")


async def test_a_login_whose_password_the_nas_vouches_for_leaves_nothing(world: World) -> None:
    world.application = ApplicationSettings(name="vpn", hand_over_s=WITHIN_S)
    await world.give_totp(await world.person("ada"))
    vouched = frozenset({"password"})
    assert is_granted(await world.begin("ada", None, code=world.totp(), proved_elsewhere=vouched, can_challenge=False))
    assert not await world.rows("hand_over")


async def test_administrators_hand_nothing_over(world: World) -> None:
    use_plan(world, floors=[floor("administrators", strong=1)])
    code = await at_portal(world)
    assert not await world.rows("hand_over")
    assert await refused_as_replay(world, await world.begin("ada", code, origin=GATEWAY))


async def test_who_became_an_administrator_meanwhile_redeems_nothing(world: World) -> None:
    code = await at_portal(world)
    use_plan(world, floors=[floor("administrators", strong=1)])
    assert await refused_as_replay(world, await world.begin("ada", code, origin=GATEWAY))
    assert isinstance(await world.begin("ada", origin=GATEWAY), Challenge)


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED, AccountState.EXPIRED])
@pytest.mark.parametrize("shown", ["code", "password"])
async def test_an_account_that_was_closed_meanwhile_redeems_nothing(world: World, state: AccountState, shown: str) -> None:
    code = await at_portal(world)
    user = await world.directory.find("ada", 1.0)
    assert user is not None
    world.directory.change_state(user, state)
    assert not is_granted(await world.begin("ada", code if shown == "code" else "correct horse", origin=GATEWAY))


async def test_policy_decides_again_at_the_gateway(world: World) -> None:
    code = await at_portal(world)
    use_plan(world, deny=True)
    assert await refused_as_replay(world, await world.begin("ada", code, origin=GATEWAY))
    assert reason(await world.begin("ada", origin=GATEWAY)) == "rule_denies"


async def test_a_row_that_somebody_moved_to_another_user_redeems_nothing(world: World) -> None:
    """Somebody with write access to the database copies Ada's row to Eve's place."""
    await at_portal(world)
    eve = await world.person("eve")
    await world.give_totp(eve)
    [row] = await world.rows("hand_over")
    eves = {**row, "user_key": user_key(world.ring, "acme", "eve"), "subject_id": await world.subject_of(eve)}
    await world.storage.commit([Upsert("hand_over", eves)])
    assert isinstance(await world.begin("eve", origin=GATEWAY), Challenge)


async def test_neither_code_nor_password_nor_address_stands_in_the_row(world: World) -> None:
    code = await at_portal(world)
    [row] = await world.rows("hand_over")
    for secret in (code, "correct horse", "203.0.113.7"):
        assert secret not in str(row)
        assert secret.encode() not in b"".join(value for value in row.values() if isinstance(value, bytes))


async def test_a_brake_that_holds_keeps_the_gateway_closed(world: World) -> None:
    code = await at_portal(world)
    await world.wrong_passwords("ada", 5, origin=GATEWAY)
    assert reason(await world.begin("ada", code, origin=GATEWAY)) == "credential_replay"


async def test_the_next_login_at_the_portal_takes_the_place_of_what_was_left(world: World) -> None:
    first = await at_portal(world)
    world.later(30)
    challenge = await world.challenged("ada", origin=elsewhere(client="203.0.113.50"))
    second = world.totp()
    assert is_granted(await world.answer(challenge, second, name="ada"))
    assert not is_granted(await world.begin("ada", first, origin=GATEWAY))
    assert is_granted(await world.begin("ada", second, origin=GATEWAY))


@pytest.mark.parametrize("shown", ["code", "password"])
@pytest.mark.parametrize("gateway", [(["password"], ["totp"]), (["password"], ["totp", "sms"], ["totp", "sms"])])
async def test_a_login_by_a_weak_factor_at_the_portal_does_not_meet_a_stronger_plan_at_the_gateway(
    world: World, shown: str, gateway: tuple[list[str], ...]
) -> None:
    world.application = ApplicationSettings(name="vpn", hand_over_s=WITHIN_S)
    world.use_policy([rule("gateway", *gateway, when={"nas": ["gateway"]}), rule("portal", ["password"], ["sms"])])
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    challenge = await world.challenged("ada")
    code = await world.code("ada")
    assert is_granted(await world.answer(challenge, code, name="ada"))
    outcome = await world.begin("ada", code if shown == "code" else "correct horse", origin=GATEWAY)
    assert isinstance(outcome, Challenge) if shown == "password" else reason(outcome) == "credential_replay"


async def test_a_factor_that_a_floor_forbids_at_the_gateway_is_not_handed_over(world: World) -> None:
    world.application = ApplicationSettings(name="vpn", hand_over_s=WITHIN_S)
    no_messages = floor("no messages", never=["sms"], when={"nas": ["gateway"]})
    world.use_policy([rule("all", ["password"], ["sms", "totp"])], [no_messages])
    await world.give_totp(await world.person("ada", phone="+905321234567"))
    challenge = await world.challenged("ada")
    code = await world.code("ada")
    assert is_granted(await world.answer(challenge, code, name="ada"))
    assert not is_granted(await world.begin("ada", code, origin=GATEWAY))
    assert not is_granted(await world.begin("ada", origin=GATEWAY))


async def test_what_was_handed_over_is_used_up_where_something_must_be_done_before_the_grant(world: World) -> None:
    """Else it would begin any number of logins, each of which goes on once that is done."""
    world.application = ApplicationSettings(name="vpn", hand_over_s=WITHIN_S)
    await world.person("ada", phone="+905321234567", password_changed_at=world.clock.now() - timedelta(days=40))
    challenge = await world.challenged("ada")
    assert is_granted(await world.answer(challenge, await world.code("ada"), name="ada"))
    use_plan(world, demands=[ActionEntrySettings(change="password", every="30d", level="forced", deferrals=0)])
    pages = replace(GATEWAY, shows_pages=True)
    assert isinstance(await world.begin("ada", origin=pages), ActionRequired)
    assert not await world.rows("hand_over")
    assert isinstance(await world.begin("ada", origin=pages), Challenge)
