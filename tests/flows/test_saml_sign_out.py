"""Single logout: which session a LogoutRequest ends, what becomes of the applications, and where the browser goes afterwards."""

import asyncio
import base64
import html
import re
import zlib
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest

from tests.flows.portal_world import OURS
from tests.flows.saml_world import IDP, SamlBrowser, SamlWorld, a_party, a_signer, query_of
from tests.flows.test_saml_sign_in import a_world, sign_in
from wardgate.clock import to_ms
from wardgate.federation.claims import Values
from wardgate.federation.relying_party import NameIdFormat, NameIdRule
from wardgate.federation.saml import building, names
from wardgate.federation.saml.bindings import REQUEST, RESPONSE, redirect_url
from wardgate.federation.saml.values import Endpoint, LogoutRequest, LogoutResponse, NameId
from wardgate.federation.saml.xml import parse

SLO = f"{IDP}/saml/slo"


def with_key(name: str = "wiki", rule: NameIdRule | None = None, **changes: object):  # type: ignore[no-untyped-def]
    """An application whose metadata has a key."""
    party = a_party(name, metadata={"signing_certificates": (a_signer(name).certificate,), **changes})
    return party if rule is None else replace(party, name_id=rule)


async def signed_in(browser: SamlBrowser, world: SamlWorld, *others: str) -> LogoutRequest:
    """Sign in for the wiki, and go on to others; the LogoutRequest that the wiki would send."""
    await browser.ask()
    await sign_in(browser, world)
    told = browser.told()
    for other in others:
        await browser.ask(other)
        assert browser.told().status == ("Success", "")
    return LogoutRequest(
        id="_logout",
        issuer="https://wiki.acme.test/sp",
        destination=SLO,
        issued_at=to_ms(world.clock.now()),
        not_on_or_after=None,
        name_id=NameId(told.name, told.one("//a:NameID/@Format")),
        session_indexes=(told.one("//@SessionIndex"),),
        signed=True,
    )


def address_of(request: LogoutRequest, signer: str = "wiki", relay_state: str | None = "rs") -> str:
    """The address that carries it."""
    by = a_signer(signer) if signer else None
    return redirect_url("/saml/slo", REQUEST, building.logout_request(request, None), relay_state, by)


async def is_signed_in(browser: SamlBrowser) -> bool:
    """Whether the account opens."""
    await browser.get("/account")
    return browser.path == "/account"


async def outward(browser: SamlBrowser, address: str) -> httpx.Response:
    """Follow until the browser is sent to somebody else, or a page is shown."""
    reply = await browser.client.get(address)
    while reply.status_code == 303 and reply.headers["location"].startswith("/"):
        reply = await browser.client.get(reply.headers["location"])
    browser.page = reply
    return reply


def message_in(address: str, kind: str):  # type: ignore[no-untyped-def]
    """The document in an address."""
    return parse(zlib.decompress(base64.b64decode(query_of(address)[kind][0]), wbits=-15))


def status_in(address: str) -> list[str]:
    """The status of a LogoutResponse in an address, first and second level."""
    root = message_in(address, RESPONSE)
    return [str(each.get("Value")).rpartition(":")[2] for each in root.iter(f"{{{names.PROTOCOL}}}StatusCode")]


def answer_to(address: str, world: SamlWorld, name: str = "mail", signer: str | None = None) -> str:
    """The LogoutResponse of an application to our LogoutRequest in this address. `signer`: who signs instead; empty: nobody."""
    content = LogoutResponse(
        id="_answer",
        in_response_to=str(message_in(address, REQUEST).get("ID")),
        issuer=f"https://{name}.acme.test/sp",
        destination=SLO,
        issued_at=to_ms(world.clock.now()),
        status=names.SUCCESS,
        second_status="",
        signed=True,
    )
    state = query_of(address)["RelayState"][0]
    by = name if signer is None else signer
    return redirect_url("/saml/slo", RESPONSE, building.logout_response(content, None), state, a_signer(by) if by else None)


async def test_application_signs_the_person_out_and_is_answered() -> None:
    world = await a_world(parties=(with_key(),))
    async with world.browser() as browser:
        request = await signed_in(browser, world)
        reply = await outward(browser, address_of(request))
        address = reply.headers["location"]
        assert address.startswith("https://wiki.acme.test/sp/slo?")
        assert status_in(address) == ["Success"]
        assert query_of(address)["RelayState"] == ["rs"]
        assert not await is_signed_in(browser)


async def test_other_applications_are_told_one_after_the_other_and_the_first_hears_at_the_end() -> None:
    world = await a_world(parties=(with_key(), with_key("mail"), with_key("shop", slo=())))
    async with world.browser() as browser:
        request = await signed_in(browser, world, "mail", "shop")
        page = await outward(browser, address_of(request))
        assert page.status_code == 200
        assert "Mail" in page.text
        assert "cannot be told" in page.text
        link = re.search(r'<a class="button primary" href="(https://mail[^"]*)"', page.text)
        assert link is not None
        address = html.unescape(link[1])
        assert message_in(address, REQUEST).get("Destination") == "https://mail.acme.test/sp/slo"
        reply = await outward(browser, answer_to(address, world))
        assert status_in(reply.headers["location"]) == ["Success", "PartialLogout"]


