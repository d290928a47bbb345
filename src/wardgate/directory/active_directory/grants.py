"""The exact lines that give a right: for Windows (`dsacls`), and as SDDL for Samba (`samba-tool dsacl set`)."""

from dataclasses import dataclass
from typing import Final

# [MS-ADTS] section 5.1.3.2.1 and the schema: rights and attributes go by GUID in an access control entry.
_USERS: Final = "bf967aba-0de6-11d0-a285-00aa003049e2"
_RESET: Final = "00299570-246d-11d0-a768-00aa006e0529"
_ATTRIBUTES: Final = {
    "lockoutTime": "28630ebf-41d5-11d1-a9c1-0000f80367c1",
    "pwdLastSet": "bf967a0a-0de6-11d0-a285-00aa003049e2",
    "mobile": "f0f8ffa3-1191-11d0-a060-00aa006c33ed",
    "mail": "bf967961-0de6-11d0-a285-00aa003049e2",
}


@dataclass(frozen=True, slots=True)
class Grantee:
    """Our account: `ACME\\svc-sspr` and its SID."""

    account: str
    sid: str


def to_reset(who: Grantee, ou: str) -> tuple[str, ...]:
    """To set the password of users below an OU."""
    return (
        f'dsacls "{ou}" /I:S /G "{who.account}:CA;Reset Password;user"',
        _samba(ou, f"(OA;CIIO;CR;{_RESET};{_USERS};{who.sid})"),
    )


def to_write(who: Grantee, ou: str, attribute: str) -> tuple[str, ...]:
    """To write an attribute of users below an OU. Attributes whose GUID is not known here have the Windows line only."""
    lines = (f'dsacls "{ou}" /I:S /G "{who.account}:RPWP;{attribute};user"',)
    guid = _ATTRIBUTES.get(attribute)
    return lines if guid is None else (*lines, _samba(ou, f"(OA;CIIO;RPWP;{guid};{_USERS};{who.sid})"))


def to_read(who: Grantee, dn: str) -> tuple[str, ...]:
    """To read everything below an entry."""
    return (f'dsacls "{dn}" /I:T /G "{who.account}:GR"', _samba(dn, f"(A;CI;RPLCLORC;;;{who.sid})"))


def to_read_groups(who: Grantee) -> tuple[str, ...]:
    """To read the groups of a user, `tokenGroups` that is."""
    member = who.account.rpartition("\\")[2]
    return (
        f'Add-ADGroupMember "Windows Authorization Access Group" "{member}"',
        f'samba-tool group addmembers "Windows Authorization Access Group" {member}',
    )


def _samba(dn: str, entry: str) -> str:
    return f'samba-tool dsacl set --objectdn="{dn}" --sddl="{entry}"'
