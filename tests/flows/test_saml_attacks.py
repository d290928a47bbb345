"""What somebody who reads our source would try at single sign-on; each test is named after the attack."""

import base64
import html
import inspect
import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.flows.plans import use_plan
from tests.flows.saml_world import ACS, SamlBrowser, SamlWorld, a_party, a_signer, by_redirect
from tests.flows.test_portal_tickets import TicketWorld
from tests.flows.test_saml_sign_in import a_world, sign_in, wanting
from wardgate.backup.epoch import open_epoch
from wardgate.directory.memory import Behaviour
from wardgate.directory.port import AccountState
from wardgate.errors import SamlMessageError
from wardgate.federation import stored_requests
from wardgate.federation.allowance import MAX_SOURCES, OF_ALL, OF_SOURCE, Allowance
from wardgate.federation.claims import Values
from wardgate.federation.contexts import Wanted
from wardgate.federation.relying_party import NameIdFormat, NameIdRule
from wardgate.federation.saml import encrypting, names
from wardgate.federation.saml.addresses import checked_url
from wardgate.federation.saml.values import Endpoint, KeyTransport
from wardgate.federation.saml.verifying import verified
from wardgate.federation.saml.xml import parse
from wardgate.federation.stored_requests import MAX_FOLLOWING, Asked, StoredRequests, TooManyOpen
from wardgate.policy.settings import ActionEntrySettings, FloorSettings, FloorThenSettings, LifetimesThenSettings
from wardgate.storage.port import Upsert

MFA = names.CONTEXT_REFEDS_MFA
NOBODYS_NAME = f'<p:NameIDPolicy Format="{names.FORMAT_ENCRYPTED}"/>'


class TicketedApplications(TicketWorld, SamlWorld):
    """Computers of a domain, and applications."""


async def waiting(browser: SamlBrowser) -> str:
    """The address at which the request of the open sign-in goes on."""
    return html.unescape(browser.page.text).split('name="then" value="', 1)[1].split('"', 1)[0]


# --- proofs that are none -------------------------------------------------------------------------------------------------------


async def test_force_authn_is_not_passed_by_the_ticket_of_an_unlocked_computer() -> None:
    """The form does not offer a ticket then; whoever sits there types the address."""
    world = TicketedApplications()
    await world.ada()
    async with world.browser() as browser:
        await browser.ask(ForceAuthn="true")
        then = await waiting(browser)
        shown = base64.b64encode(world.ticket()).decode()
        browser.page = await browser.client.get(f"/sign-in/kerberos?then={then}", headers={"authorization": f"Negotiate {shown}"})
        await browser.get(then)
        assert "SAMLResponse" not in browser.page.text
        assert browser.path == "/sign-in"


