"""Users in LDIF, JSON and CSV: read as other programs write them, written so that they come back the same, and hostile files."""

import base64
import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.admin.import_file import BadRow, ImportRow, read_header, read_records, read_rows, row_of
from wardgate.admin.ldif import MAX_ENTRY_BYTES, LdifEntry, ldif_entry, read_ldif
from wardgate.admin.user_columns import Format, format_of, harmless, unharmed
from wardgate.admin.user_formats import (
    MAX_RECORD_BYTES,
    Record,
    csv_header,
    csv_user,
    json_user,
    ldif_user,
    read_json_records,
    read_ldif_records,
)
from wardgate.crypto import Secret
from wardgate.directory.local import StoredPassword
from wardgate.errors import UsageError

SSHA = "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3"
# As slapcat writes: operational attributes, folds, base64, a comment, and entries that are no persons.
SLAPCAT = f"""\
version: 1

# the tree
dn: dc=acme,dc=test
objectClass: dcObject
objectClass: organization
o: Acme

dn: uid=ada,ou=people,dc=acme,dc=test
objectClass: inetOrgPerson
uid: ada
cn: Ada Lovelace
sn: Lovelace
mail: ada@acme
 .test
mobile: +90 532 123 45 67
preferredLanguage: tr
memberOf: cn=vpn-users,ou=groups,dc=acme,dc=test
memberOf: cn=R\\2CD\\, Ankara,ou=groups,dc=acme,dc=test
userPassword:: {base64.b64encode(SSHA.encode()).decode()}
entryUUID: 4e1c2d0a-0000-1041-8000-000000000000

dn:: {base64.b64encode("uid=ırmak,ou=people,dc=acme,dc=test".encode()).decode()}
objectClass: inetOrgPerson
uid:: {base64.b64encode("ırmak".encode()).decode()}
cn;lang-tr:: {base64.b64encode("Irmak Öztürk".encode()).decode()}
userPassword: open sesame
pwdReset: TRUE
pwdEndTime: 20261231235959Z

dn: cn=vpn-users,ou=groups,dc=acme,dc=test
objectClass: groupOfNames
cn: vpn-users
member: uid=ada,ou=people,dc=acme,dc=test
"""


