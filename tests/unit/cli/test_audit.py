"""`wardgate audit`: exporting with a cursor and following, and verifying a file without the server."""

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wardgate.cli import audit_export
from wardgate.cli.audit_file import bounded_lines
from wardgate.cli.performing import perform

from .conftest import Cli, Server
from .schemas import validate

DEADLINE_S = 60


def written_lines(path: Path) -> list[dict[str, Any]]:
    values = [json.loads(line) for line in path.read_text().splitlines()]
    for value in values:
        validate(value, "audit-export-line")
    return values


def events_of(path: Path) -> list[int]:
    """The numbers of the events in a file, of the one chain that there is."""
    return [value["seq"] for value in written_lines(path) if value["type"] == "event"]


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- verify ------------------------------------------------------------------------------------------------------------


def test_an_export_is_verified_with_the_key_that_was_noted(cli: Cli, tmp_path: Path) -> None:
    exported, pem = tmp_path / "audit.jsonl", tmp_path / "audit.pem"
    key = cli("audit", "key")
    assert key.code == 0
    pem.write_text(key.out)
    fingerprint = cli("audit", "key", "--json").json("audit-key")["fingerprint"]
    cli("user", "add", "ada", "--no-password")
    assert cli("audit", "export", "--output", str(exported)).code == 0
    verified = cli("audit", "verify", str(exported), "--public-key", str(pem), "--json")
    told = verified.json("audit-verify")
    assert (verified.code, told["findings"], told["public_key"], told["public_key_from"]) == (0, [], fingerprint, "given")
    [chain] = told["chains"]
    assert (chain["first"], chain["unproven"], chain["proven"]) == (1, 0, chain["last"])
    assert cli("audit", "verify", "-", "--public-key", str(pem), stdin=exported.read_text()).code == 0
    shown = cli("audit", "verify", str(exported))
    assert shown.code == 0
    assert "whoever could write the file could sign it" in shown.out
    assert cli("audit", "verify", str(exported), "--with-keys").code == 0


def test_a_changed_export_is_a_finding_in_plain_words(cli: Cli, tmp_path: Path) -> None:
    exported = tmp_path / "audit.jsonl"
    cli("user", "add", "ada", "--no-password")
    cli("audit", "export", "--output", str(exported))
    lines = exported.read_text().splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if "directory:user:added" in line)
    lines[at] = lines[at].replace("directory:user:added", "directory:user:removed")
    exported.write_text("".join(lines))
    verified = cli("audit", "verify", str(exported), "--with-keys", "--json")
    found = verified.json("audit-verify")
    assert (verified.code, found["findings_count"]) == (1, 2)
    assert "is not as it was when its own signed head was made" in found["findings"][0]["problem"]
    assert found["findings"][1]["problem"] == "the event or one before it was changed"
    assert (
        f"server:1 event {json.loads(lines[at])['seq']}: the event or one before it was changed"
        in cli("audit", "verify", str(exported), "--with-keys").out
    )


def test_a_cut_export_is_found_with_an_earlier_one(cli: Cli, tmp_path: Path) -> None:
    kept, cut = tmp_path / "kept.jsonl", tmp_path / "cut.jsonl"
    cli("user", "add", "ada", "--no-password")
    cli("audit", "export", "--output", str(kept))
    lines = kept.read_text().splitlines(keepends=True)
    head = next(line for line in lines if '"type":"head"' in line)
    cut.write_text("".join(lines[: lines.index(head) - 1]) + head)
    kept.write_text(lines[0] + head)
    verified = cli("audit", "verify", str(cut), "--heads", str(kept), "--json")
    assert (verified.code, verified.json("audit-verify")["public_key_from"]) == (1, "heads")
    assert "cut off" in verified.json()["findings"][0]["problem"]


def test_the_database_is_verified_with_its_signed_heads(cli: Cli, tmp_path: Path) -> None:
    cli("audit", "export")
    verified = cli("audit", "verify", "--json").json("audit-verify")
    assert (verified["signed_heads"], verified["findings"], verified["public_key_from"]) == (1, [], "installation")


