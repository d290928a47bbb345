"""Each operation by itself."""

import asyncio

import pytest

from tests.conformance.storage.rows import brake, brake_key, committed, ids, insert, message, refused, row, user
from wardgate.errors import StorageError
from wardgate.storage.port import (
    MAX_UNIT_OPERATIONS,
    Announce,
    Delete,
    Insert,
    Modified,
    Modify,
    Operation,
    Row,
    Storage,
    Update,
    Upsert,
    Where,
)

A = brake_key("a")


async def test_an_empty_unit_holds(storage: Storage) -> None:
    assert await committed(storage) == ()


# --- insert ---


async def test_insert_adds_the_row(storage: Storage) -> None:
    assert await committed(storage, Insert("brake", brake("a", level=2))) == (None,)
    assert await storage.get("brake", A) == brake("a", level=2)


async def test_insert_is_refused_when_the_primary_key_is_taken(storage: Storage) -> None:
    await insert(storage, "brake", brake("a", level=1))
    assert await refused(storage, Insert("brake", brake("a", level=2))) == (0, "exists")
    assert (await storage.get("brake", A) or {})["level"] == 1


async def test_insert_is_refused_when_a_unique_value_is_taken(storage: Storage) -> None:
    await insert(storage, "local_user", user("1", "ada"))
    assert await refused(storage, Insert("local_user", user("2", "ada"))) == (0, "exists")
    assert await storage.count("local_user") == 1


async def test_a_unique_column_that_is_empty_clashes_with_nothing(storage: Storage) -> None:
    """Open logins hold their fold key, finished ones give it up: the key is unique, its absence is not."""
    await insert(storage, "login_transaction", row("login_transaction", id="1"), row("login_transaction", id="2"))
    hold = {"fold_key": b"k"}
    await committed(storage, Update("login_transaction", {"id": "1"}, hold))
    assert await refused(storage, Update("login_transaction", {"id": "2"}, hold)) == (0, "exists")
    assert await refused(storage, Insert("login_transaction", row("login_transaction", id="3", fold_key=b"k"))) == (0, "exists")
    await committed(
        storage, Update("login_transaction", {"id": "1"}, {"fold_key": None}), Update("login_transaction", {"id": "2"}, hold)
    )


async def test_a_unique_value_is_free_again_after_its_row_went(storage: Storage) -> None:
    await insert(storage, "local_user", user("1", "ada"))
    await committed(storage, Delete("local_user", (Where("id", "=", "1"),)))
    await insert(storage, "local_user", user("2", "ada"))


async def test_a_column_that_may_be_empty_may_be_left_out(storage: Storage) -> None:
    given = {name: value for name, value in message("a").items() if value is not None}
    await insert(storage, "outbox", given)
    assert await storage.get("outbox", {"id": "a"}) == message("a")


# --- update ---


async def test_update_changes_only_what_it_names(storage: Storage) -> None:
    await insert(storage, "brake", brake("a", level=1, failures=5), brake("b", level=1))
    assert await committed(storage, Update("brake", A, {"level": 2})) == (None,)
    assert await storage.get("brake", A) == brake("a", level=2, failures=5)
    assert await storage.get("brake", brake_key("b")) == brake("b", level=1)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ((Where("level", "=", 3),), True),
        ((Where("level", "<", 3),), False),
        ((Where("level", "<=", 3), Where("failures", "=", 0)), True),
        ((Where("level", "<=", 3), Where("failures", "!=", 0)), False),
        ((Where("level", "in", (1, 3)),), True),
        ((Where("level", "in", ()),), False),
        ((Where("stamps", "=", ""),), True),
    ],
)
async def test_update_happens_only_when_every_condition_holds(storage: Storage, where: tuple[Where, ...], holds: bool) -> None:
    await insert(storage, "brake", brake("a", level=3))
    update = Update("brake", A, {"level": 4}, where)
    if holds:
        await committed(storage, update)
    else:
        assert await refused(storage, update) == (0, "conflict")
    assert (await storage.get("brake", A) or {})["level"] == (4 if holds else 3)


async def test_update_of_a_missing_row_is_a_conflict(storage: Storage) -> None:
    assert await refused(storage, Update("brake", A, {"level": 1})) == (0, "conflict")


async def test_update_compares_null_as_null(storage: Storage) -> None:
    await insert(storage, "outbox", message("a"))
    claim = Update("outbox", {"id": "a"}, {"claimed_by": "w1"}, (Where("claimed_by", "is_null"),))
    await committed(storage, claim)
    assert await refused(storage, claim) == (0, "conflict")
    await committed(storage, Update("outbox", {"id": "a"}, {"claimed_by": None}, (Where("claimed_by", "not_null"),)))
    await committed(storage, claim)


