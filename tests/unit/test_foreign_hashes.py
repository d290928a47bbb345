"""Hashes made by others: vectors from their own tools and RFCs, and what is refused."""

import base64

import pytest

from wardgate.foreign_hashes import HashRefused, adopt, check, scheme_of

# RFC 7914 section 11 (PBKDF2-HMAC-SHA-256, one iteration, the first 32 bytes) and section 12 (scrypt).
PBKDF2_DIGEST = bytes.fromhex("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc")
SCRYPT_DIGEST = bytes.fromhex(
    "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
)
PBKDF2 = f"pbkdf2_sha256$1$salt${base64.b64encode(PBKDF2_DIGEST).decode()}"
SCRYPT = f"scrypt$1024$NaCl$8$16${base64.b64encode(SCRYPT_DIGEST).decode()}"
BCRYPT = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
SHA512_CRYPT = "$6$wardgate$KXssRwdDaH9kwaDYGS9ze6Hy8xLEGpbC9C1QUhdp/iB.VutaAwUkKxepz43Krn6D.d5PfuJpRrB5.DgwTvT/G0"
ARGON2I = "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$fxtGwQCVS3+/th1RXzVybdccPYc62TKe"
ARGON2ID = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$AqBRvDRh3Kc/HZh0vPAnKg/M6mYAcMXm"
SSHA = "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3"

VECTORS = [
    ("ssha", SSHA, b"secret"),  # from OpenLDAP's FAQ
    ("sha", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", b"secret"),  # from OpenLDAP's FAQ
    ("md5", "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==", b"secret"),  # openssl md5
    ("sha256", "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", b"secret"),
    ("ssha256", "{SSHA256}oBmrdHcA6OZEkkCLeXh71YAerbvhXz1qqwjrPsXmEtNzYWx0c2FsdA==", b"secret"),
    ("bcrypt", BCRYPT, b"U*U"),  # from crypt_blowfish
    ("bcrypt", BCRYPT.replace("$2a$", "$2y$"), b"U*U"),
    ("sha512-crypt", SHA512_CRYPT, "pässword".encode()),  # openssl passwd -6
    ("sha256-crypt", "$5$rounds=3000$wardgate$tJBFcYOcEwkSABuUWvBzWcMTkn8In1Gx1CVuXPGwNU2", "pässword".encode()),
    ("sha256-crypt", "$5$wardgate$dyF/p5h5K4Oo6IjlNCp6BJmuUPabY2JWwXicMQsxFIA", b"secret"),
    ("pbkdf2", PBKDF2, b"passwd"),
    ("scrypt", SCRYPT, b"password"),
    ("argon2i", ARGON2I, b"secret"),
    ("argon2id", ARGON2ID, b"secret"),
]


@pytest.mark.parametrize(("scheme", "stored", "password"), VECTORS)
def test_a_right_password_is_recognised(scheme: str, stored: str, password: bytes) -> None:
    found = scheme_of(stored)

    assert found is not None
    assert found[0].name == scheme
    assert check(stored, password)


@pytest.mark.parametrize(("scheme", "stored", "password"), VECTORS)
def test_a_wrong_password_is_refused(scheme: str, stored: str, password: bytes) -> None:
    for wrong in (password[:-1], password + b"x", password.upper() if password.lower() == password else password.lower(), b""):
        assert not check(stored, wrong)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("{ssha}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", SSHA),
        (f" {SSHA}\n", SSHA),
        ("{CRYPT}" + SHA512_CRYPT, SHA512_CRYPT),
        ("{SHA512-CRYPT}" + SHA512_CRYPT, SHA512_CRYPT),
        ("{BLF-CRYPT}" + BCRYPT, BCRYPT),
        ("{ARGON2}" + ARGON2ID, ARGON2ID),
        ("bcrypt$" + BCRYPT, BCRYPT),
        ("argon2" + ARGON2ID, ARGON2ID),
    ],
)
def test_a_wrapped_hash_is_taken_over_without_its_wrapper(given: str, kept: str) -> None:
    assert adopt(given) == kept


@pytest.mark.parametrize(
    "expensive",
    [
        BCRYPT.replace("$05$", "$15$"),
        BCRYPT.replace("$05$", "$31$"),
        "$6$rounds=1000001$wardgate$" + "a" * 86,
        "$5$rounds=999999999$wardgate$" + "a" * 43,
        PBKDF2.replace("$1$", "$3000001$"),
        SCRYPT.replace("$1024$", "$1048576$"),
        SCRYPT.replace("$8$16$", "$8$1024$"),
        ARGON2ID.replace("m=256", "m=4194304"),
        ARGON2ID.replace("m=256,t=2", "m=131072,t=100"),
        ARGON2ID.replace("t=2", "t=999999"),
        ARGON2ID.replace("p=2", "p=32"),
    ],
)
def test_a_hash_that_would_burn_minutes_or_gigabytes_is_refused_and_never_computed(expensive: str) -> None:
    with pytest.raises(HashRefused):
        adopt(expensive)
    # Even if it came into the database some other way; the suite would not end if this were computed.
    assert not check(expensive, b"secret")


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "secret",
        "{CLEARTEXT}secret",
        "{SSHA}",
        "{SSHA}abcd",
        "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",  # no salt
        "{SHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3",  # a salt where there is none
        "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac",  # not a whole number of base64 quanta
        "{SSHA}" + "A" * 4000,
        "{CRYPT}ab01FAX.bQRSU",  # DES
        "$1$abcdefgh$G4ew0XV9M7vWVwWhE4b0A/",  # MD5-crypt
        "$2b$05$short",
        "$2x$05$" + "a" * 53,
        "$6$rounds=10$wardgate$" + "a" * 86,
        "pbkdf2_md5$1000$salt$aaaa",
        "pbkdf2_sha256$1000$salt$aaaa",
        "scrypt$1000$NaCl$8$1$" + base64.b64encode(SCRYPT_DIGEST).decode(),  # N is no power of two
        "scrypt$0$NaCl$8$1$" + base64.b64encode(SCRYPT_DIGEST).decode(),
        ARGON2ID.replace("argon2id", "argon2d"),
        ARGON2ID.replace("m=256", "m=4"),
        "bcrypt_sha256$" + BCRYPT,
    ],
)
def test_a_broken_or_unknown_hash_is_refused_and_verifies_nothing(broken: str) -> None:
    with pytest.raises(HashRefused) as refused:
        adopt(broken)
    assert not broken or broken not in refused.value.message
    for password in (b"", b"secret"):
        assert not check(broken, password)


def test_bcrypt_reads_72_bytes_as_everybody_else_does() -> None:
    import bcrypt

    stored = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()

    assert check(stored, b"a" * 100)
    assert not check(stored, b"a" * 71)


def test_a_password_with_nul_is_not_taken_for_another() -> None:
    assert not check(SHA512_CRYPT, "pässword".encode() + b"\0x")
    assert not check(BCRYPT, b"U*U\0x")
    # bcrypt repeats the password and its closing NUL to fill its key, so these would fill it alike.
    assert not check(BCRYPT, b"U*U\0U*U")


def test_a_latin_1_password_is_checked_as_its_bytes() -> None:
    salt = b"12345678"
    import hashlib

    stored = "{SSHA512}" + base64.b64encode(hashlib.sha512("şifreÿ".encode("latin-1", "replace") + salt).digest() + salt).decode()

    assert check(adopt(stored), b"?ifre\xff")
