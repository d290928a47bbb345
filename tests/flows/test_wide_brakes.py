"""Brakes over many people: who spreads guesses thinly is stopped, and nobody else is kept out or told anything."""

from typing import Any

import pytest

from tests.flows.world import NAS, World, at_once, elsewhere, is_granted, reason, says, wait_says
from wardgate.directory.port import PasswordVerdict
from wardgate.engine.outcome import Challenge, Denied, Origin
from wardgate.engine.settings import BrakeSettings
from wardgate.errors import DirectoryUnavailable
from wardgate.storage.port import Find, Operation

# No brake but the one that a test is about.
LOOSE: dict[str, Any] = {"source_failures": 100_000, "network_failures": 0, "nas_failures": 0, "global_failures": 0}
NETWORK = BrakeSettings(**{**LOOSE, "network_failures": 10})
OF_NAS = BrakeSettings(**{**LOOSE, "nas_failures": 10})
OF_ALL = BrakeSettings(**{**LOOSE, "global_failures": 10})
EACH = pytest.mark.parametrize(
    ("settings", "name"),
    [(NETWORK, "brake_network"), (OF_NAS, "brake_nas"), (OF_ALL, "brake_global")],
    ids=["network", "nas", "all"],
)


def from_there(number: int) -> Origin:
    """Another address of the attacker's, in one network."""
    return elsewhere(client=f"198.51.100.{number + 1}")


async def spray(world: World, times: int, first: int = 0) -> list[str]:
    return [reason(await world.begin(f"user{n}", "guess", origin=from_there(n))) for n in range(first, first + times)]


async def login(world: World, name: str = "ada", origin: Origin = NAS) -> bool:
    challenge = await world.begin(name, origin=origin)
    return isinstance(challenge, Challenge) and is_granted(await world.answer(challenge, world.totp(), name=name, origin=origin))


async def ada(world: World) -> None:
    await world.give_totp(await world.person("ada"))


@EACH
async def test_one_guess_at_each_of_many_names_is_stopped(world: World, settings: BrakeSettings, name: str) -> None:
    world.brakes = settings
    assert await spray(world, 10) == ["user_unknown"] * 10
    checks = world.directory.checks
    assert await spray(world, 5, first=50) == [name] * 5
    assert world.directory.checks == checks, "what is held never reaches a directory"
    world.later(300)
    assert await spray(world, 1, first=60) == ["user_unknown"]


@EACH
async def test_somebody_elses_guesses_do_not_keep_out_who_was_here_before(world: World, settings: BrakeSettings, name: str) -> None:
    world.brakes = settings
    await ada(world)
    here = from_there(200)
    assert await login(world, origin=here)
    await spray(world, 10)
    assert reason(await world.begin("fresh", origin=here)) == name
    world.later(30)
    assert await login(world, origin=here)


async def test_colleagues_behind_one_address_are_not_kept_out_by_one_of_them(world: World) -> None:
    """The brake of a single address spares who logged in from there, too."""
    await ada(world)
    assert await login(world)
    for number in range(30):
        await world.begin(f"user{number}", "guess")
    assert reason(await world.begin("fresh")) == "brake_source"
    world.later(30)
    assert await login(world)


async def test_the_company_behind_one_nat_logs_in_on_monday_morning(world: World) -> None:
    """Successes count nowhere, and one in ten who mistypes shuts nobody out."""
    for number in range(150):
        await world.give_totp(await world.person(f"user{number}"))
    for number in range(150):
        if number % 10 == 0:
            await world.begin(f"user{number}", "mistyped", origin=NAS)
        assert await login(world, f"user{number}")


@EACH
async def test_a_known_name_is_not_told_from_an_unknown_one_by_the_brake(world: World, settings: BrakeSettings, name: str) -> None:
    """Ada was here before and is let past; what a guess at her is told, and counts, is what a guess at nobody does."""
    world.brakes = settings
    await ada(world)
    here = elsewhere(client="198.51.100.77")
    assert await login(world, origin=here)
    await spray(world, 10)
    heard: dict[str, list[object]] = {}
    for who in ("ada", "nobody"):
        heard[who] = []
        for number in range(9):
            outcome = await world.begin(who, f"guess {number}", origin=here)
            assert isinstance(outcome, Denied)
            heard[who].append((says(outcome).replace(world.trail.reference, ""), outcome.not_before is None))
    assert heard["ada"] == heard["nobody"]
    assert str(heard["ada"][0]).count("Wait 5 minutes")


