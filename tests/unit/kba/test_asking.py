"""Asking and judging, as those who want in without the answers try it."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conformance.storage.backends import BACKENDS, PARAMETERS
from tests.unit.kba.conftest import ADA, ANSWERS, OWN_ANSWER, STAFF_NUMBER, Room, answers
from wardgate.account.subject import SubjectId
from wardgate.audit.trail import chain_for
from wardgate.crypto import Secret
from wardgate.errors import Overloaded
from wardgate.kba.asking import DAY_MS, Questioner, Right, Who, Wrong, erased, reopened
from wardgate.kba.rounds import RESERVATION_LIFE_MS, TABLE
from wardgate.kba.settings import KbaSettings, QuestionSettings
from wardgate.storage.port import Committed, Refused, Upsert

WHO = Who("acme", "ada", ADA)
NOBODY = Who("acme", "nobody")
WRONG = dict.fromkeys(ANSWERS, "something else")


def right(room: Room, own: str = "") -> dict[str, str]:
    return ANSWERS | ({own: OWN_ANSWER} if own else {})


async def own_id(room: Room) -> str:
    rows = await room.storage.find("kba_answer")
    return next(str(row["question_id"]) for row in rows if str(row["question_id"]).startswith("own:"))


async def ids(room: Room, who: Who, proved: bool = False) -> list[str]:
    return [question.id for question in await room.questioner.ask(who, "en", proved)]


async def test_all_right_answers_pass_however_they_are_typed(room: Room) -> None:
    await room.set_all()
    shouted = {name: f"  {text.upper()}!" for name, text in ANSWERS.items()}
    assert await room.passes(WHO, shouted)


async def test_one_wrong_answer_spoils_the_round_and_is_not_named(room: Room) -> None:
    await room.set_all()
    for name in await ids(room, WHO):
        judged = await room.judge(WHO, ANSWERS | {name: "something else"})
        assert judged == Wrong("answers_wrong")
        assert isinstance(await room.storage.commit([reopened(room.ring, ADA)]), Committed)


@pytest.mark.parametrize("given", [{}, {"dish": ANSWERS["dish"]}, dict.fromkeys(ANSWERS, ""), {"own:other": "x"}])
async def test_answers_that_are_missing_are_wrong(room: Room, given: dict[str, str]) -> None:
    await room.set_all()
    assert await room.judge(WHO, given) == Wrong("answers_wrong")


async def test_every_answer_is_hashed_whatever_became_of_the_others(room: Room) -> None:
    await room.set_all()
    asked = await ids(room, WHO)
    await room.judge(NOBODY, {})
    questioner = room.questioner
    await questioner.judge(NOBODY, await ids(room, NOBODY), {}, "x")

    async def runs(who: Who, given: dict[str, str], of: list[str]) -> int:
        before = room.hasher.runs
        await questioner.judge(who, of, {name: Secret(text) for name, text in given.items()}, "ada")
        return room.hasher.runs - before

    costs = [
        await runs(WHO, ANSWERS, asked),
        await runs(WHO, ANSWERS | {asked[0]: "wrong at first"}, asked),
        await runs(WHO, {}, asked),
        await runs(WHO, dict.fromkeys(asked, "x" * 4000), asked),
        await runs(NOBODY, WRONG, await ids(room, NOBODY)),
        await runs(WHO, WRONG, asked),
        await runs(WHO, WRONG, asked),
    ]
    assert costs == [3] * 7


async def test_the_questions_close_after_three_wrong_rounds_and_the_right_answers_open_nothing(room: Room) -> None:
    await room.set_all()
    for _ in range(3):
        assert await room.judge(WHO, WRONG) == Wrong("answers_wrong")
    assert await room.questioner.is_closed(ADA)
    assert await room.judge(WHO, ANSWERS) == Wrong("questions_closed")
    room.clock.advance(400 * 86_400)
    assert await room.judge(WHO, ANSWERS) == Wrong("questions_closed")
    await room.storage.commit([reopened(room.ring, ADA)])
    assert not await room.questioner.is_closed(ADA)
    assert await room.passes(WHO, ANSWERS)


async def test_a_closing_stands_on_record_once(room: Room) -> None:
    await room.set_all()
    for _ in range(6):
        await room.judge(WHO, WRONG)
    kinds = Counter(str(row["kind"]) for row in await room.storage.find("audit_event"))
    assert kinds["account:questions:closed"] == 1


async def test_closed_questions_are_asked_like_open_ones(room: Room) -> None:
    """An outsider who closed them must not see that there is somebody."""
    await room.set_all()
    before = await room.questioner.ask(WHO, "en")
    for _ in range(4):
        await room.judge(WHO, WRONG)
    assert await room.questioner.ask(WHO, "en") == before


async def test_wrong_rounds_of_another_day_are_forgotten(room: Room) -> None:
    await room.set_all()
    for _ in range(2):
        await room.judge(WHO, WRONG)
    room.clock.advance(86_400)
    for _ in range(2):
        await room.judge(WHO, WRONG)
    assert await room.passes(WHO, ANSWERS)


async def test_closed_questions_reopen_by_themselves_only_where_the_settings_say_so(room: Room) -> None:
    room.settings = KbaSettings(strikes=2, reopen_after="15m")
    await room.set_all()
    for _ in range(2):
        await room.judge(WHO, WRONG)
    assert await room.judge(WHO, ANSWERS) == Wrong("questions_closed")
    room.clock.advance(15 * 60)
    assert await room.passes(WHO, ANSWERS)


async def test_a_hundred_guesses_at_once_are_three(room: Room) -> None:
    """Ten workers, each with its own questioner: what is compared is what was reserved before."""
    await room.set_all()
    asked = await ids(room, WHO)
    given = {name: Secret(text) for name, text in WRONG.items()}
    judged = await asyncio.gather(*(room.questioner.judge(WHO, asked, given, "ada") for _ in range(20)))
    assert Counter(each.reason for each in judged if isinstance(each, Wrong)) == {"answers_wrong": 3, "questions_closed": 17}
    assert await room.questioner.is_closed(ADA)


@pytest.mark.parametrize("back_end", PARAMETERS)
async def test_a_hundred_guesses_at_once_are_three_on_every_database(room: Room, back_end: str, tmp_path: Path) -> None:
    await room.storage.close()
    storage = await BACKENDS[back_end](tmp_path)
    storage.use_chain(chain_for(room.ring, "test", 1))
    try:
        real = replace(room, storage=storage)
        await real.set_all()
        asked = await ids(real, WHO)
        assert asked == await ids(real, WHO)
        assert await ids(real, WHO, proved=True) == await ids(real, WHO, proved=True)
        assert await real.passes(WHO, ANSWERS)
        given = {name: Secret(text) for name, text in WRONG.items()}
        judged = await asyncio.gather(*(real.questioner.judge(WHO, asked, given, "ada") for _ in range(12)))
        assert Counter(each.reason for each in judged if isinstance(each, Wrong)) == {"answers_wrong": 3, "questions_closed": 9}
        assert await real.questioner.is_closed(ADA)
    finally:
        await storage.close()


async def test_right_answers_beside_a_flood_of_guesses_open_nothing_for_the_flood(room: Room) -> None:
    await room.set_all()
    asked = await ids(room, WHO)
    rounds = [WRONG, WRONG, ANSWERS, *[WRONG] * 6]
    judged = await asyncio.gather(
        *(room.questioner.judge(WHO, asked, {n: Secret(t) for n, t in given.items()}, "ada") for given in rounds)
    )
    assert isinstance(judged[2], Right)
    assert sum(each == Wrong("answers_wrong") for each in judged) == 2
    assert isinstance(await room.storage.commit(judged[2].claim), Committed)


async def test_a_right_round_opens_nothing_that_was_closed_while_it_was_judged(room: Room) -> None:
    await room.set_all()
    for _ in range(2):
        await room.judge(WHO, WRONG)
    judged = await room.judge(WHO, ANSWERS)
    assert isinstance(judged, Right)
    room.settings = KbaSettings(strikes=2)
    assert await room.judge(WHO, WRONG) == Wrong("questions_closed")
    assert isinstance(await room.storage.commit(judged.claim), Committed)
    assert await room.questioner.is_closed(ADA)


async def test_a_round_that_nobody_settled_is_a_strike(room: Room) -> None:
    """Hanging up before the answer comes spares nobody a strike."""
    await room.set_all()
    for _ in range(3):
        assert isinstance(await room.judge(WHO, ANSWERS), Right)
    assert await room.judge(WHO, ANSWERS) == Wrong("questions_closed")
    room.clock.advance(RESERVATION_LIFE_MS / 1000)
    assert await room.judge(WHO, ANSWERS) == Wrong("questions_closed")
    assert await room.questioner.is_closed(ADA)


async def test_a_right_round_counts_for_a_minute_and_once(room: Room) -> None:
    await room.set_all()
    judged = await room.judge(WHO, ANSWERS)
    assert isinstance(judged, Right)
    assert isinstance(await room.storage.commit(judged.claim), Committed)
    assert isinstance(await room.storage.commit(judged.claim), Refused)


async def test_right_answers_that_were_changed_meanwhile_prove_nothing(room: Room) -> None:
    await room.set_all()
    judged = await room.judge(WHO, ANSWERS)
    assert isinstance(judged, Right)
    await room.set(*answers({"dish": "Blue lagoon"}))
    assert isinstance(await room.storage.commit(judged.claim), Refused)


async def test_an_overloaded_pool_costs_nobody_a_strike(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await room.set_all()
    questioner, asked = room.questioner, await ids(room, WHO)
    await questioner.judge(WHO, asked, {}, "ada")

    async def full(*_: object, **__: object) -> None:
        raise Overloaded("full")

    with monkeypatch.context() as patched:
        patched.setattr(room.hasher, "check", full)
        for _ in range(5):
            with pytest.raises(Overloaded):
                await questioner.judge(WHO, asked, {}, "ada")
    [row] = await room.storage.find(TABLE)
    assert (row["strikes"], row["pending"]) == (1, 0)


# --- who exists ----------------------------------------------------------------------------------------------------------


async def test_a_name_that_is_nobodys_is_asked_as_many_questions_every_time_the_same(room: Room) -> None:
    await room.set_all()
    first = await room.questioner.ask(NOBODY, "en")
    assert len(first) == len(await room.questioner.ask(WHO, "en")) == 3
    assert len({question.id for question in first}) == 3
    assert first[0].id == (await ids(room, WHO))[0] == "staff_number"
    for _ in range(5):
        assert await room.questioner.ask(NOBODY, "en") == first


async def test_names_are_asked_different_questions_and_realms_too(room: Room) -> None:
    sets = {tuple(await ids(room, Who(realm, f"nobody{n}"))) for n in range(20) for realm in ("acme", "lab")}
    assert len(sets) > 10


async def pool_of(room: Room, who: Who, days: int = 60) -> set[str]:
    """What somebody who asks every day sees of a name's questions."""
    seen: set[str] = set()
    for _ in range(days):
        seen |= set(await ids(room, who))
        room.clock.advance(86_400)
    return seen