def ldif(text: str | bytes) -> list[Record]:
    return list(read_ldif_records(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def jsons(text: str | bytes) -> list[Record]:
    return list(read_json_records(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def problem(records: list[Record]) -> str:
    (record,) = records
    assert record.cells is None
    return record.problem or ""


def typed(record: Record) -> ImportRow:
    assert record.cells is not None, record
    row = row_of(record.line, record.cells, keep_hashes=False)
    assert isinstance(row, ImportRow), row
    return row


# --- LDIF ----------------------------------------------------------------------------------------------------------------


def test_a_dump_of_openldap() -> None:
    records = ldif(SLAPCAT)
    assert [record.line for record in records] == [4, 9, 23, 31]
    assert [record.cells is not None for record in records] == [False, True, True, False]
    assert not any(record.problem for record in records)
    ada, irmak = typed(records[1]), typed(records[2])
    assert (ada.name, ada.stored, ada.password) == ("ada", StoredPassword(SSHA), None)
    assert dict(ada.profile) == {
        "mail": "ada@acme.test",
        "mail_key": "ada@acme.test",
        "phone": "+905321234567",
        "display_name": "Ada Lovelace",
        "language": "tr",
        "groups": '["vpn-users","R,D, Ankara"]',
    }
    assert (irmak.name, irmak.key, irmak.password) == ("ırmak", "ırmak", Secret("open sesame"))
    assert irmak.profile["display_name"] == "Irmak Öztürk"
    assert (irmak.profile["must_change"], irmak.profile["expires_at"]) == (1, 1798761599000)


def test_a_dump_of_active_directory() -> None:
    text = "dn: CN=Ada,CN=Users,DC=acme,DC=test\r\nchangetype: add\r\nobjectClass: top\r\nobjectClass: user\r\n"
    text += "sAMAccountName: ada\r\n\r\n"
    text += "dn: CN=PC1,CN=Computers,DC=acme,DC=test\r\nobjectClass: user\r\nobjectClass: computer\r\nsAMAccountName: PC1$\r\n"
    user, computer = ldif("\ufeff" + text)
    assert typed(user).name == "ada"
    assert (computer.cells, computer.problem) == (None, None)


@pytest.mark.parametrize(
    ("lines", "profile"),
    [
        ("", {}),
        ("cn: ada\n", {}),
        ("displayName: ada\ncn: Ada L.\n", {"display_name": "Ada L."}),
        ("nsAccountLock: false\npwdReset: FALSE\n", {"state": "active", "must_change": 0}),
        ("nsAccountLock: TRUE\npwdAccountLockedTime: 000001010000Z\n", {"state": "disabled"}),
        ("pwdAccountLockedTime: 20260101000000Z\n", {"state": "locked"}),
    ],
)
def test_an_entry_changes_nothing_that_it_does_not_speak_of(lines: str, profile: dict[str, object]) -> None:
    """A search for some attributes must not empty the others, nor enable whom an operator disabled."""
    (record,) = ldif(f"dn: uid=ada\nuid: ada\n{lines}")
    assert dict(typed(record).profile) == profile


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("uid: ada\n", "does not begin with dn:"),
        ("objectClass: person\ndn: uid=ada\n", "does not begin with dn:"),
        ("dn: uid=ada\nwhat is this\n", "a line is no attribute and no value"),
        ("dn: uid=ada\nchangetype: modify\nreplace: mail\n-\n", "a change of an entry; only entries and additions are taken"),
        ("dn: uid=ada\nchangetype: delete\n", "a change of an entry; only entries and additions are taken"),
        ("dn: uid=ada\ncontrol: 1.2.3 true\nuid: ada\n", "demands a control, which is not known here"),
        ("dn: uid=ada\nuid:: !!!\n", "uid is not base64"),
        ("dn: uid=ada\nuid:: /////w==\n", "uid is not UTF-8"),
        (b"dn: uid=ada\nuid: \xff\xfe\n", "uid is not UTF-8"),
        ("dn: uid=ada\ncn: Ada\n", "no uid and no sAMAccountName"),
        ("dn: uid=ada\nuid: ada\nmemberOf: not a dn\n", "memberOf: not a distinguished name"),
        ("dn: uid=ada\nuid: ada\nmemberOf:\n", "memberOf: not a distinguished name"),
        ("dn: uid=ada\nuid: ada\npwdEndTime: tomorrow\n", "pwdEndTime: not a time such as 20261231235959Z"),
    ],
)
def test_an_entry_that_cannot_be_taken_says_why(text: str | bytes, reason: str) -> None:
    assert problem(ldif(text)) == reason


def test_a_bad_entry_does_not_spoil_the_next() -> None:
    records = ldif("dn: uid=a\nuid:: !!!\nuid: a\n\n\n\ndn: uid=b\nuid: b\n")
    assert [(record.line, record.problem is None) for record in records] == [(1, False), (7, True)]


@pytest.mark.parametrize("attribute", ["userPassword", "uid", "dn", "mail"])
def test_a_value_that_names_a_file_is_never_followed(attribute: str, tmp_path: Path) -> None:
    """RFC 2849 lets a file name another one: whoever writes it would read the server's."""
    secret = tmp_path / "secret"
    secret.write_text("the database password")
    records = ldif(f"dn: uid=ada\nuid: ada\n{attribute}:< file://{secret}\n")
    assert "refers to a file or an address, which is not followed" in problem(records)
    assert "the database password" not in repr(records)


def test_a_photograph_costs_nothing() -> None:
    picture = "jpegPhoto:: " + "\n ".join(["A" * 76] * 40_000)
    tracemalloc.start()
    (record,) = ldif(f"dn: uid=ada\nobjectClass: person\nuid: ada\n{picture}\ncn: Ada\n")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert typed(record).profile["display_name"] == "Ada"
    assert peak < 8 * len(picture)  # the text itself, encoded twice by the test; nothing is joined


class Endless(io.RawIOBase):
    """A stream of so many octets that nobody could hold them."""

    def __init__(self, start: bytes, again: bytes, octets: int) -> None:
        self._start, self._again, self._left = start, again, octets

    def readline(self, size: int | None = -1) -> bytes:
        if self._start:
            first, self._start = self._start, b""
            return first
        if self._left <= 0:
            return b""
        self._left -= len(self._again)
        return self._again


@pytest.mark.parametrize("again", [b"x" * 4096, b" " + b"x" * 4000 + b"\n", b"memberOf: cn=x\n"])
@pytest.mark.parametrize("start", [b"dn: uid=ada\nmail: ", b"dn: "])
def test_an_entry_without_an_end_is_not_held_in_memory(start: bytes, again: bytes) -> None:
    lines = start.splitlines(keepends=True)
    stream: BinaryIO = Endless(lines[-1] if len(lines) == 1 else start, again, 4_000_000)  # type: ignore[assignment]
    tracemalloc.start()
    records = list(read_ldif_records(stream))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(record.cells is None for record in records)
    assert peak < 20 * MAX_ENTRY_BYTES


def test_an_entry_that_is_too_long_is_refused_and_the_next_taken() -> None:
    groups = "memberOf: cn=group,dc=acme\n" * 4_000
    refused, taken = ldif(f"dn: uid=a\nuid: a\n{groups}\ndn: uid=b\nuid: b\n")
    assert refused.problem == f"longer than {MAX_ENTRY_BYTES} bytes"
    assert typed(taken).name == "b"


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused_as_ldif(octets: bytes) -> None:
    for record in ldif(octets):
        assert record.cells is None or record.problem is None


_VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200)


@given(_VALUES.filter(bool), st.lists(st.tuples(st.sampled_from(["uid", "mail", "cn"]), _VALUES), max_size=4))
def test_what_is_written_is_read_again(dn: str, attributes: list[tuple[str, str]]) -> None:
    text = ldif_entry(dn, attributes)
    assert max(len(line) for line in text.split("\n")) <= 76
    (entry,) = read_ldif(io.BytesIO(text.encode()), ["uid", "mail", "cn"])
    assert isinstance(entry, LdifEntry)
    assert entry.dn == dn
    assert [(name, value) for name, values in entry.attributes.items() for value in values] == sorted(
        attributes, key=lambda pair: list(entry.attributes).index(pair[0])
    )


# --- JSON ----------------------------------------------------------------------------------------------------------------

PEOPLE = [
    {"username": "ada", "groups": ["vpn;users", "İdari"], "must_change": True, "mail": None},
    {"username": "bob", "password": "a lantern over the lake", "groups": "a;b"},
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PEOPLE),
        json.dumps(PEOPLE, indent=2, ensure_ascii=False),
        "\ufeff\n" + json.dumps(PEOPLE[0]) + "\n\n" + json.dumps(PEOPLE[1]),
    ],
)
def test_json_is_one_array_or_lines(text: str) -> None:
    ada, bob = (typed(record) for record in jsons(text))
    assert ada.profile["groups"] == '["vpn;users","İdari"]'
    assert (ada.profile["must_change"], ada.profile["mail"]) == (1, None)
    assert (bob.password, bob.profile["groups"]) == (Secret("a lantern over the lake"), '["a","b"]')


