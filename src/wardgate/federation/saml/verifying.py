"""Checking signatures: of one profile only, the one that SAML core section 5.4 describes, and nothing around it.

A general XML Signature library does what the message tells it: which transforms run, which parts are hashed, which key counts.
Here the message decides none of that. There is one signature, a child of the root; it refers to the root by its id; two transforms
are known; the keys come from the application's metadata, and KeyInfo is not looked at. What is returned is read from the octets
that were hashed, never from the tree that came, so that nothing that was not signed can be read by mistake (docs/decisions/0010).
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from wardgate.federation.saml import names
from wardgate.federation.saml.bindings import QuerySignature
from wardgate.federation.saml.keys import PublicKey, public_key
from wardgate.federation.saml.signing import HASHES, RSA_ALGORITHMS
from wardgate.federation.saml.values import SignatureAlgorithm
from wardgate.federation.saml.xml import (
    MESSAGE,
    Element,
    Limits,
    attribute,
    canonical,
    cut,
    decoded,
    id_of,
    parse,
    refused,
    text_of,
)

MAX_KEYS = 8
"""Of one application: two while it rolls over; each more is work that an unknown sender has us do."""
MAX_PREFIXES = 32
MAX_SIGNATURE_OCTETS = 1_024
MAX_DIGEST_OCTETS = 64
SIGNATURE = f"{{{names.DSIG}}}Signature"
_DIGESTS: dict[str, Callable[[bytes], "hashlib._Hash"]] = {
    names.DIGEST_SHA256: hashlib.sha256,
    names.DIGEST_SHA384: hashlib.sha384,
    names.DIGEST_SHA512: hashlib.sha512,
}
# Whether exclusive. Core section 5.4.3 prefers that; .NET and Java write the other where nobody told them. A message that we read
# has no comment by now, nor has a reference to an id (XML Signature section 4.4.3.3).
_CANONICAL = {
    names.EXCLUSIVE_C14N: True,
    names.EXCLUSIVE_C14N_COMMENTS: True,
    names.INCLUSIVE_C14N: False,
    names.INCLUSIVE_C14N_COMMENTS: False,
    names.INCLUSIVE_C14N_11: False,
    names.INCLUSIVE_C14N_11_COMMENTS: False,
}
_PADDING = PKCS1v15()


@dataclass(frozen=True, slots=True)
class _Form:
    """How something is made canonical before it is hashed. `prefixes`: of an exclusive form, those that it takes as the other."""

    exclusive: bool
    prefixes: tuple[str, ...] = ()

    def of(self, element: Element) -> bytes:
        """The canonical form of an element. Raises SamlMessageError."""
        return canonical(element, self.prefixes, exclusive=self.exclusive)


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a signature says that it covers, as far as it may say anything."""

    digest: Callable[[bytes], "hashlib._Hash"]
    value: bytes
    form: _Form


def has_signature(root: Element) -> bool:
    """Say whether there is any signature in a message, wherever it stands."""
    return next(root.iter(SIGNATURE), None) is not None


def verified(root: Element, certificates: Sequence[bytes], limits: Limits = MESSAGE) -> Element:
    """The root as it was signed, without its signature. Raises SamlMessageError when it was not, by one of `certificates`.

    `root` is the root of its document. A metadata document (whose limits allow comments) may hold signed parts; they are no
    concern of the signature over the whole.
    """
    root = deepcopy(root)  # the signature is taken out of it
    found = _the_signature(root, alone=limits is MESSAGE)
    info, value = _parts(found)
    algorithm, form = _methods(info)
    reference = _reference(info, id_of(root))
    _check_value(algorithm, decoded(text_of(value), MAX_SIGNATURE_OCTETS), (form.of(info),), certificates)
    cut(found)  # the enveloped transform: the text behind it stays
    signed = reference.form.of(root)
    if not hmac.compare_digest(reference.digest(signed).digest(), reference.value):
        raise refused("the message is not what was signed", "saml_signature")
    return parse(signed, limits)


def check_query(signature: QuerySignature, certificates: Sequence[bytes]) -> None:
    """Check a signature of the Redirect binding. Raises SamlMessageError when it is not by one of `certificates`."""
    _check_value(_algorithm(signature.algorithm), signature.value, signature.signed, certificates)


def _the_signature(root: Element, *, alone: bool) -> Element:
    """The one Signature, a child of the root. Any other, wherever it stands, is somebody's try to have the wrong one checked."""
    children = [child for child in root if child.tag == SIGNATURE]
    everywhere = sum(1 for _ in root.iter(SIGNATURE))
    if len(children) != 1 or (alone and everywhere != 1):
        raise refused("not one signature below the root", "saml_signature")
    return children[0]


def _parts(signature: Element) -> tuple[Element, Element]:
    """SignedInfo and SignatureValue. An Object is refused: it is where a wrapped message hides."""
    children = _elements(signature)
    tags = [child.tag for child in children]
    expected = [_ds("SignedInfo"), _ds("SignatureValue")]
    if tags not in (expected, [*expected, _ds("KeyInfo")]):
        raise refused("a signature of another shape", "saml_signature")
    return children[0], children[1]


