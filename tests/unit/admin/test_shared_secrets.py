"""A factor that lives on a shared secret is enrolled by the same command as the built-in ones; nothing here names it."""

from collections.abc import Mapping

import pytest

from wardgate.account.authenticator import active_authenticators
from wardgate.account.subject import SubjectId
from wardgate.admin import authenticators, users
from wardgate.admin.office import Office
from wardgate.errors import AlreadyExists, UsageError
from wardgate.factors import BY_KIND
from wardgate.factors.totp import TotpFactor

SECRET_HEX = "31323334353637383930" * 2


class Calculator(TotpFactor):
    kind = "calculator"
    secret_settings: Mapping[str, str | int] = {"digits": 8}


@pytest.fixture(autouse=True)
async def listed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BY_KIND, "calculator", Calculator())
    await users.add_user(office, directory="staff", name="ada")


async def add(office: Office, kind: str = "calculator", secret_hex: str | None = SECRET_HEX) -> dict[str, object]:
    return await authenticators.add_shared_secret(office, directory="staff", name="ada", kind=kind, secret_hex=secret_hex)


async def test_its_secret_is_enrolled_with_the_settings_of_the_factor(office: Office) -> None:
    added = await add(office)
    assert (added["kind"], added["digits"]) == ("calculator", 8)
    assert "secret_hex" not in added
    row = await office.storage.get("authenticator", {"id": str(added["id"])})
    assert row is not None
    (enrolled,) = await active_authenticators(office.storage, SubjectId(str(row["subject_id"])))
    assert enrolled.open(office.ring).reveal().hex() == SECRET_HEX


async def test_a_generated_secret_is_told_once_and_without_an_address_that_apps_read(office: Office) -> None:
    added = await add(office, secret_hex=None)
    assert len(bytes.fromhex(str(added["secret_hex"]))) == 20
    assert "otpauth_uri" not in added
    listed = await authenticators.list_authenticators(office, directory="staff", name="ada")
    assert str(added["secret_hex"]) not in str(listed)


async def test_a_secret_that_is_enrolled_already_is_refused_the_second_time(office: Office) -> None:
    await add(office)
    with pytest.raises(AlreadyExists):
        await add(office)


@pytest.mark.parametrize("kind", ["sms", "recovery_code", "calcualtor"])
async def test_what_lives_on_no_shared_secret_is_refused_and_the_others_are_named(office: Office, kind: str) -> None:
    with pytest.raises(UsageError, match="totp, hotp, calculator, recovery"):
        await add(office, kind=kind)
