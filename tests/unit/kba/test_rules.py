"""Which answers are taken, and which questions of people's own."""

import pytest

from wardgate.kba.catalogue import Catalogue, Question, compile_catalogue
from wardgate.kba.rules import Rule, Typed, broken_question, broken_rule, forbidden_words, read_answer, repeated
from wardgate.kba.settings import KbaSettings, QuestionSettings, faults
from wardgate.texts import LANGUAGES, catalogue, render

SETTINGS = KbaSettings()
CATALOGUE = compile_catalogue(SETTINGS, ())
FORBIDDEN = forbidden_words("ada", "Ada Lovelace", "ada.lovelace@acme.test", "Acme GmbH")


def rule_of(question: str, answer: str, settings: KbaSettings = SETTINGS, prepared: bool = False) -> Rule | None:
    return broken_rule(read_answer(CATALOGUE.questions[question], answer, settings), settings, FORBIDDEN, prepared=prepared)


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("Kösem Sultan parkı", None),
        ("", Rule.EMPTY),
        ("  ...  ", Rule.EMPTY),
        ("abc", Rule.TOO_SHORT),
        ("a.b.c", None),
        ("x" * 129, Rule.TOO_LONG),
        ("x" * 128, None),
        ("a child at the fair", Rule.QUESTION_WORD),
        ("lostness of us", None),
        ("ÇOCUKKEN evde", Rule.QUESTION_WORD),
        ("Lovelace", Rule.NAME),
        ("ADA lovelace", Rule.NAME),
        ("acme.test", Rule.NAME),
        ("Lovelace's garden", None),
        ("Beach!", Rule.COMMON),
        ("plâj", Rule.COMMON),
        ("shopping  mall", Rule.COMMON),
        ("I don’t know", Rule.COMMON),
        ("QWERTY", Rule.COMMON),
    ],
)
def test_an_answer_that_is_easily_guessed_is_refused(answer: str, rule: Rule | None) -> None:
    assert rule_of("lost", answer) == rule


def test_the_settings_lift_single_rules() -> None:
    assert rule_of("lost", "at the fair again", KbaSettings(question_words=True)) is None
    assert rule_of("lost", "ab", KbaSettings(min_length=2)) is None
    assert rule_of("lost", "LOVELACE", KbaSettings(case_sensitive=True)) == Rule.NAME
    assert rule_of("lost", "LOST dog", KbaSettings(case_sensitive=True)) == Rule.QUESTION_WORD


def test_a_short_word_of_the_question_does_not_spoil_an_answer() -> None:
    assert rule_of("lost", "in a big a field") is None


def test_a_prepared_answer_is_what_the_organisation_says_but_not_shorter() -> None:
    assert rule_of("lost", "ada lovelace", prepared=True) is None
    assert rule_of("lost", "abc", prepared=True) == Rule.TOO_SHORT


@pytest.mark.parametrize(
    ("form", "answer", "rule"),
    [
        ("digits", "0012-34", None),
        ("digits", "12ab", Rule.NOT_DIGITS),
        ("digits", "123", Rule.TOO_SHORT),
        ("date", "1.2.2003", None),
        ("date", "2003", Rule.NOT_A_DATE),
        ("date", "", Rule.NOT_A_DATE),
    ],
)
def test_an_answer_has_the_form_that_its_question_asks_for(form: str, answer: str, rule: Rule | None) -> None:
    question = Question("q", True, form, {"en": "Which one is it?"}, frozenset())  # type: ignore[arg-type]
    assert broken_rule(read_answer(question, answer, SETTINGS), SETTINGS, frozenset()) == rule


def test_one_answer_for_all_questions_is_refused() -> None:
    typed = [Typed(CATALOGUE.questions["lost"], plain, 5) for plain in ("blue door", "old tree", "Blue Door".lower())]
    assert repeated(typed, SETTINGS) == [False, False, True]
    assert repeated(typed, KbaSettings(repeats=True)) == [False] * 3


@pytest.mark.parametrize(
    ("question", "answer", "rule"),
    [
        ("What did we call the red boat?", "marmelade", None),
        ("Too short", "marmelade", Rule.QUESTION_LENGTH),
        ("????????????????", "marmelade", Rule.QUESTION_LENGTH),
        ("x" * 151, "marmelade", Rule.QUESTION_LENGTH),
        ("What did we\ncall the red boat?", "marmelade", Rule.QUESTION_LENGTH),
        ("The boat was called Marmelade, so?", "marmelade", Rule.QUESTION_HOLDS_ANSWER),
        ("Which colour had the old door?", "marmelade", Rule.QUESTIONS_ALIKE),
    ],
)
def test_an_own_question_must_ask_something(question: str, answer: str, rule: Rule | None) -> None:
    assert broken_question(question, answer, ["Which colour had our old door?"]) == rule


