"""`wardgate audit export --syslog`: to a receiver over TLS that is verified, once, and again after what breaks."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardgate.cli import audit_export, audit_syslog
from wardgate.errors import UsageError

from .conftest import Cli, Server
from .syslog_receiver import Receiver
from .test_audit import Following, add_user, until

HEADER = re.compile(
    rb"<1(?:08|10)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [!-~]+ wardgate - [!-~]{1,32} - CEF:0\|Wardgate\|Wardgate\|"
)
NUMBER = re.compile(rb" externalId=\S+:(\d+) ")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_syslog, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(audit_syslog, "LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr(audit_export, "POLL_S", 0.05)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path).serving() as made:
        yield made


def numbers(receiver: Receiver) -> list[int]:
    return [int(found[1]) for message in receiver.messages if (found := NUMBER.search(message))]


def test_events_arrive_once_and_a_cursor_goes_on_where_it_was(alone: Cli, receiver: Receiver, tmp_path: Path) -> None:
    options = [*receiver.options(), "--cursor", str(tmp_path / "cursor")]
    alone("user", "add", "ada", "--no-password")
    assert alone("audit", "export", *options).code == 0
    until(lambda: b"duser=ada" in b"".join(receiver.messages))
    alone("user", "add", "bob", "--no-password")
    assert alone("audit", "export", *options).code == 0
    until(lambda: b"duser=bob" in b"".join(receiver.messages))
    assert numbers(receiver) == list(range(1, len(receiver.messages) + 1))
    assert all(HEADER.match(message) for message in receiver.messages)


def test_what_a_receiver_took_as_json_lines_can_be_verified(alone: Cli, receiver: Receiver, tmp_path: Path) -> None:
    alone("user", "add", "ada", "--no-password")
    assert alone("audit", "export", *receiver.options(), "--format", "jsonl").code == 0
    until(lambda: b'"type":"head"' in b"".join(receiver.messages))
    kept = tmp_path / "kept.jsonl"
    kept.write_bytes(b"".join(b"{" + message.partition(b" - {")[2] + b"\n" for message in receiver.messages))
    assert kept.read_bytes().startswith(b'{"type":"export"')
    told = alone("audit", "verify", str(kept), "--json").json("audit-verify")
    assert (told["findings"], told["chains"][0]["unproven"]) == ([], 0)


def test_a_receiver_with_a_certificate_of_nobody_we_know_gets_nothing(
    alone: Cli, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_syslog, "MOST_TRIES", 1)
    (tmp_path / "other").mkdir()
    other = Receiver(tmp_path / "other")
    ran = alone("audit", "export", "--syslog", receiver.at, "--tls", "--ca-file", str(other.ca_file))
    assert ran.code == 3
    assert "its certificate does not hold" in ran.err
    assert receiver.messages == []


def test_a_receiver_under_another_name_gets_nothing(alone: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_syslog, "MOST_TRIES", 1)
    # Its certificate names 127.0.0.1 alone.
    with Receiver(tmp_path, "127.0.0.2").serving() as receiver:
        ran = alone("audit", "export", *receiver.options())
        assert (ran.code, receiver.messages) == (3, [])
        assert "its certificate does not hold" in ran.err


def test_a_receiver_that_refuses_us_has_taken_nothing(
    alone: Cli, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS 1.3 a refusal may come after everything was sent."""
    monkeypatch.setattr(audit_syslog, "MOST_TRIES", 2)
    receiver.demand_certificate()
    cursor = tmp_path / "cursor"
    assert alone("audit", "export", *receiver.options(), "--cursor", str(cursor)).code == 3
    assert receiver.messages == []
    assert json.loads(cursor.read_text())["positions"] == [["server", 1, 0, 0]]


@pytest.mark.parametrize("cut", [0, 1, 700])
def test_a_connection_that_breaks_in_the_middle_loses_nothing(alone: Cli, receiver: Receiver, cut: int) -> None:
    for name in ("ada", "bob", "eve"):
        alone("user", "add", name, "--no-password")
    receiver.cut_after = [cut, cut]
    assert alone("audit", "export", *receiver.options()).code == 0
    until(lambda: b"duser=eve" in b"".join(receiver.messages))
    seen = numbers(receiver)
    assert sorted(set(seen)) == list(range(1, max(seen) + 1))
    assert receiver.connections == 3


def test_while_no_receiver_answers_the_cursor_stays(
    alone: Cli, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_syslog, "MOST_TRIES", 2)
    options = ["--tls", "--ca-file", str(receiver.ca_file), "--cursor", str(tmp_path / "cursor")]
    refused = alone("audit", "export", "--syslog", "127.0.0.1:1", *options)
    assert refused.code == 3
    assert "does not take the audit trail" in refused.err
    assert alone("audit", "export", "--syslog", receiver.at, *options).code == 0
    until(lambda: 1 in numbers(receiver))


def test_following_outlives_a_receiver_that_cuts_it_off(alone: Cli, server: Server, receiver: Receiver, tmp_path: Path) -> None:
    receiver.cut_after = [0, 100]

    def steps() -> None:
        for name in ("ada", "bob"):
            add_user(alone.data, name)
            until(lambda name=name: f"duser={name}".encode() in b"".join(receiver.messages))

    with Following(steps):
        ran = alone("audit", "export", "--follow", *receiver.options(), "--cursor", str(tmp_path / "cursor"))
    assert ran.code == 0
    seen = numbers(receiver)
    assert sorted(set(seen)) == list(range(1, max(seen) + 1))


def test_the_trail_is_not_sent_in_clear_nor_to_what_is_no_receiver(alone: Cli, tmp_path: Path) -> None:
    assert "add --tls" in alone("audit", "export", "--syslog", "127.0.0.1:514").err
    for bad in ("host", ":6514", "host:0", "host:65536", "host:x", "::1:6514", "host:99999999999999999999"):
        with pytest.raises(UsageError):
            audit_syslog.receiver(bad, None)
    assert audit_syslog.receiver("[::1]:6514", None).host == "::1"
    (tmp_path / "ca.pem").write_text("no certificate")
    ran = alone("audit", "export", "--syslog", "127.0.0.1:1", "--tls", "--ca-file", str(tmp_path / "ca.pem"))
    assert ran.code == 2
    assert alone("audit", "export", "--tls").code == 2
    assert alone("audit", "export", "--format", "xml").code == 2
    assert alone("audit", "export", "--syslog", "h:1", "--tls", "--output", str(tmp_path / "x")).code == 2


def test_a_file_of_cef_goes_on_with_its_cursor_and_takes_no_other_form(alone: Cli, tmp_path: Path) -> None:
    output, cursor = tmp_path / "audit.cef", tmp_path / "cursor"
    options = ["--output", str(output), "--cursor", str(cursor)]
    alone("user", "add", "ada", "--no-password")
    assert alone("audit", "export", "--format", "cef", *options).code == 0
    alone("user", "add", "bob", "--no-password")
    assert alone("audit", "export", "--format", "cef", *options).code == 0
    lines = output.read_text().splitlines()
    assert all(line.startswith("CEF:0|") for line in lines)
    found = [int(match[1]) for line in lines if (match := NUMBER.search(line.encode()))]
    assert found == list(range(1, len(lines) + 1))
    assert alone("audit", "export", *options).code == 2
