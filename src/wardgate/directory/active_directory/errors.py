"""What Active Directory's codes mean: the sub-code of a refused bind, and the Windows code of a refused modification.

Only codes are read. The words around them differ between versions and makers, and some of them name the account.
"""

import re
from enum import StrEnum
from typing import Final

from wardgate.directory.ldap.port import Code, Result
from wardgate.directory.port import PasswordVerdict
from wardgate.errors import DirectoryUnavailable

# `80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data 52e, v1db1`, from Windows with a NUL behind it.
_SUB_CODE = re.compile(r"\bdata ([0-9a-f]{1,8})\b", re.IGNORECASE)
_WINDOWS_CODE = re.compile(r"\s*([0-9a-f]{8})\b", re.IGNORECASE)
_CHANNEL_BINDING: Final = 0x80090346

_VERDICTS: Final = {
    0x525: PasswordVerdict.WRONG,  # no such user: Windows says so where Samba says 52e
    0x52E: PasswordVerdict.WRONG,
    0x530: PasswordVerdict.HOURS,
    0x531: PasswordVerdict.WORKSTATION,
    0x532: PasswordVerdict.EXPIRED,
    0x533: PasswordVerdict.DISABLED,
    0x701: PasswordVerdict.ACCOUNT_EXPIRED,
    0x773: PasswordVerdict.MUST_CHANGE,
    0x775: PasswordVerdict.LOCKED,
}


class Refusal(StrEnum):
    """Why a modification was not made."""

    POLICY = "policy"
    OLD_WRONG = "old_wrong"
    LOCKED = "locked"
    RIGHT = "right"
    GONE = "gone"
    TLS = "tls"
    CONTROL = "control"
    OTHER = "other"


_WINDOWS: Final = {
    0x0000052D: Refusal.POLICY,  # ERROR_PASSWORD_RESTRICTION
    0x00000056: Refusal.OLD_WRONG,  # ERROR_INVALID_PASSWORD
    0x00000775: Refusal.LOCKED,  # ERROR_ACCOUNT_LOCKED_OUT
    0x00000005: Refusal.RIGHT,  # ERROR_ACCESS_DENIED
    0x00002098: Refusal.RIGHT,  # ERROR_DS_INSUFF_ACCESS_RIGHTS
    0x00002030: Refusal.GONE,  # ERROR_DS_NO_SUCH_OBJECT
    0x0000208D: Refusal.GONE,  # ERROR_DS_OBJ_NOT_FOUND
    0x0000001F: Refusal.TLS,  # ERROR_GEN_FAILURE: unicodePwd without encryption
}
_BY_RESULT: Final = {
    Code.INSUFFICIENT_ACCESS: Refusal.RIGHT,
    Code.NO_SUCH_OBJECT: Refusal.GONE,
    Code.CONFIDENTIALITY_REQUIRED: Refusal.TLS,
    Code.STRONGER_AUTH_REQUIRED: Refusal.TLS,
    Code.UNAVAILABLE_CRITICAL_EXTENSION: Refusal.CONTROL,
}


def windows_code(result: Result) -> int | None:
    """The Windows code that a diagnostic begins with."""
    found = _WINDOWS_CODE.match(result.diagnostic)
    return int(found[1], 16) if found else None


def verdict(directory: str, result: Result) -> PasswordVerdict:
    """What the answer to a bind says of the password. Raises DirectoryUnavailable where it says nothing of it.

    A sub-code that we do not know comes of a restriction of the account: REFUSED. 775 comes for a wrong password too.
    """
    if result.good:
        return PasswordVerdict.RIGHT
    if result.code != Code.INVALID_CREDENTIALS:
        raise bind_trouble(directory, result)
    if windows_code(result) == _CHANNEL_BINDING:
        raise DirectoryUnavailable(f"directory {directory}: {result.server} demands channel binding for this bind; use ldaps://")
    found = _SUB_CODE.search(result.diagnostic)
    return PasswordVerdict.WRONG if found is None else _VERDICTS.get(int(found[1], 16), PasswordVerdict.REFUSED)


def bind_trouble(directory: str, result: Result) -> DirectoryUnavailable:
    """A bind that was refused for no reason of the account's."""
    if result.code in (Code.STRONGER_AUTH_REQUIRED, Code.CONFIDENTIALITY_REQUIRED):
        problem = "takes no password over this connection; use ldaps:// or ldap+starttls://"
    else:
        problem = f"answered a bind with LDAP result {result.code}{_hexadecimal(result)}"
    return DirectoryUnavailable(f"directory {directory}: {result.server} {problem}")


def refusal(result: Result) -> Refusal:
    """Why a modification was refused. Windows sends the code of a password rule with result 19 or 53, so the code goes first."""
    code = windows_code(result)
    if code in _WINDOWS:
        return _WINDOWS[code]
    return _BY_RESULT.get(Code(result.code), Refusal.OTHER) if result.code in set(Code) else Refusal.OTHER


def trouble(directory: str, doing: str, result: Result) -> DirectoryUnavailable:
    """A refusal for which no user and no right is to blame."""
    if refusal(result) is Refusal.TLS:
        cure = "it wants encryption for this; use ldaps:// or ldap+starttls://"
    else:
        cure = f"LDAP result {result.code}{_hexadecimal(result)}; its event log says more"
    return DirectoryUnavailable(f"directory {directory}: {result.server} refused {doing}: {cure}")


def _hexadecimal(result: Result) -> str:
    code = windows_code(result)
    return "" if code is None else f", Windows code {code:08X}"
