"""An entry into a user, where a real server cannot be made to show it."""

from datetime import UTC, datetime, timedelta

import pytest

from wardgate.directory.active_directory.accounts import (
    OLD_PASSWORD,
    account_state,
    attributes_to_read,
    lockout,
    must_change,
    user_from,
    version_of,
)
from wardgate.directory.active_directory.domain import Rules
from wardgate.directory.active_directory.groups import Group
from wardgate.directory.active_directory.settings import ActiveDirectoryAttributes
from wardgate.directory.active_directory.values import NEVER, filetime
from wardgate.directory.ldap.port import Entry
from wardgate.directory.port import AccountState, DirectoryUser, Lockout, PasswordPolicy
from wardgate.errors import MessageError

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
RULES = Rules(PasswordPolicy(), 5, 1800)
GUID = bytes(range(16))


def entry(**attributes: str | bytes | list[str]) -> Entry:
    def values(given: str | bytes | list[str]) -> tuple[bytes, ...]:
        listed = given if isinstance(given, list) else [given]
        return tuple(value if isinstance(value, bytes) else value.encode() for value in listed)

    named = {name.replace("__", "-").lower(): values(value) for name, value in attributes.items()}
    return Entry("CN=ada,DC=acme,DC=test", {"objectguid": (GUID,), **named})


def user(read: Entry, names: ActiveDirectoryAttributes | None = None) -> DirectoryUser:
    return user_from("ad", read, names or ActiveDirectoryAttributes(), (), RULES, NOW, "TR")


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({}, AccountState.ACTIVE),
        ({"userAccountControl": "512"}, AccountState.ACTIVE),
        ({"userAccountControl": "514"}, AccountState.DISABLED),
        ({"msDS__User__Account__Control__Computed": "16"}, AccountState.LOCKED),
        ({"msDS__User__Account__Control__Computed": str(0x800000)}, AccountState.ACTIVE),
        ({"accountExpires": "0"}, AccountState.ACTIVE),
        ({"accountExpires": str(NEVER)}, AccountState.ACTIVE),
        ({"accountExpires": str(filetime(NOW))}, AccountState.EXPIRED),
        ({"accountExpires": str(filetime(NOW + timedelta(seconds=1)))}, AccountState.ACTIVE),
        ({"userAccountControl": "514", "msDS__User__Account__Control__Computed": "16"}, AccountState.DISABLED),
        ({"accountExpires": "1", "msDS__User__Account__Control__Computed": "16"}, AccountState.EXPIRED),
        # A lock that ran out: the time stays, the computed flag goes.
        ({"lockoutTime": "134397980624511880"}, AccountState.ACTIVE),
    ],
)
def test_the_state_is_read_from_flags_and_times(given: dict[str, str], state: AccountState) -> None:
    assert account_state(entry(**given), NOW) is state


@pytest.mark.parametrize(
    ("given", "must"),
    [
        ({"pwdLastSet": "0", "msDS__UserPasswordExpiryTimeComputed": "0"}, True),
        ({"pwdLastSet": "0", "msDS__UserPasswordExpiryTimeComputed": str(NEVER)}, False),
        ({"pwdLastSet": "0"}, True),
        ({"pwdLastSet": "0", "userAccountControl": str(0x10200)}, False),
        ({"pwdLastSet": "1"}, False),
        ({}, False),
    ],
)
def test_who_must_change(given: dict[str, str], must: bool) -> None:
    assert must_change(entry(**given)) is must


@pytest.mark.parametrize(("ago_s", "failures"), [(0, 3), (1799, 3), (1800, 0), (10**6, 0)])
def test_failures_older_than_the_window_count_nothing(ago_s: int, failures: int) -> None:
    read = entry(badPwdCount="3", badPasswordTime=str(filetime(NOW - timedelta(seconds=ago_s))))

    assert lockout(read, RULES, NOW) == Lockout(5, 1800, failures)


def test_a_domain_that_never_locks_tells_no_lockout() -> None:
    assert lockout(entry(badPwdCount="3"), Rules(PasswordPolicy(), 0, 1800), NOW) is None


