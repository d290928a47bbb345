"""What kind of proof an Access-Request carries.

RFC 2865 section 4.1 wants one of User-Password, CHAP-Password or State; MS-CHAP (RFC 2548) and EAP-Message (RFC 3579)
came later. A request with two kinds is refused: which one was meant is a guess, and guesses are how checks are evaded.
"""

from enum import Enum

from wardgate.radius.packet import Packet, Type

MICROSOFT = 311
_MS_CHAP_RESPONSE = 1
_MS_CHAP2_RESPONSE = 25


class Credential(Enum):
    """The kind of proof. `STATE` alone answers a challenge without text; `NOTHING` has not even that."""

    PAP = "pap"
    CHAP = "chap"
    MS_CHAP = "ms_chap"
    EAP = "eap"
    STATE = "state"
    NOTHING = "nothing"
    SEVERAL = "several"


def credential(request: Packet) -> Credential:
    """Name the kind of proof in a request."""
    kinds = request.firsts
    found = [proof for number, proof in _STANDARD if number in kinds]
    if Type.VENDOR_SPECIFIC in kinds and _has_ms_chap(request):
        found.append(Credential.MS_CHAP)
    if len(found) > 1 or (len(kinds) < len(request.attributes) and _has_two_passwords(request)):
        return Credential.SEVERAL
    if found:
        return found[0]
    return Credential.STATE if Type.STATE in kinds else Credential.NOTHING


_STANDARD = (
    (Type.USER_PASSWORD, Credential.PAP),
    (Type.CHAP_PASSWORD, Credential.CHAP),
    (Type.EAP_MESSAGE, Credential.EAP),
)


def _has_two_passwords(request: Packet) -> bool:
    return len(request.all(Type.USER_PASSWORD)) > 1 or len(request.all(Type.CHAP_PASSWORD)) > 1


def _has_ms_chap(request: Packet) -> bool:
    return bool(request.vendor(MICROSOFT, _MS_CHAP_RESPONSE) or request.vendor(MICROSOFT, _MS_CHAP2_RESPONSE))
