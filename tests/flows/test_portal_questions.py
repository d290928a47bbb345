"""Setting challenge questions on the account's pages; and what an attacker would try. `test_portal_asking.py` has the asking."""

import asyncio
import html
import json
import logging
from pathlib import Path

import pytest

from tests.flows.portal_questions import ANSWERS, LIST, OWN_ANSWER, OWN_QUESTION, SET, STAFF_NUMBER, QuestionWorld, filled
from tests.flows.portal_world import ORIGIN, OURS
from tests.flows.world import BACKENDS, a_storage
from wardgate.crypto import Secret
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.own_questions import Entry, OwnQuestions, Person
from wardgate.kba.enrolment import Offline
from wardgate.kba.settings import KbaSettings, QuestionSettings
from wardgate.pages.turns import OWN_STEPS_AN_HOUR
from wardgate.storage.port import Operation


async def test_questions_are_set_and_told_everywhere() -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await browser.get("/account")
        assert "0 of 5 set." in browser.page.text
        assert LIST in browser.page.text
        await world.to_form(browser)
        assert "What is your staff number?" in browser.page.text
        page = await browser.post(SET, **filled(own=True))
        assert browser.path == LIST
        assert "5 of 5 set." in page.text
        assert OWN_QUESTION in page.text
    assert await world.ids(user) == {"staff_number", "dish", "lost", "toy", "own"}
    assert len(await world.payloads("account:questions:set")) == 1
    assert any("Challenge questions of your account were set" in each.text for each in await world.messages())
    assert (await world.verified()).findings == ()


@pytest.mark.parametrize("typed", ["İSTANBUL boğazı", "ISTANBUL BOGAZI", "ıstanbul bogazı", "istanbul, boğazı!"])
async def test_every_i_and_case_of_an_answer_is_the_same(typed: str) -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        await browser.post(SET, **filled({**ANSWERS, "lost": typed}))
        assert browser.path == LIST
    for again in ("İstanbul Boğazı", "ISTANBUL BOĞAZI", "istanbul bogazi", "ıstanbul boğazı"):
        assert await world.is_right(user, {**{name: ANSWERS[name] for name in ("staff_number", "dish")}, "lost": again})


BROKEN = [
    ({"answer_2": ""}, "Type an answer."),
    ({"answer_2": "  "}, "Type an answer."),
    ({"answer_2": "abc"}, "This answer is too short."),
    ({"answer_2": "x" * 129}, "This answer is too long."),
    ({"answer_1": "no digits"}, "Type this answer in digits."),
    ({"answer_3": ANSWERS["dish"].upper()}, "This answer repeats another."),
    ({"answer_3": "I was lost there"}, "This answer uses a word of the question."),
    ({"answer_2": "Lovelace"}, "This answer is a name of yours"),
    ({"answer_2": "Acme"}, "This answer is a name of yours"),
    ({"answer_2": "Pasta"}, "This answer is too common."),
    ({"question_2": ""}, "Choose one of the questions."),
    ({"question_2": "nothing"}, "Choose one of the questions."),
    ({"question_2": "+own", "own_2": OWN_QUESTION}, "Choose one of the questions."),
    ({"question_3": "dish"}, "Choose each question once."),
    ({"question_5": "+own", "own_5": ""}, "Your own question needs 10 to 150 characters."),
    ({"question_5": "+own", "own_5": "Too short"}, "Your own question needs 10 to 150 characters."),
    ({"question_5": "+own", "own_5": "x y " * 40}, "Your own question needs 10 to 150 characters."),
    ({"question_5": "+own", "own_5": "Who is Selvi Boylum really?"}, "This answer uses a word of the question."),
    ({"question_5": "+own", "own_5": "What was the first dish you learned to cook"}, "This question is too much like another."),
]


@pytest.mark.parametrize(("change", "told"), BROKEN)
async def test_broken_rule_is_told_above_its_field_and_never_the_answer(change: dict[str, str], told: str) -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        sent = {**filled(), **change}
        page = await browser.post(SET, **sent)
        assert page.status_code == 422
        assert told in html.unescape(page.text)
        assert page.text.count("aria-invalid") == 1
        assert page.text.index(told.split("'")[0]) < page.text.index("aria-invalid")
        assert "Error: " in page.text
        form = page.text.split("<form", 1)[1]
        for name, typed in sent.items():
            if name.startswith("answer_") and len(typed.strip()) > 3:
                assert html.escape(typed) not in form, name
        # What was chosen stays.
        assert '<option value="toy" selected>' in page.text
    assert await world.ids(user) == set()


