"""Recovery while somebody guesses at the name: the owner's strong factor is judged, strangers wait, and nobody learns anything."""

import re
from typing import Any

import pytest

from tests.flows.portal_world import OURS, BrowserOfTests, PortalWorld
from tests.flows.world import elsewhere
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.lanes import STRONG_FAILURES_A_DAY
from wardgate.engine.self_service.asking import Asking

UNLIKE = r'name="csrf" value="\w+"|<bdi class="reference">\w+</bdi>|Reference:? \w{8}|name="turn" value="\d+"'
PHONE = "+905321234567"
WAIT = "Too many tries"


async def a_world(state: AccountState = AccountState.ACTIVE) -> tuple[PortalWorld, DirectoryUser]:
    world = PortalWorld()
    user = await world.person("ada", phone=PHONE, mail="ada@mail.test")
    await world.give_totp(user)
    if state is not AccountState.ACTIVE:
        world.directory.change_state(user, state)
    return world, user


async def attacked(world: PortalWorld, name: str = "ada") -> None:
    """Wrong passwords at this name: five from the address where its owner sits, and so many from everywhere that strangers wait."""
    for _ in range(5):
        await world.begin(name, "guess", application="portal")
    for number in range(world.brakes.user_failures):
        await world.begin(name, "guess", origin=elsewhere(client=f"10.0.{number}.1"), application="portal")
    world.later(30)


async def asked(browser: BrowserOfTests, kind: str, name: str = "ada", address: str = "/forgot") -> None:
    await browser.get(address)
    await browser.post(address, username=name)
    await browser.post(method=kind, act="choose")


def plain(page_text: str, name: str) -> str:
    return re.sub(UNLIKE, "", page_text).replace(name, "")


@pytest.mark.parametrize("kind", ["totp", "recovery_code"])
async def test_guesses_at_a_name_do_not_keep_its_owner_from_unlocking_his_account(kind: str) -> None:
    world, user = await a_world(AccountState.LOCKED)
    codes = await world.give_recovery_codes(user)
    await attacked(world)
    async with world.browser() as browser:
        await asked(browser, kind, address="/unlock")
        page = await browser.post(code=world.totp() if kind == "totp" else codes[0], act="answer")
        assert "Your account is open again" in page.text
    assert not [row for row in await world.rows("brake") if row["locked_until"] > 0 and row["owner"]]


async def test_nor_from_setting_a_new_password_with_a_code_that_is_sent_after_the_strong_one() -> None:
    world, _ = await a_world()
    await attacked(world)
    async with world.browser() as browser:
        await asked(browser, "totp")
        page = await browser.post(code=world.totp(), act="answer")
        assert "One more proof" in page.text
        await browser.post(method="sms", act="choose")
        page = await browser.post(code=await world.code(), act="answer")
        assert "Choose a new password" in page.text


async def test_a_code_that_is_sent_stays_behind_the_brake_and_says_for_how_long() -> None:
    world, _ = await a_world()
    await attacked(world)
    async with world.browser() as browser:
        await asked(browser, "sms")
        page = await browser.post(code=await world.code(), act="answer")
        assert (page.status_code, int(page.headers["retry-after"]) > 0) == (429, True)
        assert WAIT in page.text
        assert '<fieldset class="whole" disabled>' in page.text
        await browser.post(act="other")
        await browser.post(method="totp", act="choose")
        page = await browser.post(code=world.totp(), act="answer")
        assert "One more proof" in page.text, "the other way is open"


