"""What XML and its signatures were broken with before, one attack a test.

Many are from Somorovsky and others, "On Breaking SAML: Be Whoever You Want to Be" (2012).
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from lxml import etree

from tests.saml import ARRIVAL, LOGOUT_REQUEST, LOGOUT_RESPONSE, SP, answered, authn_request, pair, posted, signer
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import building, names, requests, xml
from wardgate.federation.saml.bindings import Received
from wardgate.federation.saml.requests import open_message
from wardgate.federation.saml.values import AuthnRequest, LogoutRequest, LogoutResponse
from wardgate.federation.saml.writing import element

DS = f"{{{names.DSIG}}}"
SIGNATURE = f"{DS}Signature"
CERTIFICATE = pair("rsa", "sp").certificate
NEVER_TAKES_CPU_S = 2.0


def read(document: bytes, *certificates: bytes) -> AuthnRequest | LogoutRequest | LogoutResponse:
    """Whatever a door would do with what was posted."""
    response = b"LogoutResponse" in document[:200]
    message = open_message((answered if response else posted)(document))
    if message.asks_to_sign_in:
        return requests.authn_request(message, certificates, ARRIVAL)
    if message.asks_to_sign_out:
        return requests.logout_request(message, certificates, ARRIVAL)
    return requests.logout_response(message, certificates, ARRIVAL)


def refusal(document: bytes, *certificates: bytes) -> str:
    with pytest.raises(SamlMessageError) as caught:
        read(document, *certificates)
    return caught.value.code


def signed(kind: str = "AuthnRequest") -> bytes:
    by = signer("rsa", "sp")
    return {
        "AuthnRequest": lambda: authn_request(by=by),
        "LogoutRequest": lambda: building.logout_request(LOGOUT_REQUEST, by),
        "LogoutResponse": lambda: building.logout_response(LOGOUT_RESPONSE, by),
    }[kind]()


def with_prologue(prologue: str, inside: str = "") -> bytes:
    return prologue.encode() + authn_request().replace(f">{SP}<".encode(), f">{inside or SP}<".encode())


# --- the parser ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entity",
    [
        'x SYSTEM "file:///etc/passwd"',
        'x SYSTEM "http://127.0.0.1:9/"',
        'x PUBLIC "a" "file:///etc/passwd"',
        '% x SYSTEM "http://127.0.0.1:9/evil.dtd"',
    ],
)
def test_xxe_reads_no_file_and_asks_no_server(entity: str) -> None:
    assert refusal(with_prologue(f"<!DOCTYPE r [<!ENTITY {entity}>]>", "&x;")) == "saml_doctype"


def test_doctype_alone_is_refused() -> None:
    assert refusal(with_prologue('<!DOCTYPE r SYSTEM "http://127.0.0.1:9/r.dtd">')) == "saml_doctype"
    assert refusal(with_prologue("<!DOCTYPE r>")) == "saml_doctype"


def test_internal_entity_bomb_does_not_go_off() -> None:
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    began = time.process_time()
    assert refusal(with_prologue(f"<!DOCTYPE r [{entities}]>", "&a11;")) == "saml_doctype"
    assert time.process_time() - began < NEVER_TAKES_CPU_S


def test_quadratic_entity_bomb_does_not_go_off() -> None:
    began = time.process_time()
    bomb = with_prologue(f'<!DOCTYPE r [<!ENTITY a "{"a" * 30_000}">]>', "&a;" * 8_000)
    assert len(bomb) < 64 * 1024
    assert refusal(bomb) == "saml_doctype"
    assert time.process_time() - began < NEVER_TAKES_CPU_S


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-7"])
def test_doctype_hidden_by_another_encoding_is_refused(encoding: str) -> None:
    """A search for `<!DOCTYPE` in the octets finds nothing in them; a parser that believes the declaration does."""
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE r [<!ENTITY x "y">]>' + authn_request().decode()
    assert refusal(text.encode(encoding)) in ("saml_malformed", "saml_doctype")


def test_deep_nesting_is_refused() -> None:
    for depth in (xml.MESSAGE.depth, 300, 5_000):
        deep = "<samlp:Extensions>" + "<a>" * depth + "</a>" * depth + "</samlp:Extensions>"
        document = authn_request().replace(b"</samlp:AuthnRequest>", f"{deep}</samlp:AuthnRequest>".encode())
        assert refusal(document) in ("saml_too_large", "saml_malformed")


def test_huge_and_many_attributes_are_refused() -> None:
    large = authn_request(changed={"ProviderName": "x" * (xml.MESSAGE.attribute_chars + 1)})
    assert refusal(large) == "saml_too_large"
    many = authn_request(changed={f"a{i}": "x" for i in range(xml.MESSAGE.attributes)})
    assert refusal(many) == "saml_too_large"
    spaces = "".join(f' xmlns:n{i}="urn:{i}"' for i in range(2_000))
    assert refusal(authn_request().replace(b"<saml:Issuer", f"<saml:Issuer{spaces}".encode())) == "saml_too_large"


def test_more_than_a_message_may_have_is_not_parsed() -> None:
    assert refusal(authn_request() + b" " * 64 * 1024) == "saml_too_large"
    crowd = "<samlp:Extensions>" + "<a/>" * 2_000 + "</samlp:Extensions>"
    assert refusal(authn_request().replace(b"</samlp:A", f"{crowd}</samlp:A".encode())) == "saml_too_large"


@pytest.mark.parametrize("node", ["<!-- -->", "<?cut here?>", "<b/>"])
def test_comment_truncation_does_not_shorten_a_name(node: str) -> None:
    """`https://wiki.acme.test/sp<!-- -->.evil.test`: readers that stop at the comment see another application."""
    cut = authn_request().replace(f">{SP}<".encode(), f">{SP}{node}.evil.test<".encode())
    assert refusal(cut) == "saml_stray_node"
    inside = building.logout_request(LOGOUT_REQUEST, None).replace(b"a1b2", f"a1b2{node}c3".encode())
    assert refusal(inside) == "saml_stray_node"


def test_comment_put_into_a_signed_message_is_refused() -> None:
    """Canonical form leaves comments out, so the signature still holds: CVE-2018-0489 and its family."""
    document = signed("LogoutRequest").replace(b"a1b2", b"a1<!-- -->b2")
    assert refusal(document, CERTIFICATE) == "saml_stray_node"


def test_comment_between_the_parts_of_a_signed_message_changes_nothing() -> None:
    commented = (
        signed().replace(b"<ds:Signature ", b"<!-- one --><ds:Signature ").replace(b"<ds:Reference", b"<!-- two --><ds:Reference")
    )
    assert read(commented, CERTIFICATE).signed
    assert refusal(commented.replace(b"<!-- one -->", b"<!-- one -->x"), CERTIFICATE) == "saml_stray_node"


def test_two_elements_of_one_id_are_refused() -> None:
    document = authn_request().replace(b"<saml:Issuer", b'<samlp:Extensions ID="_request"/><saml:Issuer')
    assert refusal(document) == "saml_duplicate_id"


# --- signatures ------------------------------------------------------------------------------------------------------------------


def wrap_inside_signature(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    evil.insert(1, signature)
    signature.append(original)


def wrap_beside_signature(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    evil.insert(1, signature)
    evil.append(original)


def wrap_signed_original_first(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    original.insert(1, signature)
    evil.insert(0, original)


def wrap_signed_original_last(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    original.insert(1, signature)
    evil.append(original)


def wrap_in_key_info(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    evil.insert(1, signature)
    signature[2].append(original)


def wrap_in_object(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    evil.insert(1, signature)
    etree.SubElement(signature, f"{DS}Object").append(original)


def wrap_in_extensions(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    evil.insert(1, signature)
    extensions = etree.Element(f"{{{names.PROTOCOL}}}Extensions")
    extensions.append(original)
    evil.insert(2, extensions)


def wrap_with_the_signature_in_an_object(evil: etree._Element, original: etree._Element, signature: etree._Element) -> None:
    """The original with its signature inside the Object of a signature of the attacker's own."""
    original.insert(1, signature)
    outer = etree.fromstring(etree.tostring(signature))
    etree.SubElement(outer, f"{DS}Object").append(original)
    evil.insert(1, outer)


