"""Password hashes in the forms that other programs read: for users in a table that such a program also logs in from. Pure.

Checking them is in `foreign_hashes`. Argon2id is made by `passwords`, with the parameters of this installation; whoever has the
choice chooses that. Each form here costs at least what is advised for it today, and as much as the hash that it replaces
where that cost more. `{SSHA}` is fast to guess whatever one does: it is written only where an operator asked for it by name, or
asked to keep what a row has. Blocks for the cost of the hash; `passwords.PasswordHasher.hash_as` runs it in its threads.
"""

import base64
import hashlib
import secrets
import string
from collections.abc import Callable, Mapping
from typing import Final

import bcrypt

from wardgate.errors import UsageError
from wardgate.foreign_hashes import (
    BCRYPT_BYTES,
    MAX_BCRYPT_COST,
    MAX_CRYPT_ROUNDS,
    MAX_PBKDF2_ITERATIONS,
    Parts,
    scheme_of,
    wrapper_of,
)

BCRYPT_COST: Final = 12
# The usual implementation of sha512-crypt needs about a microsecond a round.
CRYPT_ROUNDS: Final = 100_000
PBKDF2_ITERATIONS: Final[Mapping[str, int]] = {"sha1": 1_300_000, "sha256": 600_000, "sha512": 210_000}
# Django's own: 16 MiB.
SCRYPT_N: Final = 2**14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 5
SALT_BYTES: Final = 16
_ALPHABET: Final = string.ascii_letters + string.digits
_SALT_CHARS: Final = 22
_NUL: Final = "this form of hash takes no password with a NUL in it"


def _salt() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_CHARS))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bcrypt(password: bytes, like: Parts | None) -> str:
    if b"\0" in password:
        raise UsageError(_NUL)
    # What lies beyond would not count, and nobody would know.
    if len(password) > BCRYPT_BYTES:
        raise UsageError(f"with bcrypt a password has at most {BCRYPT_BYTES} bytes")
    cost = BCRYPT_COST if like is None else min(max(int(like["cost"]), BCRYPT_COST), MAX_BCRYPT_COST)
    made = bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()
    # The same algorithm under the name that the reader of this table knows; PHP does not know all of them.
    return made if like is None else f"${like['kind']}{made[3:]}"


def _crypt(password: bytes, like: Parts | None) -> str:
    # Imported here for the same reason as where they are checked: it takes long.
    from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt

    if b"\0" in password:
        raise UsageError(_NUL)
    handler = sha256_crypt if like is not None and like["kind"] == "5" else sha512_crypt
    rounds = CRYPT_ROUNDS if like is None else min(max(int(like["rounds"] or 0), CRYPT_ROUNDS), MAX_CRYPT_ROUNDS)
    return str(handler.using(rounds=rounds).hash(password))


def _pbkdf2(password: bytes, like: Parts | None) -> str:
    digest = "sha256" if like is None else like["digest"]
    least = PBKDF2_ITERATIONS[digest]
    iterations = least if like is None else min(max(int(like["iterations"]), least), MAX_PBKDF2_ITERATIONS)
    salt = _salt()
    made = hashlib.pbkdf2_hmac(digest, password, salt.encode(), iterations)
    return f"pbkdf2_{digest}${iterations}${salt}${_base64(made)}"


def _scrypt(password: bytes, like: Parts | None) -> str:
    n, r, p = SCRYPT_N, SCRYPT_R, SCRYPT_P
    if like is not None and int(like["n"]) * int(like["r"]) * int(like["p"]) > n * r * p:
        n, r, p = int(like["n"]), int(like["r"]), int(like["p"])
    salt = _salt()
    made = hashlib.scrypt(password, salt=salt.encode(), n=n, r=r, p=p, maxmem=128 * r * (n + p + 2) + (1 << 20), dklen=64)
    return f"scrypt${n}${salt}${r}${p}${_base64(made)}"


def _salted(algorithm: str, name: str) -> Callable[[bytes, Parts | None], str]:
    def make(password: bytes, _like: Parts | None) -> str:
        salt = secrets.token_bytes(SALT_BYTES)
        digest = hashlib.new(algorithm, password + salt, usedforsecurity=False).digest()
        return f"{{{name}}}{_base64(digest + salt)}"

    return make


# The schemes of `foreign_hashes` that are written too, by name. The unsalted ones and salted MD5 are not, whoever asks.
WRITTEN: Final[Mapping[str, Callable[[bytes, Parts | None], str]]] = {
    "bcrypt": _bcrypt,
    "pbkdf2": _pbkdf2,
    "scrypt": _scrypt,
    "sha512-crypt": _crypt,
    "sha256-crypt": _crypt,
    "ssha": _salted("sha1", "SSHA"),
    "ssha256": _salted("sha256", "SSHA256"),
    "ssha384": _salted("sha384", "SSHA384"),
    "ssha512": _salted("sha512", "SSHA512"),
}


def make(scheme: str, password: bytes, like: str = "") -> str:
    """A fresh hash of a scheme in `WRITTEN`. `like`: the hash that it replaces, whose cost and dialect are kept.

    Raises UsageError for a password that the scheme cannot take.
    """
    wrapper = wrapper_of(like)
    found = scheme_of(like[len(wrapper) :])
    if found is None or found[0].name != scheme:
        return WRITTEN[scheme](password, None)
    known, parts = found
    return wrapper + WRITTEN[scheme](password, None if known.problem(parts) is not None else parts)
