"""Our metadata: valid by the schema, signed, and read by pysaml2 as we meant it."""

from dataclasses import replace

import pytest
from lxml import etree
from saml2 import md

from tests.saml import IDP, NOW_MS, PARTS, SLO_URL, SSO_URL, check_metadata, pair, signer
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import names, verifying, xml
from wardgate.federation.saml.metadata import OFFERED_NAME_IDS, Organisation, OwnMetadata, own_metadata
from wardgate.federation.saml.values import Contact

OWN = OwnMetadata(
    document_id="_md",
    entity_id=IDP,
    sign_in_url=SSO_URL,
    logout_url=SLO_URL,
    certificates=(pair().certificate, pair("rsa", "next").certificate),
    valid_until=NOW_MS + 3_600_000,
    cache_duration_s=3600,
    wants_requests_signed=True,
    display_names=(("en", "Sign in <here>"), ("tr", "Giriş")),
    organisation=Organisation("acme", "ACME & Söhne", "https://acme.test/"),
    contacts=(Contact("technical", "Ada", "ada@acme.test"),),
)


@pytest.mark.parametrize("kind", ["rsa", "p256"])
@pytest.mark.parametrize("content", [OWN, replace(OWN, display_names=(), organisation=None, contacts=())])
def test_it_is_valid_canonical_and_signed(content: OwnMetadata, kind: str) -> None:
    document = own_metadata(content, signer(kind))
    check_metadata(document)
    root = xml.parse(document, xml.METADATA)
    assert etree.tostring(root, method="c14n", exclusive=True) == document
    assert verifying.verified(root, [pair(kind).certificate], xml.METADATA).get("entityID") == IDP
    with pytest.raises(SamlMessageError):
        verifying.verified(root, [pair("rsa", "other").certificate], xml.METADATA)


def test_another_maker_reads_all_of_it() -> None:
    found = md.entity_descriptor_from_string(own_metadata(OWN, signer()))
    assert (found.entity_id, found.cache_duration) == (IDP, "PT3600S")
    role = found.idpsso_descriptor[0]
    assert role.want_authn_requests_signed == "true"
    both = {names.REDIRECT, names.POST}
    assert {(each.binding, each.location) for each in role.single_sign_on_service} == {(one, SSO_URL) for one in both}
    assert {(each.binding, each.location) for each in role.single_logout_service} == {(one, SLO_URL) for one in both}
    assert tuple(each.text for each in role.name_id_format) == OFFERED_NAME_IDS
    assert [each.use for each in role.key_descriptor] == ["signing", "signing"]
    assert found.organization.organization_display_name[0].text == "ACME & Söhne"
    assert found.contact_person[0].email_address[0].text == "mailto:ada@acme.test"


def test_requests_need_no_signature_unless_it_is_asked_for() -> None:
    root = etree.fromstring(own_metadata(replace(OWN, wants_requests_signed=False), signer()))
    role = root.find("md:IDPSSODescriptor", PARTS)
    assert role is not None
    assert role.get("WantAuthnRequestsSigned") == "false"
