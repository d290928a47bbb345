"""Password hashes made by others: what is recognised, what is taken over, and how one is checked. Pure; no I/O.

This is the one place for weak hashes (unsalted and salted MD5 and SHA, short crypt). They come in by import only, are
replaced by Argon2id at the first right password, and `wardgate check` counts those that are left. Whatever is not on this
list, or asks for more work than the limits below, does not verify, so that no file can make one login burn minutes or
gigabytes. `wardgate.passwords` runs the checks in its threads.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import bcrypt
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import Type, error_to_str, verify_secret

from wardgate.crypto import same
from wardgate.errors import Overloaded, UsageError

MAX_HASH_CHARS = 1024
MAX_SALT_BYTES = 64
# Each of these bounds one check to about a second on a small machine.
MAX_BCRYPT_COST = 14
MAX_CRYPT_ROUNDS = 1_000_000
MAX_PBKDF2_ITERATIONS = 3_000_000
MAX_ARGON2_MEMORY_KIB = 256 * 1024
MAX_ARGON2_WORK_KIB = 1024 * 1024
MAX_ARGON2_LANES = 16
MAX_SCRYPT_MEMORY_BYTES = 128 * 1024 * 1024
MAX_SCRYPT_WORK_BYTES = 512 * 1024 * 1024
BCRYPT_BYTES = 72
CRYPT_DEFAULT_ROUNDS = 5000

Parts = re.Match[str]


class HashRefused(UsageError):
    """A hash that is not taken over: an unknown form, broken, or too costly to check. The message does not hold the hash."""

    code = "hash_refused"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One form of hash. `problem` says why these parts cannot be used, None when they can."""

    name: str
    weak: bool
    pattern: re.Pattern[str]
    problem: Callable[[Parts], str | None]
    check: Callable[[Parts, bytes], bool]


# --- {SSHA} and its family, RFC 2307 section 5.3 and OpenLDAP's salted forms --------------------------------------------

_LDAP_DIGESTS = {"MD5": "md5", "SHA": "sha1", "SHA256": "sha256", "SHA384": "sha384", "SHA512": "sha512"}


def _ldap_digest(parts: Parts) -> tuple[str, bytes, bytes]:
    """Algorithm, digest and salt; the salt follows the digest inside the base64."""
    algorithm = _LDAP_DIGESTS[parts["algorithm"].upper()]
    value = base64.b64decode(parts["value"], validate=True)
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    return algorithm, value[:size], value[size:]


def _ldap_problem(parts: Parts) -> str | None:
    try:
        algorithm, digest, salt = _ldap_digest(parts)
    except binascii.Error:
        return "its value is not base64"
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        return "its value is too short"
    if parts["salted"] and not 1 <= len(salt) <= MAX_SALT_BYTES:
        return f"its salt is not 1 to {MAX_SALT_BYTES} bytes"
    if not parts["salted"] and salt:
        return "its value is too long"
    return None


def _ldap_check(parts: Parts, password: bytes) -> bool:
    algorithm, digest, salt = _ldap_digest(parts)
    return same(hashlib.new(algorithm, password + salt, usedforsecurity=False).digest(), digest)


def _ldap_scheme(algorithm: str, salted: bool) -> Scheme:
    name = f"S{algorithm}" if salted else algorithm
    pattern = re.compile(rf"\{{(?P<salted>{'S' if salted else ''})(?P<algorithm>{algorithm})\}}(?P<value>[A-Za-z0-9+/]+=*)", re.I)
    # Even SHA-512 once over is weak: it is made to be fast.
    return Scheme(name.lower(), True, pattern, _ldap_problem, _ldap_check)


# --- bcrypt ------------------------------------------------------------------------------------------------------------


def _bcrypt_problem(parts: Parts) -> str | None:
    cost = int(parts["cost"])
    if not 4 <= cost <= MAX_BCRYPT_COST:
        return f"its cost is not 4 to {MAX_BCRYPT_COST}"
    return None


def _bcrypt_check(parts: Parts, password: bytes) -> bool:
    # The others stop at NUL and cut at 72 bytes. A NUL cannot be in a password that they took, so it is not right here
    # either; cutting must be done as they did, or a long password would stop to work.
    if b"\0" in password:
        return False
    # $2y$ is PHP's name for what is called $2b$ elsewhere.
    stored = f"$2b${parts['cost']}${parts['rest']}" if parts["kind"] == "2y" else parts[0]
    try:
        return bcrypt.checkpw(password[:BCRYPT_BYTES], stored.encode())
    except ValueError:
        return False


