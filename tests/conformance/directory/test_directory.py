"""What every directory must do. Each test runs over each directory of `harness.MAKERS`; a new one is added there."""

import itertools
from collections.abc import AsyncIterator

import pytest

from tests.conformance.directory.harness import MAKERS, Subject
from wardgate.crypto import Secret
from wardgate.directory.port import (
    AccountState,
    Directory,
    DirectoryUser,
    PasswordChanging,
    PasswordRemembering,
    PasswordResetting,
    PasswordVerdict,
    Unlocking,
)
from wardgate.errors import Conflict, UsageError

SOON = 5.0
GOOD, BAD = Secret("correct horse"), Secret("battery staple")


@pytest.fixture(params=MAKERS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with MAKERS[request.param]() as made:
        yield made


async def ada(subject: Subject, **fields: object) -> DirectoryUser:
    await subject.add("Ada", GOOD.reveal(), **fields)
    return await found(subject, "ada")


async def found(subject: Subject, name: str) -> DirectoryUser:
    user = await subject.directory.find(name, SOON)
    assert user is not None
    return user


# --- finding ---------------------------------------------------------------------------------------------------------


async def test_it_satisfies_the_port(subject: Subject) -> None:
    for protocol in (Directory, PasswordRemembering, PasswordChanging, PasswordResetting, Unlocking):
        assert isinstance(subject.directory, protocol)
    assert subject.directory.name == "staff"


async def test_an_empty_directory_finds_nobody(subject: Subject) -> None:
    assert await subject.directory.find("ada", SOON) is None
    assert await subject.directory.get("nobody", SOON) is None


async def test_a_user_is_told_as_he_was_put_in(subject: Subject) -> None:
    user = await ada(
        subject,
        mail="Ada@Example.Test",
        phone="+905321234567",
        groups=("vpn-users", "Yöneticiler"),
        display_name="Ada Lovelace",
        language="tr",
    )

    assert (user.directory, user.name, user.state) == ("staff", "Ada", AccountState.ACTIVE)
    assert (user.mail, user.phone, user.language) == ("Ada@Example.Test", "+905321234567", "tr")
    assert (user.groups, user.display_name) == (("vpn-users", "Yöneticiler"), "Ada Lovelace")
    assert not user.must_change
    assert await subject.directory.get(user.immutable_id, SOON) == user


@pytest.mark.parametrize("typed", ["ada", "ADA", "  Ada "])
async def test_names_are_found_without_case_and_blanks(subject: Subject, typed: str) -> None:
    assert (await found(subject, typed) if await ada(subject) else None) is not None


@pytest.mark.parametrize("typed", ["irem", "Irem", "ırem", "IREM"])
async def test_a_turkish_letter_never_finds_another_person(subject: Subject, typed: str) -> None:
    await subject.add("İrem", b"x")

    assert await subject.directory.find(typed, SOON) is None
    assert (await found(subject, "İREM")).name == "İrem"


@pytest.mark.parametrize("typed", ["", "   ", "ada\n", "a\x00da", "ada\x00", "a" * 300, "ad", "adaa", "ada%", "ad_", "*", "ada'--"])
async def test_what_is_not_the_name_finds_nobody(subject: Subject, typed: str) -> None:
    await ada(subject)

    assert await subject.directory.find(typed, SOON) is None


async def test_a_user_is_found_by_mail_address(subject: Subject) -> None:
    user = await ada(subject, mail="Ada.Lovelace@Example.Test")

    assert await found(subject, "ada.lovelace@EXAMPLE.test") == user


async def test_a_mail_address_of_two_users_finds_neither(subject: Subject) -> None:
    await ada(subject, mail="team@example.test")
    await subject.add("bob", b"x", mail="TEAM@example.test")

    assert await subject.directory.find("team@example.test", SOON) is None


async def test_a_mail_address_of_an_active_and_a_disabled_user_finds_neither(subject: Subject) -> None:
    await ada(subject, mail="team@example.test", state=AccountState.DISABLED)
    await subject.add("bob", b"x", mail="team@example.test")

    assert await subject.directory.find("team@example.test", SOON) is None


async def test_a_name_goes_before_somebody_elses_mail_address(subject: Subject) -> None:
    await subject.add("ada@example.test", b"x")
    await subject.add("bob", b"x", mail="ada@example.test")

    assert (await found(subject, "ada@example.test")).name == "ada@example.test"


async def test_a_new_person_with_an_old_name_is_somebody_else(subject: Subject) -> None:
    before = await ada(subject)
    await subject.remove("ada")
    after = await ada(subject)

    assert before.immutable_id != after.immutable_id
    assert await subject.directory.get(before.immutable_id, SOON) is None


# --- checking passwords ----------------------------------------------------------------------------------------------


async def test_a_right_password_is_right_and_a_wrong_one_wrong(subject: Subject) -> None:
    user = await ada(subject)

    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.WRONG
    assert await subject.directory.check_password(user, Secret("Correct horse"), SOON) is PasswordVerdict.WRONG


async def test_an_empty_password_is_wrong_without_any_work(subject: Subject) -> None:
    user, before = await ada(subject), subject.work()

    assert await subject.directory.check_password(user, Secret(b""), SOON) is PasswordVerdict.WRONG
    await subject.directory.check_nobody(Secret(b""), SOON)
    assert subject.work() == before


@pytest.mark.parametrize("password", [b"a\x00b", b"\x00", b"p\xe4ssw\xf6rd", b"\xff\xfe", "şifre".encode(), b"  blanks  "])
async def test_a_password_is_bytes(subject: Subject, password: bytes) -> None:
    await subject.add("ada", password)
    user = await found(subject, "ada")

    assert await subject.directory.check_password(user, Secret(password), SOON) is PasswordVerdict.RIGHT
    for other in (password.strip() + b"!", password.replace(b"\x00", b"") + b" ", password.decode("latin-1").encode() + b"\xc3"):
        assert await subject.directory.check_password(user, Secret(other), SOON) is PasswordVerdict.WRONG


async def test_a_password_cut_at_nul_is_wrong(subject: Subject) -> None:
    await subject.add("ada", b"secret")
    user = await found(subject, "ada")

    assert await subject.directory.check_password(user, Secret(b"secret\x00"), SOON) is PasswordVerdict.WRONG
    assert await subject.directory.check_password(user, Secret(b"secret\x00more"), SOON) is PasswordVerdict.WRONG


async def test_an_overlong_password_is_wrong(subject: Subject) -> None:
    user = await ada(subject)

    assert await subject.directory.check_password(user, Secret(b"x" * 100_000), SOON) is PasswordVerdict.WRONG


async def test_a_user_without_a_password_lets_nobody_in(subject: Subject) -> None:
    await subject.add("ada", None)
    user = await found(subject, "ada")

    for guess in (b"", b"None", b"\x00", GOOD.reveal()):
        assert await subject.directory.check_password(user, Secret(guess), SOON) is PasswordVerdict.WRONG


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED])
async def test_an_account_that_may_not_be_used_is_checked_all_the_same(subject: Subject, state: AccountState) -> None:
    user, before = await ada(subject, state=state), subject.work()

    assert user.state is state
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.WRONG
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT
    assert subject.work() == before + 2


