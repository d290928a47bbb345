"""Two machines and a cable between them, in network namespaces of this test alone: a place where a cable can be cut.

Needs root and the `ip` program. Nothing outside the namespaces is touched; what was made is removed, also after a failure.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import neighbours

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_PLACES = Path("/run/netns")
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def _ip(*arguments: str) -> None:
    subprocess.run([neighbours.executable("ip"), *arguments], check=True, capture_output=True, timeout=30)


@dataclass(frozen=True, slots=True)
class Machine:
    """One namespace: a loopback of its own, and one end of the cable."""

    name: str
    address: str

    @property
    def prefix(self) -> list[str]:
        """Put before a command line: it runs on this machine."""
        return [neighbours.executable("ip"), "netns", "exec", self.name]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread opens meanwhile belong to this machine, for good."""
        with Path("/proc/thread-self/ns/net").open() as home, (_PLACES / self.name).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@dataclass(frozen=True, slots=True)
class Cable:
    """The cable between two machines, and the device at its far end. Whoever sends into a cut cable is told nothing."""

    one: Machine
    other: Machine
    far_end: str

    def cut(self) -> None:
        """No packet passes from now on, in either direction."""
        _ip("-n", self.other.name, "link", "set", self.far_end, "down")

    def mend(self) -> None:
        """Packets pass again."""
        _ip("-n", self.other.name, "link", "set", self.far_end, "up")

    def lose_replies(self) -> None:
        """What `one` sends arrives; nothing comes back."""
        _ip("-n", self.other.name, "route", "add", "blackhole", f"{self.one.address}/32")

    def let_replies_pass(self) -> None:
        """The end of `lose_replies`."""
        _ip("-n", self.other.name, "route", "del", "blackhole", f"{self.one.address}/32")


@contextmanager
def two_machines(tag: str) -> Iterator[Cable]:
    """Two machines with a cable between them. `tag` keeps parallel tests apart; at most 8 letters or digits."""
    names = [f"wg-{os.getpid()}-{tag}-{end}" for end in "ab"]
    ends = [f"w{os.getpid() % 100_000}{tag[:4]}{end}" for end in "ab"]
    one, other = (Machine(name, address) for name, address in zip(names, ADDRESSES, strict=True))
    made: list[str] = []
    try:
        for name in names:
            _ip("netns", "add", name)
            made.append(name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", names[0], "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for name, end, address in zip(names, ends, ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
        yield Cable(one, other, ends[1])
    finally:
        for name in made:
            _ip("netns", "delete", name)
