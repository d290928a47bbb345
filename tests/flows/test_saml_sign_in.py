"""Single sign-on: an application sends the browser here, and gets a signed answer about who sits there."""

import asyncio
import base64
import html
import re

import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_world import OURS
from tests.flows.saml_world import ACS, IDP, SP, SamlBrowser, SamlWorld, a_party, by_redirect
from wardgate.audit.timeline import by_reference
from wardgate.federation.relying_party import KeyKind, Launchpad
from wardgate.federation.saml import names
from wardgate.federation.saml.values import AttributeService, Endpoint
from wardgate.policy.settings import LifetimesThenSettings

MFA = names.CONTEXT_REFEDS_MFA
PASSWORD_CLASS = names.CONTEXT_PROTECTED_PASSWORD


def wanting(*classes: str, comparison: str = "exact") -> str:
    """A RequestedAuthnContext."""
    inside = "".join(f"<a:AuthnContextClassRef>{each}</a:AuthnContextClassRef>" for each in classes)
    return f'<p:RequestedAuthnContext Comparison="{comparison}">{inside}</p:RequestedAuthnContext>'


async def a_world(**fields: object) -> SamlWorld:
    """Ada has an app; the portal and the applications ask for it."""
    world = SamlWorld(**fields)  # type: ignore[arg-type]
    user = await world.person("ada", mail="ada@acme.test", groups=("staff",))
    await world.give_totp(user)
    return world


async def sign_in(browser: SamlBrowser, world: SamlWorld) -> None:
    """The form is open: sign in by password and app."""
    assert browser.path == "/sign-in", browser.page.text
    await browser.post("/sign-in", username="ada", password="correct horse")
    await browser.post(code=world.totp(), act="answer")


@pytest.mark.parametrize("posted", [False, True])
async def test_person_signs_in_once_and_the_application_is_told_who_it_is(posted: bool) -> None:
    world = await a_world()
    async with world.browser() as browser:
        state = 'a&b="<c>" / ü'
        if posted:
            await browser.ask_by_post(world.request(ID="_one"), state)
        else:
            await browser.ask(relay_state=state, ID="_one")
        assert "Wiki" in browser.page.text
        await sign_in(browser, world)
        told = browser.told()
        assert (told.action, told.status) == (ACS, ("Success", ""))
        assert told.one("/p:Response/@InResponseTo") == "_one"
        assert told.one("//a:SubjectConfirmationData/@InResponseTo") == "_one"
        assert told.one("//a:Audience/text()") == SP
        assert told.one("/p:Response/a:Issuer/text()") == f"{IDP}/saml/metadata"
        assert told.claims == {"mail": ["ada@acme.test"], "groups": ["staff"]}
        assert told.context == MFA
        assert html.unescape(told.relay_state or "") == state
        policy = browser.page.headers["content-security-policy"]
        assert "form-action 'self' https:;" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self';" in policy
        assert browser.page.headers["cache-control"] == "no-store"
        assert browser.page.headers["x-frame-options"] == "DENY"


async def test_second_application_asks_for_nothing_and_knows_the_person_by_another_name() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        await sign_in(browser, world)
        first = browser.told()
        await browser.ask("mail")
        second = browser.told()
        assert second.status == ("Success", "")
        assert first.name != second.name
        assert first.one("//@SessionIndex") != second.one("//@SessionIndex")
        await browser.ask()
        assert browser.told().name == first.name


async def test_portal_and_application_share_a_sign_in_and_each_has_its_own_policy() -> None:
    world = await a_world()
    world.policies["wiki"] = world.policy
    use_plan(world, ("password",))
    weak = world.policy
    world.policies, world.policy = {"wiki": weak}, world.policies["wiki"]
    async with world.browser() as browser:
        await browser.ask()
        await browser.post("/sign-in", username="ada", password="correct horse")
        assert browser.told().context == PASSWORD_CLASS
        await browser.get("/account")
        assert browser.path.startswith("/step/"), browser.page.text
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        assert (await browser.get("/account/sessions")).status_code == 200


