"""Signing heads, with the eyes of somebody who may write to the database but has no key."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from wardgate.audit.heads import (
    MAX_CROSS_LINKS,
    MAX_FAULTS,
    ChainId,
    HeadError,
    Patience,
    Statement,
    canonical,
    first_digest,
    is_signed,
    next_digest,
    public_pem,
    read_public_key,
    read_statement,
    sign_all_heads,
    sign_heads,
    signing_key,
)
from wardgate.clock import to_ms
from wardgate.crypto import KeyRing, new_key
from wardgate.storage.port import Insert

from .exports import BACKENDS, Trail, a_ring, a_trail, no_pause


@pytest.fixture(params=BACKENDS)
async def trail(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Trail]:
    async with a_trail(request.param, tmp_path) as trail:
        yield trail


async def heads(trail: Trail) -> dict[tuple[str, int, int], Statement]:
    """Every head by its place; each must bear our signature."""
    rows = await trail.rows("audit_head")
    assert all(is_signed(signing_key(trail.ring).public_key(), row) for row in rows)
    return {(row["writer"], row["epoch"], row["seq"]): read_statement(row["others"]) for row in rows}


async def test_each_chain_that_moved_gets_a_head_over_all_its_events(trail: Trail) -> None:
    await trail.write(3)
    signed = await trail.sign()
    assert (signed.heads, signed.events, signed.faults, signed.behind) == (1, 3, 0, False)
    await trail.write(2)
    await trail.sign()
    digest = first_digest(ChainId("server", 1))
    digests = {}
    for row in await trail.rows():
        digest = digests[row["seq"]] = next_digest(digest, canonical(row["seq"], row))
    found = await heads(trail)
    assert set(found) == {("server", 1, 3), ("server", 1, 5)}
    assert {place[2]: statement.digest for place, statement in found.items()} == {3: digests[3], 5: digests[5]}
    assert [row["link"] for row in await trail.rows("audit_head")] == [(await trail.rows())[seq - 1]["link"] for seq in (3, 5)]
    assert [row["created_at"] for row in await trail.rows("audit_head")] == [
        to_ms(trail.clock.now()) - 61_000,
        to_ms(trail.clock.now()),
    ]


async def test_a_chain_that_did_not_move_gets_none(trail: Trail) -> None:
    await trail.write(3)
    await trail.sign()
    assert (await trail.sign()).heads == 0
    assert len(await trail.rows("audit_head")) == 1


async def test_without_events_nothing_is_signed(trail: Trail) -> None:
    assert (await trail.sign()).heads == 0


async def test_heads_name_the_heads_of_other_chains(trail: Trail) -> None:
    await trail.write(3, "node-1.0")
    await trail.sign()
    await trail.write(2, "node-2.0")
    await trail.write(4, "node-1.0", epoch=2)
    await trail.sign()
    found = await heads(trail)
    named = [(at.writer, at.epoch, at.seq) for at in found["node-2.0", 1, 2].heads]
    assert set(named) == {("node-1.0", 1, 3), ("node-1.0", 2, 4)}
    for at in found["node-2.0", 1, 2].heads:
        assert at.digest == found[at.writer, at.epoch, at.seq].digest


async def test_a_head_names_so_many_others_and_the_latest_of_them(trail: Trail) -> None:
    for number in range(MAX_CROSS_LINKS + 3):
        await trail.write(1, f"node-{number:02d}.0")
        await trail.sign()
    last = (await heads(trail))[f"node-{MAX_CROSS_LINKS + 2:02d}.0", 1, 1]
    assert [at.writer for at in last.heads] == [f"node-{number:02d}.0" for number in range(MAX_CROSS_LINKS + 1, 1, -1)]


async def test_who_is_far_behind_signs_in_pieces_and_says_so(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.audit.heads.SEGMENT_EVENTS", 20)
    monkeypatch.setattr("wardgate.audit.heads.PAGE_ROWS", 10)
    await trail.write(100)
    first = await trail.sign(max_events=50)
    assert (first.heads, first.events, first.behind) == (3, 60, True)
    second = await trail.sign(max_events=50)
    assert (second.heads, second.events, second.behind) == (2, 40, False)
    assert trail.check(await trail.export()).findings == ()


async def test_signing_all_goes_on_until_nothing_is_left(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in {"SEGMENT_EVENTS": 20, "PAGE_ROWS": 10, "MAX_EVENTS_PER_CALL": 40}.items():
        monkeypatch.setattr(f"wardgate.audit.heads.{name}", limit)
    await trail.write(100)
    signed = await sign_all_heads(trail.storage, lambda: trail.ring, trail.clock, pause=no_pause)
    assert (signed.heads, signed.events, signed.behind) == (5, 100, False)


async def test_two_that_sign_at_once_do_no_harm(trail: Trail) -> None:
    await trail.write(3)
    await trail.sign()
    before = await trail.rows("audit_head")
    await trail.write(2)
    await trail.sign()
    # The other one read before the first one wrote.
    await trail.rewrite("audit_head", before)
    await trail.sign()
    assert set(await heads(trail)) == {("server", 1, 3), ("server", 1, 5)}


async def test_an_event_changed_before_it_was_signed_is_signed_as_a_fault(trail: Trail) -> None:
    """Else who can write to the database would have his change attested within a minute."""
    await trail.write(6)
    changed = await trail.rows()
    changed[3]["subject_id"] = "mallory"
    await trail.rewrite("audit_event", changed)
    signed = await trail.sign()
    assert (signed.heads, signed.faults) == (1, 1)
    assert (await heads(trail))["server", 1, 6].faults == (4,)
    [finding] = trail.check(await trail.export()).findings
    assert (finding.seq, "the server found" in finding.problem) == (4, True)


async def test_a_head_lists_some_faults_and_counts_all(trail: Trail) -> None:
    await trail.write(40)
    await trail.rewrite("audit_event", [{**row, "subject_id": "mallory"} for row in await trail.rows()])
    assert (await trail.sign()).faults == 40
    statement = (await heads(trail))["server", 1, 40]
    assert (len(statement.faults), statement.faults_count) == (MAX_FAULTS, 40)
    assert "30 more events" in trail.check(await trail.export()).findings[-1].problem


async def test_events_removed_before_they_were_signed_are_signed_as_a_fault(trail: Trail) -> None:
    await trail.write(6)
    await trail.rewrite("audit_event", [row for row in await trail.rows() if row["seq"] not in (3, 4)])
    assert (await trail.sign()).faults == 1
    assert (await heads(trail))["server", 1, 6].faults == (5,)


async def test_a_forged_head_is_not_built_upon(trail: Trail) -> None:
    await trail.write(3)
    await trail.sign()
    await trail.write(3)
    forged: dict[str, Any] = {**(await trail.rows("audit_head"))[0], "seq": 5, "others": Statement(bytes(32)).text()}
    await trail.storage.commit([Insert("audit_head", forged)])
    await trail.sign()
    rows = await trail.rows("audit_head")
    await trail.rewrite("audit_head", [row for row in rows if row["seq"] != 5])
    assert trail.check(await trail.export()).findings == ()
    assert [row["seq"] for row in rows] == [3, 5, 6]


async def test_a_forged_head_far_away_does_not_stop_the_signing(trail: Trail) -> None:
    await trail.write(3)
    await trail.sign()
    forged: dict[str, Any] = {**(await trail.rows("audit_head"))[0], "seq": 2**62}
    await trail.storage.commit([Insert("audit_head", forged)])
    await trail.write(3)
    assert (await trail.sign()).heads == 1


async def test_a_forged_head_in_the_place_of_ours_is_replaced(trail: Trail) -> None:
    await trail.write(3)
    await trail.sign()
    forged = [{**row, "signature": bytes(64)} for row in await trail.rows("audit_head")]
    await trail.rewrite("audit_head", forged)
    await trail.sign()
    assert set(await heads(trail)) == {("server", 1, 3)}


async def test_a_chain_that_was_cut_below_its_head_is_signed_on_when_it_grows(trail: Trail) -> None:
    await trail.write(6)
    await trail.sign()
    await trail.rewrite("audit_event", (await trail.rows())[:2])
    assert (await trail.sign()).heads == 1
    assert ("server", 1, 2) in await heads(trail)


async def test_a_number_that_is_still_on_its_way_is_waited_for(trail: Trail) -> None:
    """Behind several connections a later event may be seen before an earlier one."""
    await trail.write(4)
    rows = await trail.rows()
    await trail.rewrite("audit_event", [row for row in rows if row["seq"] != 2])

    async def meanwhile(seconds: float) -> None:
        await trail.rewrite("audit_event", rows)

    signed = await sign_heads(trail.storage, lambda: trail.ring, trail.clock, pause=meanwhile)
    assert (signed.events, signed.faults) == (4, 0)


async def test_a_number_that_never_comes_is_waited_for_a_few_times_only(trail: Trail) -> None:
    await trail.write(4)
    await trail.rewrite("audit_event", [row for row in await trail.rows() if row["seq"] != 2])
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    patience = Patience(pause, waits=2)
    for _ in range(5):
        rows = await patience.events(trail.storage, ChainId("server", 1), 0, 10)
        assert [row["seq"] for row in rows] == [1, 3, 4]
    assert len(waits) == 2


# --- key and statement -------------------------------------------------------------------------------------------------


def test_the_key_is_the_same_after_a_rotation_and_another_one_elsewhere() -> None:
    root = new_key()
    before, after = KeyRing({0: root, 1: new_key()}), KeyRing({0: root, 2: new_key()})
    pem = public_pem(signing_key(before).public_key())
    assert pem == public_pem(signing_key(after).public_key())
    assert pem != public_pem(signing_key(a_ring()).public_key())
    assert public_pem(read_public_key(pem.encode())) == pem


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"nonsense",
        b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEAhSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n-----END PUBLIC KEY-----\n",
    ],
)
def test_what_is_no_public_key_for_heads_is_refused(pem: bytes) -> None:
    with pytest.raises(HeadError):
        read_public_key(pem)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version":2}',
        '{"version":1,"digest":"00","heads":[],"faults":[],"faults_count":0}',
        '{"version":1,"digest":"zz","heads":[],"faults":[],"faults_count":0}',
        '{"version":1,"digest":7,"heads":[],"faults":[],"faults_count":0}',
    ],
)
def test_a_statement_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HeadError):
        read_statement(text)


async def test_every_part_of_a_head_is_signed(trail: Trail) -> None:
    await trail.write(3)
    await trail.sign()
    [row] = await trail.rows("audit_head")
    key = signing_key(trail.ring).public_key()
    changes: dict[str, object] = {
        "writer": "other", "epoch": 2, "seq": 4, "link": bytes(32), "others": row["others"] + " ", "created_at": 1,
        "signature": bytes(64),
    }  # fmt: skip
    assert is_signed(key, row)
    for name, value in changes.items():
        assert not is_signed(key, {**row, name: value}), name


async def test_every_part_of_an_event_goes_into_the_digest(trail: Trail) -> None:
    await trail.write(2)
    row = (await trail.rows())[1]
    changes: list[dict[str, object]] = [
        {"kind": "x"}, {"created_at": 1}, {"transaction_id": None}, {"transaction_id": ""}, {"reference": "x"},
        {"subject_id": None, "reference": "s1"}, {"commitment": bytes(32)}, {"link": bytes(32)},
    ]  # fmt: skip
    found = {canonical(2, row), canonical(3, row), *(canonical(2, {**row, **change}) for change in changes)}
    assert len(found) == len(changes) + 2
    assert canonical(2, {**row, "payload": None, "salt": None}) == canonical(2, row)
