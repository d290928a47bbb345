"""`wardgate storage move`: everything arrives, nothing is put in force before it is proved, and a cut move changes nothing."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from tests import postgresql
from wardgate.admin.storage_move import move, target_settings
from wardgate.cli.progress import Advance
from wardgate.errors import AlreadyExists, SettingsError, StorageUnavailable
from wardgate.installation import Installation
from wardgate.storage.backends import open_storage
from wardgate.storage.port import Committed, Insert, Row
from wardgate.storage.postgres_copy import copy_into
from wardgate.storage.schema import metadata
from wardgate.storage.snapshot_sqlite import SqliteSnapshot

from .conftest import Cli, Server

pytestmark = pytest.mark.neighbour("postgresql")


def _database() -> str:
    return asyncio.run(postgresql.shared().create())


def _rows(data: Path) -> dict[str, list[Row]]:
    """Every row of the database that the settings name."""

    async def read() -> dict[str, list[Row]]:
        storage = await open_storage(Installation.open(data).settings.database, data)
        try:
            return {name: sorted(await storage.find(name), key=str) for name in metadata.tables}
        finally:
            await storage.close()

    return asyncio.run(read())


def _fill(cli: Cli) -> None:
    """Users, authenticators, a NAS, and values of every kind."""
    assert (
        cli(
            "user", "add", "Ada", "--password-stdin", "--mail", "ada@acme.test", "--group", "vpn", stdin="correct horse battery\n"
        ).code
        == 0
    )
    assert cli("authenticator", "add", "ada", "totp").code == 0
    assert cli("nas", "add", "hq", "--address", "10.0.0.1", "--application", "vpn").code == 0

    async def more() -> None:
        storage = await open_storage(Installation.open(cli.data).settings.database, cli.data)
        message = {
            "id": "ı\U0001f511'\"\\ \n", "transaction_id": "", "reference": "R", "subject_id": "s", "user_name": "x" * 100_000,
            "application": "vpn", "channel": "sms", "sealed": bytes(range(256)), "state": "due", "created_at": -(2**63),
            "expires_at": 2**63 - 1, "next_try_at": 0, "tries": 0, "sent_at": None,
        }  # fmt: skip
        timeline = [
            {"id": f"{n:04}", "reference": "R", "door": "radius", "result": "granted", "body": "{}", "created_at": n}
            for n in range(1500)
        ]
        outcome = await storage.commit([Insert("outbox", message), *[Insert("timeline", row) for row in timeline]])
        assert isinstance(outcome, Committed)
        await storage.close()

    asyncio.run(more())


def test_everything_is_there_after_a_move_and_the_file_is_as_it_was(alone: Cli, tmp_path: Path) -> None:
    _fill(alone)
    settings = alone.data / "wardgate.toml"
    settings.write_text(settings.read_text().replace("[log]", "# keep this remark\n[log]"))
    before, file = _rows(alone.data), (alone.data / "wardgate.db").read_bytes()
    (tmp_path / "password").write_text("not needed where everybody is trusted\n")
    (tmp_path / "password").chmod(0o600)
    url = postgresql.shared().url(_database())
    done = alone("storage", "move", "--to", url, "--password-file", str(tmp_path / "password"), "--json")
    assert done.code == 0, done
    moved = done.json("storage-move")
    assert moved["tables"] == {name: len(rows) for name, rows in before.items()}
    assert moved["rows"] == sum(moved["tables"].values())
    assert moved["events"] == len(before["audit_event"]) > 0
    installation = Installation.open(alone.data)
    assert (installation.settings.database.url, installation.settings.database.password_file) == (url, str(tmp_path / "password"))
    assert "# keep this remark" in settings.read_text()
    assert settings.stat().st_mode & 0o777 == 0o600
    assert _rows(alone.data) == before
    assert (alone.data / "wardgate.db").read_bytes() == file
    # From now on PostgreSQL is what is used.
    assert alone("user", "show", "ada", "--json").json("user-show")["groups"] == ["vpn"]
    assert alone("user", "add", "Bob", "--no-password").code == 0
    assert alone("audit", "verify").code == 0
    assert len(_rows(alone.data)["local_user"]) == 2
    assert alone("storage", "move", "--to", url).code == 1


def test_the_message_says_what_to_do_next(alone: Cli) -> None:
    done = alone("storage", "move", "--to", postgresql.shared().url(_database()))
    assert done.code == 0
    assert "rows were copied and compared" in done.out
    assert "wardgate serve" in done.out
    assert "wardgate.db" in done.out


@pytest.mark.parametrize("cut_at", ["accounting", "local_user", "timeline"])
def test_a_move_that_is_cut_leaves_the_source_in_force_and_can_be_repeated(alone: Cli, cut_at: str) -> None:
    _fill(alone)
    before, settings = _rows(alone.data), (alone.data / "wardgate.toml").read_bytes()
    installation = Installation.open(alone.data)
    target = target_settings(installation, postgresql.shared().url(_database()), None)

    def cut(done: int, word: str) -> None:
        if word == cut_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(_moved(installation, target, cut))
    assert (alone.data / "wardgate.toml").read_bytes() == settings
    assert _rows(alone.data) == before
    with pytest.raises(SettingsError, match="unfinished copy"):
        asyncio.run(open_storage(target, alone.data))
    assert alone("storage", "move", "--to", target.url).code == 0
    assert _rows(alone.data) == before


async def _moved(installation: Installation, target: object, advance: Advance) -> None:
    await move(installation, target, advance)  # type: ignore[arg-type]


def test_a_move_that_is_killed_by_the_database_changes_nothing(alone: Cli) -> None:
    _fill(alone)
    database = _database()
    installation = Installation.open(alone.data)
    target = target_settings(installation, postgresql.shared().url(database), None)
    settings = (alone.data / "wardgate.toml").read_bytes()

    sql = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    ended: list[str] = []

    def end(done: int, word: str) -> None:
        if word == "timeline" and not ended:
            ended.append(word)
            # The copy stands still until it is done: beside it, a connection that takes long would find nothing left to end.
            other = threading.Thread(target=asyncio.run, args=(postgresql.shared().execute(sql),))
            other.start()
            other.join()

    with pytest.raises(StorageUnavailable):
        asyncio.run(_moved(installation, target, end))
    assert ended
    assert (alone.data / "wardgate.toml").read_bytes() == settings
    assert alone("storage", "move", "--to", target.url).code == 0


def test_a_whole_copy_that_was_not_put_in_force_is_made_again(alone: Cli) -> None:
    installation = Installation.open(alone.data)
    target = target_settings(installation, postgresql.shared().url(_database()), None)
    identifier = str(next(row["value"] for row in _rows(alone.data)["installation"] if row["name"] == "id"))

    async def copied(identifier: str) -> None:
        async with SqliteSnapshot(installation.database) as source:
            await copy_into(target, alone.data, source, identifier)

    asyncio.run(copied(identifier))
    with pytest.raises(AlreadyExists, match="is not empty"):
        asyncio.run(copied("another-installation"))
    assert alone("storage", "move", "--to", target.url).code == 0
    # The first start takes it into service, and from then on nothing is written over it.
    assert alone("user", "list").code == 0
    with pytest.raises(AlreadyExists, match="is not empty"):
        asyncio.run(copied(identifier))


def test_a_database_that_holds_an_installation_is_never_written_over(alone: Cli) -> None:
    database = _database()
    target = postgresql.shared().settings(database)

    async def serve_there() -> None:
        storage = await open_storage(target, alone.data)
        await storage.commit([Insert("installation", {"name": "id", "value": "somebody else"})])
        await storage.close()

    asyncio.run(serve_there())
    refused = alone("storage", "move", "--to", target.url, "--json")
    assert refused.code == 4
    assert "is not empty" in refused.json("error")["error"]["message"]
    rows = asyncio.run(postgresql.shared().fetch("SELECT value FROM installation", database))
    assert [row[0] for row in rows] == ["somebody else"]


def test_a_trail_that_does_not_verify_is_not_put_in_force(alone: Cli) -> None:
    connection = sqlite3.connect(alone.data / "wardgate.db")
    connection.execute("UPDATE audit_event SET kind = 'engine:login:granted' WHERE seq = 1")
    connection.commit()
    connection.close()
    refused = alone("storage", "move", "--to", postgresql.shared().url(_database()))
    assert refused.code == 1
    assert "audit trail does not verify" in refused.err
    assert Installation.open(alone.data).settings.database.embedded


def test_a_password_on_the_command_line_is_refused(alone: Cli) -> None:
    refused = alone("storage", "move", "--to", "postgresql://w:very-secret@127.0.0.1/x")
    assert refused.code == 2
    assert "very-secret" not in refused.err + refused.out


@pytest.mark.parametrize("to", ["sqlite:other.db", "mysql://w@h/x", "postgresql://w@h"])
def test_a_target_that_cannot_be_is_refused(alone: Cli, to: str) -> None:
    assert alone("storage", "move", "--to", to).code in (1, 2)
    assert Installation.open(alone.data).settings.database.url == "sqlite:wardgate.db"


def test_a_database_that_is_not_there_is_unavailable(alone: Cli) -> None:
    assert alone("storage", "move", "--to", f"postgresql://w@127.0.0.1:{postgresql.free_port()}/x").code == 3


def test_a_move_beside_a_running_server_is_refused(alone: Cli, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.installation.LOCK_WAIT_S", 0.1)
    refused = alone("storage", "move", "--to", postgresql.shared().url(_database()))
    assert refused.code == 3
    assert Installation.open(alone.data).settings.database.embedded
