"""LDIF, RFC 2849: entries out of a stream and into text. Pure but for reading the stream.

Taken are entries as `slapcat`, `ldapsearch -LL` and `ldifde` write them, and additions (`changetype: add`). A value by reference
(`attr:< file:///...`) is never followed: whoever wrote the file would read ours. Attributes that nobody asked for are passed over
while they are read, so that photographs cost nothing; what is kept of one entry is bounded.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

MAX_ENTRY_BYTES: Final = 64 * 1024
MAX_LINE_CHARS: Final = 76
_PIECE_BYTES: Final = 16 * 1024
_BOM: Final = b"\xef\xbb\xbf"
# RFC 2849: what may stand behind a single colon. Anything else is base64, and so is what would be cut at its end.
_SAFE: Final = re.compile(r"(?![ :<])[\x01-\x09\x0b\x0c\x0e-\x7f]*(?<! )")
_NAME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)((?:;[A-Za-z0-9-]+)*)(::|:<|:)")
_CONTROL: Final = ("version", "dn", "changetype", "control")


@dataclass(frozen=True, slots=True)
class LdifEntry:
    """One entry: the line on which it begins, and its attributes by their names in small letters, without options."""

    line: int
    dn: str
    attributes: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class LdifFault:
    """An entry that was not taken, and why; never its content."""

    line: int
    reason: str


class _Fault(Exception):
    """Ends an entry."""


@dataclass(slots=True)
class _Open:
    """An entry that is being read. `kept`: how many bytes of it are held."""

    line: int
    dn: str | None = None
    attributes: dict[str, list[str]] = field(default_factory=dict)
    kept: int = 0
    fault: str | None = None


def read_ldif(stream: BinaryIO, wanted: Collection[str]) -> Iterator[LdifEntry | LdifFault]:
    """The entries of a stream, with those of their attributes that are `wanted` (small letters)."""
    keep = frozenset((*wanted, *_CONTROL))
    entry: _Open | None = None
    for line, text in _logical_lines(stream, keep):
        if text is None:
            if entry is not None:
                yield _closed(entry)
            entry = None
            continue
        if entry is None:
            if text.lower().startswith(b"version:"):
                continue
            entry = _Open(line)
        if entry.fault is None:
            try:
                _take(entry, text, keep)
            except _Fault as fault:
                entry.fault = str(fault)
                entry.attributes.clear()
    if entry is not None:
        yield _closed(entry)


def _closed(entry: _Open) -> LdifEntry | LdifFault:
    if entry.fault is not None:
        return LdifFault(entry.line, entry.fault)
    if entry.dn is None:
        return LdifFault(entry.line, "does not begin with dn:")
    return LdifEntry(entry.line, entry.dn, entry.attributes)


def _take(entry: _Open, text: bytes, keep: Collection[str]) -> None:
    found = _NAME.match(text)
    if found is None:
        raise _Fault("a line is no attribute and no value")
    name = found[1].decode().lower()
    if name not in keep:
        return
    entry.kept += len(text)
    if entry.kept > MAX_ENTRY_BYTES:
        raise _Fault(f"longer than {MAX_ENTRY_BYTES} bytes")
    value = _value(name, found[3], text[found.end() :].lstrip(b" "))
    if name == "dn":
        entry.dn = value
    elif entry.dn is None:
        raise _Fault("does not begin with dn:")
    elif name == "changetype" and value.strip().lower() != "add":
        raise _Fault("a change of an entry; only entries and additions are taken")
    elif name == "control":
        raise _Fault("demands a control, which is not known here")
    else:
        entry.attributes.setdefault(name, []).append(value)


def _value(name: str, kind: bytes, raw: bytes) -> str:
    if kind == b":<":
        raise _Fault(f"{name} refers to a file or an address, which is not followed")
    try:
        value = base64.b64decode(raw.strip(), validate=True) if kind == b"::" else raw
        return value.decode()
    except binascii.Error:
        raise _Fault(f"{name} is not base64") from None
    except UnicodeDecodeError:
        raise _Fault(f"{name} is not UTF-8") from None


def _logical_lines(stream: BinaryIO, keep: Collection[str]) -> Iterator[tuple[int, bytes | None]]:
    """Unfolded lines with their numbers, without comments; None for the empty line that ends an entry."""
    number, begun, held = 0, 0, None
    for raw, first in _physical_lines(stream):
        number += first
        if not first or raw.startswith(b" "):
            # A continuation, or the rest of a line that was too long to be read at once.
            if held is not None and len(held) <= MAX_ENTRY_BYTES:
                held += raw.rstrip(b"\r\n")[1 if first else 0 :]
            continue
        if held is not None:
            yield begun, bytes(held)
            held = None
        text = raw.rstrip(b"\r\n")
        if not text:
            yield number, None
        elif not text.startswith(b"#") and _may_matter(text, keep):
            begun, held = number, bytearray(text)
    if held is not None:
        yield begun, bytes(held)


def _may_matter(text: bytes, keep: Collection[str]) -> bool:
    """False for the values of attributes that nobody asked for."""
    found = _NAME.match(text)
    return found is None or found[1].decode().lower() in keep


def _physical_lines(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Pieces of at most _PIECE_BYTES, and whether each begins a line."""
    first, start = True, True
    while raw := stream.readline(_PIECE_BYTES):
        if start:
            raw, start = raw.removeprefix(_BOM), False
        yield raw, first
        first = raw.endswith(b"\n")


# --- writing -------------------------------------------------------------------------------------------------------------


def ldif_entry(dn: str, attributes: Sequence[tuple[str, str]]) -> str:
    """One entry with the empty line after it."""
    return "".join(_line(name, value) for name, value in (("dn", dn), *attributes)) + "\n"


def _line(name: str, value: str) -> str:
    plain = _SAFE.fullmatch(value)
    text = f"{name}: {value}" if plain else f"{name}:: {base64.b64encode(value.encode()).decode()}"
    rest = (text[at : at + MAX_LINE_CHARS - 1] for at in range(MAX_LINE_CHARS, len(text), MAX_LINE_CHARS - 1))
    return "\n ".join((text[:MAX_LINE_CHARS], *rest)) + "\n"
