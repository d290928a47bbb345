"""The parent of all processes of a server: starts them, starts them again when they die, and ends them in order.

It has no event loop and no threads, so that it can fork at any time, and it does no work of its own that could fail: everything
that a request could break happens in a child. The children are started in stages: the writer of the database first, then the
workers. They end in the opposite order.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from wardgate.child import SIGNALS, Channel, Child, fork, how_it_ended
from wardgate.errors import ServerUnavailable
from wardgate.systemd import Notifier

# A loop that has not turned for so long does not come back by itself.
HANG_S: Final = 10.0
BEAT_EVERY_S: Final = 1.0
TICK_S: Final = 0.5
# A child that lived for so long is started again at once, however often.
YOUNG_S: Final = 30.0
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
# Each stage may drain for so long before it is killed; a second signal leaves it this much.
DRAIN_BOUND_S: Final = 20.0
HURRY_S: Final = 1.0
RELOAD_BOUND_S: Final = 10.0
# While the children start, systemd is asked to wait for so much longer, so often, and not for ever: bringing a large database
# to the tables of this release takes its time.
EXTEND_BY_S: Final = 60.0
EXTEND_EVERY_S: Final = 10.0
LONGEST_START_S: Final = 3600.0

log = structlog.get_logger("wardgate.supervisor")


@dataclass(frozen=True, slots=True)
class Again:
    """Why a child is started: for the first time, or after one that ended."""

    after: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A place for one child.

    `main` runs in it and tells `ready` on the channel. `sockets`: what only it needs of what the supervisor keeps open; the
    other children close them. `beats`: whether it gives signs of life. `reloads`: whether it is told of SIGHUP.
    """

    name: str
    main: Callable[[Channel, Again], None]
    sockets: tuple[socket.socket, ...] = ()
    beats: bool = True
    reloads: bool = True