async def test_application_that_asks_for_more_steps_the_session_up() -> None:
    world = await a_world()
    use_plan(world, ("password",))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        assert browser.path == "/account"
        await browser.ask(inside=wanting(MFA))
        assert browser.path.startswith("/step/")
        await browser.post(code=world.totp(), act="answer")
        assert browser.told().context == MFA
        await browser.ask(inside=wanting(MFA))
        assert browser.told().status == ("Success", "")


@pytest.mark.parametrize(
    ("inside", "context"),
    [
        (wanting(names.CONTEXT_TIME_SYNC), names.CONTEXT_TIME_SYNC),
        (wanting(PASSWORD_CLASS), PASSWORD_CLASS),
        (wanting("urn:unknown", PASSWORD_CLASS), PASSWORD_CLASS),
        (wanting(PASSWORD_CLASS, comparison="minimum"), MFA),
        (wanting(names.CONTEXT_TIME_SYNC, comparison="better"), MFA),
        (wanting(PASSWORD_CLASS, comparison="maximum"), PASSWORD_CLASS),
    ],
)
async def test_the_class_that_is_told_was_asked_for_and_is_true(inside: str, context: str) -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask(inside=inside)
        await sign_in(browser, world)
        assert browser.told().context == context


@pytest.mark.parametrize("inside", [wanting("urn:unknown"), wanting(MFA, comparison="better")])
async def test_class_that_we_do_not_know_is_never_told(inside: str) -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask(inside=inside)
        assert browser.told().status == ("Responder", "NoAuthnContext")


async def test_person_who_has_no_such_factor_is_not_said_to_have_proved_it() -> None:
    world = SamlWorld()
    await world.person("ada", phone="+905321234567")
    use_plan(world, ("password",))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.ask(inside=wanting(names.CONTEXT_TIME_SYNC))
        assert browser.told().status == ("Responder", "NoAuthnContext")


async def test_passive_request_shows_no_page() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask(IsPassive="true")
        assert browser.told().status == ("Responder", "NoPassive")
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        await browser.ask(IsPassive="true")
        assert browser.told().status == ("Success", "")
        world.later(1)
        await browser.ask(IsPassive="true", ForceAuthn="true")
        assert browser.told().status == ("Responder", "NoPassive")


async def test_fresh_sign_in_is_one_after_the_request() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        world.later(60)
        await browser.ask(ForceAuthn="true")
        assert browser.path == "/sign-in"
        assert 'name="username" type="text"' not in browser.page.text
        await browser.post("/sign-in", username="somebody", password="correct horse")
        assert browser.path.startswith("/step/"), browser.page.text
        await browser.post(code=world.totp(), act="answer")
        assert browser.told().one("//@AuthnInstant").startswith(world.clock.now().strftime("%Y-%m-%dT%H:%M:%S"))


async def test_policy_that_refuses_says_so_and_keeps_the_session() -> None:
    world = await a_world()
    usual = world.policy
    use_plan(world, deny=True)
    world.policies, world.policy = {"wiki": world.policy}, usual
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.ask()
        assert page.status_code == 403
        assert browser.told().status == ("Responder", "RequestDenied")
        assert (await browser.get("/account")).status_code == 200
        assert browser.path == "/account"


