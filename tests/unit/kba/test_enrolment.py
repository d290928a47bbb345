"""Setting answers: what is stored, what is refused, what is told."""

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from tests.unit.kba.conftest import ADA, ANSWERS, OWN_ANSWER, OWN_QUESTION, Room, answers
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, Secret, new_key
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.errors import SealError, UsageError
from wardgate.kba.answers import MAX_ANSWERS, answers_in, fingerprint, kept_answers
from wardgate.kba.catalogue import compile_catalogue
from wardgate.kba.enrolment import Given, Prepared, about
from wardgate.kba.renewal import Renewal, renewal_due
from wardgate.kba.rules import Rule
from wardgate.kba.settings import KbaSettings
from wardgate.passwords import PasswordHasher
from wardgate.storage.port import Committed, Refused

BEN = SubjectId("ben-subject")


async def everything(room: Room) -> str:
    tables = ("kba_answer", "kba_state", "kba_round", "audit_event")
    return str([await room.storage.find(table) for table in tables])


async def test_no_answer_and_no_question_of_ones_own_is_stored_in_clear(room: Room) -> None:
    await room.set_all()
    told = (await everything(room)).lower()
    for word in ("ratatouille", "lighthouse", "lokomotif", "uncle", "mehmet", "boat", "0012", "001234"):
        assert word not in told, word


async def test_an_answer_is_argon2id_with_a_salt_of_its_own(room: Room) -> None:
    await room.set_all()
    rows = await room.storage.find("kba_answer")
    assert len(rows) == 5
    assert all(str(row["hashed"]).startswith("$argon2id$v=19$") for row in rows)
    assert len({str(row["hashed"]).split("$")[4] for row in rows}) == 5
    assert {(row["pepper"], row["normalisation"]) for row in rows} == {(0, 1)}


async def test_an_answer_costs_what_a_password_costs(room: Room) -> None:
    """An answer has fewer bits than a password: the cost of a guess must not fall below 19 MiB and two passes."""
    hasher = PasswordHasher(1, 10)
    try:
        await replace(room, hasher=hasher).set(*answers({"dish": "Blue lagoon"}))
    finally:
        hasher.close()
    [row] = await room.storage.find("kba_answer")
    parameters, salt = str(row["hashed"]).split("$")[3:5]
    assert parameters == "m=19456,t=2,p=1"
    assert len(base64.b64decode(salt + "==")) == 16


async def test_the_table_without_the_key_ring_confirms_no_guess(room: Room) -> None:
    """Whoever stole the rows knows salt, subject and question, and guesses the answer: without the pepper nothing fits."""
    await room.set_all()
    [row] = [row for row in await room.storage.find("kba_answer") if row["question_id"] == "dish"]
    stolen = KeyRing({0: new_key(), 1: new_key()})
    plain = "ratatouille a la nicoise"
    for guess in (fingerprint(stolen, ADA, "dish", plain), Secret(plain)):
        assert not await room.hasher.verify(str(row["hashed"]), guess)
    assert await room.hasher.verify(str(row["hashed"]), fingerprint(room.ring, ADA, "dish", plain))


async def test_an_answer_moved_to_another_person_or_question_proves_nothing(room: Room) -> None:
    ada, ben = fingerprint(room.ring, ADA, "dish", "x"), fingerprint(room.ring, BEN, "dish", "x")
    assert len({ada.reveal(), ben.reveal(), fingerprint(room.ring, ADA, "toy", "x").reveal()}) == 3
    assert fingerprint(room.ring, SubjectId("a"), "bc", "d") != fingerprint(room.ring, SubjectId("ab"), "c", "d")


async def test_an_own_question_moved_to_another_person_does_not_open(room: Room) -> None:
    await room.set_all()
    [own] = [answer for answer in answers_in((await room.storage.read([kept_answers(ADA)]))[0]) if answer.own]
    assert own.question_text(room.ring) == OWN_QUESTION
    with pytest.raises(SealError):
        replace(own, subject_id=BEN).question_text(room.ring)


