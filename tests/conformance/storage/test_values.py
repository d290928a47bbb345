"""What goes in comes out: text, bytes and numbers at their ends."""

from enum import IntEnum, StrEnum

import pytest

from tests.conformance.storage.rows import brake, brake_key, insert, message, refused, user
from wardgate.storage.port import Insert, Storage, Value, Where

TEXTS = [
    "",
    " leading and trailing ",
    "İstanbul ıIiİ ŞşĞğ",
    "naïve e\u0301 \u00e9",
    "\U0001f511 \U0010ffff",
    "quote ' double \" back \\ percent % question ? colon :x",
    "line\r\nbreak\ttab \x01\x1f\x7f",
    "\ufeff\u200b\u202e",
    "1",
    "NULL",
    "x" * 2**20,
    "ş" * 2**19,
]
NUMBERS = [0, 1, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63)]
OCTETS = [b"", b"\0", b"a\0b", bytes(range(256)), b"text", b"\xff" * 2**20]


@pytest.mark.parametrize("value", TEXTS, ids=range(len(TEXTS)))
async def test_text_survives(storage: Storage, value: str) -> None:
    await insert(storage, "outbox", message("a", user_name=value))
    stored = (await storage.get("outbox", {"id": "a"}) or {})["user_name"]
    assert (type(stored), stored == value) == (str, True)
    assert await storage.count("outbox", [Where("user_name", "=", value)]) == 1


@pytest.mark.parametrize("value", NUMBERS)
async def test_numbers_survive(storage: Storage, value: int) -> None:
    await insert(storage, "outbox", message("a", tries=value))
    stored = (await storage.get("outbox", {"id": "a"}) or {})["tries"]
    assert (type(stored), stored) == (int, value)
    assert await storage.count("outbox", [Where("tries", "=", value)]) == 1


@pytest.mark.parametrize("value", OCTETS, ids=range(len(OCTETS)))
async def test_bytes_survive(storage: Storage, value: bytes) -> None:
    await insert(storage, "outbox", message("a", sealed=value))
    stored = (await storage.get("outbox", {"id": "a"}) or {})["sealed"]
    assert (type(stored), stored == value) == (bytes, True)
    assert await storage.count("outbox", [Where("sealed", "=", value)]) == 1


async def test_bytes_are_a_key_with_nul_and_all(storage: Storage) -> None:
    keys = [b"", b"\0", b"\0\0", b"a", b"a\0", bytes(255)]
    for key in keys:
        await insert(storage, "brake", {**brake("a"), "key": key})
    for key in keys:
        assert (await storage.get("brake", {"kind": "user", "key": key}) or {})["key"] == key
    assert [item["key"] for item in await storage.find("brake", order_by="key")] == sorted(keys)


async def test_text_that_looks_alike_is_not_the_same(storage: Storage) -> None:
    for number, name in enumerate(["ada", "Ada", "ada ", "àda", "a\u0300da"]):
        await insert(storage, "local_user", user(f"{number}", name))
    assert await refused(storage, Insert("local_user", user("9", "Ada"))) == (0, "exists")
    assert await storage.count("local_user", [Where("name_key", "=", "ada")]) == 1


async def test_text_of_digits_is_not_a_number(storage: Storage) -> None:
    await insert(storage, "brake", brake("a", stamps="0001"))
    assert (await storage.get("brake", brake_key("a")) or {})["stamps"] == "0001"


class _State(StrEnum):
    READY = "ready"


class _Number(IntEnum):
    TWO = 2


@pytest.mark.parametrize(
    ("value", "column", "stored"), [(_State.READY, "state", "ready"), (_Number.TWO, "tries", 2), (True, "tries", 1)]
)
async def test_an_enum_or_truth_value_is_stored_as_what_it_stands_for(
    storage: Storage, value: Value, column: str, stored: Value
) -> None:
    await insert(storage, "outbox", message("a", **{column: value}))
    found = (await storage.get("outbox", {"id": "a"}) or {})[column]
    assert (type(found), found) == (type(stored), stored)
    assert await storage.count("outbox", [Where(column, "=", value)]) == 1
