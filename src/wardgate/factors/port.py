"""What a factor must do. All of it is pure: reads were made before, writes are returned for the engine's unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from wardgate.account.authenticator import Authenticator
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.engine.settings import CodeSettings
from wardgate.storage.port import Operation
from wardgate.texts import Text
from wardgate.values import quick_value

MAX_ANSWER_BYTES = 128


@quick_value
class Holder:
    """What a subject can prove with. `held` proves nothing until another strong factor was proved.

    `other_phones`, `other_mails`: where no code goes, but word of what is done to his account.
    """

    subject_id: SubjectId
    authenticators: Sequence[Authenticator]
    phone: str | None
    mail: str | None
    held: Sequence[Authenticator] = ()
    other_phones: Sequence[str] = ()
    other_mails: Sequence[str] = ()

    def has(self, kind: str) -> bool:
        """Whether the subject has an authenticator of this kind."""
        return kind in [each.kind for each in self.authenticators]

    def of_kind(self, kind: str) -> list[Authenticator]:
        """The subject's authenticators of one kind, newest first."""
        return [each for each in reversed(self.authenticators) if each.kind == kind]


@quick_value
class Site:
    """Where our pages are, as a browser tells it: `https://login.acme.test`. `rp_id`: the name in it that passkeys belong to."""

    origin: str
    rp_id: str


@quick_value
class Task:
    """The circumstances of one challenge: which transaction, when, with which settings and keys. `site`: where there are pages."""

    transaction_id: str
    now: datetime
    codes: CodeSettings
    ring: KeyRing
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """A code that has to travel."""

    channel: Channel
    to: str
    code: str


@quick_value
class Asked:
    """A challenge has begun: what to say, what to remember until the answer (JSON values), what to send."""

    prompt: Text
    memory: Mapping[str, object] = field(default_factory=dict)
    sending: Sending | None = None


@quick_value
class Wrong:
    """The answer proves nothing. `counted`: whether the brakes count it as a guess (a code that was used before is none).

    `told`: it was not even a try, and this is what the person hears instead of how many are left.
    """

    reason: str
    counted: bool = True
    told: Text | None = None


@quick_value
class Right:
    """The answer proves it, if these operations hold; `refused` is the verdict when one does not.

    A factor that lets storage find out whether a code is right must say that a refused one is counted: it may be a guess.
    `twofold`: it proved something that one has and something that one knows or is.
    """

    claim: tuple[Operation, ...] = ()
    refused: Wrong = Wrong("code_replayed", counted=False)
    authenticator_id: str | None = None
    twofold: bool = False


Verdict = Right | Wrong


class Factor(Protocol):
    """One kind of second factor."""

    @property
    def kind(self) -> str:
        """The name in policies, storage and audit."""
        ...

    @property
    def strong(self) -> bool:
        """Whether it counts as strong (DESIGN: TOTP, HOTP, recovery code; not what is sent)."""
        ...

    @property
    def channel(self) -> Channel | None:
        """How its code travels, or None when the person reads it from something that he holds."""
        ...

    @property
    def words(self) -> tuple[str, ...]:
        """What a person types to choose it, lower case; the first is the one that prompts name."""
        ...

    def enrolled(self, holder: Holder) -> bool:
        """Whether the subject has it."""
        ...

    def destination(self, holder: Holder) -> str | None:
        """Where its code goes, for factors that send."""
        ...

    def ask(self, holder: Holder, task: Task, memory: Mapping[str, object]) -> Asked:
        """Begin a challenge, or repeat one: `memory` is what the last `Asked` of this transaction gave, or empty."""
        ...

    def repeat(self, holder: Holder, memory: Mapping[str, object]) -> Text:
        """What to say when the same challenge is put again without a new code."""
        ...

    def verify(self, holder: Holder, task: Task, memory: Mapping[str, object], answer: bytes) -> Verdict:
        """Judge an answer of at most MAX_ANSWER_BYTES, or as many as `NeedsPage` says."""
        ...


@runtime_checkable
class SharedSecret(Protocol):
    """An extra ability: its authenticator is a shared secret, which `wardgate authenticator add NAME KIND` makes or takes."""

    @property
    def secret_settings(self) -> Mapping[str, str | int]:
        """What is stored beside each secret, such as how many digits its codes have."""
        ...


@runtime_checkable
class NeedsPage(Protocol):
    """An extra ability: a browser proves it on a page of ours. A door that shows no pages never asks for it."""

    @property
    def max_answer_bytes(self) -> int:
        """How long such an answer may be, instead of MAX_ANSWER_BYTES."""
        ...


def digits_of(answer: bytes) -> str | None:
    """The ASCII digits of an answer, without the blanks and hyphens that people put between; None for anything else."""
    if len(answer) > MAX_ANSWER_BYTES:
        return None
    kept = answer.translate(None, b" -\t\xa0")
    return kept.decode() if kept.isdigit() else None
