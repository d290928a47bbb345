"""Joining accounts to people: what goes along, what ends, what is refused, and what stands on record."""

import json
from typing import Any

import pytest

from wardgate.account.device import make
from wardgate.account.subject import SubjectId, linked_subject
from wardgate.admin import authenticators, contacts, subjects, users
from wardgate.admin.office import Office
from wardgate.audit.events import Kind
from wardgate.config.document import parse
from wardgate.config.store import save
from wardgate.crypto import Secret
from wardgate.engine import bind_brake, brakes
from wardgate.engine.settings import BrakeSettings
from wardgate.errors import AlreadyExists, Conflict, NotFound, UsageError
from wardgate.storage.port import Insert, Upsert

DOCUMENT = """
realms:
  - {name: acme, default: true, directories: [old, new]}
directories:
  - {name: old, kind: local}
  - {name: new, kind: local}
"""
OLD = {"name": "ada", "directory": "old"}
NEW = {"name": "ada", "directory": "new"}
TO_OLD = {"to_name": "ada", "to_directory": "old"}
SECRET = "00112233445566778899aabbccddeeff00112233"


@pytest.fixture
async def desk(office: Office) -> Office:
    await save(office.storage, parse(DOCUMENT), "test", "", 0, office.clock, office.ring)
    for directory in ("old", "new"):
        await users.add_user(office, directory=directory, name="ada", password=Secret("a lantern over the lake"))
    return office


async def subject_of(office: Office, directory: str, name: str = "ada") -> str | None:
    user = await users.show_user(office, directory=directory, name=name)
    return await linked_subject(office.storage, directory, user["id"])


async def id_of(office: Office, directory: str, name: str = "ada") -> str:
    return str((await users.show_user(office, directory=directory, name=name))["id"])


async def payloads(office: Office, kind: Kind) -> list[dict[str, Any]]:
    rows = await office.storage.find("audit_event", order_by="seq")
    return [json.loads(str(row["payload"])) for row in rows if row["kind"] == kind.stored]


async def kinds(office: Office, directory: str) -> list[tuple[str, str]]:
    listed = await authenticators.list_authenticators(office, directory=directory, name="ada")
    return [(each["kind"], each["state"]) for each in listed["authenticators"]]


async def test_an_account_that_nobody_has_met_becomes_a_known_persons(desk: Office) -> None:
    await authenticators.add_totp(desk, **OLD)
    person = await subject_of(desk, "old")
    done = await subjects.relink(desk, **NEW, **TO_OLD)
    assert (done["from_subject"], done["to_subject"], done["done"]) == (None, person, True)
    assert await subject_of(desk, "new") == person
    assert await kinds(desk, "new") == [("totp", "active")]
    [event] = await payloads(desk, Kind.SUBJECT_RELINKED)
    assert (event["directory"], event["to_subject"], event["actor"]) == ("new", person, "operator:olga")


async def test_what_the_accounts_own_subject_had_goes_along(desk: Office) -> None:
    await authenticators.add_totp(desk, **NEW, secret_hex=SECRET)
    await authenticators.add_recovery_codes(desk, **NEW)
    await contacts.add_contact(desk, **NEW, value="+905321234567", verified=True)
    await contacts.prefer_contact(desk, **NEW, value="+905321234567")
    alone = await subject_of(desk, "new")
    done = await subjects.relink(desk, **NEW, **TO_OLD)
    assert {each["kind"] for each in done["moved"]} == {"totp", "recovery_code"}
    assert sorted(await kinds(desk, "old")) == [("recovery_code", "active"), ("totp", "active")]
    assert (await contacts.list_contacts(desk, **OLD))["codes_go_to"]["phone"] == "+905321234567"
    assert await desk.storage.get("subject", {"id": alone}) is None
    assert await desk.storage.count("recovery_code") == 10


