"""A sign of too much does not flicker."""

from wardgate.watch.threshold import Threshold


def test_begins_at_one_value_and_ends_at_a_lower_one() -> None:
    queue = Threshold(256, 128)
    assert [queue.beyond(length) for length in (0, 255, 256, 255, 256, 129, 128, 255, 300, 0)] == [
        *(False, False, True, True, True, True, False, False, True, False)
    ]
