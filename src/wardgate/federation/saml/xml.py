"""XML from outside, parsed strictly: nothing is fetched, nothing expands, and whatever is odd is refused before it is read.

The text has to be UTF-8, whatever it says of itself: a document in UTF-16 or UTF-7 hides its DOCTYPE from whoever looks for one.
What libxml2 would limit by itself (entities, nesting, sizes) does not reach it, or is counted again here with tighter limits.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from wardgate.errors import SamlMessageError

Element = etree._Element


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a document may be. `comments`: whether they stay where they are; else those between elements are taken out."""

    octets: int
    elements: int
    depth: int
    attributes: int
    attribute_chars: int
    text_chars: int
    namespaces: int
    comments: bool


MESSAGE = Limits(
    octets=64 * 1024,
    elements=1_000,
    depth=24,
    attributes=24,
    attribute_chars=4_096,
    text_chars=48 * 1024,
    namespaces=200,
    comments=False,
)
"""A request or a logout answer. The largest in the field, with a signature and two certificates, has some 8 KiB."""

MAX_COMMENTS = 64
"""In a message. Each is taken out by itself, and what stands around it is written anew: many would keep us busy (quadratic)."""

METADATA = Limits(
    octets=2 * 1024 * 1024,
    elements=60_000,
    depth=32,
    attributes=48,
    attribute_chars=4_096,
    text_chars=256 * 1024,
    namespaces=6_000,
    comments=True,
)
"""The metadata of an application, or of a few hundred. Logos may be inside, as data."""

MAX_ID_CHARS = 1_024
MAX_URI_CHARS = 2_048
MAX_ENTITY_ID_CHARS = 1_024  # core section 8.3.6
MAX_VALUE_CHARS = 2_048
ID_ATTRIBUTES = frozenset({"ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id"})
WHITE = " \t\r\n"
MAX_IN_SCOPE = 40
"""Namespaces at one place of what is made canonical inclusively: the work grows with their square. Busy metadata has some 20."""
_XML = "{http://www.w3.org/XML/1998/namespace}"
# Namespaces in XML 1.0, production 4 over XML 1.0 production 4: what an xs:ID is. Most are ASCII, and need not be.
_LETTERS = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff"
    "\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NCNAME = re.compile(rf"[{_LETTERS}][{_LETTERS}0-9.\-\u00b7\u0300-\u036f\u203f\u2040]*")
_INTEGER = re.compile(r"[0-9]{1,20}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T)([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,32}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone of a time is added last
_DURATION = re.compile(
    r"P(?:([0-9]{1,4})Y)?(?:([0-9]{1,5})M)?(?:([0-9]{1,6})D)?"
    r"(?:T(?:([0-9]{1,7})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9})(?:\.[0-9]{1,9})?S)?)?"
)
_DURATION_PARTS_S = (365 * 86_400, 30 * 86_400, 86_400, 3_600, 60, 1)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}

# `no_network` and `huge_tree` are the defaults of lxml; they are written down because everything rests on them.
_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    load_dtd=False,
    dtd_validation=False,
    attribute_defaults=False,
    no_network=True,
    huge_tree=False,
    recover=False,
    collect_ids=False,
)


def refused(what: str, code: str = "saml_malformed") -> SamlMessageError:
    """The error of a message that is refused; `what` quotes nothing of the message but names of ours."""
    return SamlMessageError(what, code)


