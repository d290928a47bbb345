"""What every directory must do. Each test runs over each directory of `harness.MAKERS`; a new one is added there.

A test that `needs` abilities runs over the directories that declare them.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from tests.conformance.directory.harness import ABILITIES, MAKERS, Subject, backends
from wardgate.crypto import Secret
from wardgate.directory import memory
from wardgate.directory.active_directory import directory as active_directory
from wardgate.directory.local import directory as local
from wardgate.directory.openldap import directory as openldap
from wardgate.directory.port import (
    AccountState,
    ContactKind,
    ContactWriting,
    Directory,
    DirectoryUser,
    Listing,
    MailSharing,
    PasswordChanging,
    PasswordNotAccepted,
    PasswordPolicy,
    PasswordPolicyTelling,
    PasswordRemembering,
    PasswordResetting,
    PasswordVerdict,
    RightMissing,
    Unlocking,
)
from wardgate.directory.sql import directory as sql
from wardgate.errors import Conflict, UsageError

SOON = 5.0
# Each has a length and a mixture that the strictest of the directories takes.
GOOD, BAD, NEW = Secret("Correct-Horse-7-stapler"), Secret("Battery-Ox-9-clipper"), Secret("Quiet-Lake-3-lantern")
# Where each kind knows how many users stand on a page.
LISTING = (memory, local, openldap, active_directory, sql)
F = TypeVar("F", bound=Callable[..., Any])


def needs(*abilities: str) -> Callable[[F], F]:
    """The test holds for directories with these abilities."""

    def mark(test: F) -> F:
        test.needs = abilities  # type: ignore[attr-defined]
        return test

    return mark


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each directory that it holds for."""
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", backends(*getattr(metafunc.function, "needs", ())), indirect=True)


@pytest.fixture
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


PROTOCOLS = {
    "remembers": PasswordRemembering,
    "changes": PasswordChanging,
    "resets": PasswordResetting,
    "unlocks": Unlocking,
    "lists": Listing,
    "policy": PasswordPolicyTelling,
    "writes_phone": ContactWriting,
    "writes_mail": ContactWriting,
}


async def test_it_satisfies_the_port(subject: Subject, request: pytest.FixtureRequest) -> None:
    able = ABILITIES[request.node.callspec.params["subject"]]
    for protocol in [Directory, MailSharing, *[each for ability, each in PROTOCOLS.items() if getattr(able, ability)]]:
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
    )

    assert (user.directory, user.name, user.state) == ("staff", "Ada", AccountState.ACTIVE)
    assert (user.mail, user.phone) == ("Ada@Example.Test", "+905321234567")
    assert {"vpn-users", "Yöneticiler"} <= set(user.groups)
    assert user.display_name == "Ada Lovelace"
    assert not user.must_change
    assert await subject.directory.get(user.immutable_id, SOON) == user


@needs("tells_language")
async def test_a_users_language_is_told(subject: Subject) -> None:
    assert (await ada(subject, language="tr")).language == "tr"


async def test_groups_of_another_user_are_not_told(subject: Subject) -> None:
    await subject.add("bob", BAD.reveal(), groups=("vpn-admins",))
    user = await ada(subject, groups=("vpn-users",))

    assert "vpn-users" in user.groups
    assert "vpn-admins" not in user.groups
    assert set(user.group_aliases) <= set(user.groups)


@pytest.mark.parametrize("typed", ["ada", "ADA", "  Ada "])
async def test_names_are_found_without_case_and_blanks(subject: Subject, typed: str) -> None:
    assert (await found(subject, typed) if await ada(subject) else None) is not None


@pytest.mark.parametrize("typed", ["irem", "Irem", "ırem", "IREM"])
async def test_a_turkish_letter_never_finds_another_person(subject: Subject, typed: str) -> None:
    await subject.add("İrem", GOOD.reveal())

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
    await subject.add("bob", BAD.reveal(), mail="TEAM@example.test")

    assert await subject.directory.find("team@example.test", SOON) is None