async def test_the_questions_of_a_name_come_from_a_pool_as_a_persons_do(room: Room) -> None:
    """Watching for weeks must not tell: a person's questions come from the few that he answered, and so do a stranger's."""
    await room.set_all()
    seen: dict[str, set[str]] = {"ada": set(), "nobody": set()}
    changes = Counter[str]()
    before: dict[str, list[str]] = {}
    for _ in range(60):
        for who in (WHO, NOBODY):
            now = await ids(room, who)
            changes[who.name_key] += now != before.get(who.name_key)
            before[who.name_key] = now
            seen[who.name_key] |= set(now)
        room.clock.advance(86_400)
    assert len(seen["ada"]) == 4
    assert 3 <= len(seen["nobody"]) <= 5
    assert min(changes.values()) > 10


async def test_no_size_of_a_pool_tells_a_person(room: Room) -> None:
    """One has written a question of his own, one has not, and of one's answers a question was retired: 4, 5 and 3 can be asked."""
    sizes = {len(await pool_of(room, Who("acme", f"nobody{n}"), 30)) for n in range(20)}
    assert sizes == {3, 4, 5}


@pytest.mark.parametrize("offered", [4, 3])
async def test_a_question_that_is_offered_no_more_tells_of_nobody(room: Room, offered: int) -> None:
    """Strangers are not asked it. A person who was would be known by it; who has too few others is asked as a stranger is."""
    await room.set_all()
    room.settings = KbaSettings(offered=offered, set=3)
    others = {"staff_number", "shop", "dish", "lost"} if offered == 4 else {"staff_number", "shop", "dish"}
    assert await pool_of(room, WHO) <= others
    if offered == 4:
        assert await pool_of(room, WHO) == {"staff_number", "dish", "lost"}
        assert await room.passes(WHO, ANSWERS)
    else:
        assert await ids(room, WHO) == await ids(room, Who("acme", "ada"))
        assert await room.judge(WHO, ANSWERS) == Wrong("kind_not_enrolled")
    assert await room.questioner.has_answers(ADA, proved=True)


