"""Single sign-on and logout with Shibboleth's service provider in a real Apache: all that it can ask for."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.saml_world import SamlWorld, a_party, a_signer
from tests.functional.chromium import Loop
from tests.functional.portal_site import PASSWORD, Site
from tests.functional.shibboleth import Shibboleth, shibboleth
from wardgate.clock import FixedClock, to_ms
from wardgate.federation.relying_party import RelyingParty
from wardgate.federation.saml import names
from wardgate.federation.saml.sp_metadata import parse_sp_metadata
from wardgate.federation.saml.values import Encrypt, KeyTransport, ResponseSettings, Sign

pytestmark = [pytest.mark.neighbour("shibboleth")]

SECRET = "The secret page"
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class Person:
    """Ada and a browser without script, which presses the one button that there is."""

    def __init__(self, site: Site, sp: Shibboleth) -> None:
        self.site, self.sp = site, sp
        self.client = httpx.Client(verify=False, timeout=30)
        self.page = httpx.Response(200)

    def goes(self, address: str) -> httpx.Response:
        """Open an address and follow, forms of messages included."""
        return self._follows(self.client.get(address))

    def _follows(self, page: httpx.Response) -> httpx.Response:
        for _ in range(12):
            if page.is_redirect:
                page = self.client.get(urljoin(str(page.url), page.headers["location"]))
            elif 'name="SAMLRe' in page.text:
                page = self._sends(page)
            else:
                break
        self.page = page
        return page

    def sends(self, holds: str) -> httpx.Response:
        """Press the button of the form that is open."""
        return self._follows(self._sends(self.page, holds))

    def _sends(self, page: httpx.Response, holds: str = "SAMLRe", **fields: str) -> httpx.Response:
        """Send the form that holds this field."""
        form = next(each for each in re.split("(?=<form )", page.text) if f'name="{holds}' in each).partition("</form>")[0]
        action = urljoin(str(page.url), html.unescape("".join(re.findall('action="([^"]*)"', form))))
        hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(form)}
        parts = urlsplit(str(page.url))
        origin = f"{parts.scheme}://{parts.netloc}"
        site = "same-origin" if action.startswith(origin) else "cross-site"
        return self.client.post(action, data={**hidden, **fields}, headers={"origin": origin, "sec-fetch-site": site})

    def signs_in(self) -> httpx.Response:
        """By the password, on the form that is open."""
        assert self.page.url.path == "/sign-in", self.page.text
        return self._follows(self._sends(self.page, "password", username="ada", password=PASSWORD))

    def types_code(self) -> httpx.Response:
        """That of the app."""
        return self._follows(self._sends(self.page, "code", code=self.site.world.totp(), act="answer"))

    def asks(self, **wishes: str) -> httpx.Response:
        """Have the application ask for what a link to it may wish for."""
        return self.goes(f"{self.sp.address}/Shibboleth.sso/Login?{urlencode({'target': self.secret, **wishes})}")

    @property
    def secret(self) -> str:
        """The page there that only who is signed in sees."""
        return f"{self.sp.address}/secret/page.html"

    def is_in(self) -> bool:
        """Whether it shows that page now."""
        return SECRET in self.page.text

    def told(self) -> str:
        """What there is to see when it did not go well."""
        return f"{self.page.url}\n{self.page.text}\n{self.sp.log()}"

    def forgets(self) -> None:
        """Lose the application's own session, and keep ours."""
        for cookie in [each for each in self.client.cookies.jar if each.name.startswith("_shib")]:
            self.client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """We, at the present, which Shibboleth compares with."""
    loop = Loop()
    one = Site(loop, tmp_path_factory.mktemp("idp"), SamlWorld(clock=FixedClock(datetime.now(UTC))))
    one.ada()
    use_plan(one.world, ("password",))
    yield one
    one.close()
    loop.close()


@pytest.fixture(scope="module")
def sp(idp: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shibboleth]:
    """The application. It signs what it asks, and takes our metadata by its signature alone."""
    ours = httpx.get(f"{idp.origin}/saml/metadata", verify=False).raise_for_status().content
    with shibboleth(tmp_path_factory.mktemp("sp"), f"{idp.origin}/saml/metadata", ours, a_signer("idp").certificate) as one:
        yield one


def world_of(site: Site) -> SamlWorld:
    """Its world."""
    assert isinstance(site.world, SamlWorld)
    return site.world


def trusts(idp: Site, sp: Shibboleth, **changes: object) -> RelyingParty:
    """We know it by what it says of itself."""
    world = world_of(idp)
    said = parse_sp_metadata(sp.metadata, to_ms(datetime.now(UTC)))
    party = replace(a_party("wiki"), metadata=said, **changes)  # type: ignore[arg-type]
    world.parties = (party,)
    return party


@pytest.fixture
def ada(idp: Site, sp: Shibboleth) -> Iterator[Person]:
    """Ada, in a browser of her own."""
    trusts(idp, sp)
    person = Person(idp, sp)
    yield person
    person.client.close()