@needs("disables")
async def test_a_mail_address_of_an_active_and_a_disabled_user_finds_neither(subject: Subject) -> None:
    await ada(subject, mail="team@example.test", state=AccountState.DISABLED)
    await subject.add("bob", BAD.reveal(), mail="team@example.test")

    assert await subject.directory.find("team@example.test", SOON) is None


async def test_everybody_who_shares_a_mail_address_is_told(subject: Subject) -> None:
    one = await ada(subject, mail="team@example.test", groups=("vpn-users",))
    await subject.add("bob", BAD.reveal(), mail="TEAM@example.test")
    await subject.add("carol", BAD.reveal(), mail="other@example.test")
    both = sorted([one, await found(subject, "bob")], key=lambda user: user.name)

    told = await subject.directory.sharing_mail(" Team@example.TEST", SOON, 10)
    assert sorted(told, key=lambda user: user.name) == both
    assert [user.name for user in await subject.directory.sharing_mail("other@example.test", SOON, 10)] == ["carol"]
    assert await subject.directory.sharing_mail("nobody@example.test", SOON, 10) == ()


async def test_of_those_who_share_a_mail_address_no_more_are_told_than_the_limit(subject: Subject) -> None:
    for name in ("ada", "bob", "carol"):
        await subject.add(name, GOOD.reveal(), mail="team@example.test")

    told = await subject.directory.sharing_mail("team@example.test", SOON, 2)
    assert len({user.immutable_id for user in told}) == 2


@needs("disables")
async def test_a_disabled_user_shares_a_mail_address_as_what_he_is(subject: Subject) -> None:
    await ada(subject, mail="team@example.test", state=AccountState.DISABLED)
    await subject.add("bob", BAD.reveal(), mail="team@example.test")

    told = await subject.directory.sharing_mail("team@example.test", SOON, 10)
    assert {user.name: user.state for user in told} == {"Ada": AccountState.DISABLED, "bob": AccountState.ACTIVE}


@needs("names_beside_mails")
async def test_a_login_name_that_looks_like_it_is_no_mail_address(subject: Subject) -> None:
    await subject.add("ada@example.test", GOOD.reveal(), mail="lovelace@example.test")
    await subject.add("bob", BAD.reveal(), mail="ada@example.test")

    assert [user.name for user in await subject.directory.sharing_mail("ada@example.test", SOON, 10)] == ["bob"]


INJECTED = (
    "*",
    "*@*",
    "*@example.test",
    "a*@example.test",
    "ada@*",
    "%@example.test",
    "ad_@example.test",
    "ada@example.test)(uid=*",
    "x@example.test)(|(mail=*",
    "x@y)(objectClass=*))(|(a=b",
    "x@example.test' OR '1'='1",
    "x@y' UNION SELECT * FROM employee --",
    "\\2a@example.test",
    "ada@example.test\x00",
    "",
    "@",
    "ada",
    "ada@" + "x" * 300,
)


@pytest.mark.parametrize("typed", INJECTED)
async def test_wildcards_and_filters_typed_for_a_mail_address_find_nobody(subject: Subject, typed: str) -> None:
    await ada(subject, mail="ada@example.test")
    assert len(await subject.directory.sharing_mail("ada@example.test", SOON, 10)) == 1

    assert await subject.directory.sharing_mail(typed, SOON, 10) == ()


@pytest.mark.parametrize("typed", ["ırem@example.test", "İrem@example.test", "ìrem@example.test"])
async def test_a_letter_that_databases_fold_never_finds_another_persons_mail_address(subject: Subject, typed: str) -> None:
    await subject.add("ada", GOOD.reveal(), mail="irem@example.test")

    assert await subject.directory.sharing_mail(typed, SOON, 10) == ()


@needs("names_beside_mails")
async def test_a_name_goes_before_somebody_elses_mail_address(subject: Subject) -> None:
    await subject.add("ada@example.test", GOOD.reveal())
    await subject.add("bob", BAD.reveal(), mail="ada@example.test")

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
    assert await subject.directory.check_password(user, Secret(GOOD.reveal().lower()), SOON) is PasswordVerdict.WRONG


