"""Signing what we send: enveloped XML signatures, and those of the Redirect binding.

XML Signature 1.1; SAML core section 5.4. The document is written in canonical form, so it is hashed as it stands, and the
signature is put in behind the issuer: taking it out again (the enveloped transform) gives the very octets that were hashed.
"""

import base64
import hashlib
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from wardgate.errors import SettingsError
from wardgate.federation.saml import names
from wardgate.federation.saml.values import SignatureAlgorithm, Signer
from wardgate.federation.saml.writing import Xml, element, quoted

HASHES: dict[SignatureAlgorithm, hashes.HashAlgorithm] = {
    SignatureAlgorithm.RSA_SHA256: hashes.SHA256(),
    SignatureAlgorithm.RSA_SHA384: hashes.SHA384(),
    SignatureAlgorithm.RSA_SHA512: hashes.SHA512(),
    SignatureAlgorithm.ECDSA_SHA256: hashes.SHA256(),
    SignatureAlgorithm.ECDSA_SHA384: hashes.SHA384(),
    SignatureAlgorithm.ECDSA_SHA512: hashes.SHA512(),
}
RSA_ALGORITHMS = frozenset({SignatureAlgorithm.RSA_SHA256, SignatureAlgorithm.RSA_SHA384, SignatureAlgorithm.RSA_SHA512})
_ISSUER_END = "</saml:Issuer>"
_PADDING = PKCS1v15()
_DECLARED = f' xmlns:ds="{names.DSIG}"'
_TRANSFORMS = element(
    "ds:Transforms",
    element("ds:Transform", attributes={"Algorithm": names.ENVELOPED}),
    element("ds:Transform", attributes={"Algorithm": names.EXCLUSIVE_C14N}),
)
_HOW_DIGESTED = _TRANSFORMS + element("ds:DigestMethod", attributes={"Algorithm": names.DIGEST_SHA256})


def sign(document: Xml, element_id: str, signer: Signer) -> Xml:
    """`document` with the signature behind its issuer, which the schema of every SAML message puts there.

    `document` begins with the element of `element_id`, whose first child is a `saml:Issuer`.
    """
    end = document.index(_ISSUER_END) + len(_ISSUER_END)
    return Xml(f"{document[:end]}{signature(document, element_id, signer)}{document[end:]}")


def signature(document: Xml, element_id: str, signer: Signer) -> Xml:
    """The Signature element over `document`, which is in canonical form and has `element_id` at its root."""
    digest = base64.b64encode(hashlib.sha256(document.encode()).digest()).decode()
    info = (
        f'>{_methods(signer.algorithm)}<ds:Reference URI="#{quoted(element_id)}">{_HOW_DIGESTED}'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    )
    # By itself the element declares its prefix; inside the signature that is around it, it does not.
    value = base64.b64encode(raw_signature(signer, f"<ds:SignedInfo{_DECLARED}{info}".encode())).decode()
    return Xml(
        f"<ds:Signature{_DECLARED}><ds:SignedInfo{info}<ds:SignatureValue>{value}</ds:SignatureValue>"
        f"{key_info(signer.certificate)}</ds:Signature>"
    )


@lru_cache(maxsize=len(SignatureAlgorithm))
def _methods(algorithm: SignatureAlgorithm) -> str:
    canonical = element("ds:CanonicalizationMethod", attributes={"Algorithm": names.EXCLUSIVE_C14N})
    return canonical + element("ds:SignatureMethod", attributes={"Algorithm": algorithm})


@lru_cache(maxsize=64)
def key_info(certificate: bytes, declare: str = "") -> Xml:
    """A DER certificate as ds:KeyInfo; `declare` is `ds` where nothing around it declares that prefix."""
    encoded = Xml(base64.b64encode(certificate).decode())
    return element("ds:KeyInfo", element("ds:X509Data", element("ds:X509Certificate", encoded)), declare=declare)


def query_signature(signer: Signer, query: bytes) -> bytes:
    """The signature of the Redirect binding. Bindings section 3.4.4.1."""
    return raw_signature(signer, query)


def raw_signature(signer: Signer, data: bytes) -> bytes:
    """A signature as XML carries it: of ECDSA the two numbers side by side (RFC 6931 section 2.3.6), not in DER."""
    algorithm, key = HASHES[signer.algorithm], signer.key
    if isinstance(key, RSAPrivateKey):
        if signer.algorithm not in RSA_ALGORITHMS:
            raise SettingsError("an RSA key signs by an RSA algorithm")
        return key.sign(data, _PADDING, algorithm)
    if signer.algorithm in RSA_ALGORITHMS:
        raise SettingsError("an elliptic key signs by an ECDSA algorithm")
    one, other = decode_dss_signature(key.sign(data, ECDSA(algorithm)))
    octets = -(-key.curve.key_size // 8)
    return one.to_bytes(octets, "big") + other.to_bytes(octets, "big")
