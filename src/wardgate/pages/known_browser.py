"""The cookie by which a browser shows who has signed in with it before: a random id, and a keyed tag for each of them.

It opens nothing and names nobody. No row is kept of it.
"""

import base64
import re
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, same
from wardgate.pages.browser import set_cookie

KNOWN_COOKIE: Final = "__Host-wg_known"
# As long as browsers keep any cookie.
LIFE_S: Final = 400 * 86_400
ID_BYTES: Final = 16
TAG_BYTES: Final = 12
# A family's computer; of more the earliest is forgotten, and told of anew.
MAX_PEOPLE: Final = 8
_VALUE: Final = re.compile(r"[A-Za-z0-9_-]{22}(?:\.[A-Za-z0-9_-]{16}){1,8}")


def is_known(request: Request, ring: KeyRing, subject_id: SubjectId) -> bool:
    """Whether this person has signed in with this browser before."""
    browser, tags = _read(request)
    expected = _tag(ring, browser, subject_id).encode()
    return any(same(tag.encode(), expected) for tag in tags)


def keep_known(request: Request, response: Response, ring: KeyRing, subject_id: SubjectId) -> None:
    """The browser remembers that he has, for as long again."""
    browser, tags = _read(request)
    browser = browser or secrets.token_urlsafe(ID_BYTES)
    own = _tag(ring, browser, subject_id)
    kept = [own, *(tag for tag in tags if tag != own)][:MAX_PEOPLE]
    set_cookie(response, KNOWN_COOKIE, ".".join((browser, *kept)), LIFE_S)


def _read(request: Request) -> tuple[str, list[str]]:
    value = request.cookies.get(KNOWN_COOKIE, "")
    if not _VALUE.fullmatch(value):
        return "", []
    browser, *tags = value.split(".")
    return browser, tags


def _tag(ring: KeyRing, browser: str, subject_id: SubjectId) -> str:
    mac = ring.mac("known-browser", browser.encode(), subject_id.encode())[:TAG_BYTES]
    return base64.urlsafe_b64encode(mac).decode()