async def test_several_broken_rules_come_with_a_list_of_them() -> None:
    world = QuestionWorld()
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        page = await browser.post(SET, **{**filled(), "answer_2": "abc", "answer_4": "abd"})
        assert "There is a problem" in page.text
        assert 'href="#answer_2"' in page.text
        assert 'href="#answer_4"' in page.text
        assert page.text.count("autofocus") == 1


async def test_own_question_that_holds_its_answer_does_not_come_back() -> None:
    """The page keeps the question that he wrote, but not where that would send the answer back."""
    world = QuestionWorld(settings=KbaSettings(question_words=True))
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        sent = {**filled(), "question_5": "+own", "own_5": "Who is SELVI-boylum really?"}
        page = await browser.post(SET, **sent)
        assert "Your own question must not hold its answer." in page.text
        assert "selvi" not in page.text.lower()
        world.later(301)
        await browser.post(SET, **sent)
        await world.confirm(browser)
        assert "selvi" not in browser.page.text.lower()
        assert '<option value="+own" selected>' in browser.page.text


async def test_more_own_questions_than_allowed_are_refused() -> None:
    world = QuestionWorld(settings=KbaSettings(own=0))
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        assert "own_5" not in browser.page.text
        page = await browser.post(SET, **filled(own=True))
        assert page.status_code == 422
        assert "Choose one of the questions." in page.text


async def test_answers_stand_in_no_page_log_audit_or_storage(caplog: pytest.LogCaptureFixture) -> None:
    world = QuestionWorld()
    await world.ada()
    caplog.set_level(logging.DEBUG)
    seen = []
    async with world.signed_in() as browser:
        await world.to_form(browser)
        seen.append((await browser.post(SET, **{**filled(own=True), "answer_3": "abc"})).text)
        seen.append((await browser.post(SET, **filled(own=True))).text)
        for path in ("/account", LIST, f"{LIST}/2"):
            seen.append((await browser.get(path)).text)
    tables = ("kba_answer", "kba_state", "kba_round", "audit_event", "page_step", "timeline")
    stored = [str(await world.rows(table)) for table in tables]
    for secret in (*ANSWERS.values(), OWN_ANSWER):
        for place in (*seen, *stored, caplog.text):
            assert secret.lower() not in place.lower(), secret
    # The question that he wrote is his own affair: he reads it, storage and audit do not.
    assert OWN_QUESTION not in "".join(stored)


async def test_of_forms_in_two_tabs_one_wins_and_the_other_is_told() -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        forms = [browser.filled(0, filled()), browser.filled(0, filled({**ANSWERS, "toy": "Something else again"}))]
        first, second = [await browser.client.post(SET, data=form, headers=OURS) for form in forms]
        assert (first.status_code, second.status_code) == (303, 409)
        assert "changed meanwhile" in second.text
        assert "5 of 5 set." in second.text
    assert await world.is_right(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "toy")})


async def test_of_forms_at_once_one_wins() -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        form = browser.filled(0, filled())
        posts = [browser.client.post(SET, data=form, headers=OURS) for _ in range(3)]
        statuses = sorted(reply.status_code for reply in await asyncio.gather(*posts))
        assert statuses == [303, 409, 409]
    assert len(await world.payloads("account:questions:set")) == 1
    assert len(await world.answers_of(user)) == 5


async def test_expired_proof_keeps_what_was_chosen_and_no_answer() -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        world.later(301)
        await browser.post(SET, **filled(own=True))
        assert browser.path == "/confirm"
        assert await world.ids(user) == set()
        await world.confirm(browser)
        assert browser.path.startswith(f"{SET}/")
        page = browser.page.text
        assert '<option value="toy" selected>' in page
        assert f'value="{OWN_QUESTION}"' in page
        for secret in (*ANSWERS.values(), OWN_ANSWER):
            assert secret not in page
        await browser.post(SET, **filled(own=True))
        assert browser.path == LIST
    assert len(await world.ids(user)) == 5