def test_newest_events_removed_from_the_database_are_missed_by_its_heads(alone: Cli) -> None:
    import sqlite3

    alone("user", "add", "ada", "--no-password")
    alone("audit", "export")
    with sqlite3.connect(alone.data / "wardgate.db") as database:
        database.execute("DELETE FROM audit_event WHERE seq = (SELECT max(seq) FROM audit_event)")
    database.close()
    verified = alone("audit", "verify", "--json")
    assert verified.code == 1
    assert "cut off" in verified.json("audit-verify")["findings"][0]["problem"]


def test_what_cannot_be_verified_is_refused(alone: Cli, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense\n")
    assert alone("audit", "verify", str(tmp_path / "nothing")).code == 2
    assert alone("audit", "verify", "--partial").code == 2
    assert alone("audit", "verify", str(nonsense), "--public-key", str(nonsense)).code == 2
    assert alone("audit", "verify", str(nonsense), "--heads", str(nonsense)).code == 2
    assert alone("audit", "verify", str(nonsense), "--head", "x:1:99999999999999999999:00").code == 2
    told = alone("audit", "verify", str(nonsense), "--json")
    assert (told.code, told.json("audit-verify")["public_key_from"]) == (1, "none")


def test_a_line_without_end_is_read_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * 3_000_000 + b"\nshort\n")
    with path.open("rb") as stream:
        lengths = [len(line) for line in bounded_lines(stream)]
    assert lengths == [256 * 1024, 6]


# --- export ------------------------------------------------------------------------------------------------------------


def test_a_cursor_goes_on_where_the_last_run_stopped(cli: Cli, tmp_path: Path) -> None:
    output, cursor = tmp_path / "audit.jsonl", tmp_path / "cursor"
    arguments = ("audit", "export", "--output", str(output), "--cursor", str(cursor))
    for name in ("ada", "bob", "cem"):
        cli("user", "add", name, "--no-password")
        assert cli(*arguments).code == 0
    assert cli(*arguments).code == 0
    assert events_of(output) == list(range(1, len(events_of(output)) + 1))
    assert [value["type"] for value in written_lines(output)].count("export") == 1
    verified = cli("audit", "verify", str(output), "--json").json("audit-verify")
    assert (verified["findings"], verified["chains"][0]["unproven"]) == ([], 0)


def test_what_was_written_after_the_cursor_is_written_once(cli: Cli, tmp_path: Path) -> None:
    """A collector that was killed between a page and its cursor."""
    output, cursor = tmp_path / "audit.jsonl", tmp_path / "cursor"
    arguments = ("audit", "export", "--output", str(output), "--cursor", str(cursor))
    cli(*arguments)
    kept = cursor.read_bytes()
    cli("user", "add", "ada", "--no-password")
    cli(*arguments)
    whole = output.read_text()
    cursor.write_bytes(kept)
    output.write_text(whole[:-30])
    assert cli(*arguments).code == 0
    assert output.read_text() == whole


def test_a_collector_that_was_killed_before_its_first_page_begins_anew(alone: Cli, tmp_path: Path) -> None:
    output, cursor = tmp_path / "audit.jsonl", tmp_path / "cursor"
    arguments = ("audit", "export", "--output", str(output), "--cursor", str(cursor))
    alone(*arguments)
    whole = output.read_text()
    plain = json.loads(cursor.read_text())
    cursor.write_text(json.dumps({**plain, "positions": None, "output": {**plain["output"], "size": 0}}))
    output.write_text(whole[:200])
    assert alone(*arguments).code == 0
    assert output.read_text() == whole


def test_a_rotated_file_begins_anew_and_joins_the_one_before(cli: Cli, tmp_path: Path) -> None:
    output, cursor, older = tmp_path / "audit.jsonl", tmp_path / "cursor", tmp_path / "audit.1"
    arguments = ("audit", "export", "--output", str(output), "--cursor", str(cursor))
    cli(*arguments)
    output.rename(older)
    cli("user", "add", "ada", "--no-password")
    cli(*arguments)
    assert written_lines(output)[0]["type"] == "export"
    joined = older.read_text() + output.read_text()
    assert cli("audit", "verify", "-", stdin=joined).code == 0
    assert cli("audit", "verify", str(output), "--partial").code == 0
    assert cli("audit", "verify", str(output)).code == 1


