"""What risk asks of a storage: fingerprints looked up together, values counted by whoever writes, the oldest taken away."""

from tests.flows.world import a_ring
from wardgate.risk import habits
from wardgate.risk.habits import COUNTRY, DEVICE, HOUR_MS, PLACE
from wardgate.storage.port import Committed, Storage

ADA, BOB = "a" * 32, "b" * 32
AT = 1_800_000_000_000


async def test_what_a_grant_wrote_is_found_by_its_fingerprints(storage: Storage) -> None:
    ring = a_ring()
    keys = habits.keys_of(ring, ADA, "203.0.113.0/24", "laptop", "tr", 7)
    assert keys.country is not None
    learned = [(PLACE, keys.place), (COUNTRY, keys.country), ("hour", keys.hours[2])]
    unit = [habits.learn(ADA, kind, key, AT) for kind, key in learned]
    assert isinstance(await storage.commit([*unit, habits.learn_login(ADA, AT)]), Committed)
    assert isinstance(await storage.commit([habits.learn(BOB, DEVICE, keys.device, AT)]), Committed)
    await storage.commit([habits.learn(ADA, PLACE, keys.place, AT + HOUR_MS - 1)])
    await storage.commit([habits.learn(ADA, PLACE, keys.place, AT + HOUR_MS)])
    found = habits.found(await storage.read(habits.asked(ADA, keys, 50)))
    assert (found.times(PLACE, keys.place), found.times(DEVICE, keys.device), found.times(COUNTRY, keys.country)) == (2, 0, 1)
    assert (found.logins, found.countries) == (1, 1)
    assert [found.times("hour", key) for key in keys.hours] == [0, 0, 1]


async def test_the_oldest_of_one_kind_make_room(storage: Storage) -> None:
    keys = [bytes((number,)) * 6 for number in range(5)]
    for number, key in enumerate(keys):
        await storage.commit([habits.learn(ADA, PLACE, key, AT + number), habits.learn(ADA, DEVICE, key, AT)])
    await storage.commit(await habits.make_room(storage, ADA, [PLACE, "hour"], 3))
    places = await storage.find("habit", order_by="last_at")
    assert [row["value_key"] for row in places if row["kind"] == PLACE] == keys[3:]
    assert sum(row["kind"] == DEVICE for row in places) == 5
    await storage.commit([habits.forget_habits(ADA)])
    assert await storage.find("habit") == []
