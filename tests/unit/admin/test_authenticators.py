"""Enrolling, listing and revoking authenticators."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from wardgate.account.authenticator import MAX_AUTHENTICATORS, from_row
from wardgate.account.recovery_code import code_mac, normalise
from wardgate.admin import authenticators, users
from wardgate.admin.office import Office
from wardgate.clock import FixedClock
from wardgate.errors import AlreadyExists, NotFound, UsageError
from wardgate.storage.port import Row, Update

HERE = {"directory": "staff"}
ADA = {"directory": "staff", "name": "ada"}
SECRET_HEX = "3132333435363738393031323334353637383930"


@pytest.fixture(autouse=True)
async def ada(office: Office) -> None:
    await users.add_user(office, **ADA)


async def stored(office: Office, authenticator_id: str) -> Row:
    row = await office.storage.get("authenticator", {"id": authenticator_id})
    assert row is not None
    return row


async def set_counter(office: Office, authenticator_id: str, counter: int) -> None:
    await office.storage.commit([Update("authenticator", {"id": authenticator_id}, {"counter": counter})])


async def test_a_given_totp_secret_is_sealed_and_not_echoed(office: Office) -> None:
    result = await authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX, digits=8, period_s=60, algorithm="SHA256")
    row = await stored(office, result["id"])
    made = from_row(row)

    assert (made.kind, made.counter, row["state"]) == ("totp", 0, "active")
    assert (made.settings["digits"], made.settings["period_s"], made.settings["algorithm"]) == (8, 60, "SHA256")
    assert made.open(office.ring).reveal().hex() == SECRET_HEX
    everywhere = repr(result) + repr(row) + repr(await office.storage.find("audit_event"))
    assert SECRET_HEX not in everywhere
    assert "12345678901234567890" not in everywhere
    assert "otpauth_uri" not in result


async def test_a_generated_totp_secret_is_shown_once_as_a_uri(office: Office) -> None:
    await users.add_user(office, **HERE, name="Ada Müller@example.test")
    result = await authenticators.add_totp(office, **HERE, name="ada müller@example.test")
    uri = urlsplit(result["otpauth_uri"])
    query = {name: values[0] for name, values in parse_qs(uri.query).items()}
    secret = base64.b32decode(query["secret"])

    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/Wardgate:Ada Müller@example.test")
    assert query | {"secret": ""} == {"secret": "", "issuer": "Wardgate", "digits": "6", "period": "30", "algorithm": "SHA1"}
    assert len(secret) == 20
    assert from_row(await stored(office, result["id"])).open(office.ring).reveal() == secret
    listed = await authenticators.list_authenticators(office, **HERE, name="ada müller@example.test")
    assert "secret" not in json.dumps(listed)


async def test_an_hotp_device_begins_at_its_counter(office: Office) -> None:
    result = await authenticators.add_hotp(office, **ADA, secret_hex=SECRET_HEX, digits=6, counter=42, label="fob")
    made = from_row(await stored(office, result["id"]))

    assert (made.kind, made.counter, made.label, made.settings["digits"]) == ("hotp", 42, "fob", 6)


@pytest.mark.parametrize(
    "bad",
    [
        {"secret_hex": "xyz"},
        {"secret_hex": "abc"},
        {"secret_hex": ""},
        {"secret_hex": "aa" * 9},
        {"secret_hex": "aa" * 129},
        {"secret_hex": "aa" * 100_000},
        {"digits": 5},
        {"digits": 9},
        {"period_s": 31},
        {"period_s": 0},
        {"algorithm": "MD5"},
        {"algorithm": "sha1"},
        {"label": "x" * 65},
        {"label": "a\nb"},
    ],
)
async def test_bad_totp_parameters_are_refused(office: Office, bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        await authenticators.add_totp(office, **ADA, **bad)
    assert bad.get("secret_hex", "?") not in refused.value.message or bad["secret_hex"] == ""
    assert not await office.storage.count("authenticator")


@pytest.mark.parametrize("counter", [-1, 2**60])
async def test_a_counter_has_bounds(office: Office, counter: int) -> None:
    with pytest.raises(UsageError):
        await authenticators.add_hotp(office, **ADA, counter=counter)


@pytest.mark.parametrize(("secret_hex", "warned"), [("aa" * 10, True), ("aa" * 15, True), ("aa" * 16, False)])
async def test_a_short_secret_is_warned_of(office: Office, secret_hex: str, warned: bool) -> None:
    result = await authenticators.add_totp(office, **ADA, secret_hex=secret_hex)

    assert bool(result["warnings"]) is warned


async def test_the_first_authenticator_makes_the_person(office: Office, clock: FixedClock) -> None:
    await authenticators.add_totp(office, **ADA)
    clock.advance(1)  # what is listed oldest first must not be equally old
    await authenticators.add_hotp(office, **ADA)
    shown = await users.show_user(office, **ADA)
    kinds = [str(row["kind"]) for row in await office.storage.find("audit_event", order_by="seq")]

    assert [item["kind"] for item in shown["authenticators"]] == ["totp", "hotp"]
    assert await office.storage.count("subject") == 1
    assert kinds == ["directory:user:added", "account:subject:created", *["account:authenticator:added"] * 2]


async def test_authenticators_added_at_once_belong_to_one_person(office: Office) -> None:
    await asyncio.gather(*(authenticators.add_totp(office, **ADA) for _ in range(5)))

    assert await office.storage.count("subject") == 1
    assert len((await authenticators.list_authenticators(office, **ADA))["authenticators"]) == 5


async def test_nobody_gets_no_authenticator(office: Office) -> None:
    for work in (authenticators.add_totp, authenticators.add_hotp, authenticators.add_recovery_codes):
        with pytest.raises(NotFound):
            await work(office, **HERE, name="bob")  # type: ignore[operator]


async def test_the_same_secret_is_not_enrolled_twice(office: Office) -> None:
    await authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX)

    with pytest.raises(AlreadyExists):
        await authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX.upper())
    await users.add_user(office, **HERE, name="bob")
    await authenticators.add_totp(office, **HERE, name="bob", secret_hex=SECRET_HEX)


async def test_one_secret_enrolled_by_two_operators_at_once_is_one_authenticator(office: Office) -> None:
    await authenticators.add_totp(office, **ADA)
    adding = (authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX) for _ in range(5))
    results = await asyncio.gather(*adding, return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["AlreadyExists"] * 4 + ["dict"]
    assert await office.storage.count("authenticator") == 2


async def test_a_user_who_is_removed_meanwhile_gets_no_authenticator(office: Office) -> None:
    results = await asyncio.gather(users.remove_user(office, **ADA), authenticators.add_totp(office, **ADA), return_exceptions=True)

    assert [type(result).__name__ for result in results] == ["dict", "NotFound"]
    assert not await office.storage.count("authenticator")
    assert not await office.storage.count("subject_link")


async def test_a_used_code_is_not_good_again_after_revoking_and_enrolling_the_same_secret(office: Office) -> None:
    first = await authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX)
    await set_counter(office, first["id"], 58_000_000)
    await authenticators.revoke_authenticator(office, **ADA, authenticator_id=first["id"])
    second = await authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX)
    other = await authenticators.add_totp(office, **ADA)

    assert (await stored(office, second["id"]))["counter"] == 58_000_000
    assert (await stored(office, other["id"]))["counter"] == 0


async def test_an_hotp_counter_is_not_set_back_by_enrolling_again(office: Office) -> None:
    first = await authenticators.add_hotp(office, **ADA, secret_hex=SECRET_HEX, counter=5)
    await set_counter(office, first["id"], 90)
    await authenticators.revoke_authenticator(office, **ADA, authenticator_id=first["id"])
    second = await authenticators.add_hotp(office, **ADA, secret_hex=SECRET_HEX, counter=5)

    assert (await stored(office, second["id"]))["counter"] == 90


async def test_a_revoked_authenticator_loses_its_secret_and_stays_listed(office: Office) -> None:
    made = await authenticators.add_totp(office, **ADA, secret_hex=SECRET_HEX)
    await authenticators.revoke_authenticator(office, **ADA, authenticator_id=made["id"])

    row = await stored(office, made["id"])
    assert (row["state"], row["sealed"]) == ("revoked", None)
    assert [item["state"] for item in (await authenticators.list_authenticators(office, **ADA))["authenticators"]] == ["revoked"]
    with pytest.raises(NotFound):
        await authenticators.revoke_authenticator(office, **ADA, authenticator_id=made["id"])


async def test_nobody_revokes_another_persons_authenticator(office: Office) -> None:
    await users.add_user(office, **HERE, name="bob")
    made = await authenticators.add_totp(office, **HERE, name="bob")

    with pytest.raises(NotFound):
        await authenticators.revoke_authenticator(office, **ADA, authenticator_id=made["id"])
    assert (await stored(office, made["id"]))["state"] == "active"


async def test_recovery_codes_are_shown_once_and_stored_as_fingerprints(office: Office) -> None:
    made = await authenticators.add_recovery_codes(office, **ADA)
    macs = {row["code_mac"] for row in await office.storage.find("recovery_code")}

    assert len(made["codes"]) == 10
    assert macs == {code_mac(office.ring, made["id"], normalise(code) or "") for code in made["codes"]}
    listed = (await authenticators.list_authenticators(office, **ADA))["authenticators"]
    assert [(item["kind"], item["codes_left"]) for item in listed] == [("recovery_code", 10)]
    everywhere = json.dumps(listed) + repr(await office.storage.find("audit_event"))
    assert not any(code in everywhere for code in made["codes"])


async def test_a_new_sheet_ends_the_lost_one(office: Office) -> None:
    lost = await authenticators.add_recovery_codes(office, **ADA)
    await authenticators.add_recovery_codes(office, **ADA)

    assert (await stored(office, lost["id"]))["state"] == "revoked"
    assert not [row for row in await office.storage.find("recovery_code") if row["authenticator_id"] == lost["id"]]
    assert await office.storage.count("recovery_code") == 10


async def test_two_sheets_made_at_once_leave_one(office: Office) -> None:
    await authenticators.add_totp(office, **ADA)
    await asyncio.gather(*(authenticators.add_recovery_codes(office, **ADA) for _ in range(4)), return_exceptions=True)
    listed = (await authenticators.list_authenticators(office, **ADA))["authenticators"]

    assert [item["state"] for item in listed if item["kind"] == "recovery_code"].count("active") == 1
    assert await office.storage.count("recovery_code") == 10


async def test_a_user_has_a_bounded_number_of_authenticators(office: Office) -> None:
    for _ in range(MAX_AUTHENTICATORS):
        last = await authenticators.add_totp(office, **ADA)

    for work in (authenticators.add_totp, authenticators.add_recovery_codes):
        with pytest.raises(UsageError, match="revoke one first"):
            await work(office, **ADA)
    await authenticators.revoke_authenticator(office, **ADA, authenticator_id=last["id"])
    await authenticators.add_recovery_codes(office, **ADA)
