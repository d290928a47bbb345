"""All users of real directories at once: each exactly as he is when he is looked up alone, and without a search for each."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest

from tests import databases, openldap_directory, samba, slapd
from tests.active_directory import parts
from tests.samba_dc import cast
from wardgate.directory.active_directory import group_graph
from wardgate.directory.active_directory.directory import ActiveDirectory
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.port import Entry
from wardgate.directory.openldap import loaded_groups
from wardgate.directory.openldap.settings import OpenLdapGroups
from wardgate.directory.port import DirectoryUser, Listing, RightMissing
from wardgate.errors import DirectoryUnavailable

SOON = 20.0


class SearchCounting(Client):
    """Counts searches; pages of a stream are none."""

    searches = 0

    async def search(self, *given: Any, **named: Any) -> tuple[Entry, ...]:
        self.searches += 1
        return await super().search(*given, **named)


async def listed(directory: Listing) -> dict[str, DirectoryUser]:
    async with aclosing(directory.users(SOON)) as pages:
        return {user.name: user async for page in pages for user in page}


def groups_of(users: Sequence[DirectoryUser | None]) -> list[object]:
    return [
        user and (sorted(user.groups), {name: sorted(user.group_aliases[name]) for name in user.group_aliases}) for user in users
    ]


# --- Active Directory --------------------------------------------------------------------------------------------------


@pytest.mark.neighbour("samba")
async def test_everybody_in_active_directory_is_listed_as_he_is_found() -> None:
    """The cast has nested groups, a circle of them, a distribution group, another primary group, fine-grained policies."""
    settings = samba.shared().settings(base=cast.BASE)
    client = SearchCounting(settings, parts())
    directory = ActiveDirectory(settings, client, parts())
    try:
        users = await listed(directory)
        searches = client.searches
        people = [name for name in users if name in {person.sam for person in cast.PEOPLE}]
        assert len(people) > 10
        for name in people:
            alone = await directory.find(name, SOON)
            assert alone is not None
            # What another test may do to an account meanwhile is a lock or a count of failures, and no more than that.
            assert groups_of([users[name]]) == groups_of([alone])
            assert users[name].version == alone.version
            assert users[name] == alone
    finally:
        await directory.close()
    assert searches < 12


@pytest.mark.neighbour("samba")
async def test_too_many_groups_are_refused_instead_of_filling_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_graph, "MAX_GROUPS", 3)
    settings = samba.shared().settings(base=cast.BASE)
    directory = ActiveDirectory(settings, Client(settings, parts()), parts())
    try:
        with pytest.raises(DirectoryUnavailable, match="too many to keep"):
            await listed(directory)
    finally:
        await directory.close()


# --- OpenLDAP ----------------------------------------------------------------------------------------------------------


@pytest.mark.neighbour("slapd")
@pytest.mark.parametrize("kinds", [("groupOfNames", "groupOfUniqueNames", "posixGroup"), ("groupOfNames",), ("posixGroup",), ()])
async def test_everybody_in_openldap_is_listed_as_he_is_found(kinds: tuple[Any, ...]) -> None:
    groups = OpenLdapGroups(kinds=kinds)
    directory, _ = openldap_directory.directory(slapd.shared(), groups=groups)
    try:
        users = await listed(directory)
        assert {"alice", "argon"} <= set(users)
        for name in ("alice", "argon"):
            alone = await directory.find(name, SOON)
            assert alone is not None
            assert groups_of([users[name]]) == groups_of([alone])
            assert users[name].unusable == alone.unusable
            assert (users[name].version, users[name].state, users[name].attributes) == (
                alone.version,
                alone.state,
                alone.attributes,
            )
    finally:
        await directory.close()


@pytest.mark.neighbour("slapd")
async def test_groups_within_groups_are_listed_as_they_are_found() -> None:
    server = slapd.shared()
    outer, inner = (f"cn=listing-{name},{slapd.GROUPS_DN}" for name in ("outer", "inner"))
    try:
        server.add(inner, {"objectClass": "groupOfNames", "cn": "listing-inner", "member": (slapd.user_dn("alice"), outer)})
        server.add(outer, {"objectClass": "groupOfNames", "cn": "listing-outer", "member": inner})
        directory, _ = openldap_directory.directory(server)
        try:
            users = await listed(directory)
            assert {"listing-inner", "listing-outer"} <= set(users["alice"].groups)
            assert groups_of([users["alice"]]) == groups_of([await directory.find("alice", SOON)])
        finally:
            await directory.close()
    finally:
        for dn in (outer, inner):
            server.delete(dn)


@pytest.mark.neighbour("slapd")
async def test_too_many_memberships_are_refused_instead_of_filling_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_groups, "MAX_MEMBERSHIPS", 2)
    directory, _ = openldap_directory.directory(slapd.shared())
    try:
        with pytest.raises(DirectoryUnavailable, match="too many to keep"):
            await listed(directory)
    finally:
        await directory.close()


# --- SQL ---------------------------------------------------------------------------------------------------------------

OWN = {
    "find_statement": "SELECT * FROM employee WHERE lower(login) = :name AND department = 'it'",
    "get_statement": "SELECT * FROM employee WHERE id = :id AND department = 'it'",
}


async def test_an_own_statement_lists_whom_the_own_look_up_can_find() -> None:
    async with databases.on_sqlite() as database:
        for login, department in (("ada", "it"), ("bob", "sales"), ("eve", "it")):
            await database.insert(login=login, department=department)
        own = "SELECT * FROM employee WHERE department = 'it' ORDER BY login DESC;"
        directory = databases.Parts().build(database.settings(**OWN, list_statement=own))
        try:
            users = await listed(directory)
            assert sorted(users) == ["ada", "eve"]
            assert users["ada"] == await directory.find("ada", SOON)
        finally:
            await directory.close()


async def test_a_table_does_not_stand_in_for_an_own_look_up() -> None:
    """The table may hold people whom the operator's own statement keeps out."""
    async with databases.on_sqlite() as database:
        await database.insert(login="bob", department="sales")
        directory = databases.Parts().build(database.settings(**OWN))
        try:
            with pytest.raises(RightMissing, match="list_statement"):
                await listed(directory)
        finally:
            await directory.close()


async def test_a_row_without_an_id_ends_no_list() -> None:
    async with databases.on_sqlite() as database:
        await database.execute("CREATE TABLE person (id text, login text, pw_hash text, email text, gsm text, is_disabled integer)")
        for id_ in (None, "a", None, "b"):
            await database.execute("INSERT INTO person (id, login) VALUES (?, ?)", id_, f"user-{id_}")
        directory = databases.Parts().build(database.settings(table="person"))
        try:
            assert sorted(await listed(directory)) == ["user-a", "user-b"]
        finally:
            await directory.close()