def test_a_wrong_password_elsewhere_changes_no_version_and_everything_else_does() -> None:
    before = entry(pwdLastSet="1", memberOf=["a", "b"], badPwdCount="0", badPasswordTime="0")

    assert version_of(entry(pwdLastSet="1", memberOf=["b", "a"], badPwdCount="4", badPasswordTime="9")) == version_of(before)
    for changed in (
        entry(pwdLastSet="2", memberOf=["a", "b"]),
        entry(pwdLastSet="1", memberOf=["a"]),
        entry(pwdLastSet="1", memberOf=["a", "b"], uSNChanged="7"),
        entry(pwdLastSet="1"),
        entry(pwdLastSet="1", memberOf=["ab"]),
    ):
        assert version_of(changed) != version_of(before)


def test_a_version_rises_with_the_servers_change_number_and_fits_into_a_column() -> None:
    versions = [version_of(entry(uSNChanged=str(number))) for number in (1, 2, 300, 10**10)]

    assert versions == sorted(versions)
    assert all(0 <= version < 2**63 for version in [*versions, version_of(entry()), version_of(entry(uSNChanged=str(2**62)))])


def test_two_servers_in_turn_are_not_asked_for_their_own_change_numbers() -> None:
    assert "uSNChanged" in attributes_to_read(ActiveDirectoryAttributes(), one_server=True)
    assert "uSNChanged" not in attributes_to_read(ActiveDirectoryAttributes(), one_server=False)


def test_an_entry_without_an_id_is_no_user() -> None:
    with pytest.raises(MessageError):
        user(Entry("CN=ada", {}))


@pytest.mark.parametrize(
    ("stored", "language"),
    [("tr-TR", "tr"), ("tr", "tr"), ("DE-ch, en;q=0.5", "de"), ("en_US", "en"), ("", None), ("*", None), ("türkçe", None)],
)
def test_the_language_is_the_first_one_without_its_country(stored: str, language: str | None) -> None:
    assert user(entry(preferredLanguage=stored)).language == language


def test_mail_addresses_are_told_once_and_without_what_is_none() -> None:
    names = ActiveDirectoryAttributes(other_mails=("proxyAddresses",))
    read = entry(
        mail="Ada@acme.test", proxyAddresses=["SMTP:ada@acme.test", "smtp:al@acme.test", "x500:/o=acme", "sip:ada@acme.test"]
    )

    assert (user(read, names).mail, user(read, names).other_mails) == ("Ada@acme.test", ("al@acme.test",))


def test_further_attributes_are_told_by_the_name_that_was_configured() -> None:
    told = user(entry(department=["IT", "HR"]), ActiveDirectoryAttributes(more=("Department", "title"))).attributes

    assert told == {"distinguishedName": ("CN=ada,DC=acme,DC=test",), "Department": ("IT", "HR")}


def test_a_number_that_is_none_is_left_out() -> None:
    read = entry(adminCount="x", userAccountControl="", accountExpires="9" * 30)

    assert (user(read).state, user(read).protected) == (AccountState.ACTIVE, False)


@pytest.mark.parametrize(
    ("changed", "created", "until"),
    [
        (NOW, "20250101080000.0Z", NOW + OLD_PASSWORD),
        (NOW, "20260105075900.0Z", None),
        (NOW, "20260105075859.0Z", NOW + OLD_PASSWORD),
        (NOW, "someday", NOW + OLD_PASSWORD),
        (NOW, None, NOW + OLD_PASSWORD),
        (None, "20250101080000.0Z", None),
    ],
)
def test_a_domain_takes_the_password_before_for_an_hour(
    changed: datetime | None, created: str | None, until: datetime | None
) -> None:
    given = {"pwdLastSet": str(filetime(changed)) if changed else "0"} | ({"whenCreated": created} if created else {})
    assert user(entry(**given)).old_password_until == until


def test_a_floor_on_one_of_two_groups_of_the_same_name_still_finds_its_dn() -> None:
    groups = (Group("Admins", ("cn=admins,dc=a", "s-1-1")), Group("Admins", ("cn=admins,dc=b", "s-1-2")), Group("S-1-9", ()))
    told = user_from("ad", entry(), ActiveDirectoryAttributes(), groups, RULES, NOW, None)
    assert told.groups == ("Admins", "S-1-9")
    assert told.group_aliases == {"Admins": ("cn=admins,dc=a", "s-1-1", "cn=admins,dc=b", "s-1-2")}
