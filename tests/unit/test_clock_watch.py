"""A clock that jumps is told of; one that differs from the database's decides nothing."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from wardgate.audit.events import Kind
from wardgate.audit.trail import Chain
from wardgate.clock_watch import ClockWatch, WatchedClock
from wardgate.errors import StorageUnavailable
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Where

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC).timestamp()
HOUR_S = 3600.0


@dataclass
class Machine:
    """Both clocks of a machine, in the hands of the test."""

    wall: float = START
    monotonic: float = 100.0
    clock: WatchedClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = WatchedClock(lambda: self.wall, lambda: self.monotonic)

    def pass_by(self, seconds: float) -> None:
        """Time goes on for everybody."""
        self.wall += seconds
        self.monotonic += seconds


class SharedStorage(MemoryStorage):
    """A storage whose database has a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.at = START
        self.down = False

    async def clock_ms(self) -> int:
        if self.down:
            raise StorageUnavailable("gone")
        return int(self.at * 1000)


def _with_chain(storage: MemoryStorage) -> MemoryStorage:
    storage.use_chain(Chain(b"k" * 32, "server", 1))
    return storage


async def _told(storage: MemoryStorage, kind: Kind) -> int:
    return await storage.count("audit_event", [Where("kind", "=", kind.stored)])


async def test_a_clock_that_runs_evenly_is_never_told_of() -> None:
    storage, machine = _with_chain(MemoryStorage()), Machine()
    watch = ClockWatch(storage, machine.clock, "node")
    for _ in range(5):
        machine.pass_by(2)
        machine.wall += 0.5  # what a time service corrects
        await watch.check()
        assert watch.problem is None
    assert await storage.count("audit_event") == 0


async def test_a_jump_is_noticed_before_anything_is_decided_and_told_once() -> None:
    for by in (HOUR_S, -HOUR_S):
        storage, machine = _with_chain(MemoryStorage()), Machine()
        watch = ClockWatch(storage, machine.clock, "node")
        assert watch.problem is None
        machine.wall += by
        # Nobody has read the clock since: who asks for its problem must not be the one who decides by it.
        assert "jumped" in (watch.problem or "")
        for _ in range(3):
            await watch.check()
            assert watch.problem is None
        assert await _told(storage, Kind.CLOCK_JUMPED) == 1


async def test_a_node_whose_clock_stands_an_hour_off_the_databases_decides_nothing_until_they_agree() -> None:
    for by in (HOUR_S, -HOUR_S):
        storage, machine = SharedStorage(), Machine()
        _with_chain(storage)
        watch = ClockWatch(storage, machine.clock, "node")
        await watch.check()
        assert watch.problem is None
        machine.wall += by
        machine.clock.now()
        assert watch.problem is not None
        for _ in range(3):
            await watch.check()
            assert f"{by:+.0f} s" in (watch.problem or "")
        assert await _told(storage, Kind.CLOCK_DIFFERS) == 1
        machine.wall -= by
        await watch.check()
        assert watch.problem is None
        assert watch.differs_s == 0


async def test_a_node_that_starts_with_a_wrong_clock_decides_nothing() -> None:
    storage, machine = SharedStorage(), Machine(wall=START + HOUR_S)
    _with_chain(storage)
    watch = ClockWatch(storage, machine.clock, "node")
    await watch.check()
    assert "differs" in (watch.problem or "")


async def test_a_database_that_does_not_answer_changes_no_verdict() -> None:
    storage, machine = SharedStorage(), Machine()
    _with_chain(storage)
    watch = ClockWatch(storage, machine.clock, "node")
    storage.down = True
    await watch.check()
    assert watch.problem is None
    storage.down, machine.wall = False, START + HOUR_S
    await watch.check()
    storage.down = True
    await watch.check()
    assert watch.problem is not None


async def test_a_jump_while_the_database_is_away_decides_nothing_until_it_could_be_compared() -> None:
    storage, machine = SharedStorage(), Machine()
    _with_chain(storage)
    watch = ClockWatch(storage, machine.clock, "node")
    storage.down, machine.wall = True, machine.wall - HOUR_S
    machine.clock.now()
    await watch.check()
    assert "compared" in (watch.problem or "")
    storage.down = False
    await watch.check()
    assert "differs" in (watch.problem or "")


async def test_a_comparison_that_took_too_long_says_nothing() -> None:
    machine = Machine()

    class Slow(SharedStorage):
        async def clock_ms(self) -> int:
            machine.pass_by(60)
            return int(START * 1000)

    watch = ClockWatch(Slow(), machine.clock, "node")
    await watch.check()
    assert watch.problem is None