async def test_an_empty_password_is_wrong_without_any_work(subject: Subject) -> None:
    user = await ada(subject)
    before = subject.work()

    assert await subject.directory.check_password(user, Secret(b""), SOON) is PasswordVerdict.WRONG
    await subject.directory.check_nobody(Secret(b""), SOON)
    assert subject.work() == before


@needs("any_bytes")
@pytest.mark.parametrize("password", [b"a\x00b", b"\x00", b"p\xe4ssw\xf6rd", b"\xff\xfe", "şifre".encode(), b"  blanks  "])
async def test_a_password_is_bytes(subject: Subject, password: bytes) -> None:
    await subject.add("ada", password)
    user = await found(subject, "ada")

    assert await subject.directory.check_password(user, Secret(password), SOON) is PasswordVerdict.RIGHT
    for other in (password.strip() + b"!", password.replace(b"\x00", b"") + b" ", password.decode("latin-1").encode() + b"\xc3"):
        assert await subject.directory.check_password(user, Secret(other), SOON) is PasswordVerdict.WRONG


async def test_a_password_cut_at_nul_is_wrong(subject: Subject) -> None:
    user = await ada(subject)

    for end in (b"\x00", b"\x00more"):
        assert await subject.directory.check_password(user, Secret(GOOD.reveal() + end), SOON) is PasswordVerdict.WRONG


async def test_an_overlong_password_is_wrong(subject: Subject) -> None:
    user = await ada(subject)

    assert await subject.directory.check_password(user, Secret(b"x" * 100_000), SOON) is PasswordVerdict.WRONG


@needs("blank")
async def test_a_user_without_a_password_lets_nobody_in(subject: Subject) -> None:
    await subject.add("ada", None)
    user = await found(subject, "ada")

    for guess in (b"", b"None", b"\x00", GOOD.reveal()):
        assert await subject.directory.check_password(user, Secret(guess), SOON) is PasswordVerdict.WRONG


@needs("counts", "checks_unusable")
@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED])
async def test_an_account_that_may_not_be_used_is_checked_all_the_same(subject: Subject, state: AccountState) -> None:
    user, before = await ada(subject, state=state), subject.work()

    assert user.state is state
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.WRONG
    assert (await subject.directory.check_password(user, GOOD, SOON)).password_was_right
    assert subject.work() == before + 2


@needs("disables")
async def test_a_disabled_account_lets_nobody_in(subject: Subject) -> None:
    """Its state or the verdict says so; a wrong password is never called right."""
    user = await ada(subject, state=AccountState.DISABLED)
    verdict = await subject.directory.check_password(user, GOOD, SOON)

    assert user.state is AccountState.DISABLED
    assert verdict is not PasswordVerdict.WRONG
    assert not (await subject.directory.check_password(user, BAD, SOON)).password_was_right


@needs("locks")
async def test_a_locked_account_lets_nobody_in(subject: Subject) -> None:
    user = await ada(subject)
    await subject.set_state("ada", AccountState.LOCKED)
    locked = await found(subject, "ada")

    assert locked.state is AccountState.LOCKED
    assert await subject.directory.check_password(locked, GOOD, SOON) is not PasswordVerdict.WRONG
    assert not (await subject.directory.check_password(user, BAD, SOON)).password_was_right


@needs("counts", "blank")
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


@needs("counts")
async def test_an_account_that_was_removed_meanwhile_is_wrong_at_the_same_cost(subject: Subject) -> None:
    user = await ada(subject)
    await subject.remove("ada")
    before = subject.work()

    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.WRONG
    assert subject.work() == before + 1


@needs("must_change")
async def test_a_password_that_must_be_changed_says_so_only_when_it_is_right(subject: Subject) -> None:
    user = await ada(subject, must_change=True)

    assert user.must_change
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.MUST_CHANGE
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.WRONG


