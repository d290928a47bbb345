"""Every change of the configuration, from wherever it came, is a version with author, reason and diff, and an audit event."""

import ast
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from wardgate import demo
from wardgate.admin import configuration, nas, relying_parties, versions
from wardgate.admin.office import Office
from wardgate.audit.events import MAX_PAYLOAD_CHARS, Kind
from wardgate.backup import replay
from wardgate.config.store import NO_REASON, first_document, load_current, save
from wardgate.crypto import Secret
from wardgate.errors import NotFound
from wardgate.storage.port import Delete, Row, Where

SOURCE = Path(__file__).parents[3] / "src" / "wardgate"
SECRET = "a-shared-secret-of-hq"
DOCUMENT = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
nas: [{name: hq, addresses: [10.0.0.1], secret: {value: a-shared-secret-of-hq}, application: vpn}]
applications: [{name: vpn}]
"""


async def add(office: Office) -> None:
    await nas.add_nas(office, name="lab", addresses=["10.0.0.9"], application="vpn", secret=Secret(SECRET), reason="change 4711")


async def change(office: Office) -> None:
    await add(office)
    await nas.change_nas(office, name="lab", secret=Secret(SECRET + "-new"), reason="change 4711")


async def remove(office: Office) -> None:
    await add(office)
    await nas.remove_nas(office, name="lab", reason="change 4711")


async def apply(office: Office) -> None:
    await configuration.apply_document(office, text=DOCUMENT, reason="change 4711")


async def roll_back(office: Office) -> None:
    await apply(office)
    await configuration.roll_back(office, version=1, reason="change 4711")


async def add_party(office: Office) -> None:
    wiki = relying_parties.Wanted(name="wiki", entity_id="https://wiki.acme.test/saml", acs=("https://wiki.acme.test/acs",))
    await relying_parties.add_party(office, wanted=wiki, reason="change 4711")


async def remove_party(office: Office) -> None:
    await add_party(office)
    await relying_parties.remove_party(office, name="wiki", reason="change 4711")


async def begin_demo(office: Office) -> None:
    await demo.prepare(office)


async def initialise(office: Office) -> None:
    """What `installation` does; the version of `first`, which every other way here begins with."""


WAYS: dict[str, Callable[[Office], Awaitable[None]]] = {
    "admin.nas": add,
    "admin.nas change": change,
    "admin.nas remove": remove,
    "admin.configuration": apply,
    "admin.configuration rollback": roll_back,
    "admin.relying_parties": add_party,
    "admin.relying_parties remove": remove_party,
    "demo": begin_demo,
    "installation": initialise,
}


@pytest.fixture
async def first(office: Office) -> Office:
    await save(office.storage, first_document(demo=False), "wardgate init", "first document", 0, office.clock, office.ring)
    return office


def imports_of(tree: ast.AST) -> set[str]:
    return {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "wardgate.config.store"
        for name in node.names
    }


def test_every_module_that_changes_the_document_is_walked_here() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        if imports_of(ast.parse(path.read_text())) & {"save", "edit"}:
            found.add(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    assert found == {way.partition(" ")[0] for way in WAYS}


def test_no_other_module_writes_versions() -> None:
    """But for a rotation of keys, which seals the same secrets anew."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        for name in ("TOPIC", "CONFIGURATION", '"configuration"'):
            if any(f"{operation}({name}" in text for operation in ("Insert", "Update", "Upsert")):
                found.add(path.relative_to(SOURCE).as_posix())
    own = {"delivery/outbox.py"}
    assert {path for path in found - own if "config" in (SOURCE / path).read_text()} <= {"config/store.py", "admin/keys.py"}


async def events(office: Office) -> list[dict[str, Any]]:
    rows = await office.storage.find("audit_event", [Where("kind", "=", Kind.CONFIGURATION_APPLIED.stored)], order_by="seq")
    return [json.loads(str(row["payload"])) for row in rows]


