"""Managing local users."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from wardgate.account.subject import SubjectId, linked_subject
from wardgate.admin import authenticators, users
from wardgate.admin.office import Office
from wardgate.clock import FixedClock
from wardgate.crypto import Secret
from wardgate.directory.local import TABLE, LocalDirectory, row_by_name
from wardgate.directory.port import DirectoryUser, PasswordVerdict
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.errors import AlreadyExists, Conflict, NotFound, UsageError
from wardgate.storage.port import Delete, Insert, Operation, Update, Where

HERE = {"directory": "staff"}


async def add(office: Office, name: str = "ada", **fields: Any) -> dict[str, Any]:
    return await users.add_user(office, **HERE, name=name, **fields)


async def verdict(office: Office, name: str, password: str) -> PasswordVerdict:
    directory = LocalDirectory(LocalDirectorySettings(name="staff", kind="local"), office.storage, office.hasher, office.clock)
    user = await directory.find(name, 5)
    assert user is not None
    return await directory.check_password(user, Secret(password), 5)


async def events(office: Office) -> list[tuple[str, dict[str, Any]]]:
    rows = await office.storage.find("audit_event", order_by="seq")
    return [(str(row["kind"]), json.loads(str(row["payload"]))) for row in rows]


async def test_a_new_user_can_log_in_and_is_shown_without_secrets(office: Office) -> None:
    shown = await add(
        office,
        name="Ada",
        password=Secret("secret"),
        mail="ada@example.test",
        phone="+90 532 123 45 67",
        groups=["vpn-users", " vpn-users ", "", "staff"],
        display_name="Ada Lovelace",
        language="tr",
    )

    assert await verdict(office, "ada", "secret") is PasswordVerdict.RIGHT
    assert shown.items() <= (await users.show_user(office, **HERE, name="ADA")).items()
    assert (shown["name"], shown["phone"], shown["groups"]) == ("Ada", "+905321234567", ["vpn-users", "staff"])
    assert shown["password_hash"] == "argon2id"
    assert "$argon2" not in json.dumps(shown)


async def test_adding_leaves_an_event_that_names_the_operator(office: Office) -> None:
    await add(office, password=Secret("secret"))

    assert await events(office) == [
        (
            "directory:user:added",
            {"actor": "operator:olga", "directory": "staff", "user": "ada", "user_id": (await row(office))["id"]},
        )
    ]


async def row(office: Office, name: str = "ada") -> Any:
    return await row_by_name(office.storage, "staff", name)


@pytest.mark.parametrize("name", ["ada", "ADA", " Ada "])
async def test_a_name_is_given_once_without_regard_to_case(office: Office, name: str) -> None:
    await add(office)

    with pytest.raises(AlreadyExists):
        await add(office, name=name)
    assert await office.storage.count(TABLE) == 1
    assert len(await events(office)) == 1


async def test_of_two_operators_who_add_one_name_at_once_one_succeeds(office: Office) -> None:
    results = await asyncio.gather(*(add(office) for _ in range(5)), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["AlreadyExists"] * 4 + ["dict"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\x00da"},
        {"name": "ACME\\ada"},
        {"name": "=cmd()"},
        {"name": "a" * 300},
        {"mail": "no at sign"},
        {"mail": "a@b\r\nBcc: c@example.test"},
        {"mail": "a@" + "b" * 300},
        {"mail": "a@b@example.test"},
        {"phone": "0532 123 45 67"},
        {"phone": "+90"},
        {"phone": "++905321234567;ext=1"},
        {"groups": ["a\nb"]},
        {"groups": ["x" * 300]},
        {"groups": [f"g{number}" for number in range(600)]},
        {"display_name": "A\x1b[31mda"},
        {"display_name": "=HYPERLINK()"},
        {"display_name": "x" * 300},
        {"language": "../../etc/passwd"},
        {"password": Secret(b"")},
        {"password": Secret(b"x" * 2000)},
    ],
)
async def test_bad_fields_are_refused_and_nothing_is_written(office: Office, fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await add(office, **({"name": "ada"} | fields))
    assert not await office.storage.count(TABLE)
    assert not await events(office)


async def test_a_change_touches_only_what_is_given(office: Office) -> None:
    before = await add(office, mail="ada@example.test", phone="+905321234567", groups=["a"], display_name="Ada", language="tr")
    after = await users.change_user(office, **HERE, name="ada", phone=None, groups=["b"])

    assert after == before | {"phone": None, "groups": ["b"]}
    assert after.items() <= (await users.show_user(office, **HERE, name="ada")).items()
    kind, details = (await events(office))[-1]
    assert (kind, details["fields"]) == ("directory:user:changed", ["groups", "phone"])


async def test_a_changed_mail_address_is_found_and_the_old_one_not(office: Office) -> None:
    await add(office, mail="old@example.test")
    await users.change_user(office, **HERE, name="ada", mail="New@Example.Test")
    directory = LocalDirectory(LocalDirectorySettings(name="staff", kind="local"), office.storage, office.hasher, office.clock)

    assert await directory.find("new@example.test", 5) is not None
    assert await directory.find("old@example.test", 5) is None


async def test_a_change_of_nothing_and_of_nobody_is_refused(office: Office) -> None:
    await add(office)

    with pytest.raises(UsageError):
        await users.change_user(office, **HERE, name="ada")
    with pytest.raises(NotFound):
        await users.change_user(office, **HERE, name="bob", phone=None)
    with pytest.raises(NotFound):
        await users.change_user(office, directory="guests", name="ada", phone=None)


async def test_every_change_of_an_account_raises_its_version(office: Office, clock: FixedClock) -> None:
    await add(office, password=Secret("secret"))
    versions = [(await row(office))["version"]]
    for change in (
        users.change_user(office, **HERE, name="ada", display_name="Ada"),
        users.change_user(office, **HERE, name="ada", expires_at=clock.now() + timedelta(days=1)),
        users.set_password(office, **HERE, name="ada", password=Secret("other")),
        users.disable_user(office, **HERE, name="ada"),
        users.enable_user(office, **HERE, name="ada"),
    ):
        await change
        versions.append((await row(office))["version"])

    assert versions == sorted(set(versions))


async def test_a_new_password_replaces_the_old_one(office: Office) -> None:
    await add(office, password=Secret("secret"))
    shown = await users.set_password(office, **HERE, name="ada", password=Secret("other"), must_change=True)

    assert shown["must_change"]
    assert await verdict(office, "ada", "other") is PasswordVerdict.MUST_CHANGE
    assert await verdict(office, "ada", "secret") is PasswordVerdict.WRONG


async def test_disable_and_enable(office: Office) -> None:
    await add(office)

    assert (await users.disable_user(office, **HERE, name="ADA"))["state"] == "disabled"
    assert (await users.show_user(office, **HERE, name="ada"))["state"] == "disabled"
    assert (await users.enable_user(office, **HERE, name="ada"))["state"] == "active"


async def test_unlocking_lifts_lock_and_brakes_in_one_unit(office: Office) -> None:
    await add(office)
    await office.storage.commit([Update(TABLE, {"id": (await row(office))["id"]}, {"state": "locked"})])
    brake = {"kind": "user", "key": b"ada's", "failures": 9, "window_started_at": 0, "in_flight": 0, "in_flight_until": 0}
    brake |= {"locked_until": 9, "level": 1, "succeeded_at": 0, "stamps": "[]", "expires_at": 9}
    await office.storage.commit([Insert("brake", brake)])

    async def release(user: DirectoryUser, subject_id: SubjectId | None) -> list[Operation]:
        assert (user.name, subject_id) == ("ada", None)
        return [Delete("brake", (Where("key", "=", b"ada's"),))]

    shown = await users.unlock_user(office, **HERE, name="ada", release_brakes=release)

    assert (shown["state"], shown["was_locked"]) == ("active", True)
    assert not await office.storage.count("brake")
    assert [kind for kind, _ in await events(office)][1:] == ["directory:user:changed", "admin:brake:released"]


async def test_unlocking_does_not_enable_a_disabled_account(office: Office) -> None:
    await add(office)
    await users.disable_user(office, **HERE, name="ada")
    shown = await users.unlock_user(office, **HERE, name="ada")

    assert (shown["state"], shown["was_locked"]) == ("disabled", False)


async def test_a_disabled_account_is_not_turned_into_a_locked_one_that_a_reset_would_open(office: Office) -> None:
    await add(office)
    await users.disable_user(office, **HERE, name="ada")
    with pytest.raises(Conflict):
        await users.lock_user(office, **HERE, name="ada")
    assert (await users.show_user(office, **HERE, name="ada"))["state"] == "disabled"


async def test_a_locked_account_is_locked_for_all_and_leaves_an_event(office: Office) -> None:
    await add(office)
    version = (await row(office))["version"]
    for _ in range(2):
        assert (await users.lock_user(office, **HERE, name="ada"))["state"] == "locked"
    assert (await row(office))["version"] == version + 2
    assert next(details for kind, details in await events(office) if kind == "directory:user:changed")["state"] == "locked"


async def test_a_new_person_with_an_old_name_inherits_nothing(office: Office) -> None:
    await add(office, password=Secret("secret"), phone="+905321234567", groups=["admins"])
    await authenticators.add_totp(office, **HERE, name="ada", secret_hex="aa" * 20)
    await authenticators.add_recovery_codes(office, **HERE, name="ada")
    old = await users.show_user(office, **HERE, name="ada")
    account = {"directory": "staff", "immutable_id": old["id"]}
    contact = {"subject_id": old["subject_id"], "kind": "mail", "value_key": b"k", "sealed": b"s", "preferred": 1, "source": "own"}
    earlier = {"directory": "staff", "user_id": old["id"], "number": 1, "hash": "h"}
    await office.storage.commit(
        [
            Insert("known_name", {"realm": "acme", "name_key": "ada", "seen_at": 1, **account}),
            Insert("contact", {**contact, "created_at": 1}),
            Insert("local_password_history", earlier),
        ]
    )
    await users.remove_user(office, **HERE, name="Ada")

    things = ("authenticator", "recovery_code", "known_name", "contact", "local_password_history")
    for table in (TABLE, "subject", "subject_link", *things):
        assert not await office.storage.count(table), table
    await add(office, password=Secret("other"))
    new = await users.show_user(office, **HERE, name="ada")
    assert new["id"] != old["id"]
    assert (new["authenticators"], new["subject_id"], new["groups"], new["phone"]) == ([], None, [], None)
    assert await verdict(office, "ada", "secret") is PasswordVerdict.WRONG
    removed = next(details for kind, details in await events(office) if kind == "directory:user:removed")
    assert (removed["user"], removed["user_id"]) == ("ada", old["id"])


async def test_removing_one_of_two_links_keeps_the_person(office: Office) -> None:
    await add(office)
    await authenticators.add_totp(office, **HERE, name="ada")
    subject_id = await linked_subject(office.storage, "staff", (await row(office))["id"])
    link = {"directory": "ad", "immutable_id": "guid", "subject_id": subject_id, "created_at": 1}
    await office.storage.commit([Insert("subject_link", link)])
    await users.remove_user(office, **HERE, name="ada")

    assert await linked_subject(office.storage, "ad", "guid") == subject_id
    assert await office.storage.count("authenticator") == 1
    assert await office.storage.count("subject") == 1


async def test_a_user_is_removed_once(office: Office) -> None:
    await add(office)
    results = await asyncio.gather(*(users.remove_user(office, **HERE, name="ada") for _ in range(3)), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["NotFound", "NotFound", "dict"]
    assert [kind for kind, _ in await events(office)].count("directory:user:removed") == 1


async def test_users_are_listed_page_by_page(office: Office) -> None:
    for name in ("erin", "Bob", "ada", "dave", "Carol"):
        await add(office, name=name)
    await users.add_user(office, directory="guests", name="adam")

    pages, after = [], None
    for _ in range(3):
        page = await users.list_users(office, **HERE, limit=2, after=after)
        pages.append([user["name"] for user in page["users"]])
        after = page["next"]
    assert pages == [["ada", "Bob"], ["Carol", "dave"], ["erin"]]
    assert after is None


async def test_an_unlimited_list_is_limited(office: Office) -> None:
    await add(office)

    assert len((await users.list_users(office, **HERE, limit=10**9))["users"]) == 1
    assert len((await users.list_users(office, **HERE, limit=-5))["users"]) == 1


async def test_a_national_number_is_told_to_lack_its_country_code_and_nothing_that_does_not_help(office: Office) -> None:
    with pytest.raises(UsageError, match=r"write it with \+ and the country code$"):
        await add(office, phone="0532 123 45 67")


async def test_who_is_not_found_here_may_be_in_another_directory(office: Office) -> None:
    with pytest.raises(NotFound, match="wardgate subject show"):
        await users.show_user(office, **HERE, name="alice")
