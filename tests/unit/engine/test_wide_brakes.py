"""Token buckets over many people: never more failures than the limit within a window, whatever comes in which order."""

import ast
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flows.world import a_ring
from wardgate.engine import brakes, wide_brakes
from wardgate.engine.brakes import brake_keys
from wardgate.engine.settings import BrakeSettings
from wardgate.engine.wide_brakes import (
    FAILURES,
    MESSAGES,
    Bucket,
    bucket_keys,
    buckets,
    count_token,
    parts_of,
    return_token,
    take_token,
)
from wardgate.storage.port import Row

RING = a_ring()
START = 1_800_000_000_000
SETTINGS = BrakeSettings(network_failures=10, nas_failures=1_000, global_failures=5_000)
BUCKET = Bucket("network", b"k", 10)


class Line:
    """One row, and what is done to it."""

    def __init__(self) -> None:
        self.row: Row | None = None

    def take(self, now: int) -> bool:
        modified = take_token(self.row, wide_brakes.take(BUCKET, SETTINGS, now).arguments)
        self.row = modified.row or self.row
        return not modified.refuse

    def fail(self, now: int, taken: bool = False) -> Any:
        modified = count_token(self.row, wide_brakes.count(BUCKET, SETTINGS, now, taken).arguments)
        self.row = modified.row or self.row
        return modified.result

    def give_back(self, now: int) -> None:
        modified = return_token(self.row, wide_brakes.give_back(BUCKET, SETTINGS, now).arguments)
        self.row = modified.row or self.row


def test_the_last_token_begins_a_lock_and_is_told_once() -> None:
    line = Line()
    told = [line.fail(START) for _ in range(14)]
    assert told[:9] == [None] * 9
    assert told[9] == {"wait_s": 300, "level": 1, "failures": 10}
    assert told[10:] == [None] * 4
    assert not line.take(START + 299_999)
    assert line.take(START + 300_000)


def test_tokens_come_back_one_by_one() -> None:
    line = Line()
    for _ in range(9):
        line.fail(START)
    assert line.take(START)
    assert not line.take(START + 59_999)
    assert line.take(START + 60_000)
    assert not line.take(START + 60_001)


def test_a_token_that_is_given_back_is_there_again() -> None:
    line = Line()
    for _ in range(10):
        assert line.take(START)
    assert not line.take(START)
    line.give_back(START)
    assert line.take(START)
    assert [line.fail(START, taken=True) for _ in range(2)] == [{"wait_s": 300, "level": 1, "failures": 10}, None]


def test_what_was_written_before_the_clock_was_set_back_keeps_nobody_out() -> None:
    line = Line()
    for _ in range(10):
        line.fail(START + 86_400_000)
    assert line.take(START)


events = st.lists(st.tuples(st.sampled_from(["fail", "guess", "right", "later"]), st.integers(1, 700_000)), max_size=120)


@given(events)
def test_strangers_are_never_judged_wrong_more_often_than_the_limit_between_two_refills(story: list[tuple[str, int]]) -> None:
    """A stranger takes a token before each guess; within any window no more than twice the limit, and the limit at once."""
    line, now, judged = Line(), START, []
    for what, by in story:
        if what == "later":
            now += by
        elif what == "fail":
            line.fail(now)
        elif line.take(now):
            if what == "guess":
                judged.append(now)
                line.fail(now, taken=True)
            else:
                line.give_back(now)
        assert line.row is None or 0 <= int(line.row["failures"] or 0) <= 10
    for moment in set(judged):
        assert judged.count(moment) <= 10
        assert len([at for at in judged if moment <= at < moment + 600_000]) <= 20


# --- keys ----------------------------------------------------------------------------------------------------------------


def keys(name: bytes = b"n", client: str | None = "198.51.100.7", binding: str = "radius:hq:") -> tuple[Bucket, ...]:
    return buckets(RING, client, binding, RING.mac("brake-user", name), SETTINGS)


def test_buckets_of_failures_and_of_messages_are_no_ones_else() -> None:
    found = [*keys(), *buckets(RING, "198.51.100.7", "radius:hq:", b"\0" * 32, SETTINGS, MESSAGES)]
    assert [bucket.kind for bucket in found] == [*FAILURES, *MESSAGES]
    assert len({bucket.key for bucket in found}) == 6


@pytest.mark.parametrize(("limit", "parts"), [(1, 1), (499, 1), (500, 2), (1_000, 4), (5_000, 16), (1_000_000, 16)])
def test_a_bucket_is_split_into_no_more_parts_than_its_size_allows(limit: int, parts: int) -> None:
    assert parts_of(limit) == parts


def test_the_part_of_a_known_name_is_the_one_of_the_name_and_not_of_the_person() -> None:
    """Else two names of one person would always share one, and could be linked by the lock of it."""
    known = brake_keys(RING, "subject 1", "198.51.100.7", "radius:hq:", typed="acme:ada")
    unknown = brake_keys(RING, "acme:ada", "198.51.100.7", "radius:hq:", of_name=True)
    assert known.wide is not None
    assert unknown.wide is not None
    assert known.wide(SETTINGS) == unknown.wide(SETTINGS)
    of_others = [brake_keys(RING, "subject 1", None, "radius:hq:", typed=f"acme:{number}").wide for number in range(100)]
    assert len({wide(SETTINGS)[-1].key for wide in of_others if wide is not None}) > 1


def test_guesses_at_a_few_names_do_not_empty_the_part_that_they_share() -> None:
    defaults = BrakeSettings()
    for bucket in buckets(RING, None, "radius:hq:", b"\0" * 32, defaults):
        assert bucket.limit >= 5 * defaults.user_failures


def test_an_operator_reaches_every_part_that_a_login_may_fall_into() -> None:
    of_nas = {keys(b"%d" % number)[1].key for number in range(400)}
    assert of_nas == set(bucket_keys(RING, "nas", "radius:hq", 1_000))
    assert keys()[0].key in bucket_keys(RING, "network", "198.51.100.0/24", 10)


@pytest.mark.parametrize("client", [None, "", "not an address", "198.51.100.7, 10.0.0.1"])
def test_what_is_no_address_is_in_no_network(client: str | None) -> None:
    assert [bucket.kind for bucket in keys(client=client)] == ["nas", "global"]


def test_zero_switches_a_bucket_off() -> None:
    off = BrakeSettings(network_failures=0, nas_failures=0, global_failures=0)
    assert buckets(RING, "198.51.100.7", "radius:hq:", b"\0" * 32, off) == ()


def test_the_functions_can_travel_to_a_writer_process() -> None:
    operations = [
        wide_brakes.take(BUCKET, SETTINGS, START),
        wide_brakes.give_back(BUCKET, SETTINGS, START),
        wide_brakes.count(BUCKET, SETTINGS, START, taken=True),
    ]
    assert pickle.loads(pickle.dumps(operations)) == operations
    assert ast.literal_eval(repr(dict(operations[0].arguments))) == dict(operations[0].arguments)


def test_ipv4_inside_ipv6_is_not_one_source_that_an_attacker_fills_for_everybody() -> None:
    settings = BrakeSettings()
    assert wide_brakes.network_of("::ffff:203.0.113.7", settings) == wide_brakes.network_of("203.0.113.9", settings)
    assert wide_brakes.network_of("::ffff:203.0.113.7", settings) != wide_brakes.network_of("::ffff:198.51.100.7", settings)
    assert brakes.asker("::ffff:203.0.113.7", "") == "203.0.113.7"
    assert brakes.asker("2001:db8::7", "") == "2001:db8::"