async def test_a_secret_that_moved_along_cannot_be_enrolled_afresh(desk: Office) -> None:
    """It would begin at its first counter again, and its used codes would be good once more."""
    await authenticators.add_totp(desk, **NEW, secret_hex=SECRET)
    await subjects.relink(desk, **NEW, **TO_OLD)
    with pytest.raises(AlreadyExists, match="already has an authenticator with this secret"):
        await authenticators.add_totp(desk, **OLD, secret_hex=SECRET)


@pytest.mark.parametrize(("keep", "ended"), [("account", "old"), ("person", "new")])
async def test_where_both_have_authenticators_somebody_has_to_say_whose_stay(desk: Office, keep: str, ended: str) -> None:
    ids = {where: (await authenticators.add_totp(desk, directory=where, name="ada"))["id"] for where in ("old", "new")}
    before = await desk.storage.find("authenticator", order_by="id")
    with pytest.raises(Conflict, match="both have authenticators"):
        await subjects.relink(desk, **NEW, **TO_OLD)
    assert await desk.storage.find("authenticator", order_by="id") == before
    done = await subjects.relink(desk, **NEW, **TO_OLD, keep=keep)
    assert [each["id"] for each in done["revoked"]] == [ids[ended]]
    listed = await authenticators.list_authenticators(desk, directory="new", name="ada")
    assert {each["id"]: each["state"] for each in listed["authenticators"]} == {
        ids["old"]: "revoked" if ended == "old" else "active",
        ids["new"]: "revoked" if ended == "new" else "active",
    }
    [row] = [row for row in await desk.storage.find("authenticator") if row["id"] == ids[ended]]
    assert row["sealed"] is None
    assert [each["authenticator_id"] for each in await payloads(desk, Kind.AUTHENTICATOR_REVOKED)] == [ids[ended]]


async def test_contacts_are_no_less_a_way_in(desk: Office) -> None:
    await contacts.add_contact(desk, **OLD, value="+905321111111", verified=True)
    await contacts.add_contact(desk, **NEW, value="+905322222222", verified=True)
    with pytest.raises(Conflict, match="both have contacts"):
        await subjects.relink(desk, **NEW, **TO_OLD)
    await subjects.relink(desk, **NEW, **TO_OLD, keep="person")
    assert [each["value"] for each in (await contacts.list_contacts(desk, **NEW))["contacts"]] == ["+905321111111"]


async def test_others_who_share_the_subject_keep_what_is_theirs(desk: Office) -> None:
    await users.add_user(desk, directory="old", name="eve")
    await authenticators.add_totp(desk, directory="old", name="eve")
    await subjects.relink(desk, **OLD, to_name="eve", to_directory="old")
    await authenticators.add_totp(desk, **NEW)
    done = await subjects.relink(desk, **OLD, to_name="ada", to_directory="new")
    assert (done["moved"], done["revoked"]) == ([], [])
    eves = await authenticators.list_authenticators(desk, directory="old", name="eve")
    assert len(eves["authenticators"]) == 1


async def test_looking_first_changes_nothing_and_what_was_seen_must_still_hold(desk: Office) -> None:
    await authenticators.add_totp(desk, **NEW)
    events = await desk.storage.count("audit_event")
    plan = await subjects.relink(desk, **NEW, **TO_OLD, dry_run=True)
    assert (plan["done"], plan["to_subject"]) == (False, None)
    assert await desk.storage.count("audit_event") == events
    expected = {key: value for key, value in plan.items() if key not in ("undecided", "done")}
    await authenticators.add_hotp(desk, **NEW)
    with pytest.raises(Conflict, match="changed since"):
        await subjects.relink(desk, **NEW, **TO_OLD, expected=expected)


async def test_after_a_migration_the_old_account_goes(desk: Office) -> None:
    await authenticators.add_totp(desk, **OLD)
    person, gone = await subject_of(desk, "old"), await id_of(desk, "old")
    row = {"realm": "acme", "name_key": "ada", "directory": "old", "immutable_id": gone, "seen_at": 1}
    await desk.storage.commit([Upsert("known_name", row)])
    done = await subjects.relink(desk, **NEW, to_subject=person, unlink="old")
    assert done["unlinked"] == [{"directory": "old", "immutable_id": gone}]
    shown = await subjects.show_subject(desk, subject_id=person)
    assert [each["directory"] for each in shown["links"]] == ["new"]
    assert await desk.storage.count("known_name") == 0


