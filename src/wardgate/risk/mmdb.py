"""The country and the city of an address, out of a file in MaxMind's DB format 2.0. Bytes in, values out.

Written by us because a login waits for it: the usual readers build everything that a record holds, names in eight languages among
it, follow pointers as far as a file leads them, and map the file, so that one that is cut short in place ends the process. Here
each look-up takes a bounded number of steps whatever the file says, and each record is read once.
MaxMind DB File Format Specification, version 2.0.
"""

from collections.abc import Mapping
from typing import Final

from wardgate.errors import MessageError
from wardgate.risk.networks import Address

_MARKER: Final = b"\xab\xcd\xefMaxMind.com"
_METADATA_WITHIN: Final = 128 * 1024
_SEPARATOR: Final = 16
_MAX_DEPTH: Final = 12
# A record of a city, with all its names, holds less than two hundred values.
_MAX_VALUES: Final = 2_000
_MAX_KEPT: Final = 4_096
_MAX_NAME_CHARS: Final = 60
_RECORD_BITS: Final = (24, 28, 32)

_POINTER, _TEXT, _DOUBLE, _BYTES, _UINT16, _UINT32, _MAP, _INT32, _UINT64, _UINT128, _ARRAY = range(1, 12)
_BOOLEAN, _FLOAT = 14, 15
_NUMBERS: Final = (_UINT16, _UINT32, _INT32, _UINT64, _UINT128)
_OPAQUE: Final = (_DOUBLE, _BYTES, _FLOAT)


class MmdbError(MessageError):
    """Not a file of this format, or one that contradicts itself."""

    code = "mmdb_malformed"


class CountryTable:
    """A whole file. Raises MmdbError when it cannot be one."""

    __slots__ = ("_bits", "_countries", "_data", "_ipv4_node", "_ipv4_only", "_nodes", "_tree", "built_at_s", "kind")

    def __init__(self, content: bytes) -> None:
        start = content.rfind(_MARKER, max(0, len(content) - _METADATA_WITHIN))
        if start < 0:
            raise MmdbError("it does not end as a file in MaxMind's format does")
        metadata = _Section(content[start + len(_MARKER) :]).value(0)
        if not isinstance(metadata, Mapping):
            raise MmdbError("it does not say what it holds")
        if _whole(metadata, "binary_format_major_version") != 2:
            raise MmdbError("it has another version of the format than 2")
        self._bits, self._nodes = _whole(metadata, "record_size"), _whole(metadata, "node_count")
        version = _whole(metadata, "ip_version")
        tree_bytes = self._nodes * self._bits // 4
        if self._bits not in _RECORD_BITS or version not in (4, 6) or tree_bytes + _SEPARATOR > start:
            raise MmdbError("its tree is larger than the file, or of a size that does not exist")
        self._tree = content[:tree_bytes]
        self._data = _Section(content[tree_bytes + _SEPARATOR : start])
        self._countries: dict[int, str] = {}
        self.built_at_s = _whole(metadata, "build_epoch", 0)
        self.kind = str(metadata.get("database_type", ""))[:64]
        self._ipv4_only = version == 4
        # In a tree of IPv6 the addresses of IPv4 are those that begin with 96 zeros.
        self._ipv4_node = 0 if self._ipv4_only else self._walk(0, 0, 96, 128)

    def country(self, address: Address) -> str:
        """Two letters in lower case; empty where the file knows none, or contradicts itself."""
        offset = self._offset(address)
        if offset is None:
            return ""
        known = self._countries.get(offset)
        if known is None:
            if len(self._countries) >= _MAX_KEPT:
                self._countries.clear()
            known = self._countries[offset] = self._read(offset)
        return known

    def place(self, address: Address, language: str) -> str:
        """City and country for people, as far as the file names them: in this language, else in English, else by the two letters.

        Empty where it knows no country. The whole record is read each time: this is for a page that somebody looks at.
        """
        offset = self._offset(address)
        if offset is None:
            return ""
        try:
            record = self._data.value(offset)
        except MmdbError:
            return ""
        code = _country_in(record)
        if not isinstance(record, Mapping) or not code:
            return ""
        named = (_name_in(record.get(part), language) for part in ("city", "country"))
        city, country = (" ".join(name.split())[:_MAX_NAME_CHARS] for name in named)
        return ", ".join(part for part in (city, country or code.upper()) if part)

    def _offset(self, address: Address) -> int | None:
        """Where the record of an address begins; None where there is none."""
        version, number = address
        if version == 6 and self._ipv4_only:
            return None
        bits, node = (32, self._ipv4_node) if version == 4 else (128, 0)
        found = self._walk(node, number, bits, bits)
        return found - self._nodes - _SEPARATOR if found > self._nodes else None

    def _read(self, offset: int) -> str:
        try:
            return _country_in(self._data.value(offset))
        except MmdbError:
            return ""

    def _walk(self, node: int, number: int, steps: int, bits: int) -> int:
        """Follow the first `steps` bits of an address of `bits`, until they lead out of the tree."""
        for shift in range(bits - 1, bits - 1 - steps, -1):
            if node >= self._nodes:
                return node
            node = self._record(node, number >> shift & 1)
        return node

    def _record(self, node: int, right: int) -> int:
        tree = self._tree
        if self._bits == 28:
            at = node * 7
            middle = tree[at + 3]
            if right:
                return (middle & 0x0F) << 24 | int.from_bytes(tree[at + 4 : at + 7], "big")
            return middle >> 4 << 24 | int.from_bytes(tree[at : at + 3], "big")
        width = self._bits >> 3
        at = (node * 2 + right) * width
        return int.from_bytes(tree[at : at + width], "big")


