"""Notices: complete in every language, in their frame, with the link where there is one, and short where it is a text message."""

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.flows.world import World
from wardgate.account.mail_link import Purpose
from wardgate.account.subject import SubjectId
from wardgate.delivery.gsm import is_narrow, parts_of
from wardgate.delivery.outbox import list_messages
from wardgate.delivery.port import Channel
from wardgate.engine.notices import DISPUTABLE, MAX_ADDRESSEES, TO_EVERY_NUMBER, TOLD, Addressee, notify, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import NoticeSettings, SendingSettings
from wardgate.engine.wording import Notice, Whom, harmless, mail_of, way_named
from wardgate.factors.port import Holder
from wardgate.texts import LANGUAGES, Text, catalogue, render

CONTACTS = ("contact_added", "contact_removed", "contact_replaced")
PERSONAL = (*TOLD, *CONTACTS, "contact_undone", "frozen", "desk", "desk_contacts")
BY_MAIL = ("activated_issuer", "frozen_desk", "new_sign_in", "wrong_tries", "password_ends", "admin_reset")
BY_MAIL += ("far_sign_in", "contacts_check", "contacts_check_nowhere", "desk_admin")
OTHER_SUBJECTS = {"desk_contacts": "notice.desk_subject", "contacts_check_nowhere": "notice.contacts_check_subject"}
SITE = "https://login.acme.test"
LINK = f"{SITE}/l/" + "x" * 43
SECRETS = ("correct horse", "482913", "203.0.113.7", "ada.lovelace@home.test", "+905321234567")
PLACES = [Addressee(Channel.EMAIL, "ada.lovelace@home.test"), Addressee(Channel.SMS, "+905321234567")]
VALUES: dict[str, str | int] = {
    "new": "•••• 67",
    "old": "a•••@h•••.test",
    "until": "2026-11-22 09:00 UTC+03:00",
    "left": 3,
    "failures": 50,
    "n": 7,
    "name": "bob",
    "why": "an operator set it",
    "kinds": "Passkey, SMS",
    "by": "operator:olga",
    "address": f"{SITE}/account/password",
}


def parts_of_engine(world: World, public_url: str = "") -> EngineParts:
    return EngineParts(
        world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True, public_url=public_url
    )


def whom_in(language: str, **more: Any) -> Whom:
    return Whom("s", "ada", "vpn", "", "WG123456", language, **more)


def values_in(language: str) -> dict[str, str | int]:
    what = way_named("totp", "Çağrı's phone", language)
    acts = [render(Text(key, {"what": what}), language) for key in catalogue(language) if key.startswith("notice.act_")]
    return {**VALUES, "what": what, "act": max(acts, key=len)}


async def told(world: World, notice: Notice, language: str, places: list[Addressee] = PLACES, **more: Any) -> list[str]:
    await world.storage.commit(tell(parts_of_engine(world), whom_in(language, **more), places, notice))
    return [each.text for each in await list_messages(world.storage, world.ring, 100)]


def notice_of(happened: str, language: str, link: str = LINK) -> Notice:
    subject = "notice.contact_subject_phone" if happened in CONTACTS else OTHER_SUBJECTS.get(happened, "")
    return Notice(happened, values_in(language), subject, link, "notice.link_undo", call=happened != "frozen")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("happened", [*PERSONAL, *BY_MAIL])
def test_mail_says_what_happened_when_where_and_for_what_and_nothing_that_must_not_be_said(happened: str, language: str) -> None:
    world = World(brands={"": "Acme"}, notices=NoticeSettings(time_zone="Europe/Istanbul"))
    notice = notice_of(happened, language)
    whom = whom_in(language, device="Firefox, Windows", place="TR")
    subject, text = mail_of(world.configuration(), whom, notice, True, world.clock.now())
    said, frame, link, never = text.rstrip("\n").split("\n\n")[-4:]
    assert said
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC\+03:00 · Firefox, Windows, TR · vpn · refer\w+ WG123456", frame)
    assert link.endswith(LINK)
    assert never == render(Text("notice.never"), language)
    assert subject
    whole = f"{subject}\n{text}"
    assert "{" not in whole
    assert not any(secret in whole for secret in SECRETS)
    assert set(re.findall(r"https?://[^/\s]+", text)) == {SITE}
    assert "Wardgate" not in whole
    assert "portal" not in whole.lower()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("happened", PERSONAL)
async def test_text_message_fits_one_part_and_with_a_link_two(happened: str, language: str) -> None:
    world = World(brands={"": "Acme Insurance"})
    [plain] = await told(world, notice_of(happened, language, ""), language, PLACES[1:])
    assert parts_of(plain) == 1
    assert is_narrow(plain)
    assert plain.startswith("Acme Insurance: ")
    assert "WG123456" in plain
    world = World(brands={"": "Acme Insurance"})
    [linked] = await told(world, notice_of(happened, language), language, PLACES[1:])
    assert parts_of(linked) <= 2
    assert is_narrow(linked)
    assert LINK in linked
    assert "WG123456" in linked
    assert not any(secret in plain + linked for secret in SECRETS)
    if language == "tr":
        assert plain.isascii()
        assert linked.isascii()


