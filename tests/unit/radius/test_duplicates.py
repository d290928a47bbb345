"""The duplicate cache: RFC 5080 section 2.2.2."""

from hypothesis import given, settings
from hypothesis import strategies as st

from wardgate.radius.duplicates import IN_FLIGHT_S, KEEP_S, DuplicateCache, DuplicateKey, InFlight, New, Reply, Verdict

KEY = ("192.0.2.1", 40000, 7, "auth")


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cache(time: Time | None = None, capacity: int = 100, max_bytes: int = 1_000_000) -> DuplicateCache:
    return DuplicateCache(capacity, clock=time or Time(), max_bytes=max_bytes)


def test_copy_of_a_request_in_work_is_dropped() -> None:
    seen = cache()
    assert seen.begin(KEY, b"packet") == New()
    assert seen.begin(KEY, b"packet") == InFlight()
    assert seen.begin(KEY, b"packet") == InFlight()


def test_copy_after_the_reply_gets_the_same_octets() -> None:
    seen = cache()
    seen.begin(KEY, b"packet")
    seen.finish(KEY, b"packet", b"reply")
    assert seen.begin(KEY, b"packet") == Reply(b"reply")
    assert seen.begin(KEY, b"packet") == Reply(b"reply")


def test_every_part_of_the_key_counts() -> None:
    seen = cache()
    seen.begin(KEY, b"packet")
    for other in (
        ("192.0.2.2", 40000, 7, "auth"),
        ("192.0.2.1", 40001, 7, "auth"),
        ("192.0.2.1", 40000, 8, "auth"),
        ("192.0.2.1", 40000, 7, "acct"),
    ):
        assert seen.begin(other, b"packet") == New()


def test_same_identifier_with_another_packet_is_a_new_request() -> None:
    seen = cache()
    seen.begin(KEY, b"first")
    seen.finish(KEY, b"first", b"reply")
    assert seen.begin(KEY, b"second") == New()
    assert seen.begin(KEY, b"second") == InFlight()
    seen.finish(KEY, b"second", b"reply 2")
    assert seen.begin(KEY, b"second") == Reply(b"reply 2")
    assert seen.begin(KEY, b"first") == New(), "the displaced request must be forgotten"


def test_packet_that_differs_in_its_last_octet_only_does_not_get_the_reply_of_another() -> None:
    seen = cache()
    seen.begin(KEY, b"header and authenticator, attribute 1")
    seen.finish(KEY, b"header and authenticator, attribute 1", b"accept")
    assert seen.begin(KEY, b"header and authenticator, attribute 2") == New()


def test_late_finish_of_a_displaced_request_changes_nothing() -> None:
    seen = cache()
    seen.begin(KEY, b"first")
    seen.begin(KEY, b"second")
    seen.finish(KEY, b"first", b"reply to the first")
    assert seen.begin(KEY, b"second") == InFlight()
    seen.finish(KEY, b"second", b"reply to the second")
    seen.finish(KEY, b"first", b"reply to the first")
    assert seen.begin(KEY, b"second") == Reply(b"reply to the second")


def test_finish_without_a_reply_lets_the_next_copy_in() -> None:
    seen = cache()
    seen.begin(KEY, b"packet")
    seen.finish(KEY, b"packet", None)
    assert len(seen) == 0
    assert seen.begin(KEY, b"packet") == New()


def test_reply_is_kept_for_its_time_from_the_reply_on() -> None:
    time = Time()
    seen = cache(time)
    seen.begin(KEY, b"packet")
    time.now += 20
    seen.finish(KEY, b"packet", b"reply")
    time.now += KEEP_S - 0.001
    assert seen.begin(KEY, b"packet") == Reply(b"reply")
    time.now += 0.001
    assert seen.begin(KEY, b"packet") == New()