async def test_codes_guessed_through_it_close_it_for_their_source_and_after_a_days_worth_for_everybody() -> None:
    """Five from one address; twenty of a name in a day, from wherever: afterwards the right code opens nothing either."""
    world, _ = await a_world()
    await attacked(world)
    for number in range(STRONG_FAILURES_A_DAY // 5):
        world.address = f"198.51.100.{number}"
        for times in (2, 2, 1):
            async with world.browser() as browser:
                await asked(browser, "totp")
                for _ in range(times):
                    assert (await browser.post(code=world.wrong_code(), act="answer")).status_code == 422
                world.later(30)
                if times == 1:
                    assert (await browser.post(code=world.totp(), act="answer")).status_code == 429
    world.address = "198.51.100.99"
    async with world.browser() as browser:
        await asked(browser, "totp")
        page = await browser.post(code=world.totp(), act="answer")
        assert (page.status_code, WAIT in page.text) == (429, True)


@pytest.mark.parametrize("kind", ["totp", "sms", "recovery_code"])
async def test_a_name_of_nobody_that_is_guessed_at_has_the_same_pages(kind: str) -> None:
    heard: list[list[tuple[int, str]]] = []
    for name in ("ada", "nobody"):
        world, _ = await a_world()
        await attacked(world, name)
        pages: list[tuple[int, str]] = []
        for _ in range(3):
            async with world.browser() as browser:
                await asked(browser, kind, name)
                for _ in range(3):
                    page = await browser.post(code="AAAA-AAAA-AAAAA" if kind == "recovery_code" else "000000", act="answer")
                    pages.append((page.status_code, plain(page.text, name)))
        heard.append(pages)
    assert heard[0] == heard[1]
    assert heard[0][-1][0] == 429


@pytest.mark.parametrize("kind", ["totp", "sms"])
async def test_guesses_at_one_name_of_a_person_do_not_show_when_his_other_one_recovers(kind: str) -> None:
    """A wait under a name that nobody guessed at would tell that both are one person's."""
    heard: list[list[tuple[int, str]]] = []
    for name in ("ada@mail.test", "nobody@mail.test"):
        world, _ = await a_world()
        await attacked(world)
        pages: list[tuple[int, str]] = []
        for _ in range(4):
            async with world.browser() as browser:
                await asked(browser, kind, name)
                for _ in range(3):
                    page = await browser.post(code="000000", act="answer")
                    pages.append((page.status_code, plain(page.text, name)))
        heard.append(pages)
    assert heard[0] == heard[1]
    assert heard[0][0][0] == 422


@pytest.mark.parametrize("everywhere", [False, True])
async def test_codes_guessed_at_one_name_do_not_show_when_his_other_one_recovers(everywhere: bool) -> None:
    """Whoever closed the way for strong factors by one name finds no name at which it is closed already."""
    heard: list[list[tuple[int, str]]] = []
    for name in ("ada@mail.test", "nobody@mail.test"):
        world, _ = await a_world()
        await attacked(world)
        here = world.address
        for number in range(STRONG_FAILURES_A_DAY // 5 if everywhere else 1):
            world.address = f"198.51.100.{number}" if everywhere else here
            for times in (3, 2):
                async with world.browser() as browser:
                    await asked(browser, "totp")
                    for _ in range(times):
                        await browser.post(code="000000", act="answer")
                world.later(30)
        world.address = here
        pages: list[tuple[int, str]] = []
        for _ in range(6):
            async with world.browser() as browser:
                await asked(browser, "totp", name)
                for _ in range(2):
                    page = await browser.post(code="000000", act="answer")
                    pages.append((page.status_code, plain(page.text, name)))
        heard.append(pages)
    assert heard[0] == heard[1]


async def test_his_other_name_opens_the_way_for_his_strong_factor_as_well() -> None:
    world, _ = await a_world()
    await attacked(world)
    async with world.browser() as browser:
        await asked(browser, "sms", "ada@mail.test")
        page = await browser.post(code=await world.code(), act="answer")
        assert (page.status_code, WAIT in page.text) == (422, False), "what is sent is as good as wrong meanwhile"
    async with world.browser() as browser:
        await asked(browser, "totp", "ada@mail.test")
        page = await browser.post(code=world.totp(), act="answer")
        assert "One more proof" in page.text


async def test_a_right_code_among_guesses_at_once_is_worth_nothing_once_they_fill_the_limit() -> None:
    """It was judged while the way was open, and is written after others have closed it."""
    world, _ = await a_world()
    await attacked(world)
    judge, others = Asking.verdict, []

    async def after_the_others(self: Asking, *answer: Any) -> object:
        if not others:
            others.append(True)
            for number in range(STRONG_FAILURES_A_DAY):
                world.address = f"10.9.{number}.1"
                async with world.browser() as other:
                    await asked(other, "totp")
                    await other.post(code=world.wrong_code(), act="answer")
        return await judge(self, *answer)

    async with world.browser() as browser:
        await asked(browser, "totp")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Asking, "verdict", after_the_others)
            page = await browser.post(code=world.totp(), act="answer")
    assert others
    assert "One more proof" not in page.text


async def commits_after_another(right: bool) -> int:
    """How many commits an answer takes that is judged while another one to the same question is written."""
    world, _ = await a_world()
    judge, commit, commits = Asking.verdict, world.storage.commit, list[int]()

    async def counted(operations: Any) -> Any:
        commits.append(len(operations))
        return await commit(operations)

    async with world.browser() as browser:
        await asked(browser, "totp")
        form = browser.filled(0, {"code": "000000", "act": "answer"})
        with pytest.MonkeyPatch.context() as patch:

            async def after_another(self: Asking, *answer: Any) -> object:
                patch.setattr(Asking, "verdict", judge)
                await browser.client.post(browser.path, data=form, headers=OURS)
                patch.setattr(world.storage, "commit", counted)
                return await judge(self, *answer)

            patch.setattr(Asking, "verdict", after_another)
            code = world.totp() if right else world.wrong_code()
            await browser.client.post(browser.path, data={**form, "code": code}, headers=OURS)
    return len(commits)


async def test_answers_sent_at_once_do_not_tell_a_right_code_by_their_time() -> None:
    """One of them is counted, and the right code is not spent by the others: it could be used a moment later."""
    assert await commits_after_another(right=True) == await commits_after_another(right=False) > 0
