"""Which answers and which own questions are taken. Pure: what needs stored hashes is in `enrolment.py`."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from wardgate.kba.catalogue import Question
from wardgate.kba.normalisation import canonical, normalise, words_of
from wardgate.kba.settings import MAX_QUESTION_CHARS, MIN_QUESTION_CHARS, KbaSettings
from wardgate.texts import Text

MAX_ANSWER_CHARS: Final = 128
MIN_WORD_LETTERS: Final = 3
# How much alike two own questions may be, as difflib measures it.
_TOO_ALIKE: Final = 0.8


class Rule(StrEnum):
    """What is wrong with an answer, or with a question that a person wrote."""

    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NOT_DIGITS = "not_digits"
    NOT_A_DATE = "not_a_date"
    REPEATED = "repeated"
    QUESTION_WORD = "question_word"
    NAME = "name"
    COMMON = "common"
    UNKNOWN_QUESTION = "unknown_question"
    QUESTION_TWICE = "question_twice"
    QUESTION_LENGTH = "question_length"
    QUESTION_HOLDS_ANSWER = "question_holds_answer"
    QUESTIONS_ALIKE = "questions_alike"
    TOO_MANY_OWN = "too_many_own"

    @property
    def text(self) -> Text:
        """What the person is told; never the answer."""
        return Text(f"kba.{self.value}")


@dataclass(frozen=True, slots=True)
class Typed:
    """An answer as it was typed, for one question, with what it comes to. `plain`: None when it is not in the question's form."""

    question: Question
    plain: str | None
    length: int


def read_answer(question: Question, answer: str, settings: KbaSettings) -> Typed:
    """What an answer comes to. One that is too long is not looked at."""
    if len(answer) > MAX_ANSWER_CHARS:
        return Typed(question, None, len(answer))
    return Typed(question, canonical(answer, question.form, case_sensitive=settings.case_sensitive), len(answer))


def broken_rule(typed: Typed, settings: KbaSettings, forbidden: frozenset[str], *, prepared: bool = False) -> Rule | None:
    """The first rule that an answer breaks. `forbidden`: the normalised names of the person and of the organisation.

    `prepared`: the organisation knows it already (a staff number), so that only its form and length count.
    """
    plain = typed.plain
    if typed.length > MAX_ANSWER_CHARS:
        return Rule.TOO_LONG
    if plain is None:
        return Rule.NOT_DIGITS if typed.question.form == "digits" else Rule.NOT_A_DATE
    if not plain:
        return Rule.EMPTY
    if len(plain) < settings.min_length:
        return Rule.TOO_SHORT
    return None if prepared else _broken_by_content(typed.question, normalise(plain), settings, forbidden)


def _broken_by_content(question: Question, plain: str, settings: KbaSettings, forbidden: frozenset[str]) -> Rule | None:
    """What the answer says, whatever its case."""
    words = frozenset(plain.split())
    if not settings.question_words and any(len(word) >= MIN_WORD_LETTERS for word in words & question.words):
        return Rule.QUESTION_WORD
    if words <= forbidden:
        return Rule.NAME
    return Rule.COMMON if plain in question.common else None


def repeated(all_typed: Iterable[Typed], settings: KbaSettings) -> list[bool]:
    """For each answer, whether an earlier one is the same."""
    seen: set[str] = set()
    found = []
    for typed in all_typed:
        plain = normalise(typed.plain or "")
        found.append(not settings.repeats and plain in seen)
        seen.add(plain)
    return found


def broken_question(question: str, answer: str, others: Iterable[str]) -> Rule | None:
    """The first rule that a question of a person's own breaks. `others`: the texts that it must be unlike."""
    if not MIN_QUESTION_CHARS <= len(question) <= MAX_QUESTION_CHARS or not question.isprintable():
        return Rule.QUESTION_LENGTH
    plain, told = normalise(question), normalise(answer)
    if len(plain.replace(" ", "")) < MIN_QUESTION_CHARS // 2:
        return Rule.QUESTION_LENGTH
    if told and f" {told} " in f" {plain} ":
        return Rule.QUESTION_HOLDS_ANSWER
    alike = any(SequenceMatcher(None, plain, normalise(other), autojunk=False).ratio() > _TOO_ALIKE for other in others)
    return Rule.QUESTIONS_ALIKE if alike else None


def forbidden_words(*names: str | None) -> frozenset[str]:
    """The words that are no answer by themselves: names, the parts of a mail address, the organisation."""
    return frozenset().union(*(words_of(name) for name in names if name))
