"""Reading what must not stand on a command line, and files whose size is bounded."""

import sys
from pathlib import Path
from typing import Final

from wardgate.errors import UsageError

MAX_SECRET_BYTES: Final = 4_096
TERMINAL: Final = Path("/dev/tty")


def secret_from_stdin(what: str) -> str:
    """The first line of standard input, without its end: passwords and secrets never stand on a command line."""
    line = sys.stdin.buffer.readline(MAX_SECRET_BYTES + 2)
    secret = line.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise UsageError(f"standard input holds no {what}")
    if len(secret) > MAX_SECRET_BYTES:
        raise UsageError(f"the {what} is longer than {MAX_SECRET_BYTES} bytes")
    try:
        return secret.decode()
    except UnicodeDecodeError:
        raise UsageError(f"the {what} is not UTF-8") from None


def line_from_terminal(question: str, max_bytes: int) -> str | None:
    """What somebody types at the terminal though standard input is a pipe that has ended; None when nobody sits there."""
    if not sys.stderr.isatty():
        return None
    try:
        with TERMINAL.open("r+b", buffering=0) as terminal:
            terminal.write(f"{question}: ".encode())
            return terminal.readline(max_bytes).decode("utf-8", "replace").strip()
    except OSError:
        return None


def read_text(path: Path, max_bytes: int) -> str:
    """A whole file as text; `-` is standard input."""
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with path.open("rb") as file:
                data = file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise UsageError(f"{path}: larger than {max_bytes} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8") from None


def is_interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