SHAPES = [
    wrap_inside_signature,
    wrap_beside_signature,
    wrap_signed_original_first,
    wrap_signed_original_last,
    wrap_in_key_info,
    wrap_in_object,
    wrap_in_extensions,
    wrap_with_the_signature_in_an_object,
]


@pytest.mark.parametrize("kind", ["AuthnRequest", "LogoutRequest", "LogoutResponse"])
@pytest.mark.parametrize("same_id", [True, False], ids=["same-id", "other-id"])
@pytest.mark.parametrize("wrap", SHAPES)
def test_signature_wrapping_shows_no_other_message(
    wrap: Callable[[etree._Element, etree._Element, etree._Element], None], same_id: bool, kind: str
) -> None:
    document = signed(kind)
    assert read(document, CERTIFICATE).signed
    original, evil = etree.fromstring(document), etree.fromstring(document)
    signature = original.find(SIGNATURE)
    assert signature is not None
    original.remove(signature)
    theirs = evil.find(SIGNATURE)
    assert theirs is not None
    evil.remove(theirs)
    evil.set("ID", "_request" if same_id else "_evil")
    if same_id:
        evil.set("ID", original.get("ID", ""))
    evil.set("Destination", "https://login.acme.test/saml/slo")
    wrap(evil, original, signature)
    refusal(etree.tostring(evil), CERTIFICATE)


