"""A language that is written from right to left: what is not, stands in a direction of its own, or its parts change places.

The catalogue of these tests says one Hebrew word everywhere, so that whatever else a page holds are values.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lxml import html

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.flows.world import START, the_default_policy
from wardgate import texts
from wardgate.delivery.gsm import is_narrow
from wardgate.delivery.port import Channel
from wardgate.engine.messages import compose
from wardgate.engine.runtime import Application, EngineConfiguration
from wardgate.engine.settings import ApplicationSettings
from wardgate.engine.wording import Notice, Whom, mail_of, sms_of
from wardgate.factors.port import Sending
from wardgate.texts import Text, catalogue, language_of, render, render_on_page
from wardgate.web import language
from wardgate.web import render as rendering
from wardgate.web.templating import environment

_WORD = "שלום"
_SENTENCE = re.compile(r'^(\w+) = (?:"""\n(.*?)"""|"((?:[^"\\]|\\.)*)")$', re.MULTILINE | re.DOTALL)
_PLACE = re.compile(r"\{\w+\}")
_ISOLATES = re.compile("\u2068[^\u2068\u2069]*\u2069")


@pytest.fixture
def hebrew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A third language beside ours: one file, and one word in the list."""
    folder, english = texts.FOLDER, (texts.FOLDER / "en.toml").read_text(encoding="utf-8")
    for each in texts.LANGUAGES:
        (tmp_path / f"{each}.toml").write_text((folder / f"{each}.toml").read_text(encoding="utf-8"), encoding="utf-8")

    def turned(found: re.Match[str]) -> str:
        said = " ".join([_WORD, *_PLACE.findall(found[2] or found[3] or ""), _WORD])
        return f'{found[1]} = "{ {"direction": "rtl"}.get(found[1], said) }"'

    (tmp_path / "he.toml").write_text(_SENTENCE.sub(turned, english), encoding="utf-8")
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    for module in (texts, language, rendering):
        monkeypatch.setattr(module, "LANGUAGES", ("en", "tr", "he"))
    yield
    monkeypatch.undo()
    for cache in (catalogue, language_of, environment):
        cache.cache_clear()


@pytest.fixture(autouse=True)
def _forgotten(hebrew: None) -> None:
    for cache in (catalogue, language_of, environment):
        cache.cache_clear()


def loose(page: str) -> list[str]:
    """Values of the page that the direction of their surroundings can turn."""
    tree = html.document_fromstring(page)
    assert tree.get("dir") == "rtl"
    found = []
    for node in tree.body.iter():
        if not isinstance(node.tag, str) or node.tag in ("script", "style", "svg"):
            continue
        for said, around in ((node.text, node), *((child.tail, node) for child in node)):
            own = _ISOLATES.sub("", said or "").replace(_WORD, "").strip()
            if _may_turn(own) and not _is_isolated(around):
                found.append(f"{around.tag}.{around.get('class', '')}: {own}")
    return found


def _may_turn(value: str) -> bool:
    """One word of letters and digits is in its place whichever way it is set; two, or a sign beside it, may not be."""
    return any(each.isascii() and each.isalnum() for each in value) and not value.isalnum()


def _is_isolated(node: html.HtmlElement) -> bool:
    return any(each.tag == "bdi" or (each.get("dir") and each.tag != "html") for each in (node, *node.iterancestors()))


async def signed_in(world: PortalWorld, browser: BrowserOfTests) -> None:
    """Ada, with an app and a phone."""
    await browser.sign_in("ada")
    await browser.post(code=world.totp(), act="answer")
    assert browser.path == "/account", browser.page.text


async def a_world() -> PortalWorld:
    """Somebody who has everything that a page can show."""
    world = PortalWorld()
    user = await world.person("ada", mail="ada@acme.test", phone="+905321234567", display_name="Ada Lovelace, 2nd")
    await world.give_totp(user)
    await world.give_recovery_codes(user)
    return world


async def test_values_of_the_account_stand_in_a_direction_of_their_own() -> None:
    world = await a_world()
    async with world.browser(headers={"accept-language": "he"}) as browser:
        await browser.sign_in("ada", "wrong horse")
        assert loose(browser.page.text) == []
        await signed_in(world, browser)
        found = []
        for address in (
            *("/account", "/account/authenticators", "/account/contacts", "/account/sessions", "/account/devices"),
            *("/account/activity", "/account/password", "/account/preferences", "/enrol/totp", "/sign-out", "/nowhere"),
        ):
            page = await browser.get(address)
            found += [(address, each) for each in loose(page.text)]
        assert found == []
        await browser.get("/enrol/recovery-codes")
        page = await browser.post()
        assert 'class="codes"' in page.text
        assert loose(page.text) == []


