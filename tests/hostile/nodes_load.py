"""Users who log in again and again, from a thread of its own, while a test kills what serves them.

Each has a code device, so that there is a code for every login, and a NAS that sends a request up to three times. What became of a
code is settled before the next one is sent: it was accepted, or it is refused as used. So at the end there must be exactly one
grant in the audit trail for each code, and the codes that a NAS saw accepted are all different.
"""

import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.functional.harness import Person, Served, Wire, hotp_code, message_of, wait_for
from tests.hostile.nodes import PATIENCE_S
from wardgate.errors import WardgateError
from wardgate.radius.client import check_reply
from wardgate.radius.packet import Code, Packet, Type

SENDS = 3
RESEND_S = 0.7
# After a refusal, which may be that of a server without its database.
PAUSE_S = 0.1
# At least as many codes as the server looks ahead.
LOOK_AHEAD = 20
TICK_S = 0.02
_SILENCE_S = 3600.0


class Phase(Enum):
    """What was sent last."""

    NOTHING = auto()
    PASSWORD = auto()
    OLD_CODE = auto()
    CODE = auto()


@dataclass(slots=True)
class Visitor:
    """One user. `settled`: how many codes have been used; `accepted`: the counters of those that the NAS saw accepted.

    `unsure`: the present code was sent and no reply said what became of it. `began`: when the newest login began that was let in.
    `told`: what the newest refusal said.
    """

    person: Person
    wire: Wire
    settled: int = 0
    accepted: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unsure: bool = False
    resent: int = 0
    refused: int = 0
    told: str = ""
    phase: Phase = Phase.NOTHING
    began: float = 0.0
    _replay: bool = False
    _login_began: float = 0.0
    _request: Packet | None = None
    _sends: int = 0
    _due: float = 0.0

    @property
    def code(self) -> str:
        """The code that is to be used next."""
        return hotp_code(self.person.hotp_hex, self.settled)

    @property
    def _old_code(self) -> str:
        """The newest code that was accepted and is not, by the same six digits, a code to come."""
        to_come = {hotp_code(self.person.hotp_hex, self.settled + ahead) for ahead in range(LOOK_AHEAD)}
        codes = (hotp_code(self.person.hotp_hex, counter) for counter in reversed(self.accepted))
        return next(code for code in codes if code not in to_come)

    def begin(self, now: float) -> None:
        """Send the password."""
        self._login_began = now
        self._send(Phase.PASSWORD, self.wire.request(self.person.name, self.person.password), now)

    def tick(self, now: float, ending: bool) -> None:
        """Send again what got no reply, or begin the next login."""
        if now < self._due:
            return
        if self.phase is Phase.NOTHING:
            if not ending or self.unsure:
                self.begin(now)
        elif self._sends < SENDS:
            self.resent += 1
            # A code whose reply may have been lost is tried once more in the next login.
            self._replay = True
            self._transmit(now)
        else:
            self.unsure = self.unsure or self.phase is Phase.CODE
            self._rest(now)

    def hear(self, now: float, ending: bool) -> None:
        """Take a reply and go on."""
        with suppress(OSError):
            datagram = self.wire.receive(0)
            if datagram is None or self._request is None or datagram[1] != self._request.identifier:
                return
            with suppress(WardgateError):  # the second reply to an older request of the same identifier
                self._take(check_reply(self._request, datagram, self.wire.secret), now)
                if self.phase is Phase.NOTHING and self._due <= now:
                    self.tick(now, ending)

    def _take(self, reply: Packet, now: float) -> None:
        state = reply.first(Type.STATE)
        if reply.code is Code.ACCESS_ACCEPT:
            self._let_in(now)
        elif reply.code is Code.ACCESS_REJECT or state is None:
            self.refused, self.told = self.refused + 1, message_of(reply)
            self.unsure = self.unsure or self.phase is Phase.CODE
            self._rest(now)
        elif self.phase is Phase.PASSWORD and self._replay and self.accepted:
            self._replay = False
            self._answer(Phase.OLD_CODE, self._old_code, state, now)
        elif self.phase is Phase.CODE:
            self._refused(state, now)
        else:
            self._answer(Phase.CODE, self.code, state, now)

    def _let_in(self, now: float) -> None:
        if self.phase is Phase.CODE:
            self.accepted.append(self.settled)
            self.settled, self.unsure, self.began = self.settled + 1, False, self._login_began
        else:
            self.faults.append(f"{self.phase} was accepted")
        self.phase, self._due = Phase.NOTHING, now

    def _refused(self, state: bytes, now: float) -> None:
        """The code is not good: it has been used before, when no reply came through."""
        if not self.unsure:
            self.faults.append(f"code {self.settled} was refused though it was never sent before")
        self.settled, self.unsure = self.settled + 1, False
        self._answer(Phase.CODE, self.code, state, now)

    def _answer(self, phase: Phase, code: str, state: bytes, now: float) -> None:
        self._send(phase, self.wire.request(self.person.name, code, state), now)

    def _send(self, phase: Phase, request: Packet, now: float) -> None:
        self.phase, self._request, self._sends = phase, request, 0
        self._transmit(now)

    def _transmit(self, now: float) -> None:
        self._sends += 1
        self._due = now + RESEND_S
        if self._request is not None:
            with suppress(OSError):  # nobody listens there now
                self.wire.send(self._request)

    def _rest(self, now: float) -> None:
        self.phase, self._due = Phase.NOTHING, now + PAUSE_S


