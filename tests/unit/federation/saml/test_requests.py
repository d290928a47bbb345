"""Reading what applications send: every part of a request, both bindings, signed and not."""

from dataclasses import replace

import pytest

from tests.saml import (
    ACS,
    ARRIVAL,
    LOGOUT_REQUEST,
    LOGOUT_RESPONSE,
    NOW_MS,
    SLO_URL,
    SP,
    SSO_URL,
    answered,
    authn_request,
    pair,
    posted,
    signer,
)
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import bindings, building, names, requests
from wardgate.federation.saml.requests import Arrival, OpenMessage, open_message
from wardgate.federation.saml.values import AuthnRequest, NameId
from wardgate.federation.saml.writing import element, instant

KINDS = ["rsa", "rsa3072", "p256"]


def read(document: bytes, *certificates: bytes, arrival: Arrival = ARRIVAL) -> AuthnRequest:
    return requests.authn_request(open_message(posted(document)), certificates, arrival)


def refusal(document: bytes, *certificates: bytes, arrival: Arrival = ARRIVAL) -> str:
    with pytest.raises(SamlMessageError) as caught:
        read(document, *certificates, arrival=arrival)
    return caught.value.code


def test_every_part_of_a_request_is_read() -> None:
    document = authn_request(
        element(
            "saml:Subject",
            element("saml:NameID", "ada", attributes={"Format": names.FORMAT_EMAIL}),
            declare="saml",
        ),
        element(
            "samlp:NameIDPolicy",
            attributes={"Format": names.FORMAT_PERSISTENT, "SPNameQualifier": "group", "AllowCreate": "1"},
        ),
        element(
            "samlp:RequestedAuthnContext",
            element("saml:AuthnContextClassRef", names.CONTEXT_REFEDS_MFA, declare="saml"),
            element("saml:AuthnContextClassRef", names.CONTEXT_PASSWORD, declare="saml"),
            attributes={"Comparison": "minimum"},
        ),
        element("samlp:Scoping", element("samlp:RequesterID", "https://elsewhere.test"), attributes={"ProxyCount": "0"}),
        changed={"ForceAuthn": "true", "IsPassive": "1", "AttributeConsumingServiceIndex": "3", "Consent": "urn:x"},
    )
    assert read(document) == AuthnRequest(
        id="_request",
        issuer=SP,
        destination=SSO_URL,
        acs_url=ACS,
        acs_index=None,
        binding=names.POST,
        name_id_format=names.FORMAT_PERSISTENT,
        sp_name_qualifier="group",
        allow_create=True,
        force_authn=True,
        is_passive=True,
        contexts=(names.CONTEXT_REFEDS_MFA, names.CONTEXT_PASSWORD),
        comparison="minimum",
        attribute_index=3,
        issued_at=NOW_MS,
        signed=False,
        subject=NameId("ada", names.FORMAT_EMAIL),
    )


def test_the_smallest_request_is_read() -> None:
    asked = read(authn_request(changed={"AssertionConsumerServiceURL": "", "ProtocolBinding": "", "Destination": ""}))
    assert (asked.acs_url, asked.acs_index, asked.binding, asked.destination) == ("", None, None, "")
    assert (asked.name_id_format, asked.contexts, asked.comparison, asked.subject) == ("", (), "exact", None)
    assert (asked.force_authn, asked.is_passive, asked.allow_create) == (False, False, False)


def test_a_consumer_by_number_and_declarations_are_read() -> None:
    document = authn_request(
        element("samlp:RequestedAuthnContext", element("saml:AuthnContextDeclRef", "urn:deed", declare="saml")),
        changed={"AssertionConsumerServiceURL": "", "ProtocolBinding": "", "AssertionConsumerServiceIndex": "7"},
    )
    asked = read(document)
    assert asked.acs_index == 7
    assert (asked.contexts, asked.context_declarations) == ((), ("urn:deed",))


def test_white_space_of_pretty_printers_is_no_part_of_a_value() -> None:
    document = authn_request(issuer=f"\n    {SP}\n  ").replace(b"><saml:Issuer", b">\n  <saml:Issuer")
    assert read(document).issuer == SP


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_request_by_post_is_verified(kind: str) -> None:
    document = authn_request(by=signer(kind, "sp"))
    assert read(document, pair(kind, "sp").certificate).signed
    # The second of two keys, while the application rolls over.
    assert read(document, pair("rsa", "older").certificate, pair(kind, "sp").certificate).signed


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_request_by_redirect_is_verified(kind: str) -> None:
    url = bindings.redirect_url(SSO_URL, bindings.REQUEST, authn_request(), "state & <more>", signer(kind, "sp"))
    received = bindings.read_redirect(url.partition("?")[2].encode())
    asked = requests.authn_request(open_message(received), [pair(kind, "sp").certificate], ARRIVAL)
    assert asked.signed
    assert received.relay_state == "state & <more>"


def test_an_application_without_keys_is_never_signed() -> None:
    assert not read(authn_request(by=signer("rsa", "sp"))).signed


def test_logout_messages_are_read_as_they_were_built() -> None:
    by, certificate = signer("rsa", "sp"), pair("rsa", "sp").certificate
    asked = open_message(posted(building.logout_request(LOGOUT_REQUEST, by)))
    assert asked.asks_to_sign_out
    assert requests.logout_request(asked, [certificate], ARRIVAL) == LOGOUT_REQUEST
    told = open_message(answered(building.logout_response(LOGOUT_RESPONSE, by)))
    assert told.answers_a_logout
    assert requests.logout_response(told, [certificate], ARRIVAL) == LOGOUT_RESPONSE