@EACH
async def test_nor_is_it_told_from_one_when_the_brake_lets_go(world: World, settings: BrakeSettings, name: str) -> None:
    world.brakes = settings
    await ada(world)
    here = elsewhere(client="198.51.100.77")
    assert await login(world, origin=here)
    await spray(world, 10)
    for who in ("ada", "nobody"):
        for number in range(4):
            await world.begin(who, f"guess {number}", origin=here)
    world.later(300)
    after: dict[str, list[str]] = {
        who: [says(await world.begin(who, "guess", origin=here)).replace(world.trail.reference, "") for _ in range(3)]
        for who in ("ada", "nobody")
    }
    assert after["ada"] == after["nobody"]


async def test_a_right_password_with_a_wrong_code_is_told_the_strangers_wait(world: World) -> None:
    """In one field: if a guess at the code were answered otherwise, it would tell that the password was right."""
    world.brakes = NETWORK
    await ada(world)
    here = elsewhere(client="198.51.100.77")
    assert await login(world, origin=here)
    await spray(world, 10)
    told = [
        says(await world.begin("ada", password, code=world.wrong_code(), can_challenge=False, origin=here))
        for password in ("correct horse", "a guess")
    ]
    assert [text[:20] for text in told] == ["Too many tries. Wait"] * 2


async def test_two_names_of_one_person_are_not_linked_by_their_part(world: World) -> None:
    """A bucket is split by the name that was typed, so that the parts of two names say nothing about whose they are."""
    world.brakes = BrakeSettings(**{**LOOSE, "nas_failures": 16 * 64})
    await world.person("ada", mail="ada@acme.test")
    for typed in ("ada", "ada@acme.test", "ACME\\ada", "nobody"):
        await world.begin(typed, "guess")
    parts = {row["key"] for row in await world.rows("brake") if row["kind"] == "nas"}
    assert 2 <= len(parts) <= 4


async def test_the_wait_doubles_and_is_forgotten_after_an_hour_of_peace(world: World) -> None:
    world.brakes = NETWORK
    waits = []
    for attack in range(5):
        await spray(world, 10, first=attack * 20)
        held = await world.begin("fresh", origin=from_there(99))
        waits.append(wait_says(held))
        world.later(waits[-1] * 60)
    assert waits == [5, 10, 20, 40, 60]
    world.later(3600)
    await spray(world, 10, first=150)
    assert wait_says(await world.begin("fresh", origin=from_there(99))) == 5


async def test_mistakes_that_come_slowly_never_empty_a_bucket(world: World) -> None:
    world.brakes = NETWORK
    for number in range(40):
        assert reason(await world.begin(f"user{number}", "mistyped", origin=from_there(number))) == "user_unknown"
        world.later(61)


async def test_fifty_guesses_at_once_are_no_more_than_the_limit(world: World) -> None:
    world.brakes = NETWORK
    outcomes = await at_once(*[world.begin(f"user{n}", "guess", origin=from_there(n)) for n in range(50)])
    judged = [outcome for outcome in outcomes if reason(outcome) == "user_unknown"]
    assert len(judged) == world.directory.checks == 10
    assert len(await world.payloads("engine:brake:locked")) == 1


async def test_fifty_right_logins_at_once_are_all_served_and_leave_every_token(world: World) -> None:
    world.brakes = BrakeSettings(**{**LOOSE, "network_failures": 60})
    for number in range(50):
        await world.give_totp(await world.person(f"user{number}"))
    outcomes = await at_once(*[world.begin(f"user{n}", origin=from_there(n)) for n in range(50)])
    assert all(isinstance(outcome, Challenge) for outcome in outcomes)
    assert await world.failures("network") == 0


