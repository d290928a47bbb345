"""A unique value: each step is judged by who holds the value at its turn, whatever other steps take or give up.

The back-ends differ in when they learn who holds a value: SQLite at each step, PostgreSQL perhaps only when the whole batch is
written, and by then a later step may have made the wrong of an earlier one good.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.conformance.storage.rows import TextChain, committed, event, insert, user
from wardgate.storage.port import (
    Commit,
    Committed,
    Delete,
    Insert,
    Modified,
    Modify,
    Operation,
    Refused,
    Row,
    Storage,
    Update,
    Upsert,
    Value,
    Where,
)

# "holder" has the name "wanted" at first; "other" has another one, and "new" is not there.
START = (("holder", "wanted"), ("other", "other"))
REFUSED = Refused(0, "exists")
MISSING = Update("local_user", {"id": "nobody"}, {"name_key": "x"})


def _rename(current: Row | None, arguments: Row) -> Modified:
    return Modified({**(current or user("", "")), "name_key": arguments["name"]}, "renamed")


def _insert(identifier: str, name: str) -> Operation:
    return Insert("local_user", user(identifier, name))


def _upsert(identifier: str, name: str) -> Operation:
    return Upsert("local_user", user(identifier, name))


def _update(identifier: str, name: str) -> Operation:
    return Update("local_user", {"id": identifier}, {"name_key": name})


def _modify(identifier: str, name: str) -> Operation:
    return Modify("local_user", {"id": identifier}, _rename, {"name": name})


def _delete(identifier: str, name: str) -> Operation:
    return Delete("local_user", (Where("id", "=", identifier),))


def _sweep(identifier: str, name: str) -> Operation:
    return Delete("local_user", (Where("name_key", "=", "wanted"), Where("id", "=", identifier)), limit=1)


Make = Callable[[str, str], Operation]
# How a row comes to a name, and how the row that has it gives it up for another.
TAKE: Mapping[str, tuple[str, Make]] = {
    "insert": ("new", _insert),
    "upsert": ("new", _upsert),
    "upsert-there": ("other", _upsert),
    "update": ("other", _update),
    "modify": ("new", _modify),
    "modify-there": ("other", _modify),
}
Pair = tuple[str, Make, Make]
GIVE_UP: Mapping[str, Make] = {"upsert": _upsert, "update": _update, "modify": _modify, "delete": _delete, "sweep": _sweep}


# Every way to take with one to give up, and every way to give up with one to take.
PAIRS = [*[(take, "upsert") for take in TAKE], *[("insert", give_up) for give_up in GIVE_UP if give_up != "upsert"]]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Who takes a name and how, and how a name is given up."""
    take, give_up = request.param
    return *TAKE[take], GIVE_UP[give_up]


async def _together(storage: Storage, *units: list[Operation]) -> list[Commit]:
    """Commit units that wait together."""
    return await asyncio.gather(*[storage.commit(unit) for unit in units])


async def _names(storage: Storage) -> dict[Value, Value]:
    return {item["id"]: item["name_key"] for item in await storage.find("local_user")}


async def _start(storage: Storage) -> None:
    storage.use_chain(TextChain())
    await insert(storage, "local_user", *[user(identifier, name) for identifier, name in START])


async def test_a_name_is_not_free_before_the_step_that_gives_it_up(storage: Storage, pair: Pair) -> None:
    await _start(storage)
    who, how, give_up = pair
    assert await _together(storage, [how(who, "wanted"), give_up("holder", "free")]) == [REFUSED]
    assert await _names(storage) == dict(START)


async def test_a_name_is_free_after_the_step_that_gives_it_up(storage: Storage, pair: Pair) -> None:
    await _start(storage)
    who, how, give_up = pair
    await committed(storage, give_up("holder", "free"), how(who, "wanted"))
    assert (await _names(storage))[who] == "wanted"


async def test_a_unit_is_refused_that_comes_before_the_one_that_gives_the_name_up(storage: Storage, pair: Pair) -> None:
    await _start(storage)
    who, how, give_up = pair
    outcomes = await _together(storage, [how(who, "wanted")], [give_up("holder", "free")], [how(who, "wanted")])
    assert outcomes[0] == REFUSED
    assert [type(outcome) for outcome in outcomes[1:]] == [Committed, Committed]
    assert (await _names(storage))[who] == "wanted"


