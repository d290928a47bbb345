"""The daily round of reminders: who is told, once, on however many nodes, and who is not."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.portal_world import PortalWorld
from tests.flows.world import BACKENDS, a_storage
from wardgate.account.contact import Source, create_contact
from wardgate.account.subject import SubjectId, create_subject
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.delivery.port import Channel
from wardgate.directory.local.directory import LocalDirectory
from wardgate.directory.memory import Behaviour
from wardgate.directory.port import AccountState, ContactKind, DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import LocalDirectorySettings, PasswordPolicySettings
from wardgate.engine.reminding import AT_ONCE, Reminding
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import NoticeSettings
from wardgate.storage.port import Insert

DAY_S = 86_400
MAIL = "ada@acme.test"


def round_of(world: PortalWorld) -> Reminding:
    """A node's."""
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, public_url=world.origin)
    return Reminding(parts)


async def texts(world: PortalWorld) -> list[str]:
    return [each.text for each in reversed(await world.messages())]


async def ending(days: float, **fields: object) -> tuple[PortalWorld, DirectoryUser]:
    world = PortalWorld()
    user = await world.person("ada", mail=MAIL, **fields)
    world.directory.change_end(user, world.clock.now() + timedelta(days=days))
    return world, user


async def contact(world: PortalWorld, user: DirectoryUser, value: str = "own@home.test", verified: bool = True) -> None:
    now_ms = to_ms(world.clock.now())
    subject = await world.subject_of(user)
    created = create_contact(world.ring, subject, ContactKind.MAIL, value, Source.PERSON, now_ms if verified else None, now_ms)
    await world.storage.commit(created)


async def test_end_of_a_password_is_mailed_on_each_of_the_days_to_who_never_signs_in() -> None:
    world, user = await ending(20)
    told = []
    for _ in range(21):
        before = len(await world.messages())
        await round_of(world).run_once()
        told.append(len(await world.messages()) - before)
        world.later(DAY_S)
    assert sum(told) == 4
    assert [20 - day for day, number in enumerate(told) if number] == [14, 7, 3, 1]
    first = (await texts(world))[0]
    assert "Change it at https://login.acme.test/account/password." in first
    assert "/l/" not in first
    events = await world.payloads("engine:reminder:sent")
    assert events == [{"actor": "engine", "user": "ada", "directory": "local", "why": "password"}] * 4
    assert (await world.verified()).findings == ()
    assert user.name == "ada"


