"""Stored answers: hashed for ever, bound to a person and a question. Own questions are sealed text.

An answer has few bits, so a copy of the table must be worth nothing without a key that is not in it: what Argon2id hashes is an
HMAC under a pepper that is made of the key ring's root. The root does not rotate, because a hash cannot be moved to another key;
its number is stored with each answer, so that one day a second root can stand beside the first.
"""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from wardgate.account.subject import SubjectId
from wardgate.crypto import MAC_ROOT, KeyRing, Secret
from wardgate.errors import SealError
from wardgate.kba.catalogue import Catalogue, is_own
from wardgate.kba.normalisation import Form, canonical, knows
from wardgate.kba.rules import MAX_ANSWER_CHARS
from wardgate.storage.port import Delete, Find, Operation, Row, Upsert, Where

TABLE: Final = "kba_answer"
STATE: Final = "kba_state"
# Of one person, retired ones included.
MAX_ANSWERS: Final = 20
_NO_ANSWER: Final = "\0"


class Source(StrEnum):
    """Who answered."""

    PERSON = "person"
    PREPARED = "prepared"


@dataclass(frozen=True, slots=True)
class Answer:
    """A row of `kba_answer`. `number`: by which an offline kit knows the question; never given to another one of this person."""

    subject_id: SubjectId
    question_id: str
    number: int
    source: str
    sealed: bytes | None
    hashed: str
    pepper: int
    normalisation: int
    case_sensitive: bool
    set_at: int

    @property
    def own(self) -> bool:
        """Whether the person wrote the question."""
        return is_own(self.question_id)

    def question_text(self, ring: KeyRing) -> str:
        """The question that the person wrote. Raises SealError when the row was tampered with."""
        return ring.open(self.sealed or b"", bound_to(self.subject_id, self.question_id)).decode()

    def fingerprint_of(self, ring: KeyRing, typed: str, form: Form) -> Secret:
        """What would be hashed if this were the answer, as the present one was. Of an impossible answer as well, for its time."""
        plain = None
        if len(typed) <= MAX_ANSWER_CHARS:
            plain = canonical(typed, form, case_sensitive=self.case_sensitive, version=self.normalisation)
        return fingerprint(ring, self.subject_id, self.question_id, plain if plain else _NO_ANSWER)


@dataclass(frozen=True, slots=True)
class State:
    """A row of `kba_state`: what belongs to all answers of a person together.

    `answers_version` rises with every change, so that an offline kit of before is known to be old.
    """

    answers_version: int = 0
    next_number: int = 1


def bound_to(subject_id: str, question_id: str) -> str:
    """The associated data of a sealed question: the primary key of its row."""
    return f"kba_answer:{subject_id}:{question_id}"


def pepper(ring: KeyRing) -> bytes:
    """The key that makes the table worthless without the key ring."""
    return ring.mac("kba-pepper")


def fingerprint(ring: KeyRing, subject_id: SubjectId, question_id: str, plain: str) -> Secret:
    """What Argon2id hashes: bound to person and question, so that equal answers of two people or questions do not look alike."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (subject_id, question_id, plain)]
    told = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return Secret(hmac.digest(pepper(ring), told, "sha256"))


def kept_answers(subject_id: SubjectId) -> Find:
    """What to read for `answers_in`."""
    return Find(TABLE, (Where("subject_id", "=", subject_id),), order_by="number", limit=MAX_ANSWERS)


def kept_state(subject_id: SubjectId) -> Find:
    """What to read for `state_in`."""
    return Find(STATE, (Where("subject_id", "=", subject_id),), limit=1)


def answers_in(rows: Iterable[Row]) -> list[Answer]:
    """The typed values of stored rows."""
    return [_answer(row) for row in rows]


def state_in(rows: Sequence[Row]) -> State | None:
    """The typed value of the stored row; None for a person who never answered anything."""
    return State(_whole(rows[0]["answers_version"]), _whole(rows[0]["next_number"])) if rows else None


def usable(answers: Iterable[Answer], catalogue: Catalogue) -> list[Answer]:
    """The answers that may be asked for: of live questions, written in a way that this program can compare."""
    return [
        answer
        for answer in answers
        if answer.pepper == MAC_ROOT and knows(answer.normalisation) and (answer.own or catalogue.live(answer.question_id))
    ]


def form_of(answer: Answer, catalogue: Catalogue) -> Form:
    """What an answer to this question looks like."""
    question = catalogue.questions.get(answer.question_id)
    return "text" if question is None else question.form


def text_of(answer: Answer, catalogue: Catalogue, ring: KeyRing, language: str) -> str | None:
    """The question; None for an own one that does not open: it was tampered with, and is as good as none."""
    if not answer.own:
        question = catalogue.questions.get(answer.question_id)
        return question.text(language) if question is not None else None
    try:
        return answer.question_text(ring)
    except SealError:
        return None


def store(answer: Answer) -> Operation:
    """Write an answer in the place of the one that was there."""
    row: Row = {
        "subject_id": answer.subject_id,
        "question_id": answer.question_id,
        "number": answer.number,
        "source": answer.source,
        "sealed": answer.sealed,
        "hashed": answer.hashed,
        "pepper": answer.pepper,
        "normalisation": answer.normalisation,
        "case_sensitive": int(answer.case_sensitive),
        "set_at": answer.set_at,
    }
    return Upsert(TABLE, row)


def erase(subject_id: SubjectId) -> list[Operation]:
    """Remove every answer of somebody who is no more, and that there were any."""
    mine = (Where("subject_id", "=", subject_id),)
    return [Delete(TABLE, mine), Delete(STATE, mine)]


def _answer(row: Row) -> Answer:
    sealed = row["sealed"]
    return Answer(
        subject_id=SubjectId(str(row["subject_id"])),
        question_id=str(row["question_id"]),
        number=_whole(row["number"]),
        source=str(row["source"]),
        sealed=sealed if isinstance(sealed, bytes) else None,
        hashed=str(row["hashed"]),
        pepper=_whole(row["pepper"]),
        normalisation=_whole(row["normalisation"]),
        case_sensitive=bool(row["case_sensitive"]),
        set_at=_whole(row["set_at"]),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
