"""How the memory directory plays a neighbour in trouble. What a directory must do is in the conformance suite."""

import time

import pytest

from wardgate.crypto import Secret
from wardgate.directory.memory import Behaviour, MemoryDirectory
from wardgate.directory.port import PasswordVerdict
from wardgate.errors import AlreadyExists, DirectoryUnavailable, UsageError


async def test_it_begins_with_users() -> None:
    directory = MemoryDirectory("staff", {"ada": "secret", "bob": "other"})
    ada = await directory.find("ADA", 1)

    assert ada is not None
    assert await directory.check_password(ada, Secret("secret"), 1) is PasswordVerdict.RIGHT


async def test_it_can_refuse_the_connection() -> None:
    directory = MemoryDirectory("staff", {"ada": "secret"})
    directory.behaviour = Behaviour.UNAVAILABLE

    with pytest.raises(DirectoryUnavailable):
        await directory.find("ada", 1)


async def test_it_can_be_silent_until_the_deadline() -> None:
    directory = MemoryDirectory("staff", {"ada": "secret"})
    directory.behaviour = Behaviour.SILENT
    begun = time.monotonic()

    with pytest.raises(DirectoryUnavailable):
        await directory.find("ada", 0.05)
    assert time.monotonic() - begun >= 0.05


async def test_it_can_be_slow_but_not_slower_than_the_deadline() -> None:
    directory = MemoryDirectory("staff", {"ada": "secret"})
    directory.delay_s = 0.02

    assert await directory.find("ada", 1) is not None
    with pytest.raises(DirectoryUnavailable):
        await directory.find("ada", 0.01)


def test_a_name_is_given_once() -> None:
    directory = MemoryDirectory("staff", {"ada": "secret"})

    with pytest.raises(AlreadyExists):
        directory.add("ADA", "x")
    with pytest.raises(UsageError):
        directory.add("a\x00", "x")
