"""Times on pages and in messages are in the zone of the realm, and the zone is named."""

import re
from dataclasses import replace

import pytest

from tests.flows.portal_world import PortalWorld
from tests.flows.test_portal_contacts import HOME, add
from tests.flows.test_portal_enrolment import signed_in
from wardgate.directory.realm import Realm, Realms
from wardgate.engine.settings import NoticeSettings


def in_zone(zone: str) -> PortalWorld:
    """A portal whose realm says whose clocks its people read. The world's time is 09:00 UTC."""
    world = PortalWorld()
    [realm] = list(world.realms)
    world.realms = Realms([Realm(replace(realm.settings, time_zone=zone), realm.directories)])
    return world


@pytest.mark.parametrize(
    ("zone", "clock", "named"),
    [
        ("", "09:00", "Times are in UTC."),
        ("Europe/Istanbul", "12:00", "Times are in Europe/Istanbul (UTC+03:00)."),
        ("Asia/Kolkata", "14:30", "Times are in Asia/Kolkata (UTC+05:30)."),
        ("America/New_York", "04:00", "Times are in America/New_York (UTC-05:00)."),
    ],
)
async def test_pages_tell_times_in_the_zone_of_the_realm_and_name_it(zone: str, clock: str, named: str) -> None:
    world = in_zone(zone)
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        for path in ("/account", "/account/sessions", "/account/authenticators", "/account/activity"):
            page = await browser.get(path)
            assert page.text.count(named) == 1, path
            assert f'<span class="clock">{clock}:' in page.text, path
            # What script reads says the moment itself.
            assert set(re.findall(r'<time dir="ltr" datetime="[^"]*T(\d\d:\d\d)', page.text)) == {"09:00"}, path


async def test_hold_of_a_contact_ends_at_the_same_time_on_pages_and_in_messages() -> None:
    world = in_zone("Europe/Istanbul")
    await world.give_totp(await world.person("ada", mail="ada@acme.test", phone="+905321234567"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        page = await add(world, browser, HOME)
        assert "Until 2026-11-22 12:00 UTC+03:00 it works" in page.text
        page = await browser.get("/account/contacts")
        assert '<span class="day">2026-11-22</span> <span class="clock">12:00:00</span></time> it works for signing in' in page.text
    told = [each.text for each in await world.messages() if not each.code]
    assert told
    assert all("UTC+03:00" in text and "09:00 UTC" not in text for text in told if "2026-" in text)


async def test_a_realm_that_says_nothing_reads_the_zone_of_notices() -> None:
    world = in_zone("")
    world.notices = NoticeSettings(time_zone="Europe/Istanbul")
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        await signed_in(world, browser)
        assert "Europe/Istanbul (UTC+03:00)" in (await browser.get("/account")).text
