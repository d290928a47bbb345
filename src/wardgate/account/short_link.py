"""Short links out of a login: eight characters that a person can type, which lead to a page about that login and grant nothing.

The code is made from the login's id by a key of ours, so that it can be told again and stands nowhere; stored is its keyed
fingerprint. A link lives as long as its login and belongs, from its first POST on, to one browser. What was proved on its page
ends with a code of six digits for the window that asked: it is this login's, good once, and all that goes back there.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Final

from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, numeric_code
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Operation, Row, Update, Where
from wardgate.values import quick_value

TABLE: Final = "short_link"
CODE_CHARS: Final = 8
MAX_TYPED_CHARS: Final = 32
WINDOW_DIGITS: Final = 6
# Wrong proofs on its page, of whichever kind; then the link is over.
TRIES: Final = 5
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans(
    {"O": "0", "I": "1", "L": "1", "İ": "1", "ı": "1"} | dict.fromkeys(" -\t\u00a0\u2010\u2011\u2012\u2013")
)


class Purpose(StrEnum):
    """What is done on its page."""

    CONFIRM = "confirm"
    ENROL = "enrol"


@quick_value
class ShortLink:
    """A row of `short_link`, opened.

    `factor`: what is to be proved, of a confirmation. `asked`: where the login was asked from, and what else its page tells or
    needs. `proved`: what was proved or enrolled on the page, and `twofold` that it counts as two. `activation`: the id of the
    activation whose code was right there.
    """

    mac: bytes
    transaction_id: str
    subject_id: SubjectId
    purpose: Purpose
    factor: str
    asked: Mapping[str, Any] = field(repr=False)
    created_at: int
    expires_at: int
    browser_mac: bytes | None = None
    activation: str = ""
    proved: str = ""
    twofold: bool = False
    code_mac: bytes | None = None
    tries: int = 0
    used_at: int | None = None

    def is_open(self, now_ms: int) -> bool:
        """Whether it still leads anywhere."""
        return self.used_at is None and now_ms < self.expires_at and self.tries < TRIES


def code_of(ring: KeyRing, transaction_id: str, step: int, kind: str) -> str:
    """The code of the link that this step of a login asks for this kind of factor by."""
    value = int.from_bytes(ring.mac("short-link-code", transaction_id.encode(), f"{step}:{kind}".encode())[:5], "big")
    chars = "".join(_ALPHABET[(value >> shift) & 31] for shift in range(35, -1, -5))
    return f"{chars[:4]}-{chars[4:]}"


def mac_of(ring: KeyRing, typed: str) -> bytes | None:
    """The fingerprint of a code as people type it; None for what cannot be one. Case, blanks and hyphens do not matter."""
    if len(typed) > MAX_TYPED_CHARS:
        return None
    code = typed.translate(_READ_AS).upper().translate(_READ_AS)
    if len(code) != CODE_CHARS or not all(char in _ALPHABET for char in code):
        return None
    return ring.mac("short-link", code.encode())


def create(ring: KeyRing, link: ShortLink) -> Insert:
    """The operation that makes it."""
    return Insert(
        TABLE,
        {
            "link_mac": link.mac,
            "transaction_id": link.transaction_id,
            "subject_id": link.subject_id,
            "purpose": link.purpose.value,
            "factor": link.factor,
            "sealed": ring.seal(dumps(link.asked).encode(), bound_to(link.mac)),
            "browser_mac": None,
            "activation": "",
            "proved": "",
            "twofold": 0,
            "code_mac": None,
            "tries": 0,
            "created_at": link.created_at,
            "expires_at": link.expires_at,
            "used_at": None,
        },
    )


def from_row(ring: KeyRing, row: Row) -> ShortLink | None:
    """The typed value of a stored row; None for one that was tampered with."""
    mac, sealed, browser, code, used_at = (row[name] for name in ("link_mac", "sealed", "browser_mac", "code_mac", "used_at"))
    if not isinstance(mac, bytes) or not isinstance(sealed, bytes):
        return None
    try:
        asked = loads(ring.open(sealed, bound_to(mac)))
    except SealError:
        return None
    return ShortLink(
        mac=mac,
        transaction_id=str(row["transaction_id"]),
        subject_id=SubjectId(str(row["subject_id"])),
        purpose=Purpose(str(row["purpose"])),
        factor=str(row["factor"]),
        asked=asked,
        created_at=int(row["created_at"] or 0),
        expires_at=int(row["expires_at"] or 0),
        browser_mac=browser if isinstance(browser, bytes) else None,
        activation=str(row["activation"]),
        proved=str(row["proved"]),
        twofold=bool(row["twofold"]),
        code_mac=code if isinstance(code, bytes) else None,
        tries=int(row["tries"] or 0),
        used_at=used_at if isinstance(used_at, int) else None,
    )


def new_window_code(ring: KeyRing, link: ShortLink) -> tuple[str, bytes]:
    """A code for the window that asked, and what is stored of it."""
    code = numeric_code(WINDOW_DIGITS)
    return code, window_mac(ring, link, code)


def window_mac(ring: KeyRing, link: ShortLink, code: str) -> bytes:
    """What is stored of such a code: it is worth something for this link and login alone."""
    return ring.mac("window-code", link.transaction_id.encode(), link.mac, code.encode())


def bind(link: ShortLink, browser: bytes, now_ms: int, activation: str = "") -> Operation:
    """Make it this browser's, for whichever is first."""
    return _change(link, now_ms, {"browser_mac": browser, "activation": activation}, Where("browser_mac", "is_null"))


def note_proved(link: ShortLink, browser: bytes, kind: str, twofold: bool, code_mac: bytes | None, now_ms: int) -> Operation:
    """What was proved or enrolled on its page, once; `code_mac`: of the code that the page ends with, where it does."""
    changes: Row = {"proved": kind, "twofold": int(twofold), "code_mac": code_mac}
    return _change(link, now_ms, changes, Where("browser_mac", "=", browser), Where("proved", "=", ""))


def count_wrong(link: ShortLink, now_ms: int) -> Operation:
    """One more wrong proof on its page."""
    return _change(link, now_ms, {"tries": link.tries + 1})


def use_code(link: ShortLink, code_mac: bytes, now_ms: int) -> Operation:
    """The code of its page was typed where it belongs: used up, for whoever is first."""
    return _change(link, now_ms, {"used_at": now_ms}, Where("code_mac", "=", code_mac))


def end(link: ShortLink, now_ms: int) -> Operation:
    """It leads nowhere from now on."""
    return _change(link, now_ms, {"used_at": now_ms})


def bound_to(mac: bytes) -> str:
    """The associated data of a row of table `short_link`."""
    return f"short_link:{mac.hex()}"


def _change(link: ShortLink, now_ms: int, changes: Row, *where: Where) -> Update:
    still = (Where("used_at", "is_null"), Where("expires_at", ">", now_ms), Where("tries", "=", link.tries), *where)
    return Update(TABLE, {"link_mac": link.mac}, changes, where=still)
