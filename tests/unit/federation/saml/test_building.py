"""What we send: valid by the schemas of the specification, canonical, and read back equal by parsers of other makers."""

import base64
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from saml2 import saml, samlp

from tests.saml import (
    ACS,
    CONTENT,
    IDP,
    LOGOUT_REQUEST,
    LOGOUT_RESPONSE,
    NOW_MS,
    PARTS,
    SP,
    check_message,
    content,
    pair,
    signer,
)
from wardgate.errors import SamlMessageError, SettingsError
from wardgate.federation.saml import building, names
from wardgate.federation.saml.values import (
    Attribute,
    Encrypt,
    ErrorContent,
    KeyTransport,
    NameId,
    ResponseSettings,
    Sign,
)

ERROR = ErrorContent(
    response_id="_error",
    issuer=IDP,
    recipient=ACS,
    in_response_to="_request",
    issued_at=NOW_MS,
    status=names.RESPONDER,
    second_status=names.NO_AUTHN_CONTEXT,
    message="nothing <that> strong & new",
)
# What XML 1.0 can hold. A carriage return only comes through because it is escaped.
XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r<>&\"'İı𝒜]]>"),
    max_size=40,
)
SPECIAL = ["]]>", "<!-- -->", "<![CDATA[x]]>", "&amp;", "&#0;", " \r\n ", "İIıi", "𝒜𝓭𝓪 👩‍💻", "a\u0301", "\u00a0\u2028"]


def is_canonical(document: bytes) -> bool:
    return etree.tostring(etree.fromstring(document), method="c14n", exclusive=True) == document


def attributes_read(document: bytes) -> list[tuple[str, str, str, list[str]]]:
    """By pysaml2's own classes."""
    response = samlp.response_from_string(document)
    assert response is not None
    found = []
    for statement in response.assertion[0].attribute_statement:
        for each in statement.attribute:
            values = [value.text or "" for value in each.attribute_value]
            found.append((each.name, each.friendly_name or "", each.name_format, values))
    return found


@pytest.mark.parametrize("kind", ["rsa", "p256"])
@pytest.mark.parametrize("encrypt", list(Encrypt))
@pytest.mark.parametrize("sign", list(Sign))
def test_every_response_is_valid_and_canonical(sign: Sign, encrypt: Encrypt, kind: str) -> None:
    for transport in KeyTransport:
        wanted = ResponseSettings(sign, encrypt, pair("rsa", "sp").certificate, transport)
        document = building.response(CONTENT, wanted, signer(kind))
        check_message(document)
        assert is_canonical(document)
        hidden = encrypt is not Encrypt.NONE
        assert (b"ada@acme.test" in document) is not hidden
        visible = (sign is not Sign.ASSERTION) + (sign is not Sign.RESPONSE and not hidden)
        assert document.count(b"<ds:Signature ") == visible


@pytest.mark.parametrize(
    "changed",
    [
        {"in_response_to": ""},
        {"attributes": ()},
        {"attributes": (Attribute("groups", ()), Attribute("empty", ("",)))},
        {"session_not_on_or_after": None},
        {"name_id": NameId("ada@acme.test", names.FORMAT_EMAIL)},
    ],
)
def test_what_may_be_missing_is_left_out_validly(changed: dict[str, object]) -> None:
    document = building.response(content(**changed), ResponseSettings(), signer())
    check_message(document)
    assert is_canonical(document)
    if "in_response_to" in changed:
        assert b"InResponseTo" not in document


def test_the_other_messages_are_valid_and_canonical() -> None:
    made = [
        building.error_response(ERROR, signer()),
        building.error_response(replace(ERROR, second_status="", message="", in_response_to=""), signer("p256")),
        *(building.logout_request(LOGOUT_REQUEST, by) for by in (None, signer())),
        building.logout_request(replace(LOGOUT_REQUEST, not_on_or_after=None, session_indexes=()), signer()),
        *(building.logout_response(LOGOUT_RESPONSE, by) for by in (None, signer())),
        building.logout_response(replace(LOGOUT_RESPONSE, status=names.SUCCESS, second_status=""), signer()),
    ]
    for document in made:
        check_message(document)
        assert is_canonical(document)


def test_an_answer_says_what_it_was_given() -> None:
    root = etree.fromstring(building.response(CONTENT, ResponseSettings(), signer()))

    def at(path: str) -> object:
        return root.xpath(path, namespaces=PARTS)

    assert at("string(saml:Issuer)") == IDP
    assert (root.get("Destination"), root.get("InResponseTo")) == (ACS, "_request")
    confirmation = "//saml:SubjectConfirmation[@Method='urn:oasis:names:tc:SAML:2.0:cm:bearer']/saml:SubjectConfirmationData"
    assert at(f"string({confirmation}/@Recipient)") == ACS
    assert at(f"string({confirmation}/@InResponseTo)") == "_request"
    assert at(f"string({confirmation}/@NotOnOrAfter)") == "2026-11-18T11:11:40.000Z"
    assert at(f"count({confirmation}/@NotBefore)") == 0.0
    assert at("string(//saml:Audience)") == SP
    assert at("string(//saml:Conditions/@NotBefore)") == "2026-11-18T11:05:40.000Z"
    assert at("string(//saml:AuthnStatement/@AuthnInstant)") == "2026-11-18T11:06:35.000Z"
    assert at("string(//saml:AuthnStatement/@SessionIndex)") == "_session"
    assert at("string(//saml:AuthnStatement/@SessionNotOnOrAfter)") == "2026-11-18T12:06:40.000Z"
    assert at("string(//saml:AuthnContextClassRef)") == names.CONTEXT_PROTECTED_PASSWORD
    assert at("string(//saml:NameID/@SPNameQualifier)") == SP