# --- crypt(3) $5$ and $6$ ----------------------------------------------------------------------------------------------


def _crypt_problem(parts: Parts) -> str | None:
    rounds = int(parts["rounds"] or CRYPT_DEFAULT_ROUNDS)
    if not 1000 <= rounds <= MAX_CRYPT_ROUNDS:
        return f"its rounds are not 1,000 to {MAX_CRYPT_ROUNDS:,}"
    return None


def _crypt_check(parts: Parts, password: bytes) -> bool:
    # Imported here: it costs 60 ms, and few installations ever meet such a hash.
    from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt

    if b"\0" in password:
        return False
    handler = sha512_crypt if parts["kind"] == "6" else sha256_crypt
    try:
        return bool(handler.verify(password, parts[0]))
    except ValueError:
        return False


# --- Django's PBKDF2 and scrypt ------------------------------------------------------------------------------------------

_PBKDF2_DIGESTS = {"sha1": "sha1", "sha256": "sha256", "sha512": "sha512"}


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _pbkdf2_problem(parts: Parts) -> str | None:
    if not 1 <= int(parts["iterations"]) <= MAX_PBKDF2_ITERATIONS:
        return f"its iterations are not 1 to {MAX_PBKDF2_ITERATIONS:,}"
    value = _decoded(parts["value"])
    if value is None or len(value) != hashlib.new(_PBKDF2_DIGESTS[parts["digest"]]).digest_size:
        return "its value is not base64 of the digest's length"
    return None


def _pbkdf2_check(parts: Parts, password: bytes) -> bool:
    digest = _PBKDF2_DIGESTS[parts["digest"]]
    made = hashlib.pbkdf2_hmac(digest, password, parts["salt"].encode(), int(parts["iterations"]))
    return same(made, _decoded(parts["value"]) or b"")


def _scrypt_problem(parts: Parts) -> str | None:
    n, r, p = int(parts["n"]), int(parts["r"]), int(parts["p"])
    if n < 2 or n & (n - 1) or r < 1 or p < 1:
        return "its parameters are not valid"
    memory = 128 * n * r
    if memory > MAX_SCRYPT_MEMORY_BYTES or memory * p > MAX_SCRYPT_WORK_BYTES:
        return "it needs too much memory or time to check"
    value = _decoded(parts["value"])
    if value is None or not 16 <= len(value) <= 64:
        return "its value is not base64 of 16 to 64 bytes"
    return None


def _scrypt_check(parts: Parts, password: bytes) -> bool:
    n, r, p = int(parts["n"]), int(parts["r"]), int(parts["p"])
    value = _decoded(parts["value"]) or b""
    # OpenSSL counts a little more than the vectors themselves against `maxmem`.
    made = hashlib.scrypt(
        password,
        salt=parts["salt"].encode(),
        n=n,
        r=r,
        p=p,
        maxmem=128 * r * (n + p + 2) + (1 << 20),
        dklen=len(value),
    )
    return same(made, value)


# --- Argon2 with other parameters ------------------------------------------------------------------------------------------

# ARGON2_MEMORY_ALLOCATION_ERROR and ARGON2_THREAD_FAIL of its C interface.
_ARGON2_EXHAUSTED = (error_to_str(-22), error_to_str(-33))


def _argon2_problem(parts: Parts) -> str | None:
    memory, time_cost, lanes = int(parts["memory"]), int(parts["time"]), int(parts["lanes"])
    if not 1 <= lanes <= MAX_ARGON2_LANES or time_cost < 1 or memory < 8 * lanes:
        return "its parameters are not valid"
    if memory > MAX_ARGON2_MEMORY_KIB or memory * time_cost > MAX_ARGON2_WORK_KIB:
        return "it needs too much memory or time to check"
    return None


def _argon2_check(parts: Parts, password: bytes) -> bool:
    try:
        return verify_secret(parts[0].encode(), password, Type.ID if parts["kind"] == "id" else Type.I)
    except (Argon2Error, InvalidHashError) as error:
        # Out of memory or threads says nothing about the password and must not count as a wrong one.
        if str(error) in _ARGON2_EXHAUSTED:
            raise Overloaded("no memory to check a password hash") from error
        return False


def _argon2_scheme(kind: str) -> Scheme:
    pattern = re.compile(
        rf"\$argon2(?P<kind>{kind})\$v=19\$m=(?P<memory>\d{{1,8}}),t=(?P<time>\d{{1,6}}),p=(?P<lanes>\d{{1,3}})"
        r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
    )
    return Scheme(f"argon2{kind}", False, pattern, _argon2_problem, _argon2_check)


