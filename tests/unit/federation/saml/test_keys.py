"""Which keys sign, and which check."""

import pytest

from tests.saml import pair
from wardgate.crypto import Secret
from wardgate.errors import SamlMessageError, SettingsError
from wardgate.federation.saml.encrypting import can_encrypt_to
from wardgate.federation.saml.keys import load_signer, public_key
from wardgate.federation.saml.values import SignatureAlgorithm


def test_the_algorithm_follows_from_the_key() -> None:
    assert pair("rsa").signer.algorithm is SignatureAlgorithm.RSA_SHA256
    assert pair("p256").signer.algorithm is SignatureAlgorithm.ECDSA_SHA256


@pytest.mark.parametrize("kind", ["rsa1024", "p384", "k1"])
def test_other_keys_do_not_sign(kind: str) -> None:
    with pytest.raises(SettingsError):
        load_signer(Secret(pair(kind).pkcs8), pair(kind).certificate)


def test_certificate_of_another_key_is_refused() -> None:
    with pytest.raises(SettingsError):
        load_signer(Secret(pair("rsa").pkcs8), pair("rsa", "other").certificate)
    with pytest.raises(SettingsError):
        load_signer(Secret(pair("rsa").pkcs8), pair("p256").certificate)


@pytest.mark.parametrize("junk", [b"", b"nothing", b"\x30\x82\xff\xff"])
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(SettingsError):
        load_signer(Secret(junk), pair().certificate)
    with pytest.raises(SettingsError):
        load_signer(Secret(pair().pkcs8), junk)
    with pytest.raises(SamlMessageError):
        public_key(junk)


def test_a_signer_shows_nothing_of_its_key() -> None:
    assert "key" not in repr(pair().signer).replace("keys", "").split("certificate")[0]


def test_only_rsa_takes_encrypted_keys() -> None:
    assert can_encrypt_to(pair("rsa").certificate)
    assert not can_encrypt_to(pair("p256").certificate)
