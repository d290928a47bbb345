"""What is found wrong or weak in relying parties, by the clock and by what stands in the document."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.federation.parties import BY_HAND, certificate, document, metadata, pem
from wardgate.admin.configuration import apply_document
from wardgate.admin.findings import Finding, Level
from wardgate.admin.office import Office
from wardgate.admin.party_checks import examine_party, party_findings
from wardgate.clock import FixedClock
from wardgate.config.checks import doubts
from wardgate.config.document import Document, dump, parse, to_plain
from wardgate.config.store import first_document, save
from wardgate.federation.relying_party import KeyKind
from wardgate.federation.saml import names
from wardgate.federation.signing_keys import CERTIFICATE_DAYS, Change, make_first_keys, roll_key
from wardgate.federation.stored_metadata import TABLE, Stored, row_of
from wardgate.settings import HttpsListenerSettings, StartSettings
from wardgate.storage.port import Upsert

HERE = StartSettings(https=HttpsListenerSettings(public_url="https://login.acme.test"))
URL = "https://wiki.acme.test/metadata"
DAY_S = 86_400


async def found(office: Office, wanted: Document, settings: StartSettings = HERE) -> list[Finding]:
    return await party_findings(office, wanted, settings)


def told(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.level.value} {finding.what} -> {finding.cure}" for finding in findings)


def by_url(**changes: Any) -> Document:
    return document({"name": "wiki", "kind": "saml", "metadata": {"url": URL, **changes}})


async def fetched(office: Office, **changes: Any) -> None:
    stored = Stored("wiki", URL, metadata(), fetched_at=office.now_ms(), valid_until=office.now_ms() + 10 * DAY_S * 1000)
    await office.storage.commit([Upsert(TABLE, row_of(replace(stored, **changes)))])


async def test_an_installation_without_applications_hears_nothing_of_them(office: Office) -> None:
    assert await found(office, document(), StartSettings()) == []


async def test_a_good_application_hears_nothing(office: Office) -> None:
    await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.RSA])
    assert await found(office, document(BY_HAND)) == []


async def test_a_key_that_is_missing_or_ends_is_told(office: Office, clock: FixedClock) -> None:
    wanted = document({**BY_HAND, "key": "p256"})
    assert "no p256 key signs yet for relying party wiki" in told(await found(office, wanted))
    await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.P256])
    assert await found(office, wanted) == []
    clock.advance((CERTIFICATE_DAYS - 59) * DAY_S)
    [warning] = await found(office, wanted)
    assert (warning.level, "wardgate relying-party roll-key --kind p256" in warning.cure) == (Level.WARNING, True)
    clock.advance(60 * DAY_S)
    assert (await found(office, wanted))[0].level is Level.ERROR
    await roll_key(office.storage, office.ring, office.clock, Change(KeyKind.P256), "operator:olga")
    assert await found(office, wanted) == []


async def test_an_application_that_was_never_fetched_is_told(office: Office) -> None:
    assert "error relying party wiki is not served: its metadata has not been fetched yet" in told(await found(office, by_url()))


async def test_metadata_that_cannot_be_renewed_is_told_while_it_counts_and_after(office: Office, clock: FixedClock) -> None:
    await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.RSA])
    await fetched(office)
    assert await found(office, by_url()) == []
    await fetched(office, failures=3, problem="the connection is refused")
    assert "its metadata cannot be renewed (the connection is refused); what there is counts until 2026-01-15 08:00 UTC" in told(
        await found(office, by_url())
    )
    clock.advance(10 * DAY_S)
    assert "error relying party wiki is not served: its metadata ended on 2026-01-15" in told(await found(office, by_url()))


async def test_an_installation_without_a_name_of_its_own_is_told(office: Office) -> None:
    await save(office.storage, document(BY_HAND), "test", "", 0, office.clock, office.ring)
    tested = await examine_party(office, StartSettings(), name="wiki")
    assert any("the portal has no public_url" in each["what"] for each in tested["findings"])
    # `check` says it of the listener already (`machine_checks`).
    assert "the portal has no public_url" not in told(await found(office, document(BY_HAND), StartSettings()))
    elsewhere = StartSettings(https=HttpsListenerSettings(doors=("health",)))
    assert "no listener here has the portal" in told(await found(office, document(BY_HAND), elsewhere))


async def test_a_certificate_of_an_application_that_ends_soon_is_told(office: Office, clock: FixedClock) -> None:
    wanted = document({**BY_HAND, "certificates": [pem(certificate())]})
    await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.RSA])
    clock.advance(40 * 365 * DAY_S)
    assert "a certificate of its metadata ended on" in told(await found(office, wanted))


async def test_addresses_and_names_that_do_not_fit_the_metadata_are_told_by_test(office: Office) -> None:
    plain = f'<md:AssertionConsumerService Binding="{names.POST}" Location="http://wiki.acme.test/acs" index="1"/>'
    text = metadata(
        inside=f"<md:NameIDFormat>{names.FORMAT_TRANSIENT}</md:NameIDFormat>{plain}", role=' WantAssertionsSigned="true"'
    )
    party = {"name": "wiki", "kind": "saml", "metadata": {"text": text}, "name_id": {"format": "email"}, "sign": "response"}
    wanted = document(party)
    await save(office.storage, wanted, "test", "", 0, office.clock, office.ring)
    findings = [each["what"] for each in (await examine_party(office, HERE, name="wiki"))["findings"]]
    assert "wiki: it is told names of the kind emailAddress, and its metadata takes transient" in findings
    assert "wiki: its metadata wants assertions signed, and the response alone is" in findings
    assert "wiki: of its metadata's addresses 1 are plain http, and nothing is sent there" in findings


async def test_namesakes_of_two_realms_are_told_by_check_and_by_test(office: Office) -> None:
    await make_first_keys(office.storage, office.ring, office.clock, [KeyKind.RSA])
    party = {**BY_HAND, "claims": {"uid": "user_name"}}
    assert await found(office, document(party)) == []
    wanted = document(party, realms=("acme", "beta"))
    [warning] = await found(office, wanted)
    assert warning.level is Level.WARNING
    assert "relying party wiki: claims.uid: two people of one user name in two realms" in warning.what
    await save(office.storage, wanted, "test", "", 0, office.clock, office.ring)
    result = await examine_party(office, HERE, name="wiki")
    assert warning.what in [each["what"] for each in result["findings"]]


async def test_an_icon_that_cannot_be_shown_is_told(office: Office, tmp_path: Path) -> None:
    icon = tmp_path / "wiki.svg"
    wanted = document({**BY_HAND, "launchpad": {"icon_file": str(icon)}})
    assert "wiki.svg cannot be read" in told(await found(office, wanted))
    icon.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="10"/></svg>')
    assert "wiki.svg" not in told(await found(office, wanted))


async def test_a_document_whose_metadata_file_is_not_there_is_applied_with_a_warning(office: Office, tmp_path: Path) -> None:
    await save(office.storage, first_document(False), "test", "", 0, office.clock, office.ring)
    wanted = document({"name": "wiki", "kind": "saml", "metadata": {"file": str(tmp_path / "wiki.xml")}})
    applied = await apply_document(office, text=dump(wanted))
    assert applied["applied"] is True
    assert any("applications[0]: wiki is not served" in warning for warning in applied["warnings"])


async def test_every_finding_of_one_application_is_told_gravest_first(office: Office) -> None:
    await save(office.storage, document({**BY_HAND, "preset": "aws"}), "test", "", 0, office.clock, office.ring)
    result = await examine_party(office, StartSettings(), name="wiki", online=False)
    levels = [finding["level"] for finding in result["findings"]]
    assert levels == sorted(levels, key=["error", "warning", "info"].index)
    assert result["ok"] is True
    assert "Delete the console passwords" in result["unseen"][0]


@pytest.mark.parametrize(("more", "doubted"), [([], True), (["department"], False)])
def test_an_attribute_that_no_directory_reads_is_doubted(more: list[str], doubted: bool) -> None:
    directory = {
        "name": "corp",
        "kind": "openldap",
        "servers": ["ldaps://ldap.acme.test"],
        "base": "dc=acme,dc=test",
        "bind": {"dn": "cn=wardgate,dc=acme,dc=test", "password": {"env": "LDAP"}},
        "attributes": {"more": more},
    }
    plain = to_plain(document({**BY_HAND, "claims": {"unit": "attribute.Department"}}))
    plain |= {"realms": [{"name": "acme", "default": True, "directories": ["corp"]}], "directories": [directory]}
    told = [str(fault) for fault in doubts(parse(plain))]
    assert any("no directory reads Department" in each for each in told) is doubted
