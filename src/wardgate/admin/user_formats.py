"""Files of users in CSV, LDIF and JSON: how one user stands in each, and back. No storage, no clock.

Between the formats a user is **cells**: the columns of `user_columns.COLUMNS` with their texts, groups as a list. A record that
cannot be read becomes its line and a reason.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from wardgate.admin import user_columns as columns
from wardgate.admin.ldif import LdifEntry, LdifFault, ldif_entry, read_ldif
from wardgate.directory.ldap.names import escape_value, parse_dn
from wardgate.directory.port import AccountState
from wardgate.errors import MessageError, UsageError

MAX_JSON_BYTES: Final = 64 * 1024 * 1024
MAX_RECORD_BYTES: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"

Cells = dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Record:
    """One user of a file: his cells, or why he cannot be read. With neither, the record is about something else than a user."""

    line: int
    cells: Cells | None = None
    problem: str | None = None


# --- LDIF ----------------------------------------------------------------------------------------------------------------

_NAMES: Final = ("uid", "samaccountname")
_PHONES: Final = ("mobile", "telephonenumber")
_SHOWN: Final = ("displayname", "cn")
_PERSONS: Final = frozenset(("person", "organizationalperson", "inetorgperson", "account", "posixaccount", "user", "wardgateuser"))
_NO_PERSONS: Final = frozenset(("computer", "posixgroup", "groupofnames", "group"))
_ENDS: Final = "%Y%m%d%H%M%SZ"
_WANTED: Final = frozenset(
    (
        *_NAMES,
        *_PHONES,
        *_SHOWN,
        *("mail", "memberof", "objectclass", "preferredlanguage", "userpassword"),
        *("nsaccountlock", "pwdaccountlockedtime", "pwdendtime", "pwdreset"),
    )
)


def read_ldif_records(stream: BinaryIO) -> Iterator[Record]:
    """The users of an LDIF file. Entries of other classes than persons are told as neither."""
    for entry in read_ldif(stream, _WANTED):
        if isinstance(entry, LdifFault):
            yield Record(entry.line, problem=entry.reason)
            continue
        classes = {name.strip().lower() for name in entry.attributes.get("objectclass", ())}
        if classes and (not classes & _PERSONS or classes & _NO_PERSONS):
            yield Record(entry.line)
            continue
        try:
            yield Record(entry.line, _ldif_cells(entry))
        except UsageError as error:
            yield Record(entry.line, problem=error.message)


def _ldif_cells(entry: LdifEntry) -> Cells:
    """What the entry speaks of. Of what it does not there is no cell: a search may have asked for some attributes only."""

    def first(*names: str) -> str:
        return next((values[0].strip() for name in names if (values := entry.attributes.get(name))), "")

    name = first(*_NAMES)
    if not name:
        raise UsageError("no uid and no sAMAccountName")
    cells: Cells = {columns.NAME: name}
    # A person has to have a cn, so those without a name of their own have the uid there.
    shown = next((each for each in (first(one) for one in _SHOWN) if each not in ("", name)), "")
    told = {"mail": first("mail"), "phone": first(*_PHONES), "display_name": shown, "language": first("preferredlanguage")}
    cells |= {column: value for column, value in told.items() if value}
    if groups := entry.attributes.get("memberof"):
        cells["groups"] = [_group(dn) for dn in groups]
    if password := next(iter(entry.attributes.get("userpassword", ())), ""):
        cells[columns.PASSWORD_HASH if password.startswith("{") else columns.PASSWORD] = password
    return cells | _ldif_state(first("nsaccountlock"), first("pwdaccountlockedtime"), first("pwdreset"), first("pwdendtime"))


def _ldif_state(disabled: str, locked: str, reset: str, ends: str) -> Cells:
    cells: Cells = {}
    if disabled or locked:
        barred = AccountState.DISABLED if _true(disabled) else AccountState.LOCKED if locked else AccountState.ACTIVE
        cells["state"] = barred.value
    if reset:
        cells["must_change"] = "true" if _true(reset) else "false"
    if ends:
        cells["expires_at"] = _moment(ends)
    return cells


def _group(dn: str) -> str:
    """The name of a group: the value of the first step of its DN."""
    try:
        steps = parse_dn(dn)
    except MessageError:
        raise UsageError("memberOf: not a distinguished name") from None
    if not steps:
        raise UsageError("memberOf: not a distinguished name")
    return steps[0][0][1]


def _true(value: str) -> bool:
    return value.lower() == "true"


def _moment(text: str) -> str:
    try:
        return datetime.strptime(text, _ENDS).replace(tzinfo=UTC).isoformat()
    except ValueError:
        raise UsageError("pwdEndTime: not a time such as 20261231235959Z") from None


def ldif_user(cells: Mapping[str, Any], directory: str) -> str:
    """One user as an entry of inetOrgPerson; what LDAP has no attribute for is written as servers with a password policy do."""
    name, shown = str(cells[columns.NAME]), str(cells.get("display_name") or cells[columns.NAME])
    base = f"dc={escape_value(directory)}"
    attributes = [("objectClass", "inetOrgPerson"), ("uid", name), ("cn", shown), ("sn", (shown.split() or [name])[-1])]
    plain = (("mail", "mail"), ("phone", "mobile"), ("display_name", "displayName"), ("language", "preferredLanguage"))
    attributes += [(attribute, str(cells[cell])) for cell, attribute in plain if cells.get(cell)]
    attributes += [("memberOf", f"cn={escape_value(group)},ou=groups,{base}") for group in cells.get("groups") or ()]
    if hashed := cells.get(columns.PASSWORD_HASH):
        # OpenLDAP's form for what it hands to crypt(3) or to a module.
        attributes.append(("userPassword", hashed if hashed.startswith("{") else f"{{{_scheme(hashed)}}}{hashed}"))
    if cells.get("state") == AccountState.DISABLED:
        attributes.append(("nsAccountLock", "TRUE"))
    if cells.get("state") == AccountState.LOCKED:
        attributes.append(("pwdAccountLockedTime", "000001010000Z"))
    if cells.get("must_change") == "true":
        attributes.append(("pwdReset", "TRUE"))
    if ends := cells.get("expires_at"):
        attributes.append(("pwdEndTime", datetime.fromisoformat(ends).astimezone(UTC).strftime(_ENDS)))
    return ldif_entry(f"uid={escape_value(name)},ou=people,{base}", attributes)


def _scheme(hashed: str) -> str:
    return "ARGON2" if hashed.startswith("$argon2") else "CRYPT"


# --- JSON ----------------------------------------------------------------------------------------------------------------


def read_json_records(stream: BinaryIO) -> Iterator[Record]:
    """An object on each line, or one array of objects. Raises UsageError for an array that cannot be read to its end."""
    start = stream.readline(MAX_RECORD_BYTES + 1).removeprefix(_BOM)
    if start.lstrip()[:1] == b"[":
        rest = stream.read(MAX_JSON_BYTES + 1)
        if len(rest) > MAX_JSON_BYTES:
            raise UsageError(f"an array is read up to {MAX_JSON_BYTES:,} bytes; write one object on each line instead")
        yield from _array(start + rest)
        return
    line = 1
    while start:
        if len(start) > MAX_RECORD_BYTES:
            yield Record(line, problem=f"longer than {MAX_RECORD_BYTES} bytes")
            while start and not start.endswith(b"\n"):
                start = stream.readline(MAX_RECORD_BYTES)
        elif start.strip():
            yield _json_record(line, start)
        start, line = stream.readline(MAX_RECORD_BYTES + 1), line + 1


def _json_record(line: int, raw: bytes) -> Record:
    try:
        return _object(line, json.loads(raw.decode()))
    except UnicodeDecodeError:
        return Record(line, problem="not UTF-8")
    except (ValueError, RecursionError):
        return Record(line, problem="not JSON")


def _array(raw: bytes) -> Iterator[Record]:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UsageError("the file is not UTF-8") from None
    decoder, at, line, counted = json.JSONDecoder(), text.index("[") + 1, 1, 0
    while True:
        at = _skip(text, at)
        if text[at : at + 1] == "]":
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise UsageError(f"line {line}: not JSON") from None
        yield _object(line, value)
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            raise UsageError(f"line {line}: no comma and no end of the array after this record")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _object(line: int, value: object) -> Record:
    if not isinstance(value, dict):
        return Record(line, problem="not an object")
    cells: Cells = {}
    for name, given in value.items():
        cell = _cell(given)
        if cell is None or (isinstance(cell, list) and name != "groups"):
            return Record(
                line, problem=f"{name[:64]!r}: neither text nor true, false or null" + (" nor a list" if name == "groups" else "")
            )
        cells[name.strip().lower()] = cell
    if columns.NAME not in cells:
        return Record(line, problem=f"no {columns.NAME}")
    return Record(line, cells)


def _cell(given: object) -> str | list[str] | None:
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return given
    return None


def json_user(cells: Mapping[str, Any]) -> str:
    """One user as an object on one line."""
    return json.dumps(dict(cells), ensure_ascii=False)


# --- CSV -----------------------------------------------------------------------------------------------------------------


def csv_header(with_hashes: bool) -> str:
    """The header row of an export."""
    return _csv_line(_csv_columns(with_hashes))


def csv_user(cells: Mapping[str, Any], with_hashes: bool) -> str:
    """One user as a line. Raises UsageError for a group whose name holds the sign that separates groups."""
    texts = dict(cells)
    if any(";" in group for group in cells.get("groups") or ()):
        raise UsageError(f"a group of user {str(cells[columns.NAME])[:64]} has a ; in its name: export JSON or LDIF")
    texts["groups"] = ";".join(cells.get("groups") or ())
    return _csv_line([columns.harmless(name, str(texts.get(name) or "")) for name in _csv_columns(with_hashes)])


def _csv_columns(with_hashes: bool) -> list[str]:
    return [columns.NAME, *columns.PROFILE, *((columns.PASSWORD_HASH,) if with_hashes else ())]


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