class Backoff:
    """How long to wait before a child is started again: not at all, unless children of this place keep dying young."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, lived_s: float) -> float:
        """The pause after a child that lived for so long."""
        self._deaths = 1 if lived_s >= YOUNG_S else self._deaths + 1
        if self._deaths == 1:
            return 0.0
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._deaths - 2, 16))


@dataclass(slots=True)
class _Place:
    """A role, whoever fills it now, and when the next one may."""

    role: Role
    child: Child | None = None
    backoff: Backoff = field(default_factory=Backoff)
    again: Again = field(default_factory=Again)
    due: float = float("inf")


class Supervisor:
    """Runs the children of one server. `stages` start one after the other, each when the one before serves.

    `reload` reads again what the supervisor itself goes by, on SIGHUP. `status`: what systemd shows while all serve.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Role]],
        reload: Callable[[], None],
        status: str,
        notifier: Notifier,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = [[_Place(role) for role in stage] for stage in stages]
        self._reload = reload
        self._status = status
        self._notifier = notifier
        self._clock = clock
        self._hear, self._wake = socket.socketpair()
        self._signals: list[int] = []
        self._stop_at: float | None = None
        self._reload_until: float | None = None
        self._somebody_missing = False
        self._watchdog_due = clock()
        self._begun = clock()
        self._extend_due = self._begun + EXTEND_EVERY_S
        self._ticked = clock()

    def run(self, serving: Callable[[Mapping[str, Mapping[str, Any]]], None]) -> None:
        """Start everything, call `serving` with what each child told, and serve until SIGTERM or SIGINT.

        Raises what kept a child from starting for the first time. No child is left, however this ends.
        """
        with self._signals_heard():
            try:
                for stage in self._stages:
                    if not self._begin(stage):
                        return
                serving({place.role.name: place.child.told for place in self._places() if place.child is not None})
                self._notifier.ready(self._status)
                while not self._stopping:
                    self._turn()
            finally:
                self._end()

    @property
    def _stopping(self) -> bool:
        return self._stop_at is not None

    # --- start -----------------------------------------------------------------------------------------------------

    def _begin(self, stage: Sequence[_Place]) -> bool:
        """Start a stage for the first time and wait until all of it serves; False when it was told to stop meanwhile."""
        for place in stage:
            self._start(place)
        while not all(place.child is not None and place.child.ready for place in stage):
            self._wait(TICK_S)
            self._take_signals()
            for place in self._places():
                if (status := self._ended(place)) is not None:
                    raise _not_started(place, status)
            self._replace_hung()
            self._ask_for_time()
            if self._stopping:
                return False
        return True

    def _ask_for_time(self) -> None:
        """Tell systemd that the start goes on. Nobody is waited for that stands still: it has been killed."""
        now = self._clock()
        if now >= self._extend_due and now - self._begun < LONGEST_START_S:
            self._extend_due = now + EXTEND_EVERY_S
            self._notifier.starting("opening the database", EXTEND_BY_S)

    def _start(self, place: _Place) -> None:
        role, again, now = place.role, place.again, self._clock()
        others = [sock for each in self._places() if each is not place for sock in each.role.sockets if sock not in role.sockets]
        ends = [each.child.end for each in self._places() if each.child is not None]
        place.child = fork(role.name, lambda channel: role.main(channel, again), now, (*others, *ends, self._hear, self._wake))
        place.due = float("inf")
        log.debug("process_started", process=role.name, pid=place.child.pid)

    # --- while serving ---------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """One round: hear, bury, replace, tell."""
        self._wait(TICK_S)
        self._take_signals()
        self._bury()
        self._replace_hung()
        for place in self._places():
            if place.child is None and self._clock() >= place.due and not self._stopping:
                self._start_again(place)
        self._end_reload()
        if self._somebody_missing and all(place.child is not None and place.child.ready for place in self._places()):
            self._somebody_missing = False
            self._notifier.status(self._status)
        self._feed_watchdog()

    def _start_again(self, place: _Place) -> None:
        try:
            self._start(place)
        except OSError as error:
            # Out of processes or descriptors. Whoever else runs goes on, and this one is tried again.
            place.due = self._clock() + LONGEST_PAUSE_S
            log.error("process_not_started", process=place.role.name, error=error.strerror, again_in_s=LONGEST_PAUSE_S)

    def _bury(self) -> None:
        for place in self._places():
            child = place.child
            status = self._ended(place)
            if child is None or status is None:
                continue
            why = "stood still and was killed" if child.hung else how_it_ended(status)
            if child.failure is not None:
                why = f"{why}: {child.failure.message}"
            now = self._clock()
            pause_s = place.backoff.after(now - child.started)
            place.child, place.again, place.due = None, Again(why), now + pause_s
            child.end.close()
            log.error("process_ended", process=child.name, pid=child.pid, how=why, again_in_s=pause_s)
            self._somebody_missing = True
            self._notifier.status(f"the {child.name} ended ({why}) and is started again")

    def _ended(self, place: _Place) -> int | None:
        """The status of a child that has ended, once it is known; all that it told before is heard."""
        if place.child is None:
            return None
        pid, status = os.waitpid(place.child.pid, os.WNOHANG)
        if pid == 0:
            return None
        place.child.listen(self._clock())
        return status

    def _replace_hung(self) -> None:
        """Kill whose loop stands still; it is buried and replaced in the next round."""
        now = self._clock()
        # We did not turn ourselves (a debugger, a frozen machine): then nobody's silence means anything.
        forgiven = now - self._ticked > HANG_S / 2
        self._ticked = now
        for place in self._places():
            child = place.child
            if child is None or not place.role.beats:
                continue
            if forgiven:
                child.heard = now
            elif now - child.heard > HANG_S:
                log.error("process_hangs", process=child.name, pid=child.pid, silent_s=round(now - child.heard, 1))
                child.heard, child.hung = now, True
                child.signal(signal.SIGKILL)

    def _feed_watchdog(self) -> None:
        """Tell systemd that all is well: while every loop turns, and never from a supervisor that stands still."""
        every_s, now = self._notifier.watchdog_every_s, self._clock()
        if every_s is not None and now >= self._watchdog_due:
            self._watchdog_due = now + every_s
            self._notifier.alive()

    # --- signals ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals_heard(self) -> Iterator[None]:
        """Signals end a wait. What they mean is decided outside the handler."""
        self._wake.setblocking(False)
        self._hear.setblocking(False)
        handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        wakeup = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._hear.close()
            self._wake.close()

    def _note(self, number: int, _frame: object) -> None:
        self._signals.append(number)

    def _take_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number in (signal.SIGTERM, signal.SIGINT):
                # A second one: whoever is still draining gets no more than a moment.
                self._stop_at = self._clock() + (HURRY_S if self._stopping else DRAIN_BOUND_S)
            elif number == signal.SIGHUP and not self._stopping:
                self._begin_reload()

    def _begin_reload(self) -> None:
        self._notifier.reloading()
        self._reload()
        self._reload_until = self._clock() + RELOAD_BOUND_S
        for place in self._places():
            # One that has just begun to start reads everything afresh, and has no handler yet.
            if place.role.reloads and place.child is not None and place.child.ready:
                place.child.reloaded = False
                place.child.signal(signal.SIGHUP)

    def _end_reload(self) -> None:
        if self._reload_until is None:
            return
        waiting = [place.role.name for place in self._places() if place.child is not None and not place.child.reloaded]
        if not waiting or self._clock() >= self._reload_until:
            self._reload_until = None
            self._notifier.ready(self._status)
            for name in waiting:
                log.warning("reload_takes_long", process=name)

    # --- stop ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """End the stages, the last one first, each within its time."""
        orderly = self._stopping
        if orderly:
            log.info("stopping")
            self._notifier.stopping()
        for place in self._places():
            place.due = float("inf")
        for stage in reversed(self._stages):
            if orderly:
                self._drain(stage)
            for place in stage:
                self._kill(place)
        if orderly:
            log.info("stopped")

    def _drain(self, stage: Sequence[_Place]) -> None:
        for place in stage:
            if place.child is not None:
                place.child.signal(signal.SIGTERM)
        self._stop_at = max(self._clock() + HURRY_S, self._stop_at or 0.0)
        while any(place.child is not None for place in stage):
            left_s = self._stop_at - self._clock()
            if left_s <= 0:
                return
            self._wait(min(left_s, TICK_S))
            self._take_signals()
            for place in stage:
                if place.child is not None and self._ended(place) is not None:
                    place.child.end.close()
                    place.child = None

    def _kill(self, place: _Place) -> None:
        child, place.child = place.child, None
        if child is None:
            return
        if self._stopping:
            log.warning("process_did_not_end_in_time", process=child.name, pid=child.pid)
        child.signal(signal.SIGKILL)
        os.waitpid(child.pid, 0)
        child.end.close()

    # --- waiting ---------------------------------------------------------------------------------------------------

    def _wait(self, most_s: float) -> None:
        """Until a child tells something or a signal comes, but not longer than this or than until somebody is due."""
        now = self._clock()
        due = min((place.due for place in self._places() if place.child is None), default=float("inf"))
        poll = select.poll()
        poll.register(self._hear, select.POLLIN)
        children = {place.child.end.fileno(): place.child for place in self._places() if place.child is not None}
        for descriptor in children:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll(max(0.0, min(most_s, due - now)) * 1000):
            if descriptor in children:
                children[descriptor].listen(self._clock())
            else:
                self._hear.recv(4096)

    def _places(self) -> Iterator[_Place]:
        for stage in self._stages:
            yield from stage


def _not_started(place: _Place, status: int) -> Exception:
    child = place.child
    place.child = None
    if child is not None:
        child.end.close()
        if child.failure is not None:
            return child.failure
    return ServerUnavailable(f"the {place.role.name} ended before it served ({how_it_ended(status)}): see the log above")
