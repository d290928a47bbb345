"""The configuration as a whole, when the version in force is one that this release cannot use: the cure must stay within reach."""

import json
from datetime import timedelta

import pytest

from wardgate.account.subject import create_subject
from wardgate.admin.configuration import apply_document, diff_document, export_document, roll_back
from wardgate.admin.office import Office
from wardgate.config.document import parse
from wardgate.config.store import first_document, load_current, save
from wardgate.errors import SettingsError
from wardgate.storage.port import Update

DOCUMENT = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
nas: [{name: hq, addresses: [10.0.0.1], secret: {value: a-secret-of-hq}, application: vpn}]
applications: [{name: vpn}]
"""


@pytest.fixture
async def refused(office: Office) -> Office:
    """Version 1 can be used; version 2, in force, has what an upgrade refuses."""
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    await apply_document(office, text=DOCUMENT)
    row = await office.storage.get("configuration", {"version": 2})
    assert row is not None
    stored = json.loads(str(row["document"]))
    stored["nas"][0]["no_longer_known"] = True
    await office.storage.commit([Update("configuration", {"version": 2}, {"document": json.dumps(stored)})])
    with pytest.raises(SettingsError, match="cannot be used"):
        await load_current(office.storage)
    return office


async def test_a_document_that_this_release_refuses_can_be_exported_corrected_and_applied(refused: Office) -> None:
    exported = str((await export_document(refused))["yaml"])
    assert exported.startswith("# version 2 of the configuration cannot be used")
    assert "a-secret-of-hq" not in exported
    assert (await diff_document(refused, text=exported.replace("no_longer_known: true", "status_server: false")))["version"] == 2
    applied = await apply_document(refused, text=exported.replace("no_longer_known: true", "status_server: false"))
    assert (applied["version"], applied["applied"]) == (3, True)
    version, document = await load_current(refused.storage)
    assert (version, document.nas[0].status_server) == (3, False)


async def test_a_document_that_this_release_refuses_can_be_rolled_back(refused: Office) -> None:
    assert (await roll_back(refused, version=1))["version"] == 3
    assert await load_current(refused.storage) == (3, first_document(demo=False))


async def test_a_document_that_is_damaged_can_be_rolled_back(refused: Office) -> None:
    await refused.storage.commit([Update("configuration", {"version": 2}, {"document": "{"})])
    with pytest.raises(SettingsError, match="damaged"):
        await export_document(refused)
    assert (await roll_back(refused, version=1))["version"] == 3


async def test_the_wrong_expected_version_is_a_conflict_even_then(refused: Office) -> None:
    with pytest.raises(Exception, match="changed meanwhile"):
        await apply_document(refused, text=DOCUMENT, expected_version=1)


HR = """
realms: [{name: default, default: true, directories: [hr]}]
directories:
  - {name: hr, kind: sql, url: "sqlite:////var/lib/hr.db", table: employee, columns: {id: id, username: login, password: hash}}
"""
LDAP = """
realms: [{name: default, default: true, directories: [hr]}]
directories:
  - name: hr
    kind: openldap
    servers: ["ldaps://ldap.acme.test"]
    bind: {dn: "cn=us,dc=acme,dc=test", password: {value: secret}}
    base: "dc=acme,dc=test"
    attributes: {id: uidNumber}
"""
NONE = "realms: [{name: default, default: true, directories: [local]}]\ndirectories: [{name: local, kind: local}]\n"


@pytest.mark.parametrize(
    ("before", "after", "warned"),
    [
        (HR, HR.replace("hr.db", "other.db"), True),
        (HR, HR.replace("employee", "former_employee"), True),
        (HR, HR.replace("id: id", "id: number"), True),
        (NONE, HR, True),
        (LDAP, HR, True),
        (LDAP, LDAP.replace('base: "dc=acme', 'base: "dc=other'), True),
        (LDAP, LDAP.replace("uidNumber", "entryUUID"), False),
        (LDAP, LDAP.replace("ldaps://ldap.", "ldaps://ldap2."), False),
        (HR, HR.replace("hash}", "pw}"), False),
        (HR, NONE.replace("local]", "hr]").replace("name: local", "name: hr"), False),
    ],
)
async def test_a_directory_that_takes_the_place_of_another_is_told_before_strangers_inherit(
    office: Office, before: str, after: str, warned: bool
) -> None:
    """Number 5 of one table is not number 5 of another, and what hangs on it would be handed over by a change of the settings."""
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    await apply_document(office, text=before)
    assert not [line for line in (await apply_document(office, text=after, dry_run=True))["warnings"] if "a new name" in line]
    _, operations = create_subject("hr", "5", 0)
    await office.storage.commit(operations)

    told = [line for line in (await apply_document(office, text=after, dry_run=True))["warnings"] if "a new name" in line]

    assert [line.split(":")[0] for line in told] == (["directories.hr"] if warned else [])


def test_the_document_of_these_tests_is_one() -> None:
    assert parse(DOCUMENT).nas[0].name == "hq"


async def test_a_difference_of_very_many_things_is_not_compared_line_by_line(office: Office) -> None:
    """It would keep the processor from logins for a minute."""
    await save(office.storage, parse(DOCUMENT), "test", "", 0, office.clock, office.ring)
    nas = "".join(
        f", {{name: n{n}, addresses: [10.1.{n % 250}.{n // 250}], secret: {{env: A}}, application: vpn}}" for n in range(300)
    )
    told = await diff_document(office, text=DOCUMENT.replace("application: vpn}]", f"application: vpn}}{nas}]"))
    assert len(told["added"]) == 300
    assert told["unified"] == "# 300 things differ; line by line are shown at most 200"


async def test_a_span_that_becomes_shorter_is_told_before_anything_is_erased(office: Office) -> None:
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    shorter = DOCUMENT + "retention: {audit_logins: 30d, timeline: 60d}\n"
    told = await apply_document(office, text=shorter, dry_run=True)
    assert told["warnings"] == ["retention.audit_logins: 400d becomes 30d: what is older is erased for good by the next sweep"]
    assert "retention (audit_logins, timeline)" in told["changed"]
    assert (await apply_document(office, text=shorter))["warnings"] == told["warnings"]
    # Back to longer spans there is nothing to warn of but the timeline's.
    assert [each.partition(":")[0] for each in (await roll_back(office, version=1))["warnings"]] == ["retention.timeline"]


WEAKER = (
    DOCUMENT.replace("[{name: vpn}]", "[{name: vpn, policy: staff}]")
    + """
policies:
  - name: staff
    rules: [{name: everybody, then: {steps: [[password], [totp]]}}]
    self_service: {reset: {accept_weaker: {reason: "migration", until: UNTIL}}}
"""
)


def weaker(office: Office, days: int) -> str:
    """A document with an exception that ends so many days from now."""
    return WEAKER.replace("UNTIL", (office.clock.now().date() + timedelta(days=days)).isoformat())


async def test_exception_that_would_weaken_recovery_for_ever_is_refused(office: Office) -> None:
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    with pytest.raises(SettingsError, match="at most 366 days ahead"):
        await apply_document(office, text=weaker(office, 367))
    assert (await apply_document(office, text=weaker(office, 366)))["warnings"] == []


@pytest.mark.parametrize(("days", "words"), [(30, "it ends with"), (0, "it ends with"), (-1, "it ended on")])
async def test_exception_whose_end_is_near_or_past_is_told(office: Office, days: int, words: str) -> None:
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    [warning] = (await apply_document(office, text=weaker(office, days)))["warnings"]
    assert warning.startswith("policies.staff.self_service.reset.accept_weaker: ")
    assert words in warning
