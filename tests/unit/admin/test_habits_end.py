"""Habits belong to a person: they end with him, and go along to nobody."""

import pytest

from wardgate.account.subject import linked_subject
from wardgate.admin import authenticators, subjects, users
from wardgate.admin.office import Office
from wardgate.config.document import parse
from wardgate.config.store import save
from wardgate.crypto import Secret
from wardgate.risk import habits

DOCUMENT = """
realms: [{name: acme, default: true, directories: [old, new]}]
directories: [{name: old, kind: local}, {name: new, kind: local}]
"""


@pytest.fixture
async def desk(office: Office) -> Office:
    """Two accounts, each of a person who was let in before."""
    await save(office.storage, parse(DOCUMENT), "test", "", 0, office.clock, office.ring)
    for directory in ("old", "new"):
        await users.add_user(office, directory=directory, name="ada", password=Secret("a lantern over the lake"))
        await authenticators.add_totp(office, directory=directory, name="ada")
        subject_id = await subject_of(office, directory)
        await office.storage.commit([habits.learn(subject_id, habits.PLACE, b"123456", office.now_ms())])
    return office


async def subject_of(office: Office, directory: str) -> str:
    user = await users.show_user(office, directory=directory, name="ada")
    return str(await linked_subject(office.storage, directory, user["id"]))


async def remembered(office: Office) -> set[str]:
    return {str(row["subject_id"]) for row in await office.storage.find("habit")}


async def test_habits_go_with_the_user(desk: Office) -> None:
    stays = await subject_of(desk, "new")
    await users.remove_user(desk, directory="old", name="ada")
    assert await remembered(desk) == {stays}


async def test_a_relinked_account_brings_no_habits_along_and_leaves_none(desk: Office) -> None:
    """Of somebody who had several accounts, nobody can say with which of them he came from where."""
    target = await subject_of(desk, "old")
    await subjects.relink(desk, name="ada", directory="new", to_name="ada", to_directory="old", keep="person")
    assert await remembered(desk) == {target}