async def test_name_formats_are_those_that_were_agreed() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask(inside=f'<p:NameIDPolicy Format="{names.FORMAT_EMAIL}"/>')
        await sign_in(browser, world)
        assert browser.told().name == "ada@acme.test"
        await browser.ask(inside=f'<p:NameIDPolicy Format="{names.FORMAT_TRANSIENT}"/>')
        first = browser.told().name
        await browser.ask(inside=f'<p:NameIDPolicy Format="{names.FORMAT_TRANSIENT}"/>')
        assert browser.told().name != first
        await browser.ask(inside=f'<p:NameIDPolicy Format="{names.FORMAT_ENCRYPTED}"/>')
        assert browser.told().status == ("Requester", "InvalidNameIDPolicy")


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"Version": "2.1"}, ("VersionMismatch", "RequestVersionTooHigh")),
        ({"Version": "1.1"}, ("VersionMismatch", "RequestVersionTooLow")),
        ({"AssertionConsumerServiceURL": "", "AssertionConsumerServiceIndex": "9"}, ("Requester", "UnsupportedBinding")),
        ({"AttributeConsumingServiceIndex": "3"}, ("Success", "")),
    ],
)
async def test_wishes_at_the_rim_of_the_specification_are_answered_as_it_says(
    wish: dict[str, str], status: tuple[str, str]
) -> None:
    artifact = Endpoint("https://wiki.acme.test/sp/artifact", "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact", 9)
    world = await a_world(parties=(a_party(metadata={"acs_elsewhere": (artifact,)}),))
    async with world.browser() as browser:
        await browser.ask(**wish)
        if status[0] == "Success":
            await sign_in(browser, world)
        assert (browser.told().status, browser.told().action) == (status, ACS)


async def test_person_who_is_named_by_a_kind_of_name_is_answered_for_by_it() -> None:
    """Core section 3.4.1.4: the subject of the answer is the one of the request, name for name."""
    world = await a_world()
    subject = '<a:Subject><a:NameID Format="{}">{}</a:NameID></a:Subject>'
    async with world.browser() as browser:
        await browser.ask(inside=subject.format(names.FORMAT_EMAIL, "ada@acme.test"))
        await sign_in(browser, world)
        assert browser.told().name == "ada@acme.test"
        await browser.ask(inside=subject.format(names.FORMAT_EMAIL, "bob@acme.test"))
        assert browser.told().status == ("Responder", "UnknownPrincipal")


@pytest.mark.parametrize(("language", "title", "marked"), [("en", "Post", "Error: "), ("tr", "Posta", "Hata: ")])
async def test_application_is_called_in_the_readers_language_before_and_after_its_answer(
    language: str, title: str, marked: str
) -> None:
    mail = a_party("mail", launchpad=Launchpad(titles={"en": "Post", "tr": "Posta"}))
    world = await a_world(parties=(mail,))
    async with world.browser(headers={"accept-language": language}) as browser:
        address = by_redirect(world.request("mail"))
        await browser.get(address)
        assert f"{title}</h1>" in browser.page.text or f"<h1>{title}" in browser.page.text
        await sign_in(browser, world)
        page = await browser.get(address)
        assert page.status_code == 409
        assert re.search(rf"\b{title}\b", page.text)
        assert f"<title>{marked}" in page.text


async def test_nobody_is_granted_what_metadata_that_was_renewed_meanwhile_has_no_place_for() -> None:
    one, other = (AttributeService(number, None, ()) for number in (1, 2))
    world = await a_world(parties=(a_party(metadata={"attribute_services": (one, other)}),))
    async with world.browser() as browser:
        await browser.ask(AttributeConsumingServiceIndex="2")
        world.parties = (a_party(metadata={"attribute_services": (one,)}),)
        await sign_in(browser, world)
        assert browser.told().status == ("Requester", "InvalidAttrNameOrValue")
    assert await world.rows("saml_participant") == []


async def test_nothing_is_granted_while_no_key_can_sign_the_answer() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        await sign_in(browser, world)
        world.parties = (a_party(key_kind=KeyKind.P256),)
        before = await world.rows("saml_request"), await world.rows("audit_event")
        reply = await browser.client.get(by_redirect(world.request()))
        assert reply.status_code == 503
        assert (await world.rows("saml_request"), await world.rows("audit_event")) == before


