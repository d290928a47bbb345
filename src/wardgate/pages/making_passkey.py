"""A passkey that a browser makes: the question, what of the answer is kept, and what enrols it. For every page alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from wardgate.account.authenticator import Authenticator, create_authenticator
from wardgate.account.freeze import unfrozen
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.clock import to_ms
from wardgate.crypto import random_bytes
from wardgate.factors.passkey import CHALLENGE_BYTES, TIMEOUT_MS, PasskeyFactor, encoded, handle_of, read_shown
from wardgate.factors.port import Site
from wardgate.jsons import dumps
from wardgate.pages.browser import Form
from wardgate.pages.door import BrowserDoor
from wardgate.pages.enrolling import BY_PERSON
from wardgate.storage.port import Operation

MAX_ATTESTATION_BYTES: Final = 8 * 1024
# EdDSA, ES256 and RS256: what every authenticator has one of.
ALGORITHMS: Final = (-8, -7, -257)


class Named(Protocol):
    """Whose passkey it is, as his browser will list it."""

    @property
    def name(self) -> str: ...
    @property
    def display_name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class MadePasskey:
    """A passkey that a browser made: what is kept of it, how often it has signed, and whether a PIN or finger unlocked it."""

    settings: dict[str, str | int]
    count: int
    user_verified: bool


def new_question() -> str:
    """The challenge of a new passkey, in hexadecimal."""
    return random_bytes(CHALLENGE_BYTES).hex()


def creation_options(
    door: BrowserDoor, subject_id: SubjectId, user: Named, challenge: str, site: Site, active: Sequence[Authenticator]
) -> str:
    """What the browser is asked, as `PublicKeyCredential.parseCreationOptionsFromJSON` takes it."""
    passkeys = [each for each in active if each.kind == PasskeyFactor.kind]
    options = {
        "rp": {"id": site.rp_id, "name": door.configuration().applications[door.portal()].title},
        "user": {
            "id": encoded(handle_of(subject_id)),
            "name": user.name,
            "displayName": user.display_name or user.name,
        },
        "challenge": encoded(bytes.fromhex(challenge)),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": TIMEOUT_MS,
        "excludeCredentials": [{"type": "public-key", "id": each.settings["credential"]} for each in passkeys],
        "authenticatorSelection": {"residentKey": "preferred", "userVerification": "preferred"},
        "attestation": "none",
    }
    return dumps(options)


def passkey_operations(
    door: BrowserDoor, subject_id: SubjectId, user_name: str, made: MadePasskey, label: str, client: str
) -> list[Operation]:
    """What enrols a passkey that was made, with its event; refused while the account is frozen."""
    now_ms = to_ms(door.clock.now())
    authenticator_id, insert = create_authenticator(
        door.ring(), subject_id, PasskeyFactor.kind, label, made.settings, None, made.count, now_ms
    )
    details = {"user": user_name, "kind": PasskeyFactor.kind, "authenticator": authenticator_id, "client": client}
    event = AuditEvent(Kind.AUTHENTICATOR_ADDED, now_ms, "person", subject_id=subject_id, details=details)
    return [unfrozen(subject_id), insert, record(event)]


def made_passkey(form: Form, challenge: str, site: Site) -> MadePasskey | None:
    """What is kept of the passkey that a browser brought back; None where it is not for this question, or none at all."""
    # As with assertions: only who makes a passkey waits for the library that checks it.
    from wardgate.factors.webauthn_checks import check_attestation

    given = form.secret("passkey")
    shown = read_shown(given) if len(given) <= MAX_ATTESTATION_BYTES else None
    body: Any = shown.body if shown is not None else {}
    made = check_attestation(body, bytes.fromhex(challenge), site)
    if made is None:
        return None
    settings: dict[str, str | int] = {
        "credential": encoded(made.credential_id),
        "public_key": encoded(made.public_key),
        "transports": ",".join(made.transports),
        "backed_up": int(made.backed_up),
        "by": BY_PERSON,
    }
    return MadePasskey(settings, made.count, made.user_verified)
