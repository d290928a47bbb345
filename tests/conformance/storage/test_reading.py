"""get, find and count."""

import asyncio

import pytest

from tests.conformance.storage.rows import brake, brake_key, ids, insert, message
from wardgate.errors import StorageError, StorageUnavailable
from wardgate.storage.port import MAX_IN_VALUES, Find, Lookup, Storage, Update, Value, Where


async def test_get_returns_the_whole_row(storage: Storage) -> None:
    await insert(storage, "brake", brake("a", level=3), brake("b"))
    assert await storage.get("brake", brake_key("a")) == brake("a", level=3)


async def test_get_of_a_missing_row_is_none(storage: Storage) -> None:
    assert await storage.get("brake", brake_key("a")) is None


async def test_a_row_that_was_read_is_a_copy(storage: Storage) -> None:
    await insert(storage, "brake", brake("a"))
    read = await storage.get("brake", brake_key("a"))
    assert isinstance(read, dict)
    read["level"] = 99
    assert await storage.get("brake", brake_key("a")) == brake("a")


async def test_get_reads_the_present_row_each_time(storage: Storage) -> None:
    await insert(storage, "brake", brake("a"))
    for level in range(1, 6):
        await storage.commit([Update("brake", brake_key("a"), {"level": level})])
        assert (await storage.get("brake", brake_key("a")) or {})["level"] == level


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ((), ["a", "b", "c", "d"]),
        ((Where("tries", "=", 2),), ["b"]),
        ((Where("tries", "!=", 2),), ["a", "c", "d"]),
        ((Where("tries", "<", 2),), ["a"]),
        ((Where("tries", "<=", 2),), ["a", "b"]),
        ((Where("tries", ">", 3),), ["d"]),
        ((Where("tries", ">=", 3),), ["c", "d"]),
        ((Where("tries", "in", (1, 3, 7)),), ["a", "c"]),
        ((Where("tries", "in", (1, 2, 3, 4, 5)),), ["a", "b", "c", "d"]),
        ((Where("tries", "in", ()),), []),
        ((Where("tries", ">", 1), Where("tries", "in", ())), []),
        ((Where("tries", ">", 1), Where("tries", "<", 4)), ["b", "c"]),
        ((Where("id", ">=", "c"),), ["c", "d"]),
        ((Where("gateway", "is_null"),), ["a", "b"]),
        ((Where("gateway", "not_null"),), ["c", "d"]),
        ((Where("gateway", "=", "sms"),), ["c"]),
        ((Where("sealed", "=", b"\x00\xff"),), ["d"]),
    ],
)
async def test_find_and_count_by_condition(storage: Storage, where: tuple[Where, ...], expected: list[str]) -> None:
    await _four_messages(storage)
    assert await ids(storage, "outbox", *where) == expected
    assert await storage.count("outbox", where) == len(expected)


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
async def test_a_comparison_with_a_stored_null_never_holds(storage: Storage, operator: str) -> None:
    await insert(storage, "outbox", message("a", sent_at=None))
    assert await storage.find("outbox", [Where("sent_at", operator, 5)]) == []


async def test_null_is_not_among_the_values_of_in(storage: Storage) -> None:
    await insert(storage, "outbox", message("a", sent_at=None), message("b", sent_at=5))
    assert await ids(storage, "outbox", Where("sent_at", "in", (5, 6))) == ["b"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 63, 64, 65, MAX_IN_VALUES])
async def test_in_takes_any_number_of_values_up_to_its_limit(storage: Storage, count: int) -> None:
    await insert(storage, "outbox", *[message(f"{n:03}", tries=n) for n in range(3)])
    assert await storage.count("outbox", [Where("tries", "in", tuple(range(count)))]) == min(count, 3)


@pytest.mark.parametrize(
    ("descending", "expected"),
    [(False, ["c", "d", "a", "b"]), (True, ["b", "a", "d", "c"])],
)
async def test_order_has_null_first_and_breaks_ties_by_primary_key(storage: Storage, descending: bool, expected: list[str]) -> None:
    await insert(
        storage,
        "outbox",
        message("d", sent_at=None),
        message("b", sent_at=7),
        message("a", sent_at=7),
        message("c", sent_at=None),
    )
    rows = await storage.find("outbox", order_by="sent_at", descending=descending)
    assert [item["id"] for item in rows] == expected