async def test_started_here_the_application_is_told_without_having_asked() -> None:
    world = await a_world(parties=(a_party(relay_state="/start"), a_party("mail", unsolicited=False)))
    async with world.browser() as browser:
        await browser.get("/saml/start/wiki")
        await sign_in(browser, world)
        told = browser.told()
        assert (told.status, told.relay_state) == (("Success", ""), "/start")
        assert not told.root.xpath("//@InResponseTo")
        page = await browser.get("/saml/start/mail")
        assert page.status_code == 404
        assert "Mail cannot be opened from here" in page.text
        assert (await browser.get("/saml/start/nobody")).status_code == 404


async def test_metadata_is_signed_and_says_where_we_are() -> None:
    world = await a_world()
    async with world.browser() as browser:
        page = await browser.get("/saml/metadata")
        assert page.headers["content-type"] == "application/samlmetadata+xml"
        assert f"{IDP}/saml/sso" in page.text
        assert f'entityID="{IDP}/saml/metadata"' in page.text


# --- what it withstands ------------------------------------------------------------------------------------------------


async def test_answer_goes_to_no_foreign_address() -> None:
    world = await a_world()
    async with world.browser() as browser:
        for address in ("https://evil.test/acs", f"{ACS}/", f"{ACS}?x=1", ACS.upper(), f"{ACS}@evil.test"):
            page = await browser.ask(AssertionConsumerServiceURL=address)
            assert page.status_code == 400, address
            assert "SAMLResponse" not in page.text


async def test_address_and_number_together_are_refused() -> None:
    world = await a_world()
    async with world.browser() as browser:
        page = await browser.ask(AssertionConsumerServiceIndex="0")
        assert page.status_code == 400
        page = await browser.ask(AssertionConsumerServiceURL="", AssertionConsumerServiceIndex="9")
        assert page.status_code == 400
        await browser.ask(AssertionConsumerServiceURL="", AssertionConsumerServiceIndex="7")
        await sign_in(browser, world)
        assert browser.told().action == "https://wiki.acme.test/sp/other"


async def test_request_that_must_be_signed_and_is_not_is_refused() -> None:
    world = await a_world(parties=(a_party(requires_signed_requests=True),))
    async with world.browser() as browser:
        assert (await browser.ask()).status_code == 400


async def test_unknown_application_gets_no_answer() -> None:
    world = await a_world()
    async with world.browser() as browser:
        page = await browser.ask("evil")
        assert page.status_code == 400
        assert "Reference" in page.text
        assert "SAMLResponse" not in page.text


async def test_request_is_taken_once() -> None:
    world = await a_world()
    async with world.browser() as browser, world.browser() as other:
        document = world.request()
        await browser.get(by_redirect(document))
        assert (await other.get(by_redirect(document))).status_code == 409
        assert (await browser.ask_by_post(document)).status_code == 409
        # Loaded again where it began, it is still that one.
        await browser.get(by_redirect(document))
        await sign_in(browser, world)
        assert browser.told().status == ("Success", "")
        page = await browser.get(by_redirect(document))
        assert page.status_code == 409
        assert "SAMLResponse" not in page.text
        world.later(3600)
        assert (await browser.get(by_redirect(document))).status_code == 400


async def test_refusal_says_the_same_again_when_its_page_is_loaded_again() -> None:
    world = await a_world()
    usual = world.policy
    use_plan(world, deny=True)
    world.policies, world.policy = {"wiki": world.policy}, usual
    async with world.browser() as browser, world.browser() as other:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        address = by_redirect(world.request())
        for _ in range(3):
            page = await browser.get(address)
            assert page.status_code == 403
            assert "Wiki is not open to your account" in page.text
            assert browser.told().status == ("Responder", "RequestDenied")
        assert (await other.get(address)).status_code == 409
        await browser.get("/saml/start/wiki")
        page = await browser.get("/saml/start/wiki")
        assert page.status_code == 403
        assert "Wiki is not open to your account" in page.text


