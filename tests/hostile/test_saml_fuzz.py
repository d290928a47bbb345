"""Messages of applications, bent at random: each ends in a value or in one error, never in what was not signed."""

import random
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.saml import ARRIVAL, LOGOUT_REQUEST, LOGOUT_RESPONSE, NOW_MS, answered, authn_request, pair, posted, signer
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import bindings, building, names, requests
from wardgate.federation.saml.bindings import Received
from wardgate.federation.saml.requests import open_message
from wardgate.federation.saml.sp_metadata import parse_sp_metadata
from wardgate.federation.saml.values import AuthnRequest, LogoutRequest, LogoutResponse
from wardgate.federation.saml.writing import element

KEY = pair("rsa", "sp").certificate
BY = signer("rsa", "sp")
REQUEST = authn_request(
    element("samlp:NameIDPolicy", attributes={"Format": names.FORMAT_PERSISTENT, "AllowCreate": "true"}),
    element("samlp:RequestedAuthnContext", element("saml:AuthnContextClassRef", names.CONTEXT_PASSWORD, declare="saml")),
    by=BY,
)
SEEDS = [
    REQUEST,
    building.logout_request(LOGOUT_REQUEST, BY),
    building.logout_response(LOGOUT_RESPONSE, BY),
    authn_request(),
]
METADATA = (
    f'<md:EntityDescriptor xmlns:md="{names.METADATA}" entityID="https://wiki.acme.test"><md:SPSSODescriptor '
    f'protocolSupportEnumeration="{names.PROTOCOL}"><md:NameIDFormat>{names.FORMAT_EMAIL}</md:NameIDFormat>'
    f'<md:AssertionConsumerService Binding="{names.POST}" Location="https://wiki.acme.test/acs" index="0" isDefault="true"/>'
    "</md:SPSSODescriptor></md:EntityDescriptor>"
).encode()
PIECES = [
    *(
        b"<",
        b">",
        b"/",
        b'"',
        b"&",
        b"&amp;",
        b"&#0;",
        b"&#xD800;",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<!DOCTYPE a>",
        b"<?a?>",
    ),
    *(b"\x00", b"\xff", b"\xc3", b"\xef\xbb\xbf", b" ", b"\n", b"xmlns", b"xml:", b"ds:", b"samlp:", b"saml:Issuer", b"ID=", b"#"),
    *(b"true", b"65536", b"-1", b"9" * 40, b"2026-11-18T11:06:40Z", b"=" * 9, b"A" * 700, "ığ𝒜".encode()),
    *(b' xmlns:r="relative"', b' xmlns=""', b' ID="_request"', b"<ds:Object/>", b"#default"),
]


@st.composite
def bent(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A message with up to four changes: octets flipped, pieces put in, parts cut out, doubled or moved."""
    document = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(document)))
        end = min(len(document), start + draw(st.integers(0, 80)))
        way = draw(st.integers(0, 4))
        if way == 0:
            document[start:start] = draw(st.sampled_from(PIECES))
        elif way == 1:
            del document[start:end]
        elif way == 2:
            document[start:start] = document[start:end]
        elif way == 3:
            document[start:end] = draw(st.binary(max_size=8))
        elif start < len(document):
            document[start] ^= draw(st.integers(1, 255))
    return bytes(document)


def read(received: Received) -> AuthnRequest | LogoutRequest | LogoutResponse | None:
    """What comes of a message: None when it is refused. Any other exception is a finding."""
    try:
        message = open_message(received)
        if message.asks_to_sign_in:
            return requests.authn_request(message, [KEY], ARRIVAL)
        if message.asks_to_sign_out:
            return requests.logout_request(message, [KEY], ARRIVAL)
        return requests.logout_response(message, [KEY], ARRIVAL)
    except SamlMessageError:
        return None


WHOLE = [read(posted(SEEDS[0])), read(posted(SEEDS[1])), read(answered(SEEDS[2]))]


def test_the_seeds_are_good() -> None:
    assert all(each is not None and each.signed for each in WHOLE)
    assert read(posted(SEEDS[3])) is not None


@given(document=bent(SEEDS))
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bent_messages_end_in_a_value_or_in_one_error(document: bytes) -> None:
    for received in (posted(document), answered(document)):
        found = read(received)
        if found is not None and found.signed:
            assert found in WHOLE, "what was not signed was read as signed"


@given(document=bent([REQUEST]), data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bent_queries_end_in_a_value_or_in_one_error(document: bytes, data: st.DataObject) -> None:
    url = bindings.redirect_url("https://login.acme.test/sso", bindings.REQUEST, document, "state", BY)
    query = data.draw(bent([url.partition("?")[2].encode()]))
    try:
        read(bindings.read_redirect(query))
    except SamlMessageError:
        return


@given(document=bent([METADATA]))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_bent_metadata_ends_in_a_value_or_in_one_error(document: bytes) -> None:
    try:
        found = parse_sp_metadata(document, NOW_MS)
    except SamlMessageError:
        return
    assert found.acs
    assert all(each.url.startswith(("https://", "http://localhost", "http://127.")) for each in found.acs)


@given(raw=st.binary(max_size=200), state=st.text(max_size=50))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_anything_in_a_form_or_a_query_ends_in_one_error(raw: bytes, state: str) -> None:
    for make in (
        lambda: bindings.read_post([("SAMLRequest", raw.decode("latin-1")), ("RelayState", state)]),
        lambda: bindings.read_redirect(raw),
        lambda: bindings.read_redirect(b"SAMLRequest=" + quote(raw).encode() + b"&RelayState=" + raw),
    ):
        with pytest.raises(SamlMessageError):
            open_message(make())


def test_order_and_form_of_attributes_change_nothing_that_is_signed() -> None:
    """Another way to write the same document: the signature is over what it means."""
    text = SEEDS[1].decode()
    head, tail = text[: text.index(">")], text[text.index(">") :]
    name, *attributes = head.split(" ")
    random.Random(7).shuffle(attributes)
    other = f"{name}  {'   '.join(attributes)}\n{tail}".replace("<samlp:SessionIndex>_", "<samlp:SessionIndex>&#95;").replace(
        '"', "'"
    )
    assert other != text
    assert read(posted(other.encode())) == WHOLE[1]
