"""Habits: what a grant writes, how often, and how many."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, a_ring, a_storage
from tests.mmdb import write_mmdb
from wardgate.clock import to_ms
from wardgate.crypto import KeyRing
from wardgate.risk import habits
from wardgate.risk.assessing import Assessed, Assessor, Seen
from wardgate.risk.settings import ReputationSettings, RiskSettings
from wardgate.storage.port import Committed, Storage

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)  # a Saturday
SUBJECT, OTHER = "a" * 32, "b" * 32


@pytest.fixture(params=BACKENDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with a_storage(request.param, tmp_path) as opened:
        yield opened


class Person:
    """Somebody who logs in."""

    def __init__(self, storage: Storage, settings: RiskSettings, subject_id: str = SUBJECT, ring: KeyRing | None = None) -> None:
        self.storage = storage
        self.assessor = Assessor(settings)
        self.subject_id = subject_id
        self.ring = ring or a_ring()

    async def looks(self, client: str | None = "203.0.113.7", at: datetime = NOW, **changes: object) -> Assessed:
        told = {"hostname": changes.pop("host", "LAPTOP"), "os": "Windows 11"}
        seen = Seen(client, "radius:hq:", told, **changes)  # type: ignore[arg-type]
        return await self.assessor.assess(self.storage, self.ring, self.subject_id, seen, at)

    async def logs_in(self, client: str | None = "203.0.113.7", at: datetime = NOW, **changes: object) -> dict[str, object]:
        """What was told of the login, which was granted."""
        assessed = await self.looks(client, at, **changes)
        unit = await self.assessor.remember(self.storage, self.ring, self.subject_id, assessed.carried, at)
        if unit:
            assert isinstance(await self.storage.commit(unit), Committed)
        assert assessed.assessment is not None
        return assessed.assessment.told()

    async def rows(self, kind: str | None = None) -> int:
        rows = await self.storage.find("habit")
        return sum(kind is None or row["kind"] == kind for row in rows)


@pytest.fixture
def ada(storage: Storage) -> Person:
    return Person(storage, RiskSettings(enabled=True))


async def test_the_second_login_is_compared_with_the_first(ada: Person) -> None:
    assert await ada.logs_in() == {"score": 20, "band": "safe", "first_login": 20}
    assert await ada.logs_in("203.0.113.99") == {"score": 0, "band": "safe"}
    assert await ada.logs_in("198.51.100.1", host="tablet") == {"score": 45, "band": "low", "new_address": 25, "new_device": 20}
    assert await ada.logs_in("198.51.100.2", host="Tablet") == {"score": 0, "band": "safe"}


async def test_looking_writes_nothing(ada: Person) -> None:
    await ada.looks()
    assert await ada.rows() == 0


async def test_a_value_is_written_once_an_hour_at_most(ada: Person) -> None:
    await ada.logs_in()
    before = await ada.storage.find("habit", order_by="kind")
    later = await ada.looks(at=NOW + timedelta(minutes=40))
    # The 40 minutes lie in the same hour of the week.
    assert later.carried == "0."
    assert await ada.assessor.remember(ada.storage, ada.ring, SUBJECT, later.carried, NOW) == ()
    await ada.logs_in(at=NOW + timedelta(minutes=61))
    after = {str(row["kind"]): row for row in await ada.storage.find("habit") if row["kind"] != "hour"}
    assert [row["times"] for row in before] == [1] * 4
    assert {row["times"] for row in after.values()} == {2}
    assert {row["first_at"] for row in after.values()} == {to_ms(NOW)}


async def test_two_logins_that_began_together_count_once(ada: Person) -> None:
    one, other = await ada.looks(), await ada.looks()
    for each in (one, other):
        await ada.storage.commit(await ada.assessor.remember(ada.storage, ada.ring, SUBJECT, each.carried, NOW))
    assert {row["times"] for row in await ada.storage.find("habit")} == {1}


async def test_a_person_who_moves_about_fills_no_table(storage: Storage) -> None:
    ada = Person(storage, RiskSettings(enabled=True, remembered=5))
    for number in range(12):
        await ada.logs_in(f"10.0.{number}.1", at=NOW + timedelta(hours=2 * number), host=f"machine {number}")
    assert (await ada.rows("place"), await ada.rows("device")) == (5, 5)
    at = NOW + timedelta(days=2)
    assert (await ada.looks("10.0.11.1", at=at, host="machine 11")).band == "safe"
    forgotten = (await ada.looks("10.0.0.1", at=at, host="machine 0")).assessment
    assert forgotten is not None
    assert [each.name for each in forgotten.contributions] == ["new_address", "new_device"]


async def test_what_is_known_of_one_says_nothing_of_another(storage: Storage) -> None:
    ring, settings = a_ring(), RiskSettings(enabled=True)
    ada, bob = Person(storage, settings, ring=ring), Person(storage, settings, OTHER, ring)
    await ada.logs_in()
    assert (await bob.logs_in())["first_login"] == 20
    keys = [row["value_key"] for row in await storage.find("habit") if row["kind"] != "login"]
    assert len(set(keys)) == len(keys)


async def test_no_address_or_name_stands_in_the_table(ada: Person) -> None:
    await ada.logs_in("203.0.113.7", host="adas-laptop")
    shown = repr(await ada.storage.find("habit"))
    assert "203.0.113" not in shown
    assert "laptop" not in shown


async def test_a_login_without_address_is_compared_by_its_nas(ada: Person) -> None:
    await ada.logs_in(None)
    assert await ada.logs_in(None) == {"score": 0, "band": "safe"}
    assert await ada.logs_in("203.0.113.7") == {"score": 25, "band": "safe", "new_address": 25}


async def test_a_machine_that_tells_nothing_all_at_once_is_new(ada: Person) -> None:
    await ada.logs_in()
    seen = Seen("203.0.113.7", "radius:hq:", {})
    found = (await ada.assessor.assess(ada.storage, ada.ring, SUBJECT, seen, NOW)).assessment
    assert found is not None
    assert found.told() == {"score": 20, "band": "safe", "new_device": 20}


async def test_hours_beside_a_usual_one_are_usual(storage: Storage) -> None:
    ada = Person(storage, RiskSettings(enabled=True, hours_after_logins=3, time_zone="Europe/Istanbul"))
    for week in range(3):
        await ada.logs_in(at=NOW + timedelta(weeks=week))
    at = NOW + timedelta(weeks=3)
    assert ada.assessor.hour_of_week(NOW) == 5 * 24 + 12
    for hours in (-1, 0, 1):
        assert (await ada.looks(at=at + timedelta(hours=hours))).band == "safe"
    found = (await ada.looks(at=at + timedelta(hours=2))).assessment
    assert found is not None
    assert found.told() == {"score": 10, "band": "safe", "unusual_hour": 10}


async def test_a_week_goes_round(storage: Storage) -> None:
    ada = Person(storage, RiskSettings(enabled=True, hours_after_logins=1))
    sunday_night = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)
    await ada.logs_in(at=sunday_night)
    assert (await ada.logs_in(at=sunday_night + timedelta(hours=1)))["score"] == 0


async def test_countries_are_compared_once_one_is_known(storage: Storage, tmp_path: Path) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"203.0.113.0/24": "TR", "198.51.100.0/24": "DE", "192.0.2.0/24": "TR"})
    ada = Person(storage, RiskSettings(enabled=True))
    await ada.logs_in()
    ada.assessor = Assessor(RiskSettings(enabled=True, country_file=file))
    assert (await ada.logs_in("198.51.100.1")) == {"score": 25, "band": "safe", "new_address": 25}
    assert (await ada.logs_in("203.0.113.7")) == {"score": 35, "band": "low", "new_country": 35}
    assert (await ada.logs_in("192.0.2.7")) == {"score": 25, "band": "safe", "new_address": 25}
    assert (await ada.looks("192.0.2.7")).country == "tr"
    assert (await ada.looks("10.0.0.1")).country == ""


async def test_a_clock_that_was_set_back_keeps_nothing_from_being_written(ada: Person) -> None:
    await ada.logs_in(at=NOW + timedelta(days=300))
    await ada.logs_in(at=NOW)
    rows = [row for row in await ada.storage.find("habit") if row["kind"] == "place"]
    assert [row["last_at"] for row in rows] == [to_ms(NOW)]


async def test_forgetting_takes_all_of_one_person_and_nothing_of_another(storage: Storage) -> None:
    ring, settings = a_ring(), RiskSettings(enabled=True)
    ada, bob = Person(storage, settings, ring=ring), Person(storage, settings, OTHER, ring)
    await ada.logs_in()
    await bob.logs_in()
    await storage.commit([habits.forget_habits(SUBJECT)])
    assert {row["subject_id"] for row in await storage.find("habit")} == {OTHER}
    assert (await ada.logs_in())["first_login"] == 20


async def test_the_gravest_list_counts(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "tor.txt").write_text("203.0.113.0/28\n")
    lists = (
        ReputationSettings(name="abuse", cidr=("203.0.113.0/24", "2001:db8::/32"), points=30),
        ReputationSettings(name="tor", file=str(tmp_path / "tor.txt"), points=90),
        ReputationSettings(name="gone", file=str(tmp_path / "none.txt"), points=900),
    )
    ada = Person(storage, RiskSettings(enabled=True, reputation=lists))
    assert (await ada.logs_in("203.0.113.7"))["reputation"] == 90
    assert (await ada.logs_in("203.0.113.77"))["reputation"] == 30
    assert "reputation" not in await ada.logs_in("192.0.2.1")
    assert "reputation" not in await ada.logs_in(None)
    assert ada.assessor.problems() == [(str(tmp_path / "none.txt"), "No such file or directory")]


async def test_a_list_that_grows_is_taken_up_at_the_next_look(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("# nobody yet\n")
    ada = Person(storage, RiskSettings(enabled=True, reputation=(ReputationSettings(name="own", file=str(path)),)))
    assert "reputation" not in await ada.logs_in()
    path.write_text("203.0.113.7\n")
    ada.assessor.refresh()
    assert (await ada.logs_in())["reputation"] == 50


async def test_without_scores_only_the_country_is_told_and_nothing_is_read(storage: Storage, tmp_path: Path) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"203.0.113.0/24": "TR"})
    ada = Person(storage, RiskSettings(country_file=file))
    storage.read = None  # type: ignore[method-assign, assignment]
    assert await ada.looks() == Assessed("tr")