@pytest.mark.parametrize("binding", [names.REDIRECT, names.POST])
def test_sign_in_and_out_from_both_sides(ada: Person, idp: Site, binding: str) -> None:
    """Its requests have to be signed: nobody told it with what, but our metadata."""
    trusts(idp, ada.sp, requires_signed_requests=True)
    ada.asks(outgoingBinding=binding)
    ada.signs_in()
    assert ada.is_in(), ada.told()
    assert ada.page.headers["x-mail"] == "ada@acme.test"
    ada.goes(f"{ada.sp.address}/Shibboleth.sso/Logout")
    assert str(ada.page.url).startswith(ada.sp.address), ada.told()
    assert "partial" not in ada.page.text.lower()
    ada.goes(f"{idp.origin}/account")
    assert ada.page.url.path == "/sign-in"

    # Begun by us, and ended by us.
    ada.goes(f"{idp.origin}/saml/start/wiki")
    ada.signs_in()
    ada.goes(ada.secret)
    assert ada.is_in(), ada.told()
    ada.goes(f"{idp.origin}/sign-out")
    ada.sends("csrf")
    ada.goes(html.unescape(re.search(f'href="({ada.sp.address}[^"]*)"', ada.page.text)[1]))  # type: ignore[index]
    assert "in every application" in ada.page.text, ada.told()
    ada.goes(ada.secret)
    assert ada.page.url.path == "/sign-in"


def test_every_way_of_signing_and_encrypting(ada: Person, idp: Site) -> None:
    ada.asks()
    ada.signs_in()
    said = trusts(idp, ada.sp).metadata
    ways = [(sign, encrypt, KeyTransport.OAEP_SHA1) for sign in Sign for encrypt in Encrypt]
    ways.append((Sign.ASSERTION, Encrypt.AES256_GCM, KeyTransport.OAEP_SHA256))
    for sign, encrypt, transport in ways:
        recipient = said.encryption_certificates[0] if encrypt is not Encrypt.NONE else b""
        trusts(idp, ada.sp, response=ResponseSettings(sign, encrypt, recipient, transport))
        ada.forgets()
        ada.asks()
        assert ada.is_in(), (sign, encrypt, ada.told())


@pytest.mark.parametrize("kind", [names.FORMAT_PERSISTENT, names.FORMAT_TRANSIENT, names.FORMAT_EMAIL])
def test_name_that_it_asks_for(ada: Person, kind: str) -> None:
    ada.asks(NameIDFormat=kind)
    ada.signs_in()
    assert ada.is_in(), ada.told()
    first = ada.page.headers["x-user"]
    ada.forgets()
    ada.asks(NameIDFormat=kind)
    assert ada.is_in(), ada.told()
    assert (ada.page.headers["x-user"] == first) is (kind != names.FORMAT_TRANSIENT)
    assert ("ada@acme.test" in first) is (kind == names.FORMAT_EMAIL)


def test_name_that_it_may_not_have_is_an_error_that_it_understands(ada: Person) -> None:
    ada.asks(NameIDFormat="urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos")
    assert "InvalidNameIDPolicy" in ada.page.text, ada.told()


def test_passive_and_fresh_sign_in(ada: Person) -> None:
    ada.asks(isPassive="true")
    assert "NoPassive" in ada.page.text, ada.told()
    ada.asks()
    ada.signs_in()
    assert ada.is_in(), ada.told()
    ada.forgets()
    ada.asks(isPassive="true")
    assert ada.is_in(), ada.told()
    ada.forgets()
    ada.asks(forceAuthn="true")
    ada.signs_in()
    assert ada.is_in(), ada.told()


def test_class_of_sign_in_that_it_asks_for(ada: Person) -> None:
    ada.asks(authnContextClassRef="urn:acme:nobody-knows")
    assert "NoAuthnContext" in ada.page.text, ada.told()
    ada.asks(authnContextClassRef=names.CONTEXT_PASSWORD, authnContextComparison="exact")
    ada.signs_in()
    assert ada.is_in(), ada.told()
    ada.forgets()
    # More than a password, whatever it is called: she is asked for what is missing.
    ada.asks(authnContextClassRef=names.CONTEXT_PROTECTED_PASSWORD, authnContextComparison="better")
    ada.types_code()
    assert ada.is_in(), ada.told()
    ada.forgets()
    ada.asks(authnContextClassRef=names.CONTEXT_REFEDS_MFA, authnContextComparison="minimum")
    assert ada.is_in(), ada.told()


def test_requests_that_are_not_signed_where_they_should_be_are_answered_by_a_page(
    idp: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ours = httpx.get(f"{idp.origin}/saml/metadata", verify=False).content
    where = tmp_path_factory.mktemp("unsigned")
    with shibboleth(where, f"{idp.origin}/saml/metadata", ours, a_signer("idp").certificate, signs=False) as sp:
        trusts(idp, sp)
        ada = Person(idp, sp)
        ada.asks()
        ada.signs_in()
        assert ada.is_in(), ada.told()
        ada.forgets()
        trusts(idp, sp, requires_signed_requests=True)
        ada.asks()
        assert ada.page.status_code == 400
        assert ada.page.url.path == "/saml/sso"
        ada.client.close()
