"""Users from entries: state and expiry at a given time, versions that tell every change, contacts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wardgate.clock import FixedClock
from wardgate.config.reference import ClearValue
from wardgate.directory.ldap.port import Entry
from wardgate.directory.ldap.settings import BindSettings
from wardgate.directory.openldap.groups import NONE, Group, Memberships
from wardgate.directory.openldap.ppolicy import Policy, write_time
from wardgate.directory.openldap.reading import (
    UserReader,
    expires_at,
    lockout_of,
    merged,
    must_change,
    state_of,
    version_of,
)
from wardgate.directory.openldap.settings import OpenLdapAttributes, OpenLdapSettings
from wardgate.directory.port import AccountState
from wardgate.errors import DirectoryUnavailable

NOW = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)
LOCKING = Policy("cn=p", locks=True, max_failures=5, lockout_duration_s=1800, failure_window_s=600)


def entry(**attributes: str | bytes) -> Entry:
    """An entry with one value each."""
    given = {name.lower(): (value.encode() if isinstance(value, str) else value,) for name, value in attributes.items()}
    return Entry("uid=ada,dc=acme,dc=test", {"entryuuid": (b"id-1",), "uid": (b"ada",), **given})


def ago(seconds: float) -> str:
    return write_time(NOW - timedelta(seconds=seconds)).decode()


def reader(**attributes: Any) -> UserReader:
    settings = OpenLdapSettings(
        name="staff",
        kind="openldap",
        servers=("ldaps://127.0.0.1:636",),
        bind=BindSettings(dn="cn=svc", password=ClearValue(value="x")),
        base="dc=acme,dc=test",
        attributes=OpenLdapAttributes(**attributes),
    )
    return UserReader(settings, "TR", FixedClock(NOW))


@pytest.mark.parametrize(
    ("attributes", "policy", "expected"),
    [
        ({}, None, AccountState.ACTIVE),
        ({"pwdAccountLockedTime": ago(60)}, LOCKING, AccountState.LOCKED),
        ({"pwdAccountLockedTime": ago(1799)}, LOCKING, AccountState.LOCKED),
        ({"pwdAccountLockedTime": ago(1800)}, LOCKING, AccountState.ACTIVE),
        ({"pwdAccountLockedTime": ago(10**8)}, Policy("cn=p", locks=True), AccountState.LOCKED),
        ({"pwdAccountLockedTime": ago(60)}, Policy("cn=p"), AccountState.ACTIVE),
        ({"pwdAccountLockedTime": ago(60)}, None, AccountState.ACTIVE),
        ({"pwdAccountLockedTime": "garbage"}, LOCKING, AccountState.LOCKED),
        ({"pwdAccountLockedTime": "000001010000Z"}, LOCKING, AccountState.DISABLED),
        ({"pwdAccountLockedTime": "000001010000Z"}, None, AccountState.DISABLED),
        ({"pwdAccountLockedTime": "00000101000000Z"}, Policy("cn=p"), AccountState.DISABLED),
        ({"pwdStartTime": ago(-60)}, LOCKING, AccountState.EXPIRED),
        ({"pwdStartTime": ago(60), "pwdEndTime": ago(-60)}, LOCKING, AccountState.ACTIVE),
        ({"pwdEndTime": ago(0)}, LOCKING, AccountState.EXPIRED),
    ],
)
def test_the_state_at_a_time(attributes: dict[str, str], policy: Policy | None, expected: AccountState) -> None:
    assert state_of(entry(**attributes), policy, NOW) is expected


@pytest.mark.parametrize(("day", "expired"), [(1, False), (0, True), (-1, True)])
def test_the_shadow_expiry_counts_only_where_it_is_wanted(day: int, expired: bool) -> None:
    given = entry(shadowExpire=str(int(NOW.timestamp()) // 86_400 + day))

    assert state_of(given, None, NOW, shadow=False) is AccountState.ACTIVE
    assert state_of(given, None, NOW, shadow=True) is (AccountState.EXPIRED if expired else AccountState.ACTIVE)


@pytest.mark.parametrize("never", ["0", "-1", "soon"])
def test_a_shadow_expiry_that_is_none_is_never(never: str) -> None:
    assert state_of(entry(shadowExpire=never), None, NOW, shadow=True) is AccountState.ACTIVE


def test_a_password_without_a_date_or_a_limit_never_expires() -> None:
    changed = entry(pwdChangedTime=ago(100))

    assert expires_at(entry(), Policy("cn=p", max_age_s=100)) is None
    assert expires_at(changed, Policy("cn=p")) is None
    assert expires_at(changed, None) is None
    assert expires_at(changed, Policy("cn=p", max_age_s=200)) == NOW + timedelta(seconds=100)


def test_a_demand_to_change_counts_unless_the_policy_ignores_it() -> None:
    assert must_change(entry(pwdReset="TRUE"), Policy("cn=p", must_change=True))
    assert must_change(entry(pwdReset="TRUE"), None)
    assert not must_change(entry(pwdReset="TRUE"), Policy("cn=p"))
    assert not must_change(entry(pwdReset="FALSE"), None)


def test_failures_are_counted_within_the_window() -> None:
    times = (*tuple(ago(each).encode() for each in (10, 590, 610)), b"garbage")
    given = Entry("cn=x", {"pwdfailuretime": times})
    within, always = lockout_of(given, LOCKING, NOW), lockout_of(given, Policy("cn=p", locks=True, max_failures=3), NOW)

    assert within is not None
    assert (within.threshold, within.window_s, within.failures) == (5, 600, 2)
    assert always is not None
    assert (always.threshold, always.window_s, always.failures) == (3, 0, 3)
    assert lockout_of(given, None, NOW) is None


def test_a_version_rises_with_each_change_and_differs_with_each_state() -> None:
    before = entry(entryCSN="20261122051303.631236Z#000000#000#000000")
    after = entry(entryCSN="20261122051303.631237Z#000000#000#000000")
    locked = entry(entryCSN="20261122051303.631236Z#000000#000#000000", pwdAccountLockedTime=ago(1))
    counted = entry(entryCSN="20261122051303.631236Z#000001#000#000000")

    assert version_of(before) < version_of(after)
    assert len({version_of(each) for each in (before, after, locked, counted)}) == 4
    assert version_of(before) == version_of(entry(entryCSN="20261122051303.631236Z#000000#000#000000", mail="a@b.test"))
    assert all(0 < version_of(each) < 2**63 for each in (before, entry(modifyTimestamp=ago(5)), entry(pwdChangedTime=ago(5))))
    assert version_of(entry()) == version_of(entry(entryCSN="garbage")) == 0


def test_a_user_without_a_readable_id_is_nobody_and_somebody_has_to_mend_it() -> None:
    with pytest.raises(DirectoryUnavailable, match="entryUUID"):
        reader().user(Entry("uid=ada", {"uid": (b"ada",)}), None, NONE)


def test_contacts_that_cannot_be_used_are_told_without_their_value() -> None:
    given = Entry(
        "uid=ada",
        {
            "entryuuid": (b"id-1",),
            "uid": (b"ada", b"lovelace"),
            "mobile": (b"none yet", b"0532 123 45 67"),
            "telephonenumber": (b"+90 532 123 45 67", b"\xff\xfe"),
            "mail": (b"not an address", b"ada@acme.test", b"with space@acme.test"),
            "preferredlanguage": (b"tr, en-gb;q=0.8",),
        },
    )
    user = reader().user(given, None, NONE)

    assert (user.phone, user.other_phones) == ("+905321234567", ())
    assert (user.mail, user.other_mails, user.language) == ("ada@acme.test", (), "tr")
    assert len(user.unusable) == 1
    assert "none yet" not in user.unusable[0]
    assert user.name == "ada"


def test_further_attributes_are_read_where_they_are_named() -> None:
    user = reader(more=("departmentNumber", "title")).user(entry(departmentNumber="7"), None, NONE)

    assert dict(user.attributes) == {"departmentNumber": ("7",), "dn": ("uid=ada,dc=acme,dc=test",)}


def test_groups_of_the_same_name_keep_both_their_dns() -> None:
    memberships = Memberships((Group("it", "cn=it,ou=a"), Group("it", "cn=it,ou=b"), Group("hr", "cn=hr,ou=a")))

    assert memberships.names == ("it", "hr")
    assert memberships.aliases == {"it": ("cn=it,ou=a", "cn=it,ou=b"), "hr": ("cn=hr,ou=a",)}
    assert memberships.any_of(("CN=IT, OU=B",))
    assert memberships.any_of(("HR",))
    assert not memberships.any_of(("cn=it,ou=c", "h"))


@pytest.mark.parametrize(
    ("values", "new", "expected"),
    [
        ((), "+1", (b"+1",)),
        (("old",), "+1", (b"+1",)),
        (("old", "kept"), "+1", (b"+1", b"kept")),
        (("old", "+1"), "+1", (b"+1",)),
        (("old", "kept"), None, (b"kept",)),
        (("old",), None, ()),
    ],
)
def test_the_preferred_value_is_replaced_and_the_others_stay(
    values: tuple[str, ...], new: str | None, expected: tuple[bytes, ...]
) -> None:
    assert merged(values, new) == expected
