"""New passwords of local users: which are taken, which earlier ones are remembered, when one ends; and the doctor's findings."""

import asyncio
import json
import unicodedata
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.directory.test_local import SOON, SSHA_OF_SECRET, Place, place, user
from wardgate.crypto import Secret
from wardgate.directory.local import KIND, LocalDirectory
from wardgate.directory.port import (
    AccountState,
    ContactKind,
    ContactWriting,
    Examining,
    PasswordNotAccepted,
    PasswordPolicyTelling,
    PasswordVerdict,
    RightMissing,
    Verdict,
)
from wardgate.directory.settings import LocalDirectorySettings, PasswordPolicySettings
from wardgate.errors import Conflict, DirectoryUnavailable, SettingsError, UsageError
from wardgate.storage.port import Row, Update

__all__ = ["place"]
FIRST, DAY_S = "first horse battery", 86_400


def policy(**given: Any) -> dict[str, Any]:
    return {"password_policy": PasswordPolicySettings(**given)}


def numbered(number: int) -> Secret:
    return Secret(f"{number} quiet lanterns over lakes".encode())


async def refusal(work: Any) -> PasswordNotAccepted:
    with pytest.raises(PasswordNotAccepted) as raised:
        await work
    return raised.value


async def history(place: Place) -> list[Row]:
    return await place.storage.find("local_password_history", order_by="number")


# --- rules -------------------------------------------------------------------------------------------------------------


def test_the_default_asks_for_what_a_password_alone_needs() -> None:
    """NIST SP 800-63B-4: 15 characters where it may be the only factor, a blocklist, no expiry."""
    default = PasswordPolicySettings()
    assert (default.min_length, default.max_length, default.blocklist, default.max_age_days) == (15, 0, True, 0)


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"min_length": 7}, "min_length"),
        ({"min_length": 65}, "min_length"),
        ({"max_length": 63}, "max_length"),
        ({"max_length": 1_025}, "max_length"),
        ({"history": 25}, "history"),
        ({"history": -1}, "history"),
        ({"max_age_days": 100_000}, "max_age_days"),
        ({"min_age_s": -1}, "min_age_s"),
        ({"own_words": ("",)}, "own_words"),
        ({"own_words": ("x",) * 201}, "own_words"),
    ],
)
def test_a_policy_that_no_service_should_have_is_refused(given: dict[str, Any], setting: str) -> None:
    with pytest.raises(SettingsError, match=rf"password_policy\.{setting}"):
        KIND.check(LocalDirectorySettings(name="staff", kind="local", **policy(**given)))
    KIND.check(LocalDirectorySettings(name="staff", kind="local"))


@pytest.mark.parametrize(
    ("new", "rule"),
    [
        ("short", "length"),
        ("", "length"),
        ("passwordpassword", "blocklist"),
        ("Ada-Lovelace-1974", "blocklist"),
        ("Acmewagens-2026!", "blocklist"),
    ],
)
async def test_a_bad_password_is_refused_by_change_and_reset_alike(place: Place, new: str, rule: str) -> None:
    await place.add(password=FIRST, display_name="Ada Lovelace")
    directory = place.directory(**policy(own_words=("Acmewagens",)))
    ada, bad = await user(directory), Secret(new.encode())
    for work in (directory.change_password(ada, Secret(FIRST), bad, SOON), directory.reset_password(ada, bad, False, SOON)):
        refused = await refusal(work)
        assert refused.rule == rule
        assert refused.policy == await directory.password_policy(ada, SOON)
    assert await directory.check_password(ada, Secret(FIRST), SOON) is PasswordVerdict.RIGHT
    assert not await place.events("directory:password:set")