def test_request_in_work_is_given_up_at_last() -> None:
    time = Time()
    seen = cache(time)
    seen.begin(KEY, b"packet")
    time.now += IN_FLIGHT_S - 0.001
    assert seen.begin(KEY, b"packet") == InFlight()
    time.now += 0.001
    assert seen.begin(KEY, b"packet") == New()


def test_expired_entries_leave_without_being_asked_for() -> None:
    time = Time()
    seen = cache(time)
    for number in range(50):
        key = ("192.0.2.1", number, 7, "auth")
        seen.begin(key, b"packet")
        if number % 2:
            seen.finish(key, b"packet", b"reply")
    time.now += IN_FLIGHT_S
    seen.begin(KEY, b"packet")
    assert len(seen) == 1
    assert seen.held_bytes == len(b"packet")


def test_flood_is_bounded_in_entries_oldest_first() -> None:
    seen = cache(capacity=10)
    keys: list[DuplicateKey] = [("192.0.2.1", port, 7, "auth") for port in range(30)]
    for key in keys:
        seen.begin(key, b"packet")
        seen.finish(key, b"packet", b"reply")
        assert len(seen) <= 10
    assert [seen.begin(key, b"packet") for key in keys[-10:]] == [Reply(b"reply")] * 10
    assert seen.begin(keys[19], b"packet") == New()


def test_flood_is_bounded_in_octets() -> None:
    seen = cache(max_bytes=10_000)
    for port in range(50):
        key = ("192.0.2.1", port, 7, "auth")
        seen.begin(key, bytes(4096))
        seen.finish(key, bytes(4096), bytes(4096))
        assert seen.held_bytes <= 10_000
    assert len(seen) == 1


def test_answered_requests_are_given_up_before_those_in_work() -> None:
    """A copy of a request in work would send somebody a second message."""
    seen = cache(capacity=3)
    keys: list[DuplicateKey] = [("192.0.2.1", port, 7, "auth") for port in range(5)]
    for key in keys[:3]:
        seen.begin(key, b"packet")
    seen.finish(keys[1], b"packet", b"reply")
    seen.begin(keys[3], b"packet")
    assert seen.begin(keys[0], b"packet") == InFlight()
    assert seen.begin(keys[2], b"packet") == InFlight()
    assert seen.begin(keys[3], b"packet") == InFlight()


class Model:
    """The rules written down without any thought of speed or bounds."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.known: dict[DuplicateKey, tuple[float, bytes, bytes | None]] = {}

    def begin(self, key: DuplicateKey, raw: bytes) -> Verdict:
        until, packet, reply = self.known.get(key, (0.0, b"", None))
        if until > self.time.now and packet == raw:
            return InFlight() if reply is None else Reply(reply)
        self.known[key] = (self.time.now + IN_FLIGHT_S, raw, None)
        return New()

    def finish(self, key: DuplicateKey, raw: bytes, reply: bytes | None) -> None:
        until, packet, known = self.known.get(key, (0.0, b"", None))
        if until <= self.time.now or packet != raw or known is not None:
            return
        if reply is None:
            del self.known[key]
        else:
            self.known[key] = (self.time.now + KEEP_S, raw, reply)


steps = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "finish", "forget", "wait"]), st.integers(0, 2), st.sampled_from([b"p", b"q", b"rr"])
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps=steps)
def test_it_follows_the_model(steps: list[tuple[str, int, bytes]]) -> None:
    time = Time()
    seen, model = cache(time), Model(time)
    for action, number, raw in steps:
        key = ("192.0.2.1", 40000, number, "auth")
        if action == "begin":
            assert seen.begin(key, raw) == model.begin(key, raw)
        elif action == "wait":
            time.now += 13.0
        else:
            # The cache notices the passing of time when the next request comes.
            seen.begin(("198.51.100.1", 1, 1, "auth"), b"")
            reply = b"reply to " + raw if action == "finish" else None
            seen.finish(key, raw, reply)
            model.finish(key, raw, reply)
    assert seen.held_bytes >= 0
    assert len(seen) <= 4
