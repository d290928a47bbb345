"""The rights that the pages about directories give are enough, and no more is: the lines of each page, on the real server."""

from itertools import count
from typing import Any

import asyncpg
import pytest

from tests import mariadb, postgresql, samba, slapd
from tests.docs.pages import ROOT, Block, blocks
from tests.openldap_directory import parts
from tests.samba_dc import cast
from wardgate.config.document import parse
from wardgate.config.reference import ClearValue
from wardgate.crypto import Secret
from wardgate.directory.active_directory import grants
from wardgate.directory.ldap.settings import BindSettings
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.directory.port import Closing, Directory, Examining, Finding, PasswordResetting, PasswordVerdict, Verdict
from wardgate.directory.registry import build_directory
from wardgate.directory.sql.settings import ColumnSettings, SqlSettings
from wardgate.errors import WardgateError

OU = f"OU=Staff,{cast.BASE}"
COLUMNS = ColumnSettings(id="id", username="login", password="pw_hash", mail="email", phone="gsm", disabled="is_disabled")
_numbers = count(1)


def block(page: str, mark: str) -> Block:
    """The block of a page that stands below this mark."""
    [found] = [each for each in blocks(ROOT / "docs" / "directories" / page) if each.mark == mark]
    return found


async def examined(directory: Directory, scratch: str, password: str) -> dict[str, Finding]:
    """All findings, by what they are about."""
    assert isinstance(directory, Examining)
    try:
        return {each.what: each async for each in directory.examine(scratch, Secret(password))}
    finally:
        if isinstance(directory, Closing):
            await directory.close()


def not_good(findings: dict[str, Finding]) -> dict[str, Finding]:
    """What is bad or weak."""
    return {what: each for what, each in findings.items() if each.verdict in (Verdict.BAD, Verdict.WARNING)}


def not_good_rights(findings: dict[str, Finding]) -> dict[str, Finding]:
    """The same, of what has to do with rights."""
    return {what: each for what, each in not_good(findings).items() if what.startswith(("right", "column", "change", "reset"))}


# --- Active Directory ----------------------------------------------------------------------------------------------------


def test_the_lines_for_active_directory_are_those_that_the_doctor_prints() -> None:
    """Which its own tests apply to a real domain controller."""
    who = grants.Grantee("ACME\\svc-sspr", "SID")
    wanted = [grants.to_reset(who, OU), *(grants.to_write(who, OU, name) for name in ("lockoutTime", "pwdLastSet", "mobile"))]
    assert block("active-directory.md", "dsacls").text.splitlines() == [windows for windows, _ in wanted]
    assert block("active-directory.md", "sddl").text.splitlines() == [sddl for _, sddl in wanted]


@pytest.mark.neighbour("samba")
async def test_with_the_lines_of_the_page_nothing_is_bad_and_elsewhere_nothing_may_be_reset() -> None:
    """The cast's service account has the rights of the page on one OU, and none anywhere else."""
    domain = samba.shared()
    name = samba.name("page")
    domain.add_user(name, cast.PASSWORD, ou=cast.SCRATCH)
    directory = build_directory(domain.settings(), parts())
    assert isinstance(directory, PasswordResetting)
    guarded = await directory.find("guarded", 20)
    assert guarded is not None
    with pytest.raises(WardgateError) as refused:
        await directory.reset_password(guarded, Secret("An0ther-of-1815"), False, 20)
    assert refused.value.code == "directory_right_missing"
    findings = await examined(directory, name, cast.PASSWORD)
    rights = {what: each for what, each in findings.items() if what.startswith("right to")}
    assert {each.verdict for each in rights.values()} == {Verdict.GOOD}, rights
    assert not [each for each in findings.values() if each.verdict is Verdict.BAD]


def openldap(server: slapd.Server) -> OpenLdapSettings:
    """The directory of the page, on this server."""
    return OpenLdapSettings(
        name="acme-ldap",
        kind="openldap",
        servers=(server.ldaps,),
        ca_file=server.ca_file,
        bind=BindSettings(dn=slapd.SERVICE, password=ClearValue(value=slapd.SERVICE_PASSWORD)),
        base=slapd.BASE,
        default_policy=slapd.policy_dn("default"),
        write_contacts=("phone",),
    )


# --- OpenLDAP ------------------------------------------------------------------------------------------------------------


@pytest.mark.neighbour("slapd")
async def test_with_the_rules_of_the_openldap_page_nothing_is_bad() -> None:
    lines = [line.removeprefix("olcAccess: ") for line in block("openldap.md", "access").text.splitlines()]
    assert [line[:3] for line in lines] == [f"{{{number}}}" for number in range(5)]
    limits = block("openldap.md", "limits").text.strip().removeprefix("olcLimits: ")
    with slapd.server(access=[line[3:] for line in lines], limits=limits) as server:
        server.add_user("scratch", slapd.PASSWORD, pwdChangedTime=slapd.ago(3600))
        findings = await examined(build_directory(openldap(server), parts()), "scratch", slapd.PASSWORD)
        assert not_good(findings) == {}
        # Its rights end there: nobody's hash can be read, and nothing else written.
        told = server.run("ldapsearch", "-LLL", "-b", slapd.BASE, "(uid=alice)", "userPassword", "pwdHistory", who="service")
        assert b"uid=alice" in told.stdout
        assert b"userPassword" not in told.stdout
        change = slapd.ldif(slapd.user_dn("alice"), {"cn": "Mallory"}, ("changetype: modify", "replace: cn"))
        assert server.run("ldapmodify", who="service", given=change).returncode == 50


