"""Challenge questions in a real Chromium: set, changed and cleared, demanded, asked and used for a forgotten password."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.plans import use_plan
from tests.flows.portal_questions import ANSWERS, OWN_ANSWER, OWN_QUESTION, QuestionWorld
from tests.flows.test_portal_asking import BY_TEXT, DEMAND, PUT_OFF, parity
from tests.functional.acceptance import FOURTH, ONE, OTHER, THIRD, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import RULES, Site, Visit, Visitor
from wardgate.directory.memory import MemoryDirectory
from wardgate.kba.settings import KbaSettings

pytestmark = pytest.mark.neighbour("chromium")

SECRETS = (*ANSWERS.values(), OWN_ANSWER)
BY_ID = {
    "Sicil numaranız nedir?": "staff_number",
    "Yapmayı öğrendiğiniz ilk yemek neydi?": "dish",
    "Çocukken nerede kaybolmuştunuz?": "lost",
    "En sevdiğiniz oyuncağın adı neydi?": "toy",
    "Sinemada izlediğiniz ilk film neydi?": "film",
}
NEW_PASSWORD = "Another-long-sentence-42"


def world_of(site: Site) -> QuestionWorld:
    """The world with questions."""
    assert isinstance(site.world, QuestionWorld)
    return site.world


@pytest.fixture
def site(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """A portal whose policy names questions."""
    one = Site(loop, tmp_path, QuestionWorld(directory=MemoryDirectory("local", policy=RULES)))
    yield one
    one.close()


def fill(ada: Visitor, *, own: bool = False) -> None:
    """Fill in the form: the question of the organisation, and four that are chosen."""
    for number, (question_id, answer) in enumerate(ANSWERS.items(), start=1):
        if number > 1 and not (own and number == len(ANSWERS)):
            ada.page.locator(f"#question_{number}").select_option(question_id)
        ada.page.locator(f"#answer_{number}").fill(answer)
    if own:
        ada.page.locator(f"#question_{len(ANSWERS)}").select_option("+own")
        ada.page.locator(f"#own_{len(ANSWERS)}").fill(OWN_QUESTION)
        ada.page.locator(f"#answer_{len(ANSWERS)}").fill(OWN_ANSWER)


def answer(ada: Visitor, *, wrong: bool = False) -> None:
    """Answer what the page asks."""
    labels = ada.page.locator("label[for^=answer_]").all_inner_texts()
    assert len(labels) == 3
    for number, text in enumerate(labels, start=1):
        right = BY_TEXT.get(text) or ANSWERS[BY_ID[text]]
        ada.page.locator(f"#answer_{number}").fill("no idea at all" if wrong and number == 3 else right)


@shows("A13", ONE)
def test_questions_are_set_changed_and_cleared(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.secrets += SECRETS
    ada.sign_in_by_app()
    ada.sees("account-without-questions", ada.t("account.overview"))
    ada.follow("kba.heading")
    ada.sees("questions-none", ada.t("kba.heading"))
    ada.follow("kba.set")
    ada.sees("questions-set", ada.t("kba.set"))
    fill(ada)
    ada.page.locator("#answer_3").fill("x")
    ada.press("kba.save")
    ada.sees("questions-one-broken", ada.t("kba.set"), status=422, error=True)
    fill(ada)
    ada.page.locator("#answer_1").fill("none")
    ada.page.locator("#answer_4").fill(ANSWERS["dish"].upper())
    ada.press("kba.save")
    ada.sees("questions-two-broken", ada.t("kba.set"), status=422, error=True)
    fill(ada, own=True)
    ada.press("kba.save")
    ada.sees("questions-all-set", ada.t("kba.heading"))
    ada.reads("kba.count", n=5, of=5)
    ada.page.goto(f"{site.origin}/account/questions/2")
    ada.sees("question-change", ada.t("kba.change_heading"))
    ada.page.locator("#question_1").select_option("teacher")
    ada.page.locator("#answer_1").fill("Hababam Mahmut")
    ada.press("kba.save")
    ada.sees("questions-changed", ada.t("kba.heading"))
    ada.follow("kba.clear")
    ada.sees("questions-clear", ada.t("kba.clear"))
    ada.press("kba.clear")
    ada.sees("questions-cleared", ada.t("kba.heading"))


@shows("A13", OTHER)
def test_proof_that_ran_out_keeps_what_was_chosen(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.secrets += SECRETS
    ada.sign_in_by_app()
    ada.open("/account/questions/set")
    fill(ada, own=True)
    site.later(301)
    ada.press("kba.save")
    ada.confirm(lambda: ada.type_code(site.world.totp()))
    ada.page.wait_for_url("**/account/questions/set/*")
    ada.sees("questions-kept", ada.t("kba.set"))
    assert ada.page.locator("#question_3").input_value() == "lost"
    assert ada.page.locator("#own_5").input_value() == OWN_QUESTION
    assert ada.page.locator("#answer_2").input_value() == ""


@shows("A13", THIRD)
def test_demanded_questions_are_set_within_the_sign_in_and_asked_at_the_next(site: Site, visit: Visit) -> None:
    world = world_of(site)
    use_plan(world, ["password"], ["totp"], demands=[DEMAND])
    site.ada()
    ada = visit()
    ada.secrets += SECRETS
    ada.sign_in()
    ada.type_code(world.totp())
    ada.sees("do-questions", ada.t("kba.set"))
    fill(ada)
    ada.page.locator("#answer_5").fill("x")
    ada.press("kba.save")
    ada.sees("do-questions-broken", ada.t("kba.set"), status=422, error=True)
    fill(ada)
    ada.press("kba.save")
    ada.sees("account-with-questions", ada.t("account.overview"))
    use_plan(world, ["password"], ["kba"])
    again = visit()
    again.secrets += SECRETS
    again.sign_in()
    again.sees("step-questions", again.t("sign.step_kba"))
    answer(again, wrong=True)
    again.press("sign.continue")
    again.sees("step-questions-wrong", again.t("sign.step_kba"), status=422, error=True)
    again.reads("kba.wrong", left=2)
    assert [again.page.locator(f"#answer_{number}").input_value() for number in (1, 2, 3)] == ["", "", ""]
    answer(again)
    again.press("sign.continue")
    again.sees("account-by-questions", again.t("account.overview"))


@shows("A13", FOURTH)
def test_forgotten_password_by_questions_alone_where_policy_says_so(site: Site, visit: Visit) -> None:
    world = world_of(site)
    world.settings = KbaSettings(masked=True)
    parity(world)
    site.ada()

    async def set_answers() -> None:
        user = await world.directory.find("ada", 1.0)
        assert user is not None
        await world.set_answers(user)

    site.run(set_answers())
    ada, stranger = visit(), visit()
    ada.secrets += [*SECRETS, NEW_PASSWORD]
    for visitor, name in ((stranger, "nobody"), (ada, "ada")):
        visitor.open("/forgot")
        visitor.page.locator("#username").fill(name)
        visitor.press("sign.continue")
        visitor.choose("kba")
        visitor.sees(f"prove-questions-{name}", visitor.t("sign.step_kba"))
        assert visitor.page.locator("input[type=password]").count() == 3
    answer(ada, wrong=True)
    ada.press("sign.continue")
    ada.sees("prove-questions-wrong", ada.t("sign.step_kba"), status=422, error=True)
    answer(ada)
    ada.press("sign.continue")
    ada.sees("new-password-by-questions", ada.t("recover.new_password"))
    ada.page.locator("#new_password").fill(NEW_PASSWORD)
    ada.press("recover.set_password")
    ada.sees("reset-by-questions", ada.t("recover.done_pw_done"), settled=True)


@shows("A13", OTHER)
def test_demand_is_put_off_and_questions_are_another_way(site: Site, visit: Visit) -> None:
    world = world_of(site)
    use_plan(world, ["password"], ["totp"], demands=[PUT_OFF])
    site.ada()
    ada = visit()
    ada.sign_in()
    ada.type_code(world.totp())
    ada.sees("offer-questions", ada.t("do.offers"))
    ada.follow("do.now")
    ada.confirm(lambda: ada.type_code(world.totp(1)))
    ada.page.wait_for_url("**/account/questions/set")
    fill(ada)
    ada.press("kba.save")
    ada.sees("questions-after-offer", ada.t("kba.heading"))
    use_plan(world, ["password"], ["totp", "kba"])
    again = visit()
    again.sign_in()
    again.follow("sign.other_way")
    again.sees("other-ways-with-questions", again.t("sign.choose_way"))
    again.choose("kba")
    again.sees("step-questions-as-other-way", again.t("sign.step_kba"))
    answer(again)
    again.press("sign.continue")
    again.sees("account-by-another-way", again.t("account.overview"))


@shows("A13", ONE)
def test_retired_question_is_shown_as_such(site: Site, visit: Visit) -> None:
    world = world_of(site)
    site.ada()

    async def set_answers() -> None:
        user = await world.directory.find("ada", 1.0)
        assert user is not None
        await world.set_answers(user)

    site.run(set_answers())
    world.questions = ()
    ada = visit()
    ada.sign_in_by_app()
    ada.open("/account/questions")
    ada.sees("questions-retired", ada.t("kba.heading"))