async def test_questions_that_are_never_offered_together_are_never_asked_together(room: Room) -> None:
    """Each language has its own: whoever is asked some of both is nobody, or has changed his language."""
    room.settings = KbaSettings(shipped=False, set=3, own=0)
    room.questions = tuple(
        QuestionSettings(name=f"{language}_{n}", texts={language: f"Question number {n}?"})
        for language in ("en", "tr")
        for n in range(5)
    )
    seen = set()
    for n in range(40):
        languages = {name[:2] for name in await pool_of(room, Who("acme", f"nobody{n}"), 5)}
        assert len(languages) == 1
        seen |= languages
    assert seen == {"en", "tr"}
    given = {f"{language}_{n}": f"answer of {language} {n}" for language, most in (("en", 2), ("tr", 3)) for n in range(most)}
    await room.set(*answers(given))
    assert await pool_of(room, WHO) == {"tr_0", "tr_1", "tr_2"}
    assert await room.passes(WHO, given)


async def test_who_makes_as_many_mandatory_as_are_asked_has_everybody_asked_the_same(room: Room) -> None:
    """So that even two names of one person, his login name and his mail address, tell nothing."""
    room.settings = KbaSettings(asked=2, set=3)
    date = QuestionSettings(name="start_date", kind="mandatory", form="date", texts={"en": "On which day did you start?"})
    room.questions = (STAFF_NUMBER, date)
    await room.set(*answers({**ANSWERS, "start_date": "1.2.2003"}))
    for who in (WHO, Who("acme", "ada.lovelace", ADA), NOBODY, Who("acme", "another")):
        assert await pool_of(room, who, 10) == {"staff_number", "start_date"}


