"""Passkeys: a key pair in a phone, a computer or a security key, which signs for one web site only. WebAuthn level 3.

It needs a browser, so a door without pages never asks for it. What a browser brings back is judged by `webauthn_checks.py`; here
is what is asked, whose it is, and what a right answer claims. One that was unlocked by PIN or finger counts as two proofs.
"""

from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from wardgate.account.authenticator import Authenticator
from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.crypto import random_bytes
from wardgate.delivery.port import Channel
from wardgate.factors.port import Asked, Holder, Right, Site, Task, Verdict, Wrong
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Update, Where
from wardgate.texts import Text
from wardgate.values import quick_value

CHALLENGE_BYTES = 32
MAX_ASSERTION_BYTES = 8 * 1024
# WebAuthn section 5.8.3: no credential id is longer than 1023 bytes.
MAX_CREDENTIAL_CHARS = 1364
# What a browser waits for the person: as long as a code lives.
TIMEOUT_MS = 180_000
# A key in COSE form (RFC 9053 section 7.1.1) that is nobody's, for its work alone: ES256 with the base point of P-256 (SEC 2
# section 2.4.2).
NOBODYS_KEY = bytes.fromhex(
    "a5010203262001"
    "2158206b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "2258204fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
# A passkey that this person does not have is no guess at one that he has.
UNKNOWN = Wrong("passkey_unknown", counted=False, told=Text("passkey.unknown"))
WRONG = Wrong("passkey_wrong")
# It signed fewer times than we have seen already: there are two of it, and either may be the thief's.
COUNTED_BACK = Wrong("passkey_counter")


@quick_value
class Shown:
    """What a browser brought back. `credential` and `handle` say which passkey it is and whose; nothing of it is proved yet."""

    body: Mapping[str, Any]
    credential: str
    handle: bytes
    challenge: bytes


class PasskeyFactor:
    """Passkeys as a factor."""

    kind = "passkey"
    strong = True
    channel: Channel | None = None
    words: tuple[str, ...] = ("passkey",)
    max_answer_bytes = MAX_ASSERTION_BYTES
    link_text = "approve.ask_passkey"

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has a passkey."""
        return holder.has(self.kind)

    def destination(self, holder: Holder) -> str | None:
        """Nothing is sent."""
        return None

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Have one of the subject's passkeys sign 32 random bytes."""
        kept = memory or {"challenge": encoded(random_bytes(CHALLENGE_BYTES))}
        return Asked(self.repeat(holder, kept), kept)

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """Ask again. What the browser is handed stands in `options`, which no sentence shows."""
        options = request_options(str(memory.get("challenge", "")), holder.of_kind(self.kind))
        return Text("code.ask_passkey", {"options": dumps(options)})

    def ask_anybody(self, memory: Mapping[str, object]) -> Asked:
        """Have any passkey of this site sign: the ids of somebody's would tell that there is such a person, and that he has one."""
        kept = memory or {"challenge": encoded(random_bytes(CHALLENGE_BYTES))}
        return Asked(Text("code.ask_passkey", {"options": dumps(request_options(str(kept.get("challenge", ""))))}), kept)

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Judge what the browser brought back for this challenge."""
        challenge = decoded(str(memory.get("challenge", "")))
        if task.site is None or len(challenge) != CHALLENGE_BYTES:
            return WRONG
        shown = read_shown(answer)
        if shown is None:
            return WRONG
        authenticator = passkey_of(holder.authenticators, shown)
        if authenticator is None:
            _check_for_nothing(shown, challenge, task.site)
            return UNKNOWN
        return judge(authenticator, shown, challenge, task.site, task.now)


def request_options(challenge: str, allowed: Sequence[Authenticator] = ()) -> Mapping[str, object]:
    """What a browser is asked, as `PublicKeyCredential.parseRequestOptionsFromJSON` takes it.

    Nothing allowed: whichever passkey of this site the person chooses. The site is the page's own, so it is not named.
    """
    credentials = [
        {
            "type": "public-key",
            "id": str(each.settings["credential"]),
            "transports": [word for word in str(each.settings.get("transports", "")).split(",") if word],
        }
        for each in allowed
    ]
    return {"challenge": challenge, "timeout": TIMEOUT_MS, "userVerification": "preferred", "allowCredentials": credentials}


def read_shown(given: bytes) -> Shown | None:
    """What a browser brought back; None for anything that no browser makes."""
    if len(given) > MAX_ASSERTION_BYTES:
        return None
    try:
        body = loads(given)
        credential, response = body["id"], body["response"]
        handle, client = response.get("userHandle") or "", loads(decoded(response["clientDataJSON"]))
        challenge = decoded(client["challenge"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(credential, str) or not 0 < len(credential) <= MAX_CREDENTIAL_CHARS or not isinstance(handle, str):
        return None
    whose = decoded(handle)
    # A handle that cannot be read is not the same as none.
    return Shown(body, credential, whose, challenge) if whose or not handle else None


def passkey_of(authenticators: Sequence[Authenticator], shown: Shown) -> Authenticator | None:
    """The one that was shown; None where it is not among these, or says that it is somebody else's."""
    for each in authenticators:
        if each.kind == PasskeyFactor.kind and each.settings.get("credential") == shown.credential:
            return each if shown.handle in (b"", handle_of(each.subject_id)) else None
    return None


def judge(authenticator: Authenticator, shown: Shown, challenge: bytes, site: Site, now: datetime) -> Verdict:
    """Whether this passkey signed this challenge, on a page of ours, and more often than before."""
    # Only where somebody uses a passkey: it takes 80 ms and 5 MiB to load, and most processes serve no browser.
    from wardgate.factors.webauthn_checks import check_assertion

    signed = check_assertion(shown.body, challenge, site, decoded(str(authenticator.settings["public_key"])))
    if signed is None:
        return WRONG
    before = authenticator.counter
    if (signed.count or before) and signed.count <= before:
        return COUNTED_BACK
    # Passkeys that go along with a person from device to device do not count: theirs stays 0.
    unchanged = Where("counter", "<", signed.count) if signed.count else Where("counter", "=", 0)
    claim = Update(
        "authenticator",
        {"id": authenticator.id},
        {"counter": signed.count, "last_used_at": to_ms(now)},
        where=(unchanged, Where("state", "=", "active")),
    )
    return Right((claim,), COUNTED_BACK, authenticator.id, twofold=signed.user_verified)


def _check_for_nothing(shown: Shown, challenge: bytes, site: Site) -> None:
    """The work of a check by a key that nobody has: the time of a refusal tells nobody whether the passkey is the person's."""
    from wardgate.factors.webauthn_checks import check_assertion

    check_assertion(shown.body, challenge, site, NOBODYS_KEY)


def handle_of(subject_id: SubjectId) -> bytes:
    """Whose a passkey is, as it keeps it: our own id for the person, never a name. WebAuthn section 14.6.1."""
    return bytes.fromhex(subject_id)


def encoded(value: bytes) -> str:
    """Base64url without padding, as browsers write it."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The bytes of such a text; empty for what is none."""
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, TypeError):
        return b""
