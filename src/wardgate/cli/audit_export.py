"""Fetching the audit trail page by page, into a file or a pipe, once or for as long as it is wanted.

The cursor file says how far the last run came, and how long the output file was then: what was written after it is cut off and
fetched again, so that a collector that was killed in the middle loses nothing and doubles nothing. Into a pipe the last page
may come twice after a kill.
"""

import fcntl
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from wardgate.audit.pseudonyms import LEAST_KEY_BYTES, Pseudonyms
from wardgate.cli.audit_lines import Form, Shape, shaped, written
from wardgate.cli.output import note
from wardgate.cli.performing import Performer
from wardgate.cli.progress import Advance, counting
from wardgate.control import RemoteError, call, kind_of
from wardgate.errors import Conflict, UnavailableError, UsageError, WardgateError

POLL_S: Final = 1.0
# Looking for chains that began meanwhile takes more reads than asking the known ones.
CHAINS_EVERY_POLLS: Final = 10
CURSOR_FORMAT: Final = 1
MAX_CURSOR_BYTES: Final = 4 * 1024 * 1024
MAX_KEY_BYTES: Final = 4_096

if TYPE_CHECKING:
    from wardgate.cli.audit_syslog import Receiver

Ask = Callable[[str, Mapping[str, object]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is written where: into `output` (None: standard output), or to a syslog `receiver`.

    `pseudonyms`: in place of whom it is about.
    """

    output: Path | None = None
    form: Form = Form.JSONL
    receiver: "Receiver | None" = None
    pseudonyms: Pseudonyms | None = None

    @property
    def lines(self) -> str:
        """What kind of lines these are: an export cannot go on as another one."""
        return self.form.value if self.pseudonyms is None else f"{self.form.value}, pseudonyms {self.pseudonyms.key_id}"


def pseudonyms(key_file: Path | None, keep_network: bool) -> Pseudonyms:
    """The pseudonyms of the key in this file, which is made when it is not there; without a file, of a key that nobody keeps.

    Raises UsageError.
    """
    if key_file is None:
        return Pseudonyms(secrets.token_bytes(LEAST_KEY_BYTES), keep_network)
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return Pseudonyms(_read_key(key_file), keep_network)
    except OSError as error:
        raise UsageError(f"{key_file} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(LEAST_KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    note(f"made {key_file}: who has it can tell whether a name stands behind a pseudonym")
    return Pseudonyms(_read_key(key_file), keep_network)


def _read_key(key_file: Path) -> bytes:
    try:
        with key_file.open("rb") as file:
            key = file.read(MAX_KEY_BYTES).strip()
    except OSError as error:
        raise UsageError(f"{key_file} cannot be read: {error.strerror}") from error
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(f"{key_file} is too short for a key: at least {LEAST_KEY_BYTES} bytes, or name a file that is to be made")
    return key


class Sink(Protocol):
    """Where the lines of an export go."""

    def begins(self, place: Mapping[str, int] | None) -> bool:
        """Go back to the cursor's `place`; whether this is the beginning of a file, pipe or connection."""
        ...

    def write(self, text: str) -> None:
        """Some whole lines of an export."""
        ...

    def flush(self) -> None:
        """Hand on what was written."""
        ...

    def settle(self) -> dict[str, int] | None:
        """Make what was written safe; returns which file it is and how long, if it is one of ours."""
        ...


class Export:
    """One run of `wardgate audit export`."""

    def __init__(self, data: Path, target: Target, cursor: Path | None, since: str | None) -> None:
        self._data = data
        self._target = target
        self._output = target.output
        self._shape: Shape = shaped(target.form, target.pseudonyms)
        self._cursor = cursor
        self._since = since
        self._installation = ""
        self._positions: list[Any] | None = None
        self._events = 0
        self._stop = threading.Event()

    def run(self, follow: bool) -> None:
        """Write everything, then with `follow` what comes, until SIGINT or SIGTERM. Raises WardgateError."""
        # On a terminal the lines themselves show how far it is.
        silent = self._output is None and self._target.receiver is None and sys.stdout.isatty()
        shown = nullcontext(_quiet) if silent else counting("events")
        with self._alone(), self._sink(follow) as sink, shown as advance:
            if not follow:
                with Performer(self._data) as performer:
                    self._begin(performer.do, sink)
                    self._pull(performer.do, sink, advance)
                return
            with _stopped_by_signals(self._stop):
                self._follow(sink, advance)

    # --- following ---

    def _follow(self, sink: Sink, advance: Advance) -> None:
        # The first time also without a server: then this process holds the installation only as long as that takes.
        asked, polls, told = False, 0, False
        while not self._stop.is_set():
            try:
                if asked:
                    self._pull(self._ask_server, sink, advance, look_for_chains=polls % CHAINS_EVERY_POLLS == 0)
                else:
                    self._first(sink, advance)
                    asked = True
                polls, told = polls + 1, False
            except WardgateError as error:
                if not _may_pass(error):
                    raise
                if not told:
                    note(f"wardgate: {error.message}; waiting for it")
                told = True
            self._stop.wait(POLL_S)

    def _first(self, sink: Sink, advance: Advance) -> None:
        with Performer(self._data) as performer:
            if not self._installation:
                self._begin(performer.do, sink)
            self._pull(performer.do, sink, advance)

    def _ask_server(self, name: str, params: Mapping[str, object]) -> dict[str, Any]:
        return call(self._data, name, params)

    # --- pages ---

    def _begin(self, ask: Ask, sink: Sink) -> None:
        known = self._read_cursor()
        goes_on = known is not None and known["positions"] is not None
        begun = ask("audit.begin_export", {"since": None if goes_on else self._since})
        self._installation = begun["installation"]
        if known is not None and known["installation"] != self._installation:
            raise UsageError(f"{self._cursor} belongs to another installation: name another cursor and another output")
        if known is not None and known.get("lines", Form.JSONL.value) != self._target.lines:
            raise UsageError(f"{self._cursor} belongs to an export of another form or key: name another cursor")
        begins = sink.begins(None if known is None else known.get("output"))
        if known is None:
            # Before the first line: who is killed between the two would find a file that belongs to no cursor.
            self._keep_cursor(sink)
        if begins:
            sink.write(begun["opening"])
        if not goes_on:
            sink.write(begun["lines"])
        self._positions = begun["positions"] if known is None or not goes_on else known["positions"]
        self._keep_cursor(sink)

    def _pull(self, ask: Ask, sink: Sink, advance: Advance, look_for_chains: bool = True) -> None:
        """Fetch until nothing more is there."""
        more = True
        while more and not self._stop.is_set():
            page = ask("audit.export_page", {"positions": self._positions, "look_for_chains": look_for_chains})
            look_for_chains, more = False, page["more"]
            changed = page["positions"] != self._positions
            self._positions = page["positions"]
            if page["lines"]:
                sink.write(page["lines"])
            if changed:
                self._keep_cursor(sink)
            self._events += page["events"]
            advance(self._events, "")
        sink.flush()

    # --- the cursor ---

    def _read_cursor(self) -> dict[str, Any] | None:
        if self._cursor is None:
            return None
        try:
            with self._cursor.open("rb") as file:
                plain = json.loads(file.read(MAX_CURSOR_BYTES))
            if plain["format"] != CURSOR_FORMAT or not isinstance(plain["installation"], str):
                raise ValueError
            if plain["positions"] is not None:
                told = plain["positions"]
                plain["positions"] = [[str(writer), int(epoch), int(seq), int(head)] for writer, epoch, seq, head in told]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{self._cursor} is no cursor of an export: name another file") from error
        return dict(plain)

    def _keep_cursor(self, sink: Sink) -> None:
        """After the lines are safe: what the cursor counts as written must be."""
        if self._cursor is None:
            sink.flush()
            return
        place = sink.settle()
        plain = {"format": CURSOR_FORMAT, "installation": self._installation, "positions": self._positions, "output": place}
        plain["lines"] = self._target.lines
        part = self._cursor.with_name(self._cursor.name + ".new")
        with part.open("w", encoding="utf-8") as file:
            json.dump(plain, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._cursor)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two runs on one cursor would each write the same events."""
        if self._cursor is None:
            yield
            return
        with self._cursor.with_name(self._cursor.name + ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"another export keeps its place in {self._cursor}: stop it, or name another cursor") from None
            yield

    @contextmanager
    def _sink(self, follow: bool) -> Iterator[Sink]:
        if self._target.receiver is not None:
            from wardgate.cli.audit_syslog import SyslogSink

            sender = SyslogSink(self._target.receiver, self._shape, self._stop, follow)
            try:
                yield sender
            finally:
                sender.close()
            return
        # Lines that were fetched as they are to be written are not taken apart.
        shape = None if self._target.lines == Form.JSONL.value else self._shape
        if self._output is None:
            yield _Sink(sys.stdout.buffer, None, shape)
            return
        known = self._read_cursor()
        if known is None and self._output.exists() and self._output.stat().st_size:
            raise UsageError(f"{self._output} holds something already: name another file, or give the cursor that belongs to it")
        # It names people and where they come from.
        descriptor = os.open(self._output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            yield _Sink(file, self._output, shape)


class _Sink:
    """Into a file or a pipe. `shape`: what becomes of the lines before."""

    def __init__(self, file: BinaryIO, path: Path | None, shape: Shape | None) -> None:
        self._shape = shape
        self._file = file
        self._path = path

    def begins(self, place: Mapping[str, int] | None) -> bool:
        """Cut off what was written after the cursor's `place`; whether this is the beginning of a file or pipe."""
        if self._path is None:
            return True
        there = os.fstat(self._file.fileno())
        if place is not None and place["inode"] == there.st_ino and place["size"] < there.st_size:
            self._file.truncate(place["size"])
            return place["size"] == 0
        return there.st_size == 0

    def write(self, text: str) -> None:
        """Some whole lines."""
        self._file.write((text if self._shape is None else written(self._shape, text)).encode())

    def flush(self) -> None:
        """Hand on what was written."""
        self._file.flush()

    def settle(self) -> dict[str, int] | None:
        """Make what was written durable, if it is a file of ours; returns which file it is and how long."""
        self._file.flush()
        if self._path is None:
            return None
        os.fsync(self._file.fileno())
        there = os.fstat(self._file.fileno())
        return {"inode": there.st_ino, "size": there.st_size}


def _quiet(done: int, word: str) -> None:
    """Progress that nobody sees."""


def _may_pass(error: WardgateError) -> bool:
    """Whether waiting may help: a server that restarts, a database that fails over."""
    return isinstance(error, UnavailableError) or (isinstance(error, RemoteError) and kind_of(error) == "unavailable")


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """The first signal ends the run after the page that is being written; the second one at once."""

    def note_stop(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, note_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