async def test_answers_that_break_rules_are_told_one_by_one_and_nothing_is_kept(room: Room) -> None:
    given = {"staff_number": "none", "dish": "eggs", "lost": "Ada", "toy": "a fine toy", "nobody_asked": "something fine"}
    rules = await room.refused(*answers(given))
    assert rules == (Rule.NOT_DIGITS, Rule.COMMON, Rule.TOO_SHORT, Rule.QUESTION_WORD, Rule.UNKNOWN_QUESTION)
    assert await room.storage.find("kba_answer") == []


async def test_one_answer_to_two_questions_is_refused(room: Room) -> None:
    assert await room.refused(*answers({"dish": "Blue lagoon", "lost": "BLUE lagoon!"})) == (None, Rule.REPEATED)


async def test_repeating_a_stored_answer_later_is_refused(room: Room) -> None:
    await room.set_all()
    assert await room.refused(*answers({"film": "ratatouille a la NICOISE", "song": "Seventeen Trains"})) == (Rule.REPEATED, None)
    assert isinstance(await room.prepare(*answers({"dish": "Ratatouille à la niçoise"})), Prepared)
    room.settings = KbaSettings(repeats=True)
    assert isinstance(await room.prepare(*answers({"film": "Ratatouille à la niçoise"})), Prepared)


async def test_one_question_is_answered_once(room: Room) -> None:
    given = [*answers({"dish": "Blue lagoon"}), *answers({"dish": "Green lagoon"})]
    assert await room.refused(*given) == (None, Rule.QUESTION_TWICE)


async def test_own_questions_are_as_few_as_the_settings_say(room: Room) -> None:
    await room.set_all()
    another = Given(Secret("Marmelade"), question="What was painted on the shed?")
    assert await room.refused(another) == (Rule.TOO_MANY_OWN,)
    rows = await room.storage.find("kba_answer")
    [own] = [str(row["question_id"]) for row in rows if str(row["question_id"]).startswith("own:")]
    made = await room.prepare(another, without=(own,))
    assert isinstance(made, Prepared)
    assert isinstance(await room.storage.commit(made.operations), Committed)
    ids = {str(row["question_id"]) for row in await room.storage.find("kba_answer")}
    assert own not in ids
    assert len(ids) == 5


async def test_an_own_question_like_another_is_refused(room: Room) -> None:
    room.settings = KbaSettings(own=2)
    await room.set_all()
    assert await room.refused(Given(Secret("Marmelade"), question="Who rowed the leaking boats?")) == (Rule.QUESTIONS_ALIKE,)
    assert await room.refused(Given(Secret("Marmelade"), question="What was your favorite toy called?")) == (Rule.QUESTIONS_ALIKE,)


async def test_nobody_fills_the_table(room: Room) -> None:
    room.settings = KbaSettings(own=5)
    given = [Given(Secret(f"answer number {n}"), question_id="dish") for n in range(MAX_ANSWERS + 1)]
    with pytest.raises(UsageError, match="more than"):
        await room.prepare(*given)


async def test_two_tabs_that_save_at_once_do_not_mix(room: Room) -> None:
    one, other = await asyncio.gather(
        room.prepare(*answers({"dish": "Blue lagoon"})), room.prepare(*answers({"dish": "Green lagoon"}))
    )
    assert isinstance(one, Prepared)
    assert isinstance(other, Prepared)
    commits = [await room.storage.commit(made.operations) for made in (one, other)]
    assert [type(commit) for commit in commits] == [Committed, Refused]
    assert len(await room.storage.find("kba_answer")) == 1
    assert len(await room.storage.find("audit_event")) == 1


async def test_two_tabs_that_change_answers_at_once_do_not_mix_either(room: Room) -> None:
    await room.set_all()
    made = [await room.prepare(*answers({"dish": f"{colour} lagoon"})) for colour in ("Blue", "Green")]
    commits = [await room.storage.commit(each.operations) for each in made if isinstance(each, Prepared)]
    assert [type(commit) for commit in commits] == [Committed, Refused]


