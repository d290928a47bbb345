"""The chain and its verifier, with the eyes of somebody who may write to the database but has no key."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.world import BACKENDS, a_ring, a_storage
from wardgate.audit.events import AuditEvent, Kind, commitment, record
from wardgate.audit.trail import GENESIS, Chain, Head, chain_for, verify
from wardgate.storage.port import GENESIS_LINK, MAX_UNIT_OPERATIONS, Delete, Insert, Row, Storage, Where

RING = a_ring()
EVENTS = 12


@pytest.fixture(params=BACKENDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with a_storage(request.param, tmp_path) as storage:
        storage.use_chain(chain_for(RING, "node-1", 1))
        yield storage


def event(number: int) -> AuditEvent:
    return AuditEvent(
        Kind.LOGIN_GRANTED,
        1_000_000 + number,
        "engine",
        transaction_id=f"t{number}" if number % 2 else None,
        reference=f"REF{number:05d}",
        subject_id="s1",
        details={"user": f"user{number}", "factors": ["password", "totp"]},
    )


async def write(storage: Storage, count: int = EVENTS, first: int = 1) -> None:
    for number in range(first, first + count):
        await storage.commit([record(event(number))])


async def rows(storage: Storage) -> list[dict[str, Any]]:
    return [dict(row) for row in await storage.find("audit_event", order_by="seq")]


async def rewrite(storage: Storage, changed: list[dict[str, Any]]) -> None:
    """What somebody with an SQL shell leaves behind."""
    await storage.commit([Delete("audit_event", (Where("seq", ">=", -(2**62)),)), *(Insert("audit_event", row) for row in changed)])


async def problems(storage: Storage, *heads: Head) -> list[tuple[int, str]]:
    return [(finding.seq, finding.problem) for finding in (await verify(storage, RING, heads)).findings]


# --- sound -----------------------------------------------------------------------------------------------------------


async def test_a_sound_chain_verifies(storage: Storage) -> None:
    await write(storage)
    found = await verify(storage, RING)
    assert (found.events, found.erased, found.findings) == (EVENTS, 0, ())
    [head] = found.heads
    assert (head.writer, head.epoch, head.seq) == ("node-1", 1, EVENTS)
    assert head.link == (await rows(storage))[-1]["link"].hex()


async def test_no_events_are_no_findings(storage: Storage) -> None:
    found = await verify(storage, RING)
    assert (found.events, found.heads, found.findings) == (0, (), ())


async def test_links_begin_with_nothing_and_differ_for_equal_events(storage: Storage) -> None:
    assert GENESIS == GENESIS_LINK
    same = record(event(1))
    await storage.commit([same, same])
    first, second = await rows(storage)
    assert first["link"] != second["link"]
    assert first["link"] == chain_for(RING, "node-1", 1).link(GENESIS, 1, first)


async def test_chains_longer_than_a_page_verify(storage: Storage) -> None:
    unit = [record(event(number)) for number in range(2500)]
    assert len(unit) < MAX_UNIT_OPERATIONS
    await storage.commit(unit)
    found = await verify(storage, RING)
    assert (found.events, found.findings) == (2500, ())


async def test_each_writer_and_epoch_has_a_chain_of_its_own(storage: Storage) -> None:
    await write(storage)
    for writer, epoch in (("node-2", 1), ("node-1", 2), ("node-1", 10)):
        storage.use_chain(chain_for(RING, writer, epoch))
        await write(storage, 3)
    found = await verify(storage, RING)
    assert found.findings == ()
    assert found.events == EVENTS + 9
    assert {(head.writer, head.epoch, head.seq) for head in found.heads} == {
        ("node-1", 1, EVENTS),
        ("node-2", 1, 3),
        ("node-1", 2, 3),
        ("node-1", 10, 3),
    }


# --- changed ---------------------------------------------------------------------------------------------------------


def _other(value: object) -> list[object]:
    """Every way in which a value might be changed."""
    match value:
        case None:
            return ["", "x"]
        case int():
            return [value + 1, 0, -value]
        case bytes():
            flipped = bytes([value[0] ^ 1]) + value[1:]
            return [flipped, value[:-1], value + b"\0", b""]
        case str():
            return [value + " ", value[:-1], "", value.swapcase() if value.swapcase() != value else "x"]
    raise AssertionError(value)


@pytest.mark.parametrize(
    "column", ["kind", "created_at", "transaction_id", "reference", "subject_id", "payload", "salt", "commitment", "link"]
)
@pytest.mark.parametrize("at", [0, 5, EVENTS - 1])
async def test_a_changed_event_is_found(storage: Storage, column: str, at: int) -> None:
    await write(storage)
    sound = await rows(storage)
    for value in _other(sound[at][column]):
        changed = [dict(row) for row in sound]
        changed[at][column] = value
        await rewrite(storage, changed)
        found = await problems(storage)
        assert [seq for seq, _ in found] in ([at + 1], [at + 1, at + 2]), (column, value, found)


@pytest.mark.parametrize("column", ["transaction_id", "reference", "subject_id"])
async def test_an_id_that_was_taken_away_is_found(storage: Storage, column: str) -> None:
    await write(storage)
    changed = await rows(storage)
    assert changed[4][column] is not None
    changed[4][column] = None
    await rewrite(storage, changed)
    assert [seq for seq, _ in await problems(storage)] == [5]


@pytest.mark.parametrize("one", ["transaction_id", "reference", "subject_id"])
@pytest.mark.parametrize("other", ["transaction_id", "reference", "subject_id"])
async def test_ids_that_changed_places_are_found(storage: Storage, one: str, other: str) -> None:
    if one == other:
        return
    await write(storage)
    changed = await rows(storage)
    changed[4][one], changed[4][other] = changed[4][other], changed[4][one]
    await rewrite(storage, changed)
    assert [seq for seq, _ in await problems(storage)] == [5]


async def test_a_payload_with_a_commitment_made_to_fit_is_found(storage: Storage) -> None:
    await write(storage)
    changed = await rows(storage)
    forged = changed[4]["payload"].replace("user5", "mallory")
    changed[4].update(payload=forged, commitment=commitment(changed[4]["salt"], forged))
    await rewrite(storage, changed)
    assert await problems(storage) == [(5, "the event or one before it was changed")]


async def test_a_forged_payload_does_not_pass_as_an_erased_one(storage: Storage) -> None:
    """Without its salt a payload proves nothing: that must not read as `erased` while the forged text is shown to auditors."""
    await write(storage)
    changed = await rows(storage)
    changed[4].update(payload=changed[4]["payload"].replace("user5", "mallory"), salt=None)
    await rewrite(storage, changed)
    found = await verify(storage, RING)
    assert [(finding.seq, finding.problem) for finding in found.findings] == [(5, "the payload was changed")]
    assert found.erased == 0


async def test_an_event_that_moved_to_another_chain_is_found(storage: Storage) -> None:
    await write(storage)
    changed = await rows(storage)
    for row in changed:
        row["writer"] = "node-9"
    await rewrite(storage, changed)
    assert [seq for seq, _ in await problems(storage)] == list(range(1, EVENTS + 1))


async def test_a_chain_of_another_installation_is_found(storage: Storage) -> None:
    await write(storage)
    assert len((await verify(storage, a_ring())).findings) == EVENTS


# --- removed, inserted, reordered ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [[1], [1, 2], [5], [5, 6, 7], [EVENTS - 1], list(range(1, EVENTS))])
async def test_removed_events_are_found(storage: Storage, gone: list[int]) -> None:
    await write(storage)
    await rewrite(storage, [row for row in await rows(storage) if row["seq"] not in gone])
    assert await problems(storage) == [(gone[-1] + 1, f"event {gone[0]} is missing")]


async def test_the_first_event_of_one_of_several_chains_is_missed(storage: Storage) -> None:
    await write(storage)
    storage.use_chain(chain_for(RING, "node-2", 3))
    await write(storage, 3)
    await rewrite(storage, [row for row in await rows(storage) if (row["writer"], row["seq"]) != ("node-2", 1)])
    found = await verify(storage, RING)
    assert [(each.writer, each.epoch, each.problem) for each in found.findings] == [("node-2", 3, "event 1 is missing")]
    assert found.events == EVENTS + 2


async def test_removed_events_with_the_numbers_closed_up_are_found(storage: Storage) -> None:
    await write(storage)
    kept = [row for row in await rows(storage) if row["seq"] != 5]
    for row in kept[4:]:
        row["seq"] -= 1
    await rewrite(storage, kept)
    assert (await problems(storage))[0] == (5, "the event or one before it was changed")


async def test_an_inserted_event_is_found(storage: Storage) -> None:
    await write(storage)
    changed = await rows(storage)
    for row in changed[4:]:
        row["seq"] += 1
    changed.insert(4, {**changed[0], "seq": 5})
    await rewrite(storage, changed)
    assert (await problems(storage))[0][0] == 5


@pytest.mark.parametrize("seq", [0, -1, -(2**40)])
async def test_an_event_before_the_first_is_found(storage: Storage, seq: int) -> None:
    await write(storage)
    changed = await rows(storage)
    await rewrite(storage, [*changed, {**changed[3], "seq": seq}])
    assert (await problems(storage))[0] == (seq, "event 1 is missing")


@pytest.mark.parametrize("seq", [EVENTS + 1, EVENTS + 2, 2**62])
async def test_an_event_after_the_last_is_found_and_does_not_keep_the_verifier_busy(storage: Storage, seq: int) -> None:
    """A number far away must not make it look through all between."""
    await write(storage)
    changed = await rows(storage)
    await rewrite(storage, [*changed, {**changed[3], "seq": seq}])
    [found] = await problems(storage)
    assert found[0] == seq


@pytest.mark.parametrize(("one", "other"), [(1, 2), (4, 5), (1, EVENTS), (EVENTS - 1, EVENTS)])
async def test_reordered_events_are_found(storage: Storage, one: int, other: int) -> None:
    await write(storage)
    changed = await rows(storage)
    changed[one - 1]["seq"], changed[other - 1]["seq"] = other, one
    await rewrite(storage, changed)
    assert {one, other} <= {seq for seq, _ in await problems(storage)}


async def test_one_tampered_event_does_not_hide_another(storage: Storage) -> None:
    await write(storage)
    changed = await rows(storage)
    changed[2]["kind"] = changed[8]["kind"] = "engine:login:denied"
    await rewrite(storage, changed)
    assert [seq for seq, _ in await problems(storage)] == [3, 9]


# --- erased ----------------------------------------------------------------------------------------------------------


async def test_an_erased_payload_breaks_nothing(storage: Storage) -> None:
    await write(storage)
    changed = await rows(storage)
    for at in (0, 4, EVENTS - 1):
        changed[at].update(payload=None, salt=None)
    await rewrite(storage, changed)
    found = await verify(storage, RING)
    assert (found.events, found.erased, found.findings) == (EVENTS, 3, ())


async def test_around_an_erased_payload_everything_is_still_checked(storage: Storage) -> None:
    await write(storage)
    changed = await rows(storage)
    changed[4].update(payload=None, salt=None, subject_id="s2")
    await rewrite(storage, changed)
    assert [seq for seq, _ in await problems(storage)] == [5]


def test_a_commitment_does_not_tell_its_payload() -> None:
    one, other = record(event(1)).row, record(event(1)).row
    assert one["payload"] == other["payload"]
    assert one["commitment"] != other["commitment"]
    assert isinstance(one["salt"], bytes)
    assert len(one["salt"]) == 16
    assert one["commitment"] == hashlib.sha256(one["salt"] + str(one["payload"]).encode()).digest()


# --- cut off ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 3, EVENTS - 1])
async def test_a_cut_off_end_is_found_only_with_a_head_that_was_noted_down(storage: Storage, cut: int) -> None:
    await write(storage)
    [head] = (await verify(storage, RING)).heads
    await rewrite(storage, (await rows(storage))[:-cut])
    assert await problems(storage) == []
    assert await problems(storage, head) == [(EVENTS, "events up to here were cut off")]


async def test_a_head_that_was_noted_down_earlier_still_holds(storage: Storage) -> None:
    await write(storage, 4)
    [head] = (await verify(storage, RING)).heads
    await write(storage, 4, first=5)
    assert await problems(storage, head) == []


async def test_an_end_that_was_written_anew_differs_from_the_noted_head(storage: Storage) -> None:
    """Somebody with the key rewrites the end of the chain: only the head outside can tell."""
    await write(storage)
    [head] = (await verify(storage, RING)).heads
    kept = (await rows(storage))[:-3]
    await rewrite(storage, kept)
    storage.use_chain(chain_for(RING, "node-1", 1))
    await write(storage, 5, first=100)
    assert await problems(storage) == []
    assert await problems(storage, head) == [(EVENTS, "differs from the head that was noted down")]


async def test_a_chain_that_is_gone_as_a_whole_is_missed_by_its_head(storage: Storage) -> None:
    await write(storage)
    [head] = (await verify(storage, RING)).heads
    await rewrite(storage, [])
    assert await problems(storage, head) == [(EVENTS, "the whole chain is gone")]


# --- the link --------------------------------------------------------------------------------------------------------


def test_every_part_of_an_event_goes_into_its_link() -> None:
    chain = Chain(b"k" * 32, "node-1", 1)
    row: Row = {**record(event(1)).row}
    reference = chain.link(GENESIS, 1, row)
    changed = [
        chain.link(b"\1" + GENESIS[1:], 1, row),
        chain.link(GENESIS, 2, row),
        Chain(b"K" * 32, "node-1", 1).link(GENESIS, 1, row),
        Chain(b"k" * 32, "node-2", 1).link(GENESIS, 1, row),
        Chain(b"k" * 32, "node-1", 2).link(GENESIS, 1, row),
        *(
            chain.link(GENESIS, 1, {**row, column: value})
            for column in ("kind", "created_at", "transaction_id", "reference", "subject_id", "commitment")
            for value in _other(row[column])
        ),
    ]
    assert reference not in changed
    assert len(set(changed)) == len(changed)