async def test_nobody_costs_as_much_as_a_wrong_password_or_an_account_without_one(subject: Subject) -> None:
    user = await ada(subject)
    await subject.add("empty", None)
    empty = await found(subject, "empty")
    marks = [subject.work()]
    await subject.directory.check_password(user, BAD, SOON)
    marks.append(subject.work())
    await subject.directory.check_nobody(BAD, SOON)
    marks.append(subject.work())
    await subject.directory.check_password(empty, BAD, SOON)
    marks.append(subject.work())

    assert [later - earlier for earlier, later in itertools.pairwise(marks)] == [1, 1, 1]


async def test_an_account_that_was_removed_meanwhile_is_wrong_at_the_same_cost(subject: Subject) -> None:
    user = await ada(subject)
    await subject.remove("ada")
    before = subject.work()

    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.WRONG
    assert subject.work() == before + 1


async def test_a_password_that_must_be_changed_says_so_only_when_it_is_right(subject: Subject) -> None:
    user = await ada(subject, must_change=True)

    assert user.must_change
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.MUST_CHANGE
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.WRONG


# --- remembering -----------------------------------------------------------------------------------------------------


async def test_only_a_verified_password_of_this_user_is_remembered(subject: Subject) -> None:
    user = await ada(subject)
    await subject.add("bob", GOOD.reveal())
    bob = await found(subject, "bob")
    await subject.directory.check_password(user, BAD, SOON)

    assert not subject.directory.remembers(user, GOOD)
    await subject.directory.check_password(user, GOOD, SOON)
    assert subject.directory.remembers(user, GOOD)
    assert not subject.directory.remembers(user, BAD)
    assert not subject.directory.remembers(user, Secret(b""))
    assert not subject.directory.remembers(bob, GOOD)


