"""xmlsec1, another maker's XML Signature and XML Encryption, judges what we sign and opens what we encrypt."""

from pathlib import Path

import pytest
from lxml import etree

from tests.saml import ACS, CONTENT, IDP, LOGOUT_REQUEST, LOGOUT_RESPONSE, NOW_MS, PARTS, pair, xmlsec1_decrypts, xmlsec1_verifies
from wardgate.federation.saml import building, metadata, names
from wardgate.federation.saml.values import Encrypt, ErrorContent, KeyTransport, ResponseSettings, Sign

pytestmark = pytest.mark.neighbour("xmlsec1")

RESPONSE = f"{names.PROTOCOL}:Response"
ASSERTION = f"{names.ASSERTION}:Assertion"
OF_RESPONSE = "/*/*[local-name()='Signature']"
OF_ASSERTION = "/*/*[local-name()='Assertion']/*[local-name()='Signature']"


@pytest.mark.parametrize("kind", ["rsa", "rsa3072", "p256"])
@pytest.mark.parametrize("sign", list(Sign))
def test_signed_responses_hold(tmp_path: Path, sign: Sign, kind: str) -> None:
    key = pair(kind)
    document = building.response(CONTENT, ResponseSettings(sign), key.signer)
    if sign is not Sign.ASSERTION:
        assert xmlsec1_verifies(tmp_path, document, key, RESPONSE, OF_RESPONSE)
        assert not xmlsec1_verifies(tmp_path, document.replace(b"_request", b"_another"), key, RESPONSE, OF_RESPONSE)
    if sign is not Sign.RESPONSE:
        assert xmlsec1_verifies(tmp_path, document, key, ASSERTION, OF_ASSERTION)
        assert not xmlsec1_verifies(tmp_path, document.replace(b"ada@", b"bob@"), key, ASSERTION, OF_ASSERTION)


@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_the_other_signed_messages_hold(tmp_path: Path, kind: str) -> None:
    key = pair(kind)
    error = ErrorContent("_error", IDP, ACS, "_request", NOW_MS, names.RESPONDER, names.NO_PASSIVE, "<İ&>")
    own = metadata.OwnMetadata("_md", IDP, IDP, IDP, (key.certificate,), NOW_MS, 3600)
    made = {
        RESPONSE: building.error_response(error, key.signer),
        f"{names.PROTOCOL}:LogoutRequest": building.logout_request(LOGOUT_REQUEST, key.signer),
        f"{names.PROTOCOL}:LogoutResponse": building.logout_response(LOGOUT_RESPONSE, key.signer),
        f"{names.METADATA}:EntityDescriptor": metadata.own_metadata(own, key.signer),
    }
    for name, document in made.items():
        assert xmlsec1_verifies(tmp_path, document, key, name), name


@pytest.mark.parametrize("encrypt", [each for each in Encrypt if each is not Encrypt.NONE])
@pytest.mark.parametrize("sign", list(Sign))
def test_encrypted_assertions_open_and_their_signatures_hold(tmp_path: Path, sign: Sign, encrypt: Encrypt) -> None:
    ours, theirs = pair(), pair("rsa", "sp")
    settings = ResponseSettings(sign, encrypt, theirs.certificate, KeyTransport.OAEP_SHA1)
    document = building.response(CONTENT, settings, ours.signer)
    if sign is not Sign.ASSERTION:
        assert xmlsec1_verifies(tmp_path, document, ours, RESPONSE, OF_RESPONSE)
    clear = xmlsec1_decrypts(tmp_path, document, theirs)
    assert clear is not None
    assertion = etree.fromstring(clear).find("saml:EncryptedAssertion/saml:Assertion", PARTS)
    assert assertion is not None
    assert "ada@acme.test" in assertion.xpath("saml:AttributeStatement//saml:AttributeValue/text()", namespaces=PARTS)  # type: ignore[operator]
    if sign is not Sign.RESPONSE:
        alone = etree.tostring(assertion, method="c14n", exclusive=True)
        assert xmlsec1_verifies(tmp_path, alone, ours, ASSERTION)
    assert xmlsec1_decrypts(tmp_path, document, pair("rsa", "other")) is None
