"""The password modify operation of RFC 3062: setting a password without knowing how the server stores it."""

from typing import Final

from wardgate.crypto import Secret
from wardgate.directory.ldap import ber

OID: Final = "1.3.6.1.4.1.4203.1.11.1"
_IDENTITY, _OLD, _NEW = 0x80, 0x81, 0x82


def request(dn: str | None, old: Secret | None, new: Secret) -> bytes:
    """The request value (section 2). `dn` None: of who is bound. `old`: the server compares it first.

    The new password is always given: the server must not choose one, and must not tell one.
    """
    parts = [] if dn is None else [ber.octets(dn, _IDENTITY)]
    if old is not None:
        parts.append(ber.octets(old.reveal(), _OLD))
    parts.append(ber.octets(new.reveal(), _NEW))
    return ber.sequence(*parts)
