"""Encrypting an assertion for one application: AES for the text, RSA-OAEP for the AES key. XML Encryption 1.1.

AES-GCM is the default. AES-CBC is there for applications that know nothing newer; who changes it on the way can learn its text from
how the application complains (Jager and Somorovsky 2011), and only the signature inside says that it was changed.
"""

import base64
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from wardgate.crypto import random_bytes
from wardgate.errors import SettingsError
from wardgate.federation.saml import names
from wardgate.federation.saml.keys import public_key
from wardgate.federation.saml.signing import key_info
from wardgate.federation.saml.values import Encrypt, KeyTransport, ResponseSettings
from wardgate.federation.saml.writing import Xml, element

NONCE_OCTETS = 12  # XML Encryption 1.1 section 5.2.4
BLOCK_OCTETS = 16
# The algorithm's name and the octets of its key.
_CIPHERS = {
    Encrypt.AES256_GCM: ("http://www.w3.org/2009/xmlenc11#aes256-gcm", 32),
    Encrypt.AES128_GCM: ("http://www.w3.org/2009/xmlenc11#aes128-gcm", 16),
    Encrypt.AES256_CBC: ("http://www.w3.org/2001/04/xmlenc#aes256-cbc", 32),
    Encrypt.AES128_CBC: ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", 16),
}
_GCM = frozenset({Encrypt.AES256_GCM, Encrypt.AES128_GCM})
_OAEP = {
    KeyTransport.OAEP_SHA1: OAEP(mgf=MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None),  # noqa: S303 - harmless in OAEP
    KeyTransport.OAEP_SHA256: OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None),
}


def can_encrypt_to(certificate: bytes) -> bool:
    """Say whether the key of an application's certificate can take an encrypted key: RSA alone can."""
    return isinstance(public_key(certificate), RSAPublicKey)


def encrypted_assertion(assertion: Xml, settings: ResponseSettings) -> Xml:
    """`saml:EncryptedAssertion` around the assertion, which stands in canonical form and so declares all its own prefixes.

    Raises SettingsError when the application has no RSA key to encrypt to.
    """
    method, key_octets = _CIPHERS[settings.encrypt]
    key = random_bytes(key_octets)
    data = element(
        "xenc:EncryptedData",
        element("xenc:EncryptionMethod", attributes={"Algorithm": method}),
        element("ds:KeyInfo", _encrypted_key(key, settings), declare="ds"),
        _cipher_data(_ciphered(assertion.encode(), key, gcm=settings.encrypt in _GCM)),
        declare="xenc",
        attributes={"Type": names.ENCRYPTED_ELEMENT},
    )
    return element("saml:EncryptedAssertion", data, declare="saml")


def _ciphered(plain: bytes, key: bytes, *, gcm: bool) -> bytes:
    """Nonce, text and tag (GCM), or initial block and padded text (CBC; sections 5.2.2 and 5.2.4)."""
    if gcm:
        nonce = random_bytes(NONCE_OCTETS)
        return nonce + AESGCM(key).encrypt(nonce, plain, None)
    first, missing = random_bytes(BLOCK_OCTETS), BLOCK_OCTETS - len(plain) % BLOCK_OCTETS
    encryptor = Cipher(AES(key), CBC(first)).encryptor()
    return first + encryptor.update(plain + bytes((missing,)) * missing) + encryptor.finalize()


def _encrypted_key(key: bytes, settings: ResponseSettings) -> Xml:
    public = public_key(settings.encryption_certificate)
    if not isinstance(public, RSAPublicKey):
        raise SettingsError("assertions are encrypted to an RSA key, and the application's metadata has another kind")
    return element(
        "xenc:EncryptedKey",
        _transport(settings.key_transport),
        key_info(settings.encryption_certificate),
        _cipher_data(public.encrypt(key, _OAEP[settings.key_transport])),
    )


@lru_cache(maxsize=len(KeyTransport))
def _transport(transport: KeyTransport) -> Xml:
    if transport is KeyTransport.OAEP_SHA1:
        digest = element("ds:DigestMethod", attributes={"Algorithm": names.DIGEST_SHA1})
        return element("xenc:EncryptionMethod", digest, attributes={"Algorithm": names.OAEP_MGF1P})
    return element(
        "xenc:EncryptionMethod",
        element("ds:DigestMethod", attributes={"Algorithm": names.DIGEST_SHA256}),
        element("xenc11:MGF", declare="xenc11", attributes={"Algorithm": names.MGF1_SHA256}),
        attributes={"Algorithm": names.OAEP},
    )


def _cipher_data(octets: bytes) -> Xml:
    return element("xenc:CipherData", element("xenc:CipherValue", Xml(base64.b64encode(octets).decode())))
