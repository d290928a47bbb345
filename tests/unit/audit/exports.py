"""A trail, its signed heads and its export, for the tests of what can be done to them."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.audit.export import Position, lines, next_page, opening_line, start
from wardgate.audit.heads import Patience, Signed, sign_heads, signing_key
from wardgate.audit.offline import Report, Verifier
from wardgate.audit.trail import chain_for
from wardgate.clock import FixedClock, to_ms
from wardgate.crypto import MAC_ROOT, KeyRing, new_key
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Delete, Insert, Storage, Where
from wardgate.storage.sqlite import SqliteStorage

BACKENDS = ("memory", "sqlite")
BEGIN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def a_ring() -> KeyRing:
    return KeyRing({MAC_ROOT: new_key(), 1: new_key()})


async def no_pause(seconds: float) -> None:
    """Waiting for a late commit costs a test no time."""


@dataclass
class Trail:
    """A storage with chains in it, and what is done with them all day."""

    storage: Storage
    ring: KeyRing = field(default_factory=a_ring)
    clock: FixedClock = field(default_factory=lambda: FixedClock(BEGIN))
    _chain: tuple[str, int] | None = None

    async def write(self, count: int, writer: str = "server", epoch: int = 1) -> None:
        """Some events, by one writer."""
        if self._chain != (writer, epoch):
            self.storage.use_chain(chain_for(self.ring, writer, epoch))
            self._chain = (writer, epoch)
        await self.append(count)

    async def append(self, count: int) -> None:
        """Some events, by whoever writes."""
        self.clock.advance(1)
        events = [
            AuditEvent(
                Kind.LOGIN_GRANTED,
                to_ms(self.clock.now()),
                "engine",
                transaction_id=f"t{number}" if number % 2 else None,
                reference=f"REF{number:05d}",
                subject_id="s1",
                details={"user": f"üser{number}", "factors": ["password", "totp"]},
            )
            for number in range(count)
        ]
        await self.storage.commit([record(event) for event in events])

    async def sign(self, **more: Any) -> Signed:
        """What happens once a minute."""
        self.clock.advance(60)
        return await sign_heads(self.storage, lambda: self.ring, self.clock, pause=no_pause, **more)

    async def rows(self, table: str = "audit_event") -> list[dict[str, Any]]:
        return [dict(row) for row in await self.storage.find(table, order_by="seq")]

    async def rewrite(self, table: str, changed: Iterable[dict[str, Any]]) -> None:
        """What somebody with an SQL shell leaves behind."""
        everything = Delete(table, (Where("seq", ">=", -(2**62)),))
        await self.storage.commit([everything, *(Insert(table, row) for row in changed)])
        # The writer knows its chain's end by heart: it begins anew with what stands there now.
        self._chain = None

    async def export(
        self, since_seq: int | None = None, since_ms: int | None = None, positions: list[Position] | None = None, **more: Any
    ) -> list[bytes]:
        """A whole export, in its lines."""
        key = signing_key(self.ring).public_key()
        text = opening_line("an-installation", key)
        if positions is None:
            anchors, positions = await start(self.storage, key, since_seq, since_ms)
            text += lines(anchors)
        going = True
        while going:
            page = await next_page(self.storage, positions, Patience(no_pause), **more)
            positions, going = page.positions, page.more
            text += lines(page.records)
        return text.encode().splitlines(keepends=True)

    def check(self, exported: Iterable[bytes], **more: Any) -> Report:
        """What an auditor finds who noted the public key."""
        verifier = Verifier(more.pop("key", signing_key(self.ring).public_key()), **more)
        for line in exported:
            verifier.line(line)
        return verifier.finish()


@asynccontextmanager
async def a_trail(backend: str, folder: Path) -> AsyncIterator[Trail]:
    storage: Storage = MemoryStorage() if backend == "memory" else await SqliteStorage.open(folder / "wardgate.db")
    try:
        yield Trail(storage)
    finally:
        await storage.close()


def told(report: Report) -> list[tuple[str, int, str]]:
    return [(finding.writer, finding.seq, finding.problem) for finding in report.findings]


def plain(line: bytes) -> dict[str, Any]:
    return dict(json.loads(line))


def is_event(line: bytes, seq: int, writer: str = "server") -> bool:
    value = plain(line)
    return (value["type"], value.get("writer"), value.get("seq")) == ("event", writer, seq)


def is_head(line: bytes) -> bool:
    return bool(plain(line)["type"] == "head")


def written(value: dict[str, Any]) -> bytes:
    """A line as the export writes it: a forger knows the form."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def edited(exported: list[bytes], which: Callable[[bytes], bool], change: Callable[[dict[str, Any]], None]) -> list[bytes]:
    """The file with some lines changed."""
    result = []
    for line in exported:
        if which(line):
            value = plain(line)
            change(value)
            line = written(value)
        result.append(line)
    return result
