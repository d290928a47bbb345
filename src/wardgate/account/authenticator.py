"""One enrolled instance of a factor: Ada's app, Erin's device. Secrets are sealed to their row."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache

from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, Secret, new_id
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Find, Insert, Lookup, Modified, Modify, Operation, Reader, Row, Update, Value, Where
from wardgate.values import quick_value

MAX_AUTHENTICATORS = 20


class AuthenticatorState(StrEnum):
    """Whether it may prove anything.

    HELD: not until the same person has proved another strong factor, because what it spent may have been forgotten by a restore.
    FROZEN: not at all; it was taken away with a freeze of the account (`freeze.py`).
    """

    ACTIVE = "active"
    HELD = "held"
    FROZEN = "frozen"
    REVOKED = "revoked"


HELD = AuthenticatorState.HELD
_STATES = {state.value: state for state in AuthenticatorState}
_IS_KEPT = Where("state", "in", (AuthenticatorState.ACTIVE.value, AuthenticatorState.HELD.value))
_KEPT = Lookup("authenticator", ("subject_id",), also=(_IS_KEPT,), order_by="created_at", limit=2 * MAX_AUTHENTICATORS)


@quick_value
class Authenticator:
    """A row of `authenticator`. `counter`: the last TOTP step that was used, or the next HOTP counter to expect."""

    id: str
    subject_id: SubjectId
    kind: str
    label: str
    settings: Mapping[str, str | int]
    counter: int
    sealed: bytes | None
    state: AuthenticatorState = AuthenticatorState.ACTIVE

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
        settings=_settings(str(row["settings"])),
        counter=int(row["counter"] or 0),
        sealed=bytes(sealed) if isinstance(sealed, bytes) else None,
        state=_STATES[str(row["state"])],
    )


@lru_cache(maxsize=256)
def _settings(stored: str) -> Mapping[str, str | int]:
    """Nearly all are the same few."""
    settings: Mapping[str, str | int] = loads(stored)
    return settings


async def active_authenticators(storage: Reader, subject_id: SubjectId) -> list[Authenticator]:
    """What the subject can prove with, oldest first."""
    return active_and_held(*await storage.read([kept_authenticators(subject_id)]))[0]


def kept_authenticators(subject_id: SubjectId) -> Find:
    """What to read for `active_and_held`, to be read together with whatever else is needed."""
    return _KEPT(subject_id)


def active_and_held(rows: Sequence[Row]) -> tuple[list[Authenticator], list[Authenticator]]:
    """What a subject can prove with and what is held, oldest first."""
    active: list[Authenticator] = []
    held: list[Authenticator] = []
    for row in rows:
        found = from_row(row)
        if found.state is AuthenticatorState.ACTIVE:
            active.append(found)
        elif found.state is AuthenticatorState.HELD:
            held.append(found)
    return active[:MAX_AUTHENTICATORS], held


def release(authenticators: Iterable[Authenticator]) -> list[Operation]:
    """The operations that make held authenticators active again, where they still are held. They refuse no commit."""
    return [Modify("authenticator", {"id": each.id}, release_held) for each in authenticators]


def release_held(old: Row | None, arguments: Mapping[str, Value]) -> Modified:
    """Active instead of held; anything else stays what it is."""
    held = old is not None and old["state"] == AuthenticatorState.HELD
    return Modified({**old, "state": AuthenticatorState.ACTIVE.value} if old is not None and held else None)


def revocation(row: Row) -> Operation:
    """End an authenticator. The row stays, without its secret: fingerprint and counter must outlive it."""
    live = (Where("state", "!=", AuthenticatorState.REVOKED),)
    return Update("authenticator", {"id": row["id"]}, {"state": AuthenticatorState.REVOKED, "sealed": None}, where=live)


def create_authenticator(
    ring: KeyRing,
    subject_id: SubjectId,
    kind: str,
    label: str,
    settings: Mapping[str, str | int],
    secret: Secret | None,
    counter: int,
    at_ms: int,
    authenticator_id: str | None = None,
    state: AuthenticatorState = AuthenticatorState.ACTIVE,
) -> tuple[str, Operation]:
    """A new authenticator row: its id and the insert. With an id of the caller's, refused (`exists`) when that is taken."""
    authenticator_id = authenticator_id or new_id()
    sealed = ring.seal(secret.reveal(), bound_to(authenticator_id)) if secret is not None else None
    row: Row = {
        "id": authenticator_id,
        "subject_id": subject_id,
        "kind": kind,
        "label": label,
        "sealed": sealed,
        "settings": dumps(dict(settings)),
        "counter": counter,
        "state": state,
        "created_at": at_ms,
        "last_used_at": None,
    }
    return authenticator_id, Insert("authenticator", row)


# --- shared secrets ------------------------------------------------------------------------------------------------------


def fingerprint(ring: KeyRing, subject_id: SubjectId, secret: Secret) -> str:
    """Tells whether a subject's two shared secrets are the same, without opening them, even after one was revoked.

    Enrolling a secret that was enrolled before must go on from the counter that it had: from the start again, its used codes
    would be good once more.
    """
    return ring.mac("authenticator-secret", subject_id.encode(), secret.reveal())[:16].hex()


def enrolled_before(rows: Iterable[Row], kind: str, settings: Mapping[str, str | int], mark: str) -> tuple[bool, int]:
    """Whether a subject has a live authenticator with this secret, and the counter that the secret has reached so far."""
    active, counter = False, 0
    for row in rows:
        known = from_row(row)
        if known.kind != kind or known.settings.get("fingerprint") != mark:
            continue
        active = active or row["state"] != AuthenticatorState.REVOKED
        if known.settings.get("period_s") == settings.get("period_s"):
            counter = max(counter, known.counter)
    return active, counter


def create_shared_secret(
    ring: KeyRing,
    subject_id: SubjectId,
    kind: str,
    label: str,
    settings: Mapping[str, str | int],
    secret: Secret,
    counter: int,
    at_ms: int,
    authenticator_id: str | None = None,
    state: AuthenticatorState = AuthenticatorState.ACTIVE,
) -> tuple[str, Operation]:
    """A new row that holds a shared secret, with the secret's fingerprint among the settings."""
    marked = {**settings, "fingerprint": fingerprint(ring, subject_id, secret)}
    return create_authenticator(ring, subject_id, kind, label, marked, secret, counter, at_ms, authenticator_id, state)