def _methods(info: Element) -> tuple[SignatureAlgorithm, _Form]:
    """The algorithm and the canonical form of SignedInfo, which has one Reference."""
    children = _elements(info)
    if [child.tag for child in children] != [_ds("CanonicalizationMethod"), _ds("SignatureMethod"), _ds("Reference")]:
        raise refused("a signature of another shape, or over more than one thing", "saml_signature")
    canonicalization, method, _ = children
    if attribute(canonicalization, "Algorithm") not in _CANONICAL or len(method):
        raise refused("a signature of another shape", "saml_signature")
    return _algorithm(attribute(method, "Algorithm")), _form(canonicalization)


def _reference(info: Element, root_id: str) -> _Reference:
    reference = _elements(info)[2]
    if reference.get("URI") != f"#{root_id}":
        raise refused("the signature is not over the whole message", "saml_signature")
    children = _elements(reference)
    if [child.tag for child in children] != [_ds("Transforms"), _ds("DigestMethod"), _ds("DigestValue")] or len(children[1]):
        raise refused("a signature of another shape", "saml_signature")
    digest = _DIGESTS.get(attribute(children[1], "Algorithm"))
    if digest is None:
        raise refused("a digest that is not SHA-256, SHA-384 or SHA-512", "saml_algorithm")
    return _Reference(digest, decoded(text_of(children[2]), MAX_DIGEST_OCTETS), _transforms(children[0]))


def _transforms(transforms: Element) -> _Form:
    """The canonical form. Enveloped, then it or nothing, which is the inclusive one: no XPath, no XSLT, nothing that computes."""
    children = _elements(transforms)
    algorithms = [attribute(child, "Algorithm") for child in children if child.tag == _ds("Transform")]
    is_known = len(algorithms) == len(children) and algorithms[:1] == [names.ENVELOPED] and not len(children[0])
    if is_known and len(children) == 1:
        return _Form(exclusive=False)  # XML Signature section 4.4.3.2
    if not is_known or len(children) != 2 or algorithms[1] not in _CANONICAL:
        raise refused("a transform that is not enveloped-signature and canonical form", "saml_algorithm")
    return _form(children[1])


def _form(method: Element) -> _Form:
    """The canonical form that is named, with its InclusiveNamespaces (Exclusive XML Canonicalization 1.0 section 4)."""
    children, exclusive = _elements(method), _CANONICAL[attribute(method, "Algorithm")]
    if not children:
        return _Form(exclusive)
    is_list = len(children) == 1 and children[0].tag == f"{{{names.EXCLUSIVE_C14N}}}InclusiveNamespaces" and not len(children[0])
    if not exclusive or not is_list:
        raise refused("a signature of another shape", "saml_signature")
    prefixes = attribute(children[0], "PrefixList").split()
    if len(prefixes) > MAX_PREFIXES:
        raise refused("too many prefixes", "saml_too_large")
    if "#default" in prefixes and any(None in each.nsmap for each in method.getroottree().getroot().iter()):
        # lxml passes over it, which is the same only where there is no default namespace.
        raise refused("an inclusive default namespace, which lxml cannot canonicalise", "saml_algorithm")
    return _Form(exclusive, tuple(prefix for prefix in prefixes if prefix != "#default"))


def _elements(parent: Element) -> list[Element]:
    """The children of a part of a signature, which holds nothing else: no comment, no text."""
    children = list(parent)
    if any(not isinstance(child.tag, str) for child in children):
        raise refused("something stands inside a signature", "saml_stray_node")
    return children


def _algorithm(uri: str) -> SignatureAlgorithm:
    try:
        return SignatureAlgorithm(uri)
    except ValueError as error:
        raise refused("an algorithm that is neither RSA nor ECDSA with SHA-256, SHA-384 or SHA-512", "saml_algorithm") from error


def _check_value(algorithm: SignatureAlgorithm, value: bytes, data: Sequence[bytes], certificates: Sequence[bytes]) -> None:
    """`data`: what `value` may be the signature of; one of it has to be."""
    keys = [public_key(certificate) for certificate in certificates[:MAX_KEYS]]
    if not any(_holds(key, algorithm, value, each) for each in data for key in keys):
        raise refused("the signature is by no key of the application's metadata", "saml_signature")


def _holds(key: PublicKey, algorithm: SignatureAlgorithm, value: bytes, data: bytes) -> bool:
    """Say whether `value` is this key's signature. A key only checks the algorithms of its own kind."""
    try:
        if isinstance(key, RSAPublicKey):
            if algorithm not in RSA_ALGORITHMS:
                return False
            key.verify(value, data, _PADDING, HASHES[algorithm])
        else:
            if algorithm in RSA_ALGORITHMS:
                return False
            key.verify(_der(key, value), data, ECDSA(HASHES[algorithm]))
    except InvalidSignature:
        return False
    return True


def _der(key: EllipticCurvePublicKey, value: bytes) -> bytes:
    """An ECDSA signature in DER. XML carries two numbers side by side (RFC 6931 section 2.3.6); OpenSAML's queries carry DER."""
    octets = -(-key.curve.key_size // 8)
    if len(value) != 2 * octets:
        return value
    return encode_dss_signature(int.from_bytes(value[:octets], "big"), int.from_bytes(value[octets:], "big"))


def _ds(name: str) -> str:
    return f"{{{names.DSIG}}}{name}"