@dataclass(slots=True)
class Load:
    """All of them. The thread ends when every code is settled."""

    visitors: list[Visitor]
    _ending: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        """What the thread does."""
        try:
            by_descriptor = {visitor.wire.fileno(): visitor for visitor in self.visitors}
            give_up = time.monotonic() + _SILENCE_S
            while not self._over() and time.monotonic() < give_up:
                ready, _, _ = select.select(list(by_descriptor), [], [], TICK_S)
                now, ending = time.monotonic(), self._ending.is_set()
                if ending:
                    give_up = min(give_up, now + PATIENCE_S)
                for descriptor in ready:
                    by_descriptor[descriptor].hear(now, ending)
                for visitor in self.visitors:
                    visitor.tick(now, ending)
        except BaseException as error:
            self._errors.append(error)

    def _over(self) -> bool:
        return self._ending.is_set() and all(each.phase is Phase.NOTHING and not each.unsure for each in self.visitors)

    def flows(self, since: float) -> float:
        """Wait until everybody was let in by a login that began after `since`; how long after it that was."""
        deadline = time.monotonic() + PATIENCE_S
        while late := [visitor for visitor in self.visitors if visitor.began <= since]:
            assert not self._errors, self._errors
            assert time.monotonic() < deadline, [(each.person.name, each.phase, each.refused, each.told) for each in late]
            time.sleep(TICK_S)
        return time.monotonic() - since

    def is_refused(self, times: int) -> None:
        """Wait until everybody was refused so often from now on."""
        before = [visitor.refused for visitor in self.visitors]
        wait_for(lambda: all(v.refused >= n + times for v, n in zip(self.visitors, before, strict=True)), PATIENCE_S)

    def end(self) -> None:
        """No new logins; wait until the present ones have come to their end."""
        self._ending.set()


@contextmanager
def load(targets: Sequence[Served], devices: Sequence[Person], source: str) -> Iterator[Load]:
    """A load on these servers, by turns; in full flow when the block begins, and ended and settled when it ends."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(targets[n % len(targets)], source=source)) for n in range(len(devices))]
        made = Load([Visitor(device, wire) for device, wire in zip(devices, wires, strict=True)])
        thread = threading.Thread(target=made.run, name="load")
        began = time.monotonic()
        thread.start()
        try:
            made.flows(began)
            yield made
        finally:
            made.end()
            thread.join()
        assert not made._errors, made._errors
        assert not [visitor.person.name for visitor in made.visitors if visitor.unsure], "no reply even at the end"