@pytest.mark.parametrize("happened", [*DISPUTABLE, *CONTACTS])
async def test_place_that_gets_no_link_gets_none(happened: str) -> None:
    world = World()
    places = [replace(each, linked=False) for each in PLACES]
    texts = await told(world, notice_of(happened, "en"), "en", places)
    assert len(texts) == 2
    assert not any("/l/" in text for text in texts)
    assert all("all the help desk" in text for text in texts)


async def test_notices_of_one_event_are_bounded_and_closed_prefixes_get_none() -> None:
    world = World(sending=SendingSettings(sms_prefixes=("+90",)))
    many = [Addressee(Channel.EMAIL, f"ada{number}@home.test") for number in range(100)]
    assert len(await told(world, Notice("frozen"), "en", many)) == MAX_ADDRESSEES
    world = World(sending=SendingSettings(sms_prefixes=("+90",)))
    assert await told(world, Notice("frozen"), "en", [Addressee(Channel.SMS, "+12025550123")]) == []


@pytest.mark.parametrize("happened", [*PERSONAL])
async def test_one_event_sends_one_text_message_but_of_a_change_every_number_hears(happened: str) -> None:
    world = World()
    numbers = [Addressee(Channel.SMS, f"+90532123456{last}") for last in range(3)]
    texts = await told(world, notice_of(happened, "en"), "en", numbers)
    assert len(texts) == (3 if happened in TO_EVERY_NUMBER else 1)


async def test_thief_who_prefers_his_own_number_does_not_get_the_one_text_message() -> None:
    world = World()
    holder = Holder(
        SubjectId("s"),
        (),
        "+905329999999",
        "thief@home.test",
        (),
        ("+905321234567",),
        ("ada@home.test",),
        told_phone="+905321234567",
    )
    await world.storage.commit(notify(parts_of_engine(world), whom_in("en"), holder, "password_changed"))
    to = sorted(each.to for each in await world.messages())
    assert to == ["+905321234567", "ada@home.test", "thief@home.test"]


def test_turkish_text_messages_need_no_wide_alphabet() -> None:
    texts = catalogue("tr")
    assert [
        name for name, text in texts.items() if name.startswith("notice.") and name.endswith("_sms") and not text.isascii()
    ] == []


def test_every_purpose_of_a_link_has_its_words() -> None:
    for language in LANGUAGES:
        for purpose in Purpose:
            assert {f"link.{word}_{purpose.value}" for word in ("heading", "what", "act", "done")} <= set(catalogue(language))


async def test_mailbox_that_stands_in_two_spellings_gets_one_notice_and_none_where_it_was_just_used() -> None:
    world = World()
    holder = Holder(SubjectId("s"), (), "+905321234567", "ada@bücher.test", (), (), ("Ada@xn--bcher-kva.test", "ada@home.test"))
    await world.storage.commit(notify(parts_of_engine(world), whom_in("en"), holder, "first_proof", used=Channel.EMAIL))
    assert sorted(each.to for each in await world.messages()) == ["+905321234567", "ada@home.test"]
    world = World()
    await world.storage.commit(notify(parts_of_engine(world), whom_in("en"), holder, "password_reset"))
    assert sorted(each.to for each in await world.messages()) == ["+905321234567", "ada@bücher.test", "ada@home.test"]


async def test_link_leads_to_the_configured_address_and_nowhere_else() -> None:
    world = World()
    holder = Holder(SubjectId("s"), (), "+905321234567", "ada@home.test")
    await world.storage.commit(notify(parts_of_engine(world, SITE), whom_in("en"), holder, "password_changed"))
    texts = [each.text for each in await world.messages()]
    assert [set(re.findall(r"https?://[^/\s]+", text)) for text in texts] == [{SITE}] * 2


@pytest.mark.parametrize("typed", ["call +90 532 123 45 67 http://evil.test", "a@evil.test\nBcc: x", "evil.test/login <b>"])
def test_name_of_an_authenticator_carries_no_link_into_a_message(typed: str) -> None:
    shown = harmless(typed)
    assert not set(shown) & set("./:@+<>\n")


@pytest.mark.parametrize(("realm", "brand"), [("", "Acme"), ("acme", "Acme"), ("shop", "Shop"), ("gone", "Acme")])
async def test_notice_bears_the_name_of_whoever_runs_the_realm(realm: str, brand: str) -> None:
    world = World(brands={"": "Acme", "acme": "Acme", "shop": "Shop"})
    texts = await told(world, Notice("activated"), "en", realm=realm)
    assert all(brand in text for text in texts)
