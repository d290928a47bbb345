"""A collector of the audit trail that is killed again and again keeps every event once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.functional.harness import cli_json, wait_for
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import SystemClock, to_ms
from wardgate.installation import Installation

EVENTS = 12_000
PIECE = 2_000
KILLS = 3
DEADLINE_S = 60.0


async def _installation(data: Path) -> None:
    clock = SystemClock()
    opened = await (await Installation.create(data, False, clock)).connect()
    event = AuditEvent(Kind.LOGIN_DENIED, to_ms(clock.now()), "engine", details={"user": "ada"})
    for _ in range(0, EVENTS, PIECE):
        await opened.storage.commit([record(event) for _ in range(PIECE)])
    await opened.storage.close()


@contextmanager
def _collecting(data: Path, output: Path, cursor: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["audit", "export", "--follow", "--data", str(data), "--output", str(output), "--cursor", str(cursor)]
    with subprocess.Popen([sys.executable, "-m", "wardgate", *arguments], stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _last(output: Path) -> int:
    """How many events stand in the file; the last line may be half written."""
    return output.read_bytes().count(b'{"type":"event"') if output.exists() else 0


def test_a_collector_that_is_killed_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    data, output, cursor = tmp_path / "data", tmp_path / "audit.jsonl", tmp_path / "cursor"
    asyncio.run(_installation(data))
    for number in range(KILLS):
        with _collecting(data, output, cursor) as process:
            wanted = (number + 1) * EVENTS // (KILLS + 2)
            wait_for(lambda least=wanted: _last(output) >= least, DEADLINE_S)
            process.kill()
            process.wait()
        # What a kill in the middle of a write leaves behind, at the worst.
        with output.open("ab") as file:
            file.write(b'{"type":"event","writer":"serv')
    with _collecting(data, output, cursor) as process:
        wait_for(lambda: _last(output) >= EVENTS and json.loads(cursor.read_text())["positions"][0][2] >= EVENTS, DEADLINE_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    verified = cli_json("audit", "verify", os.fspath(output), data=data)
    assert (verified["findings"], verified["chains"][0]["unproven"]) == ([], 0)
    assert verified["events"] == verified["chains"][0]["last"] >= EVENTS