# --- the list ------------------------------------------------------------------------------------------------------------

SCHEMES: tuple[Scheme, ...] = (
    _argon2_scheme("id"),
    _argon2_scheme("i"),
    *(_ldap_scheme(algorithm, salted) for algorithm in _LDAP_DIGESTS for salted in (True, False)),
    Scheme(
        "bcrypt",
        False,
        re.compile(r"\$(?P<kind>2[aby])\$(?P<cost>\d{2})\$(?P<rest>[./A-Za-z0-9]{53})"),
        _bcrypt_problem,
        _bcrypt_check,
    ),
    *(
        Scheme(
            name,
            False,
            re.compile(
                rf"\$(?P<kind>{kind})\$(?:rounds=(?P<rounds>[1-9]\d{{0,9}})\$)?[^$:\s\0-\x1f]{{0,16}}\$[./A-Za-z0-9]{{{chars}}}"
            ),
            _crypt_problem,
            _crypt_check,
        )
        for name, kind, chars in (("sha512-crypt", "6", 86), ("sha256-crypt", "5", 43))
    ),
    Scheme(
        "pbkdf2",
        False,
        re.compile(
            r"pbkdf2_(?P<digest>sha1|sha256|sha512)\$(?P<iterations>[1-9]\d{0,9})\$(?P<salt>[^$]{1,128})\$(?P<value>[A-Za-z0-9+/]+=*)"
        ),
        _pbkdf2_problem,
        _pbkdf2_check,
    ),
    Scheme(
        "scrypt",
        False,
        re.compile(r"scrypt\$(?P<n>\d{1,9})\$(?P<salt>[^$]{1,128})\$(?P<r>\d{1,4})\$(?P<p>\d{1,4})\$(?P<value>[A-Za-z0-9+/]+=*)"),
        _scrypt_problem,
        _scrypt_check,
    ),
)

# What others put before a hash that stands for itself: OpenLDAP and Dovecot, Django.
_WRAPPER = re.compile(
    r"\{(?:CRYPT|ARGON2|ARGON2ID|BCRYPT|BLF-CRYPT|SHA256-CRYPT|SHA512-CRYPT)\}"
    r"|bcrypt\$(?=\$2)|argon2(?=\$argon2)",
    re.IGNORECASE,
)


def scheme_of(stored: str) -> tuple[Scheme, Parts] | None:
    """The scheme that a stored hash is written in and its parts, whatever it would cost to check."""
    if len(stored) > MAX_HASH_CHARS:
        return None
    for scheme in SCHEMES:
        parts = scheme.pattern.fullmatch(stored)
        if parts is not None:
            return scheme, parts
    return None


# What the patterns call the parameters that decide how long a check takes.
_COSTS = ("kind", "cost", "rounds", "digest", "iterations", "memory", "time", "lanes", "n", "r", "p")


def form_of(stored: str) -> str | None:
    """What decides how long a check of this hash takes, scheme and parameters, as a key; None for an unknown form."""
    found = scheme_of(stored)
    if found is None:
        return None
    scheme, parts = found
    return " ".join([scheme.name, *(f"{name}={value}" for name, value in parts.groupdict().items() if name in _COSTS)])


def wrapper_of(text: str) -> str:
    """What its keeper put before the hash proper, such as `{CRYPT}`; empty for most."""
    wrapper = _WRAPPER.match(text)
    return wrapper[0] if wrapper is not None else ""


def adopt(text: str) -> str:
    """The form in which a hash from elsewhere is stored. Raises HashRefused with the reason."""
    stored = text.strip()
    stored = stored[len(wrapper_of(stored)) :]
    if stored.startswith("{"):
        head, brace, value = stored.partition("}")
        stored = head.upper() + brace + value
    found = scheme_of(stored)
    if found is None:
        raise HashRefused("the password hash has a form that is not known here")
    scheme, parts = found
    problem = scheme.problem(parts)
    if problem is not None:
        raise HashRefused(f"the {scheme.name} password hash is refused: {problem}")
    return stored


def check(stored: str, password: bytes) -> bool:
    """True when the password belongs to the hash; False for a hash that `adopt` would refuse. Blocks for its cost."""
    found = scheme_of(stored)
    if found is None:
        return False
    scheme, parts = found
    return scheme.problem(parts) is None and scheme.check(parts, password)
