"""Which accounts a typed name may mean: `u`, `D\\u`, `u@d` or a mail address, as a filter and as a test of what it found.

The server compares without case, and Windows without accents too, so that `gul` finds `gül`. What comes back is therefore compared
once more by our own rule, and a name never becomes another person's.
"""

from collections.abc import Set
from dataclasses import dataclass
from typing import Final

from wardgate.directory.active_directory.accounts import PERSONS
from wardgate.directory.ldap.filters import escape
from wardgate.directory.ldap.port import Entry
from wardgate.directory.names import canonical_name

ACCOUNT: Final = "sAMAccountName"
PRINCIPAL: Final = "userPrincipalName"
# [MS-ADTS] section 3.1.1.8.1.1 and [MS-SAMR]: none of these can stand in an account name, nor in the part before @.
_IMPOSSIBLE: Final = frozenset('"/[]:;|=,+*?<>')


@dataclass(frozen=True, slots=True)
class LookUp:
    """What to look for: attributes with the value, in canonical form, that each would have to have."""

    wanted: tuple[tuple[str, str], ...]
    user_filter: str = ""

    @property
    def filter_text(self) -> str:
        """The filter for the server."""
        choices = "".join(f"({name}={escape(value)})" for name, value in self.wanted)
        return f"(&{PERSONS}{self.user_filter}(|{choices}))"

    def is_meant(self, entry: Entry) -> bool:
        """Whether one of the attributes has the very name."""
        return any(canonical_name(found) == value for name, value in self.wanted for found in entry.texts(name))


def look_up(typed: str, words: Set[str], mail: str, user_filter: str = "") -> LookUp | None:
    """What to look for, or None for what can be nobody's name here.

    `words`: what may stand for this domain (NetBIOS name, DNS name, configured ones), canonical. With another domain before
    the backslash the name is somebody else's. Behind an @ anything may stand: a UPN suffix or a mail domain need not be a domain.
    """
    key = canonical_name(typed)
    if key is None:
        return None
    domain, backslash, account = key.partition("\\")
    if backslash:
        known = domain in words and _possible(account)
        return LookUp(((ACCOUNT, account),), user_filter) if known else None
    account, at, domain = key.rpartition("@")
    if not at:
        return LookUp(((ACCOUNT, key),), user_filter) if _possible(key) else None
    wanted = [(PRINCIPAL, key), (mail, key)]
    if domain in words and _possible(account):
        wanted.append((ACCOUNT, account))
    return LookUp(tuple(wanted), user_filter)


def _possible(account: str) -> bool:
    return (
        bool(account)
        and account == account.strip()
        and "\\" not in account
        and "@" not in account
        and not _IMPOSSIBLE & set(account)
    )
