"""The overlay's control and times: bytes in, values out, and garbage that ends in one error."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardgate.directory.ldap.port import Control, Entry, Result
from wardgate.directory.openldap.ppolicy import NOTHING, OID, Told, decode, later, read_policy, read_time, told, write_time
from wardgate.errors import MessageError


# As OpenLDAP 2.5 sends them.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3000", Told()),
        ("3007a0058003 03f430".replace(" ", ""), Told(expires_in_s=259_120)),
        ("3005a003810101", Told(grace_left=1)),
        ("3005a003810100", Told(grace_left=0)),
        ("3003810100", Told(error=0)),
        ("3003810102", Told(error=2)),
        ("3008a003810100810102", Told(grace_left=0, error=2)),
    ],
)
def test_a_response_is_read(value: str, expected: Told) -> None:
    assert decode(bytes.fromhex(value)) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "30",
        "3001",
        "300000",
        "3080a00381010100 00".replace(" ", ""),
        "3003820101",
        "3005a003820101",
        "3002a000",
        "3006a00481010000",
        "3008a003810101a003",
        "3003810000",
        "300b8109000000000000000001",
        "0400",
        "3006810101810101",
    ],
)
def test_a_garbled_response_is_an_error(value: str) -> None:
    with pytest.raises(MessageError):
        decode(bytes.fromhex(value))


@given(st.binary(max_size=64))
def test_no_bytes_bring_the_decoder_down(value: bytes) -> None:
    with contextlib.suppress(MessageError):
        assert isinstance(decode(value), Told)


def test_no_control_or_an_empty_one_says_nothing() -> None:
    assert told(Result(0)) == NOTHING
    assert told(Result(49, controls=(Control(OID),))) == NOTHING
    assert told(Result(49, controls=(Control("1.2.3", value=b"\x30\x03\x81\x01\x01"),))) == NOTHING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20261122051303Z", datetime(2026, 11, 22, 5, 13, 3, tzinfo=UTC)),
        ("20261122051303.631236Z", datetime(2026, 11, 22, 5, 13, 3, 631236, tzinfo=UTC)),
        ("20261122051303,5Z", datetime(2026, 11, 22, 5, 13, 3, 500000, tzinfo=UTC)),
        ("202611220513Z", datetime(2026, 11, 22, 5, 13, tzinfo=UTC)),
        ("2026112205Z", datetime(2026, 11, 22, 5, tzinfo=UTC)),
        ("20261231235960Z", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_read(text: str, expected: datetime) -> None:
    assert read_time(text) == expected


@pytest.mark.parametrize(
    "text", [None, "", "000001010000Z", "20261122051303", "20261322051303Z", "2026112205130３Z", "20261122051303+0100", "9" * 41]
)
def test_what_is_no_time_is_none(text: str | None) -> None:
    assert read_time(text) is None


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))
def test_a_time_that_was_written_is_read_again(at: datetime) -> None:
    assert read_time(write_time(at).decode()) == at.replace(microsecond=0)


def test_a_time_beyond_all_dates_is_never() -> None:
    assert later(datetime(2026, 1, 1, tzinfo=UTC), 10**12) is None
    assert later(datetime(2026, 1, 1, tzinfo=UTC), 10**30) is None


def test_a_policy_is_read_and_what_is_absent_is_no_rule() -> None:
    entry = Entry("cn=p", {"pwdminlength": (b"8",), "pwdcheckquality": (b"2",), "pwdmaxfailure": (b"5",), "pwdlockout": (b"TRUE",)})
    policy = read_policy(entry)

    assert (policy.rules().min_length, policy.rules().history, policy.threshold) == (8, 0, 5)
    assert policy.user_may_change
    assert read_policy(Entry("cn=p", {})).rules().min_length == 0


def test_a_policy_that_does_not_lock_has_no_threshold_and_one_that_does_not_check_no_length() -> None:
    policy = read_policy(Entry("cn=p", {"pwdmaxfailure": (b"5",), "pwdlockout": (b"FALSE",), "pwdminlength": (b"8",)}))

    assert (policy.threshold, policy.rules().min_length) == (0, 0)


@pytest.mark.parametrize("value", [b"-5", b"many", b"\xff", b"9" * 30])
def test_a_number_that_is_none_is_no_rule(value: bytes) -> None:
    assert read_policy(Entry("cn=p", {"pwdmaxage": (value,)})).max_age_s == 0
