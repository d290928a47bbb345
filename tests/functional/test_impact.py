"""What a change means for how many users of real directories, groups within groups included."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests import samba, slapd
from tests.samba_dc import cast
from wardgate.admin.impact import Wanted, measure, unheard
from wardgate.admin.office import Office
from wardgate.clock import FixedClock
from wardgate.config.document import Document, parse
from wardgate.config.secrets import seal_document
from wardgate.crypto import KeyRing, new_key
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage

OPEN = {"steps": [["password"]]}


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    hasher, storage = PasswordHasher(1, 10, time_cost=1, memory_kib=8), MemoryStorage()
    yield Office(storage, KeyRing({0: new_key(), 1: new_key()}), FixedClock(datetime(2026, 1, 5, tzinfo=UTC)), hasher, "test")
    hasher.close()
    await storage.close()


def documents(office: Office, directory: dict[str, Any], group: str) -> tuple[Document, Document]:
    """Everybody comes in; then the members of a group do not."""
    deny = {"name": "no", "when": {"group": [f"corp:{group}"]}, "then": {"deny": True}}
    everybody = {"name": "all", "then": OPEN}
    before, after = (
        parse(
            {
                "realms": [{"name": "r", "default": True, "directories": ["corp"]}],
                "directories": [{"name": "corp", **directory}],
                "applications": [{"name": "vpn", "policy": "p"}],
                "policies": [{"name": "p", "rules": rules}],
            }
        )
        for rules in ([everybody], [deny, everybody])
    )
    return seal_document(before, office.ring, None), seal_document(after, office.ring, None)


async def denied(office: Office, directory: dict[str, Any], group: str) -> set[str]:
    told = await measure(office, *documents(office, directory, group), Wanted(), unheard)
    assert told["complete"], told["problems"]
    assert told["users"] == told["effects"]["denied"] == len(told["examples"]["denied"])
    return {each["user"] for each in told["examples"]["denied"]}


@pytest.mark.neighbour("slapd")
async def test_members_of_a_group_within_a_group_are_counted_in_openldap(office: Office) -> None:
    server = slapd.shared()
    directory = {
        "kind": "openldap",
        "servers": [server.ldaps],
        "ca_file": server.ca_file,
        "base": slapd.BASE,
        "bind": {"dn": slapd.READER, "password": {"value": slapd.READER_PASSWORD}},
        "default_policy": slapd.policy_dn("default"),
    }
    outer, inner = (f"cn=impact-{name},{slapd.GROUPS_DN}" for name in ("outer", "inner"))
    try:
        server.add(inner, {"objectClass": "groupOfNames", "cn": "impact-inner", "member": slapd.user_dn("alice")})
        server.add(outer, {"objectClass": "groupOfNames", "cn": "impact-outer", "member": (inner, slapd.user_dn("argon"))})
        assert await denied(office, directory, "impact-outer") == {"alice", "argon"}
        assert await denied(office, directory, inner) == {"alice"}
    finally:
        for dn in (outer, inner):
            server.delete(dn)


@pytest.mark.neighbour("samba")
async def test_members_of_a_group_within_a_group_are_counted_in_active_directory(office: Office) -> None:
    server = samba.shared()
    ou = server.add_ou(samba.name("impact"))
    try:
        names = [samba.name("i") for _ in range(3)]
        inner = server.add_group(samba.name("inner"), ou=ou)
        outer_name = samba.name("outer")
        outer = server.add_group(outer_name, ou=ou, members=[inner])
        server.add_user(names[0], ou=ou, groups=[inner])
        server.add_user(names[1], ou=ou, groups=[outer])
        server.add_user(names[2], ou=ou)
        directory = {
            "kind": "active_directory",
            "servers": [server.url],
            "ca_file": server.ca_file,
            "base": ou,
            "bind": {"dn": cast.READER_DN, "password": {"value": cast.SERVICE_PASSWORD}},
        }
        assert await denied(office, directory, outer_name) == set(names[:2])
        assert await denied(office, directory, "Domain Users") == set(names)
    finally:
        server.delete(ou, everything_below=True)
