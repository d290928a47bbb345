"""A PNG as a logo: its picture and nothing else. RFC 2083 sections 3 and 4."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from wardgate.errors import SettingsError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_SIDE: Final = 2_000
# What shows the picture. Comments, places, times and whatever else a camera or program wrote are left out.
_KEPT: Final = (b"IHDR", b"PLTE", b"tRNS", b"sRGB", b"gAMA", b"IDAT", b"IEND")


@dataclass(frozen=True, slots=True)
class Png:
    """The cleaned file and how large it is."""

    content: bytes
    width: int
    height: int


def clean_png(data: bytes) -> Png:
    """Write the picture anew from the chunks that make it. Raises SettingsError for anything that is no whole PNG.

    What stands after its end is left out: a file may be a picture and an archive at the same time.
    """
    if not data.startswith(SIGNATURE):
        raise SettingsError("is no PNG")
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND" or len(chunks[0][1]) != 13:
        raise SettingsError("is no whole PNG")
    if not any(kind == b"IDAT" for kind, _ in chunks):
        raise SettingsError("is a PNG without a picture")
    width, height = struct.unpack(">II", chunks[0][1][:8])
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise SettingsError(f"is {width} x {height} points large; at most {MAX_SIDE} x {MAX_SIDE}")
    kept = b"".join(_chunk(kind, body) for kind, body in chunks if kind in _KEPT)
    return Png(SIGNATURE + kept, width, height)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body, end = data[at + 8 : at + 8 + length], at + 12 + length
        if end > len(data) or struct.unpack(">I", data[end - 4 : end])[0] != zlib.crc32(kind + body):
            raise SettingsError("is a damaged PNG")
        found.append((kind, body))
        if kind == b"IEND":
            break
        at = end
    return found


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