async def test_the_rules_are_not_told_to_who_does_not_know_the_password(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory()
    assert await directory.change_password(await user(directory), Secret("wrong"), Secret("x"), SOON) is PasswordVerdict.WRONG


async def test_a_password_typed_on_another_keyboard_is_the_same(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory()
    composed, decomposed = (unicodedata.normalize(form, "üç güzel çiçekli şemsiye") for form in ("NFC", "NFD"))
    await directory.reset_password(await user(directory), Secret(decomposed), False, SOON)
    ada = await user(directory)
    for typed in (composed, decomposed):
        assert await directory.check_password(ada, Secret(typed), SOON) is PasswordVerdict.RIGHT
    for wrong in (composed.upper(), "uc guzel cicekli semsiye"):
        assert await directory.check_password(ada, Secret(wrong), SOON) is PasswordVerdict.WRONG
    assert (await refusal(directory.change_password(ada, Secret(composed), Secret(decomposed), SOON))).rule == "same"


async def test_a_hash_that_others_made_of_what_was_typed_still_lets_in(place: Place) -> None:
    decomposed = Secret(unicodedata.normalize("NFD", "üç güzel çiçekli şemsiye"))
    await place.add(hashed=await place.hasher.hash(decomposed))
    directory = place.directory()
    ada = await user(directory)
    assert await directory.check_password(ada, decomposed, SOON) is PasswordVerdict.RIGHT
    assert await directory.change_password(ada, decomposed, numbered(1), SOON) is PasswordVerdict.RIGHT


async def test_nobody_costs_as_much_in_every_form_of_a_password(place: Place) -> None:
    await place.add(password=FIRST)
    await place.add("bob", password=FIRST, mail="bob@example.test")
    directory = place.directory()
    for text in ("şemsiye", unicodedata.normalize("NFD", "şemsiye")):
        runs = [place.hasher.runs]
        await directory.check_nobody(Secret(text), SOON)
        runs.append(place.hasher.runs)
        await directory.check_password(await user(directory), Secret(text), SOON)
        runs.append(place.hasher.runs)
        assert runs[1] - runs[0] == runs[2] - runs[1]


# --- history -------------------------------------------------------------------------------------------------------------


async def test_the_present_password_and_those_before_it_are_refused(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory(**policy(history=2))
    before = Secret(FIRST)
    for number in range(1, 4):
        assert await directory.change_password(await user(directory), before, numbered(number), SOON) is PasswordVerdict.RIGHT
        before = numbered(number)
    ada = await user(directory)
    assert (await refusal(directory.change_password(ada, before, before, SOON))).rule == "same"
    for number in (2, 1):
        assert (await refusal(directory.change_password(ada, before, numbered(number), SOON))).rule == "history"
    for number in (3, 2, 1):
        assert (await refusal(directory.reset_password(ada, numbered(number), False, SOON))).rule == "history"
    # The first is the third before the present one.
    assert await directory.change_password(ada, before, Secret(FIRST), SOON) is PasswordVerdict.RIGHT


async def test_no_more_is_kept_than_counts(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory(**policy(history=3))
    for number in range(8):
        await directory.reset_password(await user(directory), numbered(number), False, SOON)
        assert len(await history(place)) == min(number + 1, 3)
    directory = place.directory(**policy(history=1))
    await directory.reset_password(await user(directory), numbered(8), False, SOON)
    assert len(await history(place)) == 1
    directory = place.directory(**policy(history=0))
    await directory.reset_password(await user(directory), numbered(7), False, SOON)
    assert await history(place) == []


async def test_a_weak_hash_is_not_kept_for_good(place: Place) -> None:
    """Nobody logs in with an earlier password any more, so it would never be replaced."""
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory()
    await directory.reset_password(await user(directory), numbered(1), False, SOON)
    assert await history(place) == []


async def test_a_weak_hash_is_kept_as_argon2id_where_its_owner_told_the_password(place: Place) -> None:
    await place.add(hashed=SSHA_OF_SECRET)
    directory = place.directory(**policy(min_length=8))
    await directory.change_password(await user(directory), Secret("secret"), numbered(1), SOON)
    [row] = await history(place)
    assert str(row["hash"]).startswith("$argon2id$")


async def test_of_two_changes_at_once_one_holds(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory()
    ada = await user(directory)
    found = await asyncio.gather(
        *(directory.change_password(ada, Secret(FIRST), numbered(number), SOON) for number in range(2)), return_exceptions=True
    )
    assert sum(each is PasswordVerdict.RIGHT for each in found) == 1
    assert sum(isinstance(each, Conflict) for each in found) + sum(each is PasswordVerdict.WRONG for each in found) == 1
    assert len(await history(place)) == 1


# --- age -----------------------------------------------------------------------------------------------------------------


async def test_a_password_ends_with_its_age_and_can_be_changed(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory(**policy(max_age_days=90), verified_cache_s=3_600)
    ends = place.clock.now() + timedelta(days=90)
    ada = await user(directory)
    assert ada.password_expires_at == ends
    place.clock.advance(90 * DAY_S - 1)
    assert await directory.check_password(ada, Secret(FIRST), SOON) is PasswordVerdict.RIGHT
    assert directory.remembers(ada, Secret(FIRST))
    place.clock.advance(1)
    assert not directory.remembers(ada, Secret(FIRST))
    assert await directory.check_password(ada, Secret(FIRST), SOON) is PasswordVerdict.EXPIRED
    assert await directory.check_password(ada, Secret("wrong"), SOON) is PasswordVerdict.WRONG
    assert await directory.change_password(ada, Secret(FIRST), numbered(1), SOON) is PasswordVerdict.RIGHT
    ada = await user(directory)
    assert ada.password_expires_at == place.clock.now() + timedelta(days=90)
    assert await directory.check_password(ada, numbered(1), SOON) is PasswordVerdict.RIGHT


async def test_where_nobody_noted_the_day_the_age_counts_from_the_account(place: Place) -> None:
    await place.add(password=FIRST)
    await place.change("ada", password_changed_at=None)
    directory = place.directory(**policy(max_age_days=1))
    place.clock.advance(DAY_S)
    assert await directory.check_password(await user(directory), Secret(FIRST), SOON) is PasswordVerdict.EXPIRED


async def test_without_an_age_nothing_ends(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory()
    place.clock.advance(10_000 * DAY_S)
    ada = await user(directory)
    assert ada.password_expires_at is None
    assert await directory.check_password(ada, Secret(FIRST), SOON) is PasswordVerdict.RIGHT


async def test_running_through_the_history_in_a_minute_is_stopped_by_the_least_age(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory(**policy(min_age_s=3_600))
    place.clock.advance(3_600)
    assert await directory.change_password(await user(directory), Secret(FIRST), numbered(1), SOON) is PasswordVerdict.RIGHT
    assert (await refusal(directory.change_password(await user(directory), numbered(1), numbered(2), SOON))).rule == "min_age"
    # A reset is free of it, and so is whoever has to choose his own after one.
    await directory.reset_password(await user(directory), numbered(3), True, SOON)
    assert await directory.change_password(await user(directory), numbered(3), numbered(4), SOON) is PasswordVerdict.RIGHT


# --- states ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [AccountState.DISABLED, AccountState.LOCKED])
async def test_the_age_of_a_password_does_not_let_a_barred_account_change_it(place: Place, state: AccountState) -> None:
    await place.add(password=FIRST)
    await place.change("ada", state=state.value)
    directory = place.directory(**policy(max_age_days=1))
    place.clock.advance(2 * DAY_S)
    ada = await user(directory)
    assert (await directory.check_password(ada, Secret(FIRST), SOON)).password_was_right
    assert await directory.change_password(ada, Secret(FIRST), numbered(1), SOON) is PasswordVerdict.REFUSED


async def test_a_reset_writes_with_the_lock_in_one_unit_and_tells_of_it(place: Place) -> None:
    await place.add(password=FIRST)
    await place.change("ada", state="locked")
    directory = place.directory()
    await directory.reset_password(await user(directory), numbered(1), True, SOON)
    ada = await user(directory)
    assert (ada.state, ada.must_change) == (AccountState.ACTIVE, True)
    [changed] = await place.events("directory:user:changed")
    assert json.loads(str(changed["payload"]))["state"] == "active"


async def test_a_reset_against_a_change_that_came_between_is_a_conflict(place: Place) -> None:
    await place.add(password=FIRST)
    directory = place.directory()
    ada = await user(directory)
    place.storage.before_commit = [Update("local_user", {"id": ada.immutable_id}, {"state": "disabled"}, add={"version": 1})]
    with pytest.raises(Conflict):
        await directory.reset_password(ada, numbered(1), False, SOON)
    assert await history(place) == []


# --- contacts --------------------------------------------------------------------------------------------------------------


def writing(place: Place, *kinds: str) -> LocalDirectory:
    settings = LocalDirectorySettings(name="staff", kind="local", write_contacts=kinds)  # type: ignore[arg-type]
    return LocalDirectory(settings, place.storage, place.hasher, place.clock, "TR")


async def test_a_contact_is_written_where_the_settings_allow_it(place: Place) -> None:
    await place.add(password=FIRST, mail="old@example.test")
    directory = writing(place, "phone", "mail")
    ada = await user(directory)
    await directory.write_contact(ada, ContactKind.PHONE, "0532 123 45 67", SOON)
    await directory.write_contact(ada, ContactKind.MAIL, "Ada@Example.Test", SOON)
    ada = await user(directory, "ada@example.test")
    assert (ada.phone, ada.mail) == ("+905321234567", "Ada@Example.Test")
    assert await directory.find("old@example.test", SOON) is None
    await directory.write_contact(ada, ContactKind.PHONE, None, SOON)
    await directory.write_contact(ada, ContactKind.MAIL, None, SOON)
    ada = await user(directory)
    assert (ada.phone, ada.mail) == (None, None)
    events = [str(event["payload"]) for event in await place.events("directory:user:changed")]
    assert len(events) == 4
    assert not any("532" in event or "xample.test" in event for event in events)


async def test_a_contact_is_not_written_against_the_settings(place: Place) -> None:
    await place.add(password=FIRST)
    directory = writing(place, "mail")
    assert (directory.writes(ContactKind.MAIL), directory.writes(ContactKind.PHONE)) == (True, False)
    with pytest.raises(RightMissing, match="write_contacts"):
        await directory.write_contact(await user(directory), ContactKind.PHONE, "+905321234567", SOON)
    assert (await user(directory)).phone is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [("phone", "12"), ("phone", "x" * 500), ("mail", "nobody"), ("mail", "a\x00@b"), ("mail", "@"), ("mail", "a@" + "b" * 300)],
)
async def test_a_malformed_contact_is_not_written(place: Place, kind: str, value: str) -> None:
    await place.add(password=FIRST)
    directory = writing(place, "phone", "mail")
    with pytest.raises(UsageError):
        await directory.write_contact(await user(directory), ContactKind(kind), value, SOON)


async def test_a_contact_of_a_removed_account_is_a_conflict(place: Place) -> None:
    await place.add(password=FIRST)
    directory = writing(place, "phone")
    ada = await user(directory)
    await place.storage.commit([Update("local_user", {"id": ada.immutable_id}, {"directory": "other"})])
    with pytest.raises(Conflict):
        await directory.write_contact(ada, ContactKind.PHONE, None, SOON)


# --- the doctor ------------------------------------------------------------------------------------------------------------


async def test_the_doctor_counts_what_matters(place: Place) -> None:
    await place.add("ada", password=FIRST)
    await place.add("bob", hashed=SSHA_OF_SECRET)
    await place.add("carol")
    await place.add("dave", password=FIRST, must_change=True)
    await place.change("dave", state="locked")
    place.clock.advance(2 * DAY_S)
    directory = place.directory(**policy(max_age_days=1))
    found = {finding.what: finding async for finding in directory.examine(None, None)}
    assert found["users"].found == "4 in all: 3 active, 1 locked"
    assert found["locked accounts"].found == "1"
    assert found["accounts without a password"].found == "1"
    assert (found["password hashes"].found, found["password hashes"].verdict) == ("argon2id: 2, ssha: 1", Verdict.WARNING)
    assert found["passwords past their age"].found == "3"
    assert found["passwords that must be changed"].found == "1"
    assert found["password policy"].verdict is Verdict.GOOD
    assert not any("SSHA}" in finding.found or "argon2id$" in finding.found for finding in found.values())


async def test_the_doctor_tells_of_an_empty_directory_and_of_one_without_a_blocklist(place: Place) -> None:
    await place.add("ada", password=FIRST)
    directory = place.directory("guests", **policy(blocklist=False))
    found = {finding.what: finding.verdict async for finding in directory.examine(None, None)}
    assert found == {
        "users": Verdict.WARNING,
        "password hashes": Verdict.GOOD,
        "passwords that must be changed": Verdict.GOOD,
        "password policy": Verdict.WARNING,
    }


async def test_the_local_directory_has_the_abilities(place: Place) -> None:
    for protocol in (PasswordPolicyTelling, ContactWriting, Examining):
        assert isinstance(place.directory(), protocol)


async def test_a_storage_that_fails_is_a_directory_that_is_down(place: Place) -> None:
    await place.add(password=FIRST)
    directory = writing(place, "phone")
    ada = await user(directory)
    place.storage.unavailable = True
    for work in (
        directory.change_password(ada, Secret(FIRST), numbered(1), SOON),
        directory.reset_password(ada, numbered(1), False, SOON),
        directory.write_contact(ada, ContactKind.PHONE, None, SOON),
    ):
        with pytest.raises(DirectoryUnavailable):
            await work
