"""Short links: their codes, how people type them, and that each change of one happens once."""

from collections.abc import Mapping

import pytest

from tests.flows.world import a_ring
from wardgate.account.short_link import (
    TABLE,
    Purpose,
    ShortLink,
    bind,
    code_of,
    count_wrong,
    create,
    end,
    from_row,
    mac_of,
    new_window_code,
    note_proved,
    use_code,
    window_mac,
)
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed, Operation, Refused

NOW = 1_000_000
HERE, ELSEWHERE = b"h" * 32, b"e" * 32


def a_link(ring: KeyRing, transaction: str = "t1", asked: Mapping[str, object] | None = None) -> ShortLink:
    mac = mac_of(ring, code_of(ring, transaction, 0, "passkey"))
    assert mac is not None
    return ShortLink(mac, transaction, SubjectId("s1"), Purpose.CONFIRM, "passkey", asked or {}, NOW, NOW + 600_000)


async def stored(storage: MemoryStorage, ring: KeyRing, mac: bytes) -> ShortLink:
    row = await storage.get(TABLE, {"link_mac": mac})
    assert row is not None
    link = from_row(ring, row)
    assert link is not None
    return link


async def once(storage: MemoryStorage, operation: Operation) -> bool:
    return isinstance(await storage.commit([operation]), Committed)


def test_a_code_is_the_same_again_for_its_step_and_another_for_any_other() -> None:
    ring = a_ring()
    codes = [code_of(ring, *of) for of in (("t1", 0, "passkey"), ("t1", 1, "passkey"), ("t1", 0, "enrol"), ("t2", 0, "passkey"))]
    assert len(set(codes)) == 4
    assert code_of(ring, "t1", 0, "passkey") == codes[0]
    assert code_of(a_ring(), "t1", 0, "passkey") != codes[0], "another installation's is another"


@pytest.mark.parametrize("typed", ["10ab-cd2e", " IOAB CD2E ", "l0ab\u2011cd2e", "10ABCD2E"])
def test_a_code_is_read_as_it_was_meant(typed: str) -> None:
    ring = a_ring()
    assert mac_of(ring, typed) == mac_of(ring, "10AB-CD2E")


@pytest.mark.parametrize("typed", ["", "10AB-CD2", "10AB-CD2EE", "10AB-CD2U", "1" * 33, "\N{FULLWIDTH DIGIT ONE}" * 8])
def test_what_is_no_code_has_no_fingerprint(typed: str) -> None:
    assert mac_of(a_ring(), typed) is None


async def test_a_row_of_another_link_opens_nothing() -> None:
    ring, storage = a_ring(), MemoryStorage()
    one, other = a_link(ring, asked={"client": "203.0.113.7"}), a_link(ring, "t2")
    await storage.commit([create(ring, one), create(ring, other)])
    rows = [await storage.get(TABLE, {"link_mac": each.mac}) for each in (one, other)]
    assert rows[0] is not None
    assert rows[1] is not None
    assert from_row(ring, {**rows[1], "sealed": rows[0]["sealed"]}) is None
    assert (await stored(storage, ring, one.mac)).asked == {"client": "203.0.113.7"}


async def test_a_link_is_one_browsers_proved_once_and_its_code_good_once() -> None:
    ring, storage = a_ring(), MemoryStorage()
    link = a_link(ring)
    await storage.commit([create(ring, link)])
    assert await once(storage, bind(link, HERE, NOW))
    assert not await once(storage, bind(link, ELSEWHERE, NOW))
    code, mac = new_window_code(ring, link)
    assert len(code) == 6
    assert window_mac(ring, a_link(ring, "t2"), code) != mac
    assert not await once(storage, note_proved(link, ELSEWHERE, "passkey", False, mac, NOW))
    assert await once(storage, note_proved(link, HERE, "passkey", True, mac, NOW))
    assert not await once(storage, note_proved(link, HERE, "passkey", True, mac, NOW))
    proved = await stored(storage, ring, link.mac)
    assert (proved.proved, proved.twofold, proved.code_mac) == ("passkey", True, mac)
    assert not await once(storage, use_code(proved, window_mac(ring, link, "000000") if code != "000000" else b"", NOW))
    assert await once(storage, use_code(proved, mac, NOW))
    assert isinstance(await storage.commit([use_code(proved, mac, NOW)]), Refused)


async def test_nothing_happens_to_a_link_that_has_run_out_ended_or_was_guessed_at() -> None:
    ring, storage = a_ring(), MemoryStorage()
    link = a_link(ring)
    await storage.commit([create(ring, link)])
    assert not await once(storage, bind(link, HERE, link.expires_at))
    for _ in range(5):
        assert link.is_open(NOW)
        assert await once(storage, count_wrong(link, NOW))
        assert not await once(storage, bind(link, HERE, NOW)), "who judged an older row is late"
        link = await stored(storage, ring, link.mac)
    assert not link.is_open(NOW)
    assert await once(storage, end(link, NOW))
    assert not await once(storage, end(link, NOW))