class _Section:
    """Values at offsets, each read with a budget of its own: pointers may lead anywhere, but not for ever."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def value(self, offset: int) -> object:
        """The value that begins there. Raises MmdbError."""
        try:
            return _Reading(self._content).value(offset, 0)[0]
        except IndexError as error:
            raise MmdbError("a value lies outside of the file") from error


class _Reading:
    """One value and all that it consists of."""

    __slots__ = ("_content", "_left")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = _MAX_VALUES

    def value(self, at: int, depth: int, pointed: bool = False) -> tuple[object, int]:
        """The value at an offset, and where the next one begins."""
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise MmdbError("a record is larger or deeper than any that means a place")
        if at < 0:
            raise MmdbError("a value lies outside of the file")
        control = self._content[at]
        kind, at = control >> 5, at + 1
        if kind == _POINTER:
            if pointed:
                raise MmdbError("a pointer leads to a pointer")
            target, at = self._pointer(control, at)
            return self.value(target, depth + 1, pointed=True)[0], at
        if kind == 0:
            kind, at = self._content[at] + 7, at + 1
        size, at = self._size(control & 31, at)
        if kind == _MAP:
            return self._map(size, at, depth)
        if kind == _ARRAY:
            return self._array(size, at, depth)
        if kind == _BOOLEAN:
            return bool(size), at
        return self._plain(kind, size, at)

    def _plain(self, kind: int, size: int, at: int) -> tuple[object, int]:
        end = at + size
        if end > len(self._content):
            raise MmdbError("a value lies outside of the file")
        if kind == _TEXT:
            # What is longer is no key and no code of a country.
            return self._content[at : min(end, at + 256)].decode("utf-8", "replace"), end
        if kind in _NUMBERS and size <= 16:
            return int.from_bytes(self._content[at:end], "big", signed=kind == _INT32 and size == 4), end
        if kind in _OPAQUE:
            return None, end
        raise MmdbError("a value of a kind that does not exist")

    def _map(self, size: int, at: int, depth: int) -> tuple[object, int]:
        found: dict[str, object] = {}
        for _ in range(size):
            key, at = self.value(at, depth + 1)
            if not isinstance(key, str):
                raise MmdbError("the key of a map is no text")
            found[key], at = self.value(at, depth + 1)
        return found, at

    def _array(self, size: int, at: int, depth: int) -> tuple[object, int]:
        found: list[object] = []
        for _ in range(size):
            value, at = self.value(at, depth + 1)
            found.append(value)
        return found, at

    def _size(self, told: int, at: int) -> tuple[int, int]:
        if told < 29:
            return told, at
        length = told - 28
        more = self._octets(at, length)
        return (29, 285, 65_821)[length - 1] + more, at + length

    def _pointer(self, control: int, at: int) -> tuple[int, int]:
        length = (control >> 3 & 3) + 1
        more = self._octets(at, length)
        if length == 4:
            return more, at + 4
        return ((control & 7) << 8 * length | more) + (0, 2_048, 526_336)[length - 1], at + length

    def _octets(self, at: int, length: int) -> int:
        taken = self._content[at : at + length]
        if len(taken) < length:
            raise MmdbError("a value lies outside of the file")
        return int.from_bytes(taken, "big")


def _whole(metadata: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = metadata.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MmdbError(f"its {name} is no number")
    return value


def _country_in(record: object) -> str:
    """The country of a record: as MaxMind writes it, or flat, as other makers do."""
    if not isinstance(record, Mapping):
        return ""
    country = record.get("country")
    if isinstance(country, Mapping):
        country = country.get("iso_code")
    for code in (country, record.get("country_code")):
        if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
            return code.lower()
    return ""


def _name_in(part: object, language: str) -> str:
    """The name of a city or country in a record; empty where it has none that could be read."""
    names = part.get("names") if isinstance(part, Mapping) else None
    if not isinstance(names, Mapping):
        return ""
    return next((name for name in (names.get(language), names.get("en")) if isinstance(name, str) and name.isprintable()), "")