async def test_why_a_message_was_refused_is_in_the_log_and_the_timeline_under_the_pages_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = await a_world(parties=(a_party(requires_signed_requests=True),))
    async with world.browser() as browser:
        page = await browser.ask()
    [reference] = re.findall(r"Reference (\w{8})", page.text)
    assert "saml_unsigned" not in page.text
    await world.recorder.flush()
    [row] = await by_reference(world.storage, reference)
    assert '"rule":"saml_unsigned"' in str(row["body"]).replace(": ", ":")
    said = capsys.readouterr()
    [line] = [each for each in (said.out + said.err).splitlines() if "saml_refused" in each]
    assert "saml_unsigned" in line
    assert reference in line


async def test_request_that_is_over_names_a_reference() -> None:
    world = await a_world()
    async with world.browser() as browser:
        page = await browser.get("/saml/continue/" + "A" * 22)
        assert page.status_code == 410
        [reference] = re.findall(r'<bdi class="reference">(\w{8})</bdi>', page.text)
    await world.recorder.flush()
    assert len(await by_reference(world.storage, reference)) == 1


async def test_stored_request_is_not_resumed_in_another_browser() -> None:
    world = await a_world()
    async with world.browser() as browser, world.browser() as other:
        reply = await browser.client.get(by_redirect(world.request()))
        address = reply.headers["location"]
        await browser.get(address)
        assert browser.path == "/sign-in"
        assert (await other.get(address)).status_code == 410
        await sign_in(browser, world)
        assert browser.told().status == ("Success", "")
        assert (await other.get(address)).status_code == 410


async def test_fifty_resumes_at_once_give_one_answer() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        fields = {"SAMLRequest": base64.b64encode(world.request()).decode()}
        async with world.browser() as without_cookies:
            reply = await without_cookies.client.post("/saml/sso", data=fields)
        address = reply.headers["location"]
        replies = await asyncio.gather(*(browser.client.get(address) for _ in range(50)))
        assert sum("SAMLResponse" in each.text for each in replies) == 1
        assert {each.status_code for each in replies} <= {200, 303, 409}
        assert (await browser.get(address)).status_code == 409
        granted = [each for each in await world.rows("audit_event") if each["kind"] == "engine:login:granted"]
        assert len(granted) == 2


async def test_one_request_fifty_times_at_once_gives_one_answer() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        address = by_redirect(world.request())
        replies = await asyncio.gather(*(browser.client.get(address) for _ in range(50)))
        assert sum("SAMLResponse" in each.text for each in replies) == 1
        # The others read that it was answered.
        assert {each.status_code for each in replies} == {200, 409}
        again = await browser.get(address)
        assert (again.status_code, "SAMLResponse" in again.text) == (409, False)
        assert "Wiki" in again.text
        [row] = await world.rows("saml_request")
        # Nobody goes on with it: what it asked for is not kept.
        assert (row["state"], row["sealed"], row["source_mac"]) == ("used", b"", None)


async def test_markup_in_relay_state_stays_text_and_ten_megabytes_are_refused() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        page = await browser.ask(relay_state='"><script>alert(1)</script>')
        assert "<script>alert" not in page.text
        page = await browser.ask_by_post(world.request(), "x" * 10_000_000)
        assert page.status_code == 413
        page = await browser.ask_by_post(world.request(), "x" * 5_000)
        assert page.status_code == 400


async def test_nothing_splits_a_header() -> None:
    world = await a_world()
    async with world.browser() as browser:
        page = await browser.ask(relay_state="a\r\nset-cookie: evil=1")
        assert "evil" not in browser.client.cookies
        assert page.status_code in (200, 400)


async def test_host_header_decides_nothing() -> None:
    world = await a_world(hosts=frozenset({"login.acme.test"}))
    async with world.browser() as browser:
        reply = await browser.client.get("/saml/metadata", headers={"host": "evil.test"})
        assert reply.status_code == 421
        reply = await browser.client.get(by_redirect(world.request()), headers={"host": "evil.test"})
        assert reply.status_code == 421


