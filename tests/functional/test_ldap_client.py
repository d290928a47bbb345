"""The LDAP client on real OpenLDAP servers; another maker's clients say what the answers should be."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import slapd
from wardgate.clock import SystemClock
from wardgate.config.reference import ClearValue, SecretSetting
from wardgate.crypto import Secret
from wardgate.directory.kind import DirectoryParts
from wardgate.directory.ldap.client import Client
from wardgate.directory.ldap.port import Change, ChangeKind, Code, Control, LdapRefused, Scope, ServerState
from wardgate.directory.ldap.settings import BindSettings, LdapSettings, TimeoutSettings
from wardgate.errors import DirectoryUnavailable, UsageError
from wardgate.passwords import PasswordHasher
from wardgate.storage.memory import MemoryStorage

pytestmark = pytest.mark.neighbour("slapd")

PPOLICY = "1.3.6.1.4.1.42.2.27.8.5.1"
WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
T = 20.0


def clear(setting: SecretSetting) -> Secret:
    """The tests name passwords in clear."""
    assert isinstance(setting, ClearValue)
    return Secret(setting.value)


def client(*urls: str, ca_file: str | None, password: str = slapd.SERVICE_PASSWORD, connections: int = 8) -> Client:
    """A client of the servers under these URLs."""
    settings = LdapSettings(
        name="test",
        kind="openldap",
        servers=urls,
        bind=BindSettings(dn=slapd.SERVICE, password=ClearValue(value=password)),
        base=slapd.BASE,
        ca_file=ca_file,
        timeouts=TimeoutSettings(connect_s=5, operation_s=10),
        connections=connections,
    )
    return Client(settings, DirectoryParts(MemoryStorage(), PasswordHasher(threads=1, max_waiting=1), SystemClock(), clear))


@pytest.fixture(params=["ldaps", "starttls"])
async def ldap(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of the shared server, in both ways of TLS."""
    server = slapd.shared()
    made = client(getattr(server, request.param), ca_file=server.ca_file)
    yield made
    await made.close()


async def test_a_user_is_found_with_all_values(ldap: Client) -> None:
    (found,) = await ldap.search(slapd.BASE, Scope.SUBTREE, "(uid=alice)", ("uid", "mail", "memberOf"), timeout_s=T, limit=2)
    assert found.dn == slapd.user_dn("alice")
    assert set(found.texts("MAIL")) == {"alice@acme.test", "a.liddell@acme.test"}
    assert found.texts("memberof") == (slapd.group_dn("vpn-users"),)


async def test_a_base_that_does_not_exist_gives_none_and_another_refusal_is_told(ldap: Client) -> None:
    assert await ldap.search(f"ou=nowhere,{slapd.BASE}", Scope.SUBTREE, "(uid=alice)", ("uid",), timeout_s=T) == ()
    with pytest.raises(LdapRefused) as refused:
        await ldap.search("no name at all", Scope.BASE, "(uid=alice)", ("uid",), timeout_s=T)
    assert refused.value.result.code == Code.INVALID_DN


async def test_passwords_are_judged_by_the_server_with_its_controls(ldap: Client) -> None:
    for password, code in ((slapd.PASSWORD, 0), ("wrong", Code.INVALID_CREDENTIALS), (slapd.PASSWORD, 0)):
        result = await ldap.bind(slapd.user_dn("alice"), Secret(password), timeout_s=T, controls=(Control(PPOLICY),))
        assert result.code == code
        assert result.control(PPOLICY) is not None
        assert result.server == ldap.status()[0].server


async def test_an_empty_password_is_never_sent(ldap: Client) -> None:
    with pytest.raises(UsageError):
        await ldap.bind(slapd.user_dn("alice"), Secret(b""), timeout_s=T)
    with pytest.raises(UsageError):
        ldap.bound_as("", Secret(b"x"), timeout_s=T)


async def test_a_session_is_the_users_and_searches_stay_the_services(ldap: Client) -> None:
    async with ldap.bound_as(slapd.user_dn("alice"), Secret(slapd.PASSWORD), timeout_s=T) as (result, session):
        assert result.good
        mine = await session.extended(WHO_AM_I, None, timeout_s=T)
        assert mine.value == f"dn:{slapd.user_dn('alice')}".encode()
    service = await ldap.extended(WHO_AM_I, None, timeout_s=T)
    assert service.value == f"dn:{slapd.SERVICE}".encode()


