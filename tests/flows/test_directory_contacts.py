"""Phones and addresses that were changed in the directory itself: what they open, and when."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.flows.world import BACKENDS, a_storage
from wardgate.account.contact import Source, create_contact
from wardgate.account.directory_contact import first_seen, sighting, vouched
from wardgate.clock import to_ms
from wardgate.directory.local.directory import LocalDirectory
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.engine.reminding import Reminding
from wardgate.engine.runtime import EngineParts

OLD, EVIL, MAIL = "+905321234567", "+905329999999", "ada@acme.test"
DAY_S = 86_400
CHOOSE = "Choose a new password"


def a_world(**fields: object) -> PortalWorld:
    return PortalWorld(directory=MemoryDirectory("local", writable=frozenset(ContactKind)), **fields)  # type: ignore[arg-type]


async def ada(world: PortalWorld) -> tuple[DirectoryUser, list[str]]:
    """Somebody whom the directory gives a phone, with a sheet of recovery codes."""
    user = await world.person("ada", phone=OLD, mail=MAIL)
    await world.give_totp(user)
    return user, await world.give_recovery_codes(user)


async def looked_at(world: PortalWorld) -> None:
    """He signs in, and comes to his account page."""
    world.later(60)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"


async def changed(world: PortalWorld, user: DirectoryUser, value: str | None = EVIL, kind: ContactKind = ContactKind.PHONE) -> None:
    """As somebody does who may write there."""
    await world.directory.write_contact(user, kind, value, 1.0)


async def prove_code(browser: BrowserOfTests, code: str) -> str:
    await browser.post(method="recovery_code", act="choose")
    return (await browser.post(code=code, act="answer")).text


async def prove_phone(world: PortalWorld, browser: BrowserOfTests) -> str:
    await browser.post(method="sms", act="choose")
    return (await browser.post(code=await world.code("ada"), act="answer")).text


async def forgot(browser: BrowserOfTests) -> None:
    await browser.get("/forgot")
    await browser.post("/forgot", username="ada")
    assert browser.path.startswith("/recover/")


async def go_round(world: PortalWorld) -> None:
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration)
    await Reminding(parts).run_once()


@pytest.mark.parametrize("seen_by", [looked_at, go_round], ids=("his account page", "the daily round"))
@pytest.mark.parametrize("phone_first", [True, False], ids=("phone first", "code first"))
async def test_thief_who_changes_the_phone_in_the_directory_resets_nothing_for_a_day(seen_by, phone_first: bool) -> None:  # type: ignore[no-untyped-def]
    """He found a recovery code, and may write a telephone list."""
    world = a_world()
    user, codes = await ada(world)
    await seen_by(world)
    await changed(world, user)
    for code, hours in ((codes[0], 0), (codes[1], 23)):
        world.later(hours * 3600)
        async with world.browser() as browser:
            await forgot(browser)
            first = await prove_phone(world, browser) if phone_first else await prove_code(browser, code)
            if phone_first:
                first = await prove_code(browser, code)
            assert CHOOSE not in first
            assert 'value="sms"' not in first
    world.later(2 * 3600)
    async with world.browser() as browser:
        await forgot(browser)
        await prove_code(browser, codes[2])
        assert CHOOSE in await prove_phone(world, browser)


async def test_hold_of_a_change_begins_with_the_daily_round_that_finds_it() -> None:
    world = a_world()
    user, codes = await ada(world)
    await go_round(world)
    await changed(world, user)
    world.later(DAY_S)
    await go_round(world)
    world.later(DAY_S + 1)
    async with world.browser() as browser:
        await forgot(browser)
        await prove_code(browser, codes[0])
        assert CHOOSE in await prove_phone(world, browser)


async def test_nobody_whom_wardgate_sees_for_the_first_time_waits_for_anything() -> None:
    world = a_world()
    user, codes = await ada(world)
    await changed(world, user, "+905321111111")
    async with world.browser() as browser:
        await forgot(browser)
        await prove_code(browser, codes[0])
        assert CHOOSE in await prove_phone(world, browser)
    [row] = await world.rows("directory_contact")
    assert OLD[1:] not in repr(row)


async def test_number_that_is_written_otherwise_or_that_the_person_verified_here_is_no_new_one() -> None:
    world = a_world()
    user, codes = await ada(world)
    now_ms, subject = to_ms(world.clock.now()), await world.subject_of(user)
    await world.storage.commit(create_contact(world.ring, subject, ContactKind.PHONE, EVIL, Source.PERSON, now_ms, now_ms))
    await looked_at(world)
    world.later(2 * DAY_S)
    await changed(world, user)
    await changed(world, user, MAIL.upper(), ContactKind.MAIL)
    async with world.browser() as browser:
        await forgot(browser)
        await prove_code(browser, codes[0])
        assert CHOOSE in await prove_phone(world, browser)


async def test_number_that_goes_and_comes_back_is_a_new_one() -> None:
    world = a_world()
    user, codes = await ada(world)
    await looked_at(world)
    for value in (None, OLD):
        await changed(world, user, value)
        await looked_at(world)
    async with world.browser() as browser:
        await forgot(browser)
        assert CHOOSE not in await prove_code(browser, codes[0])
        assert 'value="sms"' not in browser.page.text


async def test_stranger_who_asks_for_a_name_writes_nothing_and_starts_no_time() -> None:
    world = a_world()
    user, _ = await ada(world)
    await looked_at(world)
    before = await world.rows("directory_contact")
    await changed(world, user)
    async with world.browser() as browser:
        await forgot(browser)
        await browser.post(method="sms", act="choose")
        await browser.post(code="000000", act="answer")
    assert await world.rows("directory_contact") == before


async def test_changed_phone_still_signs_in() -> None:
    """As a contact of his own on hold does: a hold keeps nobody from his work."""
    world = a_world()
    user, _ = await ada(world)
    await looked_at(world)
    await changed(world, user)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(method="sms", act="other")
        await browser.post(code=await world.code("ada"), act="answer")
        assert browser.path == "/account"


async def test_user_name_is_not_sent_to_an_address_that_the_directory_tells_since_today() -> None:
    world = a_world()
    user, _ = await ada(world)
    await looked_at(world)
    await changed(world, user, "thief@evil.test", ContactKind.MAIL)

    async def asked_for() -> int:
        before = len(await world.messages())
        async with world.browser() as browser:
            await browser.get("/username")
            await browser.post("/username", contact="thief@evil.test")
        return len(await world.messages()) - before

    await looked_at(world)
    assert await asked_for() == 0
    world.later(DAY_S + 1)
    assert await asked_for() == 1


@pytest.mark.parametrize("backend", BACKENDS)
async def test_two_who_look_at_once_leave_one_time(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world = a_world(storage=storage)
        user, _ = await ada(world)
        await looked_at(world)
        await changed(world, user)
        async with world.browser() as one, world.browser() as other:
            for browser in (one, other):
                world.later(60)
                await browser.sign_in("ada")
                await browser.post(code=world.totp(), act="answer")
            await asyncio.gather(one.get("/account"), other.get("/account"), go_round(world))
        [row] = await world.rows("directory_contact")
        first = row["marks"]
        world.later(3600)
        await looked_at(world)
        [row] = await world.rows("directory_contact")
        assert row["marks"] == first


async def test_what_an_operator_writes_into_the_directory_needs_no_age() -> None:
    world = a_world()
    user, codes = await ada(world)
    await looked_at(world)
    await changed(world, user)
    subject = await world.subject_of(user)
    await world.storage.commit([vouched(world.ring, subject, "local", EVIL)])
    async with world.browser() as browser:
        await forgot(browser)
        await prove_code(browser, codes[0])
        assert CHOOSE in await prove_phone(world, browser)


async def test_nothing_is_kept_of_a_directory_that_only_wardgate_writes() -> None:
    world = a_world()
    user, _ = await ada(world)
    own = LocalDirectory(LocalDirectorySettings(name="staff", kind="local"), world.storage, world.hasher, world.clock)
    about = (world.ring, await world.subject_of(user), own, user, [{"marks": "{}"}], 1)
    assert sighting(*about) == ()
    assert first_seen(*about) == {}
    other = (*about[:2], world.directory, *about[3:])
    assert len(sighting(*other)) == 1
    assert sorted(first_seen(*other)) == sorted((OLD, MAIL))


async def test_page_of_contacts_tells_until_when_a_changed_one_resets_nothing() -> None:
    world = a_world()
    user, _ = await ada(world)
    await looked_at(world)
    await changed(world, user)
    async with world.browser() as browser:
        world.later(60)
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.get("/account/contacts")
        until = re.findall(r"it works for signing in, not for resets", page.text)
        assert len(until) == 1
        assert "2026-11-22" in page.text
        world.later(DAY_S + 60)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        assert "not for resets" not in (await browser.get("/account/contacts")).text
