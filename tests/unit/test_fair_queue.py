"""Sources take turns, and the longest line makes room."""

from wardgate.fair_queue import FairQueue


def filled(**lines: int) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for source, count in lines.items():
        for number in range(count):
            queue.put(source, f"{source}{number}")
    return queue


def emptied(queue: FairQueue[str]) -> list[str | None]:
    return [queue.take() for _ in range(len(queue))]


def test_a_long_line_does_not_keep_a_short_one_waiting() -> None:
    assert emptied(filled(a=4, b=1, c=2)) == ["a0", "b0", "c0", "a1", "c1", "a2", "a3"]


def test_a_source_that_comes_again_and_again_takes_no_turn_of_others() -> None:
    queue = filled(a=1, b=2)
    assert queue.take() == "a0"
    queue.put("a", "again")
    assert emptied(queue) == ["b0", "again", "b1"]


def test_an_empty_queue_gives_nothing() -> None:
    assert filled().take() is None
    assert filled().make_room("a") is None


def test_the_newest_of_the_longest_line_makes_room() -> None:
    queue = filled(a=3, b=1)
    assert queue.make_room("c") == "a2"
    assert emptied(queue) == ["a0", "b0", "a1"]


def test_a_line_gives_way_only_to_a_shorter_one() -> None:
    queue = filled(a=3, b=1)
    assert [queue.gives_way(source) for source in "abc"] == [False, True, True]


def test_nobody_makes_room_for_the_longest_line_or_one_as_long() -> None:
    assert filled(a=3, b=1).make_room("a") is None
    assert filled(a=2, b=1).make_room("b") is None
    assert filled(a=3, b=1).make_room("b") == "a2"
