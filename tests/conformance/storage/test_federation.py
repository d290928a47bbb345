"""What federation asks of a storage: one first key whoever makes it, one next key, and texts of metadata as they came."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from tests.flows.world import a_ring
from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock
from wardgate.errors import Conflict
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.signing_keys import TABLE, Change, load_keys, make_first_keys, roll_key
from wardgate.federation.stored_metadata import TABLE as METADATA
from wardgate.federation.stored_metadata import Refreshing, Stored, load_stored, row_of
from wardgate.storage.port import Storage, Upsert

CLOCK = FixedClock(datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
KINDS = (KeyKind.P256,)


async def test_nodes_that_start_at_once_agree_on_one_first_key(storage: Storage) -> None:
    ring = a_ring()
    storage.use_chain(chain_for(ring, "test", 1))
    made = await asyncio.gather(*(make_first_keys(storage, ring, CLOCK, KINDS) for _ in range(8)))
    assert made.count(True) == 1
    assert [row["number"] for row in await storage.find(TABLE)] == [1]
    assert len(await storage.find("audit_event")) == 1


async def test_two_operators_who_change_a_key_at_once_change_it_once(storage: Storage) -> None:
    ring = a_ring()
    storage.use_chain(chain_for(ring, "test", 1))
    await make_first_keys(storage, ring, CLOCK, KINDS)

    async def roll() -> bool:
        try:
            await roll_key(storage, ring, CLOCK, Change(KeyKind.P256), "operator:olga")
        except Conflict:
            return False
        return True

    assert sorted(await asyncio.gather(*(roll() for _ in range(6)))) == [False] * 5 + [True]
    keys = await load_keys(storage, ring)
    assert [key.number for key in keys.all] == [1, 2]
    assert keys.all[0].published_until is not None
    assert keys.all[1].published_until is None


async def test_metadata_is_kept_as_it_came_and_forgotten_with_its_application(storage: Storage) -> None:
    storage.use_chain(chain_for(a_ring(), "test", 1))
    stored = Stored(
        "viki", "https://viki.acme.test/m", "<a>ğ\u2028\U0001f512</a>" * 20_000, "https://viki.acme.test", 1, None, 2, 3, "down"
    )
    await storage.commit(
        [Upsert(METADATA, row_of(stored)), Upsert(METADATA, row_of(replace(stored, application="blog", valid_until=5)))]
    )
    assert await load_stored(storage) == {"viki": stored, "blog": replace(stored, application="blog", valid_until=5)}
    await Refreshing(storage, CLOCK, lambda: ()).run_once()
    assert await load_stored(storage) == {}
