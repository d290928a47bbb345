"""An application's metadata: what is read, what is refused, and one document of many entities."""

import base64
from collections.abc import Sequence

import pytest
from lxml import etree

from tests.saml import NOW_MS, SP, Pair, check_metadata, pair
from wardgate.errors import SamlMessageError
from wardgate.federation.saml import names, signing
from wardgate.federation.saml.addresses import checked_url
from wardgate.federation.saml.sp_metadata import MAX_KEYS, entity_ids, parse_sp_metadata
from wardgate.federation.saml.values import (
    AttributeService,
    Binding,
    Contact,
    Endpoint,
    RequestedAttribute,
    SpMetadata,
)
from wardgate.federation.saml.writing import Xml, instant

ACS = "https://wiki.acme.test/sp/acs"
HOUR_MS = 3_600_000
CONSUMER = f'<md:AssertionConsumerService Binding="{names.POST}" Location="{ACS}" index="0"/>'


def key(certificate: bytes, use: str = "") -> str:
    shown = base64.encodebytes(certificate).decode()
    named = f' use="{use}"' if use else ""
    return (
        f'<md:KeyDescriptor{named}><ds:KeyInfo xmlns:ds="{names.DSIG}"><ds:X509Data><ds:X509Certificate>\n{shown}'
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )


def sp(inside: str = CONSUMER, *, role: str = "", entity: str = "", entity_id: str = SP, behind: str = "") -> str:
    return (
        f'<md:EntityDescriptor xmlns:md="{names.METADATA}" entityID="{entity_id}"{entity}>'
        f'<md:SPSSODescriptor protocolSupportEnumeration="urn:x {names.PROTOCOL}"{role}>{inside}</md:SPSSODescriptor>'
        f"{behind}</md:EntityDescriptor>"
    )


def group(*entities: str, attributes: str = "") -> str:
    return f'<md:EntitiesDescriptor xmlns:md="{names.METADATA}"{attributes}>{"".join(entities)}</md:EntitiesDescriptor>'


def read(text: str, entity_id: str = "", trusted: Sequence[bytes] = ()) -> SpMetadata:
    return parse_sp_metadata(text.encode(), NOW_MS, entity_id, trusted)


def refusal(text: str, entity_id: str = "", trusted: Sequence[bytes] = ()) -> str:
    with pytest.raises(SamlMessageError) as caught:
        read(text, entity_id, trusted)
    return caught.value.code


FULL = sp(
    f"""<!-- made by hand --><md:Extensions><mdui:UIInfo xmlns:mdui="{names.METADATA_UI}">
      <mdui:DisplayName xml:lang="en">Wiki</mdui:DisplayName><mdui:DisplayName xml:lang="TR">Viki</mdui:DisplayName>
      <mdui:InformationURL xml:lang="en">https://wiki.acme.test/about</mdui:InformationURL>
      <mdui:Logo width="16" height="16">https://wiki.acme.test/16.png</mdui:Logo>
      <mdui:Logo width="64" height="64">https://wiki.acme.test/64.png</mdui:Logo>
      <mdui:Logo width="99" height="99">data:image/png;base64,AAAA</mdui:Logo></mdui:UIInfo></md:Extensions>"""
    + key(pair("rsa", "sp").certificate, "signing")
    + key(pair("p256", "sp").certificate)
    + key(pair("rsa", "sp-encryption").certificate, "encryption")
    + f"""<md:SingleLogoutService Binding="{names.REDIRECT}" Location="https://wiki.acme.test/slo"
        ResponseLocation="https://wiki.acme.test/slo/done"/>
      <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="http://inside:8080/slo"/>
      <md:NameIDFormat>{names.FORMAT_PERSISTENT}</md:NameIDFormat>
      <md:NameIDFormat>\n{names.FORMAT_TRANSIENT} </md:NameIDFormat>
      <md:AssertionConsumerService Binding="{names.POST}" Location="{ACS}" index="0"/>
      <md:AssertionConsumerService Binding="{names.POST}" Location="{ACS}?second" index="1" isDefault="true"/>
      <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" Location="{ACS}" index="2"/>
      <md:AttributeConsumingService index="4" isDefault="1"><md:ServiceName xml:lang="en">Pages</md:ServiceName>
        <md:RequestedAttribute Name="mail" FriendlyName="E-mail" isRequired="true"/>
        <md:RequestedAttribute Name="urn:oid:2.5.4.42" NameFormat="{names.ATTRIBUTE_URI}"/></md:AttributeConsumingService>""",
    role=f' AuthnRequestsSigned="true" WantAssertionsSigned="1" validUntil="{instant(NOW_MS + 2 * HOUR_MS)}"',
    entity=f' validUntil="{instant(NOW_MS + HOUR_MS)}" cacheDuration="PT6H"',
    behind="""<md:Organization><md:OrganizationName xml:lang="en">acme</md:OrganizationName>
      <md:OrganizationDisplayName xml:lang="en">ACME</md:OrganizationDisplayName>
      <md:OrganizationURL xml:lang="en">https://acme.test</md:OrganizationURL></md:Organization>
      <md:ContactPerson contactType="technical"><md:GivenName>Ada</md:GivenName><md:SurName>L</md:SurName>
      <md:EmailAddress>mailto:ada@acme.test</md:EmailAddress></md:ContactPerson>""",
)