# --- remembering -----------------------------------------------------------------------------------------------------


@needs("remembers")
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


@needs("remembers", "versions", "disables")
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


@needs("remembers", "resets")
async def test_a_remembered_password_is_forgotten_when_it_is_reset(subject: Subject) -> None:
    user = await ada(subject)
    await subject.directory.check_password(user, GOOD, SOON)
    await subject.directory.reset_password(user, BAD, False, SOON)

    assert not subject.directory.remembers(await found(subject, "ada"), GOOD)


@needs("remembers", "disables")
async def test_the_password_of_a_disabled_account_is_not_remembered(subject: Subject) -> None:
    user = await ada(subject, state=AccountState.DISABLED)
    await subject.directory.check_password(user, GOOD, SOON)

    assert not subject.directory.remembers(user, GOOD)


@needs("remembers", "must_change")
async def test_a_password_that_must_be_changed_is_not_remembered(subject: Subject) -> None:
    user = await ada(subject, must_change=True)
    await subject.directory.check_password(user, GOOD, SOON)

    assert not subject.directory.remembers(user, GOOD)


# What a change says for an account that may not be used.
UNUSABLE = (PasswordVerdict.REFUSED, PasswordVerdict.DISABLED, PasswordVerdict.LOCKED)

# --- changing, resetting, unlocking ------------------------------------------------------------------------------------


@needs("changes")
async def test_a_user_changes_the_password_that_he_knows(subject: Subject) -> None:
    user = await ada(subject)

    assert await subject.directory.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    changed = await found(subject, "ada")
    assert changed.version != user.version
    assert await subject.directory.check_password(changed, NEW, SOON) is PasswordVerdict.RIGHT


@needs("changes")
async def test_the_password_of_before_a_change_is_wrong_or_was_the_last_one(subject: Subject) -> None:
    """Active Directory still takes the last one for an hour; the one before that is dead everywhere."""
    user = await ada(subject)
    await subject.directory.change_password(user, GOOD, BAD, SOON)
    user = await found(subject, "ada")
    await subject.directory.change_password(user, BAD, NEW, SOON)

    assert await subject.directory.check_password(await found(subject, "ada"), GOOD, SOON) is PasswordVerdict.WRONG


@needs("changes", "must_change")
async def test_a_password_that_must_be_changed_can_be_changed_and_then_need_not(subject: Subject) -> None:
    user = await ada(subject, must_change=True)

    assert await subject.directory.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    changed = await found(subject, "ada")
    assert not changed.must_change
    assert await subject.directory.check_password(changed, NEW, SOON) is PasswordVerdict.RIGHT


@needs("changes")
@pytest.mark.parametrize("old", [BAD, Secret(b"")])
async def test_a_password_is_not_changed_by_who_does_not_know_it(subject: Subject, old: Secret) -> None:
    user = await ada(subject)

    assert await subject.directory.change_password(user, old, NEW, SOON) is PasswordVerdict.WRONG
    assert await subject.directory.check_password(await found(subject, "ada"), GOOD, SOON) is PasswordVerdict.RIGHT


@needs("changes", "counts", "checks_unusable")
@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED])
async def test_an_account_that_may_not_be_used_cannot_change_its_password(subject: Subject, state: AccountState) -> None:
    user, before = await ada(subject, state=state), subject.work()

    assert await subject.directory.change_password(user, GOOD, NEW, SOON) in UNUSABLE
    assert subject.work() > before
    assert (await subject.directory.check_password(user, GOOD, SOON)).password_was_right


@needs("resets", "must_change")
async def test_a_reset_sets_the_password_and_what_it_demands(subject: Subject) -> None:
    user = await ada(subject)
    await subject.directory.reset_password(user, BAD, True, SOON)

    user = await found(subject, "ada")
    assert user.must_change
    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.MUST_CHANGE
    await subject.directory.reset_password(user, NEW, False, SOON)
    user = await found(subject, "ada")
    assert not user.must_change
    assert await subject.directory.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT


