"""Risk for an operator: what a login would be scored as, and files that cannot be used."""

from datetime import timedelta
from pathlib import Path

from tests.mmdb import write_mmdb
from wardgate.admin.office import Office
from wardgate.admin.risk import Coming, assess_now, risk_findings, risk_told
from wardgate.clock import FixedClock
from wardgate.config.document import Document, parse
from wardgate.engine import brakes
from wardgate.risk.assessing import NOT_ASSESSED, Assessor, Seen
from wardgate.risk.settings import ReputationSettings, RiskSettings
from wardgate.storage.port import Insert

ON = RiskSettings(enabled=True)
ADA = "a" * 32
HOME = Coming("203.0.113.7", "radius:hq:", {"hostname": "laptop", "os": "Windows"})


async def grant(office: Office, coming: Coming) -> None:
    """She was let in like that."""
    assessor, now = Assessor(ON), office.clock.now()
    found = await assessor.assess(office.storage, office.ring, ADA, Seen(coming.client, coming.binding, coming.device), now)
    await office.storage.commit(await assessor.remember(office.storage, office.ring, ADA, found.carried, now))


async def test_nothing_is_told_while_risk_is_off(office: Office) -> None:
    found = await assess_now(office, RiskSettings(), ADA, HOME, office.clock.now())
    assert found is NOT_ASSESSED
    assert risk_told(found) is None


async def test_what_would_be_scored_is_told_with_its_reasons_and_written_nowhere(office: Office) -> None:
    await grant(office, HOME)
    before = await office.storage.find("habit")
    abroad = Coming("198.51.100.9", "radius:hq:", HOME.device)
    told = risk_told(await assess_now(office, ON, ADA, abroad, office.clock.now()))
    why = "never let in from 198.51.100.0/24 before"
    assert told == {"score": 25, "band": "safe", "contributions": [{"name": "new_address", "points": 25, "why": why}]}
    assert await office.storage.find("habit") == before


async def test_whom_nobody_has_met_is_at_his_first_login(office: Office) -> None:
    told = risk_told(await assess_now(office, ON, None, HOME, office.clock.now()))
    assert told is not None
    assert [each["name"] for each in told["contributions"]] == ["first_login"]


async def test_failures_are_those_that_the_brake_counts_and_end_with_its_row(office: Office, clock: FixedClock) -> None:
    await grant(office, HOME)
    key = brakes.brake_keys(office.ring, ADA, None, "").user
    until = office.now_ms() + 60_000
    zeros = dict.fromkeys(("window_started_at", "in_flight", "in_flight_until", "locked_until", "level", "succeeded_at"), 0)
    row = {"kind": brakes.USER, "key": key, "failures": 4, "stamps": "[]", "expires_at": until, **zeros}
    await office.storage.commit([Insert("brake", row)])
    found = await assess_now(office, ON, ADA, HOME, clock.now())
    assert found.assessment is not None
    assert found.assessment.told() == {"score": 15, "band": "safe", "recent_failures": 15}
    clock.advance(61)
    assert (await assess_now(office, ON, ADA, HOME, clock.now() + timedelta(0))).band == "safe"
    assert risk_told(await assess_now(office, ON, ADA, HOME, clock.now())) == {"score": 0, "band": "safe", "contributions": []}


async def test_the_country_is_told_even_without_scores(office: Office, tmp_path: Path) -> None:
    settings = RiskSettings(country_file=write_mmdb(tmp_path / "country.mmdb", {"203.0.113.0/24": "TR"}))
    found = await assess_now(office, settings, ADA, HOME, office.clock.now())
    assert (found.country, found.band, risk_told(found)) == ("tr", "", None)


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("203.0.113.7\nnonsense\n")
    (tmp_path / "country.mmdb").write_bytes(b"not at all")
    lists = (ReputationSettings(name="own", file=str(tmp_path / "own.txt")),)
    risk = RiskSettings(enabled=True, country_file=str(tmp_path / "country.mmdb"), reputation=lists)
    told = [finding.what for finding in risk_findings(Document(risk=risk))]
    assert told == [
        f"risk: {tmp_path}/country.mmdb cannot be used, or not whole: it does not end as a file in MaxMind's format does",
        f"risk: {tmp_path}/own.txt cannot be used, or not whole: line 2 is no address or network",
    ]
    assert risk_findings(Document()) == []


def test_conditions_on_what_nothing_tells_are_told() -> None:
    realms = [{"name": "acme", "default": True, "directories": ["local"]}]
    steps = {"steps": [["password"]]}
    rules = [
        {"name": "one", "when": {"any": [{"not": {"country": ["kp"]}}, {"attribute": {"risk": ["x"]}}]}, "then": steps},
        {"name": "two", "then": steps},
    ]
    floors = [{"name": "f", "when": {"risk": "high"}, "then": {"strong_factors": 1}}]
    plain = {"realms": realms, "directories": [{"name": "local", "kind": "local"}]}

    def told(policy: dict[str, object], **risk: object) -> list[str]:
        return [each.what for each in risk_findings(parse({**plain, "policies": [policy], "risk": risk}))]

    no_risk = "policy p: a condition asks for the risk, which nothing tells"
    no_country = "policy p: a condition asks for the country, which nothing tells"
    assert told({"name": "p", "rules": rules}) == [no_country]
    assert told({"name": "p", "rules": rules, "floors": floors}) == [no_risk, no_country]
    assert told({"name": "p", "rules": rules, "floors": floors}, enabled=True) == [no_country]
    assert told({"name": "p", "rules": rules[1:], "tests": [{"given": {"risk": "safe"}, "expect": {"rule": "two"}}]}) == []
