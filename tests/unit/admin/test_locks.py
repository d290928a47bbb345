"""Locks: what an operator is shown of them, what lifting one leaves, and what messages cost."""

import json
from dataclasses import replace

import pytest

from tests.flows.world import NAS, World, elsewhere, is_asked_first, is_granted, reason
from wardgate.account.subject import create_subject
from wardgate.admin.locks import clear_locks, delivery_costs, list_locks
from wardgate.admin.office import Office
from wardgate.admin.users import add_user
from wardgate.config.document import parse
from wardgate.config.store import save
from wardgate.crypto import MAC_ROOT, KeyRing, new_key
from wardgate.engine import brakes
from wardgate.engine.outcome import Challenge
from wardgate.engine.settings import BrakeSettings, SendingSettings
from wardgate.errors import NotFound, UsageError
from wardgate.passwords import PasswordHasher

DOCUMENT = """
realms: [{name: acme, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
nas: [{name: hq, addresses: [192.0.2.10], secret: {value: "a long enough secret 1234"}, application: vpn}]
applications: [{name: vpn}]
brakes: {network_failures: 6, nas_failures: 8, global_failures: 9, user_failures: 4, user_source_failures: 3}
sending: {sms_prefixes: ["+90", "+9053"], prices: {"+90": 0.5, "+9053": 0.25, email: 0.001}, currency: EUR, sms_per_day: 40}
"""


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def desk(world: World) -> Office:
    """An operator beside the world in which people log in."""
    hasher = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    office = Office(world.storage, world.ring, world.clock, hasher, "operator:olga")
    document = parse(DOCUMENT)
    await save(office.storage, document, "operator:olga", "test", 0, office.clock, office.ring)
    world.brakes = document.brakes
    world.sending = document.sending
    return office


async def test_the_list_tells_who_is_held_since_when_until_when_and_after_how_many(world: World, desk: Office) -> None:
    await world.give_totp(await world.person("ada"))
    await world.wrong_passwords("ada", 3)
    [lock] = (await list_locks(desk))["locks"]
    assert lock == {
        "brake": "user_source",
        "held": "ada from 203.0.113.7",
        "user": "ada",
        "known": True,
        "client": "203.0.113.7",
        "nas": "hq",
        "network": None,
        "since": "2026-11-21T09:00:00+00:00",
        "until": "2026-11-21T09:05:00+00:00",
        "failures": 3,
        "level": 1,
    }
    world.later(300)
    assert (await list_locks(desk))["locks"] == []


async def test_a_password_in_the_wrong_field_is_not_shown_nor_kept(world: World, desk: Office) -> None:
    await world.wrong_passwords("hunter2-is-my-secret", 3)
    [lock] = (await list_locks(desk))["locks"]
    assert (lock["user"], lock["known"]) == ("h*** (20)", False)
    assert (await list_locks(desk, user="hunter2-is-my-secret"))["locks"] == [lock], "who typed it finds it"
    assert (await list_locks(desk, user="somebody"))["locks"] == []
    for row in await world.rows("brake"):
        assert b"hunter2" not in repr(row).encode()


async def test_one_users_locks_are_found_however_many_others_hold(world: World, desk: Office) -> None:
    await world.wrong_passwords("first", 3)
    world.later(10)
    for number in range(5):
        await world.wrong_passwords(f"stranger{number}", 3, origin=elsewhere(client=f"203.0.{number}.9"))
    [lock] = (await list_locks(desk, user="first", limit=1))["locks"]
    assert lock["user"] == "f*** (5)"
    assert not (await list_locks(desk, user="first", limit=1))["more"]
    assert (await list_locks(desk, user="first", kind="network"))["locks"] == []


async def test_locks_of_a_person_are_found_by_whom_the_brakes_know(world: World, desk: Office) -> None:
    made = await add_user(desk, directory="local", name="ada", password=None)
    subject, operations = create_subject("local", str(made["id"]), desk.now_ms())
    await desk.storage.commit(operations)
    await world.wrong_passwords("stranger", 3)
    keys = brakes.brake_keys(desk.ring, subject, "198.51.100.9", "radius:hq", typed="acme:ada")
    for _ in range(3):
        await desk.storage.commit(brakes.settle_wrong(keys, world.brakes, desk.now_ms(), reserved=False))
    told = await list_locks(desk, user="ADA", limit=1)
    assert [lock["brake"] for lock in told["locks"]] == ["user_source"]
    world.later(300)
    assert (await list_locks(desk, user="ada"))["locks"] == []


async def test_a_user_under_attack_is_listed_until_lifted_and_the_owner_comes_in_again(world: World, desk: Office) -> None:
    await world.give_totp(await world.person("ada"))
    for number in range(4):
        await world.begin("ada", "guess", origin=elsewhere(client=f"198.{number}.0.1"))
    [lock] = (await list_locks(desk, kind="user"))["locks"]
    assert (lock["held"], lock["until"], lock["failures"]) == ("ada", None, 4)
    assert is_asked_first(await world.begin("ada"))
    lifted = await clear_locks(desk, user="nobody", reason="a mistake")
    assert lifted == {"lifted": 0, "what": "nobody"}
    assert is_asked_first(await world.begin("ada"))


