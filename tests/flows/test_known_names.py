"""A realm with several directories: whose name it is, and who hears what while one of them is down."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.flows.realms import Several, in_one_realm
from tests.flows.world import BACKENDS, SECRET, World, a_storage, is_asked_first, is_granted, reason, says
from wardgate.account.authenticator import create_authenticator
from wardgate.account.subject import create_subject
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.engine.outcome import Denied, Granted, Outcome

PASSWORD_ONLY = "correct horse"


class Asked(MemoryDirectory):
    """Notes the names that it is asked for."""

    def __init__(self, name: str, **options: object) -> None:
        super().__init__(name, **options)  # type: ignore[arg-type]
        self.names: list[str] = []

    async def find(self, name: str, timeout_s: float) -> DirectoryUser | None:
        self.names.append(name)
        return await super().find(name, timeout_s)


@pytest.fixture(params=BACKENDS)
async def several(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Several]:
    async with a_storage(request.param, tmp_path) as storage:
        yield in_one_realm(storage, Asked("first"), Asked("second", domains=("second.test",)), Asked("third"))


async def enrolled(
    world: World, directory: MemoryDirectory, name: str, password: str = PASSWORD_ONLY, **fields: object
) -> DirectoryUser:
    """A user of this directory with an app."""
    user = directory.add(name, password, **fields)  # type: ignore[arg-type]
    subject_id, operations = create_subject(user.directory, user.immutable_id, to_ms(world.clock.now()))
    settings = {"digits": 6, "period_s": 30, "algorithm": "SHA1"}
    _, insert = create_authenticator(world.ring, subject_id, "totp", "app", settings, Secret(SECRET), 0, to_ms(world.clock.now()))
    await world.storage.commit([*operations, insert])
    return user


async def let_in(world: World, name: str) -> Granted:
    world.later(60)
    challenge = await world.challenged(name)
    granted = await world.answer(challenge, world.totp(), name=name)
    assert isinstance(granted, Granted), granted
    return granted


def heard(world: World, outcome: Outcome) -> tuple[str, str, float]:
    assert isinstance(outcome, Denied), outcome
    assert outcome.not_before is not None
    return re.sub(r"[0-9A-Z]{8}$", "", says(outcome)), outcome.language, round(outcome.not_before - world.trail.started, 6)


async def test_directories_are_asked_in_their_order(several: Several) -> None:
    await enrolled(several.world, several["second"], "ada")
    several["third"].add("ada", "another person's")
    assert (await let_in(several.world, "ada")).directory == "second"


async def test_a_known_name_is_asked_for_where_it_was_let_in_from_and_nowhere_else(several: Several) -> None:
    await enrolled(several.world, several["third"], "cem")
    await let_in(several.world, "cem")
    for directory in several.directories:
        directory.names.clear()  # type: ignore[attr-defined]
    await let_in(several.world, "CEM")
    assert [directory.names for directory in several.directories] == [[], [], ["cem"]]  # type: ignore[attr-defined]


async def test_a_name_is_noted_once_and_only_at_a_grant(several: Several) -> None:
    world = several.world
    await enrolled(world, several["third"], "cem", mail="cem@mail.test")
    await world.wrong_passwords("cem", 2)
    await world.challenged("cem")
    assert await world.rows("known_name") == []
    await let_in(world, "cem")
    [row] = await world.rows("known_name")
    await let_in(world, "cem")
    assert await world.rows("known_name") == [row]
    await let_in(world, "cem@mail.test")
    assert {each["name_key"] for each in await world.rows("known_name")} == {"cem", "cem@mail.test"}


async def test_a_mail_address_in_the_realms_own_domain_finds_its_owner(several: Several) -> None:
    world = several.world
    await enrolled(world, several["third"], "ada", mail="ada.lovelace@acme.test")
    for _ in range(2):
        assert (await let_in(world, "Ada.Lovelace@ACME.test")).directory == "third"
    assert several["third"].names[-1] == "ada.lovelace@acme.test"  # type: ignore[attr-defined]
    assert reason(await world.begin("ada.lovelace", PASSWORD_ONLY)) == "user_unknown"


async def test_nobodys_mail_address_takes_the_place_of_a_login_name(several: Several) -> None:
    """Who may write his own mail address must not be asked for in the place of who has that name."""
    world = several.world
    several["first"].add("eve", "the impostor's", mail="cem@acme.test")
    await enrolled(world, several["third"], "cem")
    assert reason(await world.begin("cem@acme.test", "the impostor's")) == "password_wrong"
    assert (await let_in(world, "cem@acme.test")).directory == "third"


async def test_no_mail_address_is_looked_for_while_a_directory_that_may_have_the_name_is_down(several: Several) -> None:
    world = several.world
    several["first"].add("eve", "the impostor's", mail="cem@acme.test")
    await enrolled(world, several["third"], "cem")
    several["third"].behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("cem@acme.test", "the impostor's")) == "directory_down"


async def test_a_realm_with_one_directory_notes_nothing(tmp_path: Path) -> None:
    world = World()
    await world.give_totp(await world.person("ada"))
    await let_in(world, "ada")
    assert await world.rows("known_name") == []


async def test_a_namesake_in_an_earlier_directory_does_not_take_a_known_name_over(several: Several) -> None:
    """Whoever can create accounts in one directory must not become somebody of another."""
    world = several.world
    cem = await enrolled(world, several["third"], "cem")
    await let_in(world, "cem")
    several["first"].add("cem", "the impostor's")
    assert reason(await world.begin("cem", "the impostor's")) == "password_wrong"
    assert (await let_in(world, "cem")).subject_id == await world.subject_of(cem)


async def test_a_name_given_to_a_new_person_inherits_nothing(several: Several) -> None:
    world = several.world
    before = await enrolled(world, several["third"], "cem")
    await let_in(world, "cem")
    several["third"].remove(before)
    several["third"].add("cem", PASSWORD_ONLY)
    world.later(60)
    refused = await world.begin("cem")
    assert reason(refused) == "no_factor"
    assert await world.subject_of(before) not in str(refused)


async def test_a_name_given_to_another_person_follows_the_order_again(several: Several) -> None:
    world = several.world
    before = await enrolled(world, several["third"], "cem")
    await let_in(world, "cem")
    several["third"].remove(before)
    several["third"].add("cem", "a new colleague's")
    moved = await enrolled(world, several["first"], "cem")
    assert (await let_in(world, "cem")).subject_id == await world.subject_of(moved)
    [row] = await world.rows("known_name")
    assert (row["directory"], row["immutable_id"]) == ("first", moved.immutable_id)


async def test_somebody_who_moved_to_another_directory_is_found_there(several: Several) -> None:
    world = several.world
    before = await enrolled(world, several["third"], "cem")
    await let_in(world, "cem")
    several["third"].remove(before)
    await enrolled(world, several["second"], "cem")
    assert (await let_in(world, "cem")).directory == "second"


# --- one is down -----------------------------------------------------------------------------------------------------


async def test_a_directory_that_is_down_keeps_nobody_else_out(several: Several) -> None:
    world = several.world
    await enrolled(world, several["third"], "cem")
    await enrolled(world, several["first"], "ada")
    await let_in(world, "cem")
    several["second"].behaviour = Behaviour.UNAVAILABLE
    assert (await let_in(world, "cem")).directory == "third"
    assert (await let_in(world, "ada")).directory == "first"


async def test_a_known_user_of_a_directory_that_is_down_is_not_looked_for_elsewhere(several: Several) -> None:
    world = several.world
    await enrolled(world, several["second"], "bob")
    await let_in(world, "bob")
    several["third"].add("bob", PASSWORD_ONLY)
    several["second"].behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("bob")) == "directory_down"
    assert reason(await world.begin("bob", "guess")) == "directory_down"


async def test_the_order_is_never_silently_skipped(several: Several) -> None:
    """A name that nobody knows yet may be the second directory's: the third must not answer for it."""
    world = several.world
    await enrolled(world, several["third"], "cem")
    several["second"].behaviour = Behaviour.UNAVAILABLE
    assert reason(await world.begin("cem")) == "directory_down"
    assert several["third"].names == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("password", [PASSWORD_ONLY, "guess", ""])