@pytest.mark.neighbour("slapd")
async def test_for_logins_alone_two_rules_of_the_openldap_page_are_enough() -> None:
    first, *_, last = [line.removeprefix("olcAccess: ")[3:] for line in block("openldap.md", "access").text.splitlines()]
    assert first.count(f' by dn.exact="{slapd.SERVICE}" =xw') == 1
    with slapd.server(access=[first.replace(f' by dn.exact="{slapd.SERVICE}" =xw', ""), last]) as server:
        directory = build_directory(openldap(server), parts())
        try:
            user = await directory.find("alice", 20)
            assert user is not None
            assert {"vpn-users", "staff"} <= set(user.groups)
            assert await directory.check_password(user, Secret(slapd.PASSWORD), 20) is PasswordVerdict.RIGHT
            assert isinstance(directory, PasswordResetting)
            with pytest.raises(WardgateError) as refused:
                await directory.reset_password(user, Secret("An0ther-of-1815"), False, 20)
            assert refused.value.code == "directory_right_missing"
        finally:
            assert isinstance(directory, Closing)
            await directory.close()


# --- SQL -----------------------------------------------------------------------------------------------------------------


@pytest.mark.neighbour("postgresql")
async def test_with_the_grants_of_the_sql_page_nothing_is_missing_and_nothing_else_may_be_written() -> None:
    server = postgresql.shared()
    database = await server.create()
    role = f"wardgate{next(_numbers)}"
    columns = "id integer primary key, login text, pw_hash text, email text, gsm text, is_disabled boolean, salary integer"
    await server.execute(f"CREATE TABLE employee ({columns}); CREATE TABLE team (login text, name text)", database)
    await server.execute(
        f"INSERT INTO employee VALUES (1, 'deniz', '{slapd.ssha(slapd.PASSWORD)}', 'deniz@acme.test', '+905330001122', false, 1)",
        database,
    )
    await server.execute(f"CREATE ROLE {role} LOGIN", database)
    await server.execute(block("sql.md", "grants: postgresql").text.replace("TO wardgate;", f"TO {role};"), database)
    url = server.url(database)
    before, _, rest = url.rpartition("@")
    scheme = before.partition("://")[0]
    ours = f"{scheme}://{role}@{rest}"
    settings = SqlSettings(
        name="hr",
        kind="sql",
        url=ours,
        table="employee",
        columns=COLUMNS,
        group_statement="select name from team where login = :username",
    )
    findings = await examined(build_directory(settings, parts()), "deniz", slapd.PASSWORD)
    assert not_good_rights(findings) == {}
    assert not [each for each in findings.values() if each.verdict is Verdict.BAD], findings
    connection: Any = await asyncpg.connect(ours)
    try:
        for statement in ("UPDATE employee SET is_disabled = false", "SELECT salary FROM employee", "DELETE FROM employee"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.neighbour("mariadb")
async def test_with_the_grants_of_the_sql_page_mariadb_lacks_nothing_either() -> None:
    server = mariadb.shared()
    whom = f"'page{next(_numbers)}'@'127.0.0.1'"
    lines = block("sql.md", "grants: mysql").text.replace("'wardgate'@'%'", whom).splitlines()
    columns = "id integer primary key, login varchar(80), pw_hash text, email varchar(80), gsm text, is_disabled boolean"
    server.execute("CREATE DATABASE hr")
    server.execute(
        f"CREATE TABLE employee ({columns})",
        "CREATE TABLE team (login varchar(80), name text)",
        f"INSERT INTO employee VALUES (1, 'deniz', '{slapd.ssha(slapd.PASSWORD)}', 'deniz@acme.test', '+905330001122', false)",
        f"CREATE USER {whom} IDENTIFIED BY 'of the page'",
        *[line.removesuffix(";") for line in lines],
        database="hr",
    )
    user = whom.split("'")[1]
    settings = SqlSettings(
        name="hr",
        kind="sql",
        url=f"mariadb://{user}@127.0.0.1:{server.port}/hr",
        password=ClearValue(value="of the page"),
        table="employee",
        columns=COLUMNS,
        group_statement="select name from team where login = :username",
    )
    findings = await examined(build_directory(settings, parts()), "deniz", slapd.PASSWORD)
    assert not_good_rights(findings) == {}
    assert not [each for each in findings.values() if each.verdict is Verdict.BAD], findings


@pytest.mark.parametrize("page", ["active-directory.md", "openldap.md", "sql.md", "README.md"])
def test_every_page_shows_a_document_of_its_kind(page: str) -> None:
    [shown] = [each for each in blocks(ROOT / "docs" / "directories" / page) if each.mark == "yaml: document"]
    assert parse(shown.text).directories
