"""What a factor must do. All of it is pure: reads were made before, writes are returned for the engine's unit.

But for `Questioning`: what somebody is asked stands in storage, and his answers are hashed in the pool of threads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from wardgate.account.authenticator import Authenticator
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing
from wardgate.delivery.port import Channel
from wardgate.engine.settings import CodeSettings
from wardgate.kba.asking import Questioner, Who
from wardgate.kba.standing import NOT_ANSWERED, Answered
from wardgate.storage.port import Operation
from wardgate.texts import Text
from wardgate.values import quick_value

MAX_ANSWER_BYTES = 128


@quick_value
class Holder:
    """What a subject can prove with. `held` proves nothing until another strong factor was proved.

    `other_phones`, `other_mails`: where no code goes, but word of what is done to his account. `answered`: his challenge
    questions, where policy names them. `told_phone`: the number that gets the one text message about what is done to his account,
    where it is not `phone`.
    """

    subject_id: SubjectId
    authenticators: Sequence[Authenticator]
    phone: str | None
    mail: str | None
    held: Sequence[Authenticator] = ()
    other_phones: Sequence[str] = ()
    other_mails: Sequence[str] = ()
    answered: Answered = NOT_ANSWERED
    told_phone: str | None = None

    def has(self, kind: str) -> bool:
        """Whether the subject has an authenticator of this kind."""
        for each in self.authenticators:  # noqa: SIM110 - asked for each factor there is, and twice as quick as a generator
            if each.kind == kind:
                return True
        return False

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


@quick_value
class Interview:
    """Who is asked by a factor that is `Questioning`, and who asks.

    `who`: nobody as well, and he is asked like everybody else. `proved`: whether he has proved something else in this transaction.
    `source`: on whose behalf, for the turns of those who wait for a thread.
    """

    questioner: Questioner
    who: Who
    language: str
    proved: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Sending:
    """A code that has to travel."""

    channel: Channel
    to: str
    code: str


@quick_value
class Asked:
    """A challenge has begun: what to say, what to remember until the answer (JSON values), what to send.

    `questions`: all that a `Questioning` factor asks for, as people read them; `prompt` is the one that is open.
    """

    prompt: Text
    memory: Mapping[str, object] = field(default_factory=dict)
    sending: Sending | None = None
    questions: tuple[str, ...] = ()


@quick_value
class Wrong:
    """The answer proves nothing. `counted`: whether the brakes count it as a guess (a code that was used before is none).

    `told`: it was not even a try, and this is what the person hears instead of how many are left. `memory`: what to remember from
    now on, where that is something else.
    """

    reason: str
    counted: bool = True
    told: Text | None = None
    memory: Mapping[str, object] | None = None


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


@quick_value
class More:
    """The answer was taken and nothing is judged yet: here is the next question, and what to remember. It costs no try."""

    asked: Asked


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

    def ask_anybody(self, memory: Mapping[str, object]) -> Asked:
        """Begin a challenge, or repeat one, before it is known who answers: the same for nobody as for somebody.

        What comes back is judged by `verify`, which costs as much where the person has none.
        """
        ...


@runtime_checkable
class AsksByLink(Protocol):
    """An extra ability of what needs a page: the page of a short link can ask for it, so that a VPN's window can lead there."""

    @property
    def link_text(self) -> str:
        """The id of what the window says; with `_sent` behind it where the link was sent."""
        ...


@runtime_checkable
class Questioning(Protocol):
    """An extra ability: it asks several questions, which are the person's own, and judges all the answers together.

    **One by one**: a window that shows one prompt at a time shows `Asked.prompt` and sends each answer as it was typed; after every
    answer but the last comes `More` with the next prompt. **All at once**: a page shows all of `Asked.questions` and sends one
    answer for them, which `answer_to_all` makes: a JSON list of as many strings, in their order. Both are taken at any time.

    Storage is read and hashes are made on the way, so it is never asked where everything comes in one request. Its `ask` and
    `verify` are those of somebody of whom nothing was asked: no answer is right.
    """

    @property
    def longest_answer_bytes(self) -> int:
        """How long an answer to all may be, instead of MAX_ANSWER_BYTES."""
        ...

    async def ask_for(self, task: Task, interview: Interview) -> Asked:
        """Begin a round. Names that are nobody's are asked the same way."""
        ...

    def put_again(self, task: Task, memory: Mapping[str, object]) -> Asked:
        """What a round asks for at this moment; pure, from what it remembers."""
        ...

    async def judge(self, task: Task, interview: Interview, memory: Mapping[str, object], answer: bytes) -> Verdict | More:
        """Take an answer, and judge all of them with the last one. Raises Overloaded, and then nothing was counted."""
        ...


def answer_to_all(answers: Sequence[str]) -> bytes:
    """The one answer that stands for those to all questions of a `Questioning` factor, in their order."""
    return json.dumps(list(answers)).encode()


def digits_of(answer: bytes) -> str | None:
    """The ASCII digits of an answer, without the blanks and hyphens that people put between; None for anything else."""
    if len(answer) > MAX_ANSWER_BYTES:
        return None
    kept = answer.translate(None, b" -\t\xa0")
    return kept.decode() if kept.isdigit() else None