async def test_a_user_of_a_directory_that_is_down_is_not_told_apart_from_a_name_of_nobody(several: Several, password: str) -> None:
    world = several.world
    await enrolled(world, several["second"], "bob", language="tr")
    await let_in(world, "bob")
    several["second"].behaviour = Behaviour.UNAVAILABLE
    seen, written = [], []
    for name in ("bob", "nobody"):
        for _ in range(7):
            before = len(await world.events()) + len(await world.rows("timeline"))
            seen.append(heard(world, await world.begin(name, password)))
            written.append(len(await world.events()) + len(await world.rows("timeline")) - before)
    assert len(set(seen)) == 1
    assert seen[0][0].startswith("A part that we need does not answer.")
    assert set(written) == {0}


async def test_what_was_tried_while_a_directory_was_down_does_not_tell_afterwards_who_exists(several: Several) -> None:
    world = several.world
    await enrolled(world, several["second"], "bob")
    several["second"].behaviour = Behaviour.UNAVAILABLE
    for name in ("bob", "nobody"):
        await world.wrong_passwords(name, 8)
    several["second"].behaviour = Behaviour.ANSWERS
    told = [[heard(world, each) for each in await world.wrong_passwords(name, 5)] for name in ("bob", "nobody")]
    assert told[0] == told[1]
    assert is_asked_first(await world.begin("bob")) == is_asked_first(await world.begin("nobody"))


