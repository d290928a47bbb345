"""Which tests have the machine to themselves: whatever starts our servers or measures, and nothing that need not."""

import re
from pathlib import Path

import pytest

from tests.conftest import BESIDE, is_serial

FOLDER = Path(__file__).resolve().parent.parent / "functional"
SERVERS = re.compile(r"^from tests\.functional\.(harness|plant|ticket_place|namespaces|relay) ", re.MULTILINE)
MEASURES = re.compile(r"\b(time\.(time|monotonic|sleep)|perf_counter|process_time)\(")


@pytest.mark.parametrize("name", BESIDE)
def test_what_runs_beside_others_starts_no_server_of_ours_and_measures_nothing(name: str) -> None:
    text = (FOLDER / f"test_{name}.py").read_text(encoding="utf-8")
    assert not SERVERS.search(text)
    assert not MEASURES.search(text)


def test_everything_else_with_real_programs_runs_alone() -> None:
    assert is_serial("tests/functional/test_workers.py::test_any[name::with::colons]")
    assert is_serial("tests/hostile/test_floods.py::test_any")
    assert not is_serial("tests/functional/test_portal.py::test_any[1280-dark-tr]")
    assert not is_serial("tests/unit/test_serial_tests.py::test_any")
