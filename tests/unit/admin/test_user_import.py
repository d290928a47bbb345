"""Importing users: what a file does to what is there."""

import asyncio
import io
import json
import unicodedata
from typing import Any

import pytest

from wardgate.account.authenticator import from_row
from wardgate.account.device import make
from wardgate.account.subject import linked_subject
from wardgate.admin import authenticators, user_import, users
from wardgate.admin.import_file import BadRow, row_of
from wardgate.admin.office import Office
from wardgate.admin.user_export import export_page
from wardgate.crypto import Secret
from wardgate.directory.local import TABLE, LocalDirectory, row_by_name, stored_password
from wardgate.directory.port import PasswordVerdict
from wardgate.directory.settings import LocalDirectorySettings
from wardgate.errors import Overloaded, UsageError
from wardgate.storage.port import Row, Update, Where

SSHA = "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3"
SECRET_HEX = "3132333435363738393031323334353637383930"
HEADER = "username,password,password_hash,mail,phone,groups,totp_secret_hex\n"
ADA = {"directory": "staff", "name": "ada"}


async def load(office: Office, text: str, **options: Any) -> dict[str, Any]:
    return await user_import.import_users(office, io.BytesIO(text.encode()), directory="staff", **options)


async def row(office: Office, name: str = "ada") -> Row:
    found = await row_by_name(office.storage, "staff", name)
    assert found is not None
    return found


async def verdict(office: Office, name: str, password: str) -> PasswordVerdict:
    directory = LocalDirectory(LocalDirectorySettings(name="staff", kind="local"), office.storage, office.hasher, office.clock)
    user = await directory.find(name, 5)
    assert user is not None
    return await directory.check_password(user, Secret(password), 5)


async def totps(office: Office) -> list[Row]:
    return await office.storage.find("authenticator", order_by="created_at")


