"""The stored state of a self-service flow, and the rows that it makes.

```
CHOOSING <-> ASKED (one proof after the other)  -> PASSWORD -> WRITING -> DONE
   any live stage -> CLOSED
```

`sequence` rises with every step, by conditional update: whoever raises it first took the step.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from wardgate.crypto import KeyRing
from wardgate.errors import SealError
from wardgate.jsons import dumps, loads
from wardgate.storage.port import Insert, Row, Update, Where

LIFE_MS: Final = 15 * 60_000
TRIES_OF_A_PROOF: Final = 3
TRIES: Final = 5
PASSWORDS: Final = 5
# A clock that is kept by steps may go back by so much without any flow being closed.
CLOCK_STEP_MS: Final = 10_000


class Stage(StrEnum):
    """Where a flow stands. DONE and CLOSED are final. WRITING: the directory is being told, or we died while it was."""

    CHOOSING = "choosing"
    ASKED = "asked"
    PASSWORD = "password"  # noqa: S105 - a stage's name
    WRITING = "writing"
    DONE = "done"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof that was right: by which factor, which authenticator or destination (a keyed fingerprint), and since when it exists.

    `since`: milliseconds; 0: longer than anybody asks. `user_verified`: by PIN or finger as well.
    """

    kind: str
    authenticator: str = ""
    destination: str = ""
    since: int = 0
    user_verified: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow. Without `subject_id` it is nobody's.

    `kind`: the factor that is asked; `memory`: what each factor that was asked remembers; `proof_tries` and `tries`: wrong answers
    that are left to this question and to the whole; `passwords`: new passwords that may still be refused. `activation`: the one
    that it began with, and `login_name` how its person is named at sign-in. `has_site`: its pages have a name that passkeys may
    be bound to.
    """

    id: str
    reference: str
    goal: str
    application: str
    realm: str
    user_name: str
    language: str
    subject_id: str = ""
    directory: str = ""
    immutable_id: str = ""
    stage: Stage = Stage.CHOOSING
    sequence: int = 1
    kind: str = ""
    memory: Mapping[str, Any] = field(default_factory=dict)
    sent_at: int = 0
    resends: int = 0
    proof_tries: int = TRIES_OF_A_PROOF
    tries: int = TRIES
    passwords: int = PASSWORDS
    proofs: tuple[Proved, ...] = ()
    created_at: int = 0
    expires_at: int = 0
    activation: str = ""
    login_name: str = ""
    has_site: bool = False

    def is_over(self, now_ms: int) -> bool:
        """Whether its life has ended. One that began in the future has: the clock was set back, and nobody knows how old it is."""
        return self.expires_at <= now_ms or self.created_at > now_ms + CLOCK_STEP_MS

    def moved(self, **changes: Any) -> "Flow":
        """The successor, one sequence further."""
        return replace(self, sequence=self.sequence + 1, **changes)

    def recall(self, kind: str) -> Mapping[str, object]:
        """What a factor remembers of this flow."""
        found = self.memory.get(kind)
        return found if isinstance(found, Mapping) else {}


_BODY: Final = (
    "application", "realm", "user_name", "language", "directory", "immutable_id", "kind", "memory", "sent_at", "resends",
    "proof_tries", "tries", "passwords", "activation", "login_name", "has_site",
)  # fmt: skip


def insert(ring: KeyRing, flow: Flow) -> Insert:
    """The operation that begins it."""
    return Insert("self_service", _row(ring, flow))


def advance(ring: KeyRing, old: Flow, new: Flow) -> Update:
    """The operation that takes a step, for whoever is first."""
    row = _row(ring, new)
    changes = {name: row[name] for name in ("stage", "sequence", "subject_id", "sealed", "expires_at")}
    return Update("self_service", {"id": old.id}, changes, where=(Where("sequence", "=", old.sequence),))


def from_row(ring: KeyRing, row: Row) -> Flow | None:
    """The typed value of a stored row; None for one that was tampered with."""
    sealed = row["sealed"]
    try:
        body = loads(ring.open(sealed if isinstance(sealed, bytes) else b"", _bound_to(str(row["id"]))))
    except SealError:
        return None
    proofs = tuple(Proved(**each) for each in body.pop("proofs"))
    return Flow(
        id=str(row["id"]),
        reference=str(row["reference"]),
        goal=str(row["goal"]),
        stage=Stage(str(row["stage"])),
        sequence=int(row["sequence"] or 0),
        subject_id=str(row["subject_id"]),
        created_at=int(row["created_at"] or 0),
        expires_at=int(row["expires_at"] or 0),
        proofs=proofs,
        **body,
    )


def _row(ring: KeyRing, flow: Flow) -> Row:
    body: dict[str, object] = {name: getattr(flow, name) for name in _BODY}
    body["proofs"] = [asdict(each) for each in flow.proofs]
    return {
        "id": flow.id,
        "reference": flow.reference,
        "goal": flow.goal,
        "stage": flow.stage.value,
        "sequence": flow.sequence,
        "subject_id": flow.subject_id,
        "sealed": ring.seal(dumps(body).encode(), _bound_to(flow.id)),
        "created_at": flow.created_at,
        "expires_at": flow.expires_at,
    }


def _bound_to(flow_id: str) -> str:
    return f"self_service:{flow_id}"
