"""The same code in sixteen different packets at once: one of them is let in, whatever they have in common."""

import select
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.functional.harness import Served, Wire, audit_events, hotp_code
from tests.hostile.stronghold import DEVICE, JOINED, MAIN
from wardgate.radius.client import check_reply
from wardgate.radius.packet import Code, Packet

AT_ONCE = 16
ROUNDS = 500
VOLLEY_S = 20.0

Shot = tuple[Wire, Packet]


@pytest.fixture
def wires(stronghold: Served) -> Iterator[list[Wire]]:
    """Sixteen sockets of the main NAS."""
    with ExitStack() as stack:
        yield [stack.enter_context(Wire(stronghold, source=MAIN)) for _ in range(AT_ONCE)]


@pytest.fixture
def joined(stronghold: Served) -> Iterator[list[Wire]]:
    """Sixteen sockets of the NAS that sends password and code in one field."""
    with ExitStack() as stack:
        yield [stack.enter_context(Wire(stronghold, source=JOINED)) for _ in range(AT_ONCE)]


def volley(shots: Sequence[Shot]) -> list[Packet]:
    """Send all of them, then collect all their replies."""
    waiting = {wire.fileno(): (wire, packet) for wire, packet in shots}
    assert len(waiting) == len(shots)
    for wire, packet in shots:
        wire.send(packet)
    replies = []
    while waiting:
        ready, _, _ = select.select(list(waiting), [], [], VOLLEY_S)
        assert ready, f"{len(waiting)} of {len(shots)} packets were not answered"
        for descriptor in ready:
            wire, packet = waiting.pop(descriptor)
            datagram = wire.receive(0)
            assert datagram is not None
            replies.append(check_reply(packet, datagram, wire.secret))
    return replies


def fire(shots: Sequence[Shot], code: str) -> None:
    """One round: exactly one Accept."""
    kinds = Counter(reply.code for reply in volley(shots))
    assert kinds[Code.ACCESS_ACCEPT] == 1, f"code {code}: {kinds}"


class Rounds:
    """Rounds with a code of their own each; the device's counter goes on from test to test."""

    counter = 0
    grants = 0

    @classmethod
    def code(cls) -> str:
        """A code that was never sent before."""
        code = hotp_code(DEVICE.hotp_hex, cls.counter)
        cls.counter += 1
        cls.grants += 1
        return code


def one_state(wires: list[Wire], code: str) -> list[Shot]:
    """One login; its State in all packets."""
    challenge = wires[0].log_in(DEVICE.name, DEVICE.password)
    state = challenge.first(24)
    return [(wire, wire.request(DEVICE.name, code, state, identifier=number)) for number, wire in enumerate(wires)]


def own_states(wires: list[Wire], code: str) -> list[Shot]:
    """Sixteen logins from sixteen machines, each with a State of its own."""
    challenges = volley([(wire, wire.request(DEVICE.name, DEVICE.password, client=_machine(n))) for n, wire in enumerate(wires)])
    assert {challenge.code for challenge in challenges} == {Code.ACCESS_CHALLENGE}
    # Every State works from every machine of the same NAS, so who takes which does not matter.
    states = [challenge.first(24) for challenge in challenges]
    assert len(set(states)) == len(wires)
    return [
        (wire, wire.request(DEVICE.name, code, state, client=_machine(n)))
        for n, (wire, state) in enumerate(zip(wires, states, strict=True))
    ]


def _machine(number: int) -> str:
    return f"198.51.100.{number + 1}"


def test_one_challenge_answered_sixteen_times_at_once_lets_in_once(wires: list[Wire]) -> None:
    _rounds(290, wires, one_state)


def test_sixteen_logins_with_one_code_at_once_let_in_once(wires: list[Wire]) -> None:
    _rounds(180, wires, own_states)


def test_password_and_code_in_one_field_sixteen_times_at_once_let_in_once(joined: list[Wire]) -> None:
    def one_field(wires: list[Wire], code: str) -> list[Shot]:
        return [(wire, wire.request(DEVICE.name, DEVICE.password + code)) for wire in wires]

    # Fewer: each round lasts as long as a refusal is held back.
    _rounds(20, joined, one_field)


def test_one_code_through_two_doors_at_once_lets_in_once(wires: list[Wire], joined: list[Wire]) -> None:
    def both(halves: list[Wire], code: str) -> list[Shot]:
        answers = own_states(halves[:8], code)
        return [*answers, *((wire, wire.request(DEVICE.name, DEVICE.password + code)) for wire in halves[8:])]

    _rounds(10, [*wires[:8], *joined[:8]], both)


def test_as_many_were_let_in_as_the_audit_trail_says(stronghold: Served) -> None:
    if Rounds.grants != ROUNDS:
        pytest.skip("only after all rounds before")
    granted = [event for event in audit_events(stronghold.data) if event["kind"].endswith("granted") and _of_device(event)]
    assert len(granted) == ROUNDS


def _of_device(event: dict[str, object]) -> bool:
    return DEVICE.name in str(event)


def _rounds(count: int, wires: list[Wire], shots: Callable[[list[Wire], str], list[Shot]]) -> None:
    for _ in range(count):
        code = Rounds.code()
        fire(shots(wires, code), code)
