"""Which gateway is asked first."""

from tests.unit.delivery.fakes import FakeGateway, clock
from wardgate.delivery.breaker import ADDRESSES_TO_BE_DOWN, FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, SLOW_S, Lanes

PARALLEL = 8


class World:
    """Two gateways and their lanes."""

    def __init__(self) -> None:
        self.clock = clock()
        self.lanes = Lanes(self.clock.monotonic, PARALLEL)
        self.first, self.second = FakeGateway("first"), FakeGateway("second")

    def choice(self) -> str:
        """Who would be asked now."""
        return self.lanes.choose([self.first, self.second]).name

    def fail(self, times: int = 1) -> None:
        """The first gateway fails."""
        self.fail_for(self.first, *[f"+90532000000{number % 10}" for number in range(times)])

    def fail_for(self, gateway: FakeGateway, *numbers: str) -> None:
        """A gateway fails for messages to these numbers."""
        for number in numbers:
            self.lanes.of(gateway).failed(self.clock.monotonic(), number)


def test_the_configured_order_holds_while_all_is_well() -> None:
    assert World().choice() == "first"


def test_a_gateway_that_fails_again_and_again_is_asked_last() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN - 1)
    assert world.choice() == "first"
    world.fail()
    assert world.choice() == "second"


def test_one_success_forgets_the_failures() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN)
    world.lanes.of(world.first).succeeded()
    world.fail(FAILURES_TO_OPEN - 1)
    assert world.choice() == "first"


def test_after_its_pause_a_failed_gateway_gets_one_probe_at_a_time() -> None:
    world = World()
    world.fail(FAILURES_TO_OPEN)
    world.clock.advance(FIRST_PAUSE_S)
    assert world.choice() == "first"
    lane = world.lanes.of(world.first)
    lane.in_flight[1] = world.clock.monotonic()
    assert world.choice() == "second"
    del lane.in_flight[1]
    world.fail()
    assert world.choice() == "second"
    world.clock.advance(FIRST_PAUSE_S)
    assert world.choice() == "second", "the pause has doubled"
    world.clock.advance(FIRST_PAUSE_S)
    assert world.choice() == "first"


def test_pauses_have_an_end() -> None:
    world = World()
    world.fail(2_000)
    world.clock.advance(LONGEST_PAUSE_S)
    assert world.choice() == "first"


def test_a_gateway_that_hangs_is_gone_round_before_it_fails() -> None:
    world = World()
    world.lanes.of(world.first).in_flight[1] = world.clock.monotonic()
    assert world.choice() == "first"
    world.clock.advance(SLOW_S)
    assert world.choice() == "second"


def test_a_gateway_holds_no_more_than_its_share() -> None:
    world = World()
    lane = world.lanes.of(world.first)
    lane.in_flight.update({ticket: world.clock.monotonic() for ticket in range(PARALLEL // 2)})
    assert world.choice() == "second"


def test_a_lone_gateway_is_always_asked() -> None:
    world = World()
    world.fail(50)
    world.lanes.of(world.first).in_flight.update(dict.fromkeys(range(50), 0.0))
    assert world.lanes.choose([world.first]).name == "first"


def test_all_have_failed_only_while_none_is_due_for_a_probe() -> None:
    """A step that was left out because of this sends nothing: what is never asked would be down for ever."""
    world = World()
    gateways = [world.first, world.second]
    numbers = [f"+9053200000{number}" for number in range(ADDRESSES_TO_BE_DOWN)]
    world.fail_for(world.first, *numbers)
    assert not world.lanes.all_failed(gateways)
    world.fail_for(world.second, *numbers)
    assert world.lanes.all_failed(gateways)
    assert not world.lanes.all_failed([])
    world.clock.advance(LONGEST_PAUSE_S)
    assert not world.lanes.all_failed(gateways)


def test_an_attacker_with_a_bad_number_of_his_own_does_not_make_a_gateway_count_as_down() -> None:
    """Else he would spare himself a colleague's code where policy skips what cannot be sent."""
    world = World()
    for _ in range(20):
        world.fail_for(world.first, "+905320000001", "+905320000002")
        assert not world.lanes.all_failed([world.first])
    world.fail_for(world.first, "+905320000003")
    assert world.lanes.all_failed([world.first])
    world.lanes.of(world.first).succeeded()
    world.fail_for(world.first, "+905320000001", "+905320000002", "+905320000001")
    assert not world.lanes.all_failed([world.first])


def test_a_gateway_that_was_configured_anew_begins_without_a_past() -> None:
    world = World()
    world.fail(50)
    world.first = FakeGateway("first")
    assert world.choice() == "first"
