"""Risk in a server: built with the configuration, kept while it does not change, its files looked at now and then."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.flows.world import START, a_ring
from tests.mmdb import write_mmdb
from wardgate import worker
from wardgate.clock import FixedClock
from wardgate.config.document import Document, parse
from wardgate.passwords import PasswordHasher
from wardgate.risk.assessing import Assessor
from wardgate.risk.networks import parse_address
from wardgate.risk.settings import RiskSettings
from wardgate.runtime import Builder
from wardgate.storage.memory import MemoryStorage


def builder() -> Builder:
    ring = a_ring()
    return Builder(MemoryStorage(), lambda: ring, FixedClock(START), PasswordHasher(1, 4, time_cost=1, memory_kib=8))


def document(**risk: Any) -> Document:
    realm = {"name": "acme", "default": True, "directories": ["staff"]}
    return parse({"realms": [realm], "directories": [{"name": "staff", "kind": "local"}], "risk": risk})


def test_nothing_is_built_unless_scores_or_countries_are_configured(tmp_path: Path) -> None:
    made = builder()
    assert made.build(1, document()).engine.risk is None
    assert made.build(2, document(points={"new_address": 1})).engine.risk is None
    assert made.build(3, document(enabled=True)).engine.risk is not None
    assert made.build(4, document(country_file=str(tmp_path / "none"))).engine.risk is not None


def test_what_its_files_said_is_kept_while_its_settings_are_the_same(tmp_path: Path) -> None:
    file, made = tmp_path / "country.mmdb", builder()
    write_mmdb(file, {"203.0.113.0/24": "TR"})
    first = made.build(1, document(country_file=str(file))).engine.risk
    assert first is not None
    write_mmdb(file, {"203.0.113.0/24": "DE", "2001:db8::/32": "DE"})
    assert made.build(2, document(country_file=str(file))).engine.risk is first
    assert first.country(parse_address("203.0.113.7")) == "tr"
    assert made.build(2, document(country_file=str(file)), fresh=True).engine.risk is first
    assert first.country(parse_address("203.0.113.7")) == "de"
    file.unlink()
    assert made.build(3, document(country_file=str(file)), fresh=True).engine.risk is first
    assert first.country(parse_address("203.0.113.7")) == "de"
    changed = made.build(4, document(country_file=str(file), enabled=True)).engine.risk
    assert changed is not first
    assert changed is not None
    assert changed.country(parse_address("203.0.113.7")) == ""


async def test_files_are_looked_at_now_and_then_and_not_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, looked, threads = asyncio.get_running_loop(), asyncio.Event(), list[int]()

    class Noting(Assessor):
        def refresh(self) -> None:
            threads.append(threading.get_ident())
            loop.call_soon_threadsafe(looked.set)

    assessor = Noting(RiskSettings(enabled=True))
    looked.clear()
    threads.clear()
    monkeypatch.setattr(worker, "FILES_ASKED_EVERY_S", 0.001)
    one = SimpleNamespace(_now=lambda: SimpleNamespace(engine=SimpleNamespace(risk=assessor)))
    task = asyncio.create_task(worker.Worker._look_at_files(cast(worker.Worker, one)))
    try:
        async with asyncio.timeout(30):
            await looked.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert threading.get_ident() not in threads
