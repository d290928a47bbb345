"""xmlsec1, another maker's XML Signature and XML Encryption, judges what we sign and opens what we encrypt."""

import subprocess
from pathlib import Path

import pytest
from lxml import etree

from tests.neighbours import executable
from tests.saml import (
    ACS,
    ARRIVAL,
    CONTENT,
    IDP,
    LOGOUT_REQUEST,
    LOGOUT_RESPONSE,
    NOW_MS,
    PARTS,
    authn_request,
    pair,
    posted,
    xmlsec1_decrypts,
    xmlsec1_verifies,
)
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import building, metadata, names, requests
from wardgate.federation.saml.requests import open_message
from wardgate.federation.saml.values import Encrypt, ErrorContent, KeyTransport, ResponseSettings, Sign, SignatureAlgorithm

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


SHA256 = "rsa", SignatureAlgorithm.RSA_SHA256, names.DIGEST_SHA256
TEMPLATE = """<ds:Signature xmlns:ds="{ds}">
  <ds:SignedInfo>
    <ds:CanonicalizationMethod Algorithm="{c14n}"/><ds:SignatureMethod Algorithm="{method}"/>
    <ds:Reference URI="#_request"><ds:Transforms><ds:Transform Algorithm="{enveloped}"/>
      <ds:Transform Algorithm="{c14n}">{prefixes}</ds:Transform></ds:Transforms>
      <ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue/></ds:Reference>
  </ds:SignedInfo><ds:SignatureValue/>
</ds:Signature>
"""


@pytest.mark.parametrize("prefixes", ["", "xs", "xs samlp unknown"])
@pytest.mark.parametrize(
    ("kind", "algorithm", "digest"),
    [
        ("rsa", SignatureAlgorithm.RSA_SHA256, names.DIGEST_SHA256),
        ("rsa3072", SignatureAlgorithm.RSA_SHA384, names.DIGEST_SHA384),
        ("rsa", SignatureAlgorithm.RSA_SHA512, names.DIGEST_SHA512),
        ("p256", SignatureAlgorithm.ECDSA_SHA256, names.DIGEST_SHA256),
        ("p384", SignatureAlgorithm.ECDSA_SHA384, names.DIGEST_SHA512),
    ],
)
def test_what_xmlsec1_signs_is_read_as_signed(
    tmp_path: Path, kind: str, algorithm: SignatureAlgorithm, digest: str, prefixes: str
) -> None:
    """As OpenSAML writes it: line breaks inside the signature, and a prefix that only attribute values use."""
    document = signed_by_xmlsec1(tmp_path, kind, algorithm, digest, prefixes)
    assert is_read_as_signed(document, kind)
    with pytest.raises(SamlMessageError):
        is_read_as_signed(document.replace(b"_request", b"_another"), kind)


@pytest.mark.parametrize("prefixes", ["", "#default saml"])
def test_the_other_exclusive_forms_that_the_specification_names_are_read(tmp_path: Path, prefixes: str) -> None:
    """Core section 5.4.4: with comments; and a list of prefixes as ruby-saml writes it, where it changes nothing."""
    assert is_read_as_signed(signed_by_xmlsec1(tmp_path, *SHA256, prefixes, names.EXCLUSIVE_C14N_COMMENTS), "rsa")
    with_default = f' xmlns="{names.SCHEMA}" xmlns:samlp'
    if prefixes:
        with pytest.raises(SamlMessageError):
            is_read_as_signed(signed_by_xmlsec1(tmp_path, *SHA256, prefixes, more=with_default), "rsa")


@pytest.mark.parametrize(
    "form",
    [names.INCLUSIVE_C14N, names.INCLUSIVE_C14N_COMMENTS, names.INCLUSIVE_C14N_11, names.INCLUSIVE_C14N_11_COMMENTS],
)
def test_inclusive_forms_are_read(tmp_path: Path, form: str) -> None:
    """As .NET and Java sign where nobody told them of the exclusive one: core section 5.4.3 prefers that, and forbids none."""
    more = f' xmlns="{names.SCHEMA}" xmlns:unused="urn:unused" xml:lang="en" xmlns:samlp'
    document = signed_by_xmlsec1(tmp_path, *SHA256, "", form, ' xmlns="urn:d" xmlns:unused="urn:unused" xmlns:samlp')
    assert is_read_as_signed(document, "rsa")
    with pytest.raises(SamlMessageError):
        is_read_as_signed(document.replace(b"_request", b"_another"), "rsa")
    with pytest.raises(SamlMessageError):
        is_read_as_signed(document.replace(b"urn:unused", b"urn:others"), "rsa")
    with pytest.raises(SamlMessageError, match="no canonical form that all versions agree on"):
        is_read_as_signed(signed_by_xmlsec1(tmp_path, *SHA256, "", form, more), "rsa")


def test_enveloped_signature_alone_is_read(tmp_path: Path) -> None:
    """Its canonical form then is the inclusive one: XML Signature section 4.4.3.2."""
    alone = TEMPLATE.replace('<ds:Transform Algorithm="{c14n}">{prefixes}</ds:Transform>', "")
    assert is_read_as_signed(signed_by_xmlsec1(tmp_path, *SHA256, "", template=alone), "rsa")


def signed_by_xmlsec1(
    folder: Path,
    kind: str,
    algorithm: SignatureAlgorithm,
    digest: str,
    prefixes: str,
    c14n: str = names.EXCLUSIVE_C14N,
    more: str = " xmlns:samlp",
    template: str = TEMPLATE,
) -> bytes:
    """A request that xmlsec1 signed."""
    included = f'<ec:InclusiveNamespaces xmlns:ec="{names.EXCLUSIVE_C14N}" PrefixList="{prefixes}"/>' if prefixes else ""
    filled = template.format(
        ds=names.DSIG, c14n=c14n, enveloped=names.ENVELOPED, method=algorithm, digest=digest, prefixes=included
    )
    plain = authn_request().decode().replace(" xmlns:samlp", f' xmlns:xs="{names.SCHEMA}"{more}', 1)
    unsigned, signed = folder / "template.xml", folder / "request.xml"
    unsigned.write_text(plain.replace("</saml:Issuer>", f"</saml:Issuer>\n  {filled}", 1))
    private, _ = pair(kind, "sp").write(folder, "sp")
    command = [executable("xmlsec1"), "--sign", "--privkey-pem", str(private), "--output", str(signed)]
    subprocess.run([*command, "--id-attr:ID", f"{names.PROTOCOL}:AuthnRequest", str(unsigned)], check=True, timeout=60)
    return signed.read_bytes()


def is_read_as_signed(document: bytes, kind: str) -> bool:
    return requests.authn_request(open_message(posted(document)), [pair(kind, "sp").certificate], ARRIVAL).signed
