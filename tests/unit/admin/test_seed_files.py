"""Seeds as their makers deliver them: PSKC of RFC 6030 with its own figures, and CSV."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import keywrap
from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.admin import seed_files
from wardgate.admin.seed_files import Problem, Seed, read_seeds
from wardgate.crypto import Secret
from wardgate.errors import UsageError

SECRET = b"12345678901234567890"
KEY = Secret(bytes.fromhex("12345678901234567890123456789012"))
PASSWORD = Secret("qwerty")
HOTP = "urn:ietf:params:xml:ns:keyprov:pskc:hotp"
TOTP = "urn:ietf:params:xml:ns:keyprov:pskc:totp"
AES = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
HMAC = "http://www.w3.org/2000/09/xmldsig#hmac-sha1"
PBKDF2 = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf2"

# The encrypted values of RFC 6030, figures 6 and 7: the same seed under a key, and under a key made of the password "qwerty".
UNDER_KEY = ("AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv", "Su+NvtQfmvfJzF6bmQiJqoLRExc=")
MAC_UNDER_KEY = "ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX"
UNDER_PASSWORD = ("oTvo+S22nsmS2Z/RtcoF8Hfh+jzMe0RkiafpoDpnoZTjPYZu6V+A4aEn032yCr4f", "LP6xMvjtypbfT9PdkJhBZ+D6O4w=")
MAC_UNDER_PASSWORD = "2GTTnLwM3I4e5IO5FkufoOEiOhNj91fhKRQBtBJYluUDsPOLTfUvoU2dStyOwYZx"

NAMED_KEY = '<EncryptionKey><ds:KeyName xmlns:ds="http://www.w3.org/2000/09/xmldsig#">Pre-shared-key</ds:KeyName></EncryptionKey>'
DERIVED_KEY = f"""<EncryptionKey><xenc11:DerivedKey xmlns:xenc11="http://www.w3.org/2009/xmlenc11#">
<xenc11:KeyDerivationMethod Algorithm="{PBKDF2}"><p:PBKDF2-params xmlns:p="http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#">
<Salt><Specified>Ej7/PEpyEpw=</Specified></Salt><IterationCount>1000</IterationCount><KeyLength>16</KeyLength>
</p:PBKDF2-params></xenc11:KeyDerivationMethod></xenc11:DerivedKey></EncryptionKey>"""


def sealed(value: str, algorithm: str = AES) -> str:
    return (
        f'<xenc:EncryptionMethod Algorithm="{algorithm}"/>'
        f"<xenc:CipherData><xenc:CipherValue>{value}</xenc:CipherValue></xenc:CipherData>"
    )


def secret_of(value: tuple[str, str], algorithm: str = AES) -> str:
    mac = f"<ValueMAC>{value[1]}</ValueMAC>" if value[1] else ""
    return f"<EncryptedValue>{sealed(value[0], algorithm)}</EncryptedValue>{mac}"


def plain(value: bytes = SECRET) -> str:
    return f"<PlainValue>{base64.b64encode(value).decode()}</PlainValue>"


def package(
    secret: str | None = None, *, serial: str = "987654321", kind: str = HOTP, data: str = "", form: str = 'Length="8"'
) -> str:
    return f"""<KeyPackage><DeviceInfo><Manufacturer>oath.Maker</Manufacturer><Model>T1</Model><SerialNo>{serial}</SerialNo>
</DeviceInfo><Key Id="k" Algorithm="{kind}"><AlgorithmParameters><ResponseFormat {form} Encoding="DECIMAL"/></AlgorithmParameters>
<Data><Secret>{secret or plain()}</Secret>{data}</Data></Key></KeyPackage>"""


def container(*packages: str, head: str = "", mac: str = "") -> bytes:
    method = f'<MACMethod Algorithm="{HMAC}"><MACKey>{sealed(mac)}</MACKey></MACMethod>' if mac else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">
{head}{method}{"".join(packages)}</KeyContainer>""".encode()


def only(raw: bytes, key: Secret | None = None, password: Secret | None = None) -> Seed:
    read = read_seeds(raw, key, password)
    assert not read.problems
    [(place, seed)] = read.seeds
    assert place in (1, 2)
    return seed


def reason(raw: bytes, key: Secret | None = None, password: Secret | None = None) -> str:
    read = read_seeds(raw, key, password)
    assert not read.seeds
    [problem] = read.problems
    return problem.reason


# --- PSKC ----------------------------------------------------------------------------------------------------------------


