"""Authenticators as rows: secrets sealed to their own row, and only the active ones of the one subject."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.world import BACKENDS, a_ring, a_storage
from wardgate.account.authenticator import (
    MAX_AUTHENTICATORS,
    Authenticator,
    active_authenticators,
    bound_to,
    create_authenticator,
    from_row,
)
from wardgate.account.subject import SubjectId
from wardgate.crypto import Secret
from wardgate.errors import SealError
from wardgate.storage.port import Insert, Storage, Update

RING = a_ring()
ADA, EVE = SubjectId("ada"), SubjectId("eve")
SECRET = Secret(b"a secret of twenty-odd octets")


@pytest.fixture(params=BACKENDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with a_storage(request.param, tmp_path) as storage:
        yield storage


async def add(storage: Storage, subject: SubjectId = ADA, at_ms: int = 1, counter: int = 0) -> str:
    authenticator_id, insert = create_authenticator(RING, subject, "totp", "app", {"digits": 8}, SECRET, counter, at_ms)
    await storage.commit([insert])
    return authenticator_id


async def test_what_was_enrolled_comes_back(storage: Storage) -> None:
    authenticator_id = await add(storage, counter=7)
    [found] = await active_authenticators(storage, ADA)
    assert (found.id, found.subject_id, found.kind, found.label, found.counter) == (authenticator_id, ADA, "totp", "app", 7)
    assert dict(found.settings) == {"digits": 8}
    assert found.open(RING) == SECRET


async def test_the_secret_stands_nowhere_in_clear(storage: Storage) -> None:
    await add(storage)
    [row] = await storage.find("authenticator")
    assert SECRET.reveal() not in bytes(row["sealed"] or b"")
    assert SECRET.reveal().decode() not in str(row)


async def test_only_the_active_ones_of_the_one_subject_count(storage: Storage) -> None:
    mine, revoked, theirs = await add(storage), await add(storage), await add(storage, EVE)
    await storage.commit([Update("authenticator", {"id": revoked}, {"state": "revoked"})])
    assert [each.id for each in await active_authenticators(storage, ADA)] == [mine]
    assert [each.id for each in await active_authenticators(storage, EVE)] == [theirs]
    assert await active_authenticators(storage, SubjectId("nobody")) == []


async def test_they_come_oldest_first_and_not_without_end(storage: Storage) -> None:
    ids = [await add(storage, at_ms=number) for number in range(MAX_AUTHENTICATORS + 5)]
    assert [each.id for each in await active_authenticators(storage, ADA)] == ids[:MAX_AUTHENTICATORS]


def test_a_secret_of_another_row_or_installation_does_not_open() -> None:
    one_id, one = create_authenticator(RING, ADA, "totp", "", {}, SECRET, 0, 1)
    other_id, _ = create_authenticator(RING, EVE, "totp", "", {}, SECRET, 0, 1)
    assert isinstance(one, Insert)
    sound = from_row(one.row)
    moved = Authenticator(other_id, EVE, "totp", "", {}, 0, sound.sealed)
    with pytest.raises(SealError):
        moved.open(RING)
    with pytest.raises(SealError):
        sound.open(a_ring())
    with pytest.raises(SealError):
        Authenticator(one_id, ADA, "totp", "", {}, 0, None).open(RING)
    assert bound_to(one_id) != bound_to(other_id)


def test_an_authenticator_without_a_secret_holds_none() -> None:
    _, insert = create_authenticator(RING, ADA, "recovery_code", "", {}, None, 0, 1)
    assert isinstance(insert, Insert)
    assert insert.row["sealed"] is None
