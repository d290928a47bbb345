"""What is asked of a request several times, read from its octets.

Starlette makes an object of all headers first, an error for each that is not there, and a call or more for each cookie.
"""

from starlette.requests import Request, cookie_parser


class PageRequest(Request):
    """A request whose cookies are what Starlette makes of them, at less."""

    _read: dict[str, str] | None = None

    @property
    def cookies(self) -> dict[str, str]:
        """By their names; of two of one name the last."""
        if self._read is None:
            self._read = {}
            for header in headers_named(self, b"cookie"):
                self._read |= cookie_parser(header) if '"' in header else _pairs(header)
        return self._read


def headers_named(request: Request, name: bytes) -> list[str]:
    """The values of a header, whose name is given in lower case, in the order in which they came."""
    return [value.decode("latin-1") for each, value in request.scope["headers"] if each == name]


def _pairs(header: str) -> dict[str, str]:
    found = {}
    for pair in header.split(";"):
        name, mark, value = pair.partition("=")
        name, value = (name.strip(), value.strip()) if mark else ("", name.strip())
        if name or value:
            found[name] = value
    return found
