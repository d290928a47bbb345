"""Settings of challenge questions, as they stand in the configuration document under `questions` and `kba`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from wardgate.durations import seconds_of
from wardgate.errors import SettingsError
from wardgate.kba.normalisation import Form

MAX_QUESTIONS: Final = 200
MAX_COMMON: Final = 200
MIN_QUESTION_CHARS: Final = 10
MAX_QUESTION_CHARS: Final = 150
# Stored with every answer, so that it is kept short and never depends on a language.
_ID: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_LEAST_S: Final = 60
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSettings:
    """One question of the catalogue. A changed meaning is a new question: the name is what answers are stored under."""

    name: str
    kind: Literal["mandatory", "optional"] = field(
        default="optional", metadata={"help": "mandatory: everybody answers it, and it is asked first"}
    )
    form: Form = field(default="text", metadata={"help": "what an answer has to look like"})
    texts: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "the question in each language; it is not offered in any other"}
    )
    common: tuple[str, ...] = field(default=(), metadata={"help": "answers that too many people would give, and that are refused"})
    retired: bool = field(default=False, metadata={"help": "neither offered nor asked any more"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KbaSettings:
    """Challenge questions. Nobody is asked any unless a policy names `kba`."""

    offered: int = field(default=10, metadata={"help": "how many questions a person may choose from"})
    set: int = field(default=5, metadata={"help": "how many a person has to answer, mandatory ones included"})
    asked: int = field(default=3, metadata={"help": "how many are asked at once; every answer must be right"})
    own: int = field(default=1, metadata={"help": "how many of them may be questions that the person wrote"})
    min_length: int = field(default=4, metadata={"help": "least length of a normalised answer", "unit": "characters"})
    case_sensitive: bool = field(default=False, metadata={"help": "capital letters count (for new answers)"})
    repeats: bool = field(default=False, metadata={"help": "one answer may be given to several questions"})
    question_words: bool = field(default=False, metadata={"help": "an answer may hold words of its question"})
    organisation: tuple[str, ...] = field(
        default=(), metadata={"help": "names of the organisation, which are no answers; those of realms are known"}
    )
    strikes: int = field(default=3, metadata={"help": "wrong rounds within strikes_window that close a person's questions"})
    strikes_window: str | int = field(default="24h", metadata={"help": "over how long wrong rounds are counted"})
    reopen_after: str | int | None = field(
        default=None, metadata={"help": "when closed questions open by themselves; default: never, a strong sign-in opens them"}
    )
    renew_after: str | int | None = field(default=None, metadata={"help": "when answers have to be set anew; default: never"})
    preload: bool = field(default=False, metadata={"help": "answers may be imported by an operator"})
    verbal: bool = field(default=False, metadata={"help": "the help desk may check callers by their answers: `wardgate kba check`"})
    masked: bool = field(default=False, metadata={"help": "answers are typed like passwords, so that nobody beside reads them"})
    shipped: bool = field(default=True, metadata={"help": "offer the ten questions that come with the program, too"})

    @property
    def strikes_window_ms(self) -> int:
        """Over how long wrong rounds are counted."""
        return 1000 * seconds_of(self.strikes_window, _LEAST_S)

    @property
    def reopen_after_ms(self) -> int | None:
        """After how long closed questions open by themselves."""
        return None if self.reopen_after is None else 1000 * seconds_of(self.reopen_after, _LEAST_S)

    @property
    def renew_after_ms(self) -> int | None:
        """After how long answers have to be set anew."""
        return None if self.renew_after is None else 1000 * seconds_of(self.renew_after, _DAY_S, 10 * 366 * _DAY_S)


def faults(kba: KbaSettings, questions: Sequence[QuestionSettings], languages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong, as (path in the document, problem). Ranges of numbers were checked before."""
    for number, question in enumerate(questions):
        for path, problem in _faults_of(question, languages):
            yield f"questions[{number}].{path}", problem
    for name in ("strikes_window", "reopen_after", "renew_after"):
        try:
            getattr(kba, f"{name}_ms")
        except SettingsError as error:
            yield f"kba.{name}", error.message
    if kba.asked > kba.set:
        yield "kba.asked", f"asks for {kba.asked} answers of a person who has to set {kba.set}"
    if kba.set > kba.offered + kba.own:
        yield "kba.set", f"wants {kba.set} answers and offers {kba.offered} questions beside {kba.own} own"
    mandatory = sum(question.kind == "mandatory" and not question.retired for question in questions)
    if mandatory > kba.set:
        yield "kba.set", f"is less than the {mandatory} mandatory questions"


def _faults_of(question: QuestionSettings, languages: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not _ID.fullmatch(question.name):
        yield "name", "must be 1 to 32 small letters, digits or _ and begin with a letter: answers are stored under it"
    if not question.texts and not question.retired:
        yield "texts", "must hold the question in at least one language"
    for language, text in question.texts.items():
        if language not in languages:
            yield f"texts.{language[:16]}", f"is no language that is known: {', '.join(languages)}"
        if not MIN_QUESTION_CHARS <= len(text.strip()) <= MAX_QUESTION_CHARS or not text.isprintable():
            yield f"texts.{language[:16]}", f"must have {MIN_QUESTION_CHARS} to {MAX_QUESTION_CHARS} printable characters"
    if len(question.common) > MAX_COMMON:
        yield "common", f"holds {len(question.common)} answers, more than {MAX_COMMON}"