def test_a_seed_in_clear_is_read() -> None:
    seed = only(container(package(data="<Counter><PlainValue>42</PlainValue></Counter>")))
    assert (seed.serial, seed.kind, seed.digits, seed.counter, seed.model) == ("987654321", "hotp", 8, 42, "Maker T1")
    assert seed.secret.reveal() == SECRET


def test_the_figures_of_rfc_6030_open_under_the_key() -> None:
    raw = container(package(secret_of(UNDER_KEY)), head=NAMED_KEY, mac=MAC_UNDER_KEY)
    assert only(raw, key=KEY).secret.reveal() == SECRET


def test_the_figures_of_rfc_6030_open_under_the_password() -> None:
    raw = container(package(secret_of(UNDER_PASSWORD)), head=DERIVED_KEY, mac=MAC_UNDER_PASSWORD)
    assert only(raw, password=PASSWORD).secret.reveal() == SECRET


def test_a_seed_under_key_wrap_opens() -> None:
    wrapped = base64.b64encode(keywrap.aes_key_wrap(KEY.reveal(), SECRET + b"1234")).decode()
    method = "http://www.w3.org/2001/04/xmlenc#kw-aes128"
    raw = container(package(secret_of((wrapped, ""), method)), head=NAMED_KEY)
    assert only(raw, key=KEY).secret.reveal() == SECRET + b"1234"
    assert "does not open" in reason(raw, key=Secret(bytes(16)))


def test_a_token_that_goes_by_time_is_read() -> None:
    data = "<TimeInterval><PlainValue>60</PlainValue></TimeInterval><Counter><PlainValue>7</PlainValue></Counter>"
    seed = only(container(package(kind=TOTP, data=data, form='Length="6"')))
    assert (seed.kind, seed.period_s, seed.digits, seed.counter, seed.algorithm) == ("totp", 60, 6, 0, "SHA1")


def test_a_changed_value_is_refused_by_its_mac() -> None:
    bent = UNDER_KEY[0].replace("AAEC", "AAED", 1)
    raw = container(package(secret_of((bent, UNDER_KEY[1]))), head=NAMED_KEY, mac=MAC_UNDER_KEY)
    assert "does not open" in reason(raw, key=KEY)


def test_a_value_without_a_mac_is_refused() -> None:
    raw = container(package(secret_of((UNDER_KEY[0], ""))), head=NAMED_KEY, mac=MAC_UNDER_KEY)
    assert "without a MAC" in reason(raw, key=KEY)
    assert "without a MAC" in reason(container(package(secret_of(UNDER_KEY)), head=NAMED_KEY), key=KEY)


def test_a_wrong_key_and_a_wrong_password_are_told() -> None:
    with pytest.raises(UsageError, match="does not open"):
        read_seeds(container(package(secret_of(UNDER_KEY)), head=NAMED_KEY, mac=MAC_UNDER_KEY), Secret(bytes(16)))
    with pytest.raises(UsageError, match="does not open"):
        read_seeds(container(package(secret_of(UNDER_PASSWORD)), head=DERIVED_KEY, mac=MAC_UNDER_PASSWORD), None, Secret("no"))


@pytest.mark.parametrize(
    ("raw", "key", "password", "told"),
    [
        (container(package(secret_of(UNDER_KEY)), head=NAMED_KEY, mac=MAC_UNDER_KEY), None, None, "--key-stdin"),
        (container(package(secret_of(UNDER_PASSWORD)), head=DERIVED_KEY, mac=MAC_UNDER_PASSWORD), None, None, "--password-stdin"),
        (container(package(secret_of(UNDER_KEY)), head=NAMED_KEY), Secret(b"short"), None, "16, 24 or 32 bytes"),
        (container(package()), KEY, None, "not encrypted"),
        (b"serial,secret\n", KEY, None, "not encrypted"),
        (b"<html/>", None, None, "no PSKC"),
        (b"<KeyContainer", None, None, "not well-formed"),
        (container(head=DERIVED_KEY.replace("1000<", "900000000<")), None, PASSWORD, "iterations"),
        (container(head=DERIVED_KEY.replace(">16<", ">1000000<")), None, PASSWORD, "KeyLength"),
        (container(head=DERIVED_KEY.replace("pbkdf2", "pbkdf1")), None, PASSWORD, "PBKDF2"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(raw: bytes, key: Secret | None, password: Secret | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_seeds(raw, key, password)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY leak SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
    ],
)
def test_entities_that_grow_or_read_files_are_refused(declared: str) -> None:
    head, rest = container(package()).decode().split("\n", 1)
    with pytest.raises(UsageError, match="document type"):
        read_seeds(f"{head}\n{declared}\n{rest}".encode())


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (package(serial=""), "987654321|serial"),
        (package(kind="urn:other"), "neither"),
        (package(form='Length="10"'), "digits"),
        (package(secret=plain(b"short")), "secret"),
        (package(secret="<PlainValue>%%%</PlainValue>"), "Base64"),
        (package(secret=secret_of(UNDER_KEY)), "does not say how"),
        (package(kind=TOTP, data="<TimeInterval><PlainValue>31</PlainValue></TimeInterval>"), "period"),
        (package(data="<Counter><PlainValue>-1</PlainValue></Counter>"), "number"),
        ("<KeyPackage/>", "without a key"),
    ],
)
def test_a_bad_token_does_not_stop_the_others(bad: str, told: str) -> None:
    read = read_seeds(container(package(serial="A1"), bad, package(serial="A2")))
    if "serial" in told:  # without a serial number its id is one
        assert [seed.serial for _, seed in read.seeds] == ["A1", "K", "A2"]
        return
    assert [(place, seed.serial) for place, seed in read.seeds] == [(1, "A1"), (3, "A2")]
    assert [problem.place for problem in read.problems] == [2]
    assert told in read.problems[0].reason