@needs("resets", "unlocks", "locks")
async def test_a_reset_lifts_a_lock(subject: Subject) -> None:
    await ada(subject)
    await subject.set_state("ada", AccountState.LOCKED)
    await subject.directory.reset_password(await found(subject, "ada"), NEW, False, SOON)
    user = await found(subject, "ada")

    assert user.state is AccountState.ACTIVE
    assert await subject.directory.check_password(user, NEW, SOON) is PasswordVerdict.RIGHT


@needs("resets", "disables")
async def test_a_reset_does_not_enable_a_disabled_account(subject: Subject) -> None:
    user = await ada(subject, state=AccountState.DISABLED)
    with suppress(RightMissing):  # OpenLDAP would lift the administrator's lock with it
        await subject.directory.reset_password(user, NEW, False, SOON)

    assert (await found(subject, "ada")).state is AccountState.DISABLED


@needs("changes", "resets", "empties")
async def test_an_empty_password_is_never_set(subject: Subject) -> None:
    user = await ada(subject)

    with pytest.raises(UsageError):
        await subject.directory.reset_password(user, Secret(b""), False, SOON)
    with pytest.raises(UsageError):
        await subject.directory.change_password(user, GOOD, Secret(b""), SOON)
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@needs("resets")
async def test_a_reset_of_a_removed_account_says_so(subject: Subject) -> None:
    user = await ada(subject)
    await subject.remove("ada")

    with pytest.raises(Conflict):
        await subject.directory.reset_password(user, BAD, False, SOON)


@needs("unlocks", "locks")
async def test_a_lock_is_lifted_once(subject: Subject) -> None:
    await ada(subject)
    await subject.set_state("ada", AccountState.LOCKED)

    assert await subject.directory.unlock(await found(subject, "ada"), SOON)
    unlocked = await found(subject, "ada")
    assert unlocked.state is AccountState.ACTIVE
    assert await subject.directory.check_password(unlocked, GOOD, SOON) is PasswordVerdict.RIGHT
    assert not await subject.directory.unlock(unlocked, SOON)


@needs("unlocks", "disables")
async def test_unlocking_does_not_enable_a_disabled_account(subject: Subject) -> None:
    user = await ada(subject, state=AccountState.DISABLED)

    assert not await subject.directory.unlock(user, SOON)
    assert (await found(subject, "ada")).state is AccountState.DISABLED


# --- listing -----------------------------------------------------------------------------------------------------------


async def everybody(subject: Subject) -> list[DirectoryUser]:
    return [user async for page in subject.directory.users(SOON) for user in page]


def told(user: DirectoryUser) -> DirectoryUser:
    """A user without the order of his groups, which means nothing."""
    aliases = {name: tuple(sorted(user.group_aliases[name])) for name in user.group_aliases}
    return replace(user, groups=tuple(sorted(user.groups)), group_aliases=aliases)


@needs("lists")
async def test_an_empty_directory_lists_nobody(subject: Subject) -> None:
    assert [user for user in await everybody(subject) if user.name.lower() in ("ada", "bob")] == []


@needs("lists", "disables", "must_change")
async def test_everybody_is_listed_once_and_as_he_is_found(subject: Subject) -> None:
    await ada(subject, mail="Ada@Example.Test", phone="+905321234567", groups=("vpn-users", "Yöneticiler"), display_name="Ada L.")
    await subject.add("bob", GOOD.reveal(), state=AccountState.DISABLED)
    await subject.add("eve", GOOD.reveal(), must_change=True, groups=("vpn-users",))
    listed = [user for user in await everybody(subject) if user.name.lower() in ("ada", "bob", "eve")]

    assert sorted(user.name.lower() for user in listed) == ["ada", "bob", "eve"]
    for user in listed:
        assert told(user) == told(await found(subject, user.name))