async def test_a_remembered_password_is_forgotten_with_any_change_of_the_account(subject: Subject) -> None:
    user = await ada(subject)
    await subject.directory.check_password(user, GOOD, SOON)
    await subject.set_state("ada", AccountState.DISABLED)
    disabled = await found(subject, "ada")
    await subject.set_state("ada", AccountState.ACTIVE)
    enabled = await found(subject, "ada")

    assert user.version < disabled.version < enabled.version
    assert not subject.directory.remembers(disabled, GOOD)
    assert not subject.directory.remembers(enabled, GOOD)


async def test_a_remembered_password_is_forgotten_when_it_is_reset(subject: Subject) -> None:
    user = await ada(subject)
    await subject.directory.check_password(user, GOOD, SOON)
    await subject.directory.reset_password(user, BAD, False, SOON)

    assert not subject.directory.remembers(await found(subject, "ada"), GOOD)


async def test_the_password_of_a_disabled_account_is_not_remembered(subject: Subject) -> None:
    user = await ada(subject, state=AccountState.DISABLED)
    await subject.directory.check_password(user, GOOD, SOON)

    assert not subject.directory.remembers(user, GOOD)


async def test_a_password_that_must_be_changed_is_not_remembered(subject: Subject) -> None:
    user = await ada(subject, must_change=True)
    await subject.directory.check_password(user, GOOD, SOON)

    assert not subject.directory.remembers(user, GOOD)


# --- changing, resetting, unlocking ------------------------------------------------------------------------------------


async def test_a_user_changes_the_password_that_he_knows(subject: Subject) -> None:
    user = await ada(subject, must_change=True)

    assert await subject.directory.change_password(user, GOOD, BAD, SOON) is PasswordVerdict.RIGHT
    changed = await found(subject, "ada")
    assert not changed.must_change
    assert changed.version > user.version
    assert await subject.directory.check_password(changed, BAD, SOON) is PasswordVerdict.RIGHT
    assert await subject.directory.check_password(changed, GOOD, SOON) is PasswordVerdict.WRONG


@pytest.mark.parametrize("old", [BAD, Secret(b"")])
async def test_a_password_is_not_changed_by_who_does_not_know_it(subject: Subject, old: Secret) -> None:
    user = await ada(subject)

    assert await subject.directory.change_password(user, old, Secret("mine now"), SOON) is PasswordVerdict.WRONG
    assert await found(subject, "ada") == user
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED])
async def test_an_account_that_may_not_be_used_cannot_change_its_password(subject: Subject, state: AccountState) -> None:
    user, before = await ada(subject, state=state), subject.work()

    assert await subject.directory.change_password(user, GOOD, BAD, SOON) is PasswordVerdict.REFUSED
    assert subject.work() > before
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_reset_sets_the_password_and_what_it_demands(subject: Subject) -> None:
    user = await ada(subject)
    await subject.directory.reset_password(user, BAD, True, SOON)

    assert (await found(subject, "ada")).must_change
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.MUST_CHANGE
    await subject.directory.reset_password(user, GOOD, False, SOON)
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_an_empty_password_is_never_set(subject: Subject) -> None:
    user = await ada(subject)

    with pytest.raises(UsageError):
        await subject.directory.reset_password(user, Secret(b""), False, SOON)
    with pytest.raises(UsageError):
        await subject.directory.change_password(user, GOOD, Secret(b""), SOON)
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


async def test_a_reset_of_a_removed_account_says_so(subject: Subject) -> None:
    user = await ada(subject)
    await subject.remove("ada")

    with pytest.raises(Conflict):
        await subject.directory.reset_password(user, BAD, False, SOON)


async def test_a_lock_is_lifted_once(subject: Subject) -> None:
    user = await ada(subject, state=AccountState.LOCKED)

    assert await subject.directory.unlock(user, SOON)
    unlocked = await found(subject, "ada")
    assert unlocked.state is AccountState.ACTIVE
    assert unlocked.version > user.version
    assert not await subject.directory.unlock(unlocked, SOON)


async def test_unlocking_does_not_enable_a_disabled_account(subject: Subject) -> None:
    user = await ada(subject, state=AccountState.DISABLED)

    assert not await subject.directory.unlock(user, SOON)
    assert (await found(subject, "ada")).state is AccountState.DISABLED
