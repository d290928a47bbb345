"""Status-Server and readiness tell the truth about a server whose database or directory fails."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.hostile.inside import DOCUMENT, Nas, a_server
from wardgate import worker
from wardgate.errors import StorageUnavailable
from wardgate.radius import server as radius_server
from wardgate.radius.packet import Code
from wardgate.storage.port import Find, Row
from wardgate.storage.sqlite import SqliteStorage


class Disk:
    """The disk under a server, which a test can fill."""

    def __init__(self, storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        commit = storage._writer.commit

        def commit_or_fail() -> float | None:
            if self.full:
                storage._writer._rollback()
                raise StorageUnavailable("the disk is full", "storage_full")
            return commit()

        monkeypatch.setattr(storage._writer, "commit", commit_or_fail)


async def test_status_server_is_not_answered_while_the_database_takes_no_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STORAGE_ASKED_EVERY_S", 0.05)
    async with a_server(tmp_path / "data") as (server, opened, port, _), asyncio.timeout(20):
        nas = Nas(port)
        assert isinstance(opened.storage, SqliteStorage)
        disk = Disk(opened.storage, monkeypatch)
        assert await nas.is_answered(5)
        disk.full = True
        refused = await nas.log_in()
        assert refused is not None
        assert refused.code is Code.ACCESS_REJECT
        assert not await nas.is_answered(), "a NAS that asks would send its logins here instead of to the next server"
        assert server.problems()
        disk.full = False
        # Without any login that could find out: the NAS sends none until it hears from us.
        async with asyncio.timeout(5):
            while not await nas.is_answered(0.1):
                pass
        assert not server.problems()


async def test_status_server_is_not_answered_while_a_damaged_database_lets_no_login_be_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radius_server, "UNDECIDED_SILENCE_S", 1.0)
    damaged = True
    async with a_server(tmp_path / "data") as (server, opened, port, _), asyncio.timeout(20):
        read = opened.storage.read

        async def damaged_read(finds: Sequence[Find]) -> list[list[Row]]:
            if damaged and any(each.table == "local_user" for each in finds):
                raise StorageUnavailable("the database failed: SQLITE_CORRUPT")
            return await read(finds)

        monkeypatch.setattr(opened.storage, "read", damaged_read)
        with Nas(port) as nas:
            for number in range(radius_server.UNDECIDED_LOGINS):
                assert await nas.is_answered(5), number
                refused = await nas.log_in()
                assert refused is not None
                assert refused.code is Code.ACCESS_REJECT
            assert not await nas.is_answered()
            assert server.problems()
            # It is asked again after a while, because a NAS that hears nothing sends no login that could find out.
            async with asyncio.timeout(5):
                while not await nas.is_answered(0.1):
                    pass
            assert await nas.log_in() is not None
            assert not await nas.is_answered(), "one more is enough, after so many"
            damaged = False
            async with asyncio.timeout(5):
                while not await nas.is_answered(0.1):
                    pass
            assert await nas.log_in() is not None
            assert not server.problems()


DOWN = """
directories:
  - {name: acme, kind: openldap, servers: ["ldaps://127.0.0.1:PORT"], base: "dc=acme,dc=test", ca_file: /nonexistent/ca.pem,
     bind: {dn: "cn=svc,dc=acme,dc=test", password: {file: /nonexistent/password}}, timeouts: {connect_s: 1, operation_s: 1}}
"""


@pytest.mark.parametrize("beside", ["", "  - {name: local, kind: local}\n"], ids=["alone", "beside another"])
async def test_a_directory_that_is_down_keeps_nobody_elses_users_out(tmp_path: Path, beside: str) -> None:
    """Neither by a silent Status-Server nor by a readiness that fails: a NAS would leave this server for all logins."""
    realms = "realms: [{name: default, default: true, directories: [acme], reply_floor_ms: 0}"
    realms += ", {name: other, directories: [local]}]\n" if beside else "]\n"
    document = realms + DOWN.replace("PORT", "1") + beside + DOCUMENT[DOCUMENT.index("nas:") :]
    async with a_server(tmp_path / "data", document) as (server, _, port, _), asyncio.timeout(20):
        with Nas(port) as nas:
            for _ in range(radius_server.UNDECIDED_LOGINS + 1):
                refused = await nas.log_in()
                assert refused is not None
                assert refused.code is Code.ACCESS_REJECT
            assert bool(await nas.is_answered(5 if beside else 0.5)) is bool(beside)
            assert bool(server.problems()) is not bool(beside)