@pytest.mark.parametrize("backend", BACKENDS)
async def test_two_nodes_that_go_round_at_once_tell_it_once(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world = PortalWorld(storage=storage)
        for number in range(5):
            user = await world.person(f"user{number}", mail=f"u{number}@acme.test")
            world.directory.change_end(user, world.clock.now() + timedelta(days=3))
            await contact(world, user, f"own{number}@home.test")
        world.later(1)
        await asyncio.gather(*(round_of(world).run_once() for _ in range(4)))
        assert len(await world.events("engine:reminder:sent")) == 5
        assert len(await world.messages()) == 10


async def test_round_is_gone_once_a_day_whatever_node_looks() -> None:
    world, _ = await ending(3)
    assert await round_of(world).run_once() == 1
    other = await world.person("eve", mail="eve@acme.test")
    world.directory.change_end(other, world.clock.now() + timedelta(days=3))
    world.later(3600)
    assert await round_of(world).run_once() == 0
    world.later(20 * 3600)
    assert await round_of(world).run_once() == 1


async def test_who_was_told_at_a_login_is_not_mailed_and_the_other_way_round() -> None:
    world, user = await ending(3)
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert "runs out" in page.text
    assert await round_of(world).run_once() == 0
    world.later(2.5 * DAY_S)
    assert await round_of(world).run_once() == 1
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert "runs out" not in page.text


async def test_person_of_a_local_directory_is_mailed_by_its_rules() -> None:
    world = PortalWorld()
    rules = PasswordPolicySettings(max_age_days=30)
    local = LocalDirectory(
        LocalDirectorySettings(name="staff", kind="local", password_policy=rules), world.storage, world.hasher, world.clock
    )
    world.realms = Realms([Realm(next(iter(world.realms)).settings, (local,))])
    now_ms = to_ms(world.clock.now())
    row = {
        "id": "7" * 32,
        "directory": "staff",
        "name": "ada",
        "name_key": "ada",
        "display_name": "",
        "mail": MAIL,
        "mail_key": MAIL,
    }
    row |= {"phone": None, "language": "tr", "groups": "[]", "attributes": "{}", "must_change": 0, "state": "active"}
    row |= {"password_hash": await world.hasher.hash(Secret("old")), "password_changed_at": now_ms, "expires_at": None}
    await world.storage.commit([Insert("local_user", {**row, "created_at": now_ms, "version": 1})])
    _, met = create_subject("staff", "7" * 32, now_ms)
    await world.storage.commit(met)
    assert await round_of(world).run_once() == 0
    world.later(23.5 * DAY_S)
    assert await round_of(world).run_once() == 1
    [message] = await world.messages()
    assert (message.to, message.channel) == (MAIL, Channel.EMAIL)
    assert "https://login.acme.test/account/password" in message.text
    assert "asla sormayız" in message.text


async def test_contacts_are_asked_about_half_a_year_after_the_last_was_verified_and_then_each_half_year() -> None:
    world = PortalWorld()
    user = await world.person("ada", mail=MAIL)
    await contact(world, user)
    days = []
    for day in range(0, 720, 20):
        if await round_of(world).run_once():
            days.append(day)
        world.later(20 * DAY_S)
    assert days == [180, 360, 540]
    assert {each.to for each in await world.messages()} == {MAIL, "own@home.test"}
    assert "at https://login.acme.test/account/contacts." in (await texts(world))[0]
    assert [each["why"] for each in await world.payloads("engine:reminder:sent")] == ["contacts"] * 3


async def test_who_has_no_verified_contact_or_verified_one_lately_is_not_asked() -> None:
    world = PortalWorld()
    nobody, unverified, lately = [await world.person(name, mail=f"{name}@acme.test") for name in ("n", "u", "l")]
    await contact(world, unverified, "u@home.test", verified=False)
    await contact(world, lately, "old@home.test")
    world.later(170 * DAY_S)
    await contact(world, lately, "new@home.test")
    world.later(30 * DAY_S)
    assert await round_of(world).run_once() == 0
    assert nobody.name == "n"


@pytest.mark.parametrize(
    "settings",
    [NoticeSettings(password_days=(), contact_days=0), NoticeSettings(password_days=(14, 7), contact_days=0)],
    ids=("off", "other days"),
)
async def test_what_is_off_is_told_to_nobody(settings: NoticeSettings) -> None:
    world, user = await ending(20)
    world.notices = settings
    await contact(world, user)
    world.later(200 * DAY_S)
    assert await round_of(world).run_once() == 0
    assert await world.messages() == []


async def test_closed_account_and_somebody_whom_we_never_met_are_told_nothing() -> None:
    world, user = await ending(3)
    world.directory.change_state(user, AccountState.DISABLED)
    stranger = world.directory.add("stranger", "pw", mail="s@acme.test")
    world.directory.change_end(stranger, world.clock.now() + timedelta(days=3))
    assert await round_of(world).run_once() == 0
    assert await world.messages() == []


async def test_directory_that_is_down_is_left_out_and_asked_the_next_day() -> None:
    world, _ = await ending(2.5)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    assert await round_of(world).run_once() == 0
    world.directory.behaviour = Behaviour.ANSWERS
    world.later(21 * 3600)
    assert await round_of(world).run_once() == 1


async def test_everybody_of_a_large_directory_is_told() -> None:
    world = PortalWorld()
    for number in range(2 * AT_ONCE + 7):
        user = await world.person(f"user{number}", mail=f"u{number}@acme.test")
        world.directory.change_end(user, world.clock.now() + timedelta(days=1))
    assert await round_of(world).run_once() == 2 * AT_ONCE + 7
    assert len({str(SubjectId(str(row["subject_id"]))) for row in await world.rows("demand")}) == 2 * AT_ONCE + 7
