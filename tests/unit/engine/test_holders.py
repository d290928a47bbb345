"""Who is remembered to have no contacts of his own, and for how long."""

import pytest

from wardgate.account.contact import TOPIC, kept_contacts
from wardgate.account.subject import SubjectId
from wardgate.clock import FixedClock, from_ms
from wardgate.engine import holders
from wardgate.engine.holders import WITHOUT_FOR_S, Contactless
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Announce, Row

ADA, BOB, ERIN = SubjectId("ada"), SubjectId("bob"), SubjectId("erin")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(from_ms(0))


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def contactless(storage: MemoryStorage, clock: FixedClock) -> Contactless:
    return Contactless(storage, clock)


def is_read(contactless: Contactless, subject_id: SubjectId, *rows: Row) -> bool:
    """Whether his contacts have to be read, which they then are."""
    asked = contactless.asked(subject_id)
    assert asked in ([], [kept_contacts(subject_id)])
    if asked:
        contactless.read(subject_id, rows)
    return bool(asked)


async def test_who_has_none_is_asked_about_once_for_a_while(contactless: Contactless, clock: FixedClock) -> None:
    assert [is_read(contactless, ADA) for _ in range(3)] == [True, False, False]
    assert is_read(contactless, BOB)
    clock.advance(WITHOUT_FOR_S)
    assert is_read(contactless, ADA)


async def test_of_who_has_contacts_nothing_is_remembered(contactless: Contactless) -> None:
    assert [is_read(contactless, ADA, {"value_key": b"1"}) for _ in range(3)] == [True, True, True]


@pytest.mark.parametrize(("announced", "forgotten"), [("ada", [True, False]), ("", [True, True]), ("erin", [False, False])])
async def test_a_new_contact_makes_it_be_read_again(
    contactless: Contactless, storage: MemoryStorage, announced: str, forgotten: list[bool]
) -> None:
    for each in (ADA, BOB):
        is_read(contactless, each)
    await storage.commit([Announce(TOPIC, announced)])
    assert [is_read(contactless, ADA), is_read(contactless, BOB)] == forgotten


async def test_a_contact_that_comes_while_there_are_none_to_be_read_is_seen_by_the_next_login(
    contactless: Contactless, storage: MemoryStorage
) -> None:
    contactless.asked(ADA)
    await storage.commit([Announce(TOPIC, "ada")])
    contactless.read(ADA, [])
    assert is_read(contactless, ADA)


async def test_the_longest_known_make_room(contactless: Contactless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "MAX_WITHOUT", 2)
    for each in (ADA, BOB, ERIN):
        assert is_read(contactless, each)
    assert [is_read(contactless, each) for each in (BOB, ERIN)] == [False, False]
    assert is_read(contactless, ADA)
