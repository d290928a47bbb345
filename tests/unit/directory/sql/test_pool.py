"""The pool of connections: the breaker, repeated statements, the order of hosts. Without a network."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from wardgate.clock import FixedClock
from wardgate.directory.port import ServerState
from wardgate.directory.sql.address import Host
from wardgate.directory.sql.engines.engine import Limits
from wardgate.directory.sql.engines.pool import LONGEST_IDLE_S, BrokenConnection, Dialled, Driver, Pool
from wardgate.errors import DirectoryUnavailable

ONE, OTHER = Host("one", 1), Host("other", 2)
SOON = 5.0


@dataclass(eq=False)
class Line:
    host: Host
    open: bool = True


@dataclass
class Net:
    """What the pool dials into."""

    down: set[Host] = field(default_factory=set)
    standbys: set[Host] = field(default_factory=set)
    dialled: list[Host] = field(default_factory=list)
    made: list[Line] = field(default_factory=list)
    wait: asyncio.Event | None = None

    async def dial(self, host: Host) -> Dialled[Line]:
        self.dialled.append(host)
        if self.wait is not None:
            await self.wait.wait()
        if host in self.down:
            raise ConnectionRefusedError
        self.made.append(Line(host))
        return Dialled(self.made[-1], host not in self.standbys)

    @staticmethod
    def end(line: Line) -> None:
        line.open = False

    @staticmethod
    async def leave(line: Line) -> None:
        line.open = False


def pool(net: Net, *hosts: Host, connections: int = 2) -> tuple[Pool[Line], FixedClock]:
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    driver = Driver(net.dial, net.end, net.leave, lambda line: line.open, lambda error: "refused")
    return Pool("hr", hosts or (ONE,), Limits(1.0, 1.0, connections), clock, driver), clock


async def host_of(line: Line) -> Host:
    return line.host


def breaking(again: bool) -> Callable[[Line], Awaitable[Host]]:
    """Work that breaks the first connection that it is given."""
    broken: list[Line] = []

    async def work(line: Line) -> Host:
        if not broken:
            broken.append(line)
            raise BrokenConnection(DirectoryUnavailable("lost"), again)
        return line.host

    return work


async def test_a_connection_is_used_again() -> None:
    net = Net()
    made, _ = pool(net)

    for _ in range(5):
        assert await made.use(host_of, SOON) == ONE
    assert net.dialled == [ONE]


async def test_while_it_is_known_to_be_away_nobody_dials() -> None:
    net = Net(down={ONE})
    made, clock = pool(net)
    for _ in range(10):
        with pytest.raises(DirectoryUnavailable, match="directory hr: one:1: refused"):
            await made.use(host_of, SOON)
    assert net.dialled == [ONE]
    assert made.servers()[0].state is ServerState.DOWN

    clock.advance(1)
    with pytest.raises(DirectoryUnavailable):
        await made.use(host_of, SOON)
    assert net.dialled == [ONE, ONE]
    net.down.clear()
    clock.advance(20)
    assert await made.use(host_of, SOON) == ONE
    assert made.servers()[0].state is ServerState.UP


async def test_one_asker_tries_again_and_the_others_do_not_wait() -> None:
    net = Net(down={ONE})
    made, clock = pool(net)
    with pytest.raises(DirectoryUnavailable):
        await made.use(host_of, SOON)
    net.down.clear()
    net.wait = asyncio.Event()
    clock.advance(20)

    first = asyncio.ensure_future(made.use(host_of, SOON))
    while len(net.dialled) < 2:
        await asyncio.sleep(0)
    with pytest.raises(DirectoryUnavailable):
        await made.use(host_of, SOON)
    net.wait.set()
    assert await first == ONE
    assert net.dialled == [ONE, ONE]


async def test_what_may_be_repeated_is_repeated_once_with_another_connection() -> None:
    net = Net()
    made, _ = pool(net)
    await made.use(host_of, SOON)

    assert await made.use(breaking(again=True), SOON) == ONE
    assert len(net.made) == 2
    assert not net.made[0].open


async def test_a_write_whose_outcome_is_unknown_is_not_repeated() -> None:
    net = Net()
    made, _ = pool(net)
    await made.use(host_of, SOON)

    with pytest.raises(DirectoryUnavailable, match="lost"):
        await made.use(breaking(again=False), SOON)
    assert len(net.made) == 1


async def test_a_connection_that_idled_too_long_is_not_trusted() -> None:
    net = Net()
    made, clock = pool(net)
    await made.use(host_of, SOON)
    clock.advance(LONGEST_IDLE_S + 1)
    await made.use(host_of, SOON)

    assert len(net.made) == 2
    assert not net.made[0].open


async def test_hosts_are_asked_in_their_order_and_one_that_failed_last() -> None:
    net = Net(down={ONE})
    made, clock = pool(net, ONE, OTHER)

    assert await made.use(host_of, SOON) == OTHER
    net.made[-1].open = False
    assert await made.use(host_of, SOON) == OTHER
    assert net.dialled == [ONE, OTHER, OTHER]
    clock.advance(60)
    net.down.clear()
    net.made[-1].open = False
    assert await made.use(host_of, SOON) == ONE


async def test_a_standby_serves_when_nobody_else_answers() -> None:
    net = Net(standbys={ONE})
    made, _ = pool(net, ONE, OTHER)
    assert await made.use(host_of, SOON) == OTHER

    net = Net(standbys={ONE}, down={OTHER})
    made, clock = pool(net, ONE, OTHER)
    assert await made.use(host_of, SOON) == ONE
    net.down.clear()
    clock.advance(60)
    assert await made.use(host_of, SOON) == OTHER
    assert [line.open for line in net.made] == [False, False, True]


async def test_who_finds_all_connections_in_use_waits_no_longer_than_he_wants() -> None:
    net, released = Net(), asyncio.Event()
    made, _ = pool(net, connections=1)

    async def hold(line: Line) -> Host:
        await released.wait()
        return line.host

    holder = asyncio.ensure_future(made.use(hold, SOON))
    while not net.made:
        await asyncio.sleep(0)
    with pytest.raises(DirectoryUnavailable, match="no answer within"):
        await made.use(host_of, 0.05)
    released.set()
    assert await holder == ONE
    assert len(net.made) == 1


async def test_a_closed_pool_gives_nothing() -> None:
    net = Net()
    made, _ = pool(net)
    await made.use(host_of, SOON)
    await made.close()

    assert not net.made[0].open
    with pytest.raises(DirectoryUnavailable, match="out of service"):
        await made.use(host_of, SOON)
