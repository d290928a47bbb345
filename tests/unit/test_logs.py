"""The log: every line says whose it is, and its last processor hides what must not be read, whatever the caller thought."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from wardgate.crypto import Secret
from wardgate.logs import HIDDEN, hide_secrets, set_up_logs
from wardgate.settings import LogSettings


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


ROOT = Path(__file__).resolve().parents[2] / "src" / "wardgate"
# Every line whose event is about a login, as it stands in the source.
LOGIN_LINES = [
    ast.unparse(node)
    for path in ROOT.rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call) and re.match(r"\w*log\.\w+\('login_", ast.unparse(node))
]


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("name", ["password", "Password", "secret", "handle", "state", "bearer", "authorization", "cookie"])
def test_a_value_under_a_secret_name_never_reaches_the_log(name: str) -> None:
    assert hide_secrets(None, "info", {"event": "x", name: "hunter2"}) == {"event": "x", name: HIDDEN}


@pytest.mark.parametrize("value", [Secret("hunter2"), b"hunter2"])
def test_a_secret_or_bytes_never_reach_the_log(value: object) -> None:
    assert hide_secrets(None, "info", {"event": "x", "detail": value})["detail"] == HIDDEN


def test_a_one_time_code_is_hidden_and_an_error_code_is_not() -> None:
    assert hide_secrets(None, "info", {"code": "123456"})["code"] == HIDDEN
    assert hide_secrets(None, "info", {"code": 123456})["code"] == HIDDEN
    assert hide_secrets(None, "info", {"code": "storage_full"})["code"] == "storage_full"


def test_a_secret_inside_a_list_or_mapping_never_reaches_the_log() -> None:
    told = {"event": "x", "detail": {"password": "hunter2", "more": [Secret("hunter2"), b"hunter2", {"code": "123456"}]}}
    assert "hunter2" not in repr(hide_secrets(None, "info", told))
    assert told["detail"] == {"password": HIDDEN, "more": [HIDDEN, HIDDEN, {"code": HIDDEN}]}
    deep: Any = "harmless"
    for _ in range(100):
        deep = [deep]
    assert HIDDEN in repr(hide_secrets(None, "info", {"event": "x", "deep": deep}))


@pytest.mark.usefixtures("_logs_as_before")
def test_every_line_says_which_worker_of_which_node_wrote_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogSettings(format="json"), worker=3, node="radius-1")
    structlog.get_logger("ours").warning("login_not_stored", reference="7K3M9QXT", error="the disk is full")
    logging.getLogger("a.library").warning("odd %s", "thing")
    try:
        raise ValueError("of a library")
    except ValueError:
        logging.getLogger("a.library").exception("it broke")
    ours, theirs, broke = lines(capsys)
    for line in (ours, theirs, broke):
        assert (line["worker"], line["node"]) == (3, "radius-1")
        assert line["timestamp"].endswith("Z")
    assert ours["event"] == "login_not_stored"
    assert (ours["reference"], ours["level"]) == ("7K3M9QXT", "warning")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("odd thing", "a.library", "warning")
    assert "ValueError: of a library" in broke["exception"]


@pytest.mark.usefixtures("_logs_as_before")
def test_a_level_or_form_that_was_changed_holds_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger("ours")
    set_up_logs(LogSettings(level="error", format="json"))
    log.info("not_told")
    set_up_logs(LogSettings(level="info", format="json"))
    log.info("told")
    (line,) = lines(capsys)
    assert line["event"] == "told"
    assert "worker" not in line
    set_up_logs(LogSettings(level="info", format="text"), worker=0)
    log.info("for_people")
    assert "for_people" in capsys.readouterr().err


@pytest.mark.usefixtures("_logs_as_before")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_leaves_whole_so_that_two_processes_never_mix_theirs(
    monkeypatch: pytest.MonkeyPatch, form: Literal["text", "json"]
) -> None:
    class Pieces(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[str] = []

        def write(self, text: str) -> int:
            self.written.append(text)
            return len(text)

    pieces = Pieces()
    monkeypatch.setattr("sys.stderr", pieces)
    set_up_logs(LogSettings(level="info", format=form), worker=1)
    structlog.get_logger().error("database_takes_no_writes")
    logging.getLogger("a.library").error("something")
    assert len(pieces.written) == 2
    assert all(piece.count("\n") == 1 and piece.endswith("\n") for piece in pieces.written)


def test_a_line_about_a_login_names_its_reference() -> None:
    """Whoever reads `login_failed` goes on with `wardgate trace REFERENCE`."""
    assert len(LOGIN_LINES) >= 3
    for call in LOGIN_LINES:
        assert "reference=" in call, call


def test_what_strangers_send_writes_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """uvicorn warns of each request that cannot be parsed or asks for WebSockets: one connection would fill the disk."""
    set_up_logs(LogSettings(level="debug", format="text"))
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("a fault of ours")
    assert capsys.readouterr().err.count("\n") == 1
