"""The UDP socket of a listener: a reply leaves from the address that was asked, and nothing that comes in stops the next."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import structlog
import uvloop

from wardgate.radius.endpoint import DATAGRAMS_PER_TURN, Address, Endpoint, Receive, ReplyPath

SOON_S = 5.0


def run(work: Callable[[], Awaitable[None]]) -> None:
    """On the loop that the server runs on."""

    async def whole() -> None:
        async with asyncio.timeout(SOON_S):
            await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


def echo(path: ReplyPath, listener: str, data: bytes, source: Address) -> None:
    path.send(data)


@asynccontextmanager
async def listening(address: str, receive: Receive = echo) -> AsyncIterator[int]:
    """An endpoint at this address; its port."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((address, 0))
    except OSError:
        sock.close()
        pytest.skip(f"this machine has no {address}")
    endpoint = Endpoint(sock, receive)
    endpoint.open()
    try:
        yield sock.getsockname()[1]
    finally:
        endpoint.close()


@contextlib.contextmanager
def asking(address: str, port: int) -> Iterator[socket.socket]:
    """A NAS that takes replies from the address that it asked and from no other, as a connected socket does."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as nas:
        nas.setblocking(False)
        nas.connect((address, port))
        yield nas


async def reply_to(nas: socket.socket, data: bytes) -> bytes:
    nas.send(data)
    return await asyncio.get_running_loop().sock_recv(nas, 100)


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.77"), ("127.0.0.77", "127.0.0.77"), ("::", "::1"), ("::1", "::1")],
)
def test_a_reply_leaves_from_the_address_that_was_asked(bound: str, asked: str) -> None:
    async def work() -> None:
        async with listening(bound) as port:
            with asking(asked, port) as nas:
                assert await reply_to(nas, b"who is there") == b"who is there"

    run(work)


def test_a_reply_that_comes_late_still_leaves_from_the_address_that_was_asked() -> None:
    paths: list[ReplyPath] = []

    async def work() -> None:
        async with listening("0.0.0.0", lambda path, listener, data, source: paths.append(path)) as port:
            with asking("127.0.0.77", port) as one, asking("127.0.0.78", port) as other:
                one.send(b"one")
                other.send(b"other")
                while len(paths) < 2:
                    await asyncio.sleep(0)
                for path in reversed(paths):
                    path.send(b"late")
                loop = asyncio.get_running_loop()
                assert [await loop.sock_recv(nas, 100) for nas in (one, other)] == [b"late", b"late"]

    run(work)


def test_the_sender_and_the_listener_are_told() -> None:
    seen: list[tuple[str, bytes, Address]] = []

    def receive(path: ReplyPath, listener: str, data: bytes, source: Address) -> None:
        seen.append((listener, data, source))
        path.send(data)

    async def work() -> None:
        async with listening("127.0.0.1", receive) as port:
            with asking("127.0.0.1", port) as nas:
                await reply_to(nas, b"packet")
                assert seen == [(f"127.0.0.1:{port}", b"packet", nas.getsockname())]

    run(work)


def test_a_burst_is_received_whole() -> None:
    async def work() -> None:
        async with listening("127.0.0.1") as port:
            with asking("127.0.0.1", port) as nas:
                for number in range(3 * DATAGRAMS_PER_TURN):
                    nas.send(bytes((number,)))
                loop = asyncio.get_running_loop()
                got = [await loop.sock_recv(nas, 100) for _ in range(3 * DATAGRAMS_PER_TURN)]
                assert got == [bytes((number,)) for number in range(3 * DATAGRAMS_PER_TURN)]

    run(work)


def test_a_datagram_that_breaks_its_handler_does_not_stop_the_next() -> None:
    def receive(path: ReplyPath, listener: str, data: bytes, source: Address) -> None:
        if data == b"break":
            raise ValueError("a mistake of ours")
        path.send(data)

    async def work() -> None:
        broken: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: broken.append(context["exception"]))
        async with listening("127.0.0.1", receive) as port:
            with asking("127.0.0.1", port) as nas:
                nas.send(b"break")
                assert await reply_to(nas, b"next") == b"next"
        assert [str(error) for error in broken] == ["a mistake of ours"]

    run(work)


def test_a_reply_that_cannot_be_sent_is_told_and_the_next_one_goes_out() -> None:
    def receive(path: ReplyPath, listener: str, data: bytes, source: Address) -> None:
        # Port 0: as from a forged packet, or as on a network that is gone for a moment.
        for _ in range(3):
            path.endpoint.send(data, ("127.0.0.1", 0), path.from_address)
        path.send(data)

    async def work() -> None:
        async with listening("127.0.0.1", receive) as port:
            with asking("127.0.0.1", port) as nas:
                assert await reply_to(nas, b"packet") == b"packet"

    with structlog.testing.capture_logs() as logged:
        run(work)
    assert [each["event"] for each in logged] == ["reply_not_sent"], "once a second, not once a packet"


def test_an_empty_datagram_is_no_end() -> None:
    async def work() -> None:
        async with listening("127.0.0.1") as port:
            with asking("127.0.0.1", port) as nas:
                nas.send(b"")
                assert await asyncio.get_running_loop().sock_recv(nas, 100) == b""
                assert await reply_to(nas, b"next") == b"next"

    run(work)


def test_nothing_goes_out_after_the_end() -> None:
    paths: list[ReplyPath] = []

    async def work() -> None:
        async with listening("127.0.0.1", lambda path, listener, data, source: paths.append(path)) as port:
            with asking("127.0.0.1", port) as nas:
                nas.send(b"packet")
                while not paths:
                    await asyncio.sleep(0)
        paths[0].send(b"too late")

    run(work)


def test_what_comes_after_the_end_of_receiving_waits_for_who_takes_the_socket_over() -> None:
    """A worker that drains still sends its replies, and takes nothing away from its successor."""
    paths: list[ReplyPath] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept:
            kept.bind(("127.0.0.1", 0))
            first = Endpoint(kept.dup(), lambda path, listener, data, source: paths.append(path))
            first.open()
            with asking("127.0.0.1", kept.getsockname()[1]) as nas:
                nas.send(b"in work")
                while not paths:
                    await asyncio.sleep(0)
                first.stop_receiving()
                nas.send(b"later")
                for _ in range(20):
                    await asyncio.sleep(0)
                paths[0].send(b"done")
                assert await loop.sock_recv(nas, 100) == b"done"
                first.close()
                successor = Endpoint(kept.dup(), echo)
                successor.open()
                assert await loop.sock_recv(nas, 100) == b"later"
                successor.close()
        assert len(paths) == 1

    run(work)