async def test_text_is_ordered_by_code_point(storage: Storage) -> None:
    names = ["Z", "a", "é", "ı", "İ", "\uffff", "\U0001f600", "aa", ""]
    await insert(storage, "outbox", *[message(name) for name in names])
    rows = await storage.find("outbox", order_by="id")
    assert [item["id"] for item in rows] == sorted(names)
    assert [item["id"] for item in await storage.find("outbox", [Where("id", ">", "é")], order_by="id")] == sorted(names)[-4:]


@pytest.mark.parametrize("limit", [0, 1, 3, 64, 65, 1000])
async def test_limit_takes_the_first_in_order(storage: Storage, limit: int) -> None:
    await insert(storage, "outbox", *[message(f"{n:03}", tries=-n) for n in range(100)])
    rows = await storage.find("outbox", order_by="tries", limit=limit)
    assert [item["tries"] for item in rows] == list(range(-99, 1))[:limit]


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 10_000])
async def test_count_goes_no_further_than_is_asked(storage: Storage, most: int) -> None:
    await insert(storage, "outbox", *[message(each, state="due") for each in "abc"], message("d", state="sent", tries=7))
    for where, matching in [((Where("state", "=", "due"),), 3), ((Where("tries", "<", 7),), 3), ((), 4)]:
        assert await storage.count("outbox", where, most) == min(most, matching)
    with pytest.raises(StorageError, match="a limit is"):
        await storage.count("outbox", (), -1)


async def test_find_returns_all_rows_of_a_key_that_has_many(storage: Storage) -> None:
    await insert(storage, "outbox", *[message(f"{n:03}", state="due") for n in range(300)], message("other", state="sent"))
    for _ in range(2):
        assert len(await storage.find("outbox", [Where("state", "=", "due")], order_by="id")) == 300
        assert await storage.get("outbox", {"id": "other"}) == message("other", state="sent")


async def test_long_reads_at_once_do_not_mix(storage: Storage) -> None:
    await insert(storage, "outbox", *[message(f"{n:03}", tries=n % 2) for n in range(200)])
    even, odd, total = await asyncio.gather(
        storage.find("outbox", [Where("tries", "=", 0)]),
        storage.find("outbox", [Where("tries", "=", 1)]),
        storage.count("outbox"),
    )
    assert ({item["tries"] for item in even}, {item["tries"] for item in odd}, total) == ({0}, {1}, 200)


@pytest.mark.parametrize(
    "where",
    [
        Where("nothing", "=", 1),
        Where("tries", "like", 1),
        Where("tries", "=", None),
        Where("tries", "in", None),
        Where("tries", "in", (1, None)),
        Where("tries", "in", tuple(range(MAX_IN_VALUES + 1))),
        Where("tries", "=", "one"),
        Where("tries", "=", b"1"),
        Where("id", "=", 1),
        Where("id", "=", b"a"),
        Where("sealed", "=", "a"),
        Where("tries", "=", (1,)),
        Where("tries", "=", 2**63),
        Where("tries", "is_null", 1),
        Where("id", "=", "\ud800"),
        Where("id", "=", "a\0b"),
    ],
)
async def test_a_condition_that_cannot_be_meant_is_an_error(storage: Storage, where: Where) -> None:
    for table_is_there in (storage.find("outbox", [where]), storage.count("outbox", [where])):
        with pytest.raises(StorageError):
            await table_is_there


async def test_a_wrong_name_is_an_error(storage: Storage) -> None:
    for read in (
        storage.get("nothing", {"id": "a"}),
        storage.find("nothing"),
        storage.count("nothing"),
        storage.find("outbox", order_by="nothing"),
        storage.find("outbox", limit=-1),
        storage.get("brake", {"kind": "user"}),
        storage.get("brake", {"kind": "user", "key": b"a", "level": 0}),
        storage.get("brake", {"kind": "user", "id": b"a"}),
        storage.get("brake", {"kind": "user", "key": "text"}),
        storage.get("brake", {"kind": "user", "key": None}),
    ):
        with pytest.raises(StorageError):
            await read


