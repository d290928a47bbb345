"""The short reference on a page that only says what came of a POST: it travels in the address, so that reloading shows it still."""

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

_FIELD: Final = "ref"
# What `crypto.new_reference` makes: nothing else that somebody put into a link is shown as ours.
_REFERENCE: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{8}")


def with_reference(address: str, reference: str) -> str:
    """The address of such a page."""
    joined = "&" if urlsplit(address).query else "?"
    return f"{address}{joined}{_FIELD}={reference}"


def told_reference(request: Request) -> str:
    """The reference that the address brought; empty where it brought none of ours."""
    given = request.query_params.get(_FIELD, "")
    return given if _REFERENCE.fullmatch(given) else ""
