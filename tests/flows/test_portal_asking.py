"""Challenge questions asked on pages: at sign-in, to confirm, for a forgotten password, and set because policy demands it."""

import html
import re

import httpx
import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_questions import ANSWERS, LIST, OWN_QUESTION, QuestionWorld, filled
from tests.flows.portal_world import OURS, BrowserOfTests
from tests.flows.test_portal_recovery import NEW, UNLIKE
from wardgate.crypto import Secret
from wardgate.directory.port import DirectoryUser, PasswordVerdict
from wardgate.factors import KINDS, STRONG_KINDS
from wardgate.kba.settings import KbaSettings
from wardgate.policy.rules import compile_policy
from wardgate.policy.settings import (
    AcceptWeakerSettings,
    ActionEntrySettings,
    FloorSettings,
    FloorThenSettings,
    NeedSettings,
    PolicySettings,
    RuleSettings,
    SelfServiceGoalSettings,
    SelfServiceSettings,
    ThenSettings,
)

DEMAND = ActionEntrySettings(enrol="kba", level="forced", deferrals=0)
PUT_OFF = ActionEntrySettings(enrol="kba", level="forced", deferrals=2)
BY_TEXT = {
    "What is your staff number?": ANSWERS["staff_number"],
    "What was the first dish you learned to cook?": ANSWERS["dish"],
    "Where did you once get lost as a child?": ANSWERS["lost"],
    "What was your favourite toy called?": ANSWERS["toy"],
    "What was the first film you saw in a cinema?": ANSWERS["film"],
}
_ASKED = re.compile(r'<label for="answer_(\d)">([^<]+)</label>')


async def a_world(**fields: object) -> tuple[QuestionWorld, DirectoryUser]:
    """Ada has answered, and a password is followed by questions."""
    world = QuestionWorld(**fields)  # type: ignore[arg-type]
    use_plan(world, ["password"], ["kba"])
    user = await world.person("ada", mail="ada@acme.test")
    await world.set_answers(user)
    return world, user


def questions(page: httpx.Response) -> dict[str, str]:
    """The fields of the page, with the question of each."""
    return {f"answer_{number}": html.unescape(text) for number, text in _ASKED.findall(page.text)}


def right(page: httpx.Response) -> dict[str, str]:
    """The right answers to what the page asks."""
    return {name: BY_TEXT[text] for name, text in questions(page).items()}


def wrong(page: httpx.Response) -> dict[str, str]:
    """The right answers but for the last one."""
    return {**right(page), "answer_3": "no idea at all"}


# --- at sign-in ------------------------------------------------------------------------------------------------------


async def test_all_questions_stand_on_one_page_and_sign_in() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        assert len(questions(page)) == 3
        assert "Answer your questions" in page.text
        await browser.post(**right(page), act="answer")
        assert browser.path == "/account"


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_which_answer_was_wrong_is_not_told_and_all_are_cleared(number: int) -> None:
    world, _ = await a_world()
    pages = []
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        sent = {**right(page), f"answer_{number}": "no idea at all"}
        page = await browser.post(**sent, act="answer")
        assert page.status_code == 422
        assert "The answers are not right together. Try again; 2 tries left." in page.text
        assert all(typed not in html.unescape(page.text) for typed in sent.values())
        assert page.text.count('aria-invalid="true"') == 3
        pages.append(page)
        page = await browser.post(**right(page), act="answer")
        assert browser.path == "/account"


async def test_the_same_questions_come_again_after_a_wrong_round_and_a_new_sign_in() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        first = questions(await browser.sign_in("ada"))
        assert questions(await browser.post(**wrong(browser.page), act="answer")) == first
        for _ in range(3):
            assert questions(await browser.sign_in("ada")) == first


async def test_answer_that_was_left_out_is_no_try() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        for _ in range(4):
            page = await browser.post(**{**right(page), "answer_2": " "}, act="answer")
            assert page.status_code == 422
            assert "Answer every question." in page.text
        await browser.post(**right(page), act="answer")
        assert browser.path == "/account"


