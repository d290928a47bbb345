"""Commands beside each other: two at once, a server that starts or stops in between."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from wardgate.audit.trail import verify
from wardgate.cli.performing import Performer
from wardgate.errors import ServerUnavailable
from wardgate.installation import Installation

from .conftest import Cli, Server


def start(data: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "wardgate", *arguments, "--data", str(data)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def _names_and_findings(data: Path) -> tuple[set[str], int]:
    installation = Installation.open(data)
    with installation.lock():
        opened = await installation.connect()
        users = await opened.storage.find("local_user")
        verified = await verify(opened.storage, opened.rings())
        await opened.storage.close()
    return {str(user["name"]) for user in users}, len(verified.findings)


def test_commands_at_once_wait_for_each_other_and_lose_nothing(data: Path) -> None:
    running = [start(data, "user", "add", f"user{n}", "--no-password") for n in range(4)]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
    assert asyncio.run(_names_and_findings(data)) == ({f"user{n}" for n in range(4)}, 0)


def test_of_two_that_add_the_same_user_at_once_one_is_told(data: Path) -> None:
    running = [start(data, "user", "add", "ada", "--no-password", "--json") for _ in range(2)]
    for process in running:
        process.communicate(timeout=120)
    assert sorted(process.returncode for process in running) == [0, 4]


def test_a_command_that_waits_for_the_lock_finds_the_server_that_took_it(
    data: Path, alone: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server holds the lock before it answers: a command must not give up in between."""
    server = Server(data)
    tries = 0
    from wardgate import installation

    taken = installation.InstanceLock.take.__func__  # type: ignore[attr-defined]

    def take(cls: type, where: Path, wait_s: float = 0.0) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            monkeypatch.undo()
            server.start()
            raise ServerUnavailable("process 1 holds it", "instance_locked")
        return taken(cls, where, wait_s)

    monkeypatch.setattr(installation.InstanceLock, "take", classmethod(take))
    with Performer(data) as performer:
        assert performer.do("user.list", {})["users"] == []
        assert performer._local is None
    server.stop()
    assert tries == 1


def test_the_lock_is_free_again_after_a_command(alone: Cli) -> None:
    assert alone("user", "list").code == 0
    assert alone("user", "show", "nobody").code == 1
    Installation.open(alone.data).lock(wait_s=0).release()


def test_a_command_works_when_a_server_was_killed(alone: Cli) -> None:
    (alone.data / "control.sock").touch()
    assert alone("user", "list").code == 0
