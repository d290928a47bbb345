"""Logins that are scored: what makes one stand out, who becomes known by what, and what rules may do with it."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.flows.test_radius_door import Door, a_nas
from tests.flows.world import BACKENDS, NAS, World, a_storage, elsewhere, floor, is_granted, reason, rule
from tests.mmdb import write_mmdb
from wardgate.directory.port import DirectoryUser, PasswordVerdict
from wardgate.engine.outcome import Challenge, Origin, Outcome
from wardgate.engine.runtime import EngineConfiguration
from wardgate.radius.attributes import encode_attribute
from wardgate.radius.packet import Attribute, Code, Type
from wardgate.radius.vendors import paloalto
from wardgate.risk.assessing import Assessor
from wardgate.risk.settings import ReputationSettings, RiskBandsSettings, RiskPointsSettings, RiskSettings
from wardgate.storage.port import Find, Row

ON = RiskSettings(enabled=True)
LAPTOP = {"hostname": "ADAS-LAPTOP", "os": "Microsoft Windows 11", "app_version": "6.2"}
AT_HOME = elsewhere(device=LAPTOP)
ABROAD = elsewhere(client="198.51.100.9", device={"hostname": "kali", "os": "Linux"})


@dataclass
class RiskWorld(World):
    """A world in which risk can be switched on."""

    assessor: Assessor | None = None

    def use_risk(self, settings: RiskSettings = ON) -> None:
        """Put settings in force."""
        self.assessor = Assessor(settings)

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        return replace(super().configuration(), risk=self.assessor)

    async def logs_in(self, name: str = "ada", origin: Origin = AT_HOME) -> Outcome:
        """Password, and the app's code."""
        self.later(30)
        asked = await self.begin(name, origin=origin)
        return await self.answer(asked, self.totp(), name=name, origin=origin) if isinstance(asked, Challenge) else asked

    def assessed(self, back: int = 1) -> Mapping[str, object]:
        """What the timeline says of the risk of a login; by default of the last one, which had an answer."""
        [told] = [detail for _, what, detail in self.trails[-1 - back].steps if what == "risk assessed"]
        return {name: value for name, value in told.items() if value is not None}

    async def habits(self) -> list[Row]:
        """Everything that is remembered."""
        return await self.rows("habit")


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RiskWorld]:
    async with a_storage(request.param, tmp_path) as storage:
        yield RiskWorld(storage)


@pytest.fixture
async def ada(world: RiskWorld) -> DirectoryUser:
    ada = await world.person("ada")
    await world.give_totp(ada)
    return ada


# --- a login scored ------------------------------------------------------------------------------------------------------