def test_records_are_told_by_their_lines() -> None:
    assert [record.line for record in jsons('[\n\n{"username": "a"},\n{"username":\n"b"}\n, 7]')] == [3, 4, 6]
    assert [record.line for record in jsons('{"username": "a"}\n\nnonsense\n{}\n')] == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense\n", "not JSON"),
        ("7\n", "not an object"),
        ("{}", "no username"),
        ('{"username": 7}', "'username': neither text nor true, false or null"),
        ('{"username": "a", "mail": ["x"]}', "'mail': neither text nor true, false or null"),
        ('{"username": "a", "groups": [1]}', "'groups': neither text nor true, false or null nor a list"),
        (b'{"username": "\xff"}', "not UTF-8"),
        ('{"username": ' + "1" * 5_000 + "}", "not JSON"),
        ("{" * 30_000, "not JSON"),
        ('{"a":' * 10_000, "not JSON"),
        ('{"username": "' + "x" * MAX_RECORD_BYTES + '"}', f"longer than {MAX_RECORD_BYTES} bytes"),
    ],
)
def test_a_record_that_cannot_be_taken_says_why(text: str | bytes, reason: str) -> None:
    assert problem(jsons(text)) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"username": "a"}', "line 1: no comma and no end"),
        ('[{"username": "a"}\n{"username": "b"}]', "line 1: no comma and no end"),
        ('[\n{"username": }]', "line 2: not JSON"),
        ("[" * 200_000, "line 1: not JSON"),
        (b'["\xff"]', "not UTF-8"),
    ],
)
def test_an_array_that_ends_in_the_middle_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        jsons(text)


def test_an_array_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.admin.user_formats.MAX_JSON_BYTES", 100)
    with pytest.raises(UsageError, match="one object on each line"):
        jsons("[\n" + " " * 200)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for record in jsons(json.dumps([value, {"username": "ada", "groups": value}])):
        if record.cells is not None:
            row_of(record.line, record.cells, keep_hashes=False)


@pytest.mark.parametrize("records", ["", "{}", "7", "[7]", "[[]]", '[["x", {}]]', "[[1, {}, 2]]", "[" * 50_000])
def test_what_is_no_list_of_records_is_refused(records: str) -> None:
    with pytest.raises(UsageError):
        list(read_records(Secret(records), keep_hashes=False))


@pytest.mark.parametrize(
    "cells",
    [
        "{}",
        '{"username": ["a"]}',
        '{"username": {}}',
        '{"username": "a", "mail": 7}',
        '{"username": "a", "groups": [7]}',
        '{"username": "a", "groups": {}}',
    ],
)
def test_cells_over_the_socket_are_checked_again(cells: str) -> None:
    """The command reads the file, but anybody of the operator's may talk to the socket."""
    (row,) = read_records(Secret(f"[[3, {cells}]]"), keep_hashes=False)
    assert isinstance(row, BadRow)
    assert row.line == 3


