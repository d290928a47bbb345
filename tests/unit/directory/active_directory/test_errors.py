"""What the codes of Samba and of Windows mean. The words around them are never read."""

import pytest

from wardgate.directory.active_directory.errors import Refusal, refusal, trouble, verdict, windows_code
from wardgate.directory.ldap.port import Result
from wardgate.directory.port import PasswordVerdict
from wardgate.errors import DirectoryUnavailable

SAMBA = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {}, v1db1"
WINDOWS = "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {}, v4563\0"


@pytest.mark.parametrize("form", [SAMBA, WINDOWS])
@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("52e", PasswordVerdict.WRONG),
        ("525", PasswordVerdict.WRONG),
        ("530", PasswordVerdict.HOURS),
        ("531", PasswordVerdict.WORKSTATION),
        ("532", PasswordVerdict.EXPIRED),
        ("533", PasswordVerdict.DISABLED),
        ("701", PasswordVerdict.ACCOUNT_EXPIRED),
        ("773", PasswordVerdict.MUST_CHANGE),
        ("775", PasswordVerdict.LOCKED),
        ("52E", PasswordVerdict.WRONG),
        ("52f", PasswordVerdict.REFUSED),
        ("0", PasswordVerdict.REFUSED),
    ],
)
def test_each_sub_code_has_its_verdict(form: str, code: str, meant: PasswordVerdict) -> None:
    assert verdict("ad", Result(49, form.format(code))) is meant


@pytest.mark.parametrize("diagnostic", ["", "\0", "data", "no data here", "database 52e", "data zzz"])
def test_invalid_credentials_without_a_sub_code_are_wrong(diagnostic: str) -> None:
    assert verdict("ad", Result(49, diagnostic)) is PasswordVerdict.WRONG


def test_nothing_but_success_lets_in() -> None:
    assert verdict("ad", Result(0)) is PasswordVerdict.RIGHT
    for code in (1, 2, 8, 13, 14, 32, 34, 48, 50, 53, 80, 4096):
        with pytest.raises(DirectoryUnavailable):
            verdict("ad", Result(code, SAMBA.format("532")))


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (Result(8, "BindSimple: Transport encryption required.", server="dc1:389"), "ldaps://"),
        (
            Result(49, "80090346: LdapErr: DSID-0C0906B8, comment: AcceptSecurityContext error, data 80090346, v4563"),
            "channel binding",
        ),
        (Result(51, "busy", server="dc1:636"), "dc1:636"),
    ],
)
def test_a_bind_that_says_nothing_of_the_password_tells_the_operator_what_to_do(result: Result, told: str) -> None:
    with pytest.raises(DirectoryUnavailable, match=told):
        verdict("ad", result)


@pytest.mark.parametrize(
    ("code", "diagnostic", "meant"),
    [
        (19, "0000052D: Constraint violation - check_password_restrictions: the password is too short.", Refusal.POLICY),
        (
            19,
            "0000052D: AtrErr: DSID-03191083, #1:\n\t0: 0000052D: problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a",
            Refusal.POLICY,
        ),
        (53, "0000052D: SvcErr: DSID-031A120C, problem 5003 (WILL_NOT_PERFORM), data 0\0", Refusal.POLICY),
        (19, "00000056: Constraint violation - The old password specified doesn't match!", Refusal.OLD_WRONG),
        (
            19,
            "00000056: AtrErr: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE), data 0, Att 9005a (unicodePwd)",
            Refusal.OLD_WRONG,
        ),
        (19, "00000775: Password change not permitted, account locked out!", Refusal.LOCKED),
        (50, "error in module acl: insufficient access rights", Refusal.RIGHT),
        (50, "00000005: SecErr: DSID-031A1190, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0", Refusal.RIGHT),
        (50, "00002098: Object CN=x has no write property access", Refusal.RIGHT),
        (32, "00002030: No such Base DN", Refusal.GONE),
        (32, "0000208D: NameErr: DSID-0310028B, problem 2001 (NO_OBJECT), data 0", Refusal.GONE),
        (53, "0000001F: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0", Refusal.TLS),
        (12, "Critical extension is unavailable", Refusal.CONTROL),
        (53, "00002035: setup_io: it's not allowed to set the NT hash password directly'", Refusal.OTHER),
        (4096, "0000052", Refusal.OTHER),
        (19, "", Refusal.OTHER),
    ],
)
def test_a_refusal_is_known_by_its_first_eight_digits(code: int, diagnostic: str, meant: Refusal) -> None:
    assert refusal(Result(code, diagnostic)) is meant


def test_a_code_that_is_no_number_is_none() -> None:
    assert [windows_code(Result(19, text)) for text in ("", "0000052D", "0000052Dx", "error", "52D: x")] == [
        None,
        0x52D,
        None,
        None,
        None,
    ]


def test_what_the_server_says_in_words_is_never_repeated() -> None:
    message = trouble("ad", "a reset", Result(53, "0000FFFF: CN=Alice Kaya, password hunter2", server="dc1:636")).message

    assert "0000FFFF" in message
    assert "dc1:636" in message
    assert "Alice" not in message
    assert "hunter2" not in message