async def test_a_modification_is_made_once_and_its_refusal_is_a_value(ldap: Client) -> None:
    mobile = Change(ChangeKind.REPLACE, "mobile", (b"+905551112233",))
    assert (await ldap.modify(slapd.user_dn("argon"), (mobile,), timeout_s=T)).good
    refused = await ldap.modify(slapd.user_dn("argon"), (Change(ChangeKind.REPLACE, "sn", (b"x",)),), timeout_s=T)
    assert refused.code == Code.INSUFFICIENT_ACCESS
    assert "x" not in repr(Change(ChangeKind.REPLACE, "userPassword", (b"x",))).replace("ChangeKind", "")


async def test_the_root_dse_is_read_and_the_server_told_to_be_up(ldap: Client) -> None:
    found = await ldap.root_dse(timeout_s=T)
    assert "1.3.6.1.4.1.4203.1.11.1" in found.texts("supportedExtension")
    (status,) = ldap.status()
    assert status.state is ServerState.UP
    assert status.answered_s is not None
    taken_s = status.answered_s
    # It is how long the answer took, and does not grow while nobody asks.
    assert ldap.status()[0].answered_s == taken_s < T


async def test_more_entries_than_a_page_come_whole_and_a_limit_holds() -> None:
    with slapd.server(users=1200) as server:
        ldap = client(server.ldaps, ca_file=server.ca_file)
        everybody = await ldap.search(slapd.BASE, Scope.SUBTREE, "(uid=user*)", ("uid",), timeout_s=T)
        streamed = [each async for each in ldap.stream(slapd.BASE, Scope.SUBTREE, "(uid=user*)", ("uid",), timeout_s=T, page=100)]
        assert len({each.dn for each in everybody}) == len(everybody) == 1200
        assert {each.dn for each in streamed} == {each.dn for each in everybody}
        for limit in (1, 499, 501, 1100):
            found = await ldap.search(slapd.BASE, Scope.SUBTREE, "(uid=user*)", ("uid",), timeout_s=T, limit=limit)
            assert len(found) == limit
        await ldap.close()


async def test_a_wrong_password_of_the_service_account_is_not_tried_again_and_again() -> None:
    server = slapd.shared()
    ldap = client(server.ldaps, ca_file=server.ca_file, password="wrong")
    asked = 0
    for _ in range(20):
        with pytest.raises(DirectoryUnavailable) as refused:
            await ldap.search(slapd.BASE, Scope.BASE, "(objectClass=*)", ("1.1",), timeout_s=T)
        asked += refused.value.code == "directory_account"
    assert asked == 20
    assert (await ldap.bind(slapd.user_dn("alice"), Secret(slapd.PASSWORD), timeout_s=T)).good
    await ldap.close()


# --- frozen and restarted -------------------------------------------------------------------------------------------------------


def two(first: slapd.Server, second: slapd.Server, directory: Path) -> Client:
    """A client of both, the first before the second."""
    both = directory / "ca.pem"
    both.write_bytes(Path(first.ca_file).read_bytes() + Path(second.ca_file).read_bytes())
    return client(first.ldaps, second.ldaps, ca_file=str(both))


async def test_a_frozen_server_stops_neither_the_loop_nor_a_login(tmp_path: Path) -> None:
    """SIGSTOP: the kernel accepts connections and takes what is sent; the server says nothing, on old connections and new."""
    with slapd.server() as first:
        ldap = two(first, slapd.shared(), tmp_path)
        alice = slapd.user_dn("alice")
        assert await ldap.search(alice, Scope.BASE, "(uid=alice)", ("uid",), timeout_s=T)
        assert (await ldap.bind(alice, Secret(slapd.PASSWORD), timeout_s=T)).server == ldap.status()[0].server
        first.freeze()
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        assert await ldap.search(slapd.BASE, Scope.SUBTREE, "(uid=alice)", ("uid",), timeout_s=4.0, limit=2)
        assert (await ldap.bind(alice, Secret(slapd.PASSWORD), timeout_s=4.0)).server == ldap.status()[1].server
        ticking.cancel()
        assert ticks > 50
        assert ldap.status()[0].state is not ServerState.UP
        first.thaw()
        await ldap.close()


