"""Audit events as CEF and as syslog messages: nothing from outside ends a field, a line or a message."""

import re
from typing import Any

import pytest

from wardgate.audit import syslog
from wardgate.audit.cef import cef_line, severity
from wardgate.audit.events import Kind
from wardgate.jsons import dumps

BEGIN_MS = 1_795_334_400_000


def an_event(kind: str = "engine:login:denied", **details: Any) -> dict[str, Any]:
    return {
        "writer": "server",
        "epoch": 1,
        "seq": 7,
        "kind": kind,
        "created_at": BEGIN_MS,
        "transaction_id": "t1",
        "reference": "7H2K9QXA",
        "subject_id": "s1",
        "payload": dumps({"actor": "engine", **details}),
        "salt": "00",
        "commitment": "11",
        "link": "22",
    }


def split(line: str) -> tuple[list[str], dict[str, str]]:
    """A CEF line as a collector reads it."""
    header = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    keys = [(m.start(), m.end(), m[1]) for m in re.finditer(r"(?:^| )(\w+)(?<!\\)=", header[7])]
    ends = [start for start, _, _ in keys[1:]] + [len(header[7])]
    return header[:7], {key: header[7][begin:end] for (_, begin, key), end in zip(keys, ends, strict=True)}


def test_an_event_becomes_the_fields_that_collectors_know() -> None:
    line = cef_line(
        an_event(user="ada", application="vpn", source="10.0.0.1", client="203.0.113.7", nas="hq", reason="wrong_password"), "0.1.0"
    )
    header, fields = split(line)
    assert header == ["CEF:0", "Wardgate", "Wardgate", "0.1.0", "engine:login:denied", header[5], "5"]
    payload = fields.pop("msg")
    assert fields == {
        "rt": str(BEGIN_MS),
        "externalId": "server:1:7",
        "cat": "engine",
        "outcome": "failure",
        "reason": "wrong_password",
        "suser": "engine",
        "duser": "ada",
        "duid": "s1",
        "src": "203.0.113.7",
        "dvc": "10.0.0.1",
        "dvchost": "hq",
        "cs1Label": "Reference",
        "cs1": "7H2K9QXA",
        "cs2Label": "Transaction",
        "cs2": "t1",
        "cs3Label": "Application",
        "cs3": "vpn",
        "cs4Label": "Link",
        "cs4": "22",
    }
    assert '"reason":"wrong_password"' in payload


@pytest.mark.parametrize(
    "name",
    [
        "eve\nCEF:0|Wardgate|Wardgate|0.1.0|engine:login:granted|x|3|duser=ada",
        "eve\r\n<110>1 - - wardgate - - - CEF:0|granted",
        "eve duser=ada outcome=success",
        "eve\\ duser\\=ada",
        "eve\\",
        "eve|x|9|",
        "eve\u2028\u0085\x0b\x1b[2J\x00 src=1.2.3.4",
    ],
)
def test_a_user_name_injects_neither_a_field_nor_a_line(name: str) -> None:
    line = cef_line(an_event(user=name), "0.1.0")
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    header, fields = split(line)
    assert (header[4], fields["outcome"]) == ("engine:login:denied", "failure")
    assert "src" not in fields
    told = fields["duser"].replace("\\n", "\n").replace("\\r", "\r").replace("\\=", "=").replace("\\\\", "\\")
    assert told.startswith("eve")
    assert list(fields)[-1] == "msg"


def test_a_kind_that_somebody_wrote_into_the_database_ends_no_header_field() -> None:
    header, _ = split(cef_line(an_event("x|9|duser=ada\ny"), "0.1.0"))
    assert header[4] == r"x\|9\|duser=ada y"
    assert header[6] == "3"


def test_an_erased_payload_is_told() -> None:
    _, fields = split(cef_line({**an_event(), "payload": None, "salt": None}, "0.1.0"))
    assert fields["msg"] == "erased"
    assert "duser" not in fields


def test_addresses_of_either_kind_and_what_is_none() -> None:
    _, fields = split(cef_line(an_event(source="2001:db8::1", client="no address"), "0.1.0"))
    assert (fields["c6a1"], fields["c6a1Label"]) == ("2001:db8::1", "Device IPv6 Address")
    assert not {"src", "dvc", "c6a2"} & set(fields)


def test_a_long_value_is_cut() -> None:
    assert len(cef_line(an_event(user="x" * 100_000), "0.1.0")) < 12_000


def test_every_kind_has_a_weight_and_a_short_name() -> None:
    for kind in Kind:
        header, _ = split(cef_line(an_event(kind.stored), "0.1.0"))
        assert 0 <= severity(kind.stored) <= 10
        assert 0 < len(header[5]) <= 120


def test_a_syslog_message_is_that_of_rfc_5424() -> None:
    told = syslog.message(BEGIN_MS, "node-1", "engine:login:denied", syslog.WARNING, "CEF:0|ä")
    assert told == "<108>1 2026-11-22T08:00:00.000Z node-1 wardgate - engine:login:denied - CEF:0|ä".encode()
    assert syslog.frame(told).split(b" ", 1) == [str(len(told)).encode(), told]


def test_a_header_field_ends_no_header() -> None:
    told = syslog.message(2**62, "node 1\n", "x" * 50 + " y", syslog.INFORMATIONAL, "text")
    assert told == b"<110>1 - node_1_ wardgate - " + b"x" * 32 + b" - text"
