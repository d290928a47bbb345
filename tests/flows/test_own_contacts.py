"""Which phone a code goes to, when Wardgate's own profile has one and the directory another."""

from dataclasses import replace

import pytest

from tests.flows.world import World, is_granted, reason, says
from wardgate.account.contact import Source, contact_key, create_contact, kept_contacts, prefer
from wardgate.directory.memory import MemoryDirectory
from wardgate.directory.port import ContactKind, DirectoryUser
from wardgate.storage.port import Committed, Delete, Insert, Row, Update, Where

HR, OWN = "+905321111133", "+905322222244"


async def give_contact(
    world: World, user: DirectoryUser, value: str = OWN, *, verified: bool = True, preferred: bool = False
) -> None:
    kind = ContactKind.MAIL if "@" in value else ContactKind.PHONE
    subject_id, now_ms = await world.subject_of(user), 1
    created = create_contact(world.ring, subject_id, kind, value, Source.OPERATOR, now_ms if verified else None, now_ms)
    assert isinstance(await world.storage.commit(created), Committed)
    if preferred:
        [rows] = await world.storage.read([kept_contacts(subject_id)])
        await world.storage.commit(prefer(rows, kind, contact_key(world.ring, subject_id, kind, value)))


async def only_row(world: World, table: str) -> Row:
    [row] = await world.storage.find(table)
    return row


async def test_the_preferred_verified_phone_of_the_profile_gets_the_code(world: World) -> None:
    user = await world.person("bob", phone=HR)
    await give_contact(world, user, preferred=True)
    challenge = await world.challenged("bob")
    assert "** 44" in says(challenge)
    assert is_granted(await world.answer(challenge, await world.code(), name="bob"))


async def test_the_directorys_phone_gets_it_before_one_that_nobody_preferred(world: World) -> None:
    user = await world.person("bob", phone=HR)
    await give_contact(world, user)
    assert "** 33" in says(await world.challenged("bob"))


async def test_whom_the_directory_has_no_phone_of_has_his_own(world: World) -> None:
    user = await world.person("bob")
    await give_contact(world, user)
    challenge = await world.challenged("bob")
    assert "** 44" in says(challenge)
    assert is_granted(await world.answer(challenge, await world.code(), name="bob"))


@pytest.mark.parametrize("preferred", [False, True])
async def test_an_unverified_phone_never_receives_a_code(world: World, preferred: bool) -> None:
    """Who could write it into the profile would otherwise receive the second factor of another."""
    user = await world.person("bob")
    await give_contact(world, user, verified=False, preferred=preferred)
    assert reason(await world.begin("bob")) == "no_factor"
    assert await world.messages() == []


async def test_a_phone_moved_from_another_persons_row_receives_no_code(world: World) -> None:
    eve, bob = await world.person("eve"), await world.person("bob", phone=HR)
    await give_contact(world, eve, preferred=True)
    row = await only_row(world, "contact")
    stolen = {**row, "subject_id": await world.subject_of(bob)}
    await world.storage.commit([Insert("contact", stolen)])
    assert "** 33" in says(await world.challenged("bob"))


async def test_a_verification_that_is_taken_back_holds_at_the_next_code(world: World) -> None:
    user = await world.person("bob", phone=HR)
    await give_contact(world, user, preferred=True)
    challenge = await world.challenged("bob")
    row = await only_row(world, "contact")
    key = {name: row[name] for name in ("subject_id", "kind", "value_key")}
    await world.storage.commit([Update("contact", key, {"verified_at": None})])
    assert is_granted(await world.answer(challenge, await world.code(), name="bob"))
    world.later(60)
    assert "** 33" in says(await world.challenged("bob"))


async def test_a_mail_address_of_the_profile_works_as_a_phone_does(world: World) -> None:
    user = await world.person("bob", mail="bob@acme.test")
    await give_contact(world, user, "robert@home.test", preferred=True)
    assert "r***@home.test" in says(await world.challenged("bob"))


async def test_a_malformed_phone_of_the_directory_is_not_used_and_the_timeline_says_so() -> None:
    class Acme(MemoryDirectory):
        async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
            user = await super().find(name, timeout_s)
            return user and replace(user, unusable=("mobile: the phone number cannot be read",))

    world = World(directory=Acme("local"))
    await world.person("bob")
    assert reason(await world.begin("bob")) == "no_factor"
    assert [detail for _, what, detail in world.trails[-1].steps if what == "not used"] == [
        {"why": "mobile: the phone number cannot be read"}
    ]


async def test_a_first_contact_is_used_by_an_engine_that_knew_there_was_none(world: World) -> None:
    user = await world.person("bob", phone=HR)
    for _ in range(3):
        assert "** 33" in says(await world.challenged("bob"))
        world.later(1)
    await give_contact(world, user, preferred=True)
    world.later(30)
    assert "** 44" in says(await world.challenged("bob"))


async def test_a_removed_contact_receives_nothing_from_an_engine_that_used_it(world: World) -> None:
    user = await world.person("bob", phone=HR)
    await give_contact(world, user, preferred=True)
    assert "** 44" in says(await world.challenged("bob"))
    await world.storage.commit([Delete("contact", (Where("subject_id", "=", await world.subject_of(user)),))])
    world.later(60)
    assert "** 33" in says(await world.challenged("bob"))
