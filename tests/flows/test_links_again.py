"""A link that does not come is sent again when its word is typed; and a login that is confirmed on a page is joined by no other."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.test_short_links import (
    APP_OR_PASSKEY,
    LINK,
    VPN,
    LinkWorld,
    code_of,
    confirmed,
    enrolled_app,
    link_in,
    options_on,
    owner_of_a_passkey,
)
from tests.flows.world import BACKENDS, PHONE_OF_TESTS, a_storage, is_granted, reason, rule, says
from wardgate.engine.outcome import Challenge, Outcome
from wardgate.texts import render

PASSKEYS = [rule("passkeys", ("password",), ("passkey",))]


@pytest.fixture(params=BACKENDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LinkWorld]:
    """An empty world, on each storage."""
    async with a_storage(request.param, tmp_path) as storage:
        yield LinkWorld(storage=storage)


async def carol(world: LinkWorld) -> Challenge:
    """Somebody without a second step, whose link is on its way."""
    world.use_policy(APP_OR_PASSKEY)
    await world.person("carol", phone=PHONE_OF_TESTS)
    return await world.challenged("carol")


async def links(world: LinkWorld) -> list[str]:
    """Those in all messages, newest first."""
    return [found[1] for each in await world.messages() if (found := LINK.search(each.text))]


# --- the word ------------------------------------------------------------------------------------------------------------


async def test_the_window_says_which_word_sends_the_link_again(world: LinkWorld) -> None:
    asked = await carol(world)
    assert says(asked).endswith("then type the code here. No message? Type link.")
    assert len(says(asked)) <= 120


@pytest.mark.parametrize("word", ["link", " LINK ", "bağlantı", "BAĞLANTI", "baglanti"])
async def test_the_word_sends_the_same_link_again(world: LinkWorld, word: str) -> None:
    asked = await carol(world)
    world.later(30)
    again = await world.answer(asked, word, name="carol")
    assert says(again).startswith("The link was sent again. Set up your second step: open the link sent to")
    first, second = await links(world)
    assert first == second
    assert len(await world.rows("short_link")) == 1
    async with world.browser() as browser:
        secret = await enrolled_app(world, browser, first)
    world.later(30)
    assert is_granted(await world.answer(again, code_of(world, secret), name="carol"))
    assert await world.failures() == 0


async def test_a_link_for_a_passkey_is_sent_again_by_either_word(world: LinkWorld) -> None:
    world.vpn = replace(VPN, page_link="sent")
    world.use_policy(PASSKEYS)
    _, passkey = await owner_of_a_passkey(world, phone=PHONE_OF_TESTS)
    asked: Outcome = await world.challenged("ada")
    for wait, word in ((30, "passkey"), (60, "link")):
        world.later(wait)
        asked = await world.answer(asked, word, name="ada")
        assert says(asked).startswith("The link was sent again.")
    assert len(set(await links(world))) == 1
    assert len(await links(world)) == 3
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, (await links(world))[0])
    assert is_granted(await world.answer(asked, code, name="ada"))


async def test_a_link_that_is_shown_is_no_message_and_is_not_sent(world: LinkWorld) -> None:
    await owner_of_a_passkey(world, phone=PHONE_OF_TESTS)
    world.use_policy(PASSKEYS)
    asked = await world.challenged("ada")
    assert "No message?" not in says(asked)
    again = await world.answer(asked, "passkey", name="ada")
    assert link_in(again) == link_in(asked)
    assert not await world.messages()


async def test_who_types_too_early_is_told_the_word_before_the_question_once(world: LinkWorld) -> None:
    asked = await carol(world)
    early = await world.answer(asked, "123456", name="carol")
    assert says(early).startswith("There is no code yet: open the link first. No message? Type link. Set up your second step:")
    assert says(early).count("Type link") == 1


@pytest.mark.parametrize("language", ["en", "tr"])
async def test_what_is_said_of_a_link_that_was_sent_again_fits_a_small_window(world: LinkWorld, language: str) -> None:
    asked = await carol(world)
    assert len(says(asked, language)) <= 120
    world.later(30)
    again = await world.answer(asked, "link", name="carol")
    assert isinstance(again, Challenge)
    assert len(" ".join(render(text, language) for text in again.texts[:2])) <= 120


# --- its limits ----------------------------------------------------------------------------------------------------------


async def test_links_are_sent_again_after_the_waits_of_codes_and_no_more_than_those(world: LinkWorld) -> None:
    asked: Outcome = await carol(world)
    told = []
    for wait in (0, 29, 1, 59, 1, 119, 1, 200):
        world.later(wait)
        asked = await world.answer(asked, "link", name="carol")
        told.append(says(asked).partition(".")[0])
    sent, early = "The link was sent again", "You can ask for the link again in {} seconds"
    assert told == [
        early.format(30),
        "You can ask for the link again in 1 second",
        *(sent, "You can ask for the link again in 1 second"),
        *(sent, "You can ask for the link again in 1 second"),
        *(sent, "No more messages for now"),
    ]
    assert len(await links(world)) == 4


async def test_many_logins_do_not_flood_a_phone_with_links(world: LinkWorld) -> None:
    """The limit of resends to one address holds over all logins, and whoever knows the password begins any number."""
    asked: Outcome = await carol(world)
    world.codes = replace(world.codes, resend_after_s=(0,) * 10, resends_per_hour=2)
    for _ in range(4):
        asked = await world.answer(asked, "link", name="carol")
    assert len(await links(world)) == 3
    assert says(asked).startswith("No more messages for now.")


async def test_the_same_packet_again_sends_no_second_link(world: LinkWorld) -> None:
    asked = await carol(world)
    world.later(30)
    mark = b"the same packet"
    first = await world.answer(asked, "link", name="carol", fingerprint=mark)
    assert await world.answer(asked, "link", name="carol", fingerprint=mark) == first
    assert len(await links(world)) == 2


async def test_a_link_that_is_used_up_is_not_sent_again(world: LinkWorld) -> None:
    world.vpn = replace(VPN, page_link="sent")
    world.use_policy(PASSKEYS)
    _, passkey = await owner_of_a_passkey(world, phone=PHONE_OF_TESTS)
    asked = await world.challenged("ada")
    async with world.browser() as browser:
        page = await browser.get((await links(world))[0])
        for _ in range(5):
            page = await browser.post(passkey=passkey.signed({**options_on(page), "challenge": "AAAA"}))
    world.later(30)
    again = await world.answer(asked, "link", name="ada")
    assert says(again).startswith("The link is used up.")
    assert len(await links(world)) == 1


async def test_the_word_without_end_closes_the_login(world: LinkWorld) -> None:
    answer: Outcome = await carol(world)
    for _ in range(11):
        answer = await world.answer(answer, "link", name="carol")
        assert isinstance(answer, Challenge)
    assert reason(await world.answer(answer, "link", name="carol")) == "code_closed"


async def test_who_begins_the_same_login_again_gets_the_link_again_when_it_is_time(world: LinkWorld) -> None:
    await carol(world)
    world.later(29)
    await world.challenged("carol")
    assert len(await links(world)) == 1
    world.later(1)
    again = await world.challenged("carol")
    assert says(again).startswith("The link was sent again.")
    assert len(set(await links(world))) == 1
    assert len(await links(world)) == 2
    assert len(await world.transactions()) == 1


# --- joined, and not -----------------------------------------------------------------------------------------------------


async def test_no_other_window_joins_a_login_that_is_confirmed_on_a_page(world: LinkWorld) -> None:
    """Somebody behind the same address who knows the password: the code of the page would be one for his window too."""
    _, passkey = await owner_of_a_passkey(world)
    owner = await world.challenged("ada")
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(owner))
    other = await world.challenged("ada")
    assert other.reference != owner.reference
    assert link_in(other) != link_in(owner)
    assert not is_granted(await world.answer(other, code, name="ada"))
    assert is_granted(await world.answer(owner, code, name="ada")), "his guesses were none at the owner's login"
    third = await world.challenged("ada")
    assert third.reference == other.reference, "one that nobody confirms is joined as ever"


async def test_a_window_that_joined_before_the_page_was_opened_still_works(world: LinkWorld) -> None:
    """The second server of a pair asked with a packet of its own, and its answer was shown."""
    _, passkey = await owner_of_a_passkey(world)
    first = await world.challenged("ada")
    second = await world.challenged("ada")
    assert first.reference == second.reference
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(second))
    assert is_granted(await world.answer(second, code, name="ada"))


async def test_a_wrong_code_while_another_login_took_the_place_leaves_both_as_they_are(world: LinkWorld) -> None:
    _, passkey = await owner_of_a_passkey(world)
    owner = await world.challenged("ada")
    async with world.browser() as browser:
        code = await confirmed(browser, passkey, link_in(owner))
    other = await world.challenged("ada")
    again = await world.answer(owner, "000000" if code != "000000" else "000001", name="ada")
    assert "2 tries left" in says(again)
    assert is_granted(await world.answer(again, code, name="ada"))
    assert isinstance(await world.answer(other, "123456", name="ada"), Challenge)
