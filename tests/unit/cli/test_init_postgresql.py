"""`wardgate init --database`: an installation that begins on PostgreSQL, and never over another one."""

import asyncio
from pathlib import Path

import pytest

from tests import postgresql
from wardgate.installation import MARKER, Installation

from .conftest import Cli

pytestmark = pytest.mark.neighbour("postgresql")


@pytest.fixture
def url() -> str:
    """An empty database."""
    return postgresql.shared().url(asyncio.run(postgresql.shared().create()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where nothing stands yet."""
    return tmp_path / "data"


def _rows(url: str, sql: str) -> list[object]:
    name = url.rpartition("/")[2].partition("?")[0]
    return [tuple(row) for row in asyncio.run(postgresql.shared().fetch(sql, name))]


def test_an_installation_begins_on_an_empty_database(alone: Cli, url: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("not needed where everybody is trusted\n")
    (tmp_path / "password").chmod(0o600)
    made = alone("init", "--yes", "--json", "--database", url, "--database-password-file", str(tmp_path / "password"))
    assert made.code == 0, made
    assert made.json("init")["database"] == url
    database = Installation.open(alone.data).settings.database
    assert (database.url, database.password_file) == (url, str(tmp_path / "password"))
    assert not list(alone.data.rglob("*.db*"))
    assert alone("user", "add", "ada", "--no-password").code == 0
    assert alone("audit", "verify").code == 0
    assert alone("check", "--json").json("check")["ok"] is True


def test_a_database_that_holds_an_installation_is_left_alone(alone: Cli, url: str, tmp_path: Path) -> None:
    assert alone("init", "--yes", "--database", url).code == 0
    before = _rows(url, "SELECT name, value FROM installation ORDER BY name"), _rows(url, "SELECT wrapped FROM data_key")
    alone.data = tmp_path / "second"
    refused = alone("init", "--yes", "--json", "--database", url)
    assert refused.code == 1
    assert "A second node" in refused.json("error")["error"]["message"]
    assert not (alone.data / MARKER).exists()
    assert (_rows(url, "SELECT name, value FROM installation ORDER BY name"), _rows(url, "SELECT wrapped FROM data_key")) == before


def test_a_creation_that_was_cut_short_before_its_rows_is_begun_anew(alone: Cli, url: str) -> None:
    assert alone("init", "--yes", "--database", url.replace("?", "_that_is_missing?")).code == 1
    name = url.rpartition("/")[2].partition("?")[0]
    made = alone("init", "--yes", "--database", url)
    assert made.code == 0, made
    assert _rows(url, "SELECT count(*) FROM data_key") == [(2,)]
    assert name in Installation.open(alone.data).database_name


def test_the_database_of_another_program_is_left_alone(alone: Cli, url: str) -> None:
    name = url.rpartition("/")[2].partition("?")[0]
    asyncio.run(postgresql.shared().execute("CREATE TABLE theirs (x int)", name))
    refused = alone("init", "--yes", "--json", "--database", url)
    assert (refused.code, "another program" in refused.json("error")["error"]["message"]) == (1, True)
    assert _rows(url, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'") == [("theirs",)]


def test_a_password_on_the_command_line_is_refused(alone: Cli, url: str) -> None:
    given = url.replace("wardgate@", "wardgate:hunter2@")
    refused = alone("init", "--yes", "--database", given)
    assert refused.code == 2
    assert "hunter2" not in refused.out + refused.err
    assert alone("init", "--yes", "--database-password-file", "/tmp/password").code == 2
    assert not alone.data.exists()


def test_another_database_in_the_settings_is_named_without_its_password(alone: Cli, url: str) -> None:
    assert alone("init", "--yes", "--database", url).code == 0
    other = postgresql.shared().url(asyncio.run(postgresql.shared().create()))
    settings = alone.data / "wardgate.toml"
    settings.write_text(settings.read_text().replace(url, other.replace("wardgate@", "wardgate:hunter2@")))
    told = alone("user", "list")
    assert told.code == 1
    assert f"{other} holds no data keys" in told.err
    assert "hunter2" not in told.out + told.err