async def test_update_adds(storage: Storage) -> None:
    await insert(storage, "brake", brake("a", failures=5, in_flight=1))
    await committed(storage, Update("brake", A, {"level": 1}, add={"failures": 2, "in_flight": -3}))
    assert await storage.get("brake", A) == brake("a", failures=7, in_flight=-2, level=1)
    await committed(storage, Update("brake", A, {}, add={"failures": 1}))
    assert (await storage.get("brake", A) or {})["failures"] == 8


@pytest.mark.parametrize(("stored", "amount"), [(2**63 - 1, 1), (-(2**63), -1), (2**62, 2**62), (5, 2**63 - 1)])
async def test_a_counter_never_leaves_64_bits(storage: Storage, stored: int, amount: int) -> None:
    await insert(storage, "brake", brake("a", failures=stored))
    assert await refused(storage, Update("brake", A, {}, add={"failures": amount})) == (0, "conflict")
    assert (await storage.get("brake", A) or {})["failures"] == stored


@pytest.mark.parametrize(("stored", "amount"), [(2**63 - 2, 1), (-(2**63), 2**63 - 1), (0, -(2**63)), (-1, -(2**63 - 1))])
async def test_a_counter_reaches_the_ends_of_64_bits(storage: Storage, stored: int, amount: int) -> None:
    await insert(storage, "brake", brake("a", failures=stored))
    await committed(storage, Update("brake", A, {}, add={"failures": amount}))
    assert (await storage.get("brake", A) or {})["failures"] == stored + amount


async def test_nothing_can_be_added_to_null(storage: Storage) -> None:
    await insert(storage, "outbox", message("a", sent_at=None))
    assert await refused(storage, Update("outbox", {"id": "a"}, {}, add={"sent_at": 1})) == (0, "conflict")


async def test_update_is_refused_when_it_takes_a_unique_value_that_is_taken(storage: Storage) -> None:
    await insert(storage, "local_user", user("1", "ada"), user("2", "bob"))
    assert await refused(storage, Update("local_user", {"id": "2"}, {"name_key": "ada"})) == (0, "exists")
    await committed(storage, Update("local_user", {"id": "2"}, {"name_key": "bob"}))
    await committed(storage, Update("local_user", {"id": "2"}, {"name_key": "carol"}))
    await insert(storage, "local_user", user("3", "bob"))


async def test_update_without_changes_only_demands(storage: Storage) -> None:
    await insert(storage, "brake", brake("a", level=1))
    await committed(storage, Update("brake", A, {}, (Where("level", "=", 1),)))
    assert await refused(storage, Update("brake", A, {}, (Where("level", "=", 2),))) == (0, "conflict")
    assert await refused(storage, Update("brake", brake_key("b"), {})) == (0, "conflict")


# --- upsert ---


async def test_upsert_adds_and_replaces(storage: Storage) -> None:
    assert await committed(storage, Upsert("outbox", message("a", gateway="sms", tries=1))) == (None,)
    await committed(storage, Upsert("outbox", {k: v for k, v in message("a", tries=2).items() if v is not None}))
    assert await storage.get("outbox", {"id": "a"}) == message("a", tries=2)
    assert await storage.count("outbox") == 1


async def test_upsert_is_refused_when_another_row_has_a_unique_value(storage: Storage) -> None:
    await insert(storage, "local_user", user("1", "ada"))
    await committed(storage, Upsert("local_user", user("1", "ada", display_name="Ada")))
    assert await refused(storage, Upsert("local_user", user("2", "ada"))) == (0, "exists")
    assert await ids(storage, "local_user") == ["1"]


# --- delete ---


async def test_delete_says_how_many_went(storage: Storage) -> None:
    await insert(storage, "brake", *[brake(f"{n}", expires_at=n) for n in range(10)])
    assert await committed(storage, Delete("brake", (Where("expires_at", "<", 4),))) == (4,)
    assert await committed(storage, Delete("brake", (Where("expires_at", "<", 4),))) == (0,)
    assert await storage.count("brake") == 6


@pytest.mark.parametrize(("limit", "gone"), [(0, 0), (3, 3), (7, 7), (100, 8)])
async def test_delete_keeps_to_its_limit(storage: Storage, limit: int, gone: int) -> None:
    await insert(storage, "brake", *[brake(f"{n}", expires_at=n) for n in range(10)])
    await insert(storage, "outbox", *[message(f"{n}", expires_at=n) for n in range(10)])
    condition = (Where("expires_at", "<", 8),)
    assert await committed(storage, Delete("brake", condition, limit), Delete("outbox", condition, limit)) == (gone, gone)
    assert (await storage.count("brake"), await storage.count("outbox")) == (10 - gone, 10 - gone)
    assert await storage.count("brake", [Where("expires_at", ">=", 8)]) == 2


# --- modify ---


def _count_up(current: Row | None, arguments: Row) -> Modified:
    """Count in `level`; the result is what it was."""
    if current is None:
        return Modified(row("brake", level=arguments["first"]), "new")
    level = current["level"]
    if not isinstance(level, int) or level >= 3:
        return Modified(None, "enough")
    return Modified({**current, "level": level + 1}, level)