@pytest.mark.parametrize("answers", [True, False])
async def test_person_signs_out_and_reads_what_became_of_each(answers: bool) -> None:
    world = await a_world(parties=(with_key(), with_key("mail")))
    async with world.browser() as browser:
        await signed_in(browser, world, "mail")
        await browser.get("/sign-out")
        await browser.post("/sign-out")
        assert browser.path.startswith("/saml/leaving/")
        assert not await world.rows("sso_session")
        place = browser.path
        for _ in range(2):
            await browser.get(place)
            link = re.search(r'href="(https://(\w+)[^"]*/slo[^"]*)"', browser.page.text)
            assert link is not None
            if answers:
                await outward(browser, answer_to(html.unescape(link[1]), world, link[2]))
            else:
                await browser.post(place, form=0)
        page = await browser.get(place)
        assert page.text.count("signed out</dd>" if answers else "no answer</dd>") == 2
        assert ("in every application" in page.text) is answers


async def test_logout_request_for_somebody_elses_session_ends_nothing() -> None:
    world = await a_world(parties=(with_key(),))
    other = await world.person("bob", mail="bob@acme.test")
    await world.give_totp(other, bytes(range(1, 21)))
    async with world.browser() as ada, world.browser() as bob:
        request = await signed_in(ada, world)
        await bob.ask()
        await bob.post("/sign-in", username="bob", password="correct horse")
        await bob.post(code=world.totp(secret=bytes(range(1, 21))), act="answer")
        assert bob.told().status == ("Success", "")
        reply = await outward(bob, address_of(request))
        assert status_in(reply.headers["location"]) == ["Responder", "UnknownPrincipal"]
        assert await is_signed_in(ada)
        assert await is_signed_in(bob)


async def test_logout_request_that_is_signed_by_somebody_else_ends_nothing() -> None:
    world = await a_world(parties=(with_key(), with_key("mail")))
    async with world.browser() as browser:
        request = await signed_in(browser, world)
        assert (await outward(browser, address_of(request, "mail"))).status_code == 400
        assert await is_signed_in(browser)


@pytest.mark.parametrize("has_key", [True, False])
async def test_logout_request_without_a_signature_signs_nobody_out_by_itself(has_key: bool) -> None:
    world = await a_world(parties=(with_key(),)) if has_key else await a_world()
    async with world.browser() as browser:
        request = await signed_in(browser, world)
        page = await outward(browser, address_of(request, ""))
        assert page.status_code == 200
        assert await is_signed_in(browser)
        browser.page = page
        place = str(page.url.path)
        reply = await browser.client.post(place, data={"csrf": "0" * 32}, headers=OURS)
        assert reply.headers["location"] == place
        reply = await browser.client.post(place, data=browser.filled(0, {}), headers=OURS)
        assert status_in(reply.headers["location"]) == ["Success"]
        assert not await is_signed_in(browser)


async def test_logout_request_is_taken_once_and_only_in_its_own_browser() -> None:
    world = await a_world(parties=(with_key(),))
    async with world.browser() as browser, world.browser() as other:
        request = await signed_in(browser, world)
        reply = await browser.client.get(address_of(request))
        place = reply.headers["location"]
        assert (await other.client.get(place)).status_code == 410
        replies = await asyncio.gather(*(browser.client.get(place) for _ in range(20)))
        assert sorted({each.status_code for each in replies}) == [303, 410]
        assert [each.status_code for each in replies].count(303) == 1
        assert (await browser.client.get(address_of(request))).status_code == 409


async def test_no_redirect_to_anywhere_after_a_logout() -> None:
    evil = "https://evil.test/"
    world = await a_world(parties=(with_key(slo=(Endpoint("https://wiki.acme.test/sp/slo", names.REDIRECT, None, None, ""),)),))
    async with world.browser() as browser:
        request = await signed_in(browser, world)
        reply = await outward(browser, address_of(request, relay_state=evil) + f"&RelayState2={quote(evil)}")
        assert reply.headers["location"].startswith("https://wiki.acme.test/sp/slo?")
        for address in (f"/signed-out?then={evil}", f"/sign-out?return={evil}", f"/saml/slo?return={evil}"):
            reply = await browser.client.get(address)
            assert not reply.headers.get("location", "").startswith("https://evil")


async def leaving(browser: SamlBrowser, world: SamlWorld) -> str:
    """Ada came to the application `mail` and signs out: the address by which that is told."""
    await browser.ask("mail")
    await sign_in(browser, world)
    await browser.get("/sign-out")
    await browser.post("/sign-out")
    link = re.search(r'href="(https://mail[^"]*/slo[^"]*)"', browser.page.text)
    assert link is not None
    return html.unescape(link[1])