async def test_a_persons_questions_before_any_proof_stay_for_a_day_passed_or_not(room: Room) -> None:
    """A set that changes in the middle of a day would tell that somebody passed, and so that there is somebody."""
    await room.set_all()
    first = await ids(room, WHO)
    assert await room.passes(WHO, ANSWERS)
    assert await ids(room, WHO) == first


async def test_questions_before_any_proof_change_once_in_a_day_at_most(room: Room) -> None:
    await room.set_all()
    for who in (WHO, NOBODY):
        sets = []
        for _ in range(96):
            sets.append(await ids(room, who))
            room.clock.advance(900)
        assert sum(one != other for one, other in pairwise(sets)) <= 1


async def test_a_mandatory_question_of_today_tells_nobody_who_set_his_answers_yesterday(room: Room) -> None:
    """Strangers are asked it. Who has not answered it yet would be the only one who is not."""
    await room.set_all()
    date = QuestionSettings(name="start_date", kind="mandatory", form="date", texts={"en": "On which day did you start?"})
    room.questions = (*room.questions, date)
    for who in (WHO, NOBODY):
        assert (await ids(room, who))[:2] == ["staff_number", "start_date"]
    assert isinstance(await room.judge(WHO, ANSWERS), Wrong)
    assert not await room.questioner.has_answers(ADA, proved=False)
    assert await room.questioner.has_answers(ADA, proved=True)
    await room.set(*answers({"start_date": "1.2.2003"}))
    assert await room.passes(WHO, ANSWERS | {"start_date": "2003-02-01"})


