"""Live events: nothing lost, nothing twice, ended in time, bounded in number."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.web import samples
from tests.unit.web.samples import Sample
from wardgate.admin.links import SESSION_LIFE_MS
from wardgate.audit.timeline import Trail
from wardgate.clock import FixedClock, SystemClock
from wardgate.delivery.port import Channel
from wardgate.web import feed
from wardgate.web.access import SESSION_COOKIE
from wardgate.web.feed import Cursor
from wardgate.web.streams import MAX_STREAMS, Streams, event

DEADLINE_S = 10.0


class OpenStream:
    """One event stream of the application, read as the browser reads it."""

    def __init__(self, app: Any, path: str, headers: dict[str, str]) -> None:
        address, _, query = path.partition("?")
        named = {"host": "127.0.0.1:8443", **headers}
        self.scope = {
            "type": "http",
            "asgi": {"spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": address,
            "raw_path": address.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8443),
            "state": {},
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = asyncio.Event()
        self._gone = asyncio.Event()
        self._chunks: asyncio.Queue[str] = asyncio.Queue()
        self._text = ""
        self.task = asyncio.create_task(app(self.scope, self._receive, self._send))
        self.task.add_done_callback(lambda _task: self.ended.set())

    async def next(self) -> dict[str, str]:
        """The next event: its id, name and data."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                head, found, rest = self._text.partition("\n\n")
                if found:
                    self._text = rest
                    fields = [line.partition(": ") for line in head.split("\n")]
                    if any(name == "event" for name, _, _ in fields):
                        data = "\n".join(value for name, _, value in fields if name == "data")
                        return {**{name: value for name, _, value in fields}, "data": data}
                    continue
                self._text += await self._chunks.get()

    async def row(self) -> dict[str, str]:
        """The next event that carries a row."""
        while (found := await self.next())["event"] != "row":
            continue
        return found

    async def close(self) -> None:
        """The browser goes away."""
        self._gone.set()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait({self.task})

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self._chunks.put_nowait(message["body"].decode())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SETTLE_S", 0.01)
    monkeypatch.setattr(feed, "LOOK_EVERY_S", 0.05)


