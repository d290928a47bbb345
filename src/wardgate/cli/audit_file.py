"""Verifying an export without a server. With the installation's keys its server (or this process in its place) checks the links."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wardgate.admin.audit_trail import MAX_FINDINGS, described, parse_head
from wardgate.audit.export import HEAD
from wardgate.audit.heads import HeadError, fingerprint, read_public_key
from wardgate.audit.offline import MAX_LINE_BYTES, MAX_NOTED, LineError, Opening, Verifier, read_line
from wardgate.cli.performing import Performer
from wardgate.cli.progress import counting
from wardgate.errors import UsageError

MAX_PEM_BYTES: Final = 16 * 1024
TELL_EVERY_LINES: Final = 2_000
# What travels to the server at once; far below its limit however much of it has to be escaped.
LINKS_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What to verify, and with what. `keys_of`: the data directory whose keys check the links too."""

    file: Path
    public_key: Path | None
    heads: Path | None
    expected: tuple[str, ...]
    partial: bool
    keys_of: Path | None


def verify_file(check: FileCheck) -> dict[str, Any]:
    """Verify; returns what `wardgate audit verify --json` prints. Raises UsageError for a file that cannot be read."""
    key, key_from, noted = _known(check)
    verifier = Verifier(key, check.partial, noted, [parse_head(text) for text in check.expected])
    with ExitStack() as stack:
        stream = stack.enter_context(_opened(check.file))
        total = check.file.stat().st_size if str(check.file) != "-" else None
        advance = stack.enter_context(counting("verifying", total_bytes=total))
        links = None if check.keys_of is None else _Links(stack.enter_context(Performer(check.keys_of)))
        done = 0
        for number, line in enumerate(bounded_lines(stream), 1):
            verifier.line(line)
            if links is not None:
                links.take(line)
            done += len(line)
            if number % TELL_EVERY_LINES == 0:
                advance(done if total is not None else number, "")
        if links is not None:
            links.flush()
    report = verifier.finish()
    result = described(report, report.findings, report.findings_count)
    if links is not None:
        result["findings"] = [*result["findings"], *links.findings][:MAX_FINDINGS]
        result["findings_count"] += links.count
    result["public_key"] = fingerprint(verifier.key) if verifier.key is not None else None
    result["public_key_from"] = key_from if key is not None else ("file" if verifier.key is not None else "none")
    return result


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is too long only its beginning, without an end."""
    while line := stream.readline(MAX_LINE_BYTES):
        yield line
        while not line.endswith(b"\n") and len(line) == MAX_LINE_BYTES:
            line = stream.readline(MAX_LINE_BYTES)


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


# --- what is known beforehand ------------------------------------------------------------------------------------------


def _known(check: FileCheck) -> tuple[Ed25519PublicKey | None, str, list[dict[str, Any]]]:
    """The public key, where it comes from, and the heads that were kept elsewhere."""
    key = None if check.public_key is None else _public_key(check.public_key)
    if check.heads is None:
        return key, "given", []
    opening, noted = _noted(check.heads)
    if key is not None:
        return key, "given", noted
    if opening is None:
        raise UsageError(f"{check.heads} does not name the public key: give it with --public-key")
    return opening.public_key, "heads", noted


def _public_key(path: Path) -> Ed25519PublicKey:
    with _opened(path) as stream:
        content = stream.read(MAX_PEM_BYTES)
    try:
        return read_public_key(content)
    except HeadError as error:
        raise UsageError(f"{path}: {error.message}; wardgate audit key prints what is meant") from error


def _noted(path: Path) -> tuple[Opening | None, list[dict[str, Any]]]:
    opening: Opening | None = None
    rows: list[dict[str, Any]] = []
    with _opened(path) as stream:
        for number, line in enumerate(bounded_lines(stream), 1):
            try:
                record = read_line(line)
            except LineError as error:
                raise UsageError(f"{path}, line {number}: {error.message}") from error
            if isinstance(record, Opening):
                opening = opening or record
            elif record[0] == HEAD:
                rows.append(record[1])
            if len(rows) > MAX_NOTED:
                raise UsageError(f"{path} holds more than {MAX_NOTED} heads: the last ones of each chain are enough")
    return opening, rows


# --- links -------------------------------------------------------------------------------------------------------------


class _Links:
    """Has the keyed links checked, piece by piece."""

    def __init__(self, performer: Performer) -> None:
        self.findings: list[dict[str, Any]] = []
        self.count = 0
        self._performer = performer
        self._before: list[Any] = []
        self._lines: list[bytes] = []
        self._size = 0

    def take(self, line: bytes) -> None:
        """One line of the file."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= LINKS_BYTES:
            self.flush()

    def flush(self) -> None:
        """Have checked what gathered."""
        text = b"".join(self._lines).decode("utf-8", "replace")
        self._lines, self._size = [], 0
        told = self._performer.do("audit.check_lines", {"lines": text, "before": self._before})
        self._before = told["after"]
        self.count += told["findings_count"]
        self.findings = [*self.findings, *told["findings"]][:MAX_FINDINGS]
