"""XML that we send, written in its exclusive canonical form at once: what is hashed is what leaves, octet for octet.

Everything that goes in as text is escaped here and nowhere else; only what this module made (`Xml`) goes in as it is. Exclusive
XML Canonicalization 1.0, which takes the rules for text and attributes from Canonical XML 1.0 section 2.3.

The callers' part of canonical form is where a namespace is declared: on each element that is the first on its way down from the
root to use the prefix, and nowhere else (`declare`).
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from wardgate.errors import SamlMessageError
from wardgate.federation.saml import names

PREFIXES = {
    "alg": names.ALGORITHMS,
    "ds": names.DSIG,
    "md": names.METADATA,
    "mdui": names.METADATA_UI,
    "saml": names.ASSERTION,
    "samlp": names.PROTOCOL,
    "xenc": names.XENC,
    "xenc11": names.XENC11,
}
_DECLARED = {prefix: f' xmlns:{prefix}="{uri}"' for prefix, uri in PREFIXES.items()}
# What XML 1.0 has no way to write (production 2), lone surrogates among them.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_TEXT = re.compile("[\t\n\x20-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_TEXT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;"})
_ATTRIBUTE = str.maketrans({"&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;"})
# Each is a text of nineteen characters.
MAX_KEPT_SECONDS = 1024
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - written without a zone, and the `Z` added
_PLAIN_ATTRIBUTE = re.compile(r"[A-Za-z0-9:/._#\-]*")


class Xml(str):
    """Canonical XML that this module wrote: it is not escaped again."""

    __slots__ = ()


def element(tag: str, *content: str | Xml, declare: str = "", attributes: Mapping[str, str] | None = None) -> Xml:
    """An element with its content. `declare` is a prefix, or several in alphabetical order; empty attributes are left out.

    Attributes are written in the order of their names, those with a namespace (`xml:lang`) last. Raises SamlMessageError for
    a character that XML cannot hold.
    """
    parts = [opening(tag, declare, attributes)]
    for each in content:
        parts.append(each if type(each) is Xml else text(each))
    parts.append(f"</{tag}>")
    return Xml("".join(parts))


def opening(tag: str, declare: str = "", attributes: Mapping[str, str] | None = None) -> str:
    """The tag with which such an element opens."""
    parts = ["<", tag]
    if declare:
        parts.extend([_DECLARED[prefix] for prefix in declare.split(" ")])
    if attributes:
        for name in sorted(attributes) if len(attributes) > 1 else attributes:
            value = attributes[name]
            if value:
                parts.append(f' {name}="{quoted(value)}"')
    parts.append(">")
    return "".join(parts)


def text(value: str) -> Xml:
    """A text with its marks escaped. Raises SamlMessageError for a character that XML cannot hold."""
    return Xml(inside(value))


def inside(value: str) -> str:
    """The same, to be put between two tags that are written by hand."""
    return value if _PLAIN_TEXT.fullmatch(value) else _escaped(value, _TEXT)


def quoted(value: str) -> str:
    """A value as it stands between the quotes of an attribute. Raises SamlMessageError for a character that XML cannot hold."""
    return value if _PLAIN_ATTRIBUTE.fullmatch(value) else _escaped(value, _ATTRIBUTE)


def _escaped(value: str, marks: Mapping[int, str]) -> str:
    if _UNWRITABLE.search(value):
        raise SamlMessageError("a value holds a character that XML cannot carry", "saml_character")
    return value.translate(marks)


def joined(parts: list[Xml]) -> Xml:
    """Several elements, one behind the other."""
    return Xml("".join(parts))


def instant(at_ms: int) -> str:
    """A time as xs:dateTime in UTC, with milliseconds: years 1 to 9999."""
    seconds, milliseconds = divmod(at_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=MAX_KEPT_SECONDS)
def _second(seconds: int) -> str:
    """Kept, for an answer is full of times of this second, and of others that are as far from it as in every answer."""
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError as error:
        raise SamlMessageError("a time outside the years 1 to 9999", "saml_time") from error