def test_an_error_nests_its_second_status() -> None:
    response = samlp.response_from_string(building.error_response(ERROR, signer()))
    assert response is not None
    assert response.status.status_code.value == names.RESPONDER
    assert response.status.status_code.status_code.value == names.NO_AUTHN_CONTEXT
    assert response.status.status_message.text == ERROR.message
    assert not response.assertion


@given(
    attributes=st.lists(
        st.builds(
            Attribute,
            name=XML_TEXT.filter(str.strip),
            values=st.lists(XML_TEXT | st.sampled_from(SPECIAL), max_size=4).map(tuple),
            friendly_name=XML_TEXT,
        ),
        max_size=4,
    ).map(tuple),
    name=XML_TEXT.filter(str.strip),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_we_build_another_maker_reads_back_equal(attributes: tuple[Attribute, ...], name: str) -> None:
    made = content(attributes=attributes, name_id=NameId(name))
    document = building.response(made, ResponseSettings(), signer("p256"))
    assert is_canonical(document)
    read = attributes_read(document) if attributes else []
    assert read == [(each.name, each.friendly_name, each.name_format, list(each.values)) for each in attributes]
    # And by expat, which has nothing in common with libxml2.
    found = ElementTree.fromstring(document).find(f".//{{{names.ASSERTION}}}NameID")
    assert found is not None
    assert found.text == name
    parsed = saml.name_id_from_string(ElementTree.tostring(found))
    assert parsed is not None


def test_markup_in_any_value_of_an_answer_ends_no_element_and_no_attribute() -> None:
    texts = ("response_id", "assertion_id", "issuer", "recipient", "in_response_to", "audience", "session_index", "context_class")
    evil = {name: f"{name}\"><b c='d'>&amp;</a>\r" for name in texts}
    named = NameId('n"<', 'f"<', 'q"<', 's"<')
    claim = Attribute('c"<', ("</saml:AttributeValue>&",), 'y"<', 'z"<')
    made = content(**evil, name_id=named, attributes=(claim,))
    for sign in Sign:
        document = building.response(made, ResponseSettings(sign), signer("p256"))
        assert is_canonical(document)
        root = ElementTree.fromstring(document)
        told = [value for each in root.iter() for value in (each.text or "", *each.attrib.values())]
        assert {value for value in told if '"' in value or "<" in value} == {
            *evil.values(),
            *('n"<', 'f"<', 'q"<', 's"<', 'c"<', "</saml:AttributeValue>&", 'y"<', 'z"<'),
            *({f"#{evil['assertion_id']}"} if sign is not Sign.RESPONSE else set()),
            *({f"#{evil['response_id']}"} if sign is not Sign.ASSERTION else set()),
        }


@given(text=st.text(st.characters(categories=["Cc", "Cs"], exclude_characters="\t\n\r\x7f" + "".join(map(chr, range(0x80, 0xA0))))))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_xml_cannot_hold_is_refused_and_never_altered(text: str) -> None:
    if not text:
        return
    for changed in ({"name_id": NameId(text)}, {"attributes": (Attribute("a", (text,)),)}, {"recipient": text}):
        with pytest.raises(SamlMessageError):
            building.response(content(**changed), ResponseSettings(), signer("p256"))


def test_encryption_to_a_key_that_cannot_take_it_is_refused() -> None:
    wanted = ResponseSettings(encrypt=Encrypt.AES256_GCM, encryption_certificate=pair("p256", "sp").certificate)
    with pytest.raises(SettingsError):
        building.response(CONTENT, wanted, signer())


def test_two_encryptions_share_no_key_and_no_nonce() -> None:
    wanted = ResponseSettings(encrypt=Encrypt.AES256_GCM, encryption_certificate=pair("rsa", "sp").certificate)
    values = [
        etree.fromstring(building.response(CONTENT, wanted, signer())).xpath("//xenc:CipherValue/text()", namespaces=PARTS)
        for _ in range(2)
    ]
    assert len({str(value)[:16] for pair_ in values for value in pair_}) == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("transport", list(KeyTransport))
def test_the_key_opens_by_the_method_that_is_named(transport: KeyTransport) -> None:
    """Also for `rsa-oaep` with SHA-256, which xmlsec1 before 1.3 does not know."""
    wanted = ResponseSettings(Sign.ASSERTION, Encrypt.AES256_GCM, pair("rsa", "sp").certificate, transport)
    root = etree.fromstring(building.response(CONTENT, wanted, signer()))
    key, text = [base64.b64decode(each.text or "") for each in root.iterfind(".//xenc:CipherValue", PARTS)]
    method = root.find(".//xenc:EncryptedKey/xenc:EncryptionMethod", PARTS)
    assert method is not None
    named = [method.get("Algorithm"), *[each.get("Algorithm") for each in method]]
    algorithm: hashes.HashAlgorithm = hashes.SHA256()
    if transport is KeyTransport.OAEP_SHA1:
        algorithm = hashes.SHA1()
        assert named == [names.OAEP_MGF1P, names.DIGEST_SHA1]
    else:
        assert named == [names.OAEP, names.DIGEST_SHA256, names.MGF1_SHA256]
    private = signer("rsa", "sp").key
    assert isinstance(private, RSAPrivateKey)
    opened = private.decrypt(key, OAEP(MGF1(algorithm), algorithm, None))
    assert AESGCM(opened).decrypt(text[:12], text[12:], None).startswith(b"<saml:Assertion ")
