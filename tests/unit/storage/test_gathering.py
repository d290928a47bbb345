"""A batch waits while the turns of the loop bring more, and never long."""

from wardgate.storage.gathering import LONGEST_S, Gathering


class Timer:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_single_unit_waits_for_one_turn_that_brings_nothing() -> None:
    gathering = Gathering(Timer())
    assert gathering.goes_on(1)
    assert not gathering.goes_on(1)


def test_a_batch_grows_for_as_long_as_turns_bring_more() -> None:
    gathering = Gathering(Timer())
    assert [gathering.goes_on(waiting) for waiting in (3, 5, 9, 9)] == [True, True, True, False]


def test_a_flood_does_not_keep_a_unit_waiting() -> None:
    timer = Timer()
    gathering = Gathering(timer)
    turns = 0
    while gathering.goes_on(turns + 1):
        turns += 1
        timer.now += LONGEST_S / 4
    assert turns == 4


def test_each_batch_begins_anew() -> None:
    timer = Timer()
    gathering = Gathering(timer)
    gathering.goes_on(5)
    timer.now += LONGEST_S
    assert not gathering.goes_on(9)
    assert gathering.goes_on(1)
    assert not gathering.goes_on(1)


def test_what_was_sent_meanwhile_leaves_nothing_to_wait_for() -> None:
    gathering = Gathering(Timer())
    assert gathering.goes_on(5)
    assert not gathering.goes_on(0)
    assert not gathering.goes_on(0)