@pytest.mark.parametrize(
    "uri", ["", "#_other", "#xpointer(/)", "#xpointer(id('_request'))", "http://127.0.0.1:9/x", "file:///etc/hosts"]
)
def test_reference_to_anything_but_the_root_is_refused(uri: str) -> None:
    document = signed().replace(b'URI="#_request"', f'URI="{uri}"'.encode())
    assert refusal(document, CERTIFICATE) == "saml_signature"


def test_second_reference_is_refused() -> None:
    document = signed()
    start, end = document.index(b"<ds:Reference"), document.index(b"</ds:Reference>") + len(b"</ds:Reference>")
    assert refusal(document[:end] + document[start:end] + document[end:], CERTIFICATE) == "saml_signature"


def test_second_signature_is_refused() -> None:
    document = signed()
    start, end = document.index(b"<ds:Signature "), document.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    assert refusal(document[:end] + document[start:end] + document[end:], CERTIFICATE) == "saml_signature"


@pytest.mark.parametrize("kind", ["AuthnRequest", "LogoutRequest", "LogoutResponse"])
def test_altered_message_is_refused(kind: str) -> None:
    document = signed(kind)
    assert refusal(document.replace(b'Version="2.0"', b'Version="2.0" Consent="urn:yes"', 1), CERTIFICATE) == "saml_signature"
    assert refusal(document.replace(b"<ds:DigestValue>", b"<ds:DigestValue>AAAA", 1), CERTIFICATE) in (
        "saml_signature",
        "saml_encoding",
    )


@pytest.mark.parametrize("place", [b"<ds:SignedInfo", b"<ds:Reference", b"<samlp:AuthnRequest"])
def test_namespace_without_a_canonical_form_is_refused(place: bytes) -> None:
    """libxml2 raises for a relative address, and SignedInfo is canonicalised before its signature can be checked."""
    assert refusal(signed().replace(place, place + b' xmlns:r="relative"', 1), CERTIFICATE) in ("saml_malformed", "saml_signature")


def test_signature_that_was_seen_is_no_way_to_a_canonical_form_that_takes_long() -> None:
    """Inclusively each element looks for each namespace around it: 190 around 900 took a tenth of a second, in 8 KB."""
    inclusive = signed().replace(names.EXCLUSIVE_C14N.encode(), names.INCLUSIVE_C14N.encode())
    for count, expected in ((xml.MAX_IN_SCOPE - 10, "saml_signature"), (xml.MAX_IN_SCOPE, "saml_too_large")):
        crowd = "".join(f' xmlns:n{number}="urn:n"' for number in range(count)).encode()
        assert refusal(inclusive.replace(b" ID=", crowd + b" ID=", 1), CERTIFICATE) == expected


