"""The request template of the HTTP gateway: checked once, filled for each message. Pure.

A value is put into one place and encoded for where that place stands: percent-encoded in a URL, a form or a query, a string
inside JSON that was parsed before, plain in a header that cannot hold a line end. A value is never looked at for places
again, so a text that says `{secret}` sends these eight characters.
"""

import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

from wardgate.delivery.kind import setting_error

PLACES = ("number", "text", "id", "secret", "username")
IDEMPOTENCY_HEADER = "Idempotency-Key"
METHODS = ("POST", "PUT", "GET")
MAX_URL_CHARS = 8_000
MAX_FIELDS = 50
MAX_HEADER_CHARS = 4_000
MAX_JSON_DEPTH = 20

_PLACE = re.compile(r"\{([A-Za-z_]+)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_URL = re.compile(r"[\x21-\x7e]+")
# The HTTP library writes these from the request itself; a second opinion would split it. We also take no compressed answers.
_OUR_HEADERS = frozenset(
    (
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequestSettings:
    """The request template. Places: {number}, {text}, {id} (idempotency key), {secret}, {username}."""

    method: Literal["POST", "PUT", "GET"] = field(default="POST", metadata={"help": "method of the request"})
    url: str = field(metadata={"help": "https://...; places may stand in path and query, never in the host"})
    headers: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "headers; Idempotency-Key with {id} is added when none of them holds {id}"}
    )
    json: object = field(default=None, metadata={"help": "body as JSON of any shape; places stand in its texts"})
    form: Mapping[str, str] | None = field(default=None, metadata={"help": "body as a form, instead of json"})
    query: Mapping[str, str] | None = field(default=None, metadata={"help": "query of the address"})


@dataclass(frozen=True, slots=True)
class FilledRequest:
    """A request ready to be sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    content: bytes | None


def places_in(template: object) -> set[str]:
    """The names in braces in a template value, lists and objects included."""
    if isinstance(template, str):
        return set(_PLACE.findall(template))
    if isinstance(template, Mapping):
        return set().union(*(places_in(part) for pair in template.items() for part in pair))
    if isinstance(template, (list, tuple)):
        return set().union(*(places_in(part) for part in template))
    return set()


def fill_request(template: HttpRequestSettings, values: Mapping[str, str]) -> FilledRequest:
    """The request for one message. `values` has one string for each of PLACES; the template has passed `check_request`."""
    url = fill(template.url, values, _percent)
    if template.query:
        pairs = [(name, fill(value, values)) for name, value in template.query.items()]
        url += ("&" if "?" in url else "?") + urlencode(pairs, quote_via=quote, safe="")
    headers = {name: fill(value, values) for name, value in template.headers.items()}
    content = _content(template, values, headers)
    if not any("id" in places_in(value) for value in template.headers.values()):
        headers[IDEMPOTENCY_HEADER] = values["id"]
    return FilledRequest(template.method, url, tuple(headers.items()), content)


def fill(template: str, values: Mapping[str, str], encode: Callable[[str], str] = str) -> str:
    """`template` with its places filled, in one pass."""
    return _PLACE.sub(lambda place: encode(values[place[1]]), template)


def _content(template: HttpRequestSettings, values: Mapping[str, str], headers: dict[str, str]) -> bytes | None:
    if template.json is not None:
        _default_header(headers, "Content-Type", "application/json")
        return json.dumps(_fill_json(template.json, values), ensure_ascii=False).encode()
    if template.form is not None:
        _default_header(headers, "Content-Type", "application/x-www-form-urlencoded")
        return urlencode([(name, fill(value, values)) for name, value in template.form.items()]).encode()
    return None if template.method == "GET" else b""


def _fill_json(template: object, values: Mapping[str, str]) -> object:
    if isinstance(template, str):
        return fill(template, values)
    if isinstance(template, Mapping):
        return {name: _fill_json(part, values) for name, part in template.items()}
    if isinstance(template, (list, tuple)):
        return [_fill_json(part, values) for part in template]
    return template


def _default_header(headers: dict[str, str], name: str, value: str) -> None:
    if not any(given.lower() == name.lower() for given in headers):
        headers[name] = value


def _percent(value: str) -> str:
    # A value of dots alone would be a step up in the path (RFC 3986 section 5.2.4), and the URL library takes it.
    return quote(value, safe="").replace(".", "%2E") if value.strip(".") == "" else quote(value, safe="")


# --- checking a template ----------------------------------------------------------------------------------------------


def check_request(gateway: str, request: HttpRequestSettings, *, has_secret: bool, has_username: bool) -> None:
    """Raise SettingsError, naming the setting and the cure, for a template that could not work or would not be safe."""
    if request.method not in METHODS:
        raise setting_error(gateway, "request.method", f"must be one of {', '.join(METHODS)}")
    check_url(gateway, request.url)
    _check_headers(gateway, request.headers)
    _check_body(gateway, request)
    _check_flat(gateway, "request.query", request.query)
    _check_places(gateway, request, {"secret": has_secret, "username": has_username})


def check_url(gateway: str, url: str) -> None:
    """The address must be https (or http to this very machine), and its scheme and host must be fixed."""
    setting = "request.url"
    if not _URL.fullmatch(url) or len(url) > MAX_URL_CHARS:
        raise setting_error(gateway, setting, f"must be at most {MAX_URL_CHARS} ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise setting_error(gateway, setting, "cannot be read as a URL: check its host and port") from error
    if parts.scheme not in ("https", "http") or not host:
        raise setting_error(gateway, setting, "must begin with https:// and a host name")
    if "@" in parts.netloc:
        raise setting_error(gateway, setting, "must not hold a user name or password: use a header with {secret}")
    if "{" in parts.netloc or "}" in parts.netloc:
        raise setting_error(gateway, setting, "a place may stand in the path or the query, never in the host")
    if parts.fragment or url.endswith("#"):
        raise setting_error(gateway, setting, "must not have a fragment (#...): it would not be sent")
    if parts.scheme == "http" and not _is_loopback(host):
        raise setting_error(
            gateway,
            setting,
            "http:// would send secret and codes in clear: use https:// (http:// only to 127.0.0.1, ::1, localhost)",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_headers(gateway: str, headers: Mapping[str, str]) -> None:
    _check_flat(gateway, "request.headers", headers)
    for name, value in headers.items():
        setting = f"request.headers.{name}"
        if not _HEADER_NAME.fullmatch(name):
            raise setting_error(gateway, "request.headers", "a header's name may hold letters, digits and -, and no place")
        if name.lower() in _OUR_HEADERS:
            raise setting_error(gateway, setting, "is set by Wardgate itself: leave it out")
        if not _HEADER_VALUE.fullmatch(value) or len(value) > MAX_HEADER_CHARS:
            raise setting_error(gateway, setting, f"must be at most {MAX_HEADER_CHARS} printable ASCII characters on one line")
        if "text" in places_in(value):
            raise setting_error(gateway, setting, "{text} has line ends and cannot stand in a header: use json, form or query")
        if name.lower() == IDEMPOTENCY_HEADER.lower() and "id" not in places_in(value):
            raise setting_error(gateway, setting, "must hold {id}, or the service would take every message for the same one")
    if len({name.lower() for name in headers}) != len(headers):
        raise setting_error(gateway, "request.headers", "names the same header twice")


def _check_body(gateway: str, request: HttpRequestSettings) -> None:
    if request.json is not None and request.form is not None:
        raise setting_error(gateway, "request", "has both json and form: keep one")
    if request.method == "GET" and (request.json is not None or request.form is not None):
        raise setting_error(gateway, "request.method", "GET carries no body: use query, or POST")
    if request.json is not None:
        _check_json(gateway, request.json, 0)
    _check_flat(gateway, "request.form", request.form)


def _check_flat(gateway: str, setting: str, fields: Mapping[str, str] | None) -> None:
    if fields is None:
        return
    if len(fields) > MAX_FIELDS:
        raise setting_error(gateway, setting, f"has more than {MAX_FIELDS} entries")
    for name, value in fields.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise setting_error(gateway, setting, "names and values must be text: put numbers and true/false into quotes")
        if places_in(name):
            raise setting_error(gateway, setting, "a place may stand in a value, never in a name")


def _check_json(gateway: str, part: object, depth: int) -> None:
    if depth > MAX_JSON_DEPTH:
        raise setting_error(gateway, "request.json", f"is nested deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(part, Mapping):
        for name, value in part.items():
            if not isinstance(name, str) or places_in(name):
                raise setting_error(gateway, "request.json", "names must be text, and a place may stand in a value only")
            _check_json(gateway, value, depth + 1)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _check_json(gateway, value, depth + 1)
    elif part is not None and not isinstance(part, (str, int, float, bool)):
        raise setting_error(gateway, "request.json", f"holds a {type(part).__name__}, which JSON has not: put it into quotes")
    elif isinstance(part, float) and not math.isfinite(part):
        raise setting_error(gateway, "request.json", "holds a number that is not finite, which JSON has not")


def _check_places(gateway: str, request: HttpRequestSettings, given: Mapping[str, bool]) -> None:
    used = places_in([request.url, request.headers, request.json, request.form or {}, request.query or {}])
    unknown = sorted(used - set(PLACES))
    if unknown:
        known = ", ".join("{" + place + "}" for place in PLACES)
        raise setting_error(gateway, "request", f"does not know the place {{{unknown[0]}}}: the places are {known}")
    for place in ("number", "text"):
        if place not in used:
            raise setting_error(gateway, "request", f"has no place {{{place}}}: put it where the service expects the {place}")
    for place, is_given in given.items():
        if place in used and not is_given:
            raise setting_error(gateway, place, f"is missing, and the request has a place {{{place}}} for it")
        if is_given and place not in used:
            raise setting_error(gateway, place, f"is given, but the request has no place {{{place}}} for it")