async def test_values_of_a_forgotten_password_stand_in_a_direction_of_their_own() -> None:
    world = await a_world()
    async with world.browser(headers={"accept-language": "he"}) as browser:
        for address, fields in (("/forgot", {"username": "ada"}), ("/username", {"contact": "ada@acme.test"})):
            page = await browser.get(address)
            assert loose(page.text) == [], address
            page = await browser.post(address, **fields)
            assert loose(page.text) == [], address
        page = await browser.get("/sign-in?then=/account")
        await browser.sign_in("ada")
        page = await browser.get(f"{browser.path}/other")
        assert loose(page.text) == []


def test_values_of_a_sentence_are_isolated_where_they_could_turn_it() -> None:
    said = Text("code.ask_sms", {"masked": "+90 *** ** 47"})
    assert "\u2068+90 *** ** 47\u2069" in render_on_page(said, "he")
    assert render_on_page(said, "en") == render(said, "en")
    assert f"\u2068{_WORD} 7\u2069" in render_on_page(Text("code.ask_sms", {"masked": f"{_WORD} 7"}), "en")


class ForWhom(NamedTuple):
    """What a code is for."""

    id: str
    reference: str
    goal: str
    application: str
    realm: str
    subject_id: str
    user_name: str
    language: str


LINK = "https://login.acme.test/l/" + "x" * 43


def configuration(brand: str = "Acme Ltd 7") -> EngineConfiguration:
    return replace(PortalWorld().configuration(), brands={"": brand})


def code_in(language: str, channel: Channel, title: str = "Acme VPN 2", **settings: Any) -> str:
    """The message with a code."""
    whom = ForWhom("t", "WG123456", "login", "vpn", "acme", "s", "ada", language)
    application = Application(ApplicationSettings(name="vpn", title=title, **settings), the_default_policy())
    return compose(configuration(), application, Sending(channel, "+905321234567", "123456"), 180, whom)[1]


@pytest.mark.parametrize("channel", list(Channel))
def test_values_of_a_code_stand_in_a_direction_of_their_own_and_the_code_can_be_copied(channel: Channel) -> None:
    said = code_in("he", channel)
    assert "\u2068Acme Ltd 7\u2069" in said
    assert "\u2068Acme VPN 2\u2069" in said
    assert f"{_WORD} 123456 " in said
    assert re.findall(r"[A-Za-z]+", _ISOLATES.sub("", said)) == (["WG"] if channel is Channel.EMAIL else [])
    own = code_in("he", channel, sms_text={"he": "{application}: {code}"}, email_text={"he": "{application}: {code}"})
    assert own.strip() == "\u2068Acme VPN 2\u2069: 123456"


def test_values_of_a_notice_stand_in_a_direction_of_their_own_and_nothing_stands_at_its_link() -> None:
    whom = Whom("s", "ada", "portal", "", "WG123456", "he", device="Firefox 140, Linux")
    notice = Notice(
        "contact_added", {"new": "+90 *** ** 47", "until": "2026-11-22 09:00 UTC"}, "notice.contact_subject_phone", LINK
    )
    notice = replace(notice, link_text="notice.link_undo")
    subject, mail = mail_of(configuration(), whom, notice, True, START)
    sms = sms_of(configuration(), whom, notice, True)
    for text in (subject, mail, sms):
        assert re.findall(r"[A-Za-z+]+", _ISOLATES.sub("", text).replace(LINK, "").replace("WG123456", "")) == []
        assert LINK in text or text == subject
        assert f"{LINK}\u2069" not in text
    assert "\u2068Firefox 140, Linux\u2069 · " in mail
    assert sms.startswith("\u2068Acme Ltd 7\u2069: "), (
        "else the brand would make the whole message one that is written from the left"
    )


def test_a_text_message_that_is_written_from_the_left_keeps_the_narrow_alphabet() -> None:
    """One mark would make three parts of one, and each part is paid for."""
    assert is_narrow(code_in("en", Channel.SMS))
    assert is_narrow(code_in("tr", Channel.SMS))
    assert "\u2068" not in code_in("en", Channel.EMAIL, title="Çağrı Merkezi")
    assert f"\u2068{_WORD} 7\u2069" in code_in("en", Channel.EMAIL, title=f"{_WORD} 7")
