"""Walking groups: each once whatever circles there are, within bounds, and with as few searches as remembering allows."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from wardgate.clock import FixedClock
from wardgate.config.reference import ClearValue
from wardgate.directory.ldap.filters import encode_filter
from wardgate.directory.ldap.port import Entry
from wardgate.directory.ldap.settings import BindSettings
from wardgate.directory.openldap.budget import Budget
from wardgate.directory.openldap.groups import MAX_GROUPS, MAX_LISTED, GroupReader, Memberships
from wardgate.directory.openldap.settings import OpenLdapGroups, OpenLdapSettings
from wardgate.errors import DirectoryUnavailable

USER = Entry("uid=ada,ou=people", {"uid": (b"ada",)})


class Listing:
    """A server that knows nothing but which DN is listed in which groups."""

    def __init__(self, parents: Mapping[str, Sequence[str]]) -> None:
        self.parents = parents
        self.searches = 0

    async def search(self, base: str, scope: int, filter_text: str, attributes: Sequence[str], **given: Any) -> tuple[Entry, ...]:
        """The groups in which the DN of the filter is."""
        self.searches += 1
        found = re.search(r"\(member=([^)]*)\)", filter_text)
        assert found is not None
        listed = self.parents.get(found[1], ())
        return tuple(Entry(f"cn={name}", {"cn": (name.encode(),)}) for name in listed[: given["limit"]])


def reader(listing: Listing, clock: FixedClock, **given: Any) -> GroupReader:
    settings = OpenLdapSettings(
        name="staff",
        kind="openldap",
        servers=("ldaps://127.0.0.1:636",),
        bind=BindSettings(dn="cn=svc", password=ClearValue(value="x")),
        base="dc=acme,dc=test",
        groups=OpenLdapGroups(**{"kinds": ("groupOfNames",), **given}),
    )
    return GroupReader(listing, settings, clock)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 22, tzinfo=UTC))


async def walk(groups: GroupReader, clock: FixedClock, user: Entry = USER) -> Memberships:
    return await groups.of(user, Budget(10, clock, "staff"))


async def test_a_circle_of_groups_ends(clock: FixedClock) -> None:
    listing = Listing({USER.dn: ["a"], "cn=a": ["b"], "cn=b": ["c", "b"], "cn=c": ["a", "d"]})

    assert (await walk(reader(listing, clock), clock)).names == ("a", "b", "c", "d")


async def test_what_a_group_is_in_is_remembered_and_what_the_user_is_in_is_not(clock: FixedClock) -> None:
    listing = Listing({USER.dn: ["a"], "cn=a": ["b"]})
    groups = reader(listing, clock, cache_s=60)
    await walk(groups, clock)
    assert listing.searches == 3
    await walk(groups, clock)
    assert listing.searches == 4
    listing.parents = {USER.dn: [], "cn=a": ["b"]}
    assert (await walk(groups, clock)).names == ()

    listing.parents = {USER.dn: ["a"], "cn=a": []}
    clock.advance(61)
    assert (await walk(groups, clock)).names == ("a",)


async def test_nothing_is_lost_where_nothing_is_remembered(clock: FixedClock) -> None:
    listing = Listing({USER.dn: ["a"], "cn=a": ["b"], "cn=b": ["c"]})

    assert (await walk(reader(listing, clock, cache_s=0), clock)).names == ("a", "b", "c")


async def test_a_nesting_that_is_too_deep_is_told(clock: FixedClock) -> None:
    listing = Listing({USER.dn: ["g0"], **{f"cn=g{number}": [f"g{number + 1}"] for number in range(50)}})
    found = await walk(reader(listing, clock, depth=3), clock)

    assert found.names == ("g0", "g1", "g2", "g3")
    assert "deeper" in found.problems[0]


async def test_more_groups_than_are_read_are_told(clock: FixedClock) -> None:
    listing = Listing({USER.dn: [f"g{number}" for number in range(MAX_LISTED + 50)]})
    found = await walk(reader(listing, clock, depth=0), clock)

    assert len(found.names) == MAX_LISTED
    assert "too many" in found.problems[0]


async def test_groups_are_bounded_in_all(clock: FixedClock) -> None:
    first = [f"g{number}" for number in range(10)]
    listing = Listing({USER.dn: first, **{f"cn={name}": [f"{name}-{at}" for at in range(400)] for name in first}})
    found = await walk(reader(listing, clock), clock)

    assert len(found.groups) == MAX_GROUPS
    assert found.problems


async def test_a_walk_that_takes_too_long_ends_in_directory_unavailable(clock: FixedClock) -> None:
    listing = Listing({USER.dn: ["a"]})
    budget = Budget(1, clock, "staff")
    clock.advance(1)
    with pytest.raises(DirectoryUnavailable, match="1 s"):
        await reader(listing, clock).of(USER, budget)


async def test_names_of_users_and_groups_cannot_change_the_filter(clock: FixedClock) -> None:
    seen: list[str] = []

    class Noting(Listing):
        async def search(self, base: str, scope: int, filter_text: str, attributes: Sequence[str], **given: Any) -> Any:
            seen.append(filter_text)
            return ()

    bad = Entry("uid=a)(uid=*,ou=people", {"uid": (b"a)(uid=*",), "gidnumber": (b"5)(uid=*",)})
    await walk(reader(Noting({}), clock, kinds=("groupOfNames", "posixGroup")), clock, bad)

    assert ")(uid=*" not in seen[0]
    assert encode_filter(seen[0]) == encode_filter(str(seen[0]))
    assert r"(gidNumber=5\29\28uid=\2a)" in seen[0]
