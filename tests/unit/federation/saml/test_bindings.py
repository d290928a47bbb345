"""Redirect and POST: what is taken, what is refused, and RelayState that comes back as it went."""

import base64
import zlib
from dataclasses import replace
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.saml import SSO_URL, authn_request, pair, signer
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import bindings, verifying
from wardgate.federation.saml.bindings import MAX_RELAY_STATE_OCTETS, REQUEST, RESPONSE

DOCUMENT = authn_request()
RELAY_STATES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(i) for i in range(32) if i not in (9, 10, 13)] + ["\x7f"]),
    max_size=200,
)


def packed(document: bytes) -> str:
    packer = zlib.compressobj(wbits=-15)
    return base64.b64encode(packer.compress(document) + packer.flush()).decode()


def code_of(query: str) -> str:
    with pytest.raises(SamlMessageError) as caught:
        bindings.read_redirect(query.encode())
    return caught.value.code


@given(relay_state=st.none() | RELAY_STATES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_relay_state_comes_back_untouched(relay_state: str | None) -> None:
    url = bindings.redirect_url(SSO_URL, REQUEST, DOCUMENT, relay_state, signer("p256"))
    received = bindings.read_redirect(urlsplit(url).query.encode())
    assert (received.relay_state, received.document) == (relay_state, DOCUMENT)
    form = bindings.post_form(SSO_URL, RESPONSE, DOCUMENT, relay_state)
    again = bindings.read_post(form.fields)
    assert (again.relay_state, again.document, again.kind) == (relay_state, DOCUMENT, RESPONSE)


def test_an_address_that_has_a_query_keeps_it() -> None:
    url = bindings.redirect_url("https://wiki.acme.test/slo?tenant=7", RESPONSE, DOCUMENT, None, None)
    assert [name for name, _ in parse_qsl(urlsplit(url).query)] == ["tenant", RESPONSE]


def test_empty_relay_state_may_be_left_out_of_the_signature() -> None:
    """Section 3.4.4.1 leaves it out of what is signed; some send it all the same, OneLogin's libraries among them."""
    alone = f"{REQUEST}={quote(packed(DOCUMENT), safe='')}&SigAlg={quote(signer().algorithm, safe='')}"
    value = quote(base64.b64encode(bindings.signing.query_signature(signer(), alone.encode())).decode(), safe="")
    for state, fine in (("", True), ("x", False)):
        signature = bindings.read_redirect(f"{alone}&RelayState={state}&Signature={value}".encode()).signature
        assert signature is not None
        if fine:
            verifying.check_query(signature, [pair().certificate])
        else:
            with pytest.raises(SamlMessageError):
                verifying.check_query(signature, [pair().certificate])


def test_the_signature_covers_the_octets_as_they_came() -> None:
    """Escapes in small letters, as .NET writes them: decoded and encoded again they would be other octets."""
    query = f"{REQUEST}={quote(packed(DOCUMENT), safe='')}&RelayState=%c4%9f+x&SigAlg={quote(signer().algorithm, safe='')}"
    query = query.replace("%3A", "%3a").replace("%2F", "%2f")
    value = base64.b64encode(bindings.signing.query_signature(signer(), query.encode())).decode()
    received = bindings.read_redirect(f"tenant=7&{query}&Signature={quote(value, safe='')}".encode())
    assert received.relay_state == "ğ x"
    assert received.signature is not None
    verifying.check_query(received.signature, [pair().certificate])
    # And in another order: section 3.4.4.1 gives the order that is signed.
    request, state, algorithm = query.split("&")
    shuffled = bindings.read_redirect(f"Signature={quote(value, safe='')}&{algorithm}&{state}&{request}".encode())
    assert shuffled.signature == received.signature


def test_ecdsa_signatures_of_a_query_are_taken_in_both_forms() -> None:
    """Two numbers side by side by RFC 6931; OpenSAML writes DER."""
    url = bindings.redirect_url(SSO_URL, REQUEST, DOCUMENT, None, signer("p256"))
    found = bindings.read_redirect(urlsplit(url).query.encode()).signature
    assert found is not None
    one, other = int.from_bytes(found.value[:32], "big"), int.from_bytes(found.value[32:], "big")
    verifying.check_query(replace(found, value=encode_dss_signature(one, other)), [pair("p256").certificate])
    with pytest.raises(SamlMessageError):
        verifying.check_query(replace(found, value=encode_dss_signature(one, other + 1)), [pair("p256").certificate])


@pytest.mark.parametrize("part", [REQUEST, "RelayState", "SigAlg", "Signature"])
def test_an_altered_query_is_refused(part: str) -> None:
    url = bindings.redirect_url(SSO_URL, REQUEST, DOCUMENT, "state", signer())
    query = dict(one.split("=", 1) for one in urlsplit(url).query.split("&"))
    other = {
        REQUEST: quote(packed(authn_request(changed={"ForceAuthn": "true"})), safe=""),
        "RelayState": "State",
        "SigAlg": quote(signer().algorithm.replace("256", "512"), safe=""),
        "Signature": quote(base64.b64encode(bytes(256)).decode(), safe=""),
    }
    received = bindings.read_redirect("&".join(f"{name}={value}" for name, value in {**query, part: other[part]}.items()).encode())
    assert received.signature is not None
    with pytest.raises(SamlMessageError):
        verifying.check_query(received.signature, [pair().certificate])


def test_relay_state_taken_out_of_a_signed_query_is_noticed() -> None:
    url = bindings.redirect_url(SSO_URL, REQUEST, DOCUMENT, "state", signer())
    received = bindings.read_redirect(urlsplit(url).query.replace("&RelayState=state", "").encode())
    assert received.signature is not None
    with pytest.raises(SamlMessageError):
        verifying.check_query(received.signature, [pair().certificate])


@pytest.mark.parametrize("name", [REQUEST, "RelayState", "SigAlg", "Signature"])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_parameter_that_is_there_twice_is_refused(name: str, hidden: bool) -> None:
    url = bindings.redirect_url(SSO_URL, REQUEST, DOCUMENT, "state", signer())
    shown = f"%{ord(name[0]):02x}{name[1:]}" if hidden else name
    assert code_of(f"{urlsplit(url).query}&{shown}=again") == "saml_duplicate_parameter"
    assert code_of(f"{shown}=again&{urlsplit(url).query}") == "saml_duplicate_parameter"


def test_fields_of_a_form_that_are_there_twice_are_refused() -> None:
    for name in (REQUEST, "RelayState"):
        with pytest.raises(SamlMessageError):
            bindings.read_post([(REQUEST, packed(DOCUMENT)), ("RelayState", ""), (name, "x")])


def test_request_and_response_at_once_are_refused() -> None:
    assert code_of(f"{REQUEST}=x&{RESPONSE}=x") == "saml_no_message"
    assert code_of("RelayState=x") == "saml_no_message"
    with pytest.raises(SamlMessageError):
        bindings.read_post([])


@pytest.mark.parametrize("half", ["Signature=AA%3D%3D", "SigAlg=x"])
def test_half_a_signature_is_refused(half: str) -> None:
    """Who takes the other half away must not make an unsigned request of a signed one."""
    assert code_of(f"{REQUEST}={quote(packed(DOCUMENT), safe='')}&{half}") == "saml_signature"


@pytest.mark.parametrize(
    "value",
    ["", "%", "AAAA*", "AAA", quote(base64.b64encode(zlib.compress(DOCUMENT)), safe=""), "%c4%9f", "AAAA"],
)
def test_what_is_no_packed_message_is_refused(value: str) -> None:
    assert code_of(f"{REQUEST}={value}") == "saml_encoding"


def test_octets_behind_the_packed_message_are_refused() -> None:
    extended = base64.b64encode(base64.b64decode(packed(DOCUMENT)) + b"more").decode()
    assert code_of(f"{REQUEST}={quote(extended, safe='')}") == "saml_encoding"


def test_line_breaks_and_forgotten_escapes_of_base64_are_taken() -> None:
    raw = packed(DOCUMENT)
    assert bindings.read_redirect(f"{REQUEST}={raw}".encode()).document == DOCUMENT
    lines = base64.encodebytes(DOCUMENT).decode().replace("\n", "\r\n")
    assert bindings.read_post([(REQUEST, lines)]).document == DOCUMENT


def test_another_encoding_is_refused() -> None:
    value = quote(packed(DOCUMENT), safe="")
    assert code_of(f"{REQUEST}={value}&SAMLEncoding=urn:other") == "saml_encoding"
    assert bindings.read_redirect(f"{REQUEST}={value}&SAMLEncoding={bindings.DEFLATE}".encode()).document == DOCUMENT


def test_deflate_bomb_is_never_unpacked() -> None:
    """8 MiB of white space in 8 KiB: the unpacking ends one octet above what a message may have."""
    bomb = packed(b" " * (8 * 1024 * 1024))
    assert len(bomb) < 12_000
    assert code_of(f"{REQUEST}={quote(bomb, safe='')}") == "saml_too_large"


def test_query_that_is_too_long_is_not_read() -> None:
    assert code_of(f"{REQUEST}={'A' * bindings.MAX_QUERY_OCTETS}") == "saml_too_large"


@pytest.mark.parametrize("size", [MAX_RELAY_STATE_OCTETS + 1, 10 * 1024 * 1024])
def test_relay_state_of_megabytes_is_refused(size: int) -> None:
    with pytest.raises(SamlMessageError) as caught:
        bindings.read_post([(REQUEST, packed(DOCUMENT)), ("RelayState", "x" * size)])
    assert caught.value.code == "saml_relay_state"
    # The limit is of octets, not of letters.
    with pytest.raises(SamlMessageError):
        bindings.read_post([(REQUEST, packed(DOCUMENT)), ("RelayState", "ğ" * (size // 2 + 1))])


def test_relay_state_with_markup_is_only_text() -> None:
    markup = "\"><script>alert(1)</script><input value='"
    assert bindings.read_post([(REQUEST, base64.b64encode(DOCUMENT).decode()), ("RelayState", markup)]).relay_state == markup
    url = bindings.redirect_url(SSO_URL, RESPONSE, DOCUMENT, markup, None)
    assert not set("\"<>' ") & set(url)


@pytest.mark.parametrize("state", ["%00", "a%0bb", "%ff%fe", "%7f"])
def test_relay_state_that_no_form_can_carry_is_refused(state: str) -> None:
    assert code_of(f"{REQUEST}={quote(packed(DOCUMENT), safe='')}&RelayState={state}") == "saml_relay_state"


def test_message_that_is_compressed_in_a_form_is_refused_with_the_reason() -> None:
    with pytest.raises(SamlMessageError, match="packed by DEFLATE in a form") as caught:
        bindings.read_post([(REQUEST, packed(DOCUMENT))])
    assert caught.value.code == "saml_encoding"