def test_every_rule_has_words_in_every_language() -> None:
    for language in LANGUAGES:
        for rule in Rule:
            assert render(rule.text, language)
        known = {name for name in catalogue(language) if name.startswith("kba.")}
        assert {rule.text.id for rule in Rule} <= known


# --- the catalogue -------------------------------------------------------------------------------------------------------


def test_the_ten_shipped_questions_are_there_in_both_languages_with_fifty_common_answers() -> None:
    assert list(CATALOGUE.questions) == ["shop", "dish", "lost", "film", "teacher", "vehicle", "job", "toy", "boss", "song"]
    for question in CATALOGUE.questions.values():
        assert set(question.texts) == set(LANGUAGES)
        assert len(question.common - CATALOGUE.common) >= 50, question.id
        assert not question.mandatory


def own_catalogue(**settings: object) -> Catalogue:
    questions = (
        QuestionSettings(name="staff_number", kind="mandatory", form="digits", texts={"en": "What is your staff number?"}),
        QuestionSettings(name="shop", texts={"en": "Which shop was the first one?"}, retired=True),
        QuestionSettings(name="pet", texts={"tr": "İlk evcil hayvanınızın adı neydi?"}, common=("Pamuk",)),
    )
    return compile_catalogue(KbaSettings(**settings), questions)  # type: ignore[arg-type]


def test_a_retired_question_is_not_offered_even_where_the_program_ships_it() -> None:
    made = own_catalogue()
    assert made.live("shop") is None
    assert "shop" not in [question.id for question in made.offered("en")]
    assert made.live("dish") is not None


def test_a_question_without_the_language_is_not_offered() -> None:
    made = own_catalogue(shipped=False)
    assert [question.id for question in made.offered("en")] == ["staff_number"]
    assert [question.id for question in made.offered("tr")] == ["pet"]


def test_mandatory_questions_come_first_and_are_all_offered() -> None:
    made = own_catalogue(offered=2)
    assert [question.id for question in made.offered("en")] == ["staff_number", "dish"]


def test_an_operators_common_answers_are_refused() -> None:
    question = own_catalogue().questions["pet"]
    assert broken_rule(read_answer(question, "PAMUK", SETTINGS), SETTINGS, frozenset()) == Rule.COMMON


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"asked": 4, "set": 3}, "kba.asked"),
        ({"set": 9, "offered": 5, "own": 1}, "kba.set"),
        ({"strikes_window": "soon"}, "kba.strikes_window"),
        ({"strikes_window": "1s"}, "kba.strikes_window"),
        ({"reopen_after": "5"}, "kba.reopen_after"),
        ({"renew_after": "1h"}, "kba.renew_after"),
    ],
)
def test_settings_that_contradict_each_other_are_told(settings: dict[str, object], path: str) -> None:
    assert [each for each, _ in faults(KbaSettings(**settings), (), LANGUAGES)] == [path]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "path"),
    [
        (QuestionSettings(name="Staff number", texts={"en": "What is your staff number?"}), "name"),
        (QuestionSettings(name="own:1", texts={"en": "What is your staff number?"}), "name"),
        (QuestionSettings(name="staff"), "texts"),
        (QuestionSettings(name="staff", texts={"xx": "What is your staff number?"}), "texts.xx"),
        (QuestionSettings(name="staff", texts={"en": "Number?"}), "texts.en"),
        (QuestionSettings(name="staff", texts={"en": "What is it?"}, common=("x",) * 201), "common"),
    ],
)
def test_a_question_that_cannot_be_asked_is_told(question: QuestionSettings, path: str) -> None:
    assert [each for each, _ in faults(SETTINGS, (question,), LANGUAGES)] == [f"questions[0].{path}"]


def test_more_mandatory_questions_than_answers_are_told() -> None:
    questions = [QuestionSettings(name=f"q{n}", kind="mandatory", texts={"en": "What is your staff number?"}) for n in range(6)]
    assert [path for path, _ in faults(SETTINGS, questions, LANGUAGES)] == ["kba.set"]