def test_others_on_the_machine_cannot_read_an_export(alone: Cli, tmp_path: Path) -> None:
    output = tmp_path / "audit.jsonl"
    before = os.umask(0o022)
    try:
        assert alone("audit", "export", "--output", str(output)).code == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_an_export_does_not_write_into_what_is_there(alone: Cli, tmp_path: Path) -> None:
    output, cursor = tmp_path / "audit.jsonl", tmp_path / "cursor"
    output.write_text("something\n")
    assert alone("audit", "export", "--output", str(output)).code == 2
    assert alone("audit", "export", "--output", str(output), "--cursor", str(cursor)).code == 2
    assert output.read_text() == "something\n"


def test_a_cursor_of_another_installation_or_none_is_refused(alone: Cli, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    assert alone("audit", "export", "--cursor", str(cursor)).code == 0
    plain = json.loads(cursor.read_text())
    for text in ("", "[]", "{}", json.dumps({**plain, "format": 2}), json.dumps({**plain, "positions": [1]})):
        cursor.write_text(text)
        assert alone("audit", "export", "--cursor", str(cursor)).code == 2, text
    cursor.write_text(json.dumps({**plain, "installation": "another"}))
    refused = alone("audit", "export", "--cursor", str(cursor))
    assert (refused.code, "another installation" in refused.err) == (2, True)


def test_two_exports_do_not_share_a_cursor(alone: Cli, tmp_path: Path) -> None:
    import fcntl

    cursor = tmp_path / "cursor"
    with (tmp_path / "cursor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert alone("audit", "export", "--cursor", str(cursor)).code == 4
    assert alone("audit", "export", "--cursor", str(cursor)).code == 0


def test_an_export_begins_at_a_number_or_a_time(cli: Cli, tmp_path: Path) -> None:
    cli("audit", "export")
    cli("user", "add", "ada", "--no-password")
    for since in ("99", "2099-01-01", "2099-01-01T00:00:00+02:00"):
        part = cli("audit", "export", "--since", since)
        assert part.code == 0
        assert cli("audit", "verify", "-", "--partial", stdin=part.out).code == 0
    assert [json.loads(line)["type"] for line in part.out.splitlines()] == ["export", "head"]
    assert cli("audit", "export", "--since", "yesterday").code == 2
    assert cli("audit", "export", "--since", "9" * 30).code == 2


# --- follow ------------------------------------------------------------------------------------------------------------


class Following:
    """A user of the installation, beside a command that follows in the main thread."""

    def __init__(self, steps: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._steps = steps
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Following":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(DEADLINE_S)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._steps()
        except BaseException as error:
            self.error = error
        finally:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_export, "POLL_S", 0.05)


def add_user(data: Path, name: str) -> None:
    perform(data, "user.add", {"name": name})


@pytest.mark.usefixtures("quick")
def test_following_writes_events_as_they_come_until_ctrl_c(alone: Cli, server: Server, tmp_path: Path) -> None:
    output = tmp_path / "audit.jsonl"

    def steps() -> None:
        for name in ("ada", "bob"):
            until(lambda: output.exists() and output.stat().st_size)
            add_user(alone.data, name)
            # The payload stands inside a string.
            until(lambda name=name: f'\\"user\\":\\"{name}\\"' in output.read_text())  # type: ignore[misc]

    with Following(steps):
        ran = alone("audit", "export", "--follow", "--output", str(output))
    assert ran.code == 0
    verified = alone("audit", "verify", str(output), "--json").json("audit-verify")
    assert (verified["findings"], verified["chains"][0]["unproven"]) == ([], 2)


@pytest.mark.usefixtures("quick")
def test_following_outlives_a_restart_of_the_server(alone: Cli, data: Path, tmp_path: Path) -> None:
    output, cursor = tmp_path / "audit.jsonl", tmp_path / "cursor"
    servers = [Server(data), Server(data)]

    def steps() -> None:
        until(lambda: output.exists() and output.stat().st_size)
        first = len(events_of(output))
        for number, each in enumerate(servers):
            each.start()
            add_user(data, f"user{number}")
            until(lambda count=first + number: len(events_of(output)) > count)  # type: ignore[misc]
            each.stop()

    with Following(steps):
        ran = alone("audit", "export", "--follow", "--output", str(output), "--cursor", str(cursor))
    assert ran.code == 0
    assert events_of(output) == list(range(1, len(events_of(output)) + 1))
    assert alone("audit", "export", "--output", str(output), "--cursor", str(cursor)).code == 0
    assert alone("audit", "verify", str(output)).code == 0


# --- pseudonyms --------------------------------------------------------------------------------------------------------


def pseudonymised(path: Path) -> list[dict[str, Any]]:
    values = [json.loads(line) for line in path.read_text().splitlines()]
    for value in values:
        validate(value, "audit-export-pseudonymised-line")
    return values


def test_an_export_with_pseudonyms_names_nobody_and_cannot_be_verified(alone: Cli, tmp_path: Path) -> None:
    alone("user", "add", "zoe-the-user", "--mail", "zoe@acme.test", "--phone", "+905321234567", "--no-password")
    exported, key = tmp_path / "study.jsonl", tmp_path / "study.key"
    assert alone("audit", "export", "--pseudonymise", "--key-file", str(key), "--output", str(exported)).code == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    opening, *events = pseudonymised(exported)
    assert opening["type"] == "pseudonymised"
    assert "verified" in opening["note"]
    assert "directory:user:added" in {event["kind"] for event in events}
    text = exported.read_text()
    assert not any(told in text for told in ("zoe", "acme.test", "90532", 'commitment":', "salt", "signature", "cli:"))
    verified = alone("audit", "verify", str(exported))
    assert verified.code == 1
    assert "pseudonymised" in verified.out


def test_one_key_file_gives_the_same_pseudonyms_and_none_gives_others(alone: Cli, tmp_path: Path) -> None:
    alone("user", "add", "zoe", "--no-password")
    key = str(tmp_path / "study.key")
    runs = []
    for number, more in enumerate((("--key-file", key), ("--key-file", key), ())):
        file = tmp_path / f"{number}.jsonl"
        assert alone("audit", "export", "--pseudonymise", *more, "--output", str(file)).code == 0
        [added] = [json.loads(row["payload"]) for row in pseudonymised(file)[1:] if row["kind"] == "directory:user:added"]
        runs.append(added["user"])
    assert runs[0] == runs[1] != runs[2]


def test_a_cursor_goes_on_only_with_the_key_that_it_began_with(alone: Cli, tmp_path: Path) -> None:
    exported, cursor = str(tmp_path / "study.jsonl"), str(tmp_path / "study.cursor")
    here = ("audit", "export", "--output", exported, "--cursor", cursor)
    assert alone(*here, "--pseudonymise").code == 2
    assert alone(*here, "--pseudonymise", "--key-file", str(tmp_path / "one.key")).code == 0
    alone("user", "add", "zoe", "--no-password")
    assert alone(*here, "--pseudonymise", "--key-file", str(tmp_path / "one.key")).code == 0
    assert [row["type"] for row in pseudonymised(Path(exported))].count("pseudonymised") == 1
    for other in (("--pseudonymise", "--key-file", str(tmp_path / "two.key")), ()):
        refused = alone(*here, *other)
        assert refused.code == 2
        assert "another form or key" in refused.err
    assert "zoe" not in Path(exported).read_text()


def test_cef_with_pseudonyms_names_nobody(alone: Cli, tmp_path: Path) -> None:
    alone("user", "add", "zoe", "--no-password")
    exported = tmp_path / "study.cef"
    assert alone("audit", "export", "--pseudonymise", "--format", "cef", "--output", str(exported)).code == 0
    text = exported.read_text()
    assert "directory:user:added" in text
    assert "duser=user-" in text
    assert "zoe" not in text
    assert "cs4" not in text


@pytest.mark.parametrize("written", ["short", ""])
def test_a_key_file_that_holds_no_key_is_refused(alone: Cli, tmp_path: Path, written: str) -> None:
    key = tmp_path / "study.key"
    key.write_text(written)
    refused = alone("audit", "export", "--pseudonymise", "--key-file", str(key))
    assert refused.code == 2
    assert "too short" in refused.err


@pytest.mark.parametrize("option", [("--key-file", "study.key"), ("--keep-network",)])
def test_options_of_pseudonyms_without_pseudonyms_are_refused(alone: Cli, option: tuple[str, ...]) -> None:
    assert alone("audit", "export", *option).code == 2
