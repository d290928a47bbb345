"""What answers mean that no test server gives at will."""

import pytest

from wardgate.directory.ldap.port import Control, Result
from wardgate.directory.openldap.answers import refuse_password, refuse_write, verdict_of
from wardgate.directory.openldap.ppolicy import OID, Policy
from wardgate.directory.port import AccountState, PasswordNotAccepted, PasswordVerdict, RightMissing
from wardgate.errors import Conflict, DirectoryUnavailable


def answer(code: int, control: str | None = None, diagnostic: str = "") -> Result:
    """An answer, with a control in hexadecimal."""
    controls = () if control is None else (Control(OID, value=bytes.fromhex(control)),)
    return Result(code, diagnostic=diagnostic, controls=controls)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (answer(0), PasswordVerdict.RIGHT),
        (answer(0, "3000"), PasswordVerdict.RIGHT),
        (answer(0, "3005a003800105"), PasswordVerdict.RIGHT),
        (answer(0, "3005a003810100"), PasswordVerdict.EXPIRED),
        (answer(0, "3003810102"), PasswordVerdict.MUST_CHANGE),
        (answer(0, "3003810109"), PasswordVerdict.REFUSED),
        (answer(49), PasswordVerdict.WRONG),
        (answer(49, "3000"), PasswordVerdict.WRONG),
        (answer(49, "3003810100"), PasswordVerdict.EXPIRED),
        (answer(49, "3003810101"), PasswordVerdict.LOCKED),
        (answer(49, "3003810163"), PasswordVerdict.WRONG),
        (answer(48), PasswordVerdict.WRONG),
        (answer(32), PasswordVerdict.WRONG),
        (answer(53), PasswordVerdict.REFUSED),
    ],
)
def test_a_bind_has_one_meaning(result: Result, expected: PasswordVerdict) -> None:
    assert verdict_of(result, "staff", AccountState.ACTIVE) is expected


@pytest.mark.parametrize("code", [0, 49])
@pytest.mark.parametrize("garbage", ["30", "ff", "300101", "3003810101ff"])
def test_a_control_that_cannot_be_read_lets_nobody_in(code: int, garbage: str) -> None:
    with pytest.raises(DirectoryUnavailable, match="control"):
        verdict_of(answer(code, garbage), "staff", AccountState.ACTIVE)


@pytest.mark.parametrize("code", [1, 2, 8, 10, 13, 34, 50, 80])
def test_an_answer_that_decides_nothing_is_no_verdict(code: int) -> None:
    with pytest.raises(DirectoryUnavailable, match=f"result {code}"):
        verdict_of(answer(code), "staff", AccountState.ACTIVE)


def test_an_administrators_lock_says_nothing_about_tries() -> None:
    locked = answer(49, "3003810101")

    assert verdict_of(locked, "staff", AccountState.DISABLED) is PasswordVerdict.REFUSED
    assert verdict_of(locked, "staff", AccountState.LOCKED) is PasswordVerdict.LOCKED


@pytest.mark.parametrize(
    ("result", "rule"),
    [
        (answer(19, "3003810105"), "policy"),
        (answer(19, "3003810106"), "length"),
        (answer(19, "3003810109"), "length"),
        (answer(19, "3003810107"), "min_age"),
        (answer(19, "3003810108"), "history"),
        (answer(19), "policy"),
        (answer(19, "3003810163"), "policy"),
    ],
)
def test_a_refused_password_names_the_rule(result: Result, rule: str) -> None:
    with pytest.raises(PasswordNotAccepted) as refused:
        refuse_password(result, "staff", Policy("cn=p", quality=1, min_length=9), same=False)

    assert refused.value.rule == rule
    assert refused.value.policy is not None
    assert refused.value.policy.min_length == 9


@pytest.mark.parametrize(("control", "match"), [("3003810103", "pwdAllowUserChange"), ("3003810104", "pwdSafeModify")])
def test_a_policy_that_forbids_it_to_anybody_is_a_missing_right(control: str, match: str) -> None:
    with pytest.raises(RightMissing, match=match):
        refuse_password(answer(50, control), "staff", None, same=False)


def test_a_refused_write_is_a_missing_right_a_removed_account_or_no_answer() -> None:
    with pytest.raises(RightMissing, match="mobile"):
        refuse_write(answer(50), "staff", "writing the phone", "mobile")
    with pytest.raises(Conflict):
        refuse_write(answer(32), "staff", "writing the phone", "mobile")
    with pytest.raises(DirectoryUnavailable, match="shadow context"):
        refuse_write(answer(53, diagnostic="shadow context; no update referral"), "staff", "writing the phone", "mobile")
