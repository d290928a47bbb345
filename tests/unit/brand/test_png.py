"""Logos as PNG: the picture stays, what else a file can carry does not."""

import struct
import zlib

import pytest

from wardgate.brand.png import MAX_SIDE, SIGNATURE, clean_png
from wardgate.errors import SettingsError


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int = 4, height: int = 2, *more: bytes) -> bytes:
    rows = b"".join(b"\0" + b"\x1b\x56\xca" * min(width, 8) for _ in range(min(height, 8)))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")


def test_comments_and_places_of_a_picture_are_not_served() -> None:
    loaded = png(4, 2, chunk(b"tEXt", b"Author\0Ada"), chunk(b"eXIf", b"GPS"), chunk(b"acTL", b"x" * 8))
    cleaned = clean_png(loaded)
    assert cleaned.content == png()
    assert (cleaned.width, cleaned.height) == (4, 2)


def test_archive_behind_a_picture_is_not_served() -> None:
    assert clean_png(png() + b"PK\x03\x04<script>").content == png()


@pytest.mark.parametrize(
    "data",
    [b"GIF89a", SIGNATURE, png()[:-1], png()[:40], SIGNATURE + chunk(b"IEND"), png().replace(b"IDAT", b"IDAX"), b"\xff\xd8\xff"],
)
def test_what_is_no_whole_png_is_refused(data: bytes) -> None:
    with pytest.raises(SettingsError, match="PNG"):
        clean_png(data)


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE + 1, 1), (1, 2**31 - 1), (0, 1)])
def test_picture_that_unpacks_to_gigabytes_is_refused(width: int, height: int) -> None:
    with pytest.raises(SettingsError, match="at most"):
        clean_png(png(width, height))