async def test_an_account_that_its_directory_does_not_know_any_more_is_given_by_its_id(desk: Office) -> None:
    await authenticators.add_totp(desk, **OLD)
    await subjects.relink(desk, **NEW, **TO_OLD)
    await users.add_user(desk, directory="old", name="eve")
    done = await subjects.relink(desk, directory="old", immutable_id=await id_of(desk, "old"), to_name="eve", to_directory="old")
    assert await subject_of(desk, "old", "eve") == done["to_subject"] == await subject_of(desk, "old")
    assert await kinds(desk, "new") == [("totp", "active")]


async def test_open_logins_of_the_moved_account_end(desk: Office) -> None:
    await authenticators.add_totp(desk, **NEW)
    for number, whose in enumerate((await subject_of(desk, "new"), "somebody else")):
        login = {
            "id": f"t{number}", "reference": "R", "state": "challenged", "goal": "login", "application": "vpn", "subject_id": whose,
            "fold_key": None, "sequence": 1, "body": "{}", "created_at": 1, "expires_at": 2,
        }  # fmt: skip
        await desk.storage.commit([Insert("login_transaction", login)])
    done = await subjects.relink(desk, **NEW, **TO_OLD)
    assert done["logins_ended"] == 1
    assert [row["subject_id"] for row in await desk.storage.find("login_transaction")] == ["somebody else"]


