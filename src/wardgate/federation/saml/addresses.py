"""Which addresses an application may have. A browser is sent there with somebody's sign-in, so the rule is narrow."""

import ipaddress
import re
from urllib.parse import urlsplit

from wardgate.errors import SamlMessageError
from wardgate.federation.saml.xml import MAX_URI_CHARS, refused

# Visible ASCII without what browsers and parsers read in different ways: no white space, quotes, angle brackets or backslash.
_PRINTABLE = re.compile(r"[!#-;=?-\[\]^_a-z{|}~]+")
# A name or an address with its port. It goes into a Content-Security-Policy, where a star would stand for every host.
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def checked_url(url: str) -> str:
    """The address itself: https, or http on this very machine, without fragment or credentials. Raises SamlMessageError.

    It is compared and used octet for octet, so nothing is normalised.
    """
    if len(url) > MAX_URI_CHARS or not _PRINTABLE.fullmatch(url):
        raise refused("an address that is too long, or holds characters that no address has", "saml_address")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise refused("an address that cannot be read", "saml_address") from error
    if not host or "@" in parts.netloc:
        raise refused("an address without a host, or with a user name", "saml_address")
    if not _AUTHORITY.fullmatch(parts.netloc):
        raise refused("an address whose host holds characters that no host has", "saml_address")
    if "#" in url:
        raise refused("an address with a fragment", "saml_address")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise refused("an address that is not https (http is for localhost alone)", "saml_address")
    return url


def is_plain_http(url: str) -> bool:
    """Say whether nothing is wrong with an address but that it is http, to another machine than this."""
    if not url.startswith("http://"):
        return False
    try:
        checked_url(url.replace("http:", "https:", 1))
    except SamlMessageError:
        return False
    return not is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Say whether a host is this very machine, by its name or number."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
