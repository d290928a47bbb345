"""The PostgreSQL servers of the tests end with the process that started them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.neighbour("postgresql")
PATIENCE_S = 60.0
PROGRAM = """
import json, sys
from tests import postgresql
shared = postgresql.shared()
print(json.dumps({"pid": shared.pid, "directory": str(shared.directory)}), flush=True)
sys.stdin.read()
"""


def _lives(pid: int) -> bool:
    try:
        # What has ended may wait for a long time until somebody asks how.
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_test_run_that_is_killed_leaves_no_server_and_no_data(how: signal.Signals) -> None:
    run = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert run.stdout is not None
    told = json.loads(run.stdout.readline())
    assert _lives(told["pid"])
    run.send_signal(how)
    run.communicate(timeout=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while _lives(told["pid"]) or Path(told["directory"]).exists():
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
