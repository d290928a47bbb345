"""An operator's work on challenge questions: prepared answers, who set which, clearing; no answer is ever told."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.admin.memory_kind import MemorySettings, register
from wardgate.account.subject import SubjectId
from wardgate.admin import questions, subjects, users, verbal
from wardgate.admin.keys import SEALED, sealed_pages
from wardgate.admin.office import Office
from wardgate.admin.questions import MAX_PIECE_ROWS, import_answers
from wardgate.audit.events import Kind
from wardgate.config.document import Document, parse
from wardgate.config.store import load_current, save
from wardgate.crypto import Secret
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.settings import LocalDirectorySettings, RealmSettings
from wardgate.errors import Conflict, NotFound, SettingsError, UsageError
from wardgate.kba.asking import Questioner, Right, Who
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.enrolment import About, Enrolment, Given, Prepared
from wardgate.kba.settings import KbaSettings, QuestionSettings

STAFF = QuestionSettings(name="staff_number", kind="mandatory", form="digits", texts={"en": "What is your staff number?"})
START = QuestionSettings(name="start_date", kind="mandatory", form="date", texts={"en": "On which day did you start here?"})
OLD = QuestionSettings(name="old", texts={"en": "What was your first badge?"}, retired=True)


def answer_words(*rows: str, header: str = "username,question,answer") -> Secret:
    return Secret("\n".join([header, *rows]))


@pytest.fixture
def acme() -> MemoryDirectory:
    directory = MemoryDirectory("acme")
    directory.add("ada", "pw", mail="ada@acme.test")
    directory.add("bob", "pw")
    return directory


async def configure(office: Office, **settings: Any) -> None:
    version = len(await office.storage.find("configuration"))
    document = Document(
        realms=(RealmSettings(name="r", default=True, directories=("acme",)),),
        directories=(MemorySettings(name="acme", kind="memory"),),
        questions=(STAFF, START, OLD),
        kba=KbaSettings(**{"preload": True, "asked": 2, **settings}),
    )
    await save(office.storage, document, "test", "", version, office.clock, office.ring)


@pytest.fixture
async def desk(office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch) -> Office:
    register(acme, monkeypatch)
    await configure(office)
    return office


async def questioner(office: Office) -> Questioner:
    _, document = await load_current(office.storage)
    return Questioner(
        office.storage, lambda: office.ring, office.hasher, office.clock, compile_catalogue(document.kba, document.questions)
    )


async def subject_of(office: Office, name: str) -> SubjectId:
    return SubjectId(str((await questions.show_answers(office, name=name))["subject_id"]))


async def payloads(office: Office, kind: Kind) -> list[dict[str, Any]]:
    rows = await office.storage.find("audit_event", order_by="seq")
    return [json.loads(str(row["payload"])) for row in rows if row["kind"] == kind.stored]


GOOD = ("ada,staff_number,0012 34", "ada,start_date,2020-01-31", 'bob,staff_number,"99-8877"')


async def test_prepared_answers_are_asked_for_and_pass(desk: Office) -> None:
    told = await import_answers(desk, answer_words(*GOOD))
    assert told == {"set": 3, "people": 2, "refused": 0, "problems": []}
    who = Who("r", "ada", await subject_of(desk, "ada"))
    asking = await questioner(desk)
    asked = [question.id for question in await asking.ask(who, "en")]
    assert asked == ["staff_number", "start_date"]
    given = {"staff_number": Secret("001234"), "start_date": Secret("31.1.2020")}
    assert isinstance(await asking.judge(who, asked, given, "ada"), Right)


async def test_prepared_answers_are_refused_where_the_document_does_not_allow_them(desk: Office) -> None:
    await configure(desk, preload=False)
    with pytest.raises(SettingsError, match=r"kba\.preload"):
        await import_answers(desk, answer_words(*GOOD))
    assert await desk.storage.find("kba_answer") == []


async def test_bad_rows_are_told_by_line_and_never_by_content(desk: Office) -> None:
    rows = [
        "ada,staff_number,0012 34",
        "nobody-at-all,staff_number,7777",
        "ada,start_date,sometime",
        "bob,staff_number,12",
        "bob,nosuch,hidden words",
        "bob,old,hidden words",
        "bob,staff_number",
        "",
        "ada,staff_number,5555",
        'bob,"staff_number,5555',
        ",staff_number,5555",
        f"bob,staff_number,{'5' * 5000}",
        f"bob,staff_number,{'5' * 129}",
    ]
    told = await import_answers(desk, answer_words(*rows))
    assert (told["set"], told["people"], told["refused"]) == (1, 1, 11)
    assert [problem["line"] for problem in told["problems"]] == [3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14]
    for word in ("nobody-at-all", "sometime", "hidden", "5555", "7777", "nosuch"):
        assert word not in json.dumps(told)


async def test_a_file_may_be_imported_again(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    told = await import_answers(desk, answer_words("ada,staff_number,4444"))
    assert told["set"] == 1
    assert len(await desk.storage.find("kba_answer")) == 3


async def test_an_import_never_replaces_what_a_person_answered_himself(desk: Office) -> None:
    """An operator who could would answer as anybody: his own answers would be right from then on, and nobody would notice."""
    await import_answers(desk, answer_words(*GOOD))
    ada = await subject_of(desk, "ada")
    _, document = await load_current(desk.storage)
    catalogue = compile_catalogue(document.kba, document.questions)
    made = await Enrolment(desk.storage, desk.ring, desk.hasher, desk.clock, catalogue).prepare(
        About(ada), [Given(Secret("424242"), "staff_number")], "ada"
    )
    assert isinstance(made, Prepared)
    await desk.storage.commit(made.operations)
    told = await import_answers(desk, answer_words("ada,staff_number,4444", "ada,start_date,1.1.2021"))
    assert (told["set"], told["refused"]) == (1, 1)
    assert "himself" in told["problems"][0]["reason"]


async def test_people_can_be_named_by_subject_and_directory(desk: Office) -> None:
    await import_answers(desk, answer_words("ada,staff_number,1111"))
    ada = await subject_of(desk, "ada")
    by_subject = answer_words(f"{ada};start_date;1.1.2021", "no-such-one;start_date;1.1.2021", header="Subject;Question;Answer")
    assert (await import_answers(desk, by_subject))["set"] == 1
    by_directory = answer_words(
        "bob,acme,staff_number,5656", "bob,hr,staff_number,5656", header="username,directory,question,answer"
    )
    told = await import_answers(desk, by_directory)
    assert (told["set"], told["refused"]) == (1, 1)


@pytest.mark.parametrize(
    "header",
    ["", "username,answer", "question,answer", "username,question,answer,answer", "a" * 9000, "\ufeffname,question,answer"],
)
async def test_a_file_that_is_no_list_of_answers_is_refused_as_a_whole(desk: Office, header: str) -> None:
    with pytest.raises(UsageError, match="header row"):
        await import_answers(desk, answer_words("ada,staff_number,1111", header=header))


async def test_a_piece_is_bounded(desk: Office) -> None:
    with pytest.raises(UsageError, match=f"more than {MAX_PIECE_ROWS}"):
        await import_answers(desk, answer_words(*["ada,staff_number,1111"] * (MAX_PIECE_ROWS + 2)))


async def test_nothing_that_an_operator_sees_or_that_is_recorded_holds_an_answer(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    shown = [
        await questions.show_answers(desk, name="ada"),
        await questions.list_questions(desk),
        await subjects.show_subject(desk, name="ada"),
        await desk.storage.find("audit_event"),
        await desk.storage.find("kba_answer"),
    ]
    for word in ("0012 34", "001234", "20200131", "2020-01-31", "998877"):
        assert word not in str(shown)


async def test_show_tells_which_and_when_and_what_is_due(desk: Office) -> None:
    nothing = await questions.show_answers(desk, name="ada")
    assert (nothing["subject_id"], nothing["answers"], nothing["enough"], nothing["due"]) == (None, [], False, "too_few")
    await import_answers(desk, answer_words(*GOOD))
    told = await questions.show_answers(desk, name="ada")
    assert [(each["id"], each["source"], each["own"]) for each in told["answers"]] == [
        ("staff_number", "prepared", False),
        ("start_date", "prepared", False),
    ]
    assert told["answers"][0]["set_at"] == "2026-01-05T08:00:00+00:00"
    assert (told["enough"], told["closed"], told["due"], told["answers_version"]) == (True, False, "too_few", 1)
    assert (await questions.show_answers(desk, name="bob"))["due"] == "mandatory_missing"


async def test_the_help_desk_opens_what_wrong_answers_closed_on_record(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    who = Who("r", "ada", await subject_of(desk, "ada"))
    asking = await questioner(desk)
    for _ in range(3):
        await asking.judge(who, ["staff_number", "start_date"], {}, "ada")
    assert (await questions.show_answers(desk, name="ada"))["closed"]
    assert (await questions.reopen_questions(desk, name="ada"))["was_closed"]
    assert not (await questions.show_answers(desk, name="ada"))["closed"]
    assert not (await questions.reopen_questions(desk, name="ada"))["was_closed"]
    [closed] = await payloads(desk, Kind.QUESTIONS_CLOSED)
    assert closed["user"] == "ada"
    assert (await payloads(desk, Kind.QUESTIONS_REOPENED))[0]["actor"] == desk.actor


def said(**answers: str) -> Secret:
    """What a caller said."""
    return Secret(json.dumps(answers))


async def test_a_caller_is_right_or_wrong_and_both_are_on_record(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    with pytest.raises(SettingsError, match=r"kba\.verbal"):
        await verbal.questions_for_caller(desk, name="ada")
    await configure(desk, verbal=True)
    asked = await verbal.questions_for_caller(desk, name="ada")
    assert [each["id"] for each in asked["questions"]] == ["staff_number", "start_date"]
    right = await verbal.check_caller(desk, name="ada", answers=said(staff_number="001234", start_date="31.1.2020"))
    wrong = await verbal.check_caller(desk, name="ada", answers=said(staff_number="001234", start_date="30.1.2020"))
    assert (right["right"], wrong["right"]) == (True, False)
    assert wrong.keys() == {"directory", "user", "right"}
    assert [(each["right"], each["actor"]) for each in await payloads(desk, Kind.QUESTIONS_CHECKED)] == [
        (True, desk.actor),
        (False, desk.actor),
    ]


async def test_an_agent_who_guesses_closes_the_questions_like_a_stranger(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    await configure(desk, verbal=True)
    for _ in range(3):
        assert not (await verbal.check_caller(desk, name="ada", answers=said(staff_number="1", start_date="1.2.2003")))["right"]
    right = said(staff_number="001234", start_date="31.1.2020")
    assert not (await verbal.check_caller(desk, name="ada", answers=right))["right"]
    assert (await questions.show_answers(desk, name="ada"))["closed"]


async def test_an_agent_chooses_no_easier_questions(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    await configure(desk, verbal=True)
    for answers in (said(staff_number="001234"), said(staff_number="001234", shop="Migros"), said()):
        with pytest.raises(Conflict):
            await verbal.check_caller(desk, name="ada", answers=answers)
    for answers in (Secret("no json"), Secret("[]"), Secret('{"staff_number": 1}')):
        with pytest.raises(UsageError):
            await verbal.check_caller(desk, name="ada", answers=answers)
    with pytest.raises(NotFound):
        await verbal.questions_for_caller(desk, name="bob")


async def test_clearing_leaves_no_answer_and_a_line_on_record(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    assert (await questions.clear_answers(desk, name="ada"))["cleared"] == 2
    assert (await questions.clear_answers(desk, name="ada"))["cleared"] == 0
    assert (await questions.show_answers(desk, name="ada"))["answers"] == []
    assert [event["answers"] for event in await payloads(desk, Kind.QUESTIONS_CLEARED)] == [2]


async def test_the_catalogue_is_listed_without_the_common_answers(desk: Office) -> None:
    told = await questions.list_questions(desk)
    assert [each["id"] for each in told["questions"]][:2] == ["staff_number", "start_date"]
    assert told["questions"][-1]["id"] == "old"
    assert all(isinstance(each["common"], int) for each in told["questions"])


async def test_somebody_new_with_an_old_name_inherits_no_answers(desk: Office, acme: MemoryDirectory) -> None:
    await import_answers(desk, answer_words(*GOOD))
    gone = await acme.find("ada", 1)
    assert gone is not None
    acme.remove(gone)
    acme.add("ada", "pw")
    assert (await questions.show_answers(desk, name="ada"))["answers"] == []


async def test_joining_two_people_leaves_no_answers_of_the_one_who_is_gone(desk: Office) -> None:
    await import_answers(desk, answer_words(*GOOD))
    bob = await subject_of(desk, "bob")
    await subjects.relink(desk, name="bob", to_name="ada")
    assert await desk.storage.get("subject", {"id": bob}) is None
    rows = await desk.storage.find("kba_answer")
    assert {row["subject_id"] for row in rows} == {await subject_of(desk, "ada")}


async def test_an_own_question_is_readable_after_a_key_rotation(desk: Office) -> None:
    """Every sealed column is in the list that a rotation walks: otherwise the question dies with the key."""
    await import_answers(desk, answer_words(*GOOD))
    ada = await subject_of(desk, "ada")
    _, document = await load_current(desk.storage)
    catalogue = compile_catalogue(document.kba, document.questions)
    made = await Enrolment(desk.storage, desk.ring, desk.hasher, desk.clock, catalogue).prepare(
        About(ada), [Given(Secret("Uncle Mehmet"), question="Who rowed the leaking boat?")], "ada"
    )
    assert isinstance(made, Prepared)
    await desk.storage.commit(made.operations)
    [column] = [each for each in SEALED if each.table == "kba_answer"]
    pages = [rows async for rows in sealed_pages(desk.storage, column)]
    [row] = [row for rows in pages for row in rows]
    sealed = row["sealed"]
    assert isinstance(sealed, bytes)
    assert desk.ring.open(sealed, column.place(row)) == b"Who rowed the leaking boat?"


async def test_removing_a_local_user_leaves_none_of_his_answers(office: Office) -> None:
    document = Document(
        realms=(RealmSettings(name="r", default=True, directories=("local",)),),
        directories=(LocalDirectorySettings(name="local", kind="local"),),
        questions=(STAFF,),
        kba=KbaSettings(preload=True),
    )
    await save(office.storage, document, "test", "", 0, office.clock, office.ring)
    await users.add_user(office, directory="local", name="carol")
    assert (await import_answers(office, answer_words("carol,staff_number,1111")))["set"] == 1
    await users.remove_user(office, directory="local", name="carol")
    for table in ("kba_answer", "kba_state", "kba_round"):
        assert await office.storage.find(table) == []


@pytest.mark.parametrize(
    ("service", "told"),
    [
        ({}, []),
        ({"weights": {"kba": 1}}, [("info", "policy p counts on challenge questions")]),
        (
            {"reset": {"need": {"alone": ["kba"]}, "accept_weaker": {"reason": "moving", "until": "2027-06-30"}}},
            [
                (
                    "warning",
                    "policy p: two names of one person, a login name and a mail address, are asked the same",
                ),
                ("warning", "policy p lets challenge questions alone do for reset until 2027-06-30 (moving)"),
            ],
        ),
    ],
)
def test_check_reminds_of_policies_that_count_on_questions(service: dict[str, Any], told: list[tuple[str, str]]) -> None:
    rule = {"name": "all", "then": {"steps": [["password"], ["totp"]]}}
    document = parse(
        {
            "realms": [{"name": "r", "default": True, "directories": ["acme"]}],
            "directories": [{"name": "acme", "kind": "local"}],
            "policies": [{"name": "p", "rules": [rule], "self_service": service}],
        }
    )
    assert [(each.level.value, each.what) for each in questions.question_findings(document)] == told
    # Where as many are mandatory as are asked, everybody is asked the same.
    mandatory = tuple(
        QuestionSettings(name=f"q{number}", kind="mandatory", texts={"en": f"Which is number {number}?"}) for number in range(3)
    )
    left = [each.what for each in questions.question_findings(replace(document, questions=mandatory))]
    assert left == [what for _, what in told if "two names" not in what]