async def test_the_order_of_the_questions_is_the_same_for_people_and_strangers(room: Room) -> None:
    date = QuestionSettings(name="a_date", kind="mandatory", form="date", texts={"en": "On which day did you start?"})
    for questions in ((STAFF_NUMBER, date), (date, STAFF_NUMBER)):
        room.questions = questions
        await room.set(*answers({**ANSWERS, "a_date": "1.2.2003"}))
        wanted = [question.name for question in questions]
        assert (await ids(room, WHO))[:2] == (await ids(room, NOBODY))[:2] == (await ids(room, WHO, proved=True))[:2] == wanted


async def test_strangers_are_asked_nothing_that_people_are_not_offered(room: Room) -> None:
    room.settings = KbaSettings(offered=4)
    offered = {"staff_number", "shop", "dish", "lost"}
    seen = {name for n in range(60) for name in await ids(room, Who("acme", f"nobody{n}"))}
    assert seen == offered


async def test_an_own_question_is_never_asked_before_another_proof(room: Room) -> None:
    await room.set_all()
    own = await own_id(room)
    for _ in range(30):
        assert own not in await ids(room, WHO)
        room.clock.advance(86_400)


async def test_an_own_question_answered_before_another_proof_proves_nothing(room: Room) -> None:
    await room.set_all()
    own = await own_id(room)
    asked = ["staff_number", "dish", own]
    given = {name: Secret(text) for name, text in right(room, own).items()}
    assert isinstance(await room.questioner.judge(WHO, asked, given, "ada", proved=True), Right)
    assert await room.questioner.judge(WHO, asked, given, "ada") == Wrong("kind_not_enrolled")


async def test_fewer_questions_than_the_settings_ask_prove_nothing(room: Room) -> None:
    await room.set_all()
    given = {name: Secret(text) for name, text in ANSWERS.items()}
    for asked in ([], ["dish"], ["dish", "dish", "dish"], ["dish", "toy"]):
        assert isinstance(await room.questioner.judge(WHO, asked, given, "ada"), Wrong)


async def test_a_person_without_answers_is_asked_like_a_name_that_is_nobodys(room: Room) -> None:
    known = Who("acme", "carol", SubjectId("carol-subject"))
    assert await room.questioner.ask(known, "en") == await room.questioner.ask(Who("acme", "carol"), "en")
    assert await room.judge(known, WRONG) == Wrong("kind_not_enrolled")


async def test_rounds_of_strangers_are_forgotten_and_of_closed_people_are_not(room: Room) -> None:
    await room.set_all()
    for who in (WHO, NOBODY):
        for _ in range(3):
            await room.judge(who, WRONG)
    rows = await room.storage.find(TABLE)
    now_ms = int(room.clock.now().timestamp() * 1000)
    lives = sorted(int(row["expires_at"] or 0) - now_ms for row in rows)
    assert lives[0] <= DAY_MS
    assert lives[1] > 100 * 365 * DAY_MS


# --- after another proof -------------------------------------------------------------------------------------------------


