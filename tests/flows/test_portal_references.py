"""Every page of an error, and every page that says that something is done, names what the help desk finds in the live log."""

import re

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from wardgate.audit.recorder import MAX_PAGES_PER_S
from wardgate.audit.timeline import by_reference
from wardgate.portal.help import HelpPages
from wardgate.storage.port import Row

SHOWN = re.compile(r'<bdi class="reference">([0-9A-Z]{8})</bdi>')
NEW = "glacier-orchid-47"


async def of_page(world: PortalWorld, browser: BrowserOfTests) -> list[Row]:
    """The timeline of the one reference that the page shows."""
    [reference] = SHOWN.findall(browser.page.text)
    await world.recorder.flush()
    return await by_reference(world.storage, reference)


@pytest.mark.parametrize(
    ("address", "status"), [("/nowhere", 404), ("/step/" + "A" * 22, 410), ("/recover/" + "A" * 22, 410), ("/l/" + "A" * 43, 410)]
)
@pytest.mark.parametrize("language", ["en", "tr"])
async def test_an_error_page_names_what_the_live_log_has_of_it(address: str, status: int, language: str) -> None:
    world = PortalWorld()
    async with world.browser(headers={"accept-language": language}) as browser:
        page = await browser.get(address)
        assert page.status_code == status
        [row] = await of_page(world, browser)
    assert row["result"] == "page"
    assert f'"page_{status}"' in str(row["body"])
    assert address not in str(row["body"]), "a link that works once is part of an address"


async def test_an_activation_that_is_over_names_its_reference() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        page = await browser.get("/activate/" + "A" * 43)
        assert page.status_code == 410
        assert len(await of_page(world, browser)) == 1


async def test_a_start_code_that_is_wrong_names_its_reference() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        await browser.get("/activate")
        page = await browser.post(username="nobody", code="AAAA-AAAA-AAAA")
        assert page.status_code == 422
        assert len(await of_page(world, browser)) == 1


async def test_a_failure_has_one_reference_for_the_page_and_for_the_servers_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(_: HelpPages, __: Request) -> Response:
        raise RuntimeError("something")

    world = PortalWorld()
    monkeypatch.setattr(HelpPages, "listed", broken)
    async with world.browser() as browser:
        page = await browser.get("/help")
        assert page.status_code == 500
        [row] = await of_page(world, browser)
    said = capsys.readouterr()
    assert str(row["reference"]) in said.out + said.err


async def test_scanner_that_looks_for_pages_fills_neither_the_log_nor_the_table() -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        for number in range(MAX_PAGES_PER_S * 3):
            assert (await browser.client.get(f"/nowhere/{number}")).status_code == 404
        await world.person("ada")
        await browser.sign_in("ada", "wrong horse")
    await world.recorder.flush()
    stored = [row["result"] for row in await world.storage.find("timeline", [])]
    assert stored.count("page") == MAX_PAGES_PER_S
    assert stored.count("denied") == 1, "a refused sign-in keeps its place"


async def test_what_is_done_names_its_reference_and_still_does_when_it_is_loaded_again() -> None:
    world = PortalWorld()
    await world.give_totp(await world.person("ada", mail="ada@acme.test"))
    async with world.browser() as browser:
        await browser.get("/username")
        await browser.post(contact="ada@acme.test")
        assert await of_page(world, browser)
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.get("/account/password")
        await browser.post(password="correct horse", new_password=NEW)
        assert "done=1" in str(browser.page.url)
        assert await of_page(world, browser)
        first = SHOWN.findall(browser.page.text)
        await browser.get(str(browser.page.url))
        assert SHOWN.findall(browser.page.text) == first
        await browser.get("/sign-out")
        await browser.post("/sign-out")
        [row] = await of_page(world, browser)
        assert '"ada"' in str(row["body"])


@pytest.mark.parametrize("planted", ["CALL0900", "7K3M9QX", "<b>7K3M9Q", "7k3m9qxt"])
async def test_words_that_somebody_puts_into_a_link_are_not_shown_as_a_reference(planted: str) -> None:
    async with PortalWorld().browser() as browser:
        page = await browser.get(f"/username/sent?ref={planted}")
        assert SHOWN.findall(page.text) == []
        assert planted not in re.sub(r'href="[^"]*"', "", page.text)