async def test_a_token_is_given_back_when_nobody_could_tell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that goes down between the search and the check must not fill the bucket with people who did nothing wrong."""
    world.brakes = NETWORK
    await ada(world)

    async def down(*_: object) -> PasswordVerdict:
        raise DirectoryUnavailable("gone")

    monkeypatch.setattr(world.directory, "check_password", down)
    for number in range(20):
        assert reason(await world.begin("ada", origin=from_there(number))) == "directory_down"
    assert await world.failures("network") == 0


async def test_another_identifier_is_no_other_nas(world: World) -> None:
    """NAS-Identifier is whatever the packet says: a NAS that sends ever new ones must not get a bucket for each."""
    world.brakes = OF_NAS
    for number in range(10):
        await world.begin(f"user{number}", "guess", origin=elsewhere(binding=f"radius:hq:{number}"))
    assert reason(await world.begin("fresh", origin=elsewhere(binding="radius:hq:fresh"))) == "brake_nas"
    assert reason(await world.begin("fresh", origin=elsewhere(binding="radius:branch:", nas="branch"))) == "user_unknown"


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        ("198.51.100.1", "198.51.100.254", True),
        ("198.51.100.1", "198.51.101.1", False),
        ("2001:db8:1::1", "2001:db8:1:ffff::1", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
    ],
)
async def test_a_network_is_what_one_attacker_is_given(world: World, first: str, other: str, same: bool) -> None:
    world.brakes = NETWORK
    for number in range(10):
        await world.begin(f"user{number}", "guess", origin=elsewhere(client=first))
    assert (reason(await world.begin("fresh", origin=elsewhere(client=other))) == "brake_network") is same


async def test_a_good_login_writes_and_reads_nothing_for_them(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await ada(world)
    assert await login(world)
    world.later(30)
    touched: list[str] = []
    commit, read = world.storage.commit, world.storage.read

    async def committed(operations: list[Operation]) -> Any:
        touched.extend(str(getattr(each, "key", {}).get("kind")) for each in operations if getattr(each, "table", "") == "brake")
        return await commit(operations)

    async def seen(finds: list[Find]) -> Any:
        touched.extend(str(each.where[0].value) for each in finds if each.table == "brake")
        return await read(finds)

    monkeypatch.setattr(world.storage, "commit", committed)
    monkeypatch.setattr(world.storage, "read", seen)
    assert await login(world)
    assert touched
    assert set(touched) <= {"user_source", "user", "source"}


async def test_a_flood_under_a_lock_fills_no_table(world: World) -> None:
    """No check of a password slows it down: what is held leaves rows for twenty names a second and no more."""
    world.brakes = NETWORK
    await spray(world, 10)
    world.later(2)
    before = len(await world.rows("brake")), len(await world.rows("audit_event")), len(await world.rows("timeline"))
    await spray(world, 150, first=20)
    after = len(await world.rows("brake")), len(await world.rows("audit_event")), len(await world.rows("timeline"))
    assert [late - early for early, late in zip(before, after, strict=True)] == [40, 20, 20]


# --- what is told of them --------------------------------------------------------------------------------------------


@EACH
async def test_a_lock_is_recorded_with_its_kind_wait_and_level(world: World, settings: BrakeSettings, name: str) -> None:
    world.brakes = settings
    await spray(world, 10)
    [told] = await world.payloads("engine:brake:locked")
    assert (told["brake"], told["wait_s"], told["level"], told["failures"]) == (name.removeprefix("brake_"), 300, 1, 10)


async def test_a_flood_of_names_of_nobody_is_recorded_as_the_lock_that_it_begins(world: World) -> None:
    """Beyond twenty a second guesses at names of nobody are only counted; the lock that one of them begins is told all the same."""
    world.brakes = BrakeSettings(**{**LOOSE, "network_failures": 40})
    await spray(world, 40)
    assert [told["brake"] for told in await world.payloads("engine:brake:locked")] == ["network"]


async def attack(world: World, name: str, times: int = 50, first: int = 0) -> None:
    for number in range(first, first + times):
        await world.begin(name, "guess", origin=elsewhere(client=f"10.{number}.0.1"))


async def test_a_user_under_attack_is_told_by_mail_once_a_day(world: World) -> None:
    user = await world.person("ada", mail="ada@acme.test", language="tr")
    await world.give_totp(user)
    assert await login(world)
    await attack(world, "ada")
    [mail] = await world.messages()
    assert (mail.to, mail.code) == ("ada@acme.test", "")
    assert "50 kez" in mail.text
    world.later(30)
    assert await login(world), "a success begins the count anew"
    await attack(world, "ada", first=100)
    assert len(await world.messages()) == 1
    world.later(86_400)
    assert await login(world)
    await attack(world, "ada", first=150)
    assert len(await world.messages()) == 2


async def test_nobody_is_told_by_mail_when_it_is_off_or_he_has_no_address_or_does_not_exist(world: World) -> None:
    await world.person("bob")
    await attack(world, "bob")
    await attack(world, "nobody")
    world.brakes = BrakeSettings(notify_user=False)
    await world.person("ada", mail="ada@acme.test")
    await attack(world, "ada")
    assert await world.messages() == []


async def test_who_fails_at_codes_from_everywhere_makes_the_owner_be_told_too(world: World) -> None:
    """He knows the password: that is when the owner most needs to hear of it."""
    await world.give_totp(await world.person("ada", mail="ada@acme.test"))
    for number in range(50):
        there = elsewhere(client=f"10.{number}.0.1")
        await world.answer(await world.challenged("ada", origin=there), world.wrong_code(), name="ada", origin=there)
    assert [mail.to for mail in await world.messages()] == ["ada@acme.test"]