async def test_planted_session_and_browser_are_worth_nothing_after_a_sign_in() -> None:
    world = await a_world()
    async with world.browser() as browser, world.browser() as thief:
        await browser.ask()
        planted = dict(browser.client.cookies)
        await sign_in(browser, world)
        for name, value in planted.items():
            thief.client.cookies.set(name, value, domain="login.acme.test", path="/")
        await thief.ask()
        assert thief.path == "/sign-in"


async def test_other_site_cannot_sign_a_browser_in() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        fields = {**browser.filled(0, {}), "username": "ada", "password": "correct horse"}
        reply = await browser.client.post("/sign-in", data=fields, headers={"sec-fetch-site": "cross-site"})
        assert reply.status_code == 422
        fields["csrf"] = "0" * 32
        assert (await browser.client.post("/sign-in", data=fields, headers=OURS)).status_code == 422


async def test_second_tab_goes_on_after_the_first_signed_in() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask("mail")
        first = str(browser.page.url)
        await browser.ask()
        await sign_in(browser, world)
        assert browser.told().status == ("Success", "")
        await browser.get(first)
        assert browser.told().action == "https://mail.acme.test/sp/acs"


async def test_passkey_of_somebody_else_proves_nothing_for_who_is_signed_in() -> None:
    world = await a_world()
    other = await world.person("bob")
    await world.give_totp(other, bytes(range(1, 21)))
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        world.later(60)
        await browser.ask(ForceAuthn="true")
        await browser.post("/sign-in", username="bob", password="correct horse")
        await browser.post(code=world.totp(secret=bytes(range(1, 21))), act="answer")
        assert browser.path.startswith("/step/")
        assert browser.page.status_code == 422


async def test_session_that_is_too_old_for_an_application_is_proved_again() -> None:
    world = await a_world()
    usual = world.policy
    use_plan(world, lifetimes=LifetimesThenSettings(reauthentication="10m"))
    world.policies, world.policy = {"wiki": world.policy}, usual
    async with world.browser() as browser:
        await browser.sign_in("ada")
        await browser.post(code=world.totp(), act="answer")
        world.later(900)
        await browser.ask("mail")
        assert browser.told().status == ("Success", "")
        await browser.ask()
        assert browser.path == "/sign-in"
        await browser.post("/sign-in", password="correct horse")
        await browser.post(code=world.totp(), act="answer")
        assert browser.told().status == ("Success", "")


async def test_party_that_is_gone_meanwhile_gets_no_answer() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask()
        world.parties = ()
        await sign_in(browser, world)
        assert browser.page.status_code in (404, 410)


async def test_who_does_not_want_to_sign_in_goes_back_and_the_application_hears_only_that() -> None:
    world = await a_world()
    async with world.browser() as browser:
        await browser.ask(relay_state="there")
        place = str(browser.page.url.params["then"])
        reply = await browser.client.post(place, data={"csrf": "0" * 32}, headers=OURS)
        assert reply.headers["location"] == place
        await browser.post("/sign-in", username="ada", password="correct horse")
        await browser.post(act="cancel")
        assert browser.path == "/sign-in"
        forms = browser.page.text.split("<form ")
        [number] = [at for at, each in enumerate(forms) if f'action="{place}"' in each]
        browser.page = await browser.client.post(place, data=browser.filled(number - 1, {}), headers=OURS)
        told = browser.told()
        assert (told.status, told.relay_state) == (("Responder", "AuthnFailed"), "there")
        assert (await browser.get(place)).status_code == 409


async def test_a_grant_that_was_made_for_other_claims_tells_an_application_nothing() -> None:
    """The claims name a group by its DN since a moment, and the grant bears names alone: one could be chosen to look like it."""
    world = await a_world(parties=(a_party(claims_mark="new"),))
    async with world.browser() as browser:
        await browser.ask()
        await sign_in(browser, world)
        told = browser.told()
        assert told.status == ("Responder", "RequestDenied")
        assert told.claims == {}
    # That he signed in; not that an application was told of it.
    assert len(await world.payloads("engine:login:granted")) == 1
