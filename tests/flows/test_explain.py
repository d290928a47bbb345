"""`policy explain` decides on the facts that the engine decides on: read by another way, they must be the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.test_risk import ABROAD, RiskWorld
from tests.flows.world import World
from tests.mmdb import write_mmdb
from tests.unit.admin.memory_kind import MemorySettings, register
from wardgate.admin import policy as admin_policy
from wardgate.admin.office import Office
from wardgate.admin.policy import Asked, explain_decision
from wardgate.config.document import Document
from wardgate.config.reference import EnvReference
from wardgate.config.store import save
from wardgate.directory.settings import RealmSettings
from wardgate.engine import engine
from wardgate.engine.settings import ApplicationSettings
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.kba.settings import KbaSettings
from wardgate.passwords import PasswordHasher
from wardgate.policy.facts import Facts
from wardgate.policy.plan import Decision
from wardgate.policy.rules import Policy, compile_policy, decide
from wardgate.policy.settings import ActionEntrySettings, ActionSettings, PolicySettings, RuleSettings, ThenSettings
from wardgate.radius.settings import NasSettings
from wardgate.risk.settings import RiskSettings


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """The facts of each decision."""
    found: list[Facts] = []

    def look(policy: Policy, facts: Facts) -> Decision:
        found.append(facts)
        return decide(policy, facts)

    monkeypatch.setattr(engine, "decide", look)
    monkeypatch.setattr(admin_policy, "decide", look)
    return found


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(1, 10, time_cost=1, memory_kib=8)
    yield made
    made.close()


async def test_a_login_is_scored_in_an_explanation_as_the_engine_scores_it(
    seen: list[Facts], hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = RiskWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    register(world.directory, monkeypatch)
    countries = write_mmdb(tmp_path / "country.mmdb", {"203.0.113.0/24": "TR", "198.51.100.0/24": "DE"})
    document = Document(
        realms=(RealmSettings(name="acme", default=True, directories=("local",)),),
        directories=(MemorySettings(name="local", kind="memory"),),  # type: ignore[arg-type]
        nas=(NasSettings(name="hq", addresses=("192.0.2.10",), secret=EnvReference(env="X"), application="vpn"),),
        applications=(ApplicationSettings(name="vpn"),),
        risk=RiskSettings(enabled=True, country_file=countries),
    )
    world.use_risk(document.risk)
    await save(world.storage, document, "test", "", 0, world.clock, world.ring)
    await world.logs_in()
    await world.wrong_passwords("ada", 3)
    await world.begin("ada", origin=ABROAD)
    habits = await world.habits()
    office = Office(world.storage, world.ring, world.clock, hasher, "test")
    device = ("hostname=kali", "os=Linux")
    told = await explain_decision(office, user="ada", asked=Asked(nas="hq", client=ABROAD.client, device=device))
    assert seen[-1] == seen[-2]
    assert (seen[-1].country, seen[-1].risk, dict(seen[-1].device)) == ("de", "moderate", dict(ABROAD.device))
    points = {each["name"]: each["points"] for each in told["assessment"]["contributions"]}
    assert {"score": told["assessment"]["score"], "band": "moderate", **points, "country": "de"} == world.assessed(0)
    assert await world.habits() == habits
    assumed = await explain_decision(office, user="ada", asked=Asked(nas="hq", client=ABROAD.client, risk="high", country="fr"))
    assert (assumed["facts"]["risk"], assumed["facts"]["country"]) == ("high", "fr")


@pytest.mark.parametrize("wanted", [5, 6])
async def test_answers_count_in_an_explanation_as_they_do_for_a_login(
    wanted: int, seen: list[Facts], hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five are answered: where six are asked for, they have to be set anew."""
    world = World(kba=KbaSettings(set=wanted))
    await world.give_answers(await world.person("ada"))
    register(world.directory, monkeypatch)
    demand = ActionEntrySettings(enrol="kba", level="forced", deferrals=1)
    rules = (RuleSettings(name="staff", then=ThenSettings(steps=(("password",), ("kba",)))),)
    policy = PolicySettings(name="p", rules=rules, actions=(ActionSettings(name="answers", then=(demand,)),))
    world.policy = compile_policy(policy, KINDS, STRONG_KINDS)
    document = Document(
        realms=(RealmSettings(name="acme", default=True, directories=("local",)),),
        directories=(MemorySettings(name="local", kind="memory"),),  # type: ignore[arg-type]
        nas=(NasSettings(name="hq", addresses=("192.0.2.10",), secret=EnvReference(env="X"), application="vpn"),),
        applications=(ApplicationSettings(name="vpn", policy="p"),),
        policies=(policy,),
        kba=KbaSettings(set=wanted),
    )
    await save(world.storage, document, "test", "", 0, world.clock, world.ring)
    await world.challenged("ada")
    office = Office(world.storage, world.ring, world.clock, hasher, "test")
    told = await explain_decision(office, user="ada", asked=Asked(nas="hq", client="203.0.113.7"))
    of_the_login, of_the_explanation = seen
    assert of_the_explanation == of_the_login
    assert of_the_login.enrolled == {"kba"}
    assert of_the_login.renew == ({"kba"} if wanted > 5 else set())
    assert [each["met"] for each in told["demands"]] == [wanted == 5]


@pytest.mark.parametrize("typed", ["ada", "ACME\\ada", "ada@acme.test"])
async def test_the_facts_are_those_of_a_login(
    typed: str, seen: list[Facts], hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    attributes = {"Department": ("Sales",), "distinguishedName": ("CN=ada,OU=sales,DC=acme,DC=test",)}
    user = await world.person("ada", groups=("Staff",), attributes=attributes, phone="+905321234567")
    await world.give_totp(user)
    await world.give_recovery_codes(user)
    register(world.directory, monkeypatch)
    nas = NasSettings(name="hq", addresses=("192.0.2.10",), secret=EnvReference(env="X"), application="vpn")
    document = Document(
        realms=(RealmSettings(name="acme", default=True, directories=("local",), domains=("acme.test", "ACME")),),
        directories=(MemorySettings(name="local", kind="memory"),),  # type: ignore[arg-type]
        nas=(nas,),
        applications=(ApplicationSettings(name="vpn"),),
    )
    await save(world.storage, document, "test", "", 0, world.clock, world.ring)
    await world.begin(typed, "correct horse")
    office = Office(world.storage, world.ring, world.clock, hasher, "test")
    told = await explain_decision(office, user=typed, asked=Asked(nas="hq", client="203.0.113.7"))
    of_the_login, of_the_explanation = seen
    assert of_the_explanation == of_the_login
    assert of_the_login.enrolled == {"totp", "recovery_code", "sms"}
    assert told["allowed"]
    assert told["rule"] == "default"
