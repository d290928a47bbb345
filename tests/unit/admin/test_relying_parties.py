"""Relying parties in the document: what is changed at once by two is changed by both."""

from dataclasses import replace

import pytest

from wardgate.admin import relying_parties
from wardgate.admin.office import Office
from wardgate.admin.relying_parties import Wanted
from wardgate.config.document import Document, parse
from wardgate.config.store import edit, load_current, save
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.federation.standing import metadata_of

DOCUMENT = """
realms:
  - {name: acme, default: true, directories: [staff]}
directories:
  - {name: staff, kind: local}
applications:
  - {name: wiki, kind: saml, entity_id: "https://wiki.acme.test/saml", acs: ["https://wiki.acme.test/acs"], claims: {mail: mail}}
"""
METADATA = """<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://wiki.acme.test/saml">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><AssertionConsumerService index="0"
Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://wiki.acme.test/acs"/></SPSSODescriptor></EntityDescriptor>
"""


async def test_claim_that_was_taken_away_while_metadata_was_read_does_not_come_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await save(office.storage, parse(DOCUMENT), "test", "", 0, office.clock, office.ring)

    def told_nothing(document: Document) -> Document:
        [wiki] = relying_parties.parties_of(document)
        return replace(document, applications=(replace(wiki, claims={}),))

    async def proved(settings: SamlApplicationSettings) -> None:
        assert metadata_of(settings, None).acs
        await edit(office.storage, office.ring, told_nothing, "somebody else", "", office.clock)

    monkeypatch.setattr(relying_parties, "_proved", proved)
    await relying_parties.renew_party(office, Wanted("wiki", text=METADATA))
    _, document = await load_current(office.storage)
    [wiki] = relying_parties.parties_of(document)
    assert (dict(wiki.claims), wiki.metadata is not None, wiki.acs) == ({}, True, ())
