"""What the terminal shows of names and texts that came from outside."""

import sys

import pytest

from wardgate.cli import output
from wardgate.cli.config import _show_diff
from wardgate.cli.trace import _show


def an_entry(**changes: object) -> dict[str, object]:
    entry = {
        "reference": "7H2K9QXA",
        "at": "2026-11-21T09:00:00+00:00",
        "door": "radius",
        "result": "denied",
        "took_ms": 300.0,
        "user": "ada",
        "steps": [],
        "why": "The password was wrong.",
        "text": "",
    }
    return {**entry, **changes}


def test_a_user_name_with_line_ends_writes_no_lines_of_its_own_into_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "ada\n  why          She was let in.\r\n\x1b[2J\u202e"
    step = {"at_ms": 1.0, "what": "what the NAS tells", "detail": {"hostname": "pc\n  told         Welcome"}}
    _show({"entries": [an_entry(user=forged, steps=[step])]})
    lines = capsys.readouterr().out.split("\n")
    assert [line for line in lines if line.startswith("  why")] == ["  why          The password was wrong."]
    assert not [line for line in lines if line.startswith("  told")]
    assert "\x1b" not in "".join(lines)


def test_a_cell_of_a_table_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name", "state"], [["ada\nbob  active", "locked"]])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_an_export_in_a_pipe_is_the_document_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    text = "applications:\n- {name: vpn, title: Acme\u00a0VPN \U0001f469\u200d\U0001f4bb}\n"
    output.hand_over(text)
    assert capsys.readouterr().out == text


def test_an_export_on_a_terminal_does_not_drive_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.hand_over("title: \u202e\x1b[2J\nname: vpn\n")
    assert capsys.readouterr().out == "title: \\x202e\\x1b[2J\nname: vpn\n"


def test_a_difference_of_several_lines_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    unified = "--- version 1\n+++ the file\n-a: 1\n+a: 2"
    _show_diff({"version": 1, "added": [], "changed": [], "removed": [], "unified": unified, "impact": None})
    assert capsys.readouterr().out == unified + "\n"


def test_an_error_of_several_lines_keeps_them(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("the document has 2 faults:\nnas[0]: one\nnas[1]: two")
    assert len(capsys.readouterr().err.splitlines()) == 3