# --- CSV -----------------------------------------------------------------------------------------------------------------


def test_a_list_is_read_in_hexadecimal_and_base32() -> None:
    raw = b"""\xef\xbb\xbfserial;type;seed;otplen;interval;algorithm;model\r
ab 1;totp;3132333435363738393031323334353637383930;6;60;HMAC-SHA256;Blue\r
\r
ab2;hotp;GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ;8;;;\r
"""
    read = read_seeds(raw)
    assert read.problems == ()
    (first_line, first), (second_line, second) = read.seeds
    assert (first_line, first.serial, first.kind, first.period_s, first.algorithm, first.model) == (
        2,
        "AB1",
        "totp",
        60,
        "SHA256",
        "Blue",
    )
    assert (second_line, second.serial, second.kind, second.digits) == (4, "AB2", "hotp", 8)
    assert first.secret.reveal() == second.secret.reveal() == SECRET


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("A1,3132", "secret: 10 to 128 bytes"),
        ("A1,not hex!", "neither hexadecimal nor Base32"),
        (",3132333435363738393031", "serial"),
        ("A1", "1 cells under 2 columns"),
        ('"A1,3132', "not CSV"),
        ("A" * 65 + ",3132333435363738393031", "serial"),
        ("=A1,3132333435363738393031", "serial"),
        ("A1," + "31" * 3000, "longer than"),
    ],
)
def test_a_bad_row_is_told_by_its_line_and_never_by_its_content(row: str, told: str) -> None:
    read = read_seeds(f"serial,secret\n{row}\nA9,3132333435363738393031\n".encode())
    assert [seed.serial for _, seed in read.seeds] == ["A9"]
    [problem] = read.problems
    assert problem.place == 2
    assert told in problem.reason
    assert "3132" not in problem.reason


@pytest.mark.parametrize("header", [b"serial,name", b"secret", b"serial,secret,seed", b"\xff\xfe", b"a" * 5000])
def test_a_list_without_its_columns_is_refused(header: bytes) -> None:
    with pytest.raises(UsageError, match="header"):
        read_seeds(header + b"\nA1,31323334353637383930\n")


def test_a_file_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_files, "MAX_TOKENS", 2)
    row = b"A%d,3132333435363738393031\n"
    with pytest.raises(UsageError, match="more than 2 tokens"):
        read_seeds(b"serial,secret\n" + b"".join(row % number for number in range(3)))
    monkeypatch.setattr(seed_files, "MAX_FILE_BYTES", 10)
    with pytest.raises(UsageError, match="larger"):
        read_seeds(b"serial,secret\n" + row % 1)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=400), st.text(max_size=200).map(lambda text: container(package(), text).replace(b"12", text.encode()))
    )
)
def test_any_bytes_are_read_or_refused_in_words(raw: bytes) -> None:
    try:
        read = read_seeds(raw)
    except UsageError:
        return
    assert all(isinstance(problem, Problem) and problem.reason for problem in read.problems)


def test_the_example_of_the_manual_is_read() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tokens.md").read_text()
    example = page.split("```csv\n")[1].split("```")[0]
    assert len(read_seeds(example.encode()).seeds) == 2
