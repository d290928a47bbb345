"""Audit events as ArcSight Common Event Format (CEF:0), one line each, for collectors that know no JSON.

A CEF line is for searching and alerting; it proves nothing. Its fields `externalId` and `cs4` (the link) find the event in an
export proper, which does. Everything that came from outside is escaped: a user name must end neither its field nor its line.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Final

from wardgate.audit.events import Kind
from wardgate.audit.search import payload_of

MAX_VALUE_CHARS: Final = 1_023
MAX_PAYLOAD_CHARS: Final = 8_192
_HELP: Final = {kind.stored: kind.help.partition(".")[0].partition(":")[0] for kind in Kind}
# Out of ten, as CEF has it.
_LOW, _MEDIUM, _HIGH = 3, 5, 7
_SEVERITIES: Final = {
    Kind.LOGIN_DENIED.stored: _MEDIUM,
    Kind.LOGIN_ANSWER_WRONG.stored: _MEDIUM,
    Kind.DOOR_REFUSALS.stored: _MEDIUM,
    Kind.CONFIGURATION_APPLIED.stored: _MEDIUM,
    Kind.SUBJECT_RELINKED.stored: _MEDIUM,
    Kind.ADMIN_LINK_USED.stored: _MEDIUM,
    Kind.USERS_EXPORTED.stored: _MEDIUM,
    Kind.PAYLOADS_ERASED.stored: _MEDIUM,
    Kind.BRAKE_LOCKED.stored: _HIGH,
    Kind.CLOCK_JUMPED.stored: _HIGH,
    Kind.CLOCK_DIFFERS.stored: _HIGH,
    Kind.EPOCH_OPENED.stored: _HIGH,
    Kind.MASTER_KEY_REPLACED.stored: _HIGH,
    Kind.BACKUP_KEY_SET.stored: _HIGH,
}
_OUTCOMES: Final = {
    Kind.LOGIN_GRANTED.stored: "success",
    Kind.LOGIN_DENIED.stored: "failure",
    Kind.LOGIN_ANSWER_WRONG.stored: "failure",
}


def severity(kind: str) -> int:
    """How much an event matters, from 0 to 10."""
    return _SEVERITIES.get(kind, _LOW)


def cef_line(row: Mapping[str, Any], version: str) -> str:
    """An event of an export (or of the table) as a line, without its end."""
    kind = str(row["kind"])
    head = ("CEF:0", "Wardgate", "Wardgate", version, kind, _HELP.get(kind, kind), str(severity(kind)))
    header = "|".join(_header(part[:MAX_VALUE_CHARS]) for part in head)
    return f"{header}|{' '.join(f'{key}={value}' for key, value in _fields(row, kind))}"


def _fields(row: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    payload = row["payload"]
    told = payload_of(None if payload is None else str(payload))
    plain: list[tuple[str, object]] = [
        ("rt", row["created_at"]),
        ("externalId", f"{row['writer']}:{row['epoch']}:{row['seq']}"),
        ("cat", kind.partition(":")[0]),
        ("outcome", _OUTCOMES.get(kind)),
        ("reason", told.get("reason")),
        ("suser", told.get("actor")),
        ("duser", told.get("user")),
        ("duid", row["subject_id"]),
        *_address("src", "c6a2", "Source IPv6 Address", told.get("client") or told.get("address")),
        *_address("dvc", "c6a1", "Device IPv6 Address", told.get("source")),
        ("dvchost", told.get("nas")),
        *_labelled("cs1", "Reference", row["reference"]),
        *_labelled("cs2", "Transaction", row["transaction_id"]),
        *_labelled("cs3", "Application", told.get("application")),
        *_labelled("cs4", "Link", _hexadecimal(row.get("link"))),
    ]
    for key, value in plain:
        if value not in (None, "", []):
            yield key, _value(str(value)[:MAX_VALUE_CHARS])
    yield "msg", _value(str(payload)[:MAX_PAYLOAD_CHARS]) if payload is not None else "erased"


def _address(v4: str, v6: str, label: str, text: object) -> list[tuple[str, object]]:
    """An address in the field of its kind; what a NAS writes there that is none stands in the payload."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return []
    return [(v4, str(address))] if address.version == 4 else _labelled(v6, label, str(address))


def _labelled(key: str, label: str, value: object) -> list[tuple[str, object]]:
    return [(f"{key}Label", label), (key, value)] if value not in (None, "") else []


def _hexadecimal(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _header(text: str) -> str:
    return "".join(_char(char) if char not in "\\|" else "\\" + char for char in text).replace("\n", " ").replace("\r", " ")


def _value(text: str) -> str:
    escaped = "".join(_char(char) if char not in "\\=" else "\\" + char for char in text)
    return escaped.replace("\n", "\\n").replace("\r", "\\r")


def _char(char: str) -> str:
    """Line ends are escaped by whoever calls; other characters that a terminal or a collector would obey are made visible."""
    return char if char.isprintable() or char in "\n\r" else f"\\\\x{ord(char):02x}"
