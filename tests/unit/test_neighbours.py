"""A missing neighbour skips with its reason, and fails where neighbours are required: whole pytest runs on small trees."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import neighbours
from tests.neighbours import Neighbour

pytest_plugins = ["pytester"]

REAL = dict(neighbours.NEIGHBOURS)
ROOT = Path(__file__).resolve().parent.parent.parent
OPTIONS = "-ra --strict-markers --import-mode=importlib -p tests.conftest -p no:cacheprovider"
INI = f"[pytest]\naddopts = {OPTIONS}\nasyncio_default_fixture_loop_scope = function\nmarkers =\n  neighbour(name)\n"
GHOST = Neighbour("ghost", "haunts", ("libghost",), (("wardgate-no-such-program",),))
SHELL = Neighbour("shell", "is always there", ("dash",), (("sh",),))
STRICT: list[dict[str, str]] = [{"CI": "true"}, {neighbours.REQUIRE: "1"}]


# text of a test file, environment -> exit code, output
Run = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """One neighbour that no machine has and one that all have; and neither CI nor `./test --install` around us."""
    monkeypatch.setattr(neighbours, "NEIGHBOURS", {"ghost": GHOST, "shell": SHELL})
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv(neighbours.REQUIRE, raising=False)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest with our conftest on one file, in this process."""
    pytester.makefile(".ini", pytest=INI)

    def run_file(text: str, **environment: str) -> tuple[int, str]:
        pytester.makepyfile(test_it=f"import pytest\n{text}")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        result = pytester.runpytest_inprocess()
        return int(result.ret), str(result.stdout)

    return run_file


HAUNTED = "@pytest.mark.neighbour('ghost')\ndef test_haunted():\n    raise SystemExit('must not run')\n"


class TestMissing:
    def test_skips_with_the_reason_and_the_cure(self, run: Run) -> None:
        code, output = run(HAUNTED)
        assert code == 0
        assert "1 skipped" in output
        assert "no wardgate-no-such-program here (haunts); on Debian: apt-get install libghost" in output

    @pytest.mark.parametrize("environment", STRICT)
    def test_fails_where_neighbours_are_required(self, run: Run, environment: dict[str, str]) -> None:
        code, output = run(HAUNTED, **environment)
        assert code == 1
        assert "a neighbour is required and missing: no wardgate-no-such-program" in output
        assert "skipped" not in output

    def test_a_mark_on_the_whole_file_counts(self, run: Run) -> None:
        code, _ = run("pytestmark = pytest.mark.neighbour('ghost')\ndef test_haunted():\n    pass\n", CI="true")
        assert code == 1

    def test_fixtures_are_not_set_up(self, run: Run) -> None:
        fixture = "@pytest.fixture\ndef server():\n    raise SystemExit('must not run')\n"
        code, output = run(fixture + "@pytest.mark.neighbour('ghost')\ndef test_haunted(server):\n    pass\n")
        assert code == 0
        assert "1 skipped" in output

    def test_an_unknown_name_fails_everywhere(self, run: Run) -> None:
        code, output = run("@pytest.mark.neighbour('typo')\ndef test_it():\n    pass\n")
        assert code == 1
        assert "knows no neighbour 'typo'" in output


class TestPresent:
    @pytest.mark.parametrize("environment", [{}, *STRICT])
    def test_runs(self, run: Run, environment: dict[str, str]) -> None:
        code, output = run("@pytest.mark.neighbour('shell')\ndef test_it():\n    pass\n", **environment)
        assert code == 0
        assert "1 passed" in output


class TestSkippingByHand:
    """The way around the mark: a test, or a whole file, that skips itself."""

    def test_of_a_marked_test_is_allowed_at_home_and_fails_where_required(self, run: Run) -> None:
        text = "@pytest.mark.neighbour('shell')\ndef test_it():\n    pytest.skip('not today')\n"
        assert run(text)[0] == 0
        code, output = run(text, CI="true")
        assert code == 1
        assert "skipped where its neighbour is required" in output

    def test_of_a_whole_file_is_allowed_at_home_and_fails_where_required(self, run: Run) -> None:
        text = "pytest.skip('no radclient', allow_module_level=True)\n"
        assert run(text)[0] == pytest.ExitCode.NO_TESTS_COLLECTED
        code, output = run(text, CI="true")
        assert code == pytest.ExitCode.INTERRUPTED
        assert "test_it.py skipped itself where neighbours are required" in output

    def test_of_a_test_without_a_neighbour_stays_a_skip(self, run: Run) -> None:
        code, output = run("def test_it():\n    pytest.skip('needs macOS')\n", CI="true")
        assert code == 0
        assert "1 skipped" in output