async def test_a_login_is_compared_with_those_before_it(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    assert is_granted(await world.logs_in())
    assert world.assessed() == {"score": 20, "band": "safe", "first_login": 20}
    assert is_granted(await world.logs_in())
    assert world.assessed() == {"score": 0, "band": "safe"}
    assert is_granted(await world.logs_in(origin=ABROAD))
    assert world.assessed() == {"score": 45, "band": "low", "new_address": 25, "new_device": 20}
    assert is_granted(await world.logs_in(origin=ABROAD))
    assert world.assessed() == {"score": 0, "band": "safe"}


async def test_a_grant_says_in_the_audit_trail_how_its_login_was_scored(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    await world.logs_in()
    await world.logs_in(origin=ABROAD)
    granted = await world.payloads("engine:login:granted")
    assert [each["risk"] for each in granted] == [
        {"score": 20, "band": "safe", "first_login": 20},
        {"score": 45, "band": "low", "new_address": 25, "new_device": 20},
    ]
    assert (await world.verified()).findings == ()


async def test_a_login_that_is_a_row_carries_its_score_as_one_that_is_sealed_does(world: RiskWorld) -> None:
    """A code that is sent makes a row; so does a wrong code."""
    await world.person("bob", phone="+905321234567", display_name="Bob")
    bob = await world.person("carol")
    await world.give_totp(bob)
    world.use_risk()
    asked = await world.begin("bob", origin=AT_HOME)
    assert is_granted(await world.answer(asked, await world.code(), name="bob", origin=AT_HOME))
    asked = await world.begin("carol", origin=AT_HOME)
    asked = await world.answer(asked, world.wrong_code(), name="carol", origin=AT_HOME)
    assert is_granted(await world.answer(asked, world.totp(), name="carol", origin=AT_HOME))
    assert [each["risk"] for each in await world.payloads("engine:login:granted")] == [
        {"score": 20, "band": "safe", "first_login": 20}
    ] * 2
    assert len({row["subject_id"] for row in await world.habits()}) == 2


async def test_all_in_one_request_is_scored_as_a_dialogue_is(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    assert is_granted(await world.begin("ada", code=world.totp(), origin=AT_HOME, can_challenge=False))
    assert world.assessed(0) == {"score": 20, "band": "safe", "first_login": 20}
    world.later(30)
    assert is_granted(await world.begin("ada", code=world.totp(), origin=ABROAD, can_challenge=False))
    assert world.assessed(0) == {"score": 45, "band": "low", "new_address": 25, "new_device": 20}


async def test_a_nas_that_vouches_for_the_password_changes_nothing_of_it(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    vouched: dict[str, Any] = {"proved_elsewhere": frozenset({"password"}), "origin": AT_HOME}
    asked = await world.begin("ada", None, **vouched)
    assert is_granted(await world.answer(asked, world.totp(), name="ada", origin=AT_HOME))
    await world.logs_in()
    assert world.assessed() == {"score": 0, "band": "safe"}


async def test_what_was_judged_is_learned_whatever_the_answer_says(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    asked = await world.begin("ada", origin=AT_HOME)
    assert is_granted(await world.answer(asked, world.totp(), name="ada", origin=elsewhere(client=ABROAD.client)))
    await world.logs_in()
    assert world.assessed() == {"score": 0, "band": "safe"}
    await world.logs_in(origin=elsewhere(client=ABROAD.client, device=LAPTOP))
    assert world.assessed() == {"score": 25, "band": "safe", "new_address": 25}


async def test_failures_before_a_login_are_part_of_its_score(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    await world.logs_in()
    await world.wrong_passwords("ada", 3, origin=elsewhere(client="192.0.2.77"))
    await world.logs_in()
    assert world.assessed() == {"score": 15, "band": "safe", "recent_failures": 15}
    await world.logs_in()
    assert world.assessed() == {"score": 0, "band": "safe"}


def _told_by_globalprotect(client: str, hostname: str, system: str) -> tuple[Attribute, ...]:
    pairs = ((paloalto.CLIENT_SOURCE_IP, client), (paloalto.CLIENT_HOSTNAME, hostname), (paloalto.CLIENT_OS, system))
    return tuple(encode_attribute(definition, text) for definition, text in pairs)


@pytest.mark.parametrize("mode", ["challenge", "password_then_code", "code_only"])
async def test_a_firewalls_attributes_are_scored_the_same_in_every_mode(world: RiskWorld, ada: DirectoryUser, mode: str) -> None:
    """Whole packets, as PAN-OS sends them: what it tells of the machine are facts, and what is new adds the same."""
    world.use_risk()
    door = Door(world, a_nas(vendor="paloalto", mode=mode))

    async def login(attributes: tuple[Attribute, ...]) -> tuple[Code, Mapping[str, object]]:
        world.later(30)
        first = {"challenge": "correct horse", "password_then_code": "correct horse" + world.totp(), "code_only": world.totp()}
        reply = await door.sends("ada", first[mode], attributes=attributes)
        assert door.trail is not None
        [told] = [detail for _, what, detail in door.trail.steps if what == "risk assessed"]
        if reply.code is Code.ACCESS_CHALLENGE:
            state = next(value for number, value in reply.attributes if number == Type.STATE)
            reply = await door.sends("ada", world.totp(), state=state, attributes=attributes)
        return reply.code, {name: value for name, value in told.items() if value is not None}

    home = _told_by_globalprotect("203.0.113.7", "ADAS-LAPTOP", "Microsoft Windows 11")
    assert await login(home) == (Code.ACCESS_ACCEPT, {"score": 20, "band": "safe", "first_login": 20})
    assert await login(home) == (Code.ACCESS_ACCEPT, {"score": 0, "band": "safe"})
    stranger = _told_by_globalprotect("198.51.100.9", "kali", "Linux")
    new = {"score": 45, "band": "low", "new_address": 25, "new_device": 20}
    assert await login(stranger) == (Code.ACCESS_ACCEPT, new)
    world.use_policy([rule("laptops", ["password"], ["totp"], when={"device": {"hostname": "adas-laptop"}})])
    assert (await login(home))[0] is Code.ACCESS_ACCEPT
    assert (await login(stranger))[0] is Code.ACCESS_REJECT


# --- who becomes known ---------------------------------------------------------------------------------------------------


async def test_a_thief_of_the_password_does_not_become_known_by_failing(world: RiskWorld, ada: DirectoryUser) -> None:
    """With the right password, from a new place, again and again: wrong codes, codes never given, logins given up."""
    world.use_risk()
    await world.logs_in()
    before = await world.habits()
    for _ in range(3):
        asked = await world.begin("ada", origin=ABROAD)
        await world.answer(asked, world.wrong_code(), name="ada", origin=ABROAD)
        asked = await world.begin("ada", origin=ABROAD)
        assert isinstance(asked, Challenge)
        await world.engine.cancel(asked.handle, world.trail)
    assert await world.habits() == before
    world.later(3600)
    asked = await world.begin("ada", origin=ABROAD)
    assert isinstance(asked, Challenge)
    told = world.assessed(0)
    assert (told["new_address"], told["new_device"]) == (25, 20)


async def test_a_thief_of_the_password_does_not_become_known_by_being_denied(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    await world.logs_in()
    before = await world.habits()
    world.use_policy([rule("risky", when={"risk": ["low", "moderate", "high"]}, deny=True), rule("all", ["password"])])
    for _ in range(3):
        assert reason(await world.begin("ada", origin=ABROAD)) == "rule_denies"
        assert world.assessed(0)["band"] == "low"
    assert await world.habits() == before


async def test_a_password_that_has_to_be_changed_makes_nobody_known(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    await world.logs_in()
    before = await world.habits()
    world.directory.change_verdict(ada, PasswordVerdict.MUST_CHANGE)
    refused = await world.logs_in(origin=ABROAD)
    assert reason(refused) == "must_change"
    assert await world.habits() == before


async def test_a_wrong_password_costs_no_look_at_habits(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    asked = _reads(world)
    await world.wrong_passwords("ada", 2, origin=ABROAD)
    assert "habit" not in asked
    assert not [what for trail in world.trails for _, what, _ in trail.steps if what == "risk assessed"]


async def test_the_known_name_of_a_machine_lowers_nothing_below_its_address(world: RiskWorld, ada: DirectoryUser) -> None:
    """Whoever knows what her laptop is called says so: the address stands out all the same."""
    world.use_risk()
    await world.logs_in()
    await world.begin("ada", origin=elsewhere(client=ABROAD.client, device=LAPTOP))
    assert world.assessed(0) == {"score": 25, "band": "safe", "new_address": 25}


# --- what rules do with it -----------------------------------------------------------------------------------------------


async def test_a_rule_asks_for_more_where_a_login_stands_out(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    world.use_policy([rule("usual", ["password"], when={"risk": "safe"}), rule("other", ["password"], ["totp"])])
    assert is_granted(await world.begin("ada", origin=AT_HOME))
    assert is_granted(await world.begin("ada", origin=AT_HOME))
    asked = await world.begin("ada", origin=ABROAD)
    assert isinstance(asked, Challenge)
    assert is_granted(await world.answer(asked, world.totp(), name="ada", origin=ABROAD))
    assert is_granted(await world.begin("ada", origin=ABROAD))


async def test_a_floor_holds_on_top_where_a_login_stands_out(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk(RiskSettings(enabled=True, reputation=(ReputationSettings(name="tor", cidr=("198.51.100.0/24",), points=100),)))
    world.use_policy(
        [rule("all", ["password"], ["sms", "totp"])],
        [floor("risky", strong=1, never=("sms",), when={"risk": ["high"]})],
    )
    asked = await world.begin("ada", origin=ABROAD)
    assert isinstance(asked, Challenge)
    assert world.assessed(0) == {"score": 120, "band": "high", "first_login": 20, "reputation": 100}
    assert asked.factor == "totp"


async def test_no_band_holds_while_risk_is_off(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_policy([rule("usual", ["password"], when={"risk": ["safe", "low", "moderate", "high"]})])
    assert reason(await world.begin("ada", origin=AT_HOME)) == "no_rule"


async def test_a_rule_by_country_needs_no_scores(world: RiskWorld, ada: DirectoryUser, tmp_path: Path) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"203.0.113.0/24": "TR", "198.51.100.0/24": "DE"})
    world.use_risk(RiskSettings(country_file=file))
    world.use_policy([rule("home", ["password"], when={"country": ["TR"]})])
    assert is_granted(await world.begin("ada", origin=AT_HOME))
    assert reason(await world.begin("ada", origin=ABROAD)) == "no_rule"
    assert reason(await world.begin("ada", origin=elsewhere(client=None))) == "no_rule"
    assert await world.habits() == []


async def test_a_country_file_that_is_gone_lets_nobody_in_by_country(world: RiskWorld, ada: DirectoryUser, tmp_path: Path) -> None:
    world.use_risk(RiskSettings(country_file=str(tmp_path / "none.mmdb")))
    world.use_policy([rule("home", ["password"], when={"country": ["TR"]}), rule("all", ["password"], ["totp"])])
    asked = await world.begin("ada", origin=AT_HOME)
    assert isinstance(asked, Challenge)


async def test_a_rule_by_what_the_firewall_tells_of_the_machine(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_policy([rule("laptops", ["password"], when={"device": {"hostname": "adas-laptop"}})])
    assert is_granted(await world.begin("ada", origin=AT_HOME))
    assert reason(await world.begin("ada", origin=NAS)) == "no_rule"


# --- off -----------------------------------------------------------------------------------------------------------------


async def test_while_risk_is_off_nothing_is_read_written_or_carried(world: RiskWorld, ada: DirectoryUser) -> None:
    asked = _reads(world)
    await world.logs_in()
    assert "habit" not in asked
    assert await world.habits() == []
    assert "risk" not in (await world.payloads("engine:login:granted"))[0]


async def test_what_a_login_carries_is_not_written_once_risk_is_switched_off(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    asked = await world.begin("ada", origin=AT_HOME)
    world.assessor = None
    assert is_granted(await world.answer(asked, world.totp(), name="ada", origin=AT_HOME))
    assert await world.habits() == []


async def test_no_address_and_no_name_of_a_machine_is_kept(world: RiskWorld, ada: DirectoryUser) -> None:
    world.use_risk()
    await world.logs_in()
    kept = json.dumps([{name: repr(value) for name, value in row.items()} for row in await world.habits()]).lower()
    assert "203.0.113" not in kept
    assert "laptop" not in kept


async def test_a_whole_score_still_fits_into_the_state(world: RiskWorld, ada: DirectoryUser) -> None:
    """Everything stands out, and nothing is known: the longest that a login carries."""
    world.use_risk(
        RiskSettings(
            enabled=True,
            points=RiskPointsSettings(new_address=1000, new_device=1000),
            bands=RiskBandsSettings(low=1, moderate=2, high=3),
            failures=1,
            reputation=(ReputationSettings(name="here", cidr=("198.51.100.0/24",), points=1000),),
        )
    )
    await world.logs_in()
    await world.wrong_passwords("ada", 1, origin=AT_HOME)
    asked = await world.begin("ada", origin=ABROAD)
    assert isinstance(asked, Challenge)
    assert len(asked.handle) <= 253
    assert await world.rows("login_transaction") == []


def _reads(world: RiskWorld) -> set[str]:
    """The tables that are read from now on."""
    asked: set[str] = set()
    read = world.storage.read

    async def noting(finds: list[Find]) -> list[list[Row]]:
        asked.update(find.table for find in finds)
        return await read(finds)

    world.storage.read = noting  # type: ignore[method-assign, assignment]
    return asked
