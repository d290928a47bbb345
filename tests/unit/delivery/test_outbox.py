"""Messages as rows: what is stored, what is shown, what is cleared away."""

import json
from datetime import timedelta

import pytest

from tests.unit.delivery.fakes import ADDRESS, CODE, NOW, NUMBER, TEXT, new_ring, put
from wardgate.clock import to_ms
from wardgate.crypto import MAC_ROOT, KeyRing, new_key
from wardgate.delivery.outbox import OutboxState, bound_to, list_messages, open_body, purge
from wardgate.delivery.port import Channel
from wardgate.errors import SealError
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Update


async def test_nothing_readable_of_a_message_is_stored() -> None:
    storage, ring = MemoryStorage(), new_ring()
    await put(storage, ring, "m1", keep=True)
    row = await storage.get("outbox", {"id": "m1"})
    assert row is not None
    stored = repr(dict(row))
    assert not any(part in stored for part in (CODE, NUMBER, "5321234567", TEXT[:10]))
    assert row["state"] == OutboxState.QUEUED
    assert row["next_try_at"] == row["created_at"] == to_ms(NOW)


async def test_a_body_that_was_copied_to_another_row_does_not_open() -> None:
    storage, ring = MemoryStorage(), new_ring()
    await put(storage, ring, "m1")
    row = await storage.get("outbox", {"id": "m1"})
    assert row is not None
    assert isinstance(row["sealed"], bytes)
    assert open_body(ring, "m1", row["sealed"]).to == NUMBER
    with pytest.raises(SealError):
        open_body(ring, "m2", row["sealed"])


def test_a_body_prints_nothing() -> None:
    ring = new_ring()
    sealed = ring.seal(json.dumps({"to": NUMBER, "text": TEXT, "subject": "", "code": CODE}).encode(), bound_to("m1"))
    assert repr(open_body(ring, "m1", sealed)) == "Body(...)"


async def test_whoever_waits_is_told_of_a_new_message() -> None:
    storage, told = MemoryStorage(), []
    stop = storage.subscribe("outbox", told.append)
    await put(storage, new_ring(), "m1")
    stop()
    assert told == ["m1"]


async def test_messages_are_listed_newest_first_with_the_published_fields() -> None:
    storage, ring = MemoryStorage(), new_ring()
    await put(storage, ring, "m1", keep=True)
    await put(storage, ring, "m2", channel=Channel.EMAIL, at=NOW + timedelta(milliseconds=1500), keep=True)
    newest, oldest = await list_messages(storage, ring, 10)
    assert (newest.id, oldest.id) == ("m2", "m1")
    assert (newest.channel, newest.to) == ("email", ADDRESS)
    assert oldest.created_at == "2026-03-01T12:00:00.000Z"
    assert newest.created_at == "2026-03-01T12:00:01.500Z"
    assert (oldest.channel, oldest.to, oldest.user, oldest.transaction) == ("sms", NUMBER, "bob", "transaction-1")
    assert (oldest.text, oldest.code, oldest.reference) == (TEXT, CODE, "ABCD1234")
    assert (oldest.state, oldest.gateway) == ("queued", "")
    assert [entry.id for entry in await list_messages(storage, ring, 1)] == ["m2"]
    assert await list_messages(storage, ring, -1) == []


async def test_the_bare_code_is_not_stored_unless_it_is_to_be_read() -> None:
    storage, ring = MemoryStorage(), new_ring()
    await put(storage, ring, "m1", keep=False)
    (entry,) = await list_messages(storage, ring, 10)
    assert entry.code == ""


async def test_a_message_whose_body_is_gone_is_listed_without_it() -> None:
    storage, ring = MemoryStorage(), new_ring()
    await put(storage, ring, "m1")
    await put(storage, KeyRing({MAC_ROOT: new_key(), 7: new_key()}), "m2")
    await storage.commit([Update("outbox", {"id": "m1"}, {"sealed": None})])
    for entry in await list_messages(storage, ring, 10):
        assert (entry.to, entry.text, entry.code, entry.user) == ("", "", "", "bob")


async def test_old_messages_that_reached_their_end_are_cleared_away() -> None:
    storage, ring = MemoryStorage(), new_ring()
    for message_id, state in (("a", "sent"), ("b", "failed"), ("c", "expired"), ("d", "queued"), ("e", "sending")):
        await put(storage, ring, message_id)
        await storage.commit([Update("outbox", {"id": message_id}, {"state": state})])
    await put(storage, ring, "young", at=NOW + timedelta(days=1))
    await storage.commit([Update("outbox", {"id": "young"}, {"state": "sent"})])
    before_ms = to_ms(NOW + timedelta(hours=1))
    assert await purge(storage, before_ms, 2) == 2
    assert await purge(storage, before_ms, 100) == 1
    assert await purge(storage, before_ms, 100) == 0
    assert {entry.id for entry in await list_messages(storage, ring, 100)} == {"d", "e", "young"}