NOTING = """
import os, pathlib, pytest

@pytest.mark.parametrize("n", range(4))
def test_it(n):
    with open(pathlib.Path(__file__).parents[2] / "order", "a") as order:
        order.write(f"{pathlib.Path(__file__).parent.name} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""


def test_functional_and_hostile_tests_share_one_worker_and_come_last(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makefile(".ini", pytest=INI)
    for place in ("functional/test_a", "functional/test_b", "hostile/test_c", "unit/test_d", "vectors/test_e", "vectors/test_f"):
        file = pytester.path / f"tests/{place}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(NOTING)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = pytester.runpytest_subprocess("-n", "2", timeout=120)
    result.assert_outcomes(passed=24)
    ran = [line.split() for line in (pytester.path / "order").read_text().splitlines()]
    serial = [(folder, worker) for folder, worker in ran if folder in {"functional", "hostile"}]
    assert [folder for folder, _ in serial] == ["functional"] * 8 + ["hostile"] * 4
    assert len({worker for _, worker in serial}) == 1
    # That worker first did whole files of the others, and nothing after the serial ones.
    folders = [folder for folder, worker in ran if worker == serial[0][1]]
    assert len(folders) > len(serial)
    assert folders[-len(serial) :] == [folder for folder, _ in serial]


class TestTable:
    @pytest.mark.parametrize(("name", "neighbour"), REAL.items())
    def test_every_neighbour_says_how_to_recognise_and_install_it(self, name: str, neighbour: Neighbour) -> None:
        assert neighbour.name == name
        assert neighbour.programs or neighbour.files
        assert neighbour.packages
        assert neighbour.purpose

    def test_a_missing_file_counts_as_missing(self) -> None:
        half = Neighbour("half", "is half there", ("half",), (("sh",),), ("/nowhere/*/half.so",))
        assert neighbours.why_missing(half) == "no half.so here (is half there); on Debian: apt-get install half"

    def test_any_of_a_choice_of_names_will_do(self) -> None:
        assert neighbours.why_missing(Neighbour("n", "", (), (("wardgate-no-such-program", "sh"),))) is None

    def test_a_daemon_outside_the_path_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        daemon = tmp_path / "daemon"
        daemon.write_text("#!/bin/sh\n")
        daemon.chmod(0o755)
        monkeypatch.setattr(neighbours, "DAEMON_PLACES", (str(tmp_path),))
        monkeypatch.setenv("PATH", "")
        assert neighbours.why_missing(Neighbour("n", "", (), (("daemon",),))) is None

    def test_missing_packages_are_those_of_missing_neighbours_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        absent = Neighbour("absent", "", ("b", "a"), (("wardgate-no-such-program",),))
        present = Neighbour("present", "", ("c",), (("sh",),))
        monkeypatch.setattr(neighbours, "NEIGHBOURS", {"absent": absent, "present": present})
        assert neighbours.missing_packages() == ["a", "b"]

    @pytest.mark.parametrize(
        ("environment", "required"),
        [
            ({}, False),
            ({"CI": "true"}, True),
            ({"CI": "1"}, True),
            ({"CI": "false"}, False),
            ({"CI": ""}, False),
            ({neighbours.REQUIRE: "1"}, True),
        ],
    )
    def test_required_in_ci_and_under_install(self, environment: dict[str, str], required: bool) -> None:
        assert neighbours.required(environment) is required

    def test_executable_names_the_program_or_says_what_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = {
            "shell": Neighbour("shell", "", (), (("sh",),)),
            "ghost": Neighbour("ghost", "haunts", ("g",), (("wardgate-no-such-program",),)),
        }
        monkeypatch.setattr(neighbours, "NEIGHBOURS", table)
        assert neighbours.executable("shell").endswith("/sh")
        with pytest.raises(LookupError, match="haunts"):
            neighbours.executable("ghost")