async def test_stolen_session_without_a_fresh_proof_fills_no_table() -> None:
    """What was chosen is kept for the proof, each time anew."""
    world = QuestionWorld()
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        form, before = browser.filled(0, filled()), len(await world.rows("page_step"))
        world.later(301)
        answers = [(await browser.client.post(SET, data=form, headers=OURS)).status_code for _ in range(OWN_STEPS_AN_HOUR + 2)]
        assert answers == [303] * OWN_STEPS_AN_HOUR + [429, 429]
        assert len(await world.rows("page_step")) == before + OWN_STEPS_AN_HOUR


async def test_stolen_session_without_a_fresh_proof_changes_nothing() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/2")
        change = browser.filled(0, {"question_1": "dish", "answer_1": "Something of mine"})
        await world.to_form(browser, f"{LIST}/2")
        await browser.get(f"{LIST}/clear")
        clearing = browser.filled(0, {})
        world.later(301)
        for path, form in ((f"{LIST}/2", change), (f"{LIST}/clear", clearing)):
            reply = await browser.client.post(path, data=form, headers=OURS)
            assert reply.status_code == 303
            assert reply.headers["location"].startswith("/confirm?then=/account/questions")
    assert await world.is_right(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "toy")})


@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "cross-site", "origin": "https://evil.test"}, {"origin": ORIGIN, **OURS}]
)
async def test_forged_form_sets_and_clears_nothing(headers: dict[str, str]) -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/2")
        fields = browser.filled(0, {"question_1": "dish", "answer_1": "Something of mine"})
        if "sec-fetch-site" in headers and headers["sec-fetch-site"] == "same-origin":
            fields["csrf"] = "0" * 32
        for path in (f"{LIST}/2", f"{LIST}/clear"):
            reply = await browser.client.post(path, data=fields, headers=headers)
            assert reply.status_code == 422
            assert "open too long" in reply.text
            assert "Something of mine" not in reply.text
    assert len(await world.answers_of(user)) == 5
    assert await world.is_right(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "toy")})


async def test_one_question_is_changed_for_another() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    number = next(each.number for each in await world.answers_of(user) if each.question_id == "toy")
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/{number}")
        page = await browser.post(question_1="teacher", answer_1=ANSWERS["dish"])
        assert page.status_code == 422
        assert "repeats another" in page.text
        page = await browser.post(question_1="teacher", answer_1="Hababam Mahmut")
        assert browser.path == LIST
        assert "5 of 5 set." in page.text
    assert await world.ids(user) == {"staff_number", "dish", "lost", "film", "teacher"}
    assert await world.is_right(user, {"teacher": "HABABAM mahmut", "staff_number": "001234", "dish": ANSWERS["dish"]})


async def test_mandatory_question_cannot_be_exchanged() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/1")
        assert 'name="question_1"' not in browser.page.text
        await browser.post(question_1="song", answer_1="98 76 54")
        assert browser.path == LIST
    assert "song" not in await world.ids(user)
    assert await world.is_right(user, {"staff_number": "987654", "dish": ANSWERS["dish"], "toy": ANSWERS["toy"]})


async def test_somebody_elses_question_is_not_there() -> None:
    world = QuestionWorld()
    ben = await world.person("ben")
    await world.set_answers(ben, own=True)
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        for number in range(1, 8):
            assert (await browser.get(f"{LIST}/{number}")).status_code == 404
        assert (await browser.get(f"{LIST}/{'9' * 60}")).status_code == 404
        assert OWN_QUESTION not in (await browser.get(LIST)).text


async def test_clearing_asks_first_and_removes_all() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user, own=True)
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/1")
        await browser.get(f"{LIST}/clear")
        assert len(await world.answers_of(user)) == 6
        page = await browser.post()
        assert browser.path == LIST
        assert "0 of 5 set." in page.text
    assert await world.answers_of(user) == []
    assert len(await world.payloads("account:questions:cleared")) == 1
    assert any("questions of your account were removed" in each.text for each in await world.messages())


async def test_clearing_in_an_old_tab_removes_nothing_new() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/1")
        await browser.get(f"{LIST}/clear")
        old = browser.filled(0, {})
        await world.set_answers(user, {"song": "Gesi baglari"})
        assert (await browser.client.post(f"{LIST}/clear", data=old, headers=OURS)).status_code == 409
    assert len(await world.answers_of(user)) == 6


