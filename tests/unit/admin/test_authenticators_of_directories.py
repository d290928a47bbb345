"""Authenticators of users whom a directory of others keeps: enrolled by its word, ended without it, never twice the same secret."""

import asyncio

import pytest

from tests.unit.admin.memory_kind import configure, register
from wardgate.admin import authenticators
from wardgate.admin.management import Desk
from wardgate.admin.office import Office
from wardgate.admin.operations.authenticators import authenticator_add_totp, authenticator_list
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.errors import AlreadyExists, DirectoryUnavailable, NotFound

SECRET_HEX = "3132333435363738393031323334353637383930"
ADA = {"directory": "acme", "name": "ADA"}


@pytest.fixture
def acme() -> MemoryDirectory:
    return MemoryDirectory("acme", {"ada": "pw", "bob": "pw"})


@pytest.fixture
async def desk(office: Office, acme: MemoryDirectory, monkeypatch: pytest.MonkeyPatch) -> Office:
    register(acme, monkeypatch)
    await configure(office)
    return office


async def test_a_directorys_user_is_enrolled_under_his_immutable_id(desk: Office, acme: MemoryDirectory) -> None:
    added = await authenticators.add_totp(desk, **ADA, secret_hex=SECRET_HEX)
    assert (added["directory"], added["user"]) == ("acme", "ada")
    user = await acme.find("ada", 1)
    assert user is not None
    link = await desk.storage.get("subject_link", {"directory": "acme", "immutable_id": user.immutable_id})
    assert link is not None
    listed = (await authenticators.list_authenticators(desk, **ADA))["authenticators"]
    assert [each["id"] for each in listed] == [added["id"]]


async def test_without_a_directory_the_realms_are_asked_in_order(desk: Office) -> None:
    at = Desk(desk, None, "", None)  # type: ignore[arg-type]
    added = await authenticator_add_totp(at, "ada")
    assert added["directory"] == "acme"
    assert len((await authenticator_list(at, "ada@r"))["authenticators"]) == 1
    with pytest.raises(NotFound, match="realm r has no user"):
        await authenticator_add_totp(at, "nobody")


async def test_the_same_secret_is_not_enrolled_twice_at_once(desk: Office) -> None:
    """Two rows would take the same code once more."""
    await authenticators.add_totp(desk, **ADA)
    adding = (authenticators.add_totp(desk, **ADA, secret_hex=SECRET_HEX) for _ in range(5))
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sum(isinstance(each, dict) for each in results) == 1
    assert all(isinstance(each, dict | AlreadyExists) for each in results)


async def test_a_secret_that_was_revoked_may_come_again_and_somebody_elses_is_another(desk: Office) -> None:
    first = await authenticators.add_totp(desk, **ADA, secret_hex=SECRET_HEX)
    await authenticators.revoke_authenticator(desk, authenticator_id=first["id"])
    again = await authenticators.add_totp(desk, **ADA, secret_hex=SECRET_HEX)
    bob = await authenticators.add_totp(desk, directory="acme", name="bob", secret_hex=SECRET_HEX)
    assert len({first["id"], again["id"], bob["id"]}) == 3


async def test_a_lost_device_is_ended_while_the_directory_is_down(desk: Office, acme: MemoryDirectory) -> None:
    added = await authenticators.add_totp(desk, **ADA)
    acme.behaviour = Behaviour.UNAVAILABLE
    told = await authenticators.revoke_authenticator(desk, authenticator_id=added["id"])
    assert told["revoked"] is True
    with pytest.raises(DirectoryUnavailable):
        await authenticators.add_totp(desk, **ADA)


async def test_what_nobody_has_is_not_ended(desk: Office) -> None:
    with pytest.raises(NotFound, match="no authenticator"):
        await authenticators.revoke_authenticator(desk, authenticator_id="0" * 32)
