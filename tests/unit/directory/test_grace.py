"""Passwords that let in while a directory is down: only whom the directory last answered for that name, and not for long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from wardgate.clock import FixedClock
from wardgate.crypto import Secret
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.directory.verified import GracePasswords

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
GOOD, BAD = Secret("correct horse"), Secret("battery staple")
ADA = DirectoryUser("ad", "1", "ada", AccountState.ACTIVE, version=7)
BOB = DirectoryUser("ad", "2", "bob", AccountState.ACTIVE, version=1)


def grace(clock: FixedClock | None = None, life_s: int = 600, limit: int = 10) -> GracePasswords:
    made = GracePasswords(life_s, clock or FixedClock(NOW), limit)
    made.found("ada", ADA)
    made.verified(ADA, GOOD)
    return made


def test_a_verified_password_lets_in_for_a_while() -> None:
    clock = FixedClock(NOW)
    made = grace(clock)
    clock.advance(599)

    assert made.remembered(" ADA", GOOD) == ADA
    clock.advance(1)
    assert made.remembered("ada", GOOD) is None


def test_without_a_grace_nothing_is_remembered() -> None:
    assert grace(life_s=0).remembered("ada", GOOD) is None


@pytest.mark.parametrize("password", [BAD, Secret(b"")])
def test_another_password_lets_nobody_in(password: Secret) -> None:
    assert grace().remembered("ada", password) is None


def test_a_name_that_was_never_looked_up_is_nobodys() -> None:
    assert grace().remembered("ada@acme.test", GOOD) is None


@pytest.mark.parametrize(
    "changed",
    [
        replace(ADA, version=8),
        replace(ADA, state=AccountState.DISABLED),
        replace(ADA, must_change=True),
        replace(ADA, protected=True),
    ],
)
def test_a_user_who_was_seen_changed_is_not_let_in_by_the_grace(changed: DirectoryUser) -> None:
    made = grace()
    made.found("somebody", changed)

    assert made.remembered("ada", GOOD) is None


@pytest.mark.parametrize(
    "user", [replace(ADA, protected=True), replace(ADA, state=AccountState.LOCKED), replace(ADA, must_change=True)]
)
def test_an_administrator_never_has_a_grace(user: DirectoryUser) -> None:
    made = GracePasswords(600, FixedClock(NOW))
    made.found("ada", user)
    made.verified(user, GOOD)

    assert len(made) == 0


def test_a_name_that_went_to_somebody_else_is_not_the_former_owners() -> None:
    made = grace()
    made.found("ada", BOB)

    assert made.remembered("ada", GOOD) is None
    made.found("ada", None)
    assert made.remembered("ada", GOOD) is None


def test_a_password_that_the_directory_refuses_is_forgotten() -> None:
    made = grace()
    made.refused(ADA, BAD)
    assert made.remembered("ada", GOOD) == ADA
    made.refused(ADA, GOOD)
    assert made.remembered("ada", GOOD) is None


def test_a_password_that_expires_during_the_grace_lets_nobody_in() -> None:
    clock = FixedClock(NOW)
    made = GracePasswords(600, clock)
    ada = replace(ADA, password_expires_at=NOW + timedelta(seconds=60))
    made.found("ada", ada)
    made.verified(ada, GOOD)

    assert made.remembered("ada", GOOD) == ada
    clock.advance(60)
    assert made.remembered("ada", GOOD) is None


def test_it_is_bounded() -> None:
    made = grace(limit=2)
    for number in range(5):
        user = replace(BOB, immutable_id=f"b{number}")
        made.found(f"bob{number}", user)
        made.verified(user, GOOD)

    assert len(made) == 2
    assert made.remembered("ada", GOOD) is None
    assert made.remembered("bob4", GOOD) is not None