async def test_every_change_raises_the_version_that_offline_kits_compare(room: Room) -> None:
    made = await room.set_all()
    assert made.offline.answers_version == 1
    again = await room.set(*answers({"dish": "Blue lagoon"}))
    assert again.offline.answers_version == 2
    assert [(number, name) for number, name, _ in again.offline.answers] == [(2, "dish")]
    count, unit = await room.enrolment.clear(ADA, {}, "olga")
    assert count == 5
    assert isinstance(await room.storage.commit(unit), Committed)
    assert (await room.set(*answers({"toy": "Lokomotif Ali"}))).offline.answers_version == 4


async def test_an_offline_kit_is_handed_normalised_answers_under_numbers_that_never_mean_another_question(room: Room) -> None:
    made = await room.set_all()
    told = {number: answer.reveal().decode() for number, _, answer in made.offline.answers}
    assert told == {1: "001234", 2: "ratatouille a la nicoise", 3: "lighthouse of fener", 4: "lokomotif ali", 5: "uncle mehmet"}
    assert "lighthouse" not in repr(made.offline)
    _, unit = await room.enrolment.clear(ADA, {}, "olga")
    await room.storage.commit(unit)
    again = await room.set(*answers({"song": "Seventeen Trains"}))
    assert [number for number, _, _ in again.offline.answers] == [6]


async def test_the_record_names_questions_and_who_it_was(room: Room) -> None:
    await room.set_all()
    [event] = await room.storage.find("audit_event")
    payload = json.loads(str(event["payload"]))
    assert (event["kind"], event["subject_id"], payload["source"]) == ("account:questions:set", ADA, "person")
    assert payload["questions"][:4] == list(ANSWERS)


async def test_names_of_the_person_and_the_organisation_are_no_answers() -> None:
    user = DirectoryUser("d", "1", "alovelace", AccountState.ACTIVE, display_name="Ada Byron", mail="countess@acme.test",
                         attributes={"sn": ("Lovelace",)})  # fmt: skip
    found = about(user, ADA, ("Analytical Engines",)).forbidden
    assert {"alovelace", "ada", "byron", "countess", "acme", "lovelace", "analytical", "engines"} <= found


async def test_somebody_new_with_an_old_name_inherits_no_answers(room: Room) -> None:
    await room.set_all()
    assert await room.questioner.has_answers(ADA, proved=False)
    assert not await room.questioner.has_answers(BEN, proved=True)


async def test_answers_are_due_when_the_settings_or_the_catalogue_moved_on(room: Room) -> None:
    await room.set_all()
    kept = answers_in((await room.storage.read([kept_answers(ADA)]))[0])
    now_ms = kept[0].set_at

    def due(settings: KbaSettings, closed: bool = False, later_ms: int = 0, without: str = "") -> Renewal | None:
        questions = tuple(replace(each, retired=each.name == without) for each in room.questions)
        fitting = [answer for answer in kept if answer.question_id != "staff_number" or without != "missing"]
        return renewal_due(compile_catalogue(settings, questions), fitting, closed, now_ms + later_ms)

    assert due(room.settings) is None
    assert due(room.settings, closed=True) is Renewal.CLOSED
    assert due(room.settings, without="missing") is Renewal.MANDATORY_MISSING
    assert due(room.settings, without="staff_number") is Renewal.QUESTION_RETIRED
    assert due(KbaSettings(set=6)) is Renewal.TOO_FEW
    assert due(KbaSettings(case_sensitive=True)) is Renewal.RULES_STRICTER
    assert due(KbaSettings(renew_after="30d"), later_ms=30 * 86_400_000) is Renewal.OLD
    assert due(KbaSettings(renew_after="30d"), later_ms=29 * 86_400_000) is None
    assert renewal_due(compile_catalogue(KbaSettings(), ()), [], False, now_ms) is Renewal.TOO_FEW
    assert OWN_ANSWER not in repr(kept)
