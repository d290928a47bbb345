"""Heads, export and verification are the same over every back-end, and lose nothing while several workers write."""

import asyncio
from pathlib import Path

import pytest

from tests import postgresql
from tests.unit.audit.exports import Trail, no_pause
from wardgate.audit.export import Position, lines, next_page
from wardgate.audit.heads import Patience, sign_heads
from wardgate.audit.trail import chain_for
from wardgate.storage.port import Storage
from wardgate.storage.postgres import PostgresStorage

WRITERS = ("node-1.0", "node-1.1", "node-2.0")
UNITS = 60


async def test_a_signed_trail_is_exported_and_verified(storage: Storage) -> None:
    trail = Trail(storage)
    for _ in range(3):
        await trail.write(30)
        assert (await trail.sign()).events == 30
    await trail.write(5)
    report = trail.check(await trail.export(max_chars=20_000))
    assert (report.findings, report.events, report.signed_heads) == ((), 95, 3)
    part = trail.check(await trail.export(since_seq=70), partial=True)
    assert (part.findings, part.events) == ((), 35)


@pytest.mark.neighbour("postgresql")
async def test_no_event_is_lost_or_doubled_while_several_workers_write(tmp_path: Path) -> None:
    """Commits of several connections become visible in any order: only numbers within a chain say what is missing."""
    database = await postgresql.empty_database("heads")
    opened = [await PostgresStorage.open(postgresql.shared().settings(database), tmp_path) for _ in (*WRITERS, "reader")]
    *writers, reader = opened
    trail = Trail(reader)
    for writer, storage in zip(WRITERS, writers, strict=True):
        storage.use_chain(chain_for(trail.ring, writer, 1))
    exported: list[bytes] = []
    positions: list[Position] = []

    async def fetch() -> None:
        nonlocal positions
        more = True
        while more:
            page = await next_page(reader, positions, Patience(asyncio.sleep))
            positions, more = page.positions, page.more
            exported.extend(lines(page.records).encode().splitlines(keepends=True))

    async def follow(done: asyncio.Event) -> None:
        while not done.is_set():
            await fetch()
            await sign_heads(reader, lambda: trail.ring, trail.clock, pause=asyncio.sleep)

    async def write(storage: Storage) -> None:
        mine = Trail(storage, trail.ring, trail.clock)
        for _ in range(UNITS):
            await asyncio.gather(*(mine.append(3) for _ in range(4)))

    done = asyncio.Event()
    following = asyncio.create_task(follow(done))
    try:
        await asyncio.gather(*(write(storage) for storage in writers))
    finally:
        done.set()
        await following
    await sign_heads(reader, lambda: trail.ring, trail.clock, pause=no_pause)
    await fetch()
    report = trail.check(exported)
    for storage in opened:
        await storage.close()
    assert report.findings == ()
    assert [(chain.writer, chain.events, chain.unproven) for chain in report.chains] == [
        (writer, UNITS * 12, 0) for writer in WRITERS
    ]