async def test_force_authn_is_not_passed_by_a_sign_in_for_another_application() -> None:
    """Made after the request, and not for it."""
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask(ForceAuthn="true")
        first = await waiting(browser)
        await browser.ask("mail")
        await browser.post("/sign-in", username="ada", password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        assert browser.told().action == "https://mail.acme.test/sp/acs"
        world.later(30)
        await browser.get(first)
        assert browser.path == "/sign-in"
        await browser.post("/sign-in", password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        told = browser.told()
        assert (told.action, told.status) == ("https://wiki.acme.test/sp/acs", ("Success", ""))


async def test_force_authn_is_not_passed_by_a_sign_in_whose_password_was_typed_before() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        open_step, page = browser.path, browser.page
        await browser.ask(ForceAuthn="true")
        first = await waiting(browser)
        browser.page = page
        await browser.post(open_step, code=world.totp(), act="answer")
        assert browser.path != open_step
        await browser.get(first)
        assert browser.path == "/sign-in"


async def test_strangers_do_not_learn_which_applications_there_are_by_starting_them() -> None:
    """Known, unknown, or not begun here: until somebody has signed in, all three say the same."""
    world = await a_world(parties=(a_party(), a_party("mail", unsolicited=False), a_party("Türkçe viki")))
    told = []
    for name in ("wiki", "mail", "nothing", "T%C3%BCrk%C3%A7e%20viki"):
        async with world.browser() as browser:
            reply = await browser.client.get(f"/saml/start/{name}")
            assert (reply.status_code, reply.headers["location"]) == (303, f"/sign-in?then=/saml/start/{quote(name)}")
            page = await browser.get(reply.headers["location"])
            told.append(re.sub('[0-9a-f]{32,}|/saml/start/[^"&]*|%2Fsaml[^"&]*', "", page.text))
    assert len(set(told)) == 1, told
    async with world.browser() as browser:
        await browser.get("/saml/start/T%C3%BCrk%C3%A7e%20viki")
        await sign_in(browser, world)
        assert browser.told().status == ("Success", "")


async def test_giving_up_half_way_does_not_tell_which_applications_there_are() -> None:
    """With a password alone nobody is signed in."""
    world = await a_world()
    led = []
    for name in ("wiki", "nothing"):
        async with world.browser() as browser:
            await browser.sign_in("ada", then=f"/saml/start/{name}")
            assert browser.path.startswith("/step/")
            await browser.post(act="cancel")
            led.append((browser.page.status_code, str(browser.page.url)))
    assert led[0] == led[1]


async def test_flood_of_wishes_that_nobody_is_granted_has_no_signatures_without_end() -> None:
    world = await a_world()
    answered = 0
    async with world.browser() as browser:
        for _ in range(int(OF_SOURCE) + 5):
            reply = await browser.client.get(by_redirect(world.request(inside=NOBODYS_NAME)))
            answered += reply.status_code == 200
        assert (answered, reply.status_code) == (int(OF_SOURCE), 429)
        assert reply.headers["retry-after"]
        world.later(1)
        await browser.ask(inside=NOBODYS_NAME)
        assert browser.told().status == ("Requester", "InvalidNameIDPolicy")


async def test_flood_of_strangers_leaves_people_who_are_signed_in_their_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.federation.allowance.OF_ALL", 1.0)
    monkeypatch.setattr("wardgate.federation.allowance.OF_ALL_S", 0.0)
    world = await a_world()
    async with world.browser() as browser:
        for status in (200, 429):
            reply = await browser.client.get(by_redirect(world.request(inside=NOBODYS_NAME)))
            assert reply.status_code == status
        await browser.ask()
        await sign_in(browser, world)
        await browser.ask(inside=NOBODYS_NAME)
        assert browser.told().status == ("Requester", "InvalidNameIDPolicy")


def test_many_addresses_have_one_bucket_together_and_fill_no_memory() -> None:
    one, now_ms = Allowance(), 1_000_000
    assert sum(one.take(f"203.0.{number // 250}.{number % 250}", now_ms) for number in range(6_000)) == int(OF_ALL)
    assert len(one._sources) <= MAX_SOURCES
    assert not one.take("198.51.100.7", now_ms)
    assert one.take("198.51.100.7", now_ms + 1_000)
    # A clock that was put back gives nothing.
    assert sum(one.take("198.51.100.7", now_ms - 3_600_000) for _ in range(2_000)) < OF_ALL


async def test_ticket_still_counts_where_nothing_fresh_is_asked_for() -> None:
    world = TicketedApplications()
    await world.ada()
    async with world.browser() as browser:
        await browser.ask()
        then = await waiting(browser)
        shown = base64.b64encode(world.ticket()).decode()
        browser.page = await browser.client.get(f"/sign-in/kerberos?then={then}", headers={"authorization": f"Negotiate {shown}"})
        await browser.get(then)
        assert browser.told().context == names.CONTEXT_KERBEROS


async def test_trust_in_a_browser_is_not_made_younger_by_signing_in_again() -> None:
    """One application trusts a browser for a month, another for an hour: the password alone does not open the second."""
    world = await a_world()
    use_plan(world, ("password",), ("totp",), lifetimes=LifetimesThenSettings(trusted_device="30d", reauthentication="10m"))
    long = world.policy
    use_plan(world, ("password",), ("totp",), lifetimes=LifetimesThenSettings(trusted_device="1h", reauthentication="10m"))
    world.policies = {"wiki": long, "mail": world.policy}
    world.policy = long
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer", trust_device="yes")
        assert browser.path == "/account"
        world.later(2 * 3600)
        await browser.sign_in("ada")
        assert browser.path == "/account", "the browser is trusted"
        world.later(900)
        await browser.ask()
        assert browser.path == "/sign-in"
        await browser.post("/sign-in", password="correct horse")
        assert browser.told().status == ("Success", "")
        await browser.ask("mail")
        assert browser.path.startswith("/step/")


@pytest.mark.parametrize("steps", [(("password",), ("kba",)), (("totp",), ("sms",))])
def test_two_things_known_or_two_things_held_are_not_several_factors(steps: tuple[tuple[str, ...], ...]) -> None:
    """The profile asks for factors of different kinds: what somebody knows twice is one of them."""
    proved = [step[0] for step in steps]
    assert Wanted((MFA,)).told(proved) is None
    assert Wanted().told(proved) != MFA


async def test_application_does_not_ask_for_what_a_floor_lets_nobody_prove_anything_by() -> None:
    world = SamlWorld()
    await world.person("ada", phone="+905321234567")
    floors = [FloorSettings(name="no-sms", then=FloorThenSettings(never=("sms",)))]
    use_plan(world, ("password",), floors=floors)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        assert browser.path == "/account"
        await browser.ask(inside=wanting(MFA))
        assert browser.told().status == ("Responder", "NoAuthnContext")
    assert await world.messages() == []


async def test_passive_request_does_not_pass_over_what_has_to_be_done() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        use_plan(world, demands=[ActionEntrySettings(enrol="recovery_code", level="forced", deferrals=0)])
        world.later(90)
        await browser.ask(IsPassive="true")
        assert browser.told().status == ("Responder", "NoPassive")


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.EXPIRED])
@pytest.mark.parametrize("passive", ["true", ""])
async def test_session_of_an_account_that_was_closed_tells_no_application(state: AccountState, passive: str) -> None:
    world = SamlWorld()
    user = await world.person("ada")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        world.directory.change_state(user, state)
        await browser.ask(IsPassive=passive)
        if passive:
            assert browser.told().status == ("Responder", "NoPassive")
        else:
            assert browser.path == "/sign-in"
            assert await world.rows("sso_session") == []


