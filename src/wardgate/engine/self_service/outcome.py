"""What a step of a self-service flow comes to. A page shows it and decides nothing. `turn`: what an answer to it must bear."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wardgate.directory.port import PasswordPolicy
from wardgate.texts import Text


@dataclass(frozen=True, slots=True)
class Choose:
    """Choose the next proof.

    `kinds`: what may be chosen, by how much it proves; before the first proof all that this installation knows, the same for
    everybody. `destinations`: where a code would go, masked; only after a proof. `proved`: how many proofs were right.
    """

    turn: int
    kinds: tuple[str, ...]
    proved: int
    destinations: Mapping[str, str]
    text: Text | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer this proof. `text`: what came of the last answer; `wrong`: it was not right. `blind`: nothing was proved before.

    `questions`: all that it asks for, where that is several things at once, to be answered together: what is handed to `answer` is
    what `factors.port.answer_to_all` makes of the answers in their order. Nobody is asked as many.
    """

    turn: int
    kind: str
    prompt: Text
    proved: int
    blind: bool
    sends: bool
    text: Text | None = None
    wrong: bool = False
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChoosePassword:
    """The proofs are enough: choose a new password by these rules. `text`: why the last one was not taken."""

    turn: int
    policy: PasswordPolicy | None
    user_name: str
    text: Text | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, as `text` says."""

    text: Text


@dataclass(frozen=True, slots=True)
class Closed:
    """It is over, and nothing was done, or nobody can tell (`text`). `down`: a neighbour did not answer."""

    reason: str
    text: Text
    down: bool = False


@dataclass(frozen=True, slots=True)
class HandedOver:
    """All of an activation is proved: a login goes on, which waits behind this handle for whoever is named so."""

    handle: bytes = field(repr=False)
    login_name: str
    language: str
    reference: str


SelfServiceOutcome = Choose | Ask | ChoosePassword | Done | Closed | HandedOver
