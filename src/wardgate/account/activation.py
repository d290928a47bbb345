"""Activations: what an operator issues so that a person without any proof of ours can begin, once.

An activation is a link (256 bits, in a message), a start code (64 bits as recovery codes are written, printed or told by the
manager), or both. Stored are keyed fingerprints alone: neither is shown again. Of a person there is one; a new one ends the old.

Two ways use it up, and whichever is first ends it for the other:

- **The first visit of a new person** (`/activate`): link or code is the first proof and never enough by itself; once all is
  proved, the flow that sets the password commits `use` in its unit.
- **Enrolment out of a VPN login**, "an activation code that an operator issued": the password was right, and the code typed beside
  it says that the operator means this person. The login checks `code_fits` and commits `use` together with what the code was good
  for; `count_wrong` where it did not fit. A link plays no part there.

Every change is conditional on the tries that were read, that of a right answer too: of a hundred answers at once three count at
most, whatever their order. The caller's own brakes come before. A wrong code that a stranger typed beside a mere name goes to them
and not to `count_wrong`, or anybody could end anybody's activation.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from wardgate.account.recovery_code import new_code, normalise
from wardgate.account.subject import SubjectId
from wardgate.audit.events import AuditEvent, Kind, record
from wardgate.crypto import KeyRing, Secret, new_id
from wardgate.errors import SealError
from wardgate.storage.port import Find, Operation, Row, Update, Upsert, Where

TABLE: Final = "activation"
TOKEN_BYTES: Final = 32
TRIES: Final = 3
MAIL_LIFE_MS: Final = 24 * 3_600_000
SMS_LIFE_MS: Final = 10 * 60_000
CODE_LIFE_MS: Final = 21 * 86_400_000
MAX_ISSUER_CHARS: Final = 128
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class State(StrEnum):
    """What became of it. SPOILED: too many wrong answers."""

    OPEN = "open"
    USED = "used"
    SPOILED = "spoiled"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Link:
    """How a link goes out. `destination`: the keyed fingerprint of where, so that a code to the same place proves nothing more."""

    channel: str
    destination: str
    life_ms: int


@dataclass(frozen=True, slots=True)
class Activation:
    """A row of `activation`. `tries`: wrong answers so far; `channel` and `destination`: of the link, empty without one.

    `login_name`: how the person is named at sign-in, with his realm where it needs one. `used_by`: the login that used it up.
    `tell`: the mail address of whom the issuer wants told, sealed.
    """

    id: str
    subject_id: SubjectId
    login_name: str
    issuer: str
    state: State
    tries: int
    created_at: int
    expires_at: int
    ended_at: int | None = None
    channel: str = ""
    destination: str = ""
    link_mac: bytes | None = field(default=None, repr=False)
    link_until: int = 0
    code_mac: bytes | None = field(default=None, repr=False)
    code_until: int = 0
    used_by: str = ""
    tell: bytes | None = field(default=None, repr=False)

    def is_open(self, now_ms: int) -> bool:
        """Whether anything of it still works. One that was issued in the future does not: the clock was set back since."""
        return self.state is State.OPEN and self.created_at <= now_ms + _CLOCK_STEP_MS and now_ms < self.expires_at

    def link_works(self, now_ms: int) -> bool:
        """Whether its link still opens."""
        return self.link_mac is not None and self.is_open(now_ms) and now_ms < self.link_until

    def code_works(self, now_ms: int) -> bool:
        """Whether its code still counts."""
        return self.code_mac is not None and self.is_open(now_ms) and now_ms < self.code_until


@dataclass(frozen=True, slots=True)
class Issued:
    """A new activation. `token` and `code` are known here alone. `operation`: for the unit of the message and of the event."""

    activation: Activation
    operation: Operation = field(repr=False)
    token: Secret | None = None
    code: Secret | None = None


@dataclass(frozen=True, slots=True)
class Occasion:
    """In the course of what an activation is used up or a wrong answer counted, for the audit event. `door`: of which door."""

    now_ms: int
    user: str
    door: str
    transaction_id: str = ""
    reference: str = ""
    source: str = ""


# A clock that is kept by steps may go back by so much.
_CLOCK_STEP_MS: Final = 10_000


def issue(
    ring: KeyRing,
    subject_id: SubjectId,
    login_name: str,
    issuer: str,
    at_ms: int,
    link: Link | None = None,
    code_life_ms: int = 0,
    tell: str = "",
) -> Issued:
    """A new activation with a link, with a code (`code_life_ms` above 0), or with both. The person's old one is replaced.

    `tell`: where the issuer wants word of its end, a mail address.
    """
    token = Secret(secrets.token_urlsafe(TOKEN_BYTES)) if link is not None else None
    code = Secret(new_code()) if code_life_ms > 0 else None
    ends = [at_ms + (link.life_ms if link is not None else 0), at_ms + code_life_ms]
    activation = Activation(
        id=new_id(),
        subject_id=subject_id,
        login_name=login_name,
        issuer=issuer[:MAX_ISSUER_CHARS],
        state=State.OPEN,
        tries=0,
        created_at=at_ms,
        expires_at=max(ends),
        channel=link.channel if link is not None else "",
        destination=link.destination if link is not None else "",
        link_mac=_link_mac(ring, token.reveal().decode()) if token is not None else None,
        link_until=ends[0] if token is not None else 0,
        code_mac=_code_mac(ring, subject_id, code.reveal().decode().replace("-", "")) if code is not None else None,
        code_until=ends[1] if code is not None else 0,
        tell=ring.seal(tell.encode(), bound_to(subject_id)) if tell else None,
    )
    return Issued(activation, Upsert(TABLE, _row(activation)), token, code)


def told_address(ring: KeyRing, activation: Activation) -> str:
    """Where the issuer wants word of it; empty: nowhere, or the row was tampered with."""
    try:
        return ring.open(activation.tell, bound_to(activation.subject_id)).decode() if activation.tell is not None else ""
    except SealError:
        return ""


def bound_to(subject_id: str) -> str:
    """The associated data of a row of table `activation`."""
    return f"activation:{subject_id}"


def of_subject(subject_id: SubjectId) -> Find:
    """What to read for the activation of a person, open or not: `read_one` of it."""
    return Find(TABLE, (Where("subject_id", "=", subject_id),), limit=1)


def of_link(mac: bytes) -> Find:
    """What to read for the activation that a link belongs to."""
    return Find(TABLE, (Where("link_mac", "=", mac),), limit=1)


def read_one(rows: Sequence[Row]) -> Activation | None:
    """The activation that was read, if there is one."""
    return _from_row(rows[0]) if rows else None


def link_mac_of(ring: KeyRing, token: str) -> bytes:
    """The fingerprint of what stands in an address. What cannot be a token gets one that no row has, for the same work."""
    return _link_mac(ring, token if _TOKEN.fullmatch(token) else "")


def code_fits(ring: KeyRing, activation: Activation | None, subject_id: str, typed: str, now_ms: int) -> bool:
    """Whether what was typed is the start code of this person, as people type it, and still counts.

    Without an activation the work is the same, and the answer no.
    """
    fits = same_code(ring, subject_id, typed, (activation.code_mac if activation is not None else None) or bytes(32))
    return fits and activation is not None and activation.subject_id == subject_id and activation.code_works(now_ms)


def same_code(ring: KeyRing, subject_id: str, typed: str, kept: bytes) -> bool:
    """Whether what was typed is this person's code by its fingerprint; whether that counts is another question."""
    return hmac.compare_digest(_code_mac(ring, SubjectId(subject_id), normalise(typed) or ""), kept)