# --- answers about, and to, somebody else ---------------------------------------------------------------------------------------


async def test_user_name_does_not_pass_for_the_number_of_somebody_else() -> None:
    """An application that knows people by their number: who has none is not named by a user name that looks like one."""
    rule = NameIdRule(NameIdFormat.UNSPECIFIED, Values("attribute.employeeNumber"))
    world = SamlWorld(parties=(a_party(name_id=rule),))
    user = await world.person("1001")
    await world.give_totp(user)
    async with world.browser() as browser:
        await browser.ask()
        await browser.post("/sign-in", username="1001", password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        assert browser.told().status == ("Responder", "InvalidNameIDPolicy")


async def test_mail_of_our_own_does_not_pass_for_the_one_that_the_application_goes_by() -> None:
    rule = NameIdRule(NameIdFormat.EMAIL, Values("attribute.workMail"))
    world = await a_world(parties=(a_party(name_id=rule),))
    async with world.browser() as browser:
        await browser.ask()
        await sign_in(browser, world)
        assert browser.told().status == ("Responder", "InvalidNameIDPolicy")


async def test_address_that_was_taken_out_of_the_metadata_meanwhile_gets_no_answer() -> None:
    """Its owner lost it to somebody: requests that wait must not still be answered there."""
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        moved = Endpoint("https://wiki.acme.test/sp/new", names.POST, 0, True)
        world.parties = (a_party(metadata={"acs": (moved,)}),)
        await sign_in(browser, world)
        assert browser.page.status_code == 410
        assert ACS not in browser.page.text
    assert await world.rows("saml_participant") == []


async def test_name_that_became_another_applications_answers_nobody() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        other = a_party("mail")
        world.parties = (replace(other, name="wiki"),)
        await sign_in(browser, world)
        assert browser.page.status_code == 410


# --- work that somebody else has us do ------------------------------------------------------------------------------------------


async def test_thousands_of_waiting_requests_do_not_make_a_sign_in_dear() -> None:
    """What waits follows its browser to its new id, one commit each: the newest few, and not all that somebody heaped up."""
    world = await a_world()
    async with world.browser() as browser:
        await browser.get("/sign-in")
        for _ in range(MAX_FOLLOWING + 8):
            world.later(1)
            await browser.ask()
        await sign_in(browser, world)
        assert browser.told().status == ("Success", "")
    rows = await world.rows("saml_request")
    [newest] = {row["browser_mac"] for row in rows if row["state"] == "used"}
    assert len([row for row in rows if row["browser_mac"] == newest]) <= MAX_FOLLOWING


async def test_classes_that_nobody_knows_are_not_kept() -> None:
    """Two thousand requests of one source with 32 KiB of nothing each."""
    world = await a_world()
    junk = [f"urn:{number}:{'x' * 2000}" for number in range(15)]
    async with world.browser() as browser:
        await browser.ask(inside=wanting(*junk, names.CONTEXT_PASSWORD))
        [row] = await world.rows("saml_request")
        assert isinstance(row["sealed"], bytes)
        assert len(row["sealed"]) < 4096
        await sign_in(browser, world)
        assert browser.told().context == names.CONTEXT_PASSWORD


async def test_second_load_of_a_waiting_request_sends_no_second_message() -> None:
    world = SamlWorld()
    await world.person("ada", phone="+905321234567")
    use_plan(world, ("password",))
    portal = world.policy
    use_plan(world, ("password",), ("sms",))
    world.policies, world.policy = {"wiki": world.policy}, portal
    async with world.browser() as browser:
        await browser.sign_in("ada")
        reply = await browser.client.get(by_redirect(world.request()))
        place = reply.headers["location"]
        await browser.get(place)
        assert browser.path.startswith("/step/"), browser.page.text
        assert len(await world.messages()) == 1
        await browser.get(place)
        assert len(await world.messages()) == 1


async def test_owner_of_an_ipv6_network_is_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """He has more addresses than we have room for rows."""
    monkeypatch.setattr(stored_requests, "MAX_OPEN_OF_SOURCE", 3)
    world = SamlWorld()
    requests = StoredRequests(world.storage, lambda: world.ring, world.clock)

    async def keep(number: int, source: str) -> bool:
        return await requests.keep(requests.draft(Asked("wiki", f"_{number}", ACS, None), "wiki", source))

    for number in range(3):
        assert await keep(number, f"2001:db8::{number}")
    with pytest.raises(TooManyOpen):
        await keep(3, "2001:db8::3:1")
    assert await keep(3, "2001:db8:0:1::1")


@pytest.mark.parametrize(
    "host", ["*", "*.evil.test", "a.test;sandbox", "a.test,b.test", "'self'", "a.test:*", "[::1", "a.test:1:2"]
)
def test_host_of_an_application_does_not_widen_the_policy_of_our_page(host: str) -> None:
    with pytest.raises(SamlMessageError):
        checked_url(f"https://{host}/acs")


@pytest.mark.parametrize("host", ["wiki", "wiki.acme.test:8443", "[2001:db8::1]:443", "my_wiki.acme.test", "192.0.2.1"])
def test_hosts_that_are_hosts_are_taken(host: str) -> None:
    assert checked_url(f"https://{host}/acs")


# --- around the answer ----------------------------------------------------------------------------------------------------------


async def test_pages_of_applications_are_neither_framed_nor_kept() -> None:
    """Clickjacking, and an answer that the next person at the computer finds in the cache."""
    world = await a_world()
    async with world.browser() as browser:
        unknown = (await browser.get("/saml/sso?SAMLRequest=none"), 400)
        passive = (await browser.ask(IsPassive="true"), 200)
        asked = (await browser.ask(), 200)
        place = await waiting(browser)
        await sign_in(browser, world)
        told, again = (browser.page, 200), (await browser.get(place), 409)
        logout, over = (await browser.get("/saml/slo?SAMLRequest=none"), 400), (await browser.get("/saml/leaving/" + "a" * 22), 410)
        for page, status in (unknown, passive, asked, told, again, logout, over):
            assert page.status_code == status
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
            assert page.headers["referrer-policy"] in ("no-referrer", "same-origin")
            assert page.headers["x-content-type-options"] == "nosniff"


async def test_page_that_hands_over_shows_nothing_of_who_came_before() -> None:
    """The frame of it is drawn once for all who speak one language; what it hands over is each person's own."""
    world = await a_world(parties=(a_party(title="Wiki <b>& more"), a_party("mail")))
    await world.give_totp(await world.person("bob", mail="bob@acme.test"))
    async with world.browser() as ada, world.browser() as bob, world.browser(headers={"accept-language": "tr"}) as turk:
        told = []
        for browser, name in ((ada, "ada"), (bob, "bob"), (turk, "ada"), (bob, "")):
            world.later(30)
            await browser.ask(relay_state=f"{name}<i>")
            if name:
                await browser.post("/sign-in", username=name, password="correct horse")
                await browser.post(code=world.totp(), act="answer")
            told.append((browser.told().claims["mail"], html.unescape(browser.told().relay_state or "")))
            assert "<i>" not in browser.page.text
            assert browser.page.text.count("SAMLResponse") == 1
            assert "Wiki &lt;b&gt;&amp; more" in browser.page.text
            # No link to the same page in another language: its address has been used up.
            assert "hreflang" not in browser.page.text
        assert told == [
            (["ada@acme.test"], "ada<i>"),
            (["bob@acme.test"], "bob<i>"),
            (["ada@acme.test"], "ada<i>"),
            (["bob@acme.test"], "<i>"),
        ]
        assert [each.page.headers["content-language"] for each in (ada, bob, turk)] == ["en", "en", "tr"]
        assert '<html lang="tr">' in turk.page.text
        await bob.ask("mail")
        assert "Mail" in bob.page.text
        assert "Wiki" not in bob.page.text


async def test_trusted_browser_does_not_date_a_sign_in_by_weeks_ago() -> None:
    """Applications refuse a sign-in that is too old, and this one is of now."""
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer", trust_device="yes")
        await browser.get("/sign-out")
        browser.client.cookies.delete("__Host-wg_session")
        world.later(2 * 24 * 3600)
        await browser.ask()
        await browser.post("/sign-in", username="ada", password="correct horse")
        told = browser.told()
        assert told.one("//@AuthnInstant").startswith(world.clock.now().strftime("%Y-%m-%dT%H:%M:%S"))
        assert told.context == names.CONTEXT_PROTECTED_PASSWORD


async def test_restore_brings_no_waiting_request_and_no_session_back() -> None:
    world = await a_world()
    await world.storage.commit([Upsert("installation", {"name": "epoch", "value": "1"})])
    async with world.browser() as browser:
        await browser.ask()
        place = await waiting(browser)
        await sign_in(browser, world)
        await browser.ask("mail")
        assert len(await world.rows("saml_participant")) == 2
        await open_epoch(world.storage, world.ring, world.clock, "test", {})
        for table in ("saml_request", "saml_participant", "sso_session"):
            assert await world.rows(table) == []
        assert (await browser.get(place)).status_code == 410
        await browser.ask()
        assert browser.path == "/sign-in"


def test_no_key_is_ever_wrapped_by_the_first_version_of_pkcs1() -> None:
    """RSA PKCS #1 v1.5 tells an attacker who may ask often what is inside."""
    with pytest.raises(ValueError, match="rsa-1_5"):
        KeyTransport("http://www.w3.org/2001/04/xmlenc#rsa-1_5")
    assert not [each for each in KeyTransport if "oaep" not in each.value]
    assert "rsa-1_5" not in inspect.getsource(encrypting)
    assert not hasattr(encrypting, "PKCS1v15")


async def test_refusal_of_a_policy_at_a_full_source_is_no_failure_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        use_plan(world, deny=True)
        monkeypatch.setattr(stored_requests, "MAX_OPEN_OF_SOURCE", 0)
        assert (await browser.ask()).status_code == 429


async def test_directory_that_was_away_does_not_spend_the_request() -> None:
    """The page says to try again: loading it again is no replay."""
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        world.directory.behaviour = Behaviour.UNAVAILABLE
        page = await browser.ask()
        assert page.status_code == 503
        world.directory.behaviour = Behaviour.ANSWERS
        await browser.get(str(page.url.raw_path, "ascii"))
        assert browser.told().status == ("Success", "")


async def test_flood_of_questions_for_our_metadata_costs_one_signature_a_minute() -> None:
    world = await a_world()
    async with world.browser() as browser:
        first = await said_of_us(browser)
        assert {await said_of_us(browser) for _ in range(20)} == {first}
        world.later(59)
        assert await said_of_us(browser) == first
        world.later(2)
        assert await said_of_us(browser) != first


async def test_metadata_with_a_key_that_was_replaced_is_shown_no_more() -> None:
    world = await a_world()
    async with world.browser() as browser:
        before = await said_of_us(browser)
        world.signers = ("idp", "next")
        both = await said_of_us(browser)
        verified(parse(both), [a_signer("next").certificate])
        assert all(base64.b64encode(a_signer(name).certificate) in both for name in world.signers)
        world.signers = ("next",)
        after = await said_of_us(browser)
        assert base64.b64encode(a_signer("idp").certificate) not in after
        assert len({before, both, after}) == 3


async def test_metadata_follows_the_configuration_and_a_clock_that_was_put_back() -> None:
    world = await a_world()
    async with world.browser() as browser:
        before = await said_of_us(browser)
        world.brands = {"": "Beta Works"}
        renamed = await said_of_us(browser)
        assert b"Beta Works" not in before
        assert b"Beta Works" in renamed
        world.later(-3600)
        assert await said_of_us(browser) != renamed


async def said_of_us(browser: SamlBrowser) -> bytes:
    """Our metadata, as anybody gets it."""
    return (await browser.client.get("/saml/metadata")).content
