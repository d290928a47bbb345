"""Announcements: after the commit, and only after a commit."""

import asyncio

import pytest

from tests.conformance.storage.rows import brake, brake_key, committed, insert, refused
from wardgate.storage.port import Announce, Insert, Storage, Update


async def test_subscribers_hear_of_their_topic_before_the_caller_goes_on(storage: Storage) -> None:
    heard: list[str] = []
    storage.subscribe("nas", heard.append)
    await committed(storage, Announce("nas", "1"), Insert("brake", brake("a")), Announce("other", "x"), Announce("nas", "2"))
    assert heard == ["1", "2"]


async def test_every_subscriber_hears_until_it_stops(storage: Storage) -> None:
    first: list[str] = []
    second: list[str] = []
    stop = storage.subscribe("nas", first.append)
    storage.subscribe("nas", second.append)
    await committed(storage, Announce("nas", "1"))
    stop()
    stop()
    await committed(storage, Announce("nas", "2"))
    assert (first, second) == (["1"], ["1", "2"])


async def test_one_callback_may_be_subscribed_twice(storage: Storage) -> None:
    heard: list[str] = []
    stop = storage.subscribe("nas", heard.append)
    storage.subscribe("nas", heard.append)
    await committed(storage, Announce("nas", "1"))
    stop()
    await committed(storage, Announce("nas", "2"))
    assert heard == ["1", "1", "2"]


async def test_nothing_is_announced_by_a_refused_unit(storage: Storage) -> None:
    heard: list[str] = []
    storage.subscribe("nas", heard.append)
    await refused(storage, Announce("nas", "lost"), Update("brake", brake_key("missing"), {"level": 1}))
    await committed(storage, Announce("nas", "kept"))
    assert heard == ["kept"]


async def test_a_subscriber_that_reads_finds_what_was_announced(storage: Storage) -> None:
    found: asyncio.Queue[object] = asyncio.Queue()
    tasks: set[asyncio.Task[None]] = set()

    async def read(key: str) -> None:
        found.put_nowait(await storage.get("brake", brake_key(key)))

    storage.subscribe("brake", lambda key: tasks.add(asyncio.ensure_future(read(key))))
    await insert(storage, "brake", brake("a"))
    await committed(storage, Update("brake", brake_key("a"), {"level": 7}), Announce("brake", "a"))
    assert await asyncio.wait_for(found.get(), 5) == brake("a", level=7)


async def test_a_subscriber_that_fails_harms_nobody(storage: Storage) -> None:
    heard: list[str] = []
    failures: list[object] = []

    def fail(key: str) -> None:
        raise RuntimeError(key)

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context.get("exception")))
    storage.subscribe("nas", fail)
    storage.subscribe("nas", heard.append)
    await committed(storage, Announce("nas", "1"))
    await committed(storage, Announce("nas", "2"))
    loop.set_exception_handler(None)
    assert heard == ["1", "2"]
    assert [str(item) for item in failures] == ["1", "2"]


async def test_a_subscriber_may_subscribe_and_stop_while_it_is_called(storage: Storage) -> None:
    heard: list[str] = []
    stops = [storage.subscribe("nas", lambda key: stops[0]())]

    def hear_and_subscribe(key: str) -> None:
        heard.append(key)
        storage.subscribe("nas", heard.append)

    storage.subscribe("nas", hear_and_subscribe)
    await committed(storage, Announce("nas", "1"))
    await committed(storage, Announce("nas", "2"))
    assert heard == ["1", "2", "2"]


@pytest.mark.parametrize("key", ["", "ı", "x" * 7000])
async def test_a_key_arrives_as_it_was_given(storage: Storage, key: str) -> None:
    heard: list[str] = []
    storage.subscribe("nas", heard.append)
    await committed(storage, Announce("nas", key))
    assert heard == [key]