def use(activation: Activation, occasion: Occasion) -> list[Operation]:
    """Use it up, in the unit of what it was good for: of two who are right at once, one is let go on. With its event."""
    ended = replace(activation, state=State.USED, ended_at=occasion.now_ms, used_by=occasion.transaction_id)
    return [_change(activation, ended, occasion.now_ms), _event(Kind.ACTIVATION_USED, activation, occasion)]


def count_wrong(activation: Activation, occasion: Occasion) -> tuple[Activation, list[Operation]]:
    """One more wrong answer, and how the activation stands after it. The third ends it, and the event tells its issuer."""
    tries = activation.tries + 1
    if tries < TRIES:
        after = replace(activation, tries=tries)
        return after, [_change(activation, after, occasion.now_ms)]
    after = replace(activation, tries=tries, state=State.SPOILED, ended_at=occasion.now_ms)
    return after, [_change(activation, after, occasion.now_ms), _event(Kind.ACTIVATION_SPOILED, activation, occasion)]


def unchanged(activation: Activation, now_ms: int) -> Operation:
    """Demands that it is as it was read: without this a right answer that came beside wrong ones would be a guess too many."""
    return _change(activation, activation, now_ms)


def cancel(activation: Activation, now_ms: int) -> Operation:
    """Take it back. Refused where it is over already."""
    return _change(activation, replace(activation, state=State.CANCELLED, ended_at=now_ms), now_ms)


