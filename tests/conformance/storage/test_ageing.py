"""Payloads that had their time go alike on every back-end, also when several nodes sweep the same chains at once."""

import asyncio
from pathlib import Path

import pytest

from tests import postgresql
from tests.unit.audit.exports import BEGIN, a_ring
from wardgate.audit.ageing import Ageing
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.retention import RetentionSettings
from wardgate.audit.trail import chain_for, verify
from wardgate.clock import to_ms
from wardgate.crypto import KeyRing
from wardgate.storage.port import Storage
from wardgate.storage.postgres import PostgresStorage

SPANS = RetentionSettings(audit_logins="30d", audit_administration="180d", audit_security="90d")
DAY_MS = 86_400_000
EVENTS = 120


async def a_trail(storage: Storage, ring: KeyRing, writer: str = "server") -> None:
    """One event a day, of each class in turn."""
    storage.use_chain(chain_for(ring, writer, 1))
    kinds = (Kind.LOGIN_DENIED, Kind.USER_CHANGED, Kind.BRAKE_LOCKED)
    for number in range(EVENTS):
        at_ms = to_ms(BEGIN) - (EVENTS - number) * DAY_MS
        await storage.commit([record(AuditEvent(kinds[number % 3], at_ms, "engine", details={"user": "ada"}))])


async def sweep(storage: Storage, rows: int) -> int:
    ageing = Ageing(storage, SPANS, to_ms(BEGIN))
    await ageing.begin()
    gone = 0
    while (went := await ageing.step(rows)) is not None:
        gone += went
    return gone


def due(days: int, place: int) -> int:
    """How many events of one class are older than so many days before the newest one's midnight."""
    newest = (to_ms(BEGIN) - DAY_MS - days * DAY_MS) // DAY_MS * DAY_MS
    return sum(number % 3 == place and to_ms(BEGIN) - (EVENTS - number) * DAY_MS < newest for number in range(EVENTS))


async def test_what_had_its_time_goes_and_the_chain_holds(storage: Storage) -> None:
    ring = a_ring()
    await a_trail(storage, ring)
    expected = due(30, 0) + due(90, 2)
    assert await sweep(storage, 7) == expected > 30
    verified = await verify(storage, ring)
    assert (verified.findings, verified.erased, verified.on_record, verified.by_retention) == ((), *[expected] * 3)
    assert await sweep(storage, 7) == 0


@pytest.mark.neighbour("postgresql")
async def test_nodes_that_sweep_at_once_erase_and_tell_each_payload_once(tmp_path: Path) -> None:
    ring = a_ring()
    database = await postgresql.empty_database("ageing")
    nodes = [await PostgresStorage.open(postgresql.shared().settings(database), tmp_path) for _ in range(3)]
    try:
        for number, node in enumerate(nodes):
            await a_trail(node, ring, f"node{number}.0")
        await asyncio.gather(*(sweep(node, 5 + number) for number, node in enumerate(nodes)))
        # Who came second at a step left the rest of that chain to the next sweep.
        await sweep(nodes[0], 50)
        verified = await verify(nodes[0], ring)
        expected = 3 * (due(30, 0) + due(90, 2))
        assert (verified.findings, verified.erased, verified.on_record) == ((), expected, expected)
    finally:
        for node in nodes:
            await node.close()