async def test_guesses_close_the_questions_and_the_page_does_not_say_so() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        for _ in range(3):
            page = await browser.post(**wrong(page), act="answer") if "answer_1" in page.text else page
        page = await browser.sign_in("ada")
        assert len(questions(page)) == 3
        page = await browser.post(**right(page), act="answer")
        assert page.status_code == 422
        assert "closed" not in page.text.split("<main")[1]
    assert len(await world.payloads("account:questions:closed")) == 1
    assert not await world.rows("sso_session")


async def test_answers_at_sign_in_stand_in_no_page_step_or_timeline() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        sent = wrong(page)
        page = await browser.post(**sent, act="answer")
        tables = ("page_step", "login_transaction", "handle", "timeline", "audit_event", "outbox")
        stored = "".join([str(await world.rows(table)) for table in tables])
        for typed in sent.values():
            assert typed not in stored
            assert typed not in html.unescape(page.text)


async def test_masked_answers_are_masked_where_they_are_asked() -> None:
    world, _ = await a_world(settings=KbaSettings(masked=True))
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        assert page.text.count('type="password"') == 3


async def test_form_sent_twice_is_one_try() -> None:
    world, _ = await a_world()
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        form = browser.filled(0, {**wrong(page), "act": "answer"})
        first = await browser.client.post(browser.path, data=form, headers=OURS)
        second = await browser.client.post(browser.path, data=form, headers=OURS)
        assert "2 tries left" in first.text
        assert (second.status_code, "tries left" in second.text) == (409, False)
    assert max(row["strikes"] for row in await world.rows("kba_round")) == 1


async def test_questions_confirm_that_it_is_him_who_has_nothing_else() -> None:
    world = QuestionWorld()
    use_plan(world, ["password"], ["kba"])
    await world.set_answers(await world.person("ada"))
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        await browser.post(**right(page), act="answer")
        world.later(301)
        await browser.get(f"{LIST}/2")
        assert browser.path == "/confirm"
        page = await browser.post(str(browser.page.url), password="correct horse")
        await browser.post(**right(page), act="answer")
        assert browser.path == f"{LIST}/2"


# --- demanded --------------------------------------------------------------------------------------------------------


async def carol(*demands: ActionEntrySettings, **fields: object) -> tuple[QuestionWorld, DirectoryUser]:
    """Somebody without answers whose policy wants some."""
    world = QuestionWorld(**fields)  # type: ignore[arg-type]
    use_plan(world, ["password"], ["totp"], demands=demands or [DEMAND])
    user = await world.person("carol", mail="carol@acme.test")
    await world.give_totp(user)
    return world, user


async def to_demand(world: QuestionWorld, browser: BrowserOfTests) -> httpx.Response:
    world.later(30)
    await browser.sign_in("carol")
    return await browser.post(code=world.totp(), act="answer")


async def test_demanded_questions_are_set_within_the_sign_in() -> None:
    world, user = await carol()
    async with world.browser() as browser:
        page = await to_demand(world, browser)
        assert "Your organisation asks you to set challenge questions." in page.text
        assert not await world.rows("sso_session")
        page = await browser.post(**{**filled(), "answer_2": "abc"}, act="questions")
        assert page.status_code == 422
        assert "This answer is too short." in page.text
        assert all(html.escape(typed) not in page.text for typed in filled().values() if len(typed) > 8)
        await browser.post(**filled(own=True), act="questions")
        assert browser.path == "/account", browser.page.text
        assert "5 of 5 set." in (await browser.get(LIST)).text
    assert await world.ids(user) == {"staff_number", "dish", "lost", "toy", "own"}
    assert any("Challenge questions of your account were set" in each.text for each in await world.messages())
    async with world.browser() as browser:
        await to_demand(world, browser)
        assert browser.path == "/account"


async def test_leaving_the_form_of_a_demand_lets_nobody_in() -> None:
    world, _ = await carol()
    async with world.browser() as browser:
        page = await to_demand(world, browser)
        path = browser.path
        await browser.get("/account")
        assert browser.path == "/sign-in"
        await browser.get(path)
        assert browser.page.text.count("answer_5") == page.text.count("answer_5")
        await browser.post(form=1, act="cancel")
        assert (await browser.get(path)).status_code in (409, 410)
    assert not await world.rows("sso_session")
    assert not await world.rows("kba_answer")


