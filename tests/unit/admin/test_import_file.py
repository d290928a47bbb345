"""Reading a file of users: what is a row, what is a bad row, and that one never spoils the next."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.admin.import_file import MAX_ROW_BYTES, BadRow, ImportRow, count_lines, read_header, read_rows
from wardgate.crypto import Secret
from wardgate.directory.local import StoredPassword
from wardgate.errors import UsageError

SSHA = "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3"


def rows_of(text: str | bytes, keep_hashes: bool = False) -> list[ImportRow | BadRow]:
    stream = io.BytesIO(text.encode() if isinstance(text, str) else text)
    header = read_header(stream)
    return list(read_rows(stream, header, keep_hashes))


def one(text: str | bytes) -> ImportRow:
    (row,) = rows_of(text)
    assert isinstance(row, ImportRow), row
    return row


def reason(text: str | bytes) -> str:
    (row,) = rows_of(text)
    assert isinstance(row, BadRow), row
    return row.reason


def test_a_whole_row() -> None:
    row = one(
        "username,password_hash,mail,phone,groups,totp_secret_hex,display_name,language\n"
        f'Ada,{SSHA},Ada@Example.Test,+90 532 123 45 67,vpn;staff,{"ab" * 20},"Lovelace, Ada",tr\n'
    )

    assert (row.line, row.name, row.key) == (2, "Ada", "ada")
    assert row.stored == StoredPassword(SSHA)
    assert row.totp_secret == Secret(bytes.fromhex("ab" * 20))
    assert dict(row.profile) == {
        "mail": "Ada@Example.Test",
        "mail_key": "ada@example.test",
        "phone": "+905321234567",
        "groups": '["vpn","staff"]',
        "display_name": "Lovelace, Ada",
        "language": "tr",
    }


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfusername,mail\r\nada,a@example.test\r\n",
        "username;mail\nada;a@example.test",
        "username\tmail\nada\ta@example.test\n",
        "Username , MAIL\nada,a@example.test\n\n  \n",
        '"username","mail"\n"ada","a@example.test"\n',
        "mail,username\na@example.test,ada\n",
    ],
)
def test_marks_delimiters_quotes_and_line_ends_of_other_programs(text: str | bytes) -> None:
    row = one(text)

    assert (row.name, row.profile["mail"]) == ("ada", "a@example.test")


def test_a_list_of_groups_in_a_file_with_semicolons_is_quoted() -> None:
    assert one('username;groups\nada;"vpn;staff"\n').profile["groups"] == '["vpn","staff"]'


def test_columns_that_are_not_there_are_not_touched() -> None:
    assert dict(one("username\nada\n").profile) == {}
    assert dict(one("username,phone\nada,\n").profile) == {"phone": None}


def test_a_password_keeps_its_blanks_and_any_characters() -> None:
    assert one('username,password\nada," a,""b;ş "\n').password == Secret(' a,"b;ş ')


def test_unknown_columns_are_told() -> None:
    assert read_header(io.BytesIO(b"username,pasword,,Department\n")).ignored == ("pasword", "department")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"name,mail\n",
        b"username,mail,username\n",
        b"\xff\xfeu\x00s\x00",
        b"user\xffname\n",
        b"username," + b"x" * 20_000,
    ],
)
def test_a_file_that_cannot_be_a_list_of_users_is_refused_at_once(header: bytes) -> None:
    with pytest.raises(UsageError):
        read_header(io.BytesIO(header))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("ada", "1 cells under 4 columns"),
        ("ada,,,,", "5 cells under 4 columns"),
        (",,,", "username"),
        ("a\x00da,,,", "username"),
        ('"ada,,,', "not CSV"),
        ('"ada"x,,,', "not CSV"),
        ("ada,pw," + SSHA + ",", "both password and password_hash"),
        ("ada,,{CLEARTEXT}hush-hush,", "form that is not known"),
        ("ada,,$2b$31$" + "hushhush" * 6 + "hush.,", "cost"),
        ("ada,,,xyz-hush", "not hexadecimal"),
        ("ada,,,abcd", "10 to 128 bytes"),
        ("ada," + "hush" * 300 + ",,", "1 to 1024 bytes"),
    ],
)
def test_a_bad_row_is_told_by_line_and_reason_and_never_shows_a_secret(row: str, why: str) -> None:
    first, bad, last = rows_of(f"username,password,password_hash,totp_secret_hex\nerin,,,\n{row}\nbob,,,\n")

    assert isinstance(first, ImportRow)
    assert isinstance(last, ImportRow)
    assert isinstance(bad, BadRow)
    assert (bad.line, first.line, last.line) == (3, 2, 4)
    assert why in bad.reason
    assert "hush" not in bad.reason


def test_a_row_that_is_not_utf_8_is_bad() -> None:
    assert reason(b"username,display_name\nada,\xdcnal\n") == "not UTF-8"


def test_an_endless_line_costs_bounded_memory_and_spoils_only_itself() -> None:
    endless, bob = rows_of(b"username\n" + b"x" * (MAX_ROW_BYTES * 50) + b"\nbob\n")

    assert isinstance(endless, BadRow)
    assert isinstance(bob, ImportRow)
    assert (endless.line, bob.line) == (2, 3)


def test_a_file_with_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardgate.admin.import_file.MAX_ROWS", 2)

    assert len(rows_of("username\na\nb\n")) == 2
    with pytest.raises(UsageError, match="split"):
        rows_of("username\na\nb\nc\n")


@pytest.mark.parametrize(
    ("text", "lines"), [(b"", 0), (b"h\n", 0), (b"h\na", 1), (b"h\na\n", 1), (b"h\na\nb", 2), (b"h\na\nb\n", 2)]
)
def test_lines_are_counted_for_the_progress(text: bytes, lines: int) -> None:
    stream = io.BytesIO(text)

    assert count_lines(stream) == lines
    assert stream.tell() == 0


def test_a_pipe_has_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert count_lines(Pipe(b"h\na\n")) is None


@given(st.lists(st.binary(max_size=60)))
def test_any_bytes_are_rows_or_bad_rows(lines: list[bytes]) -> None:
    body = b"\n".join(line.replace(b"\n", b"") for line in lines)
    taken: list[Any] = rows_of(b"username,password,password_hash,mail,phone,groups,totp_secret_hex\n" + body)

    assert all(isinstance(row, ImportRow | BadRow) for row in taken)
    assert [row.line for row in taken] == sorted({row.line for row in taken})
