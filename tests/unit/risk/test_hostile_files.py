"""Files that lie: whatever they say, they are read in bounded time and memory, and end in nothing worse than no country."""

import os
import random
import time
from pathlib import Path

import pytest

from tests.mmdb import MARKER, Pointer, encode, mmdb, mmdb_of, write_mmdb
from wardgate.risk.mmdb import CountryTable, MmdbError
from wardgate.risk.networks import parse_address, parse_list
from wardgate.risk.sources import MAX_LIST_BYTES, Watched

ADDRESS = parse_address("203.0.113.7") or (0, 0)


def table_of(data: bytes, offset: int = 0) -> CountryTable:
    return CountryTable(mmdb_of(data, {"203.0.113.0/24": offset}))


def test_a_pointer_that_leads_to_itself_ends() -> None:
    assert table_of(encode(Pointer(0))).country(ADDRESS) == ""


def test_a_map_that_holds_itself_ends() -> None:
    assert table_of(encode({"country": Pointer(0)})).country(ADDRESS) == ""


def test_a_record_that_doubles_at_each_level_is_given_up() -> None:
    """Thirty lists of two pointers to the next: a thousand million values in three hundred octets."""
    data, size = bytearray(), len(encode([Pointer(0), Pointer(0)]))
    for level in range(30):
        data += encode([Pointer((level + 1) * size)] * 2)
    data += encode("end")
    assert table_of(bytes(data)).country(ADDRESS) == ""


def test_a_map_of_sixteen_million_entries_is_given_up() -> None:
    # Each key and value is a pointer to one text, so that the file is small; its size says more than it holds.
    assert table_of(bytes((0b111_11111,)) + b"\xff\xff\xff" + encode("a") * 100).country(ADDRESS) == ""


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x42", b"\x20", b"\x38\xff\xff\xff\xff", b"\x5f\xff\xff\xff", b"\x1f\x00", b"\x00\xff"]
)
def test_values_that_lie_outside_or_have_no_kind(data: bytes) -> None:
    assert table_of(data).country(ADDRESS) == ""
    assert table_of(encode("TR") + data, offset=len(encode("TR"))).country(ADDRESS) == ""


def test_nested_beyond_reason() -> None:
    value: object = "end"
    for _ in range(200):
        value = [value]
    assert table_of(encode(value)).country(ADDRESS) == ""


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"binary_format_major_version": 3, "node_count": 1, "record_size": 24, "ip_version": 6},
        {"binary_format_major_version": 2, "node_count": 2**31, "record_size": 24, "ip_version": 6},
        {"binary_format_major_version": 2, "node_count": 1, "record_size": 0, "ip_version": 6},
        {"binary_format_major_version": 2, "node_count": 1, "record_size": 24, "ip_version": 5},
        {"binary_format_major_version": 2, "node_count": "1", "record_size": 24, "ip_version": 6},
        ["nothing"],
        "nothing",
    ],
)
def test_a_file_that_says_of_itself_what_cannot_be(metadata: object) -> None:
    with pytest.raises(MmdbError):
        CountryTable(bytes(64) + MARKER + encode(metadata))


def test_a_file_cut_short_anywhere_is_refused_or_knows_less() -> None:
    whole = mmdb({"203.0.113.0/24": "TR", "2001:db8::/32": "JP"})
    for length in range(0, len(whole), 7):
        try:
            assert CountryTable(whole[:length]).country(ADDRESS) in ("", "tr")
        except MmdbError:
            continue


def test_a_file_with_any_octets_changed_never_raises_anything_else() -> None:
    chance, whole = random.Random(5), mmdb({"203.0.113.0/24": "TR", "198.51.100.0/24": "DE"})
    for _ in range(3_000):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            assert len(CountryTable(bytes(content)).country(ADDRESS)) in (0, 2)
        except MmdbError:
            continue


# --- files as they are met ---------------------------------------------------------------------------------------------


def countries(path: str) -> Watched[CountryTable]:
    return Watched(path, lambda content: (CountryTable(content), []), 1_000_000)


def test_a_missing_file_is_told_and_says_nothing(tmp_path: Path) -> None:
    file = countries(str(tmp_path / "none.mmdb"))
    file.look()
    assert (file.value, file.problem) == (None, "No such file or directory")


def test_a_pipe_does_not_keep_us_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = countries(str(tmp_path / "pipe"))
    file.look()
    assert (file.value, file.problem) == (None, "it is no ordinary file")
    assert countries("/dev/zero").value is None


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    file = countries(str(tmp_path))
    file.look()
    assert file.value is None
    assert file.problem


def test_a_file_larger_than_any_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.txt", "wb") as huge:
        huge.truncate(MAX_LIST_BYTES + 1)
    file = Watched(str(tmp_path / "huge.txt"), parse_list, MAX_LIST_BYTES)
    file.look()
    assert (file.value, file.problem) == (None, "it is larger than 8 MiB")


def test_a_new_file_that_is_broken_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / "country.mmdb"
    file = countries(write_mmdb(path, {"203.0.113.0/24": "TR"}))
    file.look()
    before = file.value
    path.write_bytes(b"half a file")
    file.look()
    assert file.value is before
    assert file.problem == "it does not end as a file in MaxMind's format does"
    write_mmdb(path, {"203.0.113.0/24": "DE"})
    file.look()
    assert file.problem is None
    assert file.value is not None
    assert file.value.country(ADDRESS) == "de"


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    read: list[int] = []

    def parse(content: bytes) -> tuple[int, list[str]]:
        read.append(len(content))
        return len(content), []

    path = tmp_path / "list.txt"
    path.write_text("198.51.100.1\n")
    file = Watched(str(path), parse, 1_000)
    for _ in range(3):
        file.look()
    assert read == [13]
    path.write_text("198.51.100.22\n")
    os.utime(path, (time.time(), time.time() + 5))
    file.look()
    assert read == [13, 14]


def test_a_file_that_went_away_and_came_back_is_read(tmp_path: Path) -> None:
    path = tmp_path / "country.mmdb"
    file = countries(write_mmdb(path, {"203.0.113.0/24": "TR"}))
    file.look()
    aside = path.rename(tmp_path / "aside")
    file.look()
    assert file.problem == "No such file or directory"
    assert file.value is not None
    aside.rename(path)
    file.look()
    assert file.problem is None