@asynccontextmanager
async def stream(sample: Sample, path: str = "/admin/log/stream", **headers: str) -> AsyncIterator[OpenStream]:
    reader = OpenStream(sample.app, path, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        yield reader
    finally:
        await reader.close()


def live_sample(**options: Any) -> Sample:
    return Sample(clock=SystemClock(), **options)


async def test_new_row_arrives_as_it_would_stand_on_the_page() -> None:
    sample = live_sample()
    async with stream(sample) as reader, sample.client() as browser:
        await sample.storage.commit([sample.request("AAAA1111", 0, "ada", "granted", "granted", samples.LET_IN)])
        found = await reader.row()
        page = (await browser.get("/admin/log")).text
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["cache-control"] == "no-store"
    assert "content-security-policy" in reader.headers
    assert f'id="r-{found["id"]}"' in found["data"]
    assert " ".join(found["data"].split()) in " ".join(page.split())


async def test_published_trail_arrives_once() -> None:
    sample = live_sample()
    async with stream(sample) as reader:
        trail = Trail(sample.clock, "radius")
        trail.user, trail.result = "ada", "granted"
        sample.recorder.publish(trail)
        await sample.recorder.flush()
        first = await reader.row()
        await sample.storage.commit([sample.request("BBBB2222", 0, "bob", "granted", "granted", ())])
        second = await reader.row()
    assert trail.reference in first["data"]
    assert "BBBB2222" in second["data"]


async def test_reader_that_comes_back_gets_what_it_missed() -> None:
    sample = live_sample()
    rows = [sample.request(f"AAAA{number:04d}", 100 - 10 * number, "ada", "granted", "granted", ()) for number in range(5)]
    await sample.storage.commit(rows)
    seen = str(rows[2].row["id"])
    async with stream(sample, last_event_id=seen) as reader:
        missed = [await reader.row(), await reader.row(), await reader.row()]
    # The one that it has is repeated: a row may be stored a moment after a younger one. The page knows it by its id.
    assert [each["id"] for each in missed] == [str(row.row["id"]) for row in rows[2:]]


async def test_row_stored_behind_a_younger_one_is_not_lost() -> None:
    sample = live_sample()
    older = sample.request("AAAA1111", 1, "ada", "granted", "granted", ())
    younger = sample.request("BBBB2222", 0, "bob", "granted", "granted", ())
    async with stream(sample) as reader:
        await sample.storage.commit([younger])
        assert (await reader.row())["id"] == younger.row["id"]
        await sample.storage.commit([older])
        assert (await reader.row())["id"] == older.row["id"]


async def test_filters_hold_for_live_rows() -> None:
    sample = live_sample()
    async with stream(sample, "/admin/log/stream?user=ada&result=denied&nas=HQ-firewall") as reader:
        await sample.storage.commit(
            [
                sample.request("AAAA1111", 0, "bob", "denied", "password_wrong", ()),
                sample.request("AAAA2222", 0, "ada", "granted", "granted", ()),
                sample.request("AAAA3333", 0, "ada", "denied", "password_wrong", (), nas="branch"),
                sample.request("AAAA4444", 0, "ADA", "denied", "password_wrong", ()),
            ]
        )
        assert "AAAA4444" in (await reader.row())["data"]


async def test_flood_is_cut_and_the_page_is_told() -> None:
    sample = live_sample()
    await sample.storage.commit([sample.request("AAAA1111", 0, "ada", "denied", "password_wrong", ()) for _ in range(100)])
    async with stream(sample) as reader:
        names = [(await reader.next())["event"] for _ in range(feed.MAX_ROWS_PER_LOOK + 1)]
    assert names == ["row"] * feed.MAX_ROWS_PER_LOOK + ["gap"]


async def test_page_opened_on_a_busy_server_is_not_told_that_it_lacks_rows() -> None:
    sample = live_sample()
    shown = [sample.request("AAAA1111", 0, "ada", "denied", "password_wrong", ()) for _ in range(100)]
    await sample.storage.commit(shown)
    newest_shown = max(str(unit.row["id"]) for unit in shown)
    async with stream(sample, f"/admin/log/stream?after={newest_shown}") as reader:
        names = [(await reader.next())["event"] for _ in range(feed.MAX_ROWS_PER_LOOK + 1)]
    assert names == ["row"] * feed.MAX_ROWS_PER_LOOK + ["incidents"]


async def test_incidents_arrive_when_they_change() -> None:
    sample = live_sample()
    async with stream(sample) as reader:
        assert "No packet was dropped" in (await reader.next())["data"]
        sample.recorder.incident(samples.IncidentKind.WRONG_SECRET, "10.20.0.1", "branch-izmir")
        await sample.recorder.flush()
        changed = await reader.next()
    assert changed["event"] == "incidents"
    assert "shared secret" in changed["data"]


async def test_stream_ends_with_its_session() -> None:
    sample = live_sample(demo=False)
    async with sample.client() as browser:
        session = await sample.enter(browser)
        async with stream(sample, cookie=f"{SESSION_COOKIE}={session}") as reader:
            await reader.next()
            assert not reader.ended.is_set()
            await browser.post("/admin/leave", headers={"sec-fetch-site": "same-origin"})
            async with asyncio.timeout(DEADLINE_S):
                await reader.ended.wait()
        async with stream(sample, cookie=f"{SESSION_COOKIE}={session}") as reader:
            await reader.ended.wait()
    assert reader.status == 403


async def test_stream_ends_when_four_hours_are_over() -> None:
    sample = Sample(demo=False)
    async with sample.client() as browser:
        session = await sample.enter(browser)
        async with stream(sample, cookie=f"{SESSION_COOKIE}={session}") as reader:
            await reader.next()
            sample.clock.advance(SESSION_LIFE_MS / 1000)  # type: ignore[attr-defined]
            async with asyncio.timeout(DEADLINE_S):
                await reader.ended.wait()


async def test_stop_ends_every_stream_and_admits_no_more() -> None:
    sample = live_sample()
    async with stream(sample) as reader, stream(sample, "/outbox/stream") as other:
        await reader.next()
        sample.context.streams.close()
        async with asyncio.timeout(DEADLINE_S):
            await reader.ended.wait()
            await other.ended.wait()
        async with stream(sample) as late:
            await late.ended.wait()
    assert late.status == 503


async def test_streams_are_bounded_and_their_places_come_back() -> None:
    sample = live_sample(streams=Streams(limit=3))
    for _ in range(3):
        async with stream(sample) as one, stream(sample) as two, stream(sample, "/outbox/stream") as three:
            await asyncio.gather(one.next(), two.next())
            while sample.context.streams.open < 3:
                await asyncio.sleep(0)
            async with stream(sample) as refused:
                await refused.ended.wait()
            assert (refused.status, refused.headers["retry-after"]) == (503, "30")
            assert (one.status, two.status, three.status) == (200, 200, 200)
        assert sample.context.streams.open == 0
        assert not sample.recorder._listeners
    assert MAX_STREAMS <= 32


async def test_message_arrives_and_changes_its_state() -> None:
    sample = live_sample()
    async with stream(sample, "/outbox/stream") as reader:
        await sample.storage.commit(sample.message(1, Channel.SMS, "+905321234567", "bob", "482913", "482913 is your code", 0))
        queued = await reader.row()
        await sample.storage.commit([samples.sent("message0001")])
        handed_over = await reader.row()
    assert ("482913" in queued["data"], "Waits" in queued["data"]) == (True, True)
    assert "Handed over" in handed_over["data"]


@pytest.mark.parametrize("given", ["x", "0" * 25, "../../etc", "Z" * 24, "", "\x00"])
async def test_strange_last_event_id_is_no_id(given: str) -> None:
    sample = live_sample()
    await sample.storage.commit([sample.request("AAAA1111", 5, "ada", "granted", "granted", ())])
    async with stream(sample, last_event_id=given) as reader:
        assert "AAAA1111" in (await reader.row())["data"]


def test_cursor_forgets_what_cannot_come_late_any_more() -> None:
    clock = FixedClock(samples.NOW)
    cursor = Cursor("0" * 24, clock)
    ids = [f"{at:012x}{'a' * 12}" for at in range(0, 600_000, 10)]
    assert all(cursor.take(each) for each in ids)
    assert not cursor.take(ids[-1])
    assert len(cursor._sent) <= feed.MAX_REMEMBERED


async def test_nodes_clock_that_is_wrong_hides_nobodys_rows() -> None:
    """One row from the future must not be the last one for as long as its node's clock is ahead."""
    sample = live_sample()
    ahead = [sample.request(f"FFFF{number:04d}", -3600, "eve", "granted", "granted", ()) for number in range(40)]
    await sample.storage.commit(ahead)
    async with stream(sample, f"/admin/log/stream?after={ahead[-1].row['id']}") as reader:
        for _ in range(feed.MAX_ROWS_PER_LOOK):
            assert "FFFF" in (await reader.row())["data"]
        for number in range(3):
            await sample.storage.commit([sample.request(f"AAAA{number:04d}", 0, "ada", "granted", "granted", ())])
            assert f"AAAA{number:04d}" in (await reader.row())["data"]
        late = sample.request("BBBB0000", (feed.LOOK_BACK_MS - 1000) / 1000, "bob", "granted", "granted", ())
        await sample.storage.commit([late])
        assert "BBBB0000" in (await reader.row())["data"]


async def test_rows_of_another_worker_arrive_without_being_announced() -> None:
    """What another process wrote wakes nobody here: the stream looks by itself."""
    one, other = live_sample(), live_sample()
    storage = one.storage
    async with stream(one) as reader:
        await reader.next()
        trail = Trail(other.clock, "radius")
        trail.user, trail.result = "ada", "granted"
        await storage.commit([trail.entry(other.ring)])
        assert trail.reference in (await reader.row())["data"]
        # Stored by the engine, then published by the door of this worker: once, not twice.
        own = Trail(one.clock, "radius")
        own.user, own.result, own.stored = "bob", "granted", True
        await storage.commit([own.entry(one.ring)])
        one.recorder.publish(own)
        assert own.reference in (await reader.row())["data"]
        await storage.commit([one.request("LAST0001", 0, "carol", "granted", "granted", ())])
        assert "LAST0001" in (await reader.row())["data"]


def test_event_keeps_lines_apart() -> None:
    assert event("row", "a\nb\n", "7") == "id: 7\nevent: row\ndata: a\ndata: b\n\n"
    assert event("gap", "") == "event: gap\ndata: \n\n"
    assert event("row", "a\r\n\r\nevent: other\rdata: x") == "event: row\ndata: a\ndata: \ndata: event: other\ndata: data: x\n\n"