def _nothing(current: Row | None, arguments: Row) -> Modified:
    return Modified(None, (current, dict(arguments)))


def _fail(current: Row | None, arguments: Row) -> Modified:
    raise ValueError("a mistake in a room")


def _misfit(current: Row | None, arguments: Row) -> Modified:
    return Modified({**brake("a"), "level": "high"})


def _take_name(current: Row | None, arguments: Row) -> Modified:
    return Modified(user("ignored", "ada"))


async def test_modify_creates_changes_and_leaves(storage: Storage) -> None:
    step = Modify("brake", A, _count_up, {"first": 1})
    assert await committed(storage, step) == ("new",)
    assert await storage.get("brake", A) == brake("a", level=1)
    assert await committed(storage, step, step) == (1, 2)
    assert await committed(storage, step) == ("enough",)
    assert await storage.get("brake", A) == brake("a", level=3)


async def test_modify_passes_the_row_and_the_arguments(storage: Storage) -> None:
    assert await committed(storage, Modify("brake", A, _nothing, {"x": 1})) == ((None, {"x": 1}),)
    await insert(storage, "brake", brake("a", level=7))
    assert await committed(storage, Modify("brake", A, _nothing)) == ((brake("a", level=7), {}),)


@pytest.mark.parametrize("function", [_fail, _misfit])
async def test_a_modify_that_fails_is_an_error_of_its_unit_alone(storage: Storage, function: object) -> None:
    good = [storage.commit([Insert("brake", brake(f"{n}"))]) for n in range(3)]
    bad = storage.commit([Insert("outbox", message("x")), Modify("brake", A, function)])  # type: ignore[arg-type]
    *outcomes, error = await asyncio.gather(*good, bad, return_exceptions=True)
    assert [type(item).__name__ for item in outcomes] == ["Committed"] * 3
    assert isinstance(error, StorageError)
    assert (await storage.count("outbox"), await storage.count("brake")) == (0, 3)


async def test_modify_is_refused_when_the_new_row_takes_a_unique_value(storage: Storage) -> None:
    await insert(storage, "local_user", user("1", "ada"))
    assert await refused(storage, Modify("local_user", {"id": "2"}, _take_name)) == (0, "exists")
    await committed(storage, Modify("local_user", {"id": "1"}, _take_name))


# --- what does not fit ---


@pytest.mark.parametrize(
    "operation",
    [
        Insert("nothing", {}),
        Insert("brake", {**brake("a"), "nothing": 1}),
        Insert("brake", {"kind": "user"}),
        Insert("brake", {name: value for name, value in brake("a").items() if name != "level"}),
        Insert("brake", brake("a", level=None)),
        Insert("brake", brake("a", level="1")),
        Insert("brake", brake("a", level=1.5)),  # type: ignore[arg-type]
        Insert("brake", brake("a", level=2**63)),
        Insert("brake", brake("a", level=-(2**63) - 1)),
        Insert("brake", brake("a", stamps=b"bytes")),
        Insert("brake", brake("a", stamps="half \ud83d")),
        Insert("brake", brake("a", stamps="nul \0")),
        Insert("brake", {**brake("a"), "key": "text"}),
        Upsert("brake", {"kind": "user"}),
        Update("nothing", {}, {}),
        Update("brake", {"kind": "user"}, {"level": 1}),
        Update("brake", A, {"nothing": 1}),
        Update("brake", A, {"kind": "other"}),
        Update("brake", A, {"level": "1"}),
        Update("brake", A, {"level": 1}, add={"level": 1}),
        Update("brake", A, {}, add={"stamps": 1}),
        Update("brake", A, {}, add={"level": None}),  # type: ignore[dict-item]
        Update("brake", A, {}, add={"level": 2**64}),
        Update("brake", A, {"level": 1}, (Where("nothing", "=", 1),)),
        Update("brake", A, {"level": 1}, (Where("level", "=", None),)),
        Delete("brake", ()),
        Delete("brake", (Where("level", "=", 1),), -1),
        Delete("brake", (Where("nothing", "=", 1),)),
        Delete("nothing", (Where("level", "=", 1),)),
        Modify("brake", {}, _nothing),
        Modify("nothing", {}, _nothing),
        "no operation",
    ],
)
async def test_an_operation_that_does_not_fit_is_an_error_and_writes_nothing(storage: Storage, operation: Operation) -> None:
    with pytest.raises(StorageError):
        await storage.commit([Insert("outbox", message("before")), operation, Insert("outbox", message("after"))])
    assert (await storage.count("outbox"), await storage.count("brake")) == (0, 0)


async def test_a_unit_has_a_greatest_size(storage: Storage) -> None:
    with pytest.raises(StorageError):
        await storage.commit([Announce("t", "k")] * (MAX_UNIT_OPERATIONS + 1))
    assert await committed(storage, *[Insert("outbox", message(f"{n}")) for n in range(1000)]) == (None,) * 1000