async def test_a_bind_at_a_frozen_server_ends_unknown_and_is_sent_to_nobody_else(tmp_path: Path) -> None:
    with slapd.server() as first:
        ldap = two(first, slapd.shared(), tmp_path)
        alice = slapd.user_dn("alice")
        assert (await ldap.bind(alice, Secret(slapd.PASSWORD), timeout_s=T)).good
        first.freeze()
        with pytest.raises(DirectoryUnavailable) as unknown:
            await ldap.bind(alice, Secret(slapd.PASSWORD), timeout_s=1.0)
        assert unknown.value.code == "outcome_unknown"
        first.thaw()
        await ldap.close()


async def test_a_restarted_server_is_used_again(tmp_path: Path) -> None:
    with slapd.server() as server:
        ldap = client(server.ldaps, ca_file=server.ca_file)
        alice = slapd.user_dn("alice")
        assert (await ldap.bind(alice, Secret(slapd.PASSWORD), timeout_s=T)).good
        await asyncio.to_thread(server.restart)
        async with asyncio.timeout(T):
            while True:
                try:
                    assert await ldap.search(alice, Scope.BASE, "(uid=alice)", ("uid",), timeout_s=T)
                    assert (await ldap.bind(alice, Secret(slapd.PASSWORD), timeout_s=T)).good
                    break
                except DirectoryUnavailable:
                    await asyncio.sleep(0.1)
        await ldap.close()


async def test_a_server_without_tls_is_never_spoken_to_in_clear() -> None:
    with slapd.server(tls=False) as server:
        ldap = client(server.starttls, ca_file=slapd.shared().ca_file)
        with pytest.raises(DirectoryUnavailable, match="StartTLS"):
            await ldap.bind(slapd.user_dn("alice"), Secret(slapd.PASSWORD), timeout_s=T)
        await ldap.close()


# --- another maker's clients ----------------------------------------------------------------------------------------------------

FILTERS = (
    "(uid=alice)",
    "(uid=ali*)",
    "(mail=*@acme.test)",
    "(&(objectClass=inetOrgPerson)(!(uid=alice)))",
    "(|(uid=alice)(uid=argon)(cn=nobody))",
    "(cn:caseIgnoreMatch:=alice liddell)",
    "(uidNumber>=10000)",
    "(uidNumber<=10000)",
    "(cn~=alice)",
    "(ou:dn:=people)",
    "(uid=smith, \\28pat\\29\\2a)",
    "(cn=Ümit Öztürk)",
    "(objectClass=*)",
)
_ORACLE = """
import json, sys
import ldap
url, ca, dn, password, base, *filters = sys.argv[1:]
ldap.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
connection = ldap.initialize(url)
connection.simple_bind_s(dn, password)
found = {}
for each in filters:
    entries = connection.search_s(base, ldap.SCOPE_SUBTREE, each, ["*", "entryUUID"])
    found[each] = {dn: {n.lower(): sorted(v.hex() for v in vs) for n, vs in values.items()} for dn, values in entries}
print(json.dumps(found))
"""


@pytest.mark.neighbour("python-ldap")
async def test_python_ldap_reads_the_same() -> None:
    server = slapd.shared()
    who = [server.ldaps, server.ca_file, slapd.SERVICE, slapd.SERVICE_PASSWORD, slapd.BASE]
    command = ["/usr/bin/python3", "-c", _ORACLE, *who, *FILTERS]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
    ldap = client(server.ldaps, ca_file=server.ca_file)
    for each, wanted in json.loads(done.stdout).items():
        entries = await ldap.search(slapd.BASE, Scope.SUBTREE, each, ("*", "entryUUID"), timeout_s=T)
        found = {entry.dn: {n: sorted(v.hex() for v in vs) for n, vs in entry.attributes.items()} for entry in entries}
        assert found == wanted, each
    assert sum(map(bool, json.loads(done.stdout).values())) >= 10
    await ldap.close()