def _change(before: Activation, after: Activation, now_ms: int) -> Update:
    still = (
        Where("id", "=", before.id),
        Where("state", "=", State.OPEN.value),
        Where("tries", "=", before.tries),
        Where("expires_at", ">", now_ms),
    )
    changes: Row = {"state": after.state.value, "tries": after.tries, "ended_at": after.ended_at, "used_by": after.used_by}
    return Update(TABLE, {"subject_id": before.subject_id}, changes, where=still)


def _event(kind: Kind, activation: Activation, occasion: Occasion) -> Operation:
    details: dict[str, object] = {
        "user": occasion.user,
        "issuer": activation.issuer,
        "activation": activation.id,
        "door": occasion.door,
        "source": occasion.source,
    }
    return record(
        AuditEvent(
            kind,
            occasion.now_ms,
            "engine",
            transaction_id=occasion.transaction_id or None,
            reference=occasion.reference or None,
            subject_id=activation.subject_id,
            details=details,
        )
    )


def _row(activation: Activation) -> Row:
    return {
        "subject_id": activation.subject_id,
        "id": activation.id,
        "login_name": activation.login_name,
        "issuer": activation.issuer,
        "channel": activation.channel,
        "destination": activation.destination,
        "link_mac": activation.link_mac,
        "link_until": activation.link_until,
        "code_mac": activation.code_mac,
        "code_until": activation.code_until,
        "state": activation.state.value,
        "tries": activation.tries,
        "created_at": activation.created_at,
        "expires_at": activation.expires_at,
        "ended_at": activation.ended_at,
        "used_by": activation.used_by,
        "sealed": activation.tell,
    }


def _from_row(row: Row) -> Activation:
    link_mac, code_mac, ended_at, sealed = row["link_mac"], row["code_mac"], row["ended_at"], row["sealed"]
    return Activation(
        id=str(row["id"]),
        subject_id=SubjectId(str(row["subject_id"])),
        login_name=str(row["login_name"]),
        issuer=str(row["issuer"]),
        state=State(str(row["state"])),
        tries=int(row["tries"] or 0),
        created_at=int(row["created_at"] or 0),
        expires_at=int(row["expires_at"] or 0),
        ended_at=ended_at if isinstance(ended_at, int) else None,
        channel=str(row["channel"]),
        destination=str(row["destination"]),
        link_mac=link_mac if isinstance(link_mac, bytes) else None,
        link_until=int(row["link_until"] or 0),
        code_mac=code_mac if isinstance(code_mac, bytes) else None,
        code_until=int(row["code_until"] or 0),
        used_by=str(row["used_by"]),
        tell=sealed if isinstance(sealed, bytes) else None,
    )


def _link_mac(ring: KeyRing, token: str) -> bytes:
    return ring.mac("activation-link", token.encode())


def _code_mac(ring: KeyRing, subject_id: SubjectId, code: str) -> bytes:
    return ring.mac("activation-code", subject_id.encode(), code.encode())