async def _four_messages(storage: Storage) -> None:
    await insert(
        storage,
        "outbox",
        message("a", tries=1),
        message("b", tries=2),
        message("c", tries=3, gateway="sms"),
        message("d", tries=4, gateway="mail", sealed=b"\x00\xff"),
    )


async def test_a_read_answers_every_find_in_order(storage: Storage) -> None:
    await insert(storage, "brake", brake("a"), brake("b", level=2), brake("c", level=2))
    found = await storage.read(
        [
            Find("brake", (Where("level", "=", 2),), order_by="key", descending=True),
            Find("incident"),
            Find("brake", (Where("key", "=", brake_key("a")["key"]),)),
            Find("brake", (Where("level", "=", 2),), order_by="key", limit=1),
        ]
    )
    assert found == [[brake("c", level=2), brake("b", level=2)], [], [brake("a")], [brake("b", level=2)]]
    assert await storage.read([]) == []


async def test_a_read_of_a_key_that_has_many_rows_returns_them_all(storage: Storage) -> None:
    await insert(storage, "outbox", *[message(f"{n:03}", state="due") for n in range(300)])
    finds = [Find("outbox", (Where("id", "=", "007"),)), Find("outbox", (Where("state", "=", "due"),), order_by="id")]
    for _ in range(2):
        one, many = await storage.read(finds)
        assert ([item["id"] for item in one], len(many)) == (["007"], 300)
    await insert(storage, "outbox", message("new"))
    assert len((await storage.read([Find("outbox", (Where("id", "=", "new"),)), finds[0]]))[0]) == 1


IN_TURN = Lookup(
    "outbox", ("state", "gateway"), also=(Where("tries", "in", (1, 2, 3)),), order_by="tries", descending=True, limit=2
)


async def test_a_lookup_finds_what_a_find_of_the_same_conditions_finds(storage: Storage) -> None:
    messages = [message(f"{n}", tries=n, gateway="sms" if n % 2 else "mail", state="due") for n in range(6)]
    await insert(storage, "outbox", *messages)
    for gateway, found in [("sms", ["3", "1"]), ("mail", ["2"]), ("", []), ("sms", ["3", "1"])]:
        sought = IN_TURN("due", gateway)
        find = Find("outbox", sought.where, sought.order_by, sought.descending, sought.limit)
        rows, same = await storage.read([sought, find])
        assert ([item["id"] for item in rows], rows) == (found, same)


async def test_a_lookup_of_a_key_that_has_many_rows_returns_them_all(storage: Storage) -> None:
    await insert(storage, "outbox", *[message(f"{n:03}", tries=1, state="due") for n in range(300)])
    for _ in range(2):
        rows, one = await storage.read([Lookup("outbox", ("tries",))(1), Lookup("outbox", ("id",))("007")])
        assert (len(rows), [item["id"] for item in one]) == (300, ["007"])


@pytest.mark.parametrize("values", [(), ("due",), ("due", "sms", "more"), ("due", None), ("due", 7), ("due", "a\0b")])
async def test_a_lookup_with_values_that_do_not_fit_is_refused(storage: Storage, values: tuple[Value, ...]) -> None:
    for known in (False, True):
        with pytest.raises(StorageError):
            await storage.read([IN_TURN(*values)])
        if not known:
            await storage.read([IN_TURN("due", "sms")])


async def test_a_read_after_close_or_of_what_is_not_there_is_an_error(storage: Storage) -> None:
    with pytest.raises(StorageError):
        await storage.read([Find("outbox", (Where("id", "=", "a"),)), Find("nothing")])
    await storage.close()
    with pytest.raises(StorageUnavailable):
        await storage.read([Find("outbox", (Where("id", "=", "a"),))])


async def test_a_read_that_asks_for_too_much_is_refused(storage: Storage) -> None:
    with pytest.raises(StorageError, match="at most 32 finds"):
        await storage.read([Find("incident")] * 33)