def parse(document: bytes, limits: Limits = MESSAGE) -> Element:
    """The root of a document within `limits`. Raises SamlMessageError for everything else."""
    if len(document) > limits.octets:
        raise refused(f"larger than {limits.octets} octets", "saml_too_large")
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refused("not UTF-8") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise refused("a document type or an entity is declared", "saml_doctype")
    # Before a tree of them is made; an element has two tags at most, and what is no tag is counted with them.
    if text.count("xmlns") > limits.namespaces or text.count("<") > 2 * limits.elements:
        raise refused("too many elements or namespaces", "saml_too_large")
    if not limits.comments and text.count("<!--") > MAX_COMMENTS:
        raise refused("too many comments", "saml_too_large")
    try:
        root = etree.fromstring(document, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise refused("not well-formed XML") from error
    if root.getroottree().docinfo.doctype:
        raise refused("a document type is declared", "saml_doctype")
    _check(root, limits)
    return root


def _check(root: Element, limits: Limits) -> None:
    """Refuse what is too deep or too large, stray nodes, and two elements of one id. Never recurses."""
    if not limits.comments and (root.getprevious() is not None or root.getnext() is not None):
        for beside in (*root.itersiblings(), *root.itersiblings(preceding=True)):
            if not isinstance(beside, etree._Comment):
                raise refused("something stands beside the root element", "saml_stray_node")
    ids: set[str] = set()
    count, level = 0, [root]
    for _ in range(limits.depth):
        below: list[Element] = []
        for element in level:
            if not isinstance(element.tag, str):
                _check_stray(element, limits)
                continue
            count += 1
            _check_element(element, limits, ids)
            below.extend(element)
        if count > limits.elements:
            raise refused("too many elements", "saml_too_large")
        level = below
        if not level:
            return
    raise refused("nested too deeply", "saml_too_large")


def _check_stray(node: Element, limits: Limits) -> None:
    """Of a message take a comment out that stands between elements: it is no part of it, signed or not (core section 5.4.4)."""
    if not isinstance(node, etree._Comment):
        raise refused("a processing instruction or an entity is inside", "saml_stray_node")
    if limits.comments:
        return
    if (_before(node) + (node.tail or "")).strip(WHITE):
        raise refused("a comment stands inside a value", "saml_stray_node")
    cut(node)


def _before(node: Element) -> str:
    """The text right before a node."""
    previous, parent = node.getprevious(), node.getparent()
    if previous is not None:
        return previous.tail or ""
    return "" if parent is None else parent.text or ""


def cut(node: Element) -> None:
    """Take a node out, and leave the text behind it where it is."""
    previous, parent = node.getprevious(), node.getparent()
    if parent is None:
        return
    if node.tail:
        if previous is None:
            parent.text = (parent.text or "") + node.tail
        else:
            previous.tail = (previous.tail or "") + node.tail
    parent.remove(node)


def _check_element(element: Element, limits: Limits, ids: set[str]) -> None:
    if len(element.text or "") > limits.text_chars or len(element.tail or "") > limits.text_chars:
        raise refused("a text is too long", "saml_too_large")
    attributes = element.items()
    if len(attributes) > limits.attributes:
        raise refused("too many attributes", "saml_too_large")
    for name, value in attributes:
        if len(value) > limits.attribute_chars:
            raise refused("an attribute is too long", "saml_too_large")
        if name in ID_ATTRIBUTES:
            if value in ids:
                raise refused("two elements have the same id", "saml_duplicate_id")
            ids.add(str(value))


def canonical(element: Element, inclusive_prefixes: Iterable[str] = (), *, exclusive: bool = True) -> bytes:
    """The canonical form, without comments, of an element and all in it (Exclusive XML Canonicalization 1.0).

    Or the inclusive one (Canonical XML 1.0), which takes `xml:` attributes from what is around an inner element, by rules that
    changed with version 1.1: where there are any, it is refused.

    An inner element is written out and read again first, which puts the namespaces in scope on itself: libxml2 looks for the
    inclusive prefixes along parents, and lxml canonicalises an inner element without them. Raises SamlMessageError for what has
    no canonical form: a namespace with a relative address.
    """
    if not exclusive and any(name.startswith(_XML) for each in element.iterancestors() for name in each.attrib):
        raise refused("no canonical form that all versions agree on")
    if not exclusive and any(len(each.nsmap) > MAX_IN_SCOPE for each in element.iter()):
        raise refused("too many namespaces", "saml_too_large")
    try:
        apex = element if element.getparent() is None else etree.fromstring(etree.tostring(element, with_tail=False), _PARSER)
        return etree.tostring(
            apex, method="c14n", exclusive=exclusive, with_comments=False, inclusive_ns_prefixes=list(inclusive_prefixes) or None
        )
    except etree.LxmlError as error:
        raise refused("no canonical form") from error


# --- reading values ----------------------------------------------------------------------------------------------------------


def text_of(element: Element, limit: int = MAX_VALUE_CHARS) -> str:
    """The text of an element that holds nothing else, without the white space around it.

    A comment inside would cut `.text` short: `admin@acme.test<!-- -->.evil.test` must never read as `admin@acme.test`.
    """
    if len(element):
        raise refused("something stands inside a value", "saml_stray_node")
    text = (element.text or "").strip(WHITE)
    if len(text) > limit:
        raise refused("a value is too long", "saml_too_large")
    return text


def attribute(element: Element, name: str, limit: int = MAX_URI_CHARS) -> str:
    """An attribute's value without the white space around it; empty when it is not there."""
    value = (element.get(name) or "").strip(WHITE)
    if len(value) > limit:
        raise refused("an attribute is too long", "saml_too_large")
    return value


def id_of(element: Element, name: str = "ID") -> str:
    """A required xs:ID."""
    value = attribute(element, name, MAX_ID_CHARS)
    if not _NCNAME.fullmatch(value):
        raise refused(f"no {name}, or one that is no name", "saml_id")
    return value


def boolean(element: Element, name: str) -> bool | None:
    """An xs:boolean, or None when it is not there."""
    value = attribute(element, name)
    if not value:
        return None
    if value not in _BOOLEANS:
        raise refused(f"{name} is neither true nor false")
    return _BOOLEANS[value]


def unsigned_short(element: Element, name: str) -> int | None:
    """An xs:unsignedShort, or None when it is not there."""
    value = attribute(element, name)
    if not value:
        return None
    if not _INTEGER.fullmatch(value) or int(value) > 65_535:
        raise refused(f"{name} is no number from 0 to 65535")
    return int(value)


def instant(element: Element, name: str) -> int | None:
    """An xs:dateTime in ms since the epoch, or None when it is not there. Without a zone it is UTC (core section 1.3.3)."""
    value = attribute(element, name)
    return instant_ms(value) if value else None


def instant_ms(value: str) -> int:
    """An xs:dateTime in ms since the epoch; what is finer is cut off. Raises SamlMessageError."""
    found = _INSTANT.fullmatch(value)
    if found is None:
        raise refused("a time that is no xs:dateTime", "saml_time")
    day, time, fraction, sign, hours, minutes = found.groups()
    later_s = 0
    if time.startswith("24"):
        # The end of a day is the beginning of the next: XML Schema 2 section 3.2.7.1.
        if time != "24:00:00" or int(fraction or 0):
            raise refused("a time that does not exist", "saml_time")
        time, later_s = "00:00:00", 86_400
    elif time.endswith(":60"):
        # A leap second is the one after: xs:dateTime has none, and some clocks write it.
        time, later_s = f"{time[:-3]}:59", 1
    try:
        since = datetime.fromisoformat(day + time) - _EPOCH
    except ValueError as error:
        raise refused("a time that does not exist", "saml_time") from error
    seconds = since.days * 86_400 + since.seconds + later_s
    if sign:
        if int(hours) > 14 or int(minutes) > 59:
            raise refused("a time zone that does not exist", "saml_time")
        seconds -= (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1)
    return seconds * 1000 + int((fraction or "0").ljust(3, "0")[:3])


def duration_s(value: str) -> int:
    """An xs:duration in seconds, months of 30 and years of 365 days. Raises SamlMessageError."""
    found = _DURATION.fullmatch(value)
    if found is None or not any(found.groups()):
        raise refused("no xs:duration", "saml_time")
    return sum(int(part or 0) * size for part, size in zip(found.groups(), _DURATION_PARTS_S, strict=True))


def decoded(text: str, limit: int) -> bytes:
    """Base64 with white space anywhere, as both bindings and XML write it. Raises SamlMessageError."""
    packed = "".join(text.split()) if len(text) <= limit * 2 else ""
    if not packed or len(packed) > -(-limit // 3) * 4:
        raise refused("no Base64, or too much of it", "saml_encoding")
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused("no Base64", "saml_encoding") from error
