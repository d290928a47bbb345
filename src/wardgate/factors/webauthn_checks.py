"""What a passkey's answers are worth, by py_webauthn: bytes in, values out. Only this module knows that library.

WebAuthn level 3 sections 7.1 and 7.2, but for the counter and for whose the passkey is: those are the callers' matter.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import parse_attestation_object, parse_registration_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import AttestationFormat, RegistrationCredential

from wardgate.factors.port import Site
from wardgate.values import quick_value

# What the library and those below it raise for what no authenticator makes.
_MALFORMED = (WebAuthnException, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError, RecursionError)


@quick_value
class Signed:
    """A right assertion: how often the passkey says that it has signed, and whether a PIN or finger unlocked it."""

    count: int
    user_verified: bool


@quick_value
class Made:
    """A new passkey. `transports`: how a browser reaches it, as it says."""

    credential_id: bytes
    public_key: bytes
    count: int
    user_verified: bool
    backed_up: bool
    transports: tuple[str, ...]


def check_assertion(body: Mapping[str, Any], challenge: bytes, site: Site, public_key: bytes) -> Signed | None:
    """What was signed for this challenge at this site by this key; None for anything else."""
    try:
        checked = verify_authentication_response(
            credential=dict(body),
            expected_challenge=challenge,
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=public_key,
            # The caller compares, and makes it a condition of what is written.
            credential_current_sign_count=0,
        )
    except _MALFORMED:
        return None
    return Signed(checked.new_sign_count, checked.user_verified)


def check_attestation(body: Mapping[str, Any], challenge: bytes, site: Site) -> Made | None:
    """The passkey that was made for this challenge at this site; None for anything else.

    Who built it is not asked, so nothing but `none` and what a browser leaves in place of it is taken: `packed` signed by the
    passkey's own key. All else would have us parse other makers' certificates for nothing.
    """
    try:
        credential = parse_registration_credential_json(dict(body))
        if not _says_nothing(credential):
            return None
        checked = verify_registration_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=site.rp_id, expected_origin=site.origin
        )
    except _MALFORMED:
        return None
    return Made(
        checked.credential_id,
        checked.credential_public_key,
        checked.sign_count,
        checked.user_verified,
        checked.credential_backed_up,
        tuple(sorted({each.value for each in credential.response.transports or ()})),
    )


def _says_nothing(credential: RegistrationCredential) -> bool:
    attestation = parse_attestation_object(credential.response.attestation_object)
    if attestation.fmt == AttestationFormat.NONE:
        return True
    return attestation.fmt == AttestationFormat.PACKED and not attestation.att_stmt.x5c
