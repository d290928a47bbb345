"""Mailed links: sealed to their rows, found by their tokens alone, used once."""

from dataclasses import replace

from wardgate.account.mail_link import LIFE_MS, MailLink, Purpose, from_row, links_of, mac_of, make, use
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, new_key
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed

RING = KeyRing({0: new_key(), 1: new_key()})
ADA = SubjectId("ada")
NOW = 1_000_000


async def kept(storage: MemoryStorage) -> tuple[str, MailLink]:
    token, insert = make(RING, ADA, Purpose.UNDO_CONTACT, {"added": "x"}, NOW)
    await storage.commit([insert])
    mac = mac_of(RING, token.reveal().decode())
    row = await storage.get("mail_link", {"link_mac": mac})
    assert row is not None
    link = from_row(RING, row)
    assert link is not None
    return token.reveal().decode(), link


async def test_token_is_long_and_stands_nowhere() -> None:
    storage = MemoryStorage()
    token, link = await kept(storage)
    assert len(token) == 43
    assert token not in repr(await storage.find("mail_link"))
    assert link.payload == {"added": "x"}
    assert "added" not in repr(await storage.find("mail_link"))


async def test_link_is_used_once() -> None:
    storage = MemoryStorage()
    _, link = await kept(storage)
    assert isinstance(await storage.commit([use(link, NOW)]), Committed)
    assert not isinstance(await storage.commit([use(link, NOW)]), Committed)


async def test_link_that_ran_out_is_not_used() -> None:
    storage = MemoryStorage()
    _, link = await kept(storage)
    assert not link.is_open(NOW + LIFE_MS)
    assert not isinstance(await storage.commit([use(link, NOW + LIFE_MS)]), Committed)
    assert await storage.read([links_of(ADA, NOW + LIFE_MS)]) == [[]]


async def test_row_under_another_links_fingerprint_does_not_open() -> None:
    storage = MemoryStorage()
    _, link = await kept(storage)
    [row] = await storage.find("mail_link")
    assert from_row(RING, {**row, "link_mac": bytes(len(link.mac))}) is None
    assert replace(link, used_at=NOW).is_open(NOW) is False


def test_what_cannot_be_a_token_has_no_fingerprint() -> None:
    for text in ("", "a" * 42, "a" * 44, "a" * 42 + "/", "../" + "a" * 40):
        assert mac_of(RING, text) is None
