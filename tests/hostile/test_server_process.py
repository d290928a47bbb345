"""The process itself: what it leaves behind when it crashes, and whom idle connections could keep from a file descriptor."""

import sys
from pathlib import Path

import pytest

from tests.functional.harness import Served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def limits_of(served: Served, name: str) -> set[tuple[str, str]]:
    """Soft and hard limit, as each of its processes has it."""
    found = set()
    for pid in served.pids:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        soft, hard = next(line for line in lines if line.startswith(name)).removeprefix(name).split()[:2]
        found.add((soft, hard))
    return found


def test_no_core_dump_holds_the_keys(stronghold: Served) -> None:
    assert limits_of(stronghold, "Max core file size") == {("0", "0")}


def test_a_thousand_idle_connections_leave_descriptors_for_gateways_and_commands(stronghold: Served) -> None:
    ((soft, hard),) = limits_of(stronghold, "Max open files")
    assert int(soft) >= min(int(hard), 65_536)