async def test_retired_question_is_told_and_replaced() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    world.questions = (STAFF_NUMBER, QuestionSettings(name="toy", retired=True))
    async with world.signed_in() as browser:
        page = await browser.get(LIST)
        assert "4 of 5 set." in page.text
        assert "No longer asked." in page.text
        await world.to_form(browser)
        assert 'value="toy"' not in browser.page.text
        assert 'name="answer_2"' not in browser.page.text
        page = await browser.post(SET, question_1="song", answer_1="Gesi baglari")
        assert "5 of 5 set." in page.text
        assert "No longer asked." not in page.text
    assert await world.ids(user) == {"staff_number", "dish", "lost", "film", "song"}


async def test_prepared_answers_count_and_only_the_rest_is_asked() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user, {"staff_number": "870451"})
    async with world.signed_in() as browser:
        assert "1 of 5 set." in (await browser.get(LIST)).text
        await world.to_form(browser)
        assert "staff number" not in browser.page.text
        assert 'name="answer_5"' not in browser.page.text


async def test_stricter_rules_ask_for_the_older_answers_again() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    world.settings = KbaSettings(case_sensitive=True)
    async with world.signed_in() as browser:
        assert "rules for answers have changed" in (await browser.get(LIST)).text
        await world.to_form(browser)
        await browser.post(SET, **filled())
        assert browser.path == LIST
        assert "rules for answers have changed" not in browser.page.text
    assert all(each.case_sensitive for each in await world.answers_of(user))


async def test_masked_answers_are_typed_like_passwords() -> None:
    world = QuestionWorld(settings=KbaSettings(masked=True))
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        assert browser.page.text.count('type="password"') == 5


async def test_where_no_policy_names_questions_there_are_no_pages_of_them() -> None:
    world = QuestionWorld(uses_questions=False)
    await world.ada()
    async with world.signed_in() as browser:
        assert LIST not in (await browser.get("/account")).text
        for path in (LIST, SET, f"{LIST}/1", f"{LIST}/clear"):
            assert (await browser.get(path)).status_code == 404


async def test_turkish_pages_ask_in_turkish() -> None:
    world = QuestionWorld()
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        await browser.get(f"{SET}?lang=tr")
        assert "Sicil numaranız nedir?" in browser.page.text
        page = await browser.post(SET, **{**filled(), "answer_2": "abc"})
        assert "Bu yanıt çok kısa." in page.text
        assert "Yapmayı öğrendiğiniz ilk yemek neydi?" in page.text


async def test_answers_are_handed_to_whoever_makes_vaults_in_the_commit_that_stores_them() -> None:
    """The computer's kit wraps keys under whole subsets: it needs all answers in the one moment in which they are known."""
    world = QuestionWorld()
    user = await world.ada()
    handed: list[Offline] = []

    async def keep(subject_id: str, offline: Offline) -> list[Operation]:
        handed.append(offline)
        return []

    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration, keep_messages=True)
    own = OwnQuestions(parts, keep)
    person = Person(await world.subject_of(user), user, "portal", "en")
    standing = await own.look(person, "en")
    entries = [Entry(question_id, "", Secret(answer)) for question_id, answer in ANSWERS.items()]
    assert await own.set_answers(person, standing, entries) is None
    [offline] = handed
    assert offline.answers_version == 1
    assert [question_id for _, question_id, _ in offline.answers] == [*ANSWERS]
    assert offline.answers[1][2].reveal() == b"ratatouille a la nicoise"
    assert json.dumps([number for number, _, _ in offline.answers]) == "[1, 2, 3, 4, 5]"


async def test_setting_everything_anew_opens_questions_that_guesses_had_closed() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    async with world.signed_in() as browser:
        for _ in range(3):
            assert not await world.is_right(user, {**ANSWERS, "toy": "a guess"})
        assert not await world.is_right(user, ANSWERS)
        await world.to_form(browser)
        assert 'name="answer_5"' in browser.page.text
        fresh = {**ANSWERS, "toy": "Something else again"}
        await browser.post(SET, **filled(fresh))
        assert browser.path == LIST
    assert await world.is_right(user, fresh)
    assert len(await world.payloads("account:questions:reopened")) == 1


