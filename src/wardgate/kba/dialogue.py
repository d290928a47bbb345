"""One question after the other, for windows that show one prompt at a time. Pure.

Nothing is judged on the way: whoever is told after the first answer that it is wrong guesses each by itself. What was typed, and
what was asked, waits in the transaction's memory until the last answer is there, sealed to transaction and question.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from wardgate.crypto import KeyRing, Secret
from wardgate.errors import SealError
from wardgate.kba.asking import AskedQuestion
from wardgate.kba.rules import MAX_ANSWER_CHARS
from wardgate.texts import Text

# Four octets for each character that counts, and one more character, which makes it too long for any answer.
MAX_TYPED_BYTES: Final = 4 * (MAX_ANSWER_CHARS + 1)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What seals the texts of one transaction: they open in that one alone, and for an hour or two."""

    ring: KeyRing
    transaction_id: str
    now_ms: int

    def seal(self, what: str, text: bytes) -> str:
        """The text, sealed, as text."""
        return base64.b64encode(self.ring.seal_for_an_hour(text, self._place(what), self.now_ms)).decode()

    def open(self, what: str, sealed: str) -> bytes:
        """The text again. Raises SealError when it is of another transaction, place or day."""
        try:
            octets = base64.b64decode(sealed, validate=True)
        except ValueError:
            raise SealError("not a sealed answer") from None
        return self.ring.open_for_an_hour(octets, self._place(what), self.now_ms)

    def _place(self, what: str) -> str:
        return f"kba_typed:{self.transaction_id}:{what}"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """How far a person has come. `questions`: the id and the sealed text of each; `typed`: the sealed answers so far."""

    questions: tuple[tuple[str, str], ...]
    typed: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every question has been answered."""
        return len(self.typed) >= len(self.questions)

    @property
    def asked(self) -> tuple[str, ...]:
        """The ids of the questions, for `Questioner.judge`."""
        return tuple(question_id for question_id, _ in self.questions)

    def prompt(self, envelope: Envelope) -> Text:
        """The question that is open. Raises IndexError when none is, SealError when it is another transaction's."""
        number = len(self.typed)
        question_id, sealed = self.questions[number]
        question = envelope.open(f"question:{question_id}", sealed).decode()
        return Text("kba.ask", {"question": question, "number": number + 1, "of": len(self.questions)})

    def texts(self, envelope: Envelope) -> tuple[str, ...]:
        """All the questions, for a page that shows them together. Raises SealError when they are another transaction's."""
        return tuple(envelope.open(f"question:{question_id}", sealed).decode() for question_id, sealed in self.questions)

    def take(self, envelope: Envelope, answer: bytes) -> "Dialogue":
        """The dialogue after an answer, whatever it says. Raises IndexError when no question is open."""
        question_id, _ = self.questions[len(self.typed)]
        sealed = envelope.seal(f"answer:{question_id}", answer[:MAX_TYPED_BYTES])
        return Dialogue(self.questions, (*self.typed, sealed))

    def answers(self, envelope: Envelope) -> Mapping[str, Secret]:
        """What was typed, by question, for `Questioner.judge`. Raises SealError."""
        pairs = zip(self.asked, self.typed, strict=False)
        return {question_id: Secret(envelope.open(f"answer:{question_id}", sealed)) for question_id, sealed in pairs}

    def memory(self) -> dict[str, object]:
        """The dialogue as JSON values, for a transaction to remember."""
        return {"questions": [list(each) for each in self.questions], "typed": list(self.typed)}


def begin(questions: Sequence[AskedQuestion], envelope: Envelope) -> Dialogue:
    """The dialogue about what a `Questioner` asks."""
    return Dialogue(tuple((each.id, envelope.seal(f"question:{each.id}", each.text.encode())) for each in questions))


def remembered(memory: Mapping[str, Any]) -> Dialogue | None:
    """The dialogue that a transaction remembers; None where none has begun."""
    questions = memory.get("questions")
    if not questions:
        return None
    return Dialogue(tuple((str(name), str(text)) for name, text in questions), tuple(map(str, memory.get("typed", ()))))
