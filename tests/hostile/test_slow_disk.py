"""A disk on which each sync takes 3 ms longer: logins share their syncs and go on, and the loops stay free."""

import re
import time
from pathlib import Path

import pytest

from tests.functional.harness import (
    SECRET,
    Served,
    Wire,
    csv_of,
    ended,
    enrol_devices,
    make_installation,
    serve,
    wait_for,
)
from tests.hostile.load import Verdict, device_users, load
from tests.hostile.machine import slow_syncs
from wardgate.radius.client import build_status_server

pytestmark = pytest.mark.neighbour("cc")

NAS = "127.0.7.1"
SESSIONS = 64
LOAD_S = 4.0
SYNC_MS = 3.0
# Far above what it takes, far below the patience of a NAS, and more than a busy machine adds.
SLOWEST_LOGIN_S = 4.0
SLOWEST_STATUS_S = 1.0
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local, verified_cache_s: 600}}]
nas: [{{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn}}]
applications: [{{name: vpn}}]
"""


def written(served: Served) -> tuple[float, float]:
    """How many units have been written, and in how many durable transactions."""
    with served.web() as web:
        text = web.get("/metrics").text
    units, commits = (
        sum(float(value) for value in re.findall(rf"^wardgate_storage_batch_units_{name}{{.*}} (\S+)$", text, re.MULTILINE))
        for name in ("sum", "count")
    )
    return units, commits


@pytest.mark.parametrize("workers", ["1", "2"])
def test_with_a_slow_disk_logins_share_their_syncs(tmp_path: Path, workers: str) -> None:
    persons = device_users("ada", SESSIONS)
    data = tmp_path / "data"
    make_installation(data, DOCUMENT, csv_of(persons))
    enrol_devices(data, *persons)
    with ended(serve(data, (), "--workers", workers, **slow_syncs(tmp_path, SYNC_MS))) as served:
        with Wire(served, source=NAS) as wire, load(served, persons, NAS) as running:
            wait_for(lambda: all(session.accepted for session in running.sessions), 60)
            before, began, slowest_status = written(served), time.monotonic(), 0.0
            while time.monotonic() < began + LOAD_S:
                asked = time.monotonic()
                assert not wire.silent(build_status_server(wire.secret, identifier=wire.next_identifier()), SLOWEST_STATUS_S)
                slowest_status = max(slowest_status, time.monotonic() - asked)
                running.stop.wait(0.1)
            took_s = time.monotonic() - began
            units, commits = (now - then for now, then in zip(written(served), before, strict=True))
        tries = [each for each in running.since(began) if each.verdict is not Verdict.SILENCE]
        slowest = max(each.took_s for each in tries)
        logins = running.accepted_since(began) / took_s
        print(
            f"\n{workers} workers: {logins:.0f} logins/s, {units / took_s:.0f} units in {commits / took_s:.0f} commits/s, "
            f"slowest request {slowest * 1000:.0f} ms, slowest Status-Server {slowest_status * 1000:.0f} ms"
        )
        assert {each.verdict for each in tries} == {Verdict.CHALLENGED, Verdict.ACCEPTED}
        assert commits * SYNC_MS / 1000 <= took_s * 1.1
        assert units > 3 * commits
        assert slowest < SLOWEST_LOGIN_S
        served.stop()
