"""Seeds of hardware tokens as their makers deliver them: PSKC (RFC 6030) and CSV.

Both are read where the operator is, not in the server: keys and passwords of such a file never travel. What is wrong with one token
is told by its place and never by its content, and does not stop the others; a file that is none is refused as a whole.
"""

import base64
import binascii
import csv
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree
from xml.parsers import expat

from cryptography.hazmat.primitives import hashes, keywrap, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from wardgate.account.token import MAX_MODEL_CHARS, serial_of
from wardgate.admin import fields
from wardgate.crypto import Secret
from wardgate.errors import UsageError
from wardgate.factors.totp import ALGORITHMS, DEFAULT_ALGORITHM, DEFAULT_DIGITS, DEFAULT_PERIOD_S, DIGITS, PERIODS_S

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
MAX_TOKENS: Final = 100_000
MAX_ROW_BYTES: Final = 4_096
# What a password of a file may cost to try, and what is too little to keep anybody out (RFC 6030 section 6.2 gives 1,000).
MAX_ITERATIONS: Final = 5_000_000
MAX_COUNTER: Final = 2**53
KINDS: Final = ("hotp", "totp")
KEY_BYTES: Final = (16, 24, 32)
COLUMNS: Final = ("serial", "kind", "secret", "digits", "period", "algorithm", "counter", "model")
# What other programs call them.
_ALSO: Final = {"type": "kind", "seed": "secret", "key": "secret", "interval": "period", "timestep": "period", "otplen": "digits"}
_DELIMITERS: Final = ",;\t"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Seed:
    """One token as its maker describes it. `counter`: the next one of an HOTP token; of a TOTP token 0."""

    serial: str
    kind: str
    secret: Secret
    digits: int = DEFAULT_DIGITS
    period_s: int = DEFAULT_PERIOD_S
    algorithm: str = DEFAULT_ALGORITHM
    counter: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a token was not read. `place`: the line of a CSV file, the number of the key in a PSKC file."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class SeedFile:
    """What a file holds."""

    seeds: tuple[tuple[int, Seed], ...]
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Reading:
    seeds: list[tuple[int, Seed]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def take(self, place: int, read: Callable[[], Seed]) -> None:
        """Read one token, or note why not."""
        if len(self.seeds) + len(self.problems) >= MAX_TOKENS:
            raise UsageError(f"the file holds more than {MAX_TOKENS} tokens: divide it")
        try:
            self.seeds.append((place, read()))
        except UsageError as error:
            self.problems.append(Problem(place, error.message))

    def done(self) -> SeedFile:
        return SeedFile(tuple(self.seeds), tuple(self.problems))


def read_seeds(raw: bytes, key: Secret | None = None, password: Secret | None = None) -> SeedFile:
    """Read a file of either kind. `key`, `password`: what a PSKC file's secrets are encrypted with. Raises UsageError."""
    if len(raw) > MAX_FILE_BYTES:
        raise UsageError(f"the file is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB: divide it")
    if raw.removeprefix(_BOM).lstrip().startswith(b"<"):
        return read_pskc(raw, key, password)
    if key is not None or password is not None:
        raise UsageError("a CSV file is not encrypted: leave the key and the password out")
    return read_csv(raw)


# --- CSV -----------------------------------------------------------------------------------------------------------------


def read_csv(raw: bytes) -> SeedFile:
    """A list with a header row. Raises UsageError when it is none."""
    header, *lines = raw.removeprefix(_BOM).split(b"\n")
    columns, delimiter = _header(header)
    reading = _Reading()
    for number, line in enumerate(lines, start=2):
        if line.strip():
            reading.take(number, lambda line=line: _csv_seed(line, columns, delimiter))  # type: ignore[misc]
    return reading.done()


def _header(raw: bytes) -> tuple[tuple[str, ...], str]:
    if len(raw) > MAX_ROW_BYTES:
        raise UsageError(f"the header row is longer than {MAX_ROW_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UsageError("the header row is not UTF-8; save the file as CSV UTF-8") from None
    delimiter = max(_DELIMITERS, key=text.count)
    names = [name.strip().strip('"').lower() for name in text.strip().split(delimiter)]
    columns = tuple(_ALSO.get(name, name) for name in names)
    known = [name for name in columns if name in COLUMNS]
    if len(set(known)) != len(known) or not {"serial", "secret"} <= set(known):
        raise UsageError(f"the header row must name serial and secret, each once; besides them: {', '.join(COLUMNS[1:])}")
    return columns, delimiter


def _csv_seed(line: bytes, columns: Sequence[str], delimiter: str) -> Seed:
    if len(line) > MAX_ROW_BYTES:
        raise UsageError(f"longer than {MAX_ROW_BYTES} bytes")
    try:
        [cells] = csv.reader([line.decode().rstrip("\r")], delimiter=delimiter, strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        raise UsageError("not CSV in UTF-8") from None
    if len(cells) != len(columns):
        raise UsageError(f"{len(cells)} cells under {len(columns)} columns")
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True) if cell.strip()}
    return checked(
        serial=row.get("serial", ""),
        kind=row.get("kind", "totp").lower(),
        secret=_written(row.get("secret", "")),
        digits=_number("digits", row.get("digits"), DEFAULT_DIGITS),
        period_s=_number("period", row.get("period"), DEFAULT_PERIOD_S),
        algorithm=row.get("algorithm", DEFAULT_ALGORITHM),
        counter=_number("counter", row.get("counter"), 0),
        model=row.get("model", ""),
    )


def _written(text: str) -> bytes:
    """A secret in hexadecimal, or in Base32 as apps know it. What could be either is hexadecimal, as makers write it."""
    packed = re.sub(r"[\s-]", "", text)
    if len(packed) % 2 == 0 and re.fullmatch(r"[0-9A-Fa-f]+", packed):
        return bytes.fromhex(packed)
    stripped = packed.rstrip("=").upper()
    try:
        return base64.b32decode(stripped + "=" * (-len(stripped) % 8))
    except binascii.Error:
        raise UsageError("secret: neither hexadecimal nor Base32") from None


def _number(name: str, text: str | None, default: int) -> int:
    if text is None or not text.strip():
        return default
    if not re.fullmatch(r"[0-9]{1,16}", text.strip()):
        raise UsageError(f"{name}: not a number")
    return int(text)


def checked(
    *,
    serial: str,
    kind: str,
    secret: bytes,
    digits: int = DEFAULT_DIGITS,
    period_s: int = DEFAULT_PERIOD_S,
    algorithm: str = DEFAULT_ALGORITHM,
    counter: int = 0,
    model: str = "",
) -> Seed:
    """A seed whose every value is one that a login can use. Raises UsageError, which repeats none of them."""
    if kind not in KINDS:
        raise UsageError("kind: totp or hotp")
    if not fields.MIN_SECRET_BYTES <= len(secret) <= fields.MAX_SECRET_BYTES:
        raise UsageError(f"secret: {fields.MIN_SECRET_BYTES} to {fields.MAX_SECRET_BYTES} bytes")
    if digits not in DIGITS:
        raise UsageError(f"digits: {DIGITS[0]} to {DIGITS[-1]}")
    name = algorithm.upper().replace("-", "").removeprefix("HMAC")
    if name not in ALGORITHMS or (kind == "hotp" and name != DEFAULT_ALGORITHM):
        raise UsageError("algorithm: SHA1 of an HOTP token; SHA1, SHA256 or SHA512 of a TOTP token")
    if kind == "totp" and period_s not in PERIODS_S:
        raise UsageError(f"period: {' or '.join(map(str, PERIODS_S))} seconds")
    if not 0 <= counter <= MAX_COUNTER:
        raise UsageError(f"counter: 0 to {MAX_COUNTER}")
    # The counter of a TOTP token is the last step that was used, which its maker cannot know.
    start = counter if kind == "hotp" else 0
    described = fields.label(model[:MAX_MODEL_CHARS])
    return Seed(serial_of(serial), kind, Secret(secret), digits, period_s, name, start, described)


# --- PSKC (RFC 6030) -----------------------------------------------------------------------------------------------------

_PSKC: Final = "{urn:ietf:params:xml:ns:keyprov:pskc}"
_ENC: Final = "{http://www.w3.org/2001/04/xmlenc#}"
_ENC11: Final = "{http://www.w3.org/2009/xmlenc11#}"
_KINDS: Final = {"urn:ietf:params:xml:ns:keyprov:pskc:hotp": "hotp", "urn:ietf:params:xml:ns:keyprov:pskc:totp": "totp"}
_XMLENC: Final = "http://www.w3.org/2001/04/xmlenc#"
_CBC: Final = {f"{_XMLENC}aes{bits}-cbc": bits // 8 for bits in (128, 192, 256)}
_WRAP: Final = {f"{_XMLENC}kw-aes{bits}": bits // 8 for bits in (128, 192, 256)}
_MACS: Final[Mapping[str, str]] = {
    "http://www.w3.org/2000/09/xmldsig#hmac-sha1": "sha1",
    "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512": "sha512",
}
_PRFS: Final[Mapping[str, Callable[[], hashes.HashAlgorithm]]] = {
    "": hashes.SHA1,
    "http://www.w3.org/2000/09/xmldsig#hmac-sha1": hashes.SHA1,
    "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512": hashes.SHA512,
}
_PBKDF2: Final = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf2"
_WRONG_KEY: Final = "its secret does not open: the key or the password is another one, or the file was changed"


@dataclass(frozen=True, slots=True)
class _Vault:
    """What opens a file's encrypted values. `mac`: the function and its key; without it nothing encrypted by CBC is taken."""

    key: bytes | None
    mac: tuple[str, bytes] | None = None


def read_pskc(raw: bytes, key: Secret | None = None, password: Secret | None = None) -> SeedFile:
    """A key container, its secrets in clear, under a key (RFC 6030 section 6.1) or a password (6.2). Raises UsageError."""
    root = _parsed(raw)
    if root.tag != f"{_PSKC}KeyContainer":
        raise UsageError("this XML file is no PSKC key container of RFC 6030")
    vault = _vault(root, key, password)
    reading = _Reading()
    for number, package in enumerate(root.iterfind(f"{_PSKC}KeyPackage"), start=1):
        reading.take(number, lambda package=package: _pskc_seed(package, vault))  # type: ignore[misc]
    return reading.done()


def _parsed(raw: bytes) -> ElementTree.Element:
    """The tree. A document type is refused before anything is built: it could name files and entities without end."""
    watch = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise UsageError("the file declares a document type, which no PSKC file needs")

    watch.StartDoctypeDeclHandler = refuse
    try:
        watch.Parse(raw, True)
        return ElementTree.fromstring(raw)  # noqa: S314 - without a document type there is no entity to expand
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise UsageError(f"the file is not well-formed XML: {error}") from None


def _vault(root: ElementTree.Element, key: Secret | None, password: Secret | None) -> _Vault:
    wrapped = root.find(f"{_PSKC}EncryptionKey")
    if wrapped is None:
        if key is not None or password is not None:
            raise UsageError("the file's secrets are not encrypted: leave the key and the password out")
        return _Vault(None)
    derived = next((each for each in wrapped if each.tag.endswith("}DerivedKey")), None)
    if derived is not None and password is None:
        raise UsageError("the file's secrets are encrypted with a password: give it by --password-stdin")
    if derived is None and key is None:
        raise UsageError("the file's secrets are encrypted with a key of its maker's: give it by --key-stdin, in hexadecimal")
    opened = _derived(derived, password) if derived is not None and password is not None else (key or Secret("")).reveal()
    if len(opened) not in KEY_BYTES:
        raise UsageError("the key has 16, 24 or 32 bytes, in hexadecimal 32, 48 or 64 characters")
    method = root.find(f"{_PSKC}MACMethod")
    if method is None:
        return _Vault(opened)
    name = _MACS.get(method.get("Algorithm", ""))
    if name is None:
        raise UsageError("the file's MAC method is none of HMAC-SHA-1, HMAC-SHA-256 and HMAC-SHA-512")
    sealed = method.find(f"{_PSKC}MACKey")
    # Without a key of its own the MAC is made with the encryption key (RFC 6030 section 6.1.1).
    return _Vault(opened, (name, opened if sealed is None else _decrypted(sealed, opened)))


def _derived(derived: ElementTree.Element, password: Secret) -> bytes:
    """The key that a password makes (RFC 6030 section 6.2, RFC 8018 section 5.2)."""
    method = next((each for each in derived if each.tag.endswith("}KeyDerivationMethod")), None)
    if method is None or method.get("Algorithm", "") not in (_PBKDF2, f"{_ENC11[1:-1]}pbkdf2"):
        raise UsageError("the file's key is derived by another method than PBKDF2")
    salt = _inside(method, "Specified")
    rounds, length = _number("IterationCount", _inside(method, "IterationCount"), 0), _inside(method, "KeyLength")
    prf = next((each.get("Algorithm", "") for each in method.iter() if each.tag.rpartition("}")[2] == "PRF"), "")
    if prf not in _PRFS or not 1 <= rounds <= MAX_ITERATIONS:
        raise UsageError(f"PBKDF2: 1 to {MAX_ITERATIONS} iterations of HMAC-SHA-1, HMAC-SHA-256 or HMAC-SHA-512")
    size = _number("KeyLength", length, 16)
    if size not in KEY_BYTES:
        raise UsageError("PBKDF2: KeyLength is 16, 24 or 32")
    return PBKDF2HMAC(_PRFS[prf](), size, _base64(salt), rounds).derive(password.reveal())


def _decrypted(parent: ElementTree.Element, key: bytes) -> bytes:
    """The value in clear of an element that holds xenc:CipherData. Raises UsageError."""
    method, value = parent.find(f".//{_ENC}EncryptionMethod"), parent.find(f".//{_ENC}CipherValue")
    algorithm = method.get("Algorithm", "") if method is not None else ""
    raw = _base64(value.text if value is not None else None)
    if len(key) != (_CBC | _WRAP).get(algorithm, len(key)):
        raise UsageError(_WRONG_KEY)
    try:
        if algorithm in _WRAP:
            return keywrap.aes_key_unwrap(key, raw)
        if algorithm in _CBC:
            opener = Cipher(algorithms.AES(key), modes.CBC(raw[:16])).decryptor()
            unpadder = padding.PKCS7(128).unpadder()
            return unpadder.update(opener.update(raw[16:]) + opener.finalize()) + unpadder.finalize()
    except (ValueError, keywrap.InvalidUnwrap):
        raise UsageError(_WRONG_KEY) from None
    raise UsageError("encrypted by another method than AES-CBC or AES key wrap")


def _pskc_seed(package: ElementTree.Element, vault: _Vault) -> Seed:
    found = package.find(f"{_PSKC}Key")
    if found is None:
        raise UsageError("a package without a key")
    kind = _KINDS.get(found.get("Algorithm", ""))
    if kind is None:
        raise UsageError("neither an HOTP nor a TOTP key")
    form, suite = found.find(f".//{_PSKC}ResponseFormat"), _inside(found, "Suite") or DEFAULT_ALGORITHM
    if form is not None and form.get("Encoding", "DECIMAL") != "DECIMAL":
        raise UsageError("codes that are not digits")
    data = found.find(f"{_PSKC}Data")
    if data is None:
        raise UsageError("a key without its secret")
    return checked(
        serial=_inside(package, "SerialNo") or found.get("Id", ""),
        kind=kind,
        secret=_value(data, "Secret", vault),
        digits=_number("Length", form.get("Length") if form is not None else None, DEFAULT_DIGITS),
        period_s=_whole(data, "TimeInterval", vault, DEFAULT_PERIOD_S),
        algorithm=suite,
        counter=_whole(data, "Counter", vault, 0),
        model=" ".join(filter(None, (_inside(package, "Manufacturer").removeprefix("oath."), _inside(package, "Model")))),
    )


def _value(data: ElementTree.Element, name: str, vault: _Vault) -> bytes:
    element = data.find(f"{_PSKC}{name}")
    if element is None:
        raise UsageError(f"a key without its {name.lower()}")
    plain = element.find(f"{_PSKC}PlainValue")
    if plain is not None:
        return _base64(plain.text)
    sealed = element.find(f"{_PSKC}EncryptedValue")
    if sealed is None or vault.key is None:
        raise UsageError("encrypted, but the file does not say how")
    _check_mac(element, sealed, vault)
    return _decrypted(sealed, vault.key)


def _check_mac(element: ElementTree.Element, sealed: ElementTree.Element, vault: _Vault) -> None:
    """The MAC over the encrypted bytes (RFC 6030 section 6.1.1). Key wrap proves itself; AES-CBC without a MAC proves nothing."""
    method = sealed.find(f"{_ENC}EncryptionMethod")
    if method is not None and method.get("Algorithm", "") in _WRAP:
        return
    told, cipher = element.find(f"{_PSKC}ValueMAC"), sealed.find(f".//{_ENC}CipherValue")
    if vault.mac is None or told is None or cipher is None:
        raise UsageError("encrypted without a MAC, so that nobody can tell whether it was changed")
    name, key = vault.mac
    if not hmac.compare_digest(hmac.digest(key, _base64(cipher.text), name), _base64(told.text)):
        raise UsageError(_WRONG_KEY)


def _whole(data: ElementTree.Element, name: str, vault: _Vault, default: int) -> int:
    """A number in clear, or an encrypted one, which is big-endian octets (RFC 6030 section 4.2)."""
    element = data.find(f"{_PSKC}{name}")
    if element is None:
        return default
    plain = element.find(f"{_PSKC}PlainValue")
    if plain is not None:
        return _number(name, plain.text, default)
    return int.from_bytes(_value(data, name, vault)[:8], "big")


def _inside(element: ElementTree.Element, name: str) -> str:
    """The text of the first descendant of this local name."""
    return next((text for text in _texts(element, name)), "")


def _texts(element: ElementTree.Element, name: str) -> Iterator[str]:
    return ((each.text or "").strip() for each in element.iter() if each.tag.rpartition("}")[2] == name)


def _base64(text: str | None) -> bytes:
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)
    except binascii.Error:
        raise UsageError("a value that is not Base64") from None
