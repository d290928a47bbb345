"""Versions of the document: one at a time, none lost, each with its audit event."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock
from wardgate.config.document import Document, parse
from wardgate.config.reference import ClearValue
from wardgate.config.secrets import resolver
from wardgate.config.store import KEPT_VERSIONS, compare, edit, first_document, history, load, load_current, save
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.engine.settings import ApplicationSettings
from wardgate.errors import Conflict, NotFound, SettingsError
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Insert

from .documents import SMALL, WHOLE


class World:
    """A storage with its first document."""

    def __init__(self) -> None:
        self.ring = KeyRing({0: new_key(), 1: new_key()})
        self.clock = FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
        self.storage = MemoryStorage()
        self.storage.use_chain(chain_for(self.ring, "test", 1))

    async def save(self, document: Document, expected: int, reason: str = "because") -> int:
        return await save(self.storage, document, "olga", reason, expected, self.clock, self.ring)

    async def edit(self, change: Any) -> tuple[int, Document]:
        return await edit(self.storage, self.ring, change, "olga", "edit", self.clock)

    async def audit(self) -> list[dict[str, Any]]:
        return [json.loads(str(row["payload"])) for row in await self.storage.find("audit_event", order_by="seq")]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.save(first_document(demo=False), 0, "first")
    return made


def with_application(name: str) -> Any:
    return lambda document: replace(document, applications=(*document.applications, ApplicationSettings(name=name)))


async def test_the_first_document_has_one_realm_and_one_directory(world: World) -> None:
    version, document = await load_current(world.storage)
    assert version == 1
    assert document == first_document(demo=False)
    assert document.realms[0].default
    assert not document.gateways
    assert [gateway.kind for gateway in first_document(demo=True).gateways] == ["pickup", "pickup"]


async def test_without_a_document_the_installation_was_not_completed() -> None:
    with pytest.raises(NotFound, match="wardgate init"):
        await load_current(World().storage)


async def test_a_version_is_stored_sealed_with_its_audit_event_and_announced(world: World) -> None:
    told: list[str] = []
    world.storage.subscribe("configuration", told.append)
    assert await world.save(parse(SMALL), 1) == 2
    row = await world.storage.get("configuration", {"version": 2})
    assert row is not None
    assert "s3cret" not in str(row["document"])
    _, document = await load_current(world.storage)
    nas = document.nas[0]
    assert resolver("nas", nas, world.ring)(nas.secret) == Secret("s3cret-s3cret-s3cret")
    event = (await world.audit())[-1]
    assert event["actor"] == "olga"
    assert event["reason"] == "because"
    assert event["added"] == ["realms acme", "directories staff", "nas fw", "applications vpn"]
    assert event["removed"] == ["realms default", "directories local"]
    assert "s3cret" not in json.dumps(event)
    assert told == ["2"]


async def test_saving_over_a_version_that_is_not_in_force_any_more_is_a_conflict(world: World) -> None:
    await world.save(parse(SMALL), 1)
    with pytest.raises(Conflict, match="version 2 is in force"):
        await world.save(parse(WHOLE), 1)
    with pytest.raises(Conflict):
        await world.save(parse(WHOLE), 7)
    assert (await load_current(world.storage))[0] == 2


async def test_of_two_that_save_at_once_one_wins(world: World) -> None:
    documents = [with_application(f"app{n}")(first_document(demo=False)) for n in range(8)]
    results = await asyncio.gather(*(world.save(document, 1) for document in documents), return_exceptions=True)
    assert [type(result) for result in results if not isinstance(result, int)] == [Conflict] * 7
    assert results.count(2) == 1


async def test_edits_under_conflict_are_repeated_and_none_is_lost(world: World) -> None:
    results = await asyncio.gather(*(world.edit(with_application(f"app{n}")) for n in range(10)))
    _, document = await load_current(world.storage)
    assert {application.name for application in document.applications} == {f"app{n}" for n in range(10)}
    assert sorted(version for version, _ in results) == list(range(2, 12))


async def test_an_edit_that_changes_nothing_makes_no_version(world: World) -> None:
    assert (await world.edit(lambda document: document))[0] == 1
    assert len(await world.audit()) == 1


async def test_an_edit_that_breaks_the_document_is_refused_and_changes_nothing(world: World) -> None:
    with pytest.raises(SettingsError, match=r"applications\[0\]\.name"):
        await world.edit(with_application("a:b"))
    with pytest.raises(SettingsError, match=r"exactly one realm"):
        await world.edit(lambda document: replace(document, realms=()))
    assert (await load_current(world.storage))[0] == 1


async def test_history_and_earlier_versions_can_be_read(world: World) -> None:
    await world.save(parse(SMALL), 1, "second")
    versions = await history(world.storage)
    assert [(each.version, each.author, each.reason) for each in versions] == [(2, "olga", "second"), (1, "olga", "first")]
    assert versions[0].created_at == world.clock.now()
    assert await load(world.storage, 1) == first_document(demo=False)
    with pytest.raises(NotFound, match="no version 9"):
        await load(world.storage, 9)


async def test_versions_beyond_the_limit_go(world: World) -> None:
    first = await world.storage.get("configuration", {"version": 1})
    assert first is not None
    await world.storage.commit([Insert("configuration", {**first, "version": KEPT_VERSIONS})])
    await world.save(parse(SMALL), KEPT_VERSIONS)
    assert [each.version for each in await history(world.storage)] == [KEPT_VERSIONS + 1, KEPT_VERSIONS]


async def test_a_stored_version_that_cannot_be_used_says_which(world: World) -> None:
    row = {"version": 2, "document": '{"relams": []}', "author": "a", "reason": "", "created_at": 0}
    await world.storage.commit([Insert("configuration", row)])
    with pytest.raises(SettingsError, match=r"version 2 of the configuration cannot be used: the document has 1 fault:\nrelams"):
        await load_current(world.storage)


def test_compare_names_things_and_the_keys_that_differ() -> None:
    before = parse(SMALL)
    nas = replace(before.nas[0], mode="code_only", secret=ClearValue(value="x"))
    after = replace(before, nas=(nas,), applications=(*before.applications, ApplicationSettings(name="wifi")))
    changes = compare(before, replace(after, codes=replace(after.codes, tries=2)))
    assert changes.added == ("applications wifi",)
    assert set(changes.changed) == {"nas fw (secret, mode)", "codes (tries)"}
    assert not compare(before, before)


def test_compare_tells_a_new_order() -> None:
    before = replace(parse(SMALL), applications=(ApplicationSettings(name="vpn"), ApplicationSettings(name="wifi")))
    after = replace(before, applications=before.applications[::-1])
    assert compare(before, after).changed == ("applications (order)",)