@pytest.mark.parametrize("together", [True, False])
async def test_a_name_that_is_taken_only_for_a_moment_was_not_free_either(storage: Storage, pair: Pair, together: bool) -> None:
    """At the end nobody else has it, and the row that had it for a moment may even be as it was."""
    await _start(storage)
    who, how, give_up = pair
    back = "other" if who == "other" else "fleeting"
    if together:
        assert await _together(storage, [how(who, "wanted"), give_up(who, back)]) == [REFUSED]
        assert await _names(storage) == dict(START)
    else:
        assert (await _together(storage, [how(who, "wanted")], [give_up(who, back)]))[0] == REFUSED
        assert (await _names(storage))["holder"] == "wanted"


async def test_a_name_that_its_holder_takes_back_was_not_free_in_between(storage: Storage, pair: Pair) -> None:
    """At the end the right one has it, as if nothing had been."""
    await _start(storage)
    who, how, give_up = pair
    unit = [how(who, "wanted"), give_up(who, "fleeting"), _upsert("holder", "wanted")]
    assert await _together(storage, unit) == [REFUSED]
    assert await _names(storage) == dict(START)


async def test_a_taken_name_is_the_first_reason_of_a_refusal(storage: Storage, pair: Pair) -> None:
    """A unit that a later step would refuse as well is refused at its first wrong step."""
    await _start(storage)
    who, how, give_up = pair
    for unit in (
        [how(who, "wanted"), MISSING],
        [how(who, "wanted"), give_up("holder", "free"), MISSING],
        [how(who, "wanted"), give_up(who, "fleeting"), MISSING],
    ):
        assert await _together(storage, unit) == [REFUSED]
    assert await _names(storage) == dict(START)


async def test_what_a_refused_unit_gives_up_stays_taken(storage: Storage, pair: Pair) -> None:
    await _start(storage)
    who, how, give_up = pair
    assert await _together(storage, [give_up("holder", "free"), MISSING], [how(who, "wanted")]) == [Refused(1, "conflict"), REFUSED]
    assert await _names(storage) == dict(START)


async def test_two_rows_can_exchange_their_names_by_way_of_a_third(storage: Storage) -> None:
    await _start(storage)
    unit = [_update("holder", "third"), _update("other", "wanted"), _upsert("holder", "other")]
    await committed(storage, *unit)
    assert await _names(storage) == {"holder": "other", "other": "wanted"}


async def test_two_rows_cannot_exchange_their_names_without_one(storage: Storage) -> None:
    await _start(storage)
    for unit in (
        [_update("holder", "other"), _update("other", "wanted")],
        [_upsert("holder", "other"), _upsert("other", "wanted")],
    ):
        assert await _together(storage, unit) == [REFUSED]
    assert await _names(storage) == dict(START)


async def test_a_refusal_by_a_name_takes_no_event_with_it_and_leaves_none(storage: Storage) -> None:
    """The audit trail tells of what happened and of nothing else, in order."""
    await _start(storage)
    outcomes = await _together(
        storage,
        [event("before")],
        [event("refused"), _insert("new", "wanted"), _upsert("holder", "free")],
        [event("renamed"), _upsert("holder", "free")],
        [event("added"), _insert("new", "wanted")],
    )
    assert outcomes == [Committed((1,)), Refused(1, "exists"), Committed((2, None)), Committed((3, None))]
    assert [item["kind"] for item in await storage.find("audit_event", order_by="seq")] == ["before", "renamed", "added"]


async def test_rows_that_are_written_blindly_do_not_stand_in_each_others_way(storage: Storage) -> None:
    """Many rows are replaced at once and each takes a name that was free: what cannot clash is not refused."""
    await _start(storage)
    outcomes = await _together(storage, *[[_upsert(f"{n}", f"name {n}")] for n in range(30)])
    assert outcomes == [Committed((None,))] * 30
    outcomes = await _together(storage, *[[_upsert(f"{n}", f"name {n + 1}")] for n in reversed(range(30))])
    assert outcomes == [Committed((None,))] * 30
    outcomes = await _together(storage, *[[_upsert(f"{n}", f"name {n + 2}")] for n in range(29)])
    assert outcomes == [REFUSED] * 29
