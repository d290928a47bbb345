"""The cookie by which a browser shows that its person trusts it. What it is worth, and what stands in it next, the engine says."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from wardgate.account.device import MAX_VALUE_CHARS
from wardgate.crypto import Secret
from wardgate.pages.browser import drop_cookie, set_cookie

DEVICE_COOKIE: Final = "__Host-wg_device"
# Longer than any policy trusts a browser. When it ends, storage says.
LONGEST_S: Final = 30 * 86_400


def device_shown(request: Request) -> Secret | None:
    """What the browser shows beside the password."""
    value = request.cookies.get(DEVICE_COOKIE, "")
    return Secret(value.encode("utf-8", "replace")) if 0 < len(value) <= MAX_VALUE_CHARS else None


def keep_device(request: Request, response: Response, value: Secret | None) -> None:
    """Give the next value with a grant; what brings none is worth nothing any more, to whomever it was given."""
    if value is not None:
        set_cookie(response, DEVICE_COOKIE, value.reveal().decode(), LONGEST_S)
    elif DEVICE_COOKIE in request.cookies:
        drop_cookie(response, DEVICE_COOKIE)
