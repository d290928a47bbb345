"""Strangers against accounts of a real Active Directory and a real OpenLDAP server, through the engine: none of them gets locked.

Both servers lock after five wrong passwords; what they have counted is read from them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests import samba, slapd
from tests.active_directory import directory as active_directory
from tests.flows.world import World, at_once, elsewhere, is_asked_first, is_granted, reason
from tests.openldap_directory import directory as open_ldap
from tests.samba_dc import cast
from wardgate.account.authenticator import create_authenticator
from wardgate.account.subject import create_subject
from wardgate.clock import to_ms
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.engine.outcome import Challenge, Outcome

THRESHOLD = 5
STRANGERS = THRESHOLD - 2
SECRET = bytes(range(20))


@dataclass
class Attacked:
    """A world whose one directory is real, and a fresh account in it."""

    world: World
    directory: Any
    name: str
    password: str
    fail_elsewhere: Callable[[], Awaitable[None]]

    async def user(self) -> DirectoryUser:
        user = await self.directory.find(self.name, 20)
        assert user is not None
        return user  # type: ignore[no-any-return]

    async def counted(self) -> int:
        user = await self.user()
        assert user.lockout is not None
        assert user.lockout.threshold == THRESHOLD
        return user.lockout.failures

    async def guess(self, number: int, password: str = "guess", **options: Any) -> Outcome:
        return await self.world.begin(self.name, password, origin=elsewhere(client=f"198.51.100.{number}"), **options)

    async def enrol(self) -> None:
        user = await self.user()
        now_ms = to_ms(self.world.clock.now())
        subject_id, operations = create_subject(user.directory, user.immutable_id, now_ms)
        settings = {"digits": 6, "period_s": 30, "algorithm": "SHA1"}
        _, insert = create_authenticator(self.world.ring, subject_id, "totp", "app", settings, Secret(SECRET), 0, now_ms)
        await self.world.storage.commit([*operations, insert])


def attacked(directory: Any, name: str, password: str, wrong: Callable[[], Awaitable[None]]) -> Attacked:
    world = World()
    settings = RealmSettings(name="staff", default=True, directories=(directory.name,))
    world.realms = Realms([Realm(settings, (directory,))])
    return Attacked(world, directory, name, password, wrong)


@asynccontextmanager
async def in_active_directory() -> AsyncIterator[Attacked]:
    server, name = samba.shared(), samba.name()
    server.add_user(name)
    directory, _ = active_directory()
    other, _ = active_directory()

    async def wrong() -> None:
        user = await other.find(name, 20)
        assert user is not None
        await other.check_password(user, Secret("Wr0ng-elsewhere"), 20)

    try:
        yield attacked(directory, name, cast.PASSWORD, wrong)
    finally:
        await directory.close()
        await other.close()


@asynccontextmanager
async def in_openldap() -> AsyncIterator[Attacked]:
    server, name = slapd.shared(), samba.name("lockout")
    server.add_user(name, slapd.PASSWORD, pwdChangedTime=slapd.ago(3600))
    directory, _ = open_ldap(server)
    other, _ = open_ldap(server)

    async def wrong() -> None:
        user = await other.find(name, 20)
        assert user is not None
        await other.check_password(user, Secret("wrong elsewhere"), 20)

    try:
        yield attacked(directory, name, slapd.PASSWORD, wrong)
    finally:
        await directory.close()
        await other.close()


KINDS = [
    pytest.param(in_active_directory, marks=pytest.mark.neighbour("samba"), id="active_directory"),
    pytest.param(in_openldap, marks=pytest.mark.neighbour("slapd"), id="openldap"),
]


@pytest.fixture(params=KINDS)
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Attacked]:
    async with request.param() as made:
        yield made


async def test_a_stranger_cannot_lock_the_account_through_two_nodes_at_once(account: Attacked) -> None:
    nodes = [account.world.engine, account.world.another_engine()]
    told = [reason(each) for each in await at_once(*(account.guess(n, f"guess {n}", engine=nodes[n % 2]) for n in range(12)))]
    assert (told.count("password_wrong"), told.count("brake_directory")) == (STRANGERS, 12 - STRANGERS)
    assert await account.counted() == STRANGERS
    assert (await account.user()).state is AccountState.ACTIVE


async def test_wrong_passwords_elsewhere_leave_fewer_tries_here(account: Attacked) -> None:
    for _ in range(STRANGERS - 1):
        await account.fail_elsewhere()
    told = [reason(await account.guess(n, f"guess {n}")) for n in range(3)]
    assert told == ["password_wrong"] + ["brake_directory"] * 2
    assert is_asked_first(await account.guess(3)), "by then the name has had its tries here as well"
    assert await account.counted() == STRANGERS


async def test_a_right_password_gives_the_tries_back(account: Attacked) -> None:
    await account.enrol()
    for round_number in range(2):
        for number in range(STRANGERS - 1):
            assert reason(await account.guess(10 * round_number + number)) == "password_wrong"
        account.world.later(30)
        challenge = await account.guess(99, account.password)
        assert isinstance(challenge, Challenge)
        assert not is_asked_first(challenge)
        code, there = account.world.totp(secret=SECRET), elsewhere(client="198.51.100.99")
        assert is_granted(await account.world.answer(challenge, code, name=account.name, origin=there))
    assert await account.counted() == 0


async def test_who_proves_a_code_first_gets_in_while_strangers_guess(account: Attacked) -> None:
    await account.enrol()
    for number in range(6):
        await account.guess(number, f"guess {number}")
    assert await account.counted() == STRANGERS
    asked, code = await account.guess(99, account.password), account.world.totp(secret=SECRET)
    assert is_asked_first(asked)
    there = elsewhere(client="198.51.100.99")
    assert is_granted(await account.world.answer(asked, code, name=account.name, origin=there))
    assert await account.counted() == 0


async def test_a_thief_of_codes_has_the_one_try_that_is_kept_back(account: Attacked) -> None:
    await account.enrol()
    for number in range(6):
        await account.guess(number, f"guess {number}")
    there = elsewhere(client="198.51.100.99")
    for _ in range(3):
        account.world.later(30)
        asked = await account.guess(99, "a thief's guess")
        await account.world.answer(asked, account.world.totp(secret=SECRET), name=account.name, origin=there)
    assert await account.counted() == THRESHOLD - 1
    assert (await account.user()).state is AccountState.ACTIVE


async def test_who_brings_a_code_gets_in_while_strangers_guess(account: Attacked) -> None:
    await account.enrol()
    for number in range(6):
        await account.guess(number, f"guess {number}")
    code = account.world.totp(secret=SECRET)
    assert is_granted(await account.guess(99, account.password, code=code, can_challenge=False))
    assert (await account.user()).state is AccountState.ACTIVE