async def test_lifting_a_network_a_nas_and_all_is_recorded_with_author_and_reason(world: World, desk: Office) -> None:
    for number in range(6):
        await world.begin(f"name{number}", "guess", origin=elsewhere(client=f"203.0.113.{number + 20}"))
    assert [lock["held"] for lock in (await list_locks(desk, kind="network"))["locks"]] == ["203.0.113.0/24"]
    assert reason(await world.begin("fresh", origin=NAS)) == "brake_network"
    assert (await clear_locks(desk, source="203.0.113.0/24", reason="ticket 4711"))["lifted"] == 1
    assert reason(await world.begin("fresh", origin=NAS)) == "user_unknown"
    await world.begin("other", "guess", origin=elsewhere(client="198.51.100.1"))
    assert [lock["brake"] for lock in (await list_locks(desk, kind="nas"))["locks"]] == ["nas"]
    assert (await clear_locks(desk, nas="hq"))["lifted"] == 1
    await world.begin("third", "guess", origin=elsewhere(client="198.51.101.1"))
    assert [lock["held"] for lock in (await list_locks(desk, kind="global"))["locks"]] == ["all strangers"]
    assert (await clear_locks(desk, everything=True))["lifted"] >= 1
    assert (await list_locks(desk))["locks"] == []
    told = await world.payloads("admin:brake:released")
    assert told[0] == {"actor": "operator:olga", "what": "203.0.113.0/24", "reason": "ticket 4711"}


async def test_a_lifted_lock_does_not_make_a_known_source_a_strangers(world: World, desk: Office) -> None:
    await world.give_totp(await world.person("ada"))
    challenge = await world.begin("ada")
    assert is_granted(await world.answer(challenge, world.totp(), name="ada"))
    await world.wrong_passwords("ada", 3)
    await clear_locks(desk, everything=True)
    for number in range(6):
        await world.begin(f"name{number}", "guess", origin=NAS)
    assert isinstance(await world.begin("ada"), Challenge)


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"user": "ada", "nas": "hq"},
        {"source": "here"},
        {"source": "203.0.113.0/25"},
        {"source": "203.0.0.0/8", "everything": True},
    ],
)
async def test_what_is_not_one_thing_to_lift_is_refused(desk: Office, wanted: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        await clear_locks(desk, **wanted)  # type: ignore[arg-type]


async def test_a_nas_that_does_not_exist_is_told(desk: Office) -> None:
    with pytest.raises(NotFound):
        await clear_locks(desk, nas="nowhere")


# --- costs ---------------------------------------------------------------------------------------------------------------


async def test_costs_are_told_by_day_and_prefix_with_what_was_refused(world: World, desk: Office) -> None:
    for name, phone in (("ada", "+905321234567"), ("bob", "+902125551234"), ("eve", "+4915112345678")):
        await world.person(name, phone=phone)
        await world.begin(name)
    await world.person("mel", mail="mel@acme.test")
    await world.begin("mel")
    world.later(86_400)
    await world.person("ian", phone="+905321234500")
    await world.begin("ian")
    told = await delivery_costs(desk)
    lines = {(each["day"], each["channel"], each["prefix"]): each for each in told["days"]}
    first = "2026-11-21"
    assert (lines[first, "sms", "+9053"]["messages"], lines[first, "sms", "+9053"]["cost"]) == (1, 0.25)
    assert (lines[first, "sms", "+90"]["messages"], lines[first, "sms", "+90"]["cost"]) == (1, 0.5)
    assert (lines[first, "sms", "+49"]["messages"], lines[first, "sms", "+49"]["refused"]) == (0, 1)
    assert lines[first, "email", None]["cost"] == 0.001
    assert lines["2026-11-22", "sms", "+9053"]["messages"] == 1
    assert told["totals"][0] == {"channel": "sms", "prefix": "+9053", "messages": 2, "refused": 0, "cost": 0.5}
    assert (told["currency"], told["caps"]["sms_per_day"], told["caps"]["email_per_day"]) == ("EUR", 40, None)
    only = await delivery_costs(desk, since="2026-11-22", until="2026-11-22")
    assert [each["day"] for each in only["days"]] == ["2026-11-22"]
    assert json.dumps(told)


@pytest.mark.parametrize("days", [{"since": "yesterday"}, {"since": "2026-11-22", "until": "2026-11-21"}])
async def test_days_that_are_none_are_told(desk: Office, days: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        await delivery_costs(desk, **days)


def test_defaults_shut_no_company_out() -> None:
    assert BrakeSettings().network_failures >= 5 * BrakeSettings().source_failures
    assert SendingSettings() == SendingSettings(sms_prefixes=(), sms_per_day=0)


async def test_what_began_before_a_key_was_rotated_away_is_listed_without_words(world: World, desk: Office) -> None:
    await world.wrong_passwords("somebody", 3)
    desk = replace(desk, ring=KeyRing({MAC_ROOT: new_key(), 2: new_key()}))
    [lock] = (await list_locks(desk))["locks"]
    assert (lock["brake"], lock["held"], lock["user"], lock["level"]) == ("user_source", "unknown", None, 1)


async def test_a_persons_typed_names_are_not_listed_as_if_they_were_others(world: World, desk: Office) -> None:
    """Guesses at `ada@acme.test` hold ada; a second line for the name would tell nothing but confuse."""
    await world.person("ada", mail="ada@acme.test")
    await world.wrong_passwords("ada@acme.test", 3)
    assert [lock["user"] for lock in (await list_locks(desk))["locks"]] == ["ada"]
    assert (await clear_locks(desk, source="2001:db8::/48"))["lifted"] == 0


async def test_an_attacker_cannot_hide_locks_from_the_operator_behind_those_of_typed_names(world: World, desk: Office) -> None:
    """Each person who is found by a name has two rows that lock, and one of them holds nobody."""
    world.brakes = replace(world.brakes, network_failures=0, nas_failures=0, global_failures=0)
    for number in range(210):
        await world.person(f"p{number}")
        await world.wrong_passwords(f"p{number}", 3, origin=elsewhere(client=f"198.51.{number}.1"))
        world.later(0.1)
    assert len((await list_locks(desk, limit=150))["locks"]) == 150
    assert (await clear_locks(desk, everything=True, reason="attack over"))["lifted"] == 210
    assert (await list_locks(desk))["locks"] == []