async def test_reloading_never_fishes_for_easier_questions(room: Room) -> None:
    await room.set_all()
    first = await ids(room, WHO, proved=True)
    for _ in range(10):
        assert await ids(room, WHO, proved=True) == first
    assert first[0] == "staff_number"
    sets = await asyncio.gather(*(ids(room, WHO, proved=True) for _ in range(5)))
    assert sets == [first] * 5


async def test_two_workers_that_ask_first_at_once_ask_the_same(room: Room) -> None:
    await room.set_all()
    sets = await asyncio.gather(*(ids(room, WHO, proved=True) for _ in range(10)))
    assert sets == [sets[0]] * 10


async def test_the_questions_change_after_they_were_passed_or_a_day_is_over(room: Room) -> None:
    await room.set_all()
    given = right(room, await own_id(room))
    seen = set()
    for turn in range(40):
        seen.add(tuple(await ids(room, WHO, proved=True)))
        if turn % 2:
            assert await room.passes(WHO, given, proved=True)
        else:
            room.clock.advance(86_400)
    assert len(seen) > 3


async def test_a_question_that_was_retired_is_not_asked_any_more(room: Room) -> None:
    await room.set_all()
    room.questions = (*room.questions, QuestionSettings(name="dish", retired=True))
    for _ in range(20):
        assert "dish" not in await ids(room, WHO)
        assert "dish" not in await ids(room, WHO, proved=True)
        room.clock.advance(86_400)


async def test_an_own_question_that_was_tampered_with_is_not_asked(room: Room) -> None:
    await room.set_all()
    own = await own_id(room)
    [row] = [row for row in await room.storage.find("kba_answer") if row["question_id"] == own]
    other = room.ring.seal(b"What is your password?", "kba_answer:somebody:else")
    await room.storage.commit([Upsert("kba_answer", {**row, "sealed": other})])
    for _ in range(20):
        assert own not in await ids(room, WHO, proved=True)
        room.clock.advance(86_400)


async def test_the_question_is_in_the_persons_language_or_in_one_that_there_is(room: Room) -> None:
    await room.set_all()
    [in_turkish] = [question for question in await room.questioner.ask(WHO, "tr") if question.id == "staff_number"]
    assert (in_turkish.text, in_turkish.form) == ("Sicil numaranız nedir?", "digits")
    [otherwise] = [question for question in await room.questioner.ask(WHO, "de") if question.id == "staff_number"]
    assert otherwise.text == "What is your staff number?"


async def test_nothing_is_left_of_somebody_who_is_erased(room: Room) -> None:
    await room.set_all()
    await room.judge(WHO, WRONG)
    await room.storage.commit(erased(room.ring, ADA))
    for table in ("kba_answer", "kba_state", TABLE):
        assert await room.storage.find(table) == []


async def test_changing_case_sensitivity_leaves_old_answers_as_they_were(room: Room) -> None:
    await room.set_all()
    room.settings = KbaSettings(case_sensitive=True)
    assert await room.passes(WHO, {name: text.lower() for name, text in ANSWERS.items()})
    await room.set(*answers({name: f"{text} Two" if name != "staff_number" else "445566" for name, text in ANSWERS.items()}))
    given = {name: f"{text} Two" if name != "staff_number" else "445566" for name, text in ANSWERS.items()}
    assert not await room.passes(WHO, {name: text.lower() for name, text in given.items()})
    assert await room.passes(WHO, given)


async def test_the_loop_goes_on_while_answers_are_hashed(room: Room) -> None:
    """Hashing happens in the pool of threads: other logins are not kept waiting by the loop."""
    await room.set_all()
    questioner: Questioner = room.questioner
    asked, turns = await ids(room, WHO), 0
    judging = asyncio.ensure_future(questioner.judge(WHO, asked, {}, "ada"))
    while not judging.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 3
    payloads = [json.loads(str(row["payload"])) for row in await room.storage.find("audit_event")]
    assert all("answer" not in payload for payload in payloads)