async def test_changing_one_answer_opens_nothing_that_guesses_had_closed() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user)
    async with world.signed_in() as browser:
        await world.to_form(browser, f"{LIST}/2")
        for _ in range(3):
            assert not await world.is_right(user, {**ANSWERS, "toy": "a guess"})
        page = await browser.post(question_1="dish", answer_1="Something else again")
        assert page.status_code == 409
        assert f"{LIST}/2" not in page.text
        await browser.get(f"{LIST}/2")
        assert browser.path == SET
    assert not await world.is_right(user, {**ANSWERS, "dish": "Something else again"})


async def test_guesses_by_what_a_form_refuses_are_counted_like_wrong_answers() -> None:
    """A form that is refused sets nothing and tells nobody: what it refuses must not tell the stored answers one by one."""
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "toy")})
    async with world.signed_in() as browser:
        await world.to_form(browser)
        for _ in range(3):
            page = await browser.post(
                SET, question_1="film", answer_1=ANSWERS["dish"], question_2="lost", answer_2="A guess of a thief"
            )
            assert (page.status_code, "repeats another" in page.text) == (422, True)
        page = await browser.post(SET, question_1="film", answer_1=ANSWERS["dish"], question_2="lost", answer_2=ANSWERS["toy"])
        assert (page.status_code, "repeats another" in page.text) == (422, False)
        assert "Set all of them anew" in page.text
        assert 'name="answer_5"' in page.text
    assert len(await world.payloads("account:questions:closed")) == 1
    assert not await world.is_right(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "toy")})


async def test_guesses_by_refused_forms_at_once_are_no_more_than_in_a_row() -> None:
    world = QuestionWorld()
    user = await world.ada()
    await world.set_answers(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "toy", "film")})
    async with world.signed_in() as browser:
        await world.to_form(browser)
        form = browser.filled(0, {"question_1": "lost", "answer_1": ANSWERS["dish"]})
        posts = [browser.client.post(SET, data=form, headers=OURS) for _ in range(8)]
        told = [reply.text.count("repeats another") > 0 for reply in await asyncio.gather(*posts)]
    assert sum(told) <= 3


async def test_database_without_the_key_reads_nothing_of_what_was_kept_for_the_proof() -> None:
    world = QuestionWorld()
    await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        world.later(301)
        await browser.post(SET, **filled(own=True))
        stored = str(await world.rows("page_step"))
    for word in (OWN_QUESTION, OWN_ANSWER, "dish", *ANSWERS.values()):
        assert word not in stored


async def test_kept_choices_of_one_form_come_back_in_no_other() -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        world.later(301)
        await browser.post(SET, **filled())
        await world.confirm(browser)
        place = browser.path
        await world.set_answers(user, {"song": "Gesi baglari"})
        await browser.get(place)
        assert "selected" not in browser.page.text.split("<form", 1)[1].split("</form>")[0]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_forms_at_once_on_every_storage_are_set_once(backend: str, tmp_path: Path) -> None:
    async with a_storage(backend, tmp_path) as storage:
        world = QuestionWorld(storage=storage)
        user = await world.ada()
        async with world.signed_in() as browser:
            await world.to_form(browser)
            form = browser.filled(0, filled(own=True))
            posts = [browser.client.post(SET, data=form, headers=OURS) for _ in range(3)]
            assert sorted(reply.status_code for reply in await asyncio.gather(*posts)) == [303, 409, 409]
            number = next(each.number for each in await world.answers_of(user) if each.question_id == "toy")
            await world.to_form(browser, f"{LIST}/{number}")
            await browser.post(question_1="teacher", answer_1="Hababam Mahmut")
            assert browser.path == LIST
        assert await world.ids(user) == {"staff_number", "dish", "lost", "own", "teacher"}
        assert (await world.verified()).findings == ()


async def test_server_with_too_much_to_hash_says_so_and_sets_nothing() -> None:
    world = QuestionWorld()
    user = await world.ada()
    async with world.signed_in() as browser:
        await world.to_form(browser)
        world.hasher.close()
        page = await browser.post(SET, **filled())
        assert page.status_code == 503
        assert page.headers["retry-after"] == "60"
        assert "Nothing was changed" in page.text
        assert '<option value="toy" selected>' in page.text
        assert all(answer not in html.unescape(page.text) for answer in ANSWERS.values())
    assert await world.ids(user) == set()