@pytest.mark.parametrize(
    "transform",
    [
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"><xsl:stylesheet '
        'xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"/></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>//*</ds:XPath></ds:Transform>',
        '<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"/>',
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#base64"/>',
        '<ds:Transform Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/>',
        f'<ds:Transform Algorithm="{names.ENVELOPED}"><ds:XPath>//*</ds:XPath></ds:Transform>',
        f'<ds:Transform Algorithm="{names.EXCLUSIVE_C14N_COMMENTS}"/>',
    ],
)
@pytest.mark.parametrize("place", ["before", "behind", "instead"])
def test_transforms_that_compute_are_refused_before_anything_runs(transform: str, place: str) -> None:
    document = signed().decode()
    start = document.index("<ds:Transforms>") + len("<ds:Transforms>")
    end = document.index("</ds:Transforms>")
    ours = document[start:end]
    several = {"before": transform + ours, "behind": ours + transform, "instead": transform}[place]
    assert refusal(f"{document[:start]}{several}{document[end:]}".encode(), CERTIFICATE) == "saml_algorithm"


def test_xslt_bomb_takes_no_time() -> None:
    """Recursion that doubles with each step: 19 deep costs a general verifier a second, before it looks at the signature."""
    calls = '<xsl:call-template name="t"/>' * 2
    bomb = (
        '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116">'
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        f'<xsl:template match="/" name="t">{calls}</xsl:template></xsl:stylesheet></ds:Transform>'
    )
    began = time.process_time()
    assert refusal(signed().replace(b"<ds:Transforms>", f"<ds:Transforms>{bomb}".encode()), CERTIFICATE) == "saml_algorithm"
    assert time.process_time() - began < NEVER_TAKES_CPU_S


def resigned(document: bytes, method: str, digest: str, make: Callable[[bytes], bytes], hashed: Callable[[bytes], bytes]) -> bytes:
    """The message signed again by another method, right in every other way."""
    root = etree.fromstring(document)
    signature = root.find(SIGNATURE)
    assert signature is not None
    root.remove(signature)
    info = signature[0]
    value = base64.b64encode(hashed(etree.tostring(root, method="c14n", exclusive=True))).decode()
    info[1].set("Algorithm", method)
    info[2][1].set("Algorithm", digest)
    info[2][2].text = value
    alone = etree.fromstring(etree.tostring(info))
    signature[1].text = base64.b64encode(make(etree.tostring(alone, method="c14n", exclusive=True))).decode()
    root.insert(1, signature)
    return etree.tostring(root)


def rsa_key() -> RSAPrivateKey:
    key = signer("rsa", "sp").key
    assert isinstance(key, RSAPrivateKey)
    return key


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_the_helper_that_signs_again_signs_rightly() -> None:
    """So that the refusals below are for the algorithm, and nothing else."""
    good = resigned(
        signed(),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        names.DIGEST_SHA256,
        lambda data: rsa_key().sign(data, PKCS1v15(), hashes.SHA256()),
        sha256,
    )
    assert read(good, CERTIFICATE).signed


def test_downgrade_to_sha1_is_refused() -> None:
    sha1 = resigned(
        signed(),
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        names.DIGEST_SHA256,
        lambda data: rsa_key().sign(data, PKCS1v15(), hashes.SHA1()),
        sha256,
    )
    assert refusal(sha1, CERTIFICATE) == "saml_algorithm"
    digest = resigned(
        signed(),
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        names.DIGEST_SHA1,
        lambda data: rsa_key().sign(data, PKCS1v15(), hashes.SHA256()),
        lambda data: hashlib.sha1(data).digest(),
    )
    assert refusal(digest, CERTIFICATE) == "saml_algorithm"


