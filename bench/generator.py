"""The load generator: the C program where there is a compiler, else the one in Python.

The C program keeps its sockets and remembers which codes were sent from slice to slice, so there is one generator for each server.
"""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from bench.load import Again, Chosen, Load, Once, Present, Result, User
from bench.processes import tree_cpu_s

SOURCE = Path(__file__).with_name("load.c")
SOCKETS = 64
# As long as a user of the slowest slice may take to be answered, and more.
PATIENCE_S = 600


class Mode(StrEnum):
    """How often a code is sent, by what the server does with codes."""

    ONCE = "once"
    """Once: that of the present or of the next half minute. For a server that takes each once, with a window of one step."""
    PRESENT = "present"
    """Once, and always that of the present half minute. For a server without a window."""
    AGAIN = "again"
    """The present one, as often as the user's turn comes. For a server that takes a code again."""


@dataclass(frozen=True, slots=True)
class Slice:
    """How long to log in, with how many logins at a time. `logins`: end after so many."""

    sessions: int
    seconds: float
    mode: Mode = Mode.ONCE
    logins: int | None = None


class Generator(Protocol):
    """Logs users in, slice by slice."""

    def run(self, port: int, wanted: Slice, pids: Collection[int] = ()) -> Result:
        """One slice against a port on loopback. `pids`: the processes whose trees serve."""
        ...


def compiler() -> str | None:
    """A C compiler, or None."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def build(folder: Path) -> Path | None:
    """The compiled generator; None where there is no compiler."""
    found, program = compiler(), folder / "load"
    if found is None:
        return None
    if not program.exists():
        subprocess.run([found, "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


@contextlib.contextmanager
def generator(folder: Path, users: Sequence[User], secret: str, name: str = "users") -> Iterator[Generator]:
    """The best that there is here, for these users. `folder` takes the program and a file of the users under `name`."""
    program = build(folder)
    if program is None:
        yield InPython(users, secret)
        return
    file = folder / f"{name}.load"
    with file.open("w") as lines:
        lines.writelines(f"{user.name.decode()},{user.password.decode()},{user.secret.hex()}\n" for user in users)
    command = [str(program), str(file), secret, str(SOCKETS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Compiled(process)
    finally:
        process.kill()
        process.communicate()


class Compiled:
    """`load.c`, told slice by slice what to do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, port: int, wanted: Slice, pids: Collection[int] = ()) -> Result:
        """One slice."""
        into, out = self._process.stdin, self._process.stdout
        if into is None or out is None:
            raise SystemExit("the load generator has no pipes")
        cpu = tree_cpu_s(pids) if pids else 0.0
        logins = -1 if wanted.logins is None else wanted.logins
        into.write(f"run {port} {wanted.sessions} {int(wanted.seconds * 1000)} {logins} {wanted.mode}\n")
        into.flush()
        line = out.readline()
        if not line:
            raise SystemExit(f"the load generator ended with code {self._process.wait(PATIENCE_S)}")
        cpu = tree_cpu_s(pids) - cpu if pids else 0.0
        told = json.loads(line)
        done = max(1, told["logins"])
        own = told.pop("own_cpu_s")
        for name in ("first_ms", "second_ms", "login_ms"):
            told[name] = tuple(told[name])
        return Result(**told, server_cpu_us=cpu / done * 1e6, own_cpu_us=own / done * 1e6)


class InPython:
    """`load.py`. It takes another port for each slice, so of several workers not always the same one has a user."""

    def __init__(self, users: Sequence[User], secret: str) -> None:
        self._secret = secret.encode()
        self._choose: dict[Mode, Callable[[], Chosen | None]] = {
            Mode.ONCE: Once(users),
            Mode.PRESENT: Present(users),
            Mode.AGAIN: Again(users),
        }

    def run(self, port: int, wanted: Slice, pids: Collection[int] = ()) -> Result:
        """One slice."""
        load = Load(("127.0.0.1", port), self._secret, wanted.sessions, self._choose[wanted.mode])
        return load.run(wanted.seconds, pids, wanted.logins)
