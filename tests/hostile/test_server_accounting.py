"""Accounting must not stand in the way of logins."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.hostile.inside import Nas, a_server
from wardgate.radius import server as radius_server
from wardgate.radius.packet import Code
from wardgate.storage.port import Commit, Insert, Operation


async def test_accounting_that_waits_for_a_slow_disk_takes_no_place_of_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radius_server, "MAX_IN_WORK", 8)
    monkeypatch.setattr(radius_server, "MAX_ACCOUNTING_IN_WORK", 4)
    waiting, disk_is_back = 0, asyncio.Event()
    async with a_server(tmp_path / "data") as (_, opened, port, accounting_port), asyncio.timeout(20):
        commit = opened.storage.commit

        async def slow_for_accounting(operations: Sequence[Operation]) -> Commit:
            nonlocal waiting
            if any(isinstance(each, Insert) and each.table == "accounting" for each in operations):
                waiting += 1
                await disk_is_back.wait()
            return await commit(operations)

        monkeypatch.setattr(opened.storage, "commit", slow_for_accounting)
        with Nas(port) as logins, Nas(accounting_port) as accounting:
            for identifier in range(64):
                accounting.send(accounting.accounting(identifier))
            while waiting < 4:
                await asyncio.sleep(0.01)
            reply = await logins.log_in(chap=True)
            assert reply is not None, "a login was dropped as if there were too many of them"
            assert reply.code is Code.ACCESS_REJECT
            assert waiting == 4, "accounting that waits is bounded as well"
            disk_is_back.set()
            while await opened.storage.count("accounting") < 4:
                await asyncio.sleep(0.01)
            # What was dropped is not remembered as in work: sent again, it is stored and answered.
            assert await accounting.ask(accounting.accounting(63)) is not None
            assert await opened.storage.count("accounting") == 5
