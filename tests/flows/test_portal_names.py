"""A forgotten user name: sent to whose contact it is, and one page for everybody who asks."""

import asyncio
import re
from dataclasses import dataclass, field

import httpx
import pytest

from tests.flows.portal_world import ORIGIN, OURS, REFERENCE, BrowserOfTests, PortalWorld
from wardgate.account.contact import Source, create_contact
from wardgate.account.subject import create_subject
from wardgate.clock import to_ms
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import AccountState, ContactKind, DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings

UNLIKE = r'name="csrf" value="\w+"' + f"|{REFERENCE.pattern}"
HOME = "ada@home.test"
PHONE = "+905321234567"


@dataclass
class TwoRealms(PortalWorld):
    """A second realm with a directory of its own."""

    partner: MemoryDirectory = field(default_factory=lambda: MemoryDirectory("partner"))

    def __post_init__(self) -> None:
        super().__post_init__()
        [acme] = list(self.realms)
        settings = RealmSettings(name="partners", directories=("partner",), reply_floor_ms=self.floor_ms)
        self.realms = Realms([acme, Realm(settings, (self.partner,))])


async def give(world: PortalWorld, user: DirectoryUser, value: str, *, source: Source = Source.PERSON, days: int = 2) -> None:
    subject, at_ms = await world.subject_of(user), to_ms(world.clock.now()) - days * 86_400_000
    kind = ContactKind.MAIL if "@" in value else ContactKind.PHONE
    await world.storage.commit(create_contact(world.ring, subject, kind, value, source, at_ms, at_ms))


async def ask(world: PortalWorld, contact: str) -> httpx.Response:
    async with world.browser() as browser:
        await browser.get("/username")
        return await browser.post(contact=contact)


async def told(world: PortalWorld) -> list[tuple[str, str]]:
    return [(each.to, each.text) for each in await world.messages()]


@pytest.mark.parametrize("typed", ["ada@acme.test", "ADA@ACME.TEST", HOME, PHONE, "+90 532 123 45 67"])
async def test_user_name_goes_to_a_contact_of_the_directory_or_of_his_own(typed: str) -> None:
    world = PortalWorld()
    user = await world.person("ada.l", mail="ada@acme.test")
    await give(world, user, HOME)
    await give(world, user, PHONE)
    page = await ask(world, typed)
    assert page.status_code == 200
    assert "ada.l" not in page.text
    [(to, text)] = await told(world)
    assert to in ("ada@acme.test", HOME, PHONE)
    assert to.lower() == typed.replace(" ", "").lower()
    assert "ada.l" in text
    assert f"{ORIGIN}/sign-in" in text
    [event] = await world.payloads("engine:name:sent")
    assert event["accounts"] == 1
    assert to not in repr(event)


async def test_several_accounts_are_listed_with_their_realms_in_one_message() -> None:
    world = TwoRealms()
    await world.person("ada", mail=HOME)
    other = world.partner.add("lovelace", "correct horse", mail=HOME)
    _, made = create_subject(other.directory, other.immutable_id, 0)
    await world.storage.commit(made)
    await ask(world, HOME)
    [(_, text)] = await told(world)
    assert "ada (acme)" in text
    assert "lovelace (partners)" in text


async def test_people_of_one_directory_who_share_an_address_get_one_message_with_all_their_names() -> None:
    world = PortalWorld()
    for name, mail in (("ada", "Family@home.test"), ("bob", "family@home.test")):
        await world.subject_of(await world.person(name, mail=mail))
    await world.person("carol", mail="carol@home.test")
    await world.person("dave", state=AccountState.DISABLED, mail="family@home.test")
    await ask(world, "family@home.test")
    [(to, text)] = await told(world)
    assert to.lower() == "family@home.test"
    assert sorted(re.findall(r"(\w+) \(acme\)", text)) == ["ada", "bob"]
    [event] = await world.payloads("engine:name:sent")
    assert event["accounts"] == 2


async def test_address_of_a_crowd_lists_ten_and_costs_one_message() -> None:
    world = PortalWorld()
    for number in range(30):
        world.directory.add(f"user{number:02}", None, mail="all@acme.test")
    await ask(world, "all@acme.test")
    [(_, text)] = await told(world)
    assert text.count("(acme)") == 10


@pytest.mark.parametrize(
    "typed", ["*@acme.test", "ada@*", "%@acme.test", "ad_@acme.test", "x@y.z)(mail=*", "' OR 1=1 --@acme.test"]
)
async def test_wildcard_typed_for_an_address_sends_nothing(typed: str) -> None:
    world = PortalWorld()
    await world.person("ada", mail="ada@acme.test")
    assert (await ask(world, typed)).status_code == 200
    assert await told(world) == []


async def test_directory_that_cannot_tell_of_several_still_finds_the_only_one() -> None:
    class Plain(MemoryDirectory):
        sharing_mail = None  # type: ignore[assignment]

    world = PortalWorld(directory=Plain("acme"))
    await world.person("ada", mail="ada@acme.test")
    await ask(world, "ada@acme.test")
    assert [to for to, _ in await told(world)] == ["ada@acme.test"]


async def test_contact_of_one_person_twice_is_one_line() -> None:
    world = PortalWorld()
    await give(world, await world.person("ada", mail=HOME), HOME)
    await ask(world, HOME)
    [(_, text)] = await told(world)
    assert text.count("ada") - text.count(HOME) == 1