async def test_logout_response_that_is_signed_by_somebody_else_notes_nothing() -> None:
    world = await a_world(parties=(with_key("mail"), with_key()))
    async with world.browser() as browser:
        address = await leaving(browser, world)
        place = browser.path
        assert (await outward(browser, answer_to(address, world, signer="wiki"))).status_code == 400
        await browser.get(place)
        assert "not told yet" in browser.page.text
        await outward(browser, answer_to(address, world))
        assert "in every application" in browser.page.text


@pytest.mark.parametrize("has_key", [True, False])
async def test_logout_response_without_a_signature_is_believed_of_nobody_who_has_a_key_and_keeps_nobody(has_key: bool) -> None:
    world = await a_world(parties=(with_key("mail") if has_key else a_party("mail"),))
    async with world.browser() as browser:
        address = await leaving(browser, world)
        await outward(browser, answer_to(address, world, signer=""))
        assert ("no answer</dd>" in browser.page.text) is has_key
        assert ("signed out</dd>" in browser.page.text) is not has_key
        assert ("in every application" in browser.page.text) is not has_key


def under_the_name_of_mail():  # type: ignore[no-untyped-def]
    """Another application to which an operator has given the name of the first one."""
    return replace(with_key("evil"), name="mail")


async def test_application_that_was_given_the_name_of_another_is_not_told_whom_that_one_knew() -> None:
    world = await a_world(parties=(with_key(), with_key("mail")))
    async with world.browser() as browser:
        request = await signed_in(browser, world, "mail")
        world.parties = (with_key(), under_the_name_of_mail())
        reply = await outward(browser, address_of(request))
        # It is passed over, which the application that asked hears.
        assert status_in(reply.headers["location"]) == ["Success", "PartialLogout"]


async def test_person_reads_that_an_application_is_unknown_whose_name_was_given_away() -> None:
    world = await a_world(parties=(with_key("mail"), with_key("shop")))
    async with world.browser() as browser:
        await browser.ask("mail")
        await sign_in(browser, world)
        world.parties = (under_the_name_of_mail(),)
        await browser.get("/sign-out")
        await browser.post("/sign-out")
        assert "Unknown application</dt><dd>cannot be told" in browser.page.text
        assert "evil" not in browser.page.text


async def test_name_that_is_given_away_during_a_sign_out_gets_nothing_either() -> None:
    world = await a_world(parties=(with_key("mail"),))
    async with world.browser() as browser:
        await leaving(browser, world)
        place = browser.path
        assert "SAMLRequest" in browser.page.text
        world.parties = (under_the_name_of_mail(),)
        await browser.get(place)
        assert "Mail" in browser.page.text
        assert "evil" not in browser.page.text
        assert "SAMLRequest" not in browser.page.text
        await browser.post(place, form=0)
        assert "no answer</dd>" in browser.page.text


async def test_application_that_was_given_the_name_of_another_ends_no_session_of_that_one() -> None:
    mail = NameIdRule(NameIdFormat.EMAIL, Values("mail"))
    world = await a_world(parties=(with_key("mail", mail),))
    async with world.browser() as browser:
        await browser.ask("mail")
        await sign_in(browser, world)
        told = browser.told()
        world.parties = (under_the_name_of_mail(),)
        request = LogoutRequest(
            id="_logout",
            issuer="https://evil.acme.test/sp",
            destination=SLO,
            issued_at=to_ms(world.clock.now()),
            not_on_or_after=None,
            name_id=NameId(told.name, told.one("//a:NameID/@Format")),
            session_indexes=(),
            signed=True,
        )
        reply = await outward(browser, address_of(request, "evil"))
        assert status_in(reply.headers["location"]) == ["Responder", "UnknownPrincipal"]
        assert await is_signed_in(browser)


async def test_forged_result_is_not_noted() -> None:
    world = await a_world(parties=(with_key(), with_key("mail")))
    async with world.browser() as browser:
        await signed_in(browser, world, "mail")
        await browser.get("/sign-out")
        await browser.post("/sign-out")
        place = browser.path
        await browser.get(f"{place}?party=wiki&result=done&mark={'0' * 40}")
        assert "not told yet" in browser.page.text
        assert "signed out</dd>" not in browser.page.text


async def test_session_that_ended_elsewhere_is_no_mistake_of_the_application() -> None:
    world = await a_world(parties=(with_key(),))
    async with world.browser() as browser:
        request = await signed_in(browser, world)
        for row in await world.rows("sso_session"):
            await world.sessions.end_one(row["subject_id"], row["id"], "reset")  # type: ignore[arg-type]
        reply = await outward(browser, address_of(request))
        assert status_in(reply.headers["location"]) == ["Success"]
        await browser.ask(ID="_after")
        assert browser.path == "/sign-in"