async def stored_versions(office: Office) -> list[Row]:
    return await office.storage.find("configuration", order_by="version")


@pytest.mark.parametrize("way", sorted(WAYS))
async def test_each_way_leaves_a_version_with_author_reason_and_diff_and_an_event(first: Office, way: str) -> None:
    await WAYS[way](first)
    rows, told = await stored_versions(first), await events(first)
    assert [row["version"] for row in rows] == [event["version"] for event in told] == list(range(1, len(rows) + 1))
    assert len(rows) > 1 or way == "installation"
    for row, event in zip(rows, told, strict=True):
        assert row["author"] == event["actor"]
        assert row["author"] in ("operator:olga", "wardgate init", "demo")
        assert row["reason"] == event["reason"]
        assert str(row["reason"]).strip()
        assert any(event.get(what) for what in ("added", "changed", "removed"))
        shown = await versions.show_version(first, version=int(str(row["version"])))
        [version] = shown["versions"]
        assert (version["author"], version["reason"]) == (row["author"], row["reason"])
        assert version["changes"] == {what: event.get(what, []) for what in ("added", "changed", "removed")}
        assert shown["unified"].count("\n") > 2
        assert SECRET not in json.dumps([event, shown, dict(row)])
    if way.startswith("admin."):
        assert "change 4711" in told[-1]["reason"]


async def test_a_replay_after_a_restore_says_so(first: Office) -> None:
    await add(first)
    done = replay.Replayed()
    await replay._configured(first, None, {"removed": ["nas lab"]}, done)  # type: ignore[arg-type]
    assert (await stored_versions(first))[-1]["reason"] == "nas remove lab: it had been removed after the backup"


@pytest.mark.parametrize("reason", ["", "  \n "])
async def test_a_change_without_a_reason_says_that_there_was_none(first: Office, reason: str) -> None:
    await configuration.apply_document(first, text=DOCUMENT, reason=reason)
    assert (await stored_versions(first))[-1]["reason"] == (await events(first))[-1]["reason"] == NO_REASON


async def test_a_change_that_changes_nothing_is_no_version(first: Office) -> None:
    await apply(first)
    before = await stored_versions(first)
    await apply(first)
    assert await stored_versions(first) == before


async def test_the_event_of_a_change_of_thousands_of_things_keeps_its_version_and_counts(first: Office) -> None:
    """An event that is too long would be cut, and its version with it."""
    many = [
        {"name": f"{number:04d}" + "x" * 60, "addresses": [f"10.1.{number // 250}.{number % 250}"], "secret": {"value": SECRET}}
        for number in range(500)
    ]
    document = {**json.loads(json.dumps(await plain(first))), "applications": [{"name": "vpn"}]}
    document["nas"] = [{**each, "application": "vpn"} for each in many]
    await configuration.apply_document(first, text=json.dumps(document), reason="ü" * 2_000)
    [*_, event] = await events(first)
    assert event["version"] == 2
    assert event["added_count"] == 501
    assert 0 < len(event["added"]) < 501
    rows = await first.storage.find("audit_event", order_by="seq", descending=True, limit=1)
    assert len(str(rows[0]["payload"])) < MAX_PAYLOAD_CHARS


async def plain(office: Office) -> Any:
    return (await configuration.export_document(office))["document"]


async def test_a_version_that_is_not_there_is_told(first: Office) -> None:
    with pytest.raises(NotFound, match="config history"):
        await versions.show_version(first, version=7)


async def test_the_first_kept_version_tells_that_the_one_before_is_gone(first: Office) -> None:
    await apply(first)
    row = (await stored_versions(first))[-1]
    await first.storage.commit([Delete("configuration", (Where("version", "=", 1),))])
    shown = await versions.show_version(first, version=int(str(row["version"])))
    assert (shown["versions"][0]["changes"], shown["unified"]) == (None, None)
    assert (await load_current(first.storage))[0] == 2
