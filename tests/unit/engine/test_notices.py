"""Notices: complete in every language, with the link where there is one, and short where it is a text message."""

import pytest

from tests.flows.world import World
from wardgate.account.mail_link import Purpose
from wardgate.account.subject import SubjectId
from wardgate.delivery.outbox import list_messages
from wardgate.delivery.port import Channel
from wardgate.engine.notices import DISPUTABLE, MAX_ADDRESSEES, TOLD, Addressee, Notice, Whom, notify, tell
from wardgate.engine.runtime import EngineParts
from wardgate.engine.settings import SendingSettings
from wardgate.factors.port import Holder
from wardgate.texts import LANGUAGES, catalogue

CONTACTS = ("contact_added", "contact_removed", "contact_replaced")
LINK = "https://login.acme.test/l/" + "x" * 43
PLACES = [Addressee(Channel.EMAIL, "ada@home.test"), Addressee(Channel.SMS, "+905321234567")]


def parts_of(world: World) -> EngineParts:
    return EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)


async def told(world: World, notice: Notice, language: str, places: list[Addressee] = PLACES) -> list[str]:
    whom = Whom("s", "ada", "vpn", "", "WG123456", language)
    await world.storage.commit(tell(parts_of(world), whom, places, notice))
    return [each.text for each in await list_messages(world.storage, world.ring, 100)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("happened", [*TOLD, *CONTACTS, "contact_undone", "frozen"])
async def test_notice_says_everything_in_every_language_and_nobody_is_asked_for_a_code(happened: str, language: str) -> None:
    world = World()
    values: dict[str, str | int] = {"new": "n***w", "old": "o***d", "until": "2026-11-22 09:00 UTC", "left": 3}
    subject = "notice.contact_subject_phone" if happened in CONTACTS else ""
    texts = await told(world, Notice(happened, values, subject, LINK, "notice.link_undo"), language)
    assert len(texts) == 2
    assert all("WG123456" in text and "{" not in text for text in texts)
    never = {"en": "We never ask", "tr": "asla sormayız"}[language]
    assert sum(never in text for text in texts) == 1
    assert sum(LINK in text for text in texts) == 2


@pytest.mark.parametrize("happened", [*DISPUTABLE, *CONTACTS])
async def test_place_that_gets_no_link_gets_none(happened: str) -> None:
    world = World()
    values: dict[str, str | int] = {"new": "n", "old": "o", "until": "u", "left": 3}
    places = [Addressee(each.channel, each.to, linked=False) for each in PLACES]
    subject = "notice.contact_subject_mail" if happened in CONTACTS else ""
    texts = await told(world, Notice(happened, values, subject, LINK, "notice.link_undo"), "en", places)
    assert len(texts) == 2
    assert not any("/l/" in text for text in texts)


async def test_notices_of_one_event_are_bounded_and_closed_prefixes_get_none() -> None:
    world = World(sending=SendingSettings(sms_prefixes=("+90",)))
    many = [Addressee(Channel.EMAIL, f"ada{number}@home.test") for number in range(100)]
    assert len(await told(world, Notice("frozen"), "en", many)) == MAX_ADDRESSEES
    world = World(sending=SendingSettings(sms_prefixes=("+90",)))
    assert await told(world, Notice("frozen"), "en", [Addressee(Channel.SMS, "+12025550123")]) == []


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
    whom = Whom("s", "ada", "vpn", "", "WG123456", "en")
    holder = Holder(SubjectId("s"), (), "+905321234567", "ada@bücher.test", (), (), ("Ada@xn--bcher-kva.test", "ada@home.test"))
    await world.storage.commit(notify(parts_of(world), whom, holder, "first_proof", used=Channel.EMAIL))
    assert sorted(each.to for each in await world.messages()) == ["+905321234567", "ada@home.test"]
    world = World()
    await world.storage.commit(notify(parts_of(world), whom, holder, "password_reset"))
    assert sorted(each.to for each in await world.messages()) == ["+905321234567", "ada@bücher.test", "ada@home.test"]
