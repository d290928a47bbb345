"""Keys that sign and keys that check: which kinds and sizes there are."""

from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from wardgate.crypto import Secret
from wardgate.errors import SamlMessageError, SettingsError
from wardgate.federation.saml.values import SignatureAlgorithm, Signer

MIN_RSA_BITS = 2048
# A huge modulus is an attack on whoever has to multiply by it.
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT = 2**32
CURVES = (SECP256R1, SECP384R1, SECP521R1)

PublicKey = RSAPublicKey | EllipticCurvePublicKey


def load_signer(pkcs8: Secret, certificate: bytes) -> Signer:
    """The signer of an unencrypted PKCS #8 key and its DER certificate: RSA of 2048 bits or more, or P-256.

    Raises SettingsError when they are neither, or do not belong together.
    """
    try:
        key = load_der_private_key(pkcs8.reveal(), None)
        shown = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError("the key that signs SAML messages, or its certificate, cannot be read") from error
    if isinstance(key, RSAPrivateKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        algorithm = SignatureAlgorithm.RSA_SHA256
    elif isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        algorithm = SignatureAlgorithm.ECDSA_SHA256
    else:
        raise SettingsError("SAML messages are signed with RSA of 2048 bits or more, or with P-256")
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != shown.public_bytes(*spki):
        raise SettingsError("the certificate is not of the key that signs SAML messages")
    return Signer(key=key, certificate=certificate, algorithm=algorithm)


@lru_cache(maxsize=256)
def public_key(certificate: bytes) -> PublicKey:
    """The key that a certificate of an application's metadata shows. Raises SamlMessageError when it is none that we take.

    The certificate's dates, names and issuer count for nothing: the metadata is what makes the key the application's.
    """
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SamlMessageError("a certificate cannot be read", "saml_certificate") from error
    if isinstance(key, RSAPublicKey):
        if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and key.public_numbers().e < MAX_RSA_EXPONENT:
            return key
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, CURVES):
        return key
    raise SamlMessageError("a certificate shows a key that is too weak, too large or of an unknown kind", "saml_certificate")
