"""Logins without end, as NAS send them: each user at a port of its own, with a device that has a code for every login.

A request is sent up to three times, five seconds apart, as firewalls do. Everything that came of it is kept, so that a test can
say what must not have happened: a code accepted twice, a reply that came after the NAS had given up, a session that stood still.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.functional.harness import Person, Served, Wire, hotp_code, message_of
from wardgate.radius.client import check_reply
from wardgate.radius.packet import Code, Packet, Type

TRIES, PATIENCE_S = 3, 5.0
# What is said when nothing could be decided; a wrong code is told otherwise.
UNDECIDED = ("on our side", "does not answer")


class Verdict(StrEnum):
    """What came of a request."""

    CHALLENGED = "challenged"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Try:
    """One request and what came of it. `code`: the counter of its code, None for a password."""

    sent: float
    took_s: float
    verdict: Verdict
    code: int | None = None


@dataclass(slots=True)
class Session:
    """One user who logs in again and again. `client`: the address that the NAS tells of him."""

    person: Person
    wire: Wire
    client: str | None = None
    tries: list[Try] = field(default_factory=list)
    next_code: int = 0
    doubtful: set[int] = field(default_factory=set)
    """Codes whose fate was never told."""
    lost: set[int] = field(default_factory=set)
    """Codes that turned out to be spent although no Accept arrived."""

    def run(self, stop: threading.Event) -> None:
        """Log in until told to stop."""
        while not stop.is_set():
            self.log_in(stop)

    def log_in(self, stop: threading.Event) -> bool:
        """One whole login; whether it was accepted. A code that was spent is not tried again, one in doubt is."""
        challenge = self._ask(self.person.password, None, None, stop)
        if challenge is None or challenge.code is not Code.ACCESS_CHALLENGE:
            stop.wait(0.05)
            return False
        counter = self.next_code
        self._ask(hotp_code(self.person.hotp_hex, counter), challenge.first(Type.STATE), counter, stop)
        verdict = self.tries[-1].verdict
        if verdict in (Verdict.UNDECIDED, Verdict.SILENCE):
            self.doubtful.add(counter)
            stop.wait(0.05)
            return False
        if verdict is not Verdict.ACCEPTED and counter in self.doubtful:
            self.lost.add(counter)
        self.next_code += 1
        return verdict is Verdict.ACCEPTED

    def _ask(self, field_text: str, state: bytes | None, counter: int | None, stop: threading.Event) -> Packet | None:
        request = self.wire.request(self.person.name, field_text, state, client=self.client)
        began = time.monotonic()
        reply = self._reply(request, stop)
        verdict = _verdict(reply)
        if verdict is not Verdict.SILENCE or not stop.is_set():
            self.tries.append(Try(began, time.monotonic() - began, verdict, counter))
        else:
            # The test ended before the NAS would have given up.
            self.tries.append(Try(began, 0.0, verdict, counter))
        return reply

    def _reply(self, request: Packet, stop: threading.Event) -> Packet | None:
        for _ in range(TRIES):
            self.wire.send(request)
            deadline = time.monotonic() + PATIENCE_S
            while (left_s := deadline - time.monotonic()) > 0:
                datagram = self.wire.receive(min(left_s, 0.5))
                if datagram is not None and datagram[1] == request.identifier:
                    return check_reply(request, datagram, self.wire.secret)
                if datagram is None and stop.is_set():
                    return None
        return None

    @property
    def accepted(self) -> list[int]:
        """The counters of the codes that were accepted."""
        return [each.code for each in list(self.tries) if each.verdict is Verdict.ACCEPTED and each.code is not None]

    def accepted_since(self, moment: float) -> int:
        """How many logins whose code was sent after a moment were let in."""
        return sum(each.verdict is Verdict.ACCEPTED and each.sent >= moment for each in list(self.tries))


def _verdict(reply: Packet | None) -> Verdict:
    if reply is None:
        return Verdict.SILENCE
    if reply.code is Code.ACCESS_ACCEPT:
        return Verdict.ACCEPTED
    if reply.code is Code.ACCESS_CHALLENGE:
        return Verdict.CHALLENGED
    return Verdict.UNDECIDED if any(text in message_of(reply) for text in UNDECIDED) else Verdict.REFUSED


@dataclass(slots=True)
class Load:
    """Sessions at work."""

    sessions: list[Session]
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def tries(self) -> list[Try]:
        """Everything so far."""
        return [each for session in self.sessions for each in list(session.tries)]

    def since(self, moment: float) -> list[Try]:
        """What was begun after a moment."""
        return [each for each in self.tries if each.sent >= moment]

    def accepted_since(self, moment: float) -> int:
        """How many logins whose code was sent after a moment were let in."""
        return sum(session.accepted_since(moment) for session in self.sessions)


def device_users(prefix: str, count: int) -> list[Person]:
    """Users with a code device each."""
    return [
        Person(f"{prefix}{number}", f"pw-{secrets.token_urlsafe(9)}", hotp_hex=secrets.token_hex(20)) for number in range(count)
    ]


@contextlib.contextmanager
def load(
    served: Served, persons: Sequence[Person], source: str, client: Callable[[int], str | None] = lambda _: None
) -> Iterator[Load]:
    """All of them log in at once, over and over, until the end of the block. `client`: the address that is told of each."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(served, source=source)) for _ in persons]
        made = Load(
            [Session(person, wire, client(number)) for number, (person, wire) in enumerate(zip(persons, wires, strict=True))]
        )
        threads = [threading.Thread(target=session.run, args=(made.stop,)) for session in made.sessions]
        for thread in threads:
            thread.start()
        try:
            yield made
        finally:
            made.stop.set()
            for thread in threads:
                thread.join()


def unanswered_packets(served: Served) -> float:
    """How many packets the server has left without a reply. A NAS that asks again hides that from whoever logs in."""
    with served.web() as web:
        lines = web.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("wardgate_radius_drops_total"))
