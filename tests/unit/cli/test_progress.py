"""Progress on a terminal."""

import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from wardgate.cli.performing import perform
from wardgate.cli.progress import counting


class Terminal(io.StringIO):
    """Standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called by the test itself: pytest puts its own standard error in place after the fixtures have run."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return shown


def test_without_a_total_only_what_is_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = a_terminal(monkeypatch)
    with counting("copying") as advance:
        advance(11858, "local_user")
    assert "copying local_user" in shown.getvalue()
    assert "11,858" in shown.getvalue()
    assert "?" not in shown.getvalue().replace("\x1b[?", "")


def test_with_a_total_in_bytes_both_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = a_terminal(monkeypatch)
    with counting("reading", 2_000_000) as advance:
        advance(1_000_000, "")
    assert "1.0/2.0 MB" in shown.getvalue()


def test_nothing_is_drawn_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("copying") as advance:
        advance(1, "row")
    assert capsys.readouterr().err == ""


def test_whoever_has_read_enough_is_no_fault_of_the_database(data: Path) -> None:
    def gone(_: Mapping[str, object]) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        perform(data, "directory.examine", {"name": "local", "scratch": None, "scratch_password": None}, gone)