def counts(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["added"], result["changed"], result["unchanged"], result["refused"]


async def test_a_file_brings_users_who_can_log_in(office: Office) -> None:
    result = await load(
        office,
        HEADER
        + f"Ada,,{SSHA},ada@example.test,+905321234567,vpn;staff,{SECRET_HEX}\n"
        + "bob,bob's password,,,,,\n"
        + "carol,,,,,,\n",
    )

    assert counts(result) == (3, 0, 0, 0)
    assert await verdict(office, "ada", "secret") is PasswordVerdict.RIGHT
    assert await verdict(office, "bob", "bob's password") is PasswordVerdict.RIGHT
    assert await verdict(office, "carol", "") is PasswordVerdict.WRONG
    shown = await users.show_user(office, **ADA)
    assert (shown["mail"], shown["phone"], shown["groups"]) == ("ada@example.test", "+905321234567", ["vpn", "staff"])
    assert [(item["kind"], item["digits"], item["period_s"], item["algorithm"]) for item in shown["authenticators"]] == [
        ("totp", 6, 30, "SHA1")
    ]
    (made,) = await totps(office)
    assert from_row(made).open(office.ring).reveal().hex() == SECRET_HEX


async def test_bad_rows_do_not_stop_the_others_and_are_told(office: Office) -> None:
    result = await load(office, HEADER + f"ada,,{SSHA},,,,\nbob,,{{WEAK}}hush,,,,\n,,,,,,\ncarol,,,not a mail,,,\ndave,,,,,,\n")

    assert counts(result) == (2, 0, 0, 3)
    assert [problem["line"] for problem in result["problems"]] == [3, 4, 5]
    assert "hush" not in json.dumps(result)
    assert await office.storage.count(TABLE) == 2


async def test_importing_the_same_file_again_changes_nothing(office: Office) -> None:
    text = HEADER + f"ada,,{SSHA},ada@example.test,+905321234567,vpn,{SECRET_HEX}\nbob,,,,,,\n"
    await load(office, text)
    before = (await row(office))["version"]

    assert counts(await load(office, text)) == (0, 0, 2, 0)
    assert (await row(office))["version"] == before
    assert len(await totps(office)) == 1


async def test_a_used_code_is_not_good_again_after_a_second_import(office: Office) -> None:
    text = HEADER + f"ada,,,,,,{SECRET_HEX}\n"
    await load(office, text)
    (made,) = await totps(office)
    await office.storage.commit([Update("authenticator", {"id": made["id"]}, {"counter": 58_000_000})])
    await load(office, text)
    await authenticators.revoke_authenticator(office, **ADA, authenticator_id=str(made["id"]))
    await load(office, text)

    active = [each for each in await totps(office) if each["state"] == "active"]
    assert [each["counter"] for each in active] == [58_000_000]


async def test_a_new_secret_ends_the_imported_one_and_not_the_users_own(office: Office) -> None:
    await load(office, HEADER + f"ada,,,,,,{SECRET_HEX}\n")
    own = await authenticators.add_totp(office, **ADA, label="my phone")
    await load(office, HEADER + f"ada,,,,,,{'ab' * 20}\n")

    states = {(each["label"], each["state"]) for each in await totps(office)}
    assert states == {("import", "revoked"), ("my phone", "active"), ("import", "active")}
    assert own["id"] in {each["id"] for each in await totps(office) if each["state"] == "active"}
    assert await office.storage.count("subject") == 1


async def test_existing_users_are_brought_to_what_the_file_says(office: Office) -> None:
    await users.add_user(
        office, **ADA, password=Secret("kept"), mail="old@example.test", phone="+905321234567", display_name="Ada", groups=["old"]
    )
    result = await load(office, "username,password,mail,phone,groups\nADA,,new@example.test,,new\n")

    assert counts(result) == (0, 1, 0, 0)
    shown = await users.show_user(office, **ADA)
    assert (shown["mail"], shown["phone"], shown["groups"], shown["display_name"]) == ("new@example.test", None, ["new"], "Ada")
    assert await verdict(office, "ada", "kept") is PasswordVerdict.RIGHT


async def test_a_password_in_the_file_replaces_the_old_one_and_raises_the_version(office: Office) -> None:
    await users.add_user(office, **ADA, password=Secret("old"))
    before = (await row(office))["version"]
    await load(office, "username,password\nada,new\n")

    assert await verdict(office, "ada", "new") is PasswordVerdict.RIGHT
    assert await verdict(office, "ada", "old") is PasswordVerdict.WRONG
    assert int((await row(office))["version"] or 0) > int(before or 0)


async def test_an_import_does_not_enable_or_unlock_anybody(office: Office) -> None:
    await users.add_user(office, **ADA)
    await users.disable_user(office, **ADA)
    await load(office, HEADER + f"ada,,{SSHA},,,,\n")

    assert (await row(office))["state"] == "disabled"


async def test_the_same_name_twice_in_a_file_is_one_user_as_the_later_row_says(office: Office) -> None:
    result = await load(office, "username,mail\nada,first@example.test\nAda,second@example.test\n")

    assert counts(result) == (1, 1, 0, 0)
    assert (await row(office))["mail"] == "second@example.test"


async def test_kept_hashes_are_marked_and_reported(office: Office) -> None:
    await load(office, HEADER + f"ada,,{SSHA},,,,\n", keep_hashes=True)
    await load(office, HEADER + f"bob,,{SSHA},,,,\ncarol,secret,,,,,\ndave,,,,,,\n")

    assert await verdict(office, "ada", "secret") is PasswordVerdict.RIGHT
    assert stored_password(await row(office)) is not None
    assert await user_import.check_foreign_hashes(office.storage) == {"ssha": 2, "argon2id": 1}
    await verdict(office, "bob", "secret")
    assert await user_import.check_foreign_hashes(office.storage) == {"ssha": 1, "argon2id": 2}


async def test_all_pages_of_users_are_checked_for_foreign_hashes(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_import, "_SCAN_PAGE", 2)
    await load(office, HEADER + "".join(f"user{number},,{SSHA},,,,\n" for number in range(5)))

    assert await user_import.check_foreign_hashes(office.storage) == {"ssha": 5}


async def test_each_unit_leaves_one_event_and_the_progress_moves(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_import, "ROWS_PER_UNIT", 10)
    progress: list[tuple[int, int | None]] = []
    text = HEADER + "".join(f"user{number},,{SSHA},,,,{SECRET_HEX}\n" for number in range(25)) + "x,,{BAD},,,,\n"
    await load(office, text, on_progress=lambda done, total: progress.append((done, total)))

    payloads = [json.loads(str(event["payload"])) for event in await office.storage.find("audit_event", order_by="seq")]
    assert [(event["added"], event["refused"], event["authenticators_added"]) for event in payloads] == [
        (10, 0, 10),
        (10, 0, 10),
        (5, 1, 5),
    ]
    assert progress == [(10, 26), (20, 26), (26, 26)]
    assert all(event["actor"] == "operator:olga" for event in payloads)


async def test_a_file_of_bad_rows_only_is_recorded(office: Office) -> None:
    result = await load(office, "username\n=1\n")

    assert counts(result) == (0, 0, 0, 1)
    (event,) = await office.storage.find("audit_event")
    assert json.loads(str(event["payload"]))["refused"] == 1


async def test_not_more_problems_are_listed_than_anybody_reads(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_import, "MAX_REPORTED", 3)
    result = await load(office, "username\n" + "=1\n" * 10)

    assert result["refused"] == 10
    assert len(result["problems"]) == 3


async def test_a_user_added_by_somebody_else_meanwhile_is_updated_instead(office: Office) -> None:
    text = HEADER + "".join(f"user{number},,{SSHA},u{number}@example.test,,,{SECRET_HEX}\n" for number in range(40))
    results = await asyncio.gather(load(office, text), load(office, text))

    assert await office.storage.count(TABLE) == 40
    assert await office.storage.count("authenticator", [Where("state", "=", "active")]) == 40
    assert sum(result["added"] for result in results) == 40
    assert [result["refused"] for result in results] == [0, 0]


async def test_one_secret_imported_twice_at_once_is_one_authenticator(office: Office) -> None:
    text = HEADER + f"ada,,,,,,{SECRET_HEX}\n"
    await users.add_user(office, **ADA)
    await authenticators.add_totp(office, **ADA, label="my phone")
    await asyncio.gather(*(load(office, text) for _ in range(3)))

    assert sorted(str(each["label"]) for each in await totps(office) if each["state"] == "active") == ["import", "my phone"]


async def test_a_user_with_too_many_authenticators_is_refused_and_the_others_are_not(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_import, "MAX_AUTHENTICATORS", 1)
    await users.add_user(office, **ADA)
    await authenticators.add_totp(office, **ADA, label="my phone")
    result = await load(office, HEADER + f"ada,,{SSHA},,,,{SECRET_HEX}\nbob,,,,,,{SECRET_HEX}\n")

    assert counts(result) == (1, 0, 0, 1)
    assert result["problems"][0]["line"] == 2
    assert (await row(office))["password_hash"] is None


async def test_logins_that_fill_the_queue_delay_an_import_but_do_not_break_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([True, True, False])
    hash_now = office.hasher.hash

    async def busy_at_first(password: Secret) -> str:
        if next(refusals, False):
            raise Overloaded("too many passwords wait to be checked")
        return await hash_now(password)

    monkeypatch.setattr(office.hasher, "hash", busy_at_first)
    monkeypatch.setattr(user_import, "_HASH_WAIT_S", 0)

    assert counts(await load(office, "username,password\nada,secret\n")) == (1, 0, 0, 0)


async def test_a_file_without_user_names_is_refused_before_anything_is_written(office: Office) -> None:
    with pytest.raises(UsageError, match="username"):
        await load(office, "name,password\nada,secret\n")
    assert not await office.storage.count(TABLE)
    assert not await office.storage.count("audit_event")


# --- state, dates, previews, and other formats -----------------------------------------------------------------------------


async def test_state_must_change_and_end_are_taken_and_cleared(office: Office) -> None:
    header = "username,password,state,must_change,expires_at\n"
    await load(office, header + "ada,a lantern over the lake,disabled,yes,2026-12-31T23:59:59Z\n")
    found = await row(office)
    assert (found["state"], found["must_change"], found["expires_at"]) == ("disabled", 1, 1798761599000)
    await load(office, header + "ada,,,,\n")
    found = await row(office)
    assert (found["state"], found["must_change"], found["expires_at"]) == ("active", 0, None)


async def test_a_new_password_need_not_be_changed_unless_the_file_says_so(office: Office) -> None:
    await load(office, "username,password,must_change\nada,first,true\n")
    await load(office, "username,password\nada,second\n")
    assert (await row(office))["must_change"] == 0


async def test_a_preview_tells_what_would_come_and_writes_nothing(office: Office) -> None:
    await load(office, "username,mail\nada,ada@example.test\nbob,bob@example.test\n")
    before = [await office.storage.find(table) for table in (TABLE, "audit_event", "subject", "authenticator")]
    runs = office.hasher.runs
    text = (
        f"username,mail,password,totp_secret_hex\nada,new@example.test,,\nbob,bob@example.test,,\neve,,secret,{SECRET_HEX}\n,,,\n"
    )
    result = await load(office, text, dry_run=True)
    assert counts(result) == (1, 1, 1, 1)
    assert result["problems"][0]["line"] == 5
    assert [await office.storage.find(table) for table in (TABLE, "audit_event", "subject", "authenticator")] == before
    assert office.hasher.runs == runs
    assert counts(await load(office, text)) == counts(result)


async def test_rows_of_another_format_are_one_import_with_their_lines(office: Office) -> None:
    rows = [
        row_of(3, {"username": "ada", "groups": ["a;b", "İdari"]}, False),
        BadRow(9, "no uid"),
        row_of(12, {"mail": "x"}, False),
    ]
    result = await user_import.import_rows(office, rows, directory="staff")
    assert counts(result) == (1, 0, 0, 2)
    assert [problem["line"] for problem in result["problems"]] == [9, 12]
    assert json.loads(str((await row(office))["groups"])) == ["a;b", "İdari"]
    event = (await office.storage.find("audit_event"))[0]
    assert json.loads(str(event["payload"]))["refused"] == 2


async def test_a_password_in_clear_is_taken_in_one_form_from_every_keyboard(office: Office) -> None:
    composed, decomposed = (unicodedata.normalize(form, "üç güzel şemsiye") for form in ("NFC", "NFD"))
    await load(office, f"username,password\nada,{decomposed}\n")
    assert await verdict(office, "ada", composed) is PasswordVerdict.RIGHT
    assert await verdict(office, "ada", decomposed) is PasswordVerdict.RIGHT


# --- out again ---------------------------------------------------------------------------------------------------------------


async def exported(office: Office, with_hashes: bool = False, limit: int = 2) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    after = None
    while True:
        page = await export_page(office, directory="staff", with_hashes=with_hashes, after=after, limit=limit)
        told += page["users"]
        after = page["next"]
        if after is None:
            return told


async def test_an_export_tells_all_users_by_name_and_no_secret(office: Office) -> None:
    await load(
        office, HEADER + f"Ada,,{SSHA},ada@example.test,+905321234567,vpn;staff,{SECRET_HEX}\nbob,secret,,,,,\nÇelik,,,,,,\n"
    )
    await users.add_user(office, directory="guests", name="gus")
    told = await exported(office)
    assert [each["username"] for each in told] == ["Ada", "bob", "Çelik"]
    assert told[0] == {
        "username": "Ada", "mail": "ada@example.test", "phone": "+905321234567", "groups": ["vpn", "staff"], "display_name": "",
        "language": "", "state": "active", "must_change": "false", "expires_at": "",
    }  # fmt: skip
    text = json.dumps(told)
    assert not any(secret in text for secret in (SSHA, "argon2", SECRET_HEX, "secret"))


async def test_an_export_with_hashes_brings_users_who_can_log_in_elsewhere(office: Office) -> None:
    await load(office, HEADER + f"Ada,,{SSHA},,,,\nbob,secret,,,,,\n", keep_hashes=True)
    told = await exported(office, with_hashes=True)
    assert (told[0]["password_hash"], told[1]["password_hash"][:10]) == (SSHA, "$argon2id$")
    rows = [row_of(n, each, False) for n, each in enumerate(told)]
    await user_import.import_rows(office, rows, directory="copy")
    for name in ("ada", "bob"):
        found = await row_by_name(office.storage, "copy", name)
        assert found is not None
        assert await office.hasher.verify(stored_password(found).hash, Secret("secret"))  # type: ignore[union-attr]


async def test_an_export_is_on_record_once_with_what_it_told(office: Office) -> None:
    for name in ("ada", "bob", "carol"):
        await users.add_user(office, directory="staff", name=name)
    await exported(office, with_hashes=True, limit=1)
    events = [
        json.loads(str(row["payload"]))
        for row in await office.storage.find("audit_event")
        if row["kind"] == "directory:user:exported"
    ]
    assert events == [{"actor": office.actor, "directory": "staff", "with_hashes": True}]


@pytest.mark.parametrize(("column", "value"), [("password", "a new one"), ("state", "disabled")])
async def test_a_device_that_was_trusted_before_is_not_trusted_after_a_reset_or_an_end_by_import(
    office: Office, column: str, value: str
) -> None:
    await load(office, HEADER + f"ada,the old one,,,,,{SECRET_HEX}\nbob,bobs own,,,,,{SECRET_HEX}\n")
    for name in ("ada", "bob"):
        subject_id = await linked_subject(office.storage, "staff", str((await row(office, name))["id"]))
        assert subject_id is not None
        _, operations = make(office.ring, subject_id, "Firefox", office.now_ms(), 86_400)
        await office.storage.commit(operations)
    await load(office, "username,mail\nada,ada@example.test\n")
    assert len(await office.storage.find("trusted_device")) == 2
    await load(office, f"username,{column}\nada,{value}\n")
    [left] = await office.storage.find("trusted_device")
    assert left["subject_id"] == await linked_subject(office.storage, "staff", str((await row(office, "bob"))["id"]))