def test_unsigned_logout_messages_say_so() -> None:
    asked = open_message(posted(building.logout_request(LOGOUT_REQUEST, None)))
    certificate = pair("rsa", "sp").certificate
    assert requests.logout_request(asked, [certificate], ARRIVAL) == replace(LOGOUT_REQUEST, signed=False)


def test_a_logout_request_that_has_ended_is_refused() -> None:
    late = replace(LOGOUT_REQUEST, not_on_or_after=NOW_MS - requests.SKEW_MS)
    message = open_message(posted(building.logout_request(late, None)))
    with pytest.raises(SamlMessageError) as caught:
        requests.logout_request(message, (), ARRIVAL)
    assert caught.value.code == "saml_time"


@pytest.mark.parametrize(
    ("late_ms", "fine"),
    [
        (0, True),
        (requests.MAX_AGE_MS, True),
        (requests.MAX_AGE_MS + 1, False),
        (-requests.SKEW_MS, True),
        (-requests.SKEW_MS - 1, False),
    ],
)
def test_a_request_holds_from_its_instant_for_a_while(late_ms: int, fine: bool) -> None:
    document = authn_request(changed={"IssueInstant": instant(NOW_MS - late_ms)})
    if fine:
        assert read(document).issued_at == NOW_MS - late_ms
    else:
        assert refusal(document) == "saml_time"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Version": "two"}, "saml_version"),
        ({"Version": ""}, "saml_version"),
        ({"ID": ""}, "saml_id"),
        ({"ID": "1 2"}, "saml_id"),
        ({"ID": "_" * 1_025}, "saml_too_large"),
        ({"IssueInstant": ""}, "saml_time"),
        ({"IssueInstant": "yesterday"}, "saml_time"),
        ({"IssueInstant": "2026-02-30T00:00:00Z"}, "saml_time"),
        ({"Destination": "https://elsewhere.test/sso"}, "saml_destination"),
        ({"Destination": SSO_URL + "/"}, "saml_destination"),
        ({"AssertionConsumerServiceIndex": "1"}, "saml_acs"),
        ({"AssertionConsumerServiceIndex": "-1"}, "saml_malformed"),
        ({"ForceAuthn": "yes"}, "saml_malformed"),
        ({"AttributeConsumingServiceIndex": "65536"}, "saml_malformed"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(changed: dict[str, str], code: str) -> None:
    assert refusal(authn_request(changed=changed)) == code


def test_version_that_is_another_is_told_for_the_application_to_hear_of_it() -> None:
    assert read(authn_request(changed={"Version": "2.1"})).version == "2.1"
    logout = building.logout_request(LOGOUT_REQUEST, None).replace(b'Version="2.0"', b'Version="2.1"')
    with pytest.raises(SamlMessageError):
        requests.logout_request(open_message(posted(logout)), (), ARRIVAL)


def test_index_and_binding_without_address_is_refused_too() -> None:
    changed = {"AssertionConsumerServiceURL": "", "AssertionConsumerServiceIndex": "1"}
    assert refusal(authn_request(changed=changed)) == "saml_acs"


def test_a_signed_request_without_a_destination_is_refused() -> None:
    """It could be shown to any identity provider that knows the sender. Bindings section 3.5.5.2."""
    document = authn_request(by=signer("rsa", "sp"), changed={"Destination": ""})
    assert refusal(document, pair("rsa", "sp").certificate) == "saml_destination"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        (element("samlp:NameIDPolicy") + element("samlp:NameIDPolicy"), "saml_schema"),
        (element("samlp:Artifact"), "saml_schema"),
        (element("saml:Issuer", "https://other.test", declare="saml"), "saml_issuer"),
        (element("samlp:RequestedAuthnContext"), "saml_context"),
        (element("samlp:RequestedAuthnContext", attributes={"Comparison": "close"}), "saml_context"),
        (element("saml:Subject", element("saml:BaseID"), declare="saml"), "saml_name_id"),
        (
            element(
                "samlp:RequestedAuthnContext",
                element("saml:AuthnContextClassRef", "a", declare="saml"),
                element("saml:AuthnContextDeclRef", "b", declare="saml"),
            ),
            "saml_context",
        ),
    ],
)
def test_parts_that_do_not_belong_are_refused(part: str, code: str) -> None:
    plain = authn_request()
    assert refusal(plain.replace(b"</samlp:AuthnRequest>", part.encode() + b"</samlp:AuthnRequest>")) == code


def test_kinds_are_not_taken_for_each_other() -> None:
    with pytest.raises(SamlMessageError):
        open_message(answered(authn_request()))
    with pytest.raises(SamlMessageError):
        open_message(posted(building.logout_response(LOGOUT_RESPONSE, None)))
    message: OpenMessage = open_message(posted(authn_request()))
    assert message.asks_to_sign_in
    assert message.issuer == SP
    with pytest.raises(SamlMessageError):
        requests.logout_request(message, (), replace(ARRIVAL, destinations=frozenset({SLO_URL, SSO_URL})))


def test_a_name_that_is_encrypted_is_refused() -> None:
    document = building.logout_request(LOGOUT_REQUEST, None)
    hidden = document.replace(b"saml:NameID", b"saml:EncryptedID")
    with pytest.raises(SamlMessageError):
        requests.logout_request(open_message(posted(hidden)), (), ARRIVAL)


@pytest.mark.parametrize("issuer", ["", " \n", "https://a.test/" + "x" * 1024])
def test_an_issuer_has_to_be_a_name(issuer: str) -> None:
    with pytest.raises(SamlMessageError):
        read(authn_request(issuer=issuer))
