"""Wardgate's own contacts: sealed, each once, and the order in which they and the directory's are used."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from wardgate.account.contact import (
    MAX_CONTACTS,
    TABLE,
    TOPIC,
    Source,
    contact_key,
    create_contact,
    kept_contacts,
    merge,
    open_contact,
    prefer,
    remove_contact,
    usable_contacts,
)
from wardgate.account.subject import SubjectId
from wardgate.crypto import KeyRing, new_key
from wardgate.directory.port import AccountState, ContactKind, DirectoryUser
from wardgate.errors import SealError
from wardgate.storage.memory import MemoryStorage
from wardgate.storage.port import Announce, Committed, Insert, Refused, Row

RING = KeyRing({0: new_key(), 1: new_key()})
ADA, BOB = SubjectId("ada"), SubjectId("bob")
PHONE, MAIL = ContactKind.PHONE, ContactKind.MAIL
USER = DirectoryUser(
    "acme",
    "id-1",
    "ada",
    AccountState.ACTIVE,
    mail="ada@acme.test",
    phone="+905321111111",
    other_phones=("+905322222222",),
    other_mails=("a.l@acme.test",),
)


def row(value: str, kind: ContactKind = PHONE, verified: bool = True, preferred: bool = False, subject: SubjectId = ADA) -> Row:
    created, announced = create_contact(RING, subject, kind, value, Source.OPERATOR, 5 if verified else None, 5)
    assert isinstance(created, Insert)
    assert announced == Announce(TOPIC, subject)
    return {**created.row, "preferred": int(preferred)}


def phones(*rows: Mapping[str, Any], user: DirectoryUser = USER) -> tuple[str, ...]:
    return merge(user, usable_contacts(RING, rows)).phones


def test_without_a_profile_the_directorys_contacts_are_used() -> None:
    reach = merge(USER, [])
    assert (reach.phone, reach.mail) == ("+905321111111", "ada@acme.test")
    assert reach.phones == ("+905321111111", "+905322222222")
    assert reach.mails == ("ada@acme.test", "a.l@acme.test")


def test_a_verified_preferred_one_stands_before_the_directorys() -> None:
    assert phones(row("+905323333333", preferred=True)) == ("+905323333333", "+905321111111", "+905322222222")


def test_one_that_nobody_preferred_stands_behind_the_directorys() -> None:
    assert phones(row("+905323333333")) == ("+905321111111", "+905322222222", "+905323333333")
    assert phones(row("+905323333333"), user=replace(USER, phone=None, other_phones=())) == ("+905323333333",)


def test_an_unverified_contact_never_receives_a_code() -> None:
    assert phones(row("+905323333333", verified=False, preferred=True)) == ("+905321111111", "+905322222222")
    nobody = replace(USER, phone=None, other_phones=())
    assert merge(nobody, [open_contact(RING, row("+905323333333", verified=False, preferred=True))]).phone is None


def test_a_number_that_both_know_is_named_once() -> None:
    assert phones(row("+905322222222", preferred=True)) == ("+905322222222", "+905321111111")


def test_nobody_else_is_reached_by_a_contact_moved_to_his_row() -> None:
    """The seal is bound to the whole key: another subject's phone does not open in this one's row."""
    stolen = {**row("+905329999999", subject=BOB, preferred=True), "subject_id": ADA}
    with pytest.raises(SealError):
        open_contact(RING, stolen)
    assert phones(stolen) == ("+905321111111", "+905322222222")


def test_a_stored_contact_shows_nothing_of_its_value() -> None:
    stored = row("+905323333333")
    for column in ("sealed", "value_key"):
        assert b"905323333333" not in stored[column]  # type: ignore[operator]
    assert "+905323333333" not in repr(open_contact(RING, stored))


def test_a_mail_address_is_the_same_in_any_case_and_a_value_another_for_each_person() -> None:
    assert contact_key(RING, ADA, MAIL, "Ada@Home.test") == contact_key(RING, ADA, MAIL, "ada@home.test")
    assert contact_key(RING, ADA, MAIL, "ada@home.test") != contact_key(RING, BOB, MAIL, "ada@home.test")
    assert contact_key(RING, ADA, MAIL, "1") != contact_key(RING, ADA, PHONE, "1")


async def test_contacts_are_stored_once_preferred_one_at_a_time_and_removed() -> None:
    storage = MemoryStorage()
    first, second = "+905323333333", "+905324444444"
    for value in (first, second):
        assert isinstance(await storage.commit(create_contact(RING, ADA, PHONE, value, Source.OPERATOR, 1, 1)), Committed)
    again = await storage.commit(create_contact(RING, ADA, PHONE, first, Source.OPERATOR, 1, 1))
    assert again == Refused(0, "exists")

    async def stored() -> list[Row]:
        [rows] = await storage.read([kept_contacts(ADA)])
        return list(rows)

    before = await stored()
    assert isinstance(await storage.commit(prefer(before, PHONE, contact_key(RING, ADA, PHONE, second))), Committed)
    assert merge(USER, usable_contacts(RING, await stored())).phone == second
    # Somebody who still saw none preferred would make it two.
    assert isinstance(await storage.commit(prefer(before, PHONE, contact_key(RING, ADA, PHONE, first))), Refused)
    assert isinstance(await storage.commit(prefer(await stored(), PHONE, None)), Committed)
    assert merge(USER, usable_contacts(RING, await stored())).phone == USER.phone

    [gone, kept] = [open_contact(RING, each) for each in sorted(await stored(), key=lambda each: open_contact(RING, each).value)]
    assert isinstance(await storage.commit([remove_contact(ADA, PHONE, gone.key)]), Committed)
    assert [open_contact(RING, each).value for each in await stored()] == [kept.value] == [second]


def test_what_is_read_for_a_login_is_bounded() -> None:
    assert kept_contacts(ADA).table == TABLE
    assert kept_contacts(ADA).limit == 2 * MAX_CONTACTS