def test_everything_of_use_is_read() -> None:
    check_metadata(FULL.encode())
    assert read(FULL) == SpMetadata(
        entity_id=SP,
        acs=(
            Endpoint(ACS, Binding.POST, 0),
            Endpoint(f"{ACS}?second", Binding.POST, 1, True),
        ),
        slo=(Endpoint("https://wiki.acme.test/slo", Binding.REDIRECT, response_url="https://wiki.acme.test/slo/done"),),
        signing_certificates=(pair("rsa", "sp").certificate, pair("p256", "sp").certificate),
        encryption_certificates=(pair("p256", "sp").certificate, pair("rsa", "sp-encryption").certificate),
        wants_assertions_signed=True,
        authn_requests_signed=True,
        name_id_formats=(names.FORMAT_PERSISTENT, names.FORMAT_TRANSIENT),
        attribute_services=(
            AttributeService(
                4,
                True,
                (
                    RequestedAttribute("mail", "E-mail", required=True),
                    RequestedAttribute("urn:oid:2.5.4.42", name_format=names.ATTRIBUTE_URI),
                ),
            ),
        ),
        valid_until=NOW_MS + HOUR_MS,
        cache_duration_s=6 * 3600,
        display_names=(("en", "Wiki"), ("tr", "Viki")),
        logo_url="https://wiki.acme.test/64.png",
        information_url="https://wiki.acme.test/about",
        contacts=(Contact("technical", "Ada L", "ada@acme.test"),),
        acs_elsewhere=(Endpoint(ACS, "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact", 2),),
    )


def test_the_smallest_metadata_is_read() -> None:
    found = read(sp())
    assert (found.entity_id, [each.url for each in found.acs]) == (SP, [ACS])
    assert (found.display_names, found.logo_url, found.valid_until, found.cache_duration_s) == ((), "", None, None)


