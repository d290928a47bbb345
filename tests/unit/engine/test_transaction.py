"""Transactions and handles as rows."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flows.world import BACKENDS, a_ring, a_storage
from wardgate.engine.transaction import (
    HANDLE_BYTES,
    OUTCOME_KEPT_MS,
    State,
    Transaction,
    advance,
    consume,
    from_row,
    handle_from_row,
    insert,
    new_handle,
    outcome_bound_to,
)
from wardgate.errors import SealError
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Committed, Refused, Storage

RING = a_ring()
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
numbers = st.integers(0, 2**53)
kinds = st.sampled_from(["totp", "sms", "email"])
memories = st.dictionaries(kinds, st.dictionaries(words, words | numbers | st.lists(numbers, max_size=3), max_size=3), max_size=3)
transactions = st.builds(
    Transaction,
    id=words,
    reference=words,
    application=words,
    subject_id=words,
    realm=words,
    directory=words,
    immutable_id=words,
    user_name=words,
    name_key=words,
    language=words,
    steps=st.lists(st.lists(kinds, max_size=3).map(tuple), max_size=3).map(tuple),
    rule=words,
    step=st.integers(0, 3),
    factor=words,
    proved=st.lists(kinds, max_size=3).map(tuple),
    tries_left=st.integers(0, 10),
    created_at=numbers,
    expires_at=numbers,
    state=st.sampled_from(State),
    sequence=st.integers(1, 100),
    fold_key=st.none() | st.binary(min_size=1, max_size=32),
    memory=memories,
    resends=st.integers(0, 10),
    sent_at=numbers,
    floors=st.lists(words, max_size=2).map(tuple),
)


def a_transaction(**changes: Any) -> Transaction:
    fields: dict[str, Any] = {
        "id": "t1",
        "reference": "REF",
        "application": "vpn",
        "subject_id": "s1",
        "realm": "acme",
        "directory": "local",
        "immutable_id": "i1",
        "user_name": "ada",
        "name_key": "ada",
        "language": "en",
        "steps": (("totp",),),
        "rule": "default",
        "step": 0,
        "factor": "totp",
        "proved": ("password",),
        "tries_left": 3,
        "created_at": 1000,
        "expires_at": 181_000,
        "fold_key": b"k" * 32,
    }
    return Transaction(**{**fields, **changes})


@pytest.fixture(params=BACKENDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    async with a_storage(request.param, tmp_path) as storage:
        yield storage


@given(transactions)
@settings(suppress_health_check=[HealthCheck.too_slow])
async def test_what_was_stored_comes_back(transaction: Transaction) -> None:
    storage = MemoryStorage()
    assert isinstance(await storage.commit([insert(transaction)]), Committed)
    [row] = await storage.find("login_transaction")
    assert from_row(row) == transaction


async def test_a_step_is_taken_by_whoever_is_first(storage: Storage) -> None:
    old = a_transaction()
    await storage.commit([insert(old)])
    assert isinstance(await storage.commit([advance(old, old.moved(tries_left=2))]), Committed)
    assert isinstance(await storage.commit([advance(old, old.moved(tries_left=3))]), Refused)
    [row] = await storage.find("login_transaction")
    assert (from_row(row).tries_left, from_row(row).sequence) == (2, 2)


@pytest.mark.parametrize("state", [State.GRANTED, State.DENIED])
async def test_a_final_state_is_final(storage: Storage, state: State) -> None:
    old = a_transaction()
    final = old.moved(state=state)
    await storage.commit([insert(old)])
    await storage.commit([advance(old, final)])
    assert isinstance(await storage.commit([advance(final, final.moved(state=State.CHALLENGED))]), Refused)


async def test_a_login_that_ended_gives_its_fold_key_back(storage: Storage) -> None:
    old = a_transaction()
    await storage.commit([insert(old)])
    assert isinstance(await storage.commit([insert(a_transaction(id="t2"))]), Refused)
    await storage.commit([advance(old, old.moved())])
    assert isinstance(await storage.commit([insert(a_transaction(id="t2"))]), Refused)
    await storage.commit([advance(old.moved(), old.moved().moved(state=State.DENIED))])
    assert isinstance(await storage.commit([insert(a_transaction(id="t2"))]), Committed)


def test_what_one_factor_remembers_is_not_the_others() -> None:
    transaction = a_transaction(memory={"sms": {"codes": [1]}, "email": "nonsense"})
    assert transaction.recall("sms") == {"codes": [1]}
    assert transaction.recall("totp") == {}
    assert transaction.recall("email") == {}


# --- handles ---------------------------------------------------------------------------------------------------------


async def test_a_handle_is_used_up_once(storage: Storage) -> None:
    value, row = new_handle(RING, a_transaction(), "radius:hq:")
    assert len(value) == HANDLE_BYTES
    await storage.commit([row])
    [stored] = await storage.find("handle")
    handle = handle_from_row(stored)
    assert (handle.transaction_id, handle.sequence, handle.binding, handle.consumed_at) == ("t1", 1, "radius:hq:", None)
    assert handle.expires_at == 181_000 + OUTCOME_KEPT_MS
    assert isinstance(await storage.commit([consume(RING, handle, b"one", b"outcome", 5000)]), Committed)
    assert isinstance(await storage.commit([consume(RING, handle, b"two", b"other", 5000)]), Refused)
    used = handle_from_row((await storage.find("handle"))[0])
    assert (used.consumed_at, used.fingerprint, used.expires_at) == (5000, b"one", 5000 + OUTCOME_KEPT_MS)
    assert RING.open(used.outcome or b"", outcome_bound_to(used.mac)) == b"outcome"
    with pytest.raises(SealError):
        RING.open(used.outcome or b"", outcome_bound_to(b"another handle"))


def test_handles_differ() -> None:
    values = {new_handle(RING, a_transaction(), "b")[0] for _ in range(100)}
    assert len(values) == 100
