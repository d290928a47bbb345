"""Proofs that do not reach for a reset: the page says the same each time, and the timeline which rule left what out."""

import re
from collections.abc import Callable

import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_questions import QuestionWorld
from tests.flows.portal_world import REFERENCE, BrowserOfTests, PortalWorld
from tests.flows.test_portal_recovery import newest_code
from wardgate.account.contact import Source, create_contact
from wardgate.audit.timeline import by_reference
from wardgate.clock import to_ms
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import FloorSettings, FloorThenSettings, PolicySettings, RuleSettings, ThenSettings

PHONE, PRIVATE = "+905321234567", "bob@home.test"


async def prove(world: PortalWorld, browser: BrowserOfTests, kind: str) -> None:
    """Choose this proof and give what was sent."""
    await browser.post(method=kind, act="choose")
    await browser.post(code=await newest_code(world), act="answer")


async def add(world: PortalWorld, user: DirectoryUser, kind: ContactKind, value: str, hours_ago: float) -> None:
    """A contact that the person added so long ago, and prefers to nothing."""
    at_ms = to_ms(world.clock.now()) - int(hours_ago * 3_600_000)
    contact = create_contact(world.ring, await world.subject_of(user), kind, value, Source.PERSON, at_ms, at_ms)
    await world.storage.commit(contact)


async def own_mailbox(world: PortalWorld, browser: BrowserOfTests) -> None:
    """The mailbox that opens with the forgotten password."""
    await world.person("bob", mail="bob@acme.test", phone=PHONE)
    await begin(browser)
    await prove(world, browser, "email")


async def young_phone(world: PortalWorld, browser: BrowserOfTests) -> None:
    """A phone that was changed an hour ago."""
    await add(world, await world.person("bob"), ContactKind.PHONE, PHONE, 1)
    await begin(browser)
    await prove(world, browser, "sms")


async def administrator(world: PortalWorld, browser: BrowserOfTests) -> None:
    """An administrator by text message."""
    strict = FloorThenSettings(strong_factors=2, never=("sms", "email", "kba"))
    floors = (FloorSettings(name="administrators", when={"user": ["bob"]}, then=strict),)
    rules = (RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp", "sms")))),)
    world.policy = compile_policy(PolicySettings(name="p", rules=rules, floors=floors), KINDS, STRONG_KINDS)
    await world.person("bob", phone=PHONE)
    await begin(browser)
    await prove(world, browser, "sms")


async def begin(browser: BrowserOfTests) -> None:
    await browser.get("/forgot")
    await browser.post("/forgot", username="bob")


async def weighed(world: PortalWorld, browser: BrowserOfTests) -> str:
    """What the timeline of the page's reference says of the proofs."""
    assert browser.page.status_code == 410
    assert "not enough" in browser.page.text
    found = re.search(r"\b[0-9A-HJKMNP-TV-Z]{8}\b", browser.page.text.partition("reference")[2])
    assert found is not None
    await world.recorder.flush()
    return " ".join(str(row["body"]) for row in await by_reference(world.storage, found[0]))


@pytest.mark.parametrize(
    ("case", "rule"), [(own_mailbox, "email 0 behind_password"), (young_phone, "sms 0 held"), (administrator, "sms 0 floor")]
)
async def test_proof_that_a_rule_leaves_out_resets_nothing_and_the_timeline_names_the_rule(
    case: Callable[..., object], rule: str
) -> None:
    world = PortalWorld()
    async with world.browser() as browser:
        await case(world, browser)  # type: ignore[misc]
        assert rule in await weighed(world, browser)
        assert rule.split()[-1] not in browser.page.text
    assert not await world.payloads("directory:password:set")


async def test_mail_and_questions_together_weigh_too_little_and_the_timeline_says_by_how_much() -> None:
    world = QuestionWorld()
    use_plan(world, ["password"], ["sms", "kba"])
    user = await world.person("bob")
    await world.set_answers(user)
    await add(world, user, ContactKind.MAIL, PRIVATE, 48)
    await add(world, user, ContactKind.PHONE, PHONE, 1)
    async with world.browser() as browser:
        await begin(browser)
        await prove(world, browser, "email")
        # With the answers it would be two: they are not even asked for.
        told = await weighed(world, browser)
    assert "email 1" in told
    assert "of 3" in told
    assert not await world.payloads("directory:password:set")


async def test_phone_of_an_hour_ago_counts_when_its_hold_is_over() -> None:
    world = PortalWorld()
    user = await world.person("bob")
    await add(world, user, ContactKind.PHONE, PHONE, 1)
    await add(world, user, ContactKind.MAIL, PRIVATE, 48)
    world.later(23 * 3600 + 1)
    async with world.browser() as browser:
        await begin(browser)
        await prove(world, browser, "sms")
        await prove(world, browser, "email")
        assert "Choose a new password" in browser.page.text


# --- nobody's pages, byte by byte ------------------------------------------------------------------------------------------

TOKEN = re.compile(r'name="csrf" value="\w+"')


async def test_nobodys_reset_is_somebodys_byte_by_byte_until_the_brakes() -> None:
    """Bodies, status, headers, and the cookies' names and lengths; then the same words of the same brake."""
    world = PortalWorld()
    await world.give_totp(await world.person("ada", phone=PHONE, mail="ada@home.test"))
    seen = []
    for name in ("ada", "nob"):
        pages: list[tuple[object, ...]] = []
        async with world.browser() as browser:
            for _ in range(7):
                pages.append(await shot(browser, "GET", "/forgot", {}, name))
                pages.append(await shot(browser, "POST", "/forgot", {"username": name}, name))
                if browser.path == "/forgot":
                    continue
                for kind in ("sms", "recovery_code", "totp"):
                    pages.append(await shot(browser, "POST", browser.path, {"method": kind, "act": "choose"}, name))
                    pages.append(await shot(browser, "POST", browser.path, {"code": "", "act": "answer"}, name))
                    if kind != "totp":
                        pages.append(await shot(browser, "POST", browser.path, {"act": "other"}, name))
                for _ in range(5):
                    pages.append(await shot(browser, "POST", browser.path, {"code": world.wrong_code(), "act": "answer"}, name))
        seen.append(pages)
        world.later(7200)
    for number, (somebody, nobody) in enumerate(zip(*seen, strict=True)):
        assert somebody == nobody, number
    assert {page[0] for page in seen[0] if page} >= {200, 422, 410, 429}
    assert {each.user for each in await world.messages() if each.code} == {"ada"}


async def shot(browser: BrowserOfTests, method: str, path: str, fields: dict[str, str], name: str) -> tuple[object, ...]:
    """All that a page is, but for its token, its reference and the name that was typed."""
    if method == "GET":
        page = await browser.get(path)
    elif "<form " not in browser.page.text:
        return ()
    else:
        page = await browser.post(path, **fields)
    body = REFERENCE.sub("", TOKEN.sub("", page.text)).replace(f'value="{name}"', "")
    body = re.sub(r"Reference:? \w{8}", "", body)
    headers = sorted((key, value) for key, value in page.headers.items() if key not in ("set-cookie", "date"))
    cookies = sorted((each.name, len(each.value or "")) for each in browser.client.cookies.jar)
    return page.status_code, body, headers, cookies
