"""Gateways that are down while somebody signs in or resets: silent before a first proof, told in plain words after it."""

import re

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import PortalWorld
from wardgate.delivery.port import Channel

UNLIKE = r'name="csrf" value="\w+"|<bdi class="reference">\w+</bdi>|Reference:? \w{8}'
TOLD = "The message could not be sent. Choose another way or try again soon."
EVERYTHING = frozenset({Channel.SMS, Channel.EMAIL})


async def ada(world: PortalWorld) -> None:
    """Ada has an app, a phone and a mailbox."""
    await world.give_totp(await world.person("ada", phone="+905321234567", mail="ada@acme.test"))


def seen(page: httpx.Response, name: str) -> tuple[int, str, str]:
    """What an outsider gets."""
    headers = {key: value for key, value in page.headers.items() if key not in ("set-cookie", "content-length")}
    return page.status_code, re.sub(UNLIKE, "", page.text).replace(name, ""), repr(sorted(headers.items()))


@pytest.mark.parametrize("kind", ["sms", "email"])
async def test_reset_tells_no_stranger_by_a_dead_gateway_who_exists(kind: str) -> None:
    """The pages before the first proof are the same for somebody and nobody, with a gateway and without."""
    pages = []
    for name, down in (("ada", frozenset[Channel]()), ("ada", EVERYTHING), ("nobody", EVERYTHING)):
        world = PortalWorld()
        await ada(world)
        world.down = down
        async with world.browser() as browser:
            await browser.get("/forgot")
            journey = [seen(await browser.post("/forgot", username=name), name)]
            journey.append(seen(await browser.post(method=kind, act="choose"), name))
            world.later(60)
            journey.append(seen(await browser.post(method=kind, act="choose"), name))
            journey.append(seen(await browser.post(code="000000", act="answer"), name))
            pages.append(journey)
    assert pages[0] == pages[1] == pages[2]
    assert TOLD not in repr(pages)


async def test_reset_says_after_the_first_proof_that_no_message_goes_out_and_takes_what_comes_late() -> None:
    world = PortalWorld()
    await ada(world)
    world.down = EVERYTHING
    async with world.browser() as browser:
        await browser.get("/forgot")
        await browser.post("/forgot", username="ada")
        await browser.post(method="totp", act="choose")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.post(method="sms", act="choose")
        assert page.status_code == 200
        assert TOLD in page.text
        world.later(60)
        page = await browser.post(method="sms", act="choose")
        assert TOLD in page.text
        assert "Another code was sent" not in page.text
        # It waits for a gateway, and counts when it comes.
        code = next(each.code for each in await world.messages() if each.code)
        page = await browser.post(code=code, act="answer")
        assert "Choose a new password" in page.text


@pytest.mark.parametrize("kind", ["sms", "email"])
async def test_sign_in_tells_of_a_dead_gateway_after_the_password_and_never_before_it(kind: str) -> None:
    refused = []
    for down in (frozenset[Channel](), EVERYTHING):
        world = PortalWorld()
        use_plan(world, ["password"], [kind, "totp"])
        await ada(world)
        world.down = down
        for name in ("ada", "nobody"):
            async with world.browser() as browser:
                refused.append(seen(await browser.sign_in(name, "guess"), name))
        async with world.browser() as browser:
            page = await browser.sign_in("ada")
            assert (TOLD in page.text) is bool(down)
            world.later(60)
            page = await browser.post(act="resend")
            assert (TOLD in page.text) is bool(down)
            assert ("Another code was sent" in page.text) is not bool(down)
            page = await browser.post(act="other", method="totp")
            assert TOLD not in page.text
            await browser.post(code=world.totp(), act="answer")
            assert browser.path == "/account"
    assert len(set(refused)) == 1


async def test_dead_gateway_is_silent_where_a_message_is_the_first_proof() -> None:
    """No password stands before it: who is told that nothing goes out is told that there was somewhere to send it."""
    pages = []
    for down in (frozenset[Channel](), EVERYTHING):
        world = PortalWorld()
        await ada(world)
        world.down = down
        async with world.browser() as browser:
            await browser.get("/unlock")
            await browser.post("/unlock", username="ada")
            pages.append(seen(await browser.post(method="sms", act="choose"), "ada"))
    assert pages[0] == pages[1]
