"""Which browser asks, and whether a form that comes back is one that we gave to it.

A browser has a cookie of 128 random bits. Each form carries a keyed fingerprint of that cookie and of what the form is for: another
site can neither read it nor make it, and the form of one login does not fit another.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wardgate.crypto import KeyRing, same
from wardgate.web.access import same_origin

BROWSER_COOKIE: Final = "__Host-wg_browser"
BROWSER_BYTES: Final = 16
MAX_FIELDS: Final = 40
MAX_FORM_BYTES: Final = 16 * 1024
CSRF_CHARS: Final = 32
_BROWSER: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Browser:
    """The browser that asks. `fresh`: it had no cookie of ours, and gets this one with the reply."""

    id: str
    fresh: bool
    _mac: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def mac(self, ring: KeyRing) -> bytes:
        """What is stored of it: made for whoever asks first, as long as the request takes."""
        if self._mac is None:
            self._mac = ring.mac("browser", self.id.encode())
        return self._mac

    def csrf(self, ring: KeyRing, purpose: str) -> str:
        """What a form for this purpose carries."""
        return ring.mac("csrf", self.id.encode(), purpose.encode()).hex()[:CSRF_CHARS]

    def keep(self, response: Response) -> None:
        """Give the cookie, where the browser has none."""
        if self.fresh:
            set_cookie(response, BROWSER_COOKIE, self.id)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, each at most once."""

    fields: Mapping[str, str]

    def text(self, name: str, most: int) -> str:
        """A field without blanks around it, cut where no such field can be longer."""
        cut = self.fields.get(name, "").strip()[: most + 1]
        # Octets that are no UTF-8 can stand in a password and in nothing else.
        return cut.encode("utf-8", "replace").decode()

    def secret(self, name: str) -> bytes:
        """A field as it was typed."""
        return self.fields.get(name, "").encode("utf-8", "surrogateescape")


def browser_of(request: Request) -> Browser:
    """The browser by its cookie; a new one where it has none, or one that cannot be ours."""
    held = request.cookies.get(BROWSER_COOKIE, "")
    return Browser(held, fresh=False) if _BROWSER.fullmatch(held) else new_browser()


def new_browser() -> Browser:
    """A browser under a new id: after each sign-in, so that an id that somebody else planted is worth nothing."""
    return Browser(secrets.token_urlsafe(BROWSER_BYTES), fresh=True)


async def form_of(request: Request) -> Form:
    """The form that was posted. Raises HTTPException 400 for anything that no page of ours sends."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise HTTPException(400)
    body = await request.body()
    if len(body) > MAX_FORM_BYTES:
        raise HTTPException(400)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="surrogateescape")
    except ValueError as error:
        raise HTTPException(400) from error
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\0" in value for value in fields.values()):
        raise HTTPException(400)
    return Form(fields)


def is_ours(request: Request, browser: Browser, ring: KeyRing, form: Form, purpose: str, origin: str) -> bool:
    """Whether this form was made by us, for this browser and purpose, and sent from a page of ours.

    Both are asked for: a sibling subdomain is same-site and may plant cookies, and a value that leaked is no page of ours.
    """
    expected = browser.csrf(ring, purpose).encode()
    given = form.fields.get("csrf", "").encode("utf-8", "replace")
    return not browser.fresh and same_origin(request, origin) and same(given, expected)


def set_cookie(response: Response, name: str, value: str, life_s: int | None = None) -> None:
    """A cookie of ours. Without a life it goes with the browser's session."""
    response.set_cookie(name, value, max_age=life_s, path="/", secure=True, httponly=True, samesite="lax")


def drop_cookie(response: Response, name: str) -> None:
    """Have the browser forget a cookie of ours."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")