@needs("lists")
async def test_more_users_than_fit_on_a_page_are_all_listed(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in LISTING:
        monkeypatch.setattr(module, "USERS_PER_PAGE", 3)
    names = [f"user-{number}" for number in range(8)]
    for name in names:
        await subject.add(name, GOOD.reveal())
    pages = [page async for page in subject.directory.users(SOON)]

    assert all(0 < len(page) <= 3 for page in pages)
    listed = [user.name for page in pages for user in page if user.name in names]
    assert sorted(listed) == names


@needs("lists")
async def test_a_list_that_is_given_up_leaves_the_directory_usable(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in LISTING:
        monkeypatch.setattr(module, "USERS_PER_PAGE", 1)
    await ada(subject)
    await subject.add("bob", GOOD.reveal())
    for _ in range(6):
        async with aclosing(subject.directory.users(SOON)) as pages:
            async for page in pages:
                assert len(page) == 1
                break

    assert (await found(subject, "ada")).name == "Ada"
    assert len(await everybody(subject)) >= 2


# --- expiry, history, policy -------------------------------------------------------------------------------------------


@needs("expires", "changes")
async def test_a_password_past_its_age_says_so_only_when_it_is_right_and_can_be_changed(subject: Subject) -> None:
    await ada(subject)
    await subject.expire("ada")
    user = await found(subject, "ada")

    assert await subject.directory.check_password(user, BAD, SOON) is PasswordVerdict.WRONG
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.EXPIRED
    assert await subject.directory.change_password(user, BAD, NEW, SOON) is PasswordVerdict.WRONG
    assert await subject.directory.change_password(user, GOOD, NEW, SOON) is PasswordVerdict.RIGHT
    assert await subject.directory.check_password(await found(subject, "ada"), NEW, SOON) is PasswordVerdict.RIGHT


@needs("expires", "resets")
async def test_a_reset_ends_the_expiry(subject: Subject) -> None:
    await ada(subject)
    await subject.expire("ada")
    await subject.directory.reset_password(await found(subject, "ada"), NEW, False, SOON)

    assert await subject.directory.check_password(await found(subject, "ada"), NEW, SOON) is PasswordVerdict.RIGHT


@needs("expires", "remembers")
async def test_a_password_past_its_age_is_not_remembered(subject: Subject) -> None:
    await ada(subject)
    await subject.expire("ada")
    user = await found(subject, "ada")
    await subject.directory.check_password(user, GOOD, SOON)

    assert not subject.directory.remembers(user, GOOD)


@needs("tells_expiry", "changes")
async def test_it_is_told_when_a_password_ends_and_a_change_moves_it(subject: Subject) -> None:
    await ada(subject)
    await subject.expire("ada")
    past = await found(subject, "ada")
    await subject.directory.change_password(past, GOOD, NEW, SOON)
    later = await found(subject, "ada")

    assert past.password_expires_at is not None
    assert later.password_expires_at is not None
    assert past.password_expires_at.utcoffset() == later.password_expires_at.utcoffset() == timedelta(0)
    assert past.password_expires_at < later.password_expires_at


@needs("history", "changes")
async def test_a_password_that_was_in_use_before_is_refused_to_its_user(subject: Subject) -> None:
    user = await ada(subject)
    await subject.directory.change_password(user, GOOD, NEW, SOON)
    user = await found(subject, "ada")

    for again in (NEW, GOOD):
        with pytest.raises(PasswordNotAccepted) as raised:
            await subject.directory.change_password(user, NEW, again, SOON)
        assert raised.value.rule in ("same", "history", "policy")
        assert not any(secret.reveal().decode() in str(raised.value) for secret in (GOOD, NEW))
    assert await subject.directory.check_password(await found(subject, "ada"), NEW, SOON) is PasswordVerdict.RIGHT


@needs("history", "resets")
async def test_a_reset_is_no_way_round_the_history(subject: Subject) -> None:
    """Who forgets his password every ninety days would otherwise keep it for ever."""
    user = await ada(subject)
    await subject.directory.reset_password(user, NEW, False, SOON)
    user = await found(subject, "ada")

    for again in (NEW, GOOD):
        with pytest.raises(PasswordNotAccepted) as raised:
            await subject.directory.reset_password(user, again, False, SOON)
        assert raised.value.rule in ("same", "history", "policy")


@needs("history", "resets", "refusal_keeps")
async def test_a_reset_that_the_history_refuses_changes_nothing(subject: Subject) -> None:
    user = await ada(subject)
    with pytest.raises(PasswordNotAccepted):
        await subject.directory.reset_password(user, GOOD, False, SOON)

    assert await subject.directory.check_password(await found(subject, "ada"), GOOD, SOON) is PasswordVerdict.RIGHT


@needs("policy", "changes", "resets")
async def test_a_password_against_the_rules_is_refused_with_the_rule_and_changes_nothing(subject: Subject) -> None:
    user = await ada(subject)
    policy = await subject.directory.password_policy(user, SOON)
    short = Secret(NEW.reveal()[: policy.min_length - 1])

    assert policy.min_length > 1
    for work in (subject.directory.change_password, subject.directory.reset_password):
        given = (user, GOOD, short, SOON) if work == subject.directory.change_password else (user, short, False, SOON)
        with pytest.raises(PasswordNotAccepted) as raised:
            await work(*given)
        assert raised.value.rule in ("length", "policy")
        assert short.reveal().decode() not in str(raised.value)
    assert await subject.directory.check_password(await found(subject, "ada"), GOOD, SOON) is PasswordVerdict.RIGHT


@needs("policy")
async def test_the_rules_are_told(subject: Subject) -> None:
    policy = await subject.directory.password_policy(await ada(subject), SOON)

    assert isinstance(policy, PasswordPolicy)
    assert policy.min_length > 1
    assert policy.max_length == 0 or policy.max_length >= policy.min_length
    assert min(policy.history, policy.min_age_s, policy.max_age_s) >= 0


# --- contacts ----------------------------------------------------------------------------------------------------------


@needs("writes_phone")
async def test_a_phone_is_replaced_and_removed(subject: Subject) -> None:
    user = await ada(subject, phone="+905321234567")

    assert subject.directory.writes(ContactKind.PHONE)
    await subject.directory.write_contact(user, ContactKind.PHONE, "+905329876543", SOON)
    user = await found(subject, "ada")
    assert user.phone == "+905329876543"
    assert "+905321234567" not in user.other_phones
    await subject.directory.write_contact(user, ContactKind.PHONE, None, SOON)
    assert (await found(subject, "ada")).phone is None


@needs("writes_mail")
async def test_a_mail_address_is_replaced_and_removed(subject: Subject) -> None:
    user = await ada(subject, mail="ada@example.test")

    assert subject.directory.writes(ContactKind.MAIL)
    await subject.directory.write_contact(user, ContactKind.MAIL, "Lovelace@Example.Test", SOON)
    user = await found(subject, "lovelace@example.test")
    assert (user.name, user.mail) == ("Ada", "Lovelace@Example.Test")
    assert await subject.directory.find("ada@example.test", SOON) is None
    await subject.directory.write_contact(user, ContactKind.MAIL, None, SOON)
    assert (await found(subject, "ada")).mail is None


@needs("writes_phone")
async def test_writing_a_contact_leaves_the_password_and_the_groups(subject: Subject) -> None:
    user = await ada(subject, groups=("vpn-users",))
    await subject.directory.write_contact(user, ContactKind.PHONE, "+905329876543", SOON)
    user = await found(subject, "ada")

    assert "vpn-users" in user.groups
    assert await subject.directory.check_password(user, GOOD, SOON) is PasswordVerdict.RIGHT


@needs("writes_phone")
async def test_a_contact_of_a_removed_account_is_a_conflict(subject: Subject) -> None:
    user = await ada(subject)
    await subject.remove("ada")

    with pytest.raises(Conflict):
        await subject.directory.write_contact(user, ContactKind.PHONE, "+905329876543", SOON)
