"""Key rotation: everything moves, nothing is lost on the way, and a rotation that was cut short is taken up."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from wardgate.account.authenticator import from_row
from wardgate.account.contact_seal import bound_to as contact_bound_to
from wardgate.admin import authenticators, users
from wardgate.admin.keys import PAGE_ROWS, KeyMaster, rotate_keys
from wardgate.admin.office import Office
from wardgate.config.document import Document
from wardgate.config.reference import ClearValue
from wardgate.config.secrets import resolver
from wardgate.config.store import edit, first_document, load, load_current, save
from wardgate.crypto import KeyRing, Secret, new_key, sealed_with, unwrap_key, wrap_key
from wardgate.delivery.outbox import Body, open_body, seal_body
from wardgate.engine.settings import ApplicationSettings
from wardgate.engine.transaction import outcome_bound_to
from wardgate.errors import Conflict, SealError
from wardgate.radius.settings import NasSettings
from wardgate.storage.port import Commit, Insert, Operation, Row, Update

SECRET_HEX = "3132333435363738393031323334353637383930"


class Bench:
    """An installation in memory: data keys wrapped in storage, a ring that can be replaced."""

    def __init__(self, office: Office) -> None:
        self.master = new_key()
        self.settled = 0
        self._office = office
        self.ring = office.ring

    @property
    def office(self) -> Office:
        return replace(self._office, ring=self.ring)

    async def set_up(self) -> None:
        keys = {0: new_key(), 1: new_key()}
        rows = [
            Insert("data_key", {"number": number, "wrapped": wrap_key(self.master, number, key), "created_at": 0})
            for number, key in keys.items()
        ]
        await self._office.storage.commit(rows)
        await self.reload()

    async def reload(self) -> None:
        self.ring = await self.stored_ring()

    async def stored_ring(self) -> KeyRing:
        """What a process that starts now would open the database with."""
        rows = await self._office.storage.find("data_key", order_by="number")
        numbers = {int(row["number"] or 0): row["wrapped"] for row in rows}
        return KeyRing({n: unwrap_key(self.master, n, w) for n, w in numbers.items() if isinstance(w, bytes)})

    async def settle(self) -> None:
        self.settled += 1

    @property
    def keys(self) -> KeyMaster:
        return KeyMaster(lambda: self.master, self.reload, lambda: self.ring, self.settle)

    async def rotate(self, told: list[Mapping[str, object]] | None = None) -> dict[str, Any]:
        return await rotate_keys(self.office, self.keys, (told if told is not None else []).append)

    async def add_user(self, name: str) -> str:
        await users.add_user(self.office, directory="local", name=name)
        made = await authenticators.add_totp(self.office, directory="local", name=name, secret_hex=SECRET_HEX)
        return str(made["id"])

    async def authenticator(self, authenticator_id: str) -> Row:
        row = await self._office.storage.get("authenticator", {"id": authenticator_id})
        assert row is not None
        return row


@pytest.fixture
async def bench(office: Office) -> Bench:
    made = Bench(office)
    await made.set_up()
    return made


def message_row(ring: KeyRing, message_id: str) -> Row:
    body = seal_body(ring, message_id, Body("+905321234567", "123456 is the code", "", ""))
    return {
        "id": message_id, "transaction_id": "t", "reference": "r", "subject_id": "s", "user_name": "ada", "application": "vpn",
        "channel": "sms", "sealed": body, "state": "queued", "created_at": 0, "expires_at": 1, "next_try_at": 0, "tries": 0,
        "claimed_by": None, "gateway": None, "answer": None, "sent_at": None,
    }  # fmt: skip


def handle_row(ring: KeyRing, mac: bytes) -> Row:
    return {
        "handle_mac": mac, "transaction_id": "t", "sequence": 1, "binding": "fw", "expires_at": 1, "consumed_at": 1,
        "fingerprint": b"f", "outcome": ring.seal(b"granted", outcome_bound_to(mac)),
    }  # fmt: skip


def contact_row(ring: KeyRing, subject_id: str, value_key: bytes, kind: str = "phone") -> Row:
    sealed = ring.seal(b"+905321234567", contact_bound_to(subject_id, kind, value_key))
    return {
        "subject_id": subject_id, "kind": kind, "value_key": value_key, "sealed": sealed, "preferred": 1, "verified_at": None,
        "source": "operator", "created_at": 0,
    }  # fmt: skip


async def save_nas(bench: Bench, secret: str) -> int:
    nas = NasSettings(name="fw", addresses=("10.0.0.1",), secret=ClearValue(value=secret), application="vpn")

    def change(document: Document) -> Document:
        return replace(document, nas=(nas,), applications=(ApplicationSettings(name="vpn"),))

    office = bench.office
    return (await edit(office.storage, office.ring, change, "test", "", office.clock))[0]


async def test_everything_that_is_sealed_moves_and_the_old_key_goes(bench: Bench) -> None:
    office = bench.office
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    await save_nas(bench, "first-secret")
    await save_nas(bench, "second-secret")
    authenticator = await bench.add_user("ada")
    await office.storage.commit([Insert("outbox", message_row(bench.ring, "m1")), Insert("handle", handle_row(bench.ring, b"h1"))])
    await office.storage.commit([Insert("contact", contact_row(bench.ring, "s1", b"k1"))])
    told: list[Mapping[str, object]] = []
    assert await bench.rotate(told) == {"key": 2, "resealed": 6, "broken": 0, "dropped": [1], "resumed": False}
    assert {str(event["table"]) for event in told} == {"authenticator", "outbox", "handle", "contact", "configuration"}
    ring = await bench.stored_ring()
    assert ring.numbers == (2,)
    assert from_row(await bench.authenticator(authenticator)).open(ring) == Secret(bytes.fromhex(SECRET_HEX))
    message, handle = await office.storage.get("outbox", {"id": "m1"}), await office.storage.get("handle", {"handle_mac": b"h1"})
    assert message is not None
    assert handle is not None
    assert isinstance(message["sealed"], bytes)
    assert isinstance(handle["outcome"], bytes)
    assert open_body(ring, "m1", message["sealed"]).text == "123456 is the code"
    assert ring.open(handle["outcome"], outcome_bound_to(b"h1")) == b"granted"
    for document, secret in ((await load(office.storage, 2), "first"), ((await load_current(office.storage))[1], "second")):
        nas = document.nas[0]
        assert resolver("nas", nas, ring)(nas.secret) == Secret(f"{secret}-secret")


async def test_no_version_is_made_and_the_rotation_is_on_record(bench: Bench) -> None:
    office = bench.office
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    version = await save_nas(bench, "first-secret")
    await bench.rotate()
    assert (await load_current(office.storage))[0] == version
    kinds = [str(row["kind"]) for row in await office.storage.find("audit_event", order_by="seq")]
    assert kinds[-2:] == ["crypto:key:rotated", "crypto:key:resealed"]


async def test_more_than_a_page_moves(bench: Bench) -> None:
    rows = [Insert("handle", handle_row(bench.ring, n.to_bytes(4, "big"))) for n in range(2 * PAGE_ROWS + 3)]
    await bench.office.storage.commit(rows)
    assert (await bench.rotate())["resealed"] == 2 * PAGE_ROWS + 3
    stored = await bench.office.storage.find("handle")
    assert {sealed_with(row["outcome"]) for row in stored if isinstance(row["outcome"], bytes)} == {2}


async def test_contacts_of_one_person_move_on_both_sides_of_a_pages_end(bench: Bench) -> None:
    people = [(f"s{n:03}", 1) for n in range(PAGE_ROWS - 2)] + [("t", 5), ("u", 2)]
    rows = [
        contact_row(bench.ring, who, b"k%d" % n, kind) for who, most in people for n in range(most) for kind in ("mail", "phone")
    ]
    for start in range(0, len(rows), PAGE_ROWS):
        await bench.office.storage.commit([Insert("contact", row) for row in rows[start : start + PAGE_ROWS]])
    assert (await bench.rotate())["resealed"] == len(rows) > 2 * PAGE_ROWS
    ring = await bench.stored_ring()
    for row in await bench.office.storage.find("contact"):
        assert isinstance(row["sealed"], bytes)
        assert isinstance(row["value_key"], bytes)
        place = contact_bound_to(str(row["subject_id"]), str(row["kind"]), row["value_key"])
        assert ring.open(row["sealed"], place) == b"+905321234567"


async def test_a_login_in_the_middle_of_a_rotation_goes_on(bench: Bench) -> None:
    """It took the ring before the rotation, seals under the old key while values move, and is moved by a later pass."""
    before = bench.ring
    late = asyncio.Event()

    async def settle() -> None:
        late.set()
        await bench.office.storage.commit([Insert("handle", handle_row(before, b"late"))])

    keys = replace(bench.keys, settle=settle)
    authenticator = await bench.add_user("ada")
    await rotate_keys(bench.office, keys, lambda event: None)
    assert late.is_set()
    # Whatever it read before still opens with what the process has in memory.
    assert from_row(await bench.authenticator(authenticator)).open(bench.ring)
    assert bench.ring.numbers == (1, 2)
    handle = await bench.office.storage.get("handle", {"handle_mac": b"late"})
    assert handle is not None
    assert isinstance(handle["outcome"], bytes)
    assert (await bench.stored_ring()).open(handle["outcome"], outcome_bound_to(b"late")) == b"granted"


async def test_a_value_that_comes_behind_a_pass_is_found_by_the_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before, storage, late = bench.ring, bench.office.storage, [b"\x01"]
    await storage.commit([Insert("handle", handle_row(before, b"\x05"))])
    real = storage.find

    async def find(table: str, where: Any = (), **named: Any) -> list[Row]:
        if table == "handle" and len(where) > 1 and late:  # the pass stands behind the first row
            await storage.commit([Insert("handle", handle_row(before, late.pop()))])
        return await real(table, where, **named)

    monkeypatch.setattr(storage, "find", find)
    result = await bench.rotate()
    assert (result["resealed"], late) == (2, [])
    ring = await bench.stored_ring()
    assert ring.numbers == (2,)
    for mac in (b"\x01", b"\x05"):
        row = await storage.get("handle", {"handle_mac": mac})
        assert row is not None
        assert isinstance(row["outcome"], bytes)
        assert ring.open(row["outcome"], outcome_bound_to(mac)) == b"granted"


class Cut(Exception):
    """The process ends here."""


@pytest.mark.parametrize("after", range(1, 8))
async def test_a_rotation_that_was_cut_short_anywhere_is_taken_up_and_nothing_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    office = bench.office
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    await save_nas(bench, "the-secret")
    authenticator = await bench.add_user("ada")
    await office.storage.commit([Insert("outbox", message_row(bench.ring, "m1")), Insert("handle", handle_row(bench.ring, b"h1"))])
    commits, real = 0, office.storage.commit

    async def commit(operations: list[Operation]) -> Commit:
        nonlocal commits
        commits += 1
        if commits > after:
            raise Cut
        return await real(operations)

    monkeypatch.setattr(office.storage, "commit", commit)
    with contextlib.suppress(Cut):
        await bench.rotate()
    monkeypatch.undo()
    await bench.reload()  # as a start would
    assert from_row(await bench.authenticator(authenticator)).open(bench.ring) == Secret(bytes.fromhex(SECRET_HEX))
    numbers = bench.ring.numbers
    result = await bench.rotate()
    assert result["resumed"] == (len(numbers) > 1)
    assert result["key"] == (2 if len(numbers) > 1 else 3)
    ring = await bench.stored_ring()
    assert ring.numbers == (result["key"],)
    assert from_row(await bench.authenticator(authenticator)).open(ring) == Secret(bytes.fromhex(SECRET_HEX))
    nas = (await load_current(office.storage))[1].nas[0]
    assert resolver("nas", nas, ring)(nas.secret) == Secret("the-secret")


async def test_a_value_that_was_changed_meanwhile_is_not_overwritten(bench: Bench) -> None:
    authenticator = await bench.add_user("ada")
    key, storage = {"id": authenticator}, bench.office.storage

    async def settle() -> None:
        await storage.commit([Update("authenticator", key, {"sealed": None, "state": "revoked"})])

    await rotate_keys(bench.office, replace(bench.keys, settle=settle), lambda event: None)
    assert (await bench.authenticator(authenticator))["sealed"] is None


async def test_what_no_key_opens_is_counted_and_does_not_stop_the_rotation(bench: Bench) -> None:
    authenticator = await bench.add_user("ada")
    stranger = KeyRing({0: new_key(), 1: new_key()}).seal(b"x", "authenticator:other")
    await bench.office.storage.commit([Update("authenticator", {"id": authenticator}, {"sealed": stranger})])
    other = await bench.add_user("bob")
    result = await bench.rotate()
    assert (result["resealed"], result["broken"]) == (1, 1)
    assert from_row(await bench.authenticator(other)).open(await bench.stored_ring())
    with pytest.raises(SealError):
        from_row(await bench.authenticator(authenticator)).open(bench.ring)


async def test_a_version_that_this_release_cannot_read_moves_too(bench: Bench) -> None:
    place = "config:nas:fw:secret"
    sealed = base64.b64encode(bench.ring.seal(b"old-secret", place)).decode()
    document = json.dumps({"nas": [{"name": "fw", "secret": {"sealed": sealed}, "gone_key": 1}]})
    row = {"version": 1, "document": document, "author": "a", "reason": "", "created_at": 0}
    await bench.office.storage.commit([Insert("configuration", row)])
    assert (await bench.rotate())["resealed"] == 1
    stored = await bench.office.storage.get("configuration", {"version": 1})
    assert stored is not None
    moved = json.loads(str(stored["document"]))["nas"][0]
    assert moved["gone_key"] == 1
    assert (await bench.stored_ring()).open(base64.b64decode(moved["secret"]["sealed"]), place) == b"old-secret"


async def test_a_rotation_that_never_ends_is_given_up_and_keeps_both_keys(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.admin.keys.MAX_PASSES", 3)
    before, number = bench.ring, 1 << 20

    async def progress_row() -> None:
        nonlocal number
        number -= 1  # before the place where the pass stands, so that only the next one finds it
        await bench.office.storage.commit([Insert("handle", handle_row(before, number.to_bytes(4, "big")))])

    real = bench.office.storage.find

    async def find(table: str, *arguments: Any, **named: Any) -> list[Row]:
        if table == "handle":
            await progress_row()
        return await real(table, *arguments, **named)

    monkeypatch.setattr(bench.office.storage, "find", find)
    with pytest.raises(Conflict, match="repeat when there are fewer logins"):
        await bench.rotate()
    assert (await bench.stored_ring()).numbers == (1, 2)


async def test_two_rotations_at_once_leave_one_key(bench: Bench) -> None:
    authenticator = await bench.add_user("ada")
    await asyncio.gather(bench.rotate(), bench.rotate(), return_exceptions=True)
    ring = await bench.stored_ring()
    assert len(ring.numbers) == 1
    assert from_row(await bench.authenticator(authenticator)).open(ring)
