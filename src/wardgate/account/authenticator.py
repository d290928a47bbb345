"""One enrolled instance of a factor: Ada's app, Erin's device. Secrets are sealed to their row."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, Secret, new_id
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Operation, Reader, Row, Where

MAX_AUTHENTICATORS = 20


class AuthenticatorState(StrEnum):
    """Whether it may prove anything."""

    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Authenticator:
    """A row of `authenticator`. `counter`: the last TOTP step that was used, or the next HOTP counter to expect."""

    id: str
    subject_id: SubjectId
    kind: str
    label: str
    settings: Mapping[str, str | int]
    counter: int
    sealed: bytes | None

    def open(self, ring: KeyRing) -> Secret:
        """The shared secret in clear. Raises SealError when the row was tampered with."""
        return Secret(ring.open(self.sealed or b"", bound_to(self.id)))


def bound_to(authenticator_id: str) -> str:
    """The associated data of a sealed authenticator secret."""
    return f"authenticator:{authenticator_id}"


def from_row(row: Row) -> Authenticator:
    """The typed value of a stored row."""
    sealed = row["sealed"]
    return Authenticator(
        id=str(row["id"]),
        subject_id=SubjectId(str(row["subject_id"])),
        kind=str(row["kind"]),
        label=str(row["label"]),
        settings=loads(str(row["settings"])),
        counter=int(row["counter"] or 0),
        sealed=bytes(sealed) if isinstance(sealed, bytes) else None,
    )


async def active_authenticators(storage: Reader, subject_id: SubjectId) -> list[Authenticator]:
    """What the subject can prove with, oldest first."""
    where = [Where("subject_id", "=", subject_id), Where("state", "=", AuthenticatorState.ACTIVE.value)]
    return [from_row(row) for row in await storage.find("authenticator", where, order_by="created_at", limit=MAX_AUTHENTICATORS)]


def create_authenticator(
    ring: KeyRing,
    subject_id: SubjectId,
    kind: str,
    label: str,
    settings: Mapping[str, str | int],
    secret: Secret | None,
    counter: int,
    at_ms: int,
) -> tuple[str, Operation]:
    """A new authenticator row: its id and the insert."""
    authenticator_id = new_id()
    sealed = ring.seal(secret.reveal(), bound_to(authenticator_id)) if secret is not None else None
    row: Row = {
        "id": authenticator_id,
        "subject_id": subject_id,
        "kind": kind,
        "label": label,
        "sealed": sealed,
        "settings": dumps(dict(settings)),
        "counter": counter,
        "state": AuthenticatorState.ACTIVE,
        "created_at": at_ms,
        "last_used_at": None,
    }
    return authenticator_id, Insert("authenticator", row)
