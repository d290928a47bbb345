"""One child process of the supervisor: forked, tied to its parent's life, with a channel on which it tells how it is.

The channel is a pair of stream sockets. The child writes lines of JSON: `ready`, `failed`, `beat`, `reloaded`. The parent writes
nothing; its end is closed by the system when it dies.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wardgate.control import RemoteError, kind_of
from wardgate.errors import WardgateError

MAX_LINE_BYTES: Final = 1024 * 1024
EXIT_FAILED: Final = 1
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_READ_BYTES: Final = 65_536
# What the supervisor handles. A child that has just been forked must not run its parent's handlers.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Channel:
    """The child's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def ready(self, told: Mapping[str, object] | None = None) -> None:
        """It does its work from now on. `told`: what the supervisor shall know of it."""
        self._say({"ready": dict(told or {})})

    def failed(self, error: WardgateError) -> None:
        """It cannot begin, and why."""
        self._say({"failed": {"message": error.message, "code": error.code, "kind": kind_of(error)}})

    def beat(self) -> None:
        """Its loop turns. Not told to a supervisor that does not read: nobody waits for it."""
        self._say({"beat": True}, socket.MSG_DONTWAIT)

    def reloaded(self) -> None:
        """What can be read again has been read again."""
        self._say({"reloaded": True})

    def wait_for_the_end(self) -> None:
        """Return when the supervisor is gone. Blocks."""
        with contextlib.suppress(OSError):
            while self._end.recv(_READ_BYTES):
                pass

    def _say(self, message: Mapping[str, object], flags: int = 0) -> None:
        # A supervisor that is gone hears nothing, and we are about to end too.
        with contextlib.suppress(OSError):
            self._end.sendall(json.dumps(message, ensure_ascii=False).encode() + b"\n", flags)


@dataclass(slots=True)
class Child:
    """A running child, as the supervisor sees it. Times are of the monotonic clock."""

    name: str
    pid: int
    end: socket.socket
    started: float
    heard: float
    ready: bool = False
    reloaded: bool = True
    hung: bool = False
    told: Mapping[str, Any] = field(default_factory=dict)
    failure: WardgateError | None = None
    _unread: bytes = b""

    def listen(self, now: float) -> None:
        """Take in what it has told."""
        while True:
            try:
                data = self.end.recv(_READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                break
            self.heard = now
            self._unread += data
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        if len(self._unread) > MAX_LINE_BYTES:
            raise WardgateError(f"the {self.name} said something longer than {MAX_LINE_BYTES} bytes")

    def _take(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self.ready, self.told = True, message["ready"]
        elif "failed" in message:
            failed = message["failed"]
            self.failure = RemoteError(failed["message"], failed["code"], failed["kind"])
        elif "reloaded" in message:
            self.reloaded = True

    def signal(self, number: int) -> None:
        """Send it a signal; it may have ended meanwhile."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


def fork(name: str, main: Callable[[Channel], None], now: float, not_its: Iterable[socket.socket]) -> Child:
    """Start a child that runs `main` and ends. `not_its`: sockets of the parent that are none of its business.

    The parent has no threads: a thread that held a lock at the fork would never give it back in the child.
    """
    ours, its = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_child(parent, name, main, Channel(its), before, (ours, *not_its))
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        its.close()
    return Child(name, pid, ours, now, now)


def _be_child(
    parent: int,
    name: str,
    main: Callable[[Channel], None],
    channel: Channel,
    mask: Iterable[int],
    not_ours: Iterable[socket.socket],
) -> None:
    """Run `main`, and end without the parent's clean-up, whatever happens."""
    code = EXIT_FAILED
    try:
        _leave_group()
        _forget_signals(mask)
        for each in not_ours:
            each.close()
        _die_with(parent, channel)
        _be_called(name)
        main(channel)
        code = 0
    except WardgateError as error:
        channel.failed(error)
    except BaseException:  # noqa: BLE001 - the last frame of this process
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _leave_group() -> None:
    """Ctrl-C, and whoever signals the group, reach the supervisor alone: it ends the children in their order."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else a terminal may stop us when we write our log to it
    os.setpgid(0, 0)


def _forget_signals(mask: Iterable[int]) -> None:
    """Back to what a fresh process does, but for what a worker handles later or never has to hear of."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _die_with(parent: int, channel: Channel) -> None:
    """An orphan would go on answering beside the server that is started next."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before that: then somebody else is our parent by now.
        if os.getppid() != parent:
            os._exit(EXIT_FAILED)
    else:
        threading.Thread(target=_end_with, args=(channel,), name="orphan watch", daemon=True).start()


def _be_called(name: str) -> None:
    """The name that `top` and `ps` show."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"wg {name}".encode(), 0, 0, 0)


def _end_with(channel: Channel) -> None:
    channel.wait_for_the_end()
    os._exit(EXIT_FAILED)


def share_memory() -> None:
    """What is loaded now stays: the collector writes to no page of it again, so that all children share one copy."""
    gc.collect()
    gc.freeze()


def how_it_ended(status: int) -> str:
    """A status of `waitpid` in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