@pytest.mark.parametrize("ended", ["new", "old", "removed"])
async def test_session_of_an_account_that_went_is_not_taken_for_one_of_an_account_that_stays(desk: Office, ended: str) -> None:
    """A session is found by person and directory: what was begun by the account before the relink ends with it."""
    for each in (OLD, NEW):
        await authenticators.add_totp(desk, **each)
    whose = await subject_of(desk, "new" if ended == "new" else "old")
    row = {"session_mac": b"x", "id": "s", "subject_id": whose, "body": "{}", "created_at": 1, "seen_at": 1, "expires_at": 2}
    await desk.storage.commit([Insert("sso_session", {**row, "idle_ms": 1, "confirmed_at": 0})])
    if ended == "removed":
        await users.remove_user(desk, **OLD)
    else:
        await subjects.relink(desk, **NEW, **TO_OLD, keep="person", unlink="old" if ended == "old" else None)
    assert await desk.storage.count("sso_session") == 0


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({**NEW, "to_name": "ada", "to_directory": "new"}, UsageError),
        ({**NEW}, UsageError),
        ({**NEW, **TO_OLD, "to_subject": "x"}, UsageError),
        ({**NEW, "to_subject": "nobody"}, NotFound),
        ({**NEW, "to_name": "nobody"}, NotFound),
        ({"name": "nobody", **TO_OLD}, NotFound),
        ({**TO_OLD}, UsageError),
        ({"immutable_id": "x", **TO_OLD}, UsageError),
        ({"immutable_id": "x", "directory": "old", **TO_OLD}, NotFound),
        ({**NEW, **TO_OLD, "keep": "both"}, UsageError),
        ({**NEW, **TO_OLD, "unlink": "elsewhere"}, NotFound),
    ],
)
async def test_what_cannot_be_meant_is_refused(desk: Office, given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await subjects.relink(desk, **given)
    assert await payloads(desk, Kind.SUBJECT_RELINKED) == []


async def test_doing_it_again_does_nothing(desk: Office) -> None:
    await subjects.relink(desk, **NEW, **TO_OLD)
    again = await subjects.relink(desk, **NEW, **TO_OLD)
    assert (again["moves"], len(await payloads(desk, Kind.SUBJECT_RELINKED))) == (False, 1)


async def test_a_person_is_shown_with_all_accounts(desk: Office) -> None:
    assert (await subjects.show_subject(desk, name="ada"))["subject_id"] is None
    await authenticators.add_totp(desk, **OLD)
    await subjects.relink(desk, **NEW, **TO_OLD)
    shown = await subjects.show_subject(desk, name="ada", directory="new")
    assert {each["directory"] for each in shown["links"]} == {"old", "new"}
    assert [each["kind"] for each in shown["authenticators"]] == ["totp"]
    with pytest.raises(UsageError):
        await subjects.show_subject(desk)


async def trust(desk: Office, directory: str, *labels: str) -> SubjectId:
    """Trust browsers of somebody who has been met."""
    subject = await subject_of(desk, directory)
    assert subject is not None
    for label in labels:
        await desk.storage.commit(make(desk.ring, SubjectId(subject), label, desk.now_ms(), 86_400)[1])
    return SubjectId(subject)


async def test_trusted_devices_are_shown_and_ended(desk: Office) -> None:
    await authenticators.add_totp(desk, **OLD)
    await trust(desk, "old", "Firefox", "Safari")
    shown = (await subjects.show_subject(desk, **OLD))["devices"]
    assert {(each["label"], each["state"]) for each in shown} == {("Firefox", "active"), ("Safari", "active")}
    one = next(each["id"] for each in shown if each["label"] == "Safari")
    assert (await subjects.forget_devices(desk, **OLD, device=one))["devices"] == [one]
    with pytest.raises(NotFound):
        await subjects.forget_devices(desk, **OLD, device=one)
    assert len((await subjects.forget_devices(desk, **OLD))["devices"]) == 1
    assert (await subjects.forget_devices(desk, **OLD))["devices"] == []
    assert [each["why"] for each in await payloads(desk, Kind.DEVICE_FORGOTTEN)] == ["operator", "operator"]
    assert (await subjects.show_subject(desk, **OLD))["devices"] == []


async def test_a_device_of_before_a_relink_is_trusted_no_more(desk: Office) -> None:
    await authenticators.add_totp(desk, **OLD)
    await authenticators.add_totp(desk, **NEW)
    await trust(desk, "old", "Firefox")
    await trust(desk, "new", "Safari")
    await subjects.relink(desk, **NEW, **TO_OLD, keep="person")
    assert await desk.storage.count("trusted_device") == 0


@pytest.mark.parametrize("ends", ["reset", "disable", "remove"])
async def test_a_device_is_trusted_no_more_after_a_reset_and_once_the_account_is_closed(desk: Office, ends: str) -> None:
    await authenticators.add_totp(desk, **OLD)
    await trust(desk, "old", "Firefox")
    if ends == "reset":
        await users.set_password(desk, **OLD, password=Secret("another lantern"))
    elif ends == "disable":
        await users.disable_user(desk, **OLD)
    else:
        await users.remove_user(desk, **OLD)
    assert await desk.storage.count("trusted_device") == 0


async def test_every_wait_of_a_person_is_lifted_whichever_account_it_was(desk: Office) -> None:
    await authenticators.add_totp(desk, **OLD)
    await subjects.relink(desk, **NEW, **TO_OLD)
    who = [f"new:{await id_of(desk, 'new')}", str(await subject_of(desk, "new"))]
    for each in who:
        keys = brakes.brake_keys(desk.ring, each, "203.0.113.7", "radius:hq:")
        await desk.storage.commit(brakes.settle_wrong(keys, BrakeSettings(), desk.now_ms(), reserved=False)[:2])
        row = (await desk.storage.find("brake"))[0]
        await desk.storage.commit([Insert("brake", {**row, "kind": bind_brake.KIND, "key": each.encode(), "owner": keys.user})])
    assert (await subjects.unlock_subject(desk, **OLD))["released"] is True
    assert await desk.storage.count("brake") == 0
    assert len(await payloads(desk, Kind.BRAKE_RELEASED)) == 1