async def test_demand_may_be_put_off_so_often_and_leads_to_the_questions() -> None:
    world, _ = await carol(PUT_OFF)
    for told in ("one more time", "next"):
        async with world.browser() as browser:
            page = await to_demand(world, browser)
            assert browser.path.endswith("/offers"), page.text
            assert f"{LIST}/set" in page.text
            assert "challenge questions" in page.text
            assert told
        world.later(8 * 3600 + 60)
    async with world.browser() as browser:
        page = await to_demand(world, browser)
        assert 'name="answer_1"' in page.text


async def test_answers_that_are_due_again_are_asked_for_at_sign_in() -> None:
    world, user = await carol(settings=KbaSettings(set=4))
    await world.set_answers(user, {name: ANSWERS[name] for name in ("staff_number", "dish", "lost", "toy")})
    async with world.browser() as browser:
        await to_demand(world, browser)
        assert browser.path == "/account"
    world.settings = KbaSettings(set=5)
    async with world.browser() as browser:
        page = await to_demand(world, browser)
        assert "More answers are needed." in page.text
        assert "answer_2" not in page.text
        await browser.post(question_1="film", answer_1=ANSWERS["film"], act="questions")
        assert browser.path == "/account", browser.page.text
    assert len(await world.ids(user)) == 5


async def test_closed_questions_are_all_set_anew_by_who_proves_nothing_strong() -> None:
    """Somebody guessed: what he may have found out goes, and nobody needs the help desk for it."""
    world = QuestionWorld()
    use_plan(world, ["password"], ["email"], demands=[DEMAND])
    user = await world.person("ada", mail="ada@acme.test")
    await world.set_answers(user, own=True)
    for _ in range(3):
        assert not await world.is_right(user, {**ANSWERS, "toy": "a guess"})
    async with world.browser() as browser:
        await browser.sign_in("ada")
        page = await browser.post(code=await world.code("ada"), act="answer")
        assert "Wrong answers were given to your questions." in page.text
        fresh = {**ANSWERS, "toy": "Something else again"}
        await browser.post(**filled(fresh), act="questions")
        assert browser.path == "/account", browser.page.text
    assert await world.is_right(user, fresh)
    assert await world.ids(user) == {*ANSWERS}


async def test_questions_set_in_another_tab_let_the_waiting_sign_in_go_on() -> None:
    world, user = await carol()
    async with world.browser() as browser:
        await to_demand(world, browser)
        await world.set_answers(user)
        page = await browser.post(**filled(), act="questions")
        assert page.status_code == 409
        assert "changed meanwhile" in page.text
        await browser.post(act="questions")
        assert browser.path == "/account", browser.page.text
    assert len(await world.payloads("account:questions:set")) == 1


async def test_busy_server_keeps_the_choices_of_a_demand() -> None:
    world, user = await carol()
    async with world.browser() as browser:
        await to_demand(world, browser)
        world.hasher.close()
        page = await browser.post(**filled(), act="questions")
        assert (page.status_code, page.headers["retry-after"]) == (503, "60")
        assert '<option value="toy" selected>' in page.text
    assert await world.ids(user) == set()


async def test_demand_among_others_is_offered_as_a_choice() -> None:
    both = ActionEntrySettings(enrol=("recovery_code", "kba"), level="forced", deferrals=0)  # type: ignore[arg-type]
    world, user = await carol(both)
    async with world.browser() as browser:
        page = await to_demand(world, browser)
        assert 'value="kba"' in page.text
        page = await browser.post(method="kba", act="enrol")
        assert "answer_5" in page.text
        await browser.post(**filled(), act="questions")
        assert browser.path == "/account", browser.page.text
    assert len(await world.ids(user)) == 5


async def test_login_that_is_over_sets_nothing() -> None:
    world, user = await carol()
    async with world.browser() as browser:
        await to_demand(world, browser)
        world.later(3600)
        await browser.post(**filled(), act="questions")
        assert browser.page.status_code == 410
    assert await world.ids(user) == set()


# --- a forgotten password --------------------------------------------------------------------------------------------


