"""The benchmarks run from the repository alone, and notice when logins fail."""

import json
import subprocess
import sys

import pytest

from tests.functional.harness import ROOT, environment


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one as the README says."""
    command = [sys.executable, "-m", f"bench.{name}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(), check=False)


@pytest.mark.parametrize("name", ["radius", "timing"])
def test_help_says_what_is_measured(name: str) -> None:
    shown = bench(name, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--json" in shown.stdout


def test_logins_are_measured_beside_the_limits_of_the_machine() -> None:
    done = bench("radius", "--quick", "--json", "--no-peer", "--users", "150", "--seconds", "0.2", "--sessions", "1,8")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sound"]
    assert {(row["server"], row["sessions"]) for row in told["results"]} == {
        (server, sessions) for server in ("wardgate, password cache", "wardgate, Argon2id") for sessions in (1, 8)
    }
    for row in told["results"]:
        assert row["logins_per_s"] > 0
        assert row["cpu_us"] > 0
        assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert told["limits"]["argon2id_per_s"] > 0
    assert told["ratios"]