@pytest.mark.parametrize(("name", "told"), [("ada@second.test", "directory_down"), ("SECOND.TEST\\ada", "directory_down")])
async def test_a_name_of_the_domain_that_is_down_waits_for_it(several: Several, name: str, told: str) -> None:
    several["second"].behaviour = Behaviour.UNAVAILABLE
    assert reason(await several.world.begin(name)) == told


async def test_a_name_of_another_domain_does_not_wait_for_a_directory_that_cannot_hold_it(several: Several) -> None:
    world = several.world
    await enrolled(world, several["third"], "cem@third.test")
    several["second"].behaviour = Behaviour.UNAVAILABLE
    assert (await let_in(world, "cem@third.test")).directory == "third"
    assert reason(await world.begin("nobody@third.test")) == "user_unknown"


async def test_a_name_that_no_directory_can_hold_is_refused_without_asking_any(tmp_path: Path) -> None:
    several = in_one_realm(World().storage, Asked("first", domains=("a.test",)), Asked("second", domains=("b.test",)))
    several["second"].behaviour = Behaviour.UNAVAILABLE
    refused = await several.world.begin("eve@elsewhere.test")
    assert reason(refused) == "user_unknown"
    assert heard(several.world, refused)[2] == pytest.approx(0.3)
    assert [each.names for each in several.directories] == [[], []]  # type: ignore[attr-defined]


async def test_one_name_in_two_realms_is_two_people(tmp_path: Path) -> None:
    world = World()
    staff, partners = MemoryDirectory("staff"), MemoryDirectory("partners")
    spare = MemoryDirectory("spare")
    realms = []
    for name, default, own in (("acme", True, staff), ("outside", False, partners)):
        settings = RealmSettings(name=name, default=default, directories=(own.name, "spare"), domains=(f"{name}.test",))
        realms.append(Realm(settings, (own, spare)))
    world.realms = Realms(realms)
    mine, theirs = await enrolled(world, staff, "ada"), await enrolled(world, partners, "ada")
    for typed, user in (("ada", mine), ("outside\\ada", theirs), ("ada@outside.test", theirs), ("ACME\\ada", mine)):
        granted = await let_in(world, typed)
        assert (granted.directory, granted.subject_id) == (user.directory, await world.subject_of(user))
    assert {(row["realm"], row["name_key"], row["directory"]) for row in await world.rows("known_name")} == {
        ("acme", "ada", "staff"),
        ("outside", "ada", "partners"),
    }


async def test_wrong_guesses_at_one_realms_name_do_not_hold_the_other_realms(tmp_path: Path) -> None:
    world = World()
    staff, partners = MemoryDirectory("staff"), MemoryDirectory("partners")
    world.realms = Realms(
        [
            Realm(RealmSettings(name="acme", default=True, directories=("staff",)), (staff,)),
            Realm(RealmSettings(name="outside", directories=("partners",)), (partners,)),
        ]
    )
    await enrolled(world, staff, "ada")
    await enrolled(world, partners, "ada")
    await world.wrong_passwords("ada", 6)
    assert is_granted(await let_in(world, "outside\\ada"))
