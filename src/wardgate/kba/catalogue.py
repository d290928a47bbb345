"""The questions that can be asked: the document's, and those that come with the program."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from wardgate.kba.normalisation import Form, normalise, words_of
from wardgate.kba.settings import KbaSettings, QuestionSettings

OWN_PREFIX: Final = "own:"
_ANY: Final = "any"


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the catalogue. `common`: normalised answers that too many people would give."""

    id: str
    mandatory: bool
    form: Form
    texts: Mapping[str, str]
    common: frozenset[str]
    retired: bool = False

    def text(self, language: str) -> str:
        """The question in a language, or in the one that comes first: somebody who set it must be able to answer it."""
        return self.texts.get(language) or next(iter(self.texts.values()), "")

    @property
    def words(self) -> frozenset[str]:
        """The words of the question in every language."""
        return frozenset().union(*(words_of(text) for text in self.texts.values()))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The questions of one version of the document, with the settings that go with them.

    `common`: the answers that nobody should give to anything.
    """

    settings: KbaSettings
    questions: Mapping[str, Question]
    common: frozenset[str] = frozenset()

    def live(self, question_id: str) -> Question | None:
        """The question, unless it is unknown or retired."""
        found = self.questions.get(question_id)
        return None if found is None or found.retired else found

    @property
    def all_live(self) -> tuple[Question, ...]:
        """Everything that may be asked, mandatory ones first."""
        live = [question for question in self.questions.values() if not question.retired]
        return tuple(sorted(live, key=lambda question: not question.mandatory))

    def offered(self, language: str) -> tuple[Question, ...]:
        """What a person with this language may choose from: every mandatory question, and optional ones up to the number."""
        fitting = [question for question in self.all_live if language in question.texts]
        mandatory = sum(question.mandatory for question in fitting)
        return tuple(fitting[: max(self.settings.offered, mandatory)])

    @property
    def offerable(self) -> tuple[Question, ...]:
        """What anybody may choose from, in whichever language; mandatory ones first."""
        languages = {language for question in self.all_live for language in question.texts}
        found = {question.id for language in languages for question in self.offered(language)}
        return tuple(question for question in self.all_live if question.id in found)

    @property
    def offers(self) -> tuple[frozenset[str], ...]:
        """The sets out of which one person chooses: mandatory questions and those of one language, or of all where these are few.

        Nobody has answers beyond one of them unless he changed his language, or the catalogue changed.
        """
        mandatory = frozenset(question.id for question in self.all_live if question.mandatory)
        everything = mandatory | {question.id for question in self.offerable}
        found: dict[frozenset[str], None] = {}
        for language in sorted({language for question in self.all_live for language in question.texts}):
            offered = mandatory | {question.id for question in self.offered(language)}
            found[offered if len(offered) >= self.settings.set else everything] = None
        return tuple(found)


def is_own(question_id: str) -> bool:
    """Whether a person wrote the question."""
    return question_id.startswith(OWN_PREFIX)


def compile_catalogue(settings: KbaSettings, questions: Sequence[QuestionSettings]) -> Catalogue:
    """What the document says, before what comes with the program; the document's question of a shipped one's name replaces it."""
    common, shipped = _shipped()
    found = {question.name: _question(question, common) for question in questions}
    if settings.shipped:
        found |= {question.id: question for question in shipped if question.id not in found}
    return Catalogue(settings, found, common)


def _question(settings: QuestionSettings, common: frozenset[str]) -> Question:
    own = frozenset(map(normalise, settings.common))
    mandatory = settings.kind == "mandatory"
    return Question(settings.name, mandatory, settings.form, dict(settings.texts), common | own, settings.retired)


@lru_cache(maxsize=1)
def _shipped() -> tuple[frozenset[str], tuple[Question, ...]]:
    """What nobody should answer to anything, and the program's own questions."""
    tables = tomllib.loads(Path(__file__).with_name("shipped.toml").read_text(encoding="utf-8"))
    anything = _common(tables.pop(_ANY))
    questions = [
        Question(name, False, "text", {"en": table["en"], "tr": table["tr"]}, anything | _common(table))
        for name, table in tables.items()
    ]
    return anything, tuple(questions)


def _common(table: Mapping[str, str | list[str]]) -> frozenset[str]:
    words = str(table["common"]).split()
    return frozenset(map(normalise, [*words, *table.get("phrases", ())]))