async def test_nobody_learns_whether_a_contact_is_known() -> None:
    world = PortalWorld()
    await give(world, await world.person("ada", mail="ada@acme.test"), PHONE)
    await world.person("bob", state=AccountState.DISABLED, mail="bob@acme.test")
    for name in ("carol", "dave"):
        await world.person(name, mail="two@acme.test")
    seen = []
    for typed in ("ada@acme.test", "two@acme.test", "xyz@acme.test", "bob@acme.test", PHONE, "+905320000000", "ada", "???"):
        async with world.browser() as browser:
            first = await browser.get("/username")
            form = browser.filled(0, {"contact": typed})
            before = len(await world.rows("timeline"))
            reply = await browser.client.post("/username", data=form, headers=OURS)
            assert len(await world.rows("timeline")) == before + 1
            page = await browser.get(reply.headers["location"])
            headers = [sorted((k, v) for k, v in each.headers.items() if k != "set-cookie") for each in (first, reply, page)]
            seen.append(
                (reply.status_code, reply.content, page.status_code, re.sub(UNLIKE, "", first.text + page.text), _plain(headers))
            )
    assert all(each == seen[0] for each in seen)
    assert sorted(to for to, _ in await told(world)) == [PHONE, "ada@acme.test", "two@acme.test"]
    assert len(await world.events("engine:name:sent")) == 8


def _plain(headers: list[list[tuple[str, str]]]) -> str:
    return re.sub(r"nonce-[\w+/=-]+", "", REFERENCE.sub("", repr(headers)))


async def test_reply_leaves_at_its_moment_and_the_message_waits_for_the_outbox() -> None:
    world = PortalWorld(floor_ms=150)
    await world.person("ada", mail="ada@acme.test")
    for name in ("bob", "carol"):
        await world.person(name, mail="two@acme.test")
    loop, took = asyncio.get_running_loop(), []
    for typed in ("ada@acme.test", "two@acme.test", "nobody@acme.test"):
        async with world.browser() as browser:
            await browser.get("/username")
            form = browser.filled(0, {"contact": typed})
            began = loop.time()
            await browser.client.post("/username", data=form, headers=OURS)
            took.append(loop.time() - began)
    assert min(took) >= 0.14
    assert [message.state for message in await world.messages()] == ["queued", "queued"]


async def test_login_name_is_no_mailbox() -> None:
    """A directory finds by login name as well: what somebody is called must not be where his name is sent."""
    world = PortalWorld()
    await world.person("ada@acme.test", mail=HOME)
    await ask(world, "ada@acme.test")
    assert await told(world) == []


async def test_address_that_only_looks_alike_gets_no_name() -> None:
    """The Kelvin sign compares like a k, and is another mailbox: what is sent goes where the directory says."""
    world = PortalWorld()
    await world.person("kim", mail="kim@acme.test")
    await ask(world, "\u212aim@acme.test")
    assert [to for to, _ in await told(world)] in ([], ["kim@acme.test"])


async def test_contact_of_an_hour_ago_and_one_that_nobody_verified_find_nobody() -> None:
    world = PortalWorld()
    user = await world.person("ada")
    await give(world, user, HOME, days=0)
    subject = await world.subject_of(user)
    await world.storage.commit(create_contact(world.ring, subject, ContactKind.PHONE, PHONE, Source.OPERATOR, None, 0))
    for typed in (HOME, PHONE):
        await ask(world, typed)
    assert await told(world) == []
    world.later(86_400)
    await ask(world, HOME)
    assert len(await told(world)) == 1


async def test_contact_gets_three_messages_a_day_and_the_page_does_not_tell() -> None:
    world = PortalWorld()
    await world.person("ada", mail="ada@acme.test")
    pages = [await ask(world, "ada@acme.test") for _ in range(5)]
    assert {page.status_code for page in pages} == {200}
    assert len({re.sub(UNLIKE, "", page.text) for page in pages}) == 1
    assert len(await told(world)) == 3
    world.later(86_401)
    await ask(world, "ada@acme.test")
    assert len(await told(world)) == 4


async def test_one_source_asks_only_so_often_for_known_and_unknown_alike() -> None:
    for known in (True, False):
        world = PortalWorld()
        await world.person("ada", mail="ada0@acme.test" if known else "other@acme.test")
        statuses = [(await ask(world, f"ada{number}@acme.test")).status_code for number in range(22)]
        assert statuses == [200] * 20 + [429] * 2


async def test_directory_that_does_not_answer_is_told_for_known_and_unknown_alike() -> None:
    world = PortalWorld()
    await give(world, await world.person("ada", mail="ada@acme.test"), HOME)
    world.directory.behaviour = Behaviour.UNAVAILABLE
    pages = [await ask(world, typed) for typed in (HOME, "ada@acme.test", "nobody@acme.test")]
    assert [page.status_code for page in pages] == [503] * 3
    assert len({page.headers["retry-after"] for page in pages}) == 1
    assert await told(world) == []


async def test_form_of_another_site_sends_nothing() -> None:
    world = PortalWorld()
    await world.person("ada", mail="ada@acme.test")
    async with world.browser() as browser:
        await browser.get("/username")
        form = browser.filled(0, {"contact": "ada@acme.test"})
        assert (await browser.client.post("/username", data=form, headers={"sec-fetch-site": "cross-site"})).status_code == 422
        assert (await browser.client.post("/username", data=form | {"csrf": "0" * 32}, headers=OURS)).status_code == 422
    assert await told(world) == []


async def test_answer_is_in_the_persons_language_and_the_form_is_linked_from_the_sign_in_page() -> None:
    world = PortalWorld()
    await world.person("bob", mail="bob@acme.test", language="tr")
    async with world.browser() as browser:
        assert 'href="/username"' in (await browser.get("/sign-in")).text
        await _ask_in(browser, "bob@acme.test")
    [(_, text)] = await told(world)
    assert "Kullanici adiniz: bob" in text


async def _ask_in(browser: BrowserOfTests, contact: str) -> None:
    await browser.get("/username")
    await browser.post(contact=contact)
