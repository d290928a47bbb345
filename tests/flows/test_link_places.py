"""The page of a short link says which place a login was asked from, where the operator's file tells it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.flows.test_short_links import LinkWorld, link_in, owner_of_a_passkey
from tests.flows.world import BACKENDS, NAS, a_storage
from tests.mmdb import country_record, write_mmdb
from wardgate.engine.runtime import EngineConfiguration
from wardgate.risk.assessing import Assessor
from wardgate.risk.settings import RiskSettings

BERLIN = {**country_record("DE"), "city": {"names": {"en": "Berlin <b>", "tr": "Berlin"}}}


@dataclass
class PlacedWorld(LinkWorld):
    """One with a file of places, or without."""

    assessor: Assessor | None = None

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        return replace(super().configuration(), risk=self.assessor)


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[PlacedWorld]:
    """An empty world, on each storage."""
    async with a_storage(request.param, tmp_path) as storage:
        yield PlacedWorld(storage=storage)


async def page_for(world: PlacedWorld, client: str, language: str = "en") -> str:
    """What the page says of a login that was asked from this address. The browser is somewhere else."""
    await owner_of_a_passkey(world)
    asked = await world.challenged("ada", origin=replace(NAS, client=client))
    async with world.browser("192.0.2.1", headers={"accept-language": language}) as browser:
        return (await browser.get(link_in(asked))).text


async def test_a_phished_link_says_from_which_city_it_was_asked(world: PlacedWorld, tmp_path: Path) -> None:
    world.assessor = Assessor(RiskSettings(country_file=write_mmdb(tmp_path / "places.mmdb", {"198.51.100.0/24": BERLIN})))
    told = await page_for(world, "198.51.100.66")
    assert "<dt>Place</dt><dd><bdi>Berlin &lt;b&gt;, Somewhere</bdi></dd>" in told
    assert "198.51.100.66" in told


async def test_it_is_told_in_the_language_of_the_page_where_the_file_has_it(world: PlacedWorld, tmp_path: Path) -> None:
    world.assessor = Assessor(RiskSettings(country_file=write_mmdb(tmp_path / "places.mmdb", {"198.51.100.0/24": BERLIN})))
    assert "<dt>Yer</dt><dd><bdi>Berlin, Somewhere</bdi></dd>" in await page_for(world, "198.51.100.66", "tr")


@pytest.mark.parametrize(("language", "words"), [("en", "unknown place"), ("tr", "bilinmeyen yer")])
@pytest.mark.parametrize("client", ["203.0.113.9", "10.0.0.7", "2001:db8::7"])
async def test_an_address_of_no_known_place_is_told_as_that(
    world: PlacedWorld, tmp_path: Path, client: str, language: str, words: str
) -> None:
    world.assessor = Assessor(RiskSettings(country_file=write_mmdb(tmp_path / "places.mmdb", {"198.51.100.0/24": "DE"})))
    assert f"<dd>{words}</dd>" in await page_for(world, client, language)


@pytest.mark.parametrize("assessor", [None, Assessor(RiskSettings(enabled=True))])
async def test_without_a_file_nothing_is_said_of_places(world: PlacedWorld, assessor: Assessor | None) -> None:
    world.assessor = assessor
    told = await page_for(world, "198.51.100.66")
    assert "Asked from" in told
    assert "Place" not in told
    assert "unknown place" not in told


async def test_a_file_that_cannot_be_read_makes_no_page_fail(world: PlacedWorld, tmp_path: Path) -> None:
    (tmp_path / "places.mmdb").write_bytes(b"no such format")
    world.assessor = Assessor(RiskSettings(country_file=str(tmp_path / "places.mmdb")))
    assert "unknown place" in await page_for(world, "198.51.100.66")