def test_a_byte_order_mark_and_a_declaration_are_taken() -> None:
    assert parse_sp_metadata(b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\n" + sp().encode(), NOW_MS).entity_id == SP


def test_names_come_from_the_service_or_the_organisation_otherwise() -> None:
    service = '<md:ServiceName xml:lang="en">Pages</md:ServiceName>'
    service = f'<md:AttributeConsumingService index="0">{service}</md:AttributeConsumingService>'
    assert read(sp(CONSUMER + service)).display_names == (("en", "Pages"),)
    organisation = '<md:OrganizationDisplayName xml:lang="tr">ACME</md:OrganizationDisplayName>'
    organisation = f"<md:Organization>{organisation}</md:Organization>"
    assert read(sp(behind=organisation)).display_names == (("tr", "ACME"),)


def test_what_people_alone_read_keeps_no_application_out() -> None:
    """A name that is too long, a logo of no size, contacts without end: nothing of it says where an answer goes."""
    described = f"""<md:Extensions><mdui:UIInfo xmlns:mdui="{names.METADATA_UI}">
      <mdui:DisplayName xml:lang="en">{"x" * 300}</mdui:DisplayName><mdui:DisplayName xml:lang="tr">Viki</mdui:DisplayName>
      <mdui:InformationURL xml:lang="en">https://wiki.acme.test/{"x" * 3_000}</mdui:InformationURL>
      <mdui:Logo width="16px" height="16px">https://wiki.acme.test/16.png</mdui:Logo>
      <mdui:Logo width="999999" height="1">data:image/png;base64,{"A" * 9_000}</mdui:Logo></mdui:UIInfo></md:Extensions>"""
    contact = f'<md:ContactPerson contactType="other"><md:EmailAddress>{"x" * 400}</md:EmailAddress></md:ContactPerson>'
    found = read(sp(described + CONSUMER, behind=contact * 40))
    assert (found.display_names, found.logo_url, found.information_url) == ((("tr", "Viki"),), "https://wiki.acme.test/16.png", "")
    assert {each.email for each in found.contacts} == {""}


def test_one_of_many_is_found_by_its_id() -> None:
    other = sp(CONSUMER.replace(ACS, "https://blog.acme.test/acs"), entity_id="https://blog.acme.test")
    idp = (
        f'<md:EntityDescriptor xmlns:md="{names.METADATA}" entityID="https://idp.test"><md:IDPSSODescriptor/></md:EntityDescriptor>'
    )
    many = group(idp, group(other), sp())
    assert read(many, SP).acs[0].url == ACS
    assert read(many, "https://blog.acme.test").acs[0].url == "https://blog.acme.test/acs"
    assert entity_ids(many.encode()) == (SP, "https://blog.acme.test")
    assert read(group(idp, sp())).entity_id == SP
    for asked in ("", "https://idp.test", "https://nobody.test"):
        assert refusal(many, asked) == "saml_entity"


def test_two_entities_of_one_id_are_refused() -> None:
    """Whoever reads the first and whoever reads the last would trust different keys."""
    evil = sp(CONSUMER.replace("wiki", "evil"))
    assert refusal(group(sp(), evil), SP) == "saml_two_entities"
    assert refusal(group(sp(), group(evil)), SP) == "saml_two_entities"
    blog = sp(entity_id="https://blog.acme.test")
    assert refusal(group(sp(), blog, blog), SP) == "saml_two_entities"


def test_two_roles_of_saml2_are_refused() -> None:
    role = f'<md:SPSSODescriptor protocolSupportEnumeration="{names.PROTOCOL}">{CONSUMER}</md:SPSSODescriptor>'
    assert refusal(sp(behind=role)) == "saml_entity"
    older = role.replace(names.PROTOCOL, "urn:oasis:names:tc:SAML:1.1:protocol")
    assert read(sp(behind=older)).entity_id == SP
    assert refusal(sp().replace(names.PROTOCOL, "urn:oasis:names:tc:SAML:1.1:protocol")) == "saml_entity"


@pytest.mark.parametrize("place", ["entity", "role", "group"])
def test_expired_metadata_is_refused(place: str) -> None:
    ends = f' validUntil="{instant(NOW_MS)}"'
    text = {"entity": sp(entity=ends), "role": sp(role=ends), "group": group(sp(), attributes=ends)}[place]
    assert refusal(text, SP) == "saml_expired"
    later = text.replace(instant(NOW_MS), instant(NOW_MS + 1))
    assert read(later, SP).valid_until == NOW_MS + 1


def test_the_first_end_and_the_shortest_keeping_count() -> None:
    text = group(
        sp(entity=f' validUntil="{instant(NOW_MS + 5)}" cacheDuration="P1D"'),
        attributes=f' validUntil="{instant(NOW_MS + 9)}" cacheDuration="PT1H30M"',
    )
    found = read(text, SP)
    assert (found.valid_until, found.cache_duration_s) == (NOW_MS + 5, 5400)


@pytest.mark.parametrize(
    "url",
    [
        "http://wiki.acme.test/acs",
        "https://wiki.acme.test/acs#part",
        "https://ada:secret@wiki.acme.test/acs",
        "https://wiki.acme.test@evil.test/acs",
        "javascript:alert(1)",
        "data:text/html,x",
        "//wiki.acme.test/acs",
        "https:///acs",
        "https://wiki.acme.test:x/acs",
        "https://wiki.acme.test\\@evil.test/",
        "https://wiki.acme.test/ acs",
        "https://wikı.acme.test/acs",
        "https://" + "a" * 2048,
        "http://127.0.0.1.evil.test/acs",
        "http://[::1/acs",
        "",
    ],
)
def test_address_that_no_answer_may_go_to_is_refused(url: str) -> None:
    with pytest.raises(SamlMessageError):
        checked_url(url)
    shown = url.replace("&", "&amp;")
    assert refusal(sp(CONSUMER.replace(ACS, shown))) in ("saml_address", "saml_too_large")


@pytest.mark.parametrize(
    "url", ["http://localhost:8080/acs", "http://127.0.0.1/acs", "http://[::1]:9/acs", "https://a.test:8443/a?b=c&d"]
)
def test_addresses_that_are_taken(url: str) -> None:
    assert checked_url(url) == url


def test_address_with_a_line_break_is_refused() -> None:
    """`Location: https://a.test\\r\\nSet-Cookie: ...`"""
    for evil in ("https://a.test/\r\nSet-Cookie: a=b", "https://a.test/\x00", "https://a.test/\t"):
        with pytest.raises(SamlMessageError):
            checked_url(evil)


def test_endpoints_of_other_bindings_are_left_out() -> None:
    artifact = CONSUMER.replace(names.POST, "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact")
    assert refusal(sp(artifact)) == "saml_acs"


def test_addresses_over_http_are_left_out_beside_others() -> None:
    """Applications list both: the one that anybody on the way could read is never used, and the rest is no worse for it."""
    plain = CONSUMER.replace(ACS, ACS.replace("https", "http")).replace('index="0"', 'index="1" isDefault="true"')
    slo = f'<md:SingleLogoutService Binding="{names.POST}" Location="http://wiki.acme.test/slo"/>'
    found = read(sp(slo + plain + CONSUMER))
    assert ([each.url for each in found.acs], found.slo, found.unusable_addresses) == ([ACS], (), 2)
    assert refusal(sp(CONSUMER + CONSUMER.replace(ACS, "javascript:alert(1)"))) == "saml_address"


def test_two_consumers_of_one_number_are_refused() -> None:
    assert refusal(sp(CONSUMER + CONSUMER.replace("/acs", "/other"))) == "saml_acs"


def test_of_a_chain_only_the_first_certificate_counts() -> None:
    """Behind it stand those who issued it: with their keys they could sign for every application of theirs."""
    own, authority = pair("rsa", "sp").certificate, pair("rsa", "authority").certificate
    chain = key(own).replace(
        "</ds:X509Data>", f"<ds:X509Certificate>{base64.b64encode(authority).decode()}</ds:X509Certificate></ds:X509Data>"
    )
    assert read(sp(chain + CONSUMER)).signing_certificates == (own,)


def test_keys_that_are_not_taken_are_counted() -> None:
    bad = key(b"nothing") + key(pair("rsa1024", "sp").certificate) + "<md:KeyDescriptor/>"
    found = read(sp(bad + key(pair("rsa", "sp").certificate) + CONSUMER))
    assert (found.signing_certificates, found.unusable_certificates) == ((pair("rsa", "sp").certificate,), 3)


def test_more_keys_than_anybody_needs_are_refused() -> None:
    many = "".join(key(pair("p256", f"sp{i}").certificate, "signing") for i in range(MAX_KEYS + 1))
    assert refusal(sp(many + CONSUMER)) == "saml_too_large"


def test_comment_inside_a_value_is_refused() -> None:
    assert refusal(sp(f"<md:NameIDFormat>{names.FORMAT_EMAIL}<!-- -->x</md:NameIDFormat>{CONSUMER}")) == "saml_stray_node"


def test_entities_and_processing_instructions_are_refused() -> None:
    assert refusal('<!DOCTYPE x [<!ENTITY e "x">]>' + sp()) == "saml_doctype"
    assert refusal(sp(f"<?php evil ?>{CONSUMER}")) == "saml_stray_node"


def test_what_is_no_metadata_is_refused() -> None:
    assert refusal("<html/>") == "saml_entity"
    assert refusal(sp(entity_id="")) == "saml_entity"
    assert refusal("Not Found") == "saml_malformed"


# --- signed metadata -----------------------------------------------------------------------------------------------------------


def signed(text: str, by: Pair, document_id: str = "_md") -> str:
    """With a signature over the root, put where the schema wants it."""
    root = etree.fromstring(text)
    root.set("ID", document_id)
    bare = Xml(etree.tostring(root, method="c14n", exclusive=True, with_comments=False).decode())
    whole = etree.tostring(root, method="c14n", exclusive=True).decode()
    start = whole.index(">") + 1
    return f"{whole[:start]}{signing.signature(bare, document_id, by.signer)}{whole[start:]}"


@pytest.mark.parametrize("many", [False, True])
def test_signed_metadata_is_checked_by_a_given_certificate(many: bool) -> None:
    ours = pair("rsa", "federation")
    text = signed(group(signed(sp(), pair("rsa", "sp"), "_inner")) if many else FULL, ours)
    assert read(text, SP, [ours.certificate]).entity_id == SP
    assert refusal(text, SP, [pair("rsa", "other").certificate]) == "saml_signature"
    assert refusal(text.replace("wiki.acme.test/sp/acs", "evil.acme.test/sp/acs"), SP, [ours.certificate]) == "saml_signature"


def test_unsigned_metadata_is_refused_where_a_certificate_is_given() -> None:
    assert refusal(sp(), SP, [pair("rsa", "federation").certificate]) == "saml_signature"


def test_signature_over_one_entity_does_not_cover_the_document() -> None:
    ours = pair("rsa", "federation")
    inner = signed(sp(entity_id="https://blog.acme.test"), ours, "_inner")
    assert refusal(group(inner, sp()), SP, [ours.certificate]) == "saml_signature"


def test_wrapped_metadata_shows_no_other_entity() -> None:
    """The signed document inside the attacker's, its signature moved up."""
    ours = pair("rsa", "federation")
    original = etree.fromstring(signed(sp(), ours))
    evil = etree.fromstring(sp(CONSUMER.replace("wiki", "evil")))
    signature = original[0]
    for same in (True, False):
        evil.set("ID", "_md" if same else "_evil")
        evil.insert(0, signature)
        evil.append(original)
        refusal(etree.tostring(evil).decode(), SP, [ours.certificate])


def test_many_entities_and_namespaces_take_little_work() -> None:
    crowd = [sp(entity_id=f"https://a{i}.test") for i in range(1_500)]
    assert len(entity_ids(group(*crowd).encode())) == 1_500
    assert refusal(group(*crowd, *crowd)) == "saml_too_large"
    spaces = "".join(f' xmlns:n{i}="urn:{i}"' for i in range(7_000))
    assert refusal(sp(entity=spaces)) == "saml_too_large"


def test_more_than_the_limit_is_not_parsed() -> None:
    assert refusal(sp() + " " * 2 * 1024 * 1024) == "saml_too_large"


def test_what_the_signing_helper_makes_is_metadata() -> None:
    check_metadata(signed(FULL, pair("rsa", "federation")).encode())