def parity(world: QuestionWorld) -> None:
    """Questions alone reset a password, but an administrator's."""
    weaker = AcceptWeakerSettings(reason="migration", until="2027-06-30")
    reset = SelfServiceGoalSettings(need=NeedSettings(proofs=1, weight=1, alone=("kba",)), accept_weaker=weaker)
    strict = FloorThenSettings(strong_factors=2, never=("kba",))
    settings = PolicySettings(
        name="test",
        rules=(RuleSettings(name="all", then=ThenSettings(steps=(("password",), ("totp", "sms", "email")))),),
        floors=(FloorSettings(name="administrators", when={"user": ["frank"]}, then=strict),),
        self_service=SelfServiceSettings(reset=reset),
    )
    world.policy = compile_policy(settings, KINDS, STRONG_KINDS)


async def forgot(browser: BrowserOfTests, name: str) -> httpx.Response:
    """Up to the page of the questions."""
    await browser.get("/forgot")
    await browser.post("/forgot", username=name)
    return await browser.post(method="kba", act="choose")


async def test_parity_policy_lets_questions_alone_reset_a_password() -> None:
    world = QuestionWorld()
    parity(world)
    user = await world.person("ada", mail="ada@acme.test")
    await world.set_answers(user)
    async with world.browser() as browser:
        page = await forgot(browser, "ada")
        assert len(questions(page)) == 3
        sent = wrong(page)
        page = await browser.post(**sent, act="answer")
        assert page.status_code == 422
        assert "The answers are not right together. Try again; 2 tries left." in page.text
        assert all(typed not in html.unescape(page.text) for typed in sent.values())
        page = await browser.post(**{**right(page), "answer_1": ""}, act="answer")
        assert (page.status_code, "Answer every question." in page.text) == (422, True)
        page = await browser.post(**right(page), act="answer")
        assert "Choose a new password" in page.text
        await browser.post(new_password=NEW, act="password")
    assert await world.directory.check_password(user, Secret(NEW), 1.0) is PasswordVerdict.RIGHT


async def test_floor_stops_an_administrator_with_right_answers() -> None:
    world = QuestionWorld()
    parity(world)
    user = await world.person("frank", mail="frank@acme.test")
    await world.set_answers(user)
    async with world.browser() as browser:
        page = await forgot(browser, "frank")
        page = await browser.post(**right(page), act="answer")
        assert "new_password" not in page.text
    assert await world.directory.check_password(user, Secret("correct horse"), 1.0) is PasswordVerdict.RIGHT


async def test_name_of_nobody_is_asked_the_same_questions_every_time_on_the_same_pages() -> None:
    world = QuestionWorld()
    parity(world)
    ada = await world.person("ada", mail="ada@acme.test")
    await world.set_answers(ada, own=True)
    await world.person("bob", mail="bob@acme.test")
    seen, steady = [], []
    for name in ("ada", "nobody", "bob"):
        shapes, asked = [], []
        for _ in range(2):
            async with world.browser() as browser:
                page = await forgot(browser, name)
                for _ in range(3):
                    asked.append(tuple(questions(page).values()) if "answer_1" in page.text else ())
                    shapes.append((page.status_code, _shape(page, name), sorted(set(page.headers) - {"set-cookie"})))
                    page = await browser.post(answer_1="one", answer_2="two", answer_3="three", act="answer")
                shapes.append((page.status_code, _shape(page, name), []))
        seen.append(shapes)
        steady.append({each for each in asked if each})
    assert seen[0] == seen[1] == seen[2]
    assert [len(each) for each in steady] == [1, 1, 1]
    assert OWN_QUESTION not in str(steady)
    assert "What is your staff number?" in str(steady[1])


def _shape(page: httpx.Response, name: str) -> str:
    """The page without the words of its questions, and what is another in every page."""
    text = _ASKED.sub("", page.text).replace(name, "")
    return re.sub(UNLIKE, "", text)


async def test_own_question_is_asked_only_after_another_proof() -> None:
    """Its text would tell that the person exists, and something of him."""
    world = QuestionWorld(settings=KbaSettings(set=3, own=1), questions=())
    user = await world.person("ada", mail="ada@acme.test")
    await world.set_answers(user, {name: ANSWERS[name] for name in ("dish", "toy")}, own=True)
    parity(world)
    async with world.browser() as browser:
        page = await forgot(browser, "ada")
        assert len(questions(page)) == 3
        assert OWN_QUESTION not in html.unescape(page.text)
    use_plan(world, ["password"], ["kba"])
    async with world.browser() as browser:
        page = await browser.sign_in("ada")
        assert OWN_QUESTION in html.unescape(page.text)