def test_hmac_with_the_public_key_as_its_secret_is_refused() -> None:
    """Key confusion: the verifier's public key is known to all, and as an HMAC secret it would sign for anybody."""
    for method in ("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", "http://www.w3.org/2000/09/xmldsig#hmac-sha1"):
        forged = resigned(signed(), method, names.DIGEST_SHA256, lambda data: hmac.digest(CERTIFICATE, data, "sha256"), sha256)
        assert refusal(forged, CERTIFICATE) == "saml_algorithm"


def test_key_of_another_kind_does_not_check_an_algorithm() -> None:
    ec_certificate = pair("p256", "sp").certificate
    assert refusal(signed(), ec_certificate) == "saml_signature"
    by_curve = authn_request(by=signer("p256", "sp"))
    assert read(by_curve, ec_certificate).signed
    assert refusal(by_curve, CERTIFICATE) == "saml_signature"
    relabelled = by_curve.replace(b"#ecdsa-sha256", b"#rsa-sha256")
    assert refusal(relabelled, ec_certificate, CERTIFICATE) == "saml_signature"


def test_key_that_the_message_brings_along_counts_for_nothing() -> None:
    """KeyInfo holds the attacker's certificate, and its signature is right for it."""
    theirs = authn_request(by=signer("rsa", "attacker"))
    assert base64.b64encode(pair("rsa", "attacker").certificate) in theirs
    assert refusal(theirs, CERTIFICATE) == "saml_signature"


def test_key_of_another_application_is_refused() -> None:
    assert refusal(authn_request(by=signer("rsa", "other")), CERTIFICATE) == "saml_signature"


def test_weak_and_strange_keys_check_nothing() -> None:
    for kind in ("rsa1024", "k1"):
        assert refusal(signed(), pair(kind, "sp").certificate) == "saml_certificate"


def test_ecdsa_signature_of_zeros_is_refused() -> None:
    """CVE-2022-21449: r = s = 0 was right for every message and every key."""
    document = authn_request(by=signer("p256", "sp"))
    start, end = document.index(b"<ds:SignatureValue>") + 19, document.index(b"</ds:SignatureValue>")
    zeros = base64.b64encode(bytes(64))
    assert refusal(document[:start] + zeros + document[end:], pair("p256", "sp").certificate) == "saml_signature"


def test_object_in_a_signature_is_refused() -> None:
    hidden = signed().replace(b"</ds:Signature>", b"<ds:Object>x</ds:Object></ds:Signature>")
    assert refusal(hidden, CERTIFICATE) == "saml_signature"


def test_signed_message_for_another_identity_provider_is_refused() -> None:
    elsewhere = authn_request(by=signer("rsa", "sp"), changed={"Destination": "https://other-idp.test/sso"})
    assert refusal(elsewhere, CERTIFICATE) == "saml_destination"


def test_wrong_signature_is_not_taken_for_none() -> None:
    """Where signatures are not required, a broken one is still no unsigned message: somebody changed it."""
    assert refusal(signed().replace(b"</samlp:AuthnRequest>", b" </samlp:AuthnRequest>"), CERTIFICATE) == "saml_signature"


def test_signature_deeper_inside_does_not_make_a_message_signed() -> None:
    inner = signed()
    outer = authn_request(changed={"ID": "_evil"})
    nested = outer.replace(b"</samlp:AuthnRequest>", b"<samlp:Extensions>" + inner + b"</samlp:Extensions></samlp:AuthnRequest>")
    assert refusal(nested, CERTIFICATE) == "saml_signature"


def test_markup_in_what_we_send_stays_text() -> None:
    """An attribute of the directory, or an entity id, that closes our element and opens its own."""
    evil = 'x</saml:AttributeValue></saml:Attribute><saml:Attribute Name="admin">'
    made = element("saml:Attribute", element("saml:AttributeValue", evil), declare="saml", attributes={"Name": f'"{evil}'})
    root = etree.fromstring(made.encode())
    assert (root.get("Name"), root[0].text, len(root)) == (f'"{evil}', evil, 1)


def test_received_values_do_not_carry_a_signature_of_another_binding() -> None:
    """A POST with SigAlg and Signature beside it (SimpleSign) is not signed for us: its fields are not looked at."""
    received: Received = posted(authn_request())
    assert received.signature is None