# --- CSV -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["=cmd|' /C calc'!A0", "+905321234567", "-2+3", "@SUM(A1)", "\tx", "\rx", "'=x", "''+x", "'", "plain", "", "'plain"]
)
def test_a_formula_is_made_harmless_and_comes_back_the_same(cell: str) -> None:
    written = harmless("display_name", cell)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unharmed("display_name", written) == cell


@given(st.text(max_size=20))
def test_any_cell_comes_back_the_same(cell: str) -> None:
    assert unharmed("mail", harmless("mail", cell)) == cell


def test_a_secret_is_never_changed_by_quotes() -> None:
    for column in ("password", "password_hash", "totp_secret_hex"):
        assert harmless(column, "=x") == unharmed(column, "=x") == "=x"
        assert unharmed(column, "'=x") == "'=x"


def test_a_group_with_the_separator_in_it_is_not_torn_apart() -> None:
    with pytest.raises(UsageError, match="export JSON or LDIF"):
        csv_user({"username": "ada", "groups": ["a;b"]}, with_hashes=False)


# --- there and back --------------------------------------------------------------------------------------------------------

ADA = {
    "username": "İrem-ı",
    "mail": "irem@acme.test",
    "phone": "+905321234567",
    "groups": ["vpn-users", "Ar-Ge, Ankara", "#1", " ş "],
    "display_name": '-Ayşe "the" Öz, \\ türk',
    "language": "tr",
    "state": "disabled",
    "must_change": "true",
    "expires_at": "2026-12-31T23:59:59+00:00",
    "password_hash": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43,
}
BARE = {"username": "x", "mail": "", "phone": "", "groups": [], "display_name": "", "language": "", "state": "locked"}


def _back(form: Format, cells: dict[str, Any]) -> Iterator[ImportRow | BadRow]:
    match form:
        case Format.CSV:
            stream = io.BytesIO((csv_header(True) + csv_user(cells, True)).encode())
            yield from read_rows(stream, read_header(stream), keep_hashes=False)
        case Format.LDIF:
            yield from (row_of(each.line, each.cells or {}, False) for each in ldif("version: 1\n\n" + ldif_user(cells, "staff")))
        case Format.JSON:
            yield from (row_of(each.line, each.cells or {}, False) for each in jsons(f"[\n{json_user(cells)}\n]\n"))


@pytest.mark.parametrize("form", list(Format))
def test_a_user_comes_back_the_same(form: Format) -> None:
    (row,) = _back(form, ADA)
    assert isinstance(row, ImportRow), row
    assert row.name == "İrem-ı"
    assert row.stored == StoredPassword(ADA["password_hash"])  # type: ignore[arg-type]
    assert {name: row.profile[name] for name in row.profile if name != "mail_key"} == {
        "mail": "irem@acme.test",
        "phone": "+905321234567",
        "groups": '["vpn-users","Ar-Ge, Ankara","#1","ş"]',
        "display_name": '-Ayşe "the" Öz, \\ türk',
        "language": "tr",
        "state": "disabled",
        "must_change": 1,
        "expires_at": 1798761599000,
    }


@pytest.mark.parametrize("form", list(Format))
def test_a_user_with_nothing_but_a_name_comes_back(form: Format) -> None:
    (row,) = _back(form, BARE)
    assert isinstance(row, ImportRow), row
    assert (row.name, row.stored, row.password, row.profile["state"]) == ("x", None, None, "locked")


@pytest.mark.parametrize("hashed", [SSHA, "$2b$04$" + "a" * 53, "$6$saltsalt$" + "a" * 86])
def test_hashes_of_others_come_back_through_ldif(hashed: str) -> None:
    (row,) = _back(Format.LDIF, BARE | {"password_hash": hashed})
    assert isinstance(row, ImportRow), row
    assert row.stored == StoredPassword(hashed)


def test_the_format_is_told_by_the_name() -> None:
    names = {"a.csv": "csv", "a.LDIF": "ldif", "a.ldf": "ldif", "a.json": "json", "a.jsonl": "json", "a": "csv", "-": "csv"}
    assert {name: format_of(Path(name)).value for name in names} == names


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"state": "expired"}, "state: not active, disabled or locked"),
        ({"must_change": "perhaps"}, "must_change: not true or false"),
        ({"expires_at": "tomorrow"}, "expires_at: not a time such as 2026-12-31T23:59:59Z"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at: not a time such as 2026-12-31T23:59:59Z"),
        ({"groups": ["x\x00y"]}, "groups: holds a control character"),
        ({"password_hash": "{SSHA}x", "password": "y"}, "both password and password_hash are given"),
    ],
)
def test_a_cell_that_cannot_be_taken_says_why(cells: dict[str, Any], reason: str) -> None:
    assert row_of(5, {"username": "ada", **cells}, keep_hashes=False) == BadRow(5, reason)
