"""The password column: checking what stands there, and choosing the form of what is written.

Every check costs the work of one Argon2id check beside its own, whatever the row holds, so that time tells nobody whether there is
such an account or how old its hash is.
"""

import math
import re
from typing import Any, Final

from wardgate.crypto import Secret, same
from wardgate.directory.port import RightMissing
from wardgate.directory.sql.settings import SqlSettings
from wardgate.directory.sql.values import text
from wardgate.foreign_hashes import HashRefused, adopt
from wardgate.hash_making import WRITTEN
from wardgate.passwords import ARGON2ID, Checked, PasswordHasher, recognise

# What may be a hash, in whatever form, or mark an account as locked, is never a password in clear: a stolen hash would be one.
_NOT_PLAIN: Final = re.compile(
    r"\w[\w.+-]*\$[^$]*\$.*|\$\w+\$.*|\{[\w.+-]+\}.*|[!*]+|[!*]+\$.*|_[./0-9a-z]{19}|\*[0-9a-f]{40}"
    r"|(?:0x)?(?:[0-9a-f]{2}){16,64}|[a-z0-9+/]{43}=",
    re.IGNORECASE | re.DOTALL,
)
PLAIN: Final = "plain"
EMPTY: Final = "none"
UNKNOWN: Final = "unknown"


def scheme_name(stored: Any) -> str:
    """What form a stored password has, for counting: a scheme's name, `plain`, `none`, or `unknown` for what never verifies."""
    value = text(stored)
    if not value:
        return EMPTY
    try:
        return recognise(adopt(value)) or UNKNOWN
    except HashRefused:
        return UNKNOWN if _NOT_PLAIN.fullmatch(value) else PLAIN


async def check_stored(hasher: PasswordHasher, stored: Any, password: Secret, source: str, allow_plain: bool) -> Checked:
    """Whether the password is the one of this row. One that waited for the slowest already took for ever: see `even_out`."""
    scheme = scheme_name(stored)
    if scheme not in (PLAIN, EMPTY, UNKNOWN):
        return await hasher.check(adopt(text(stored)), password, False, source)
    await hasher.verify_nothing(password, source)
    if scheme != PLAIN or not allow_plain:
        return Checked(False, took_s=math.inf)
    value = stored if isinstance(stored, bytes) else str(stored).encode("utf-8", "surrogatepass")
    return Checked(same(value, password.reveal()), took_s=math.inf)


def scheme_to_write(settings: SqlSettings, stored: Any) -> str:
    """The scheme of a new hash for this row. Raises RightMissing when `same` asks for one that is not written."""
    if settings.write_hash != "same":
        return settings.write_hash
    scheme = scheme_name(stored)
    if scheme in (EMPTY, ARGON2ID):
        return ARGON2ID
    if scheme not in WRITTEN:
        raise RightMissing(
            f"directories.{settings.name}.write_hash: the row has a password of form {scheme}, which is not written; "
            "name the form that the other program reads"
        )
    return scheme


async def make_hash(hasher: PasswordHasher, settings: SqlSettings, stored: Any, new: Secret) -> str:
    """A fresh hash for this row, in the dialect of the one before."""
    return await hasher.hash_as(scheme_to_write(settings, stored), new, like=text(stored))
