"""Relying parties in the document: what is taken, and what is refused in which words."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.federation.parties import ACS, BY_HAND, ENTITY_ID, certificate, document, metadata, pem, settings
from wardgate.config.checks import doubts
from wardgate.config.document import dump, parse, to_plain
from wardgate.errors import SettingsError
from wardgate.federation.presets import PRESETS


def refused(**changes: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(**changes)
    return caught.value.message


def test_an_application_by_hand_is_taken_and_written_back_the_same() -> None:
    claims = {
        "mail": "mail",
        "who": "{display_name} ({user_name})",
        "role": {"source": "groups", "map": {"acme-ad:wiki-*": "user"}},
    }
    full = document({**BY_HAND, "claims": claims, "certificates": [pem(certificate())], "launchpad": {"title": {"tr": "Viki"}}})
    assert parse(dump(full)) == full
    assert parse(json.loads(json.dumps(to_plain(full)))) == full
    assert list(to_plain(full)["applications"][0]["claims"]) == list(claims)


def test_an_application_without_a_kind_is_still_one_of_nas() -> None:
    assert document({"name": "vpn"}).applications[0].kind == "radius"


def test_where_metadata_or_addresses_are_missing_it_is_said_what_to_give() -> None:
    assert "applications[0].acs: is missing: give metadata (file, text or url), or entity_id and acs by hand" in refused(acs=[])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"preset": "wordpress"}, "preset: there is no preset 'wordpress': generic, google-workspace"),
        ({"entity_id": "two words"}, "entity_id: must be 1 to 1024 visible characters"),
        ({"acs": ["http://wiki.acme.test/acs"]}, "acs[0]: an address that is not https"),
        ({"acs": ["javascript:alert(1)"]}, "acs[0]: an address"),
        ({"acs": [ACS, ACS]}, "acs: one address stands twice"),
        ({"slo": "https://ada@wiki.acme.test/"}, "slo: an address without a host, or with a user name"),
        ({"certificates": ["nonsense"]}, "certificates[0]: holds no PEM certificate"),
        ({"signed_requests": True}, "its requests are to be signed, and its metadata has no certificate"),
        ({"encrypt": "aes256-gcm"}, "assertions are to be encrypted, and its metadata has no RSA certificate"),
        ({"metadata": {"text": "<x/>"}}, "metadata.text: is not taken: no SAML metadata"),
        ({"metadata": {"file": "wiki.xml"}}, "metadata.file: must be an absolute path"),
        ({"metadata": {}}, "metadata: must have exactly one of file, text and url"),
        ({"metadata": {"url": "http://wiki.acme.test/x"}}, "metadata.url: must be https://HOST/"),
        ({"metadata": {"url": "https://wiki.acme.test/x", "allow": ["inside"]}}, "metadata.allow[0]: not an address or network"),
        ({"metadata": {"file": "/x", "allow": ["10.0.0.0/8"]}}, "metadata.allow: is for metadata by url"),
        ({"metadata": {"url": "https://wiki.acme.test/x", "refresh_s": 5}}, "refresh_s: must be between 300 and 604800"),
        ({"metadata": {"file": "/x"}, "acs": [ACS]}, "acs: stands in the metadata: take it out here"),
        ({"name_id": {"format": "persistent", "source": "mail"}}, "name_id.source: a persistent name is made by us"),
        ({"name_id": {"format": "unspecified"}}, "name_id: an unspecified name needs exactly one of source and template"),
        ({"name_id": {"format": "email", "source": "groups"}}, "name_id.source: a person has one name, and groups are many"),
        ({"claims": {"x": "password"}}, "claims.x: there is no source 'password'"),
        ({"claims": {"x": "{password}"}}, "claims.x: there is no source 'password'"),
        ({"claims": {"x": {}}}, "claims.x: must have exactly one of source, template and constant"),
        ({"claims": {"x": {"source": "mail", "constant": "y"}}}, "claims.x: must have exactly one of"),
        ({"claims": {"x": {"constant": "a\u0000b"}}}, "claims.x: every value is 1 to 2048 characters"),
        ({"claims": {"x": {"source": "groups", "only": ["wiki-*"]}}}, "whose group is it? Write it with its directory or realm"),
        ({"claims": {"x": {"source": "groups", "map": {"local:admins": "admin"}}}}, "no directory or realm has the name 'local'"),
        ({"claims": {"x": {"source": "mail", "qualified": True}}}, "claims.x.qualified: is for source: groups"),
        ({"claims": {"": "mail"}}, "a claim's name is 1 to 512 printable characters"),
        ({"claims": {f"c{n}": "mail" for n in range(101)}}, "claims: holds 101 claims, more than 100"),
        ({"claims": {"x": 5}}, "claims.x: must be text, or keys with values"),
        ({"claims": {"x": {"sourc": "mail"}}}, "claims.x.sourc: unknown key; did you mean 'source'?"),
        ({"launchpad": {"title": {"de": "Wiki"}}}, "launchpad.title.de: must be one of en, tr"),
        ({"launchpad": {"icon_file": "wiki.svg"}}, "launchpad.icon_file: must be an absolute path"),
        ({"idp_initiated": False}, "launchpad.address: is missing: with idp_initiated: false"),
        ({"relay_state": "x" * 81}, "relay_state: must be at most 80 octets"),
        ({"assertion_life_s": 7200}, "assertion_life_s: must be between 30 and 3600"),
        ({"release": []}, "release: unknown key"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes: Mapping[str, Any], told: str) -> None:
    assert told in refused(**changes)


def test_no_claim_takes_an_attribute_that_holds_a_password() -> None:
    assert "holds a secret" in refused(claims={"x": "attribute.userPassword"})
    assert "holds a secret" in refused(claims={"x": {"template": "{attribute.unicodePwd}"}})
    assert "holds a secret" in refused(name_id={"format": "unspecified", "source": "attribute.sambaNTPassword"})


def test_two_applications_do_not_have_one_entity_id() -> None:
    with pytest.raises(
        SettingsError, match=r"applications\[1\].entity_id: the entity id .* is also that of wiki, applications\[0\]"
    ):
        document(BY_HAND, {"name": "thief", "kind": "saml", "metadata": {"text": metadata()}})


def test_a_metadata_document_with_two_entities_of_one_id_is_refused() -> None:
    inner = metadata()
    twice = f'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">{inner}{inner}</md:EntitiesDescriptor>'
    assert "two entities have the same id" in refused(metadata={"text": twice})


def test_metadata_with_a_document_type_is_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + metadata()
    assert "metadata.text: is not taken" in refused(metadata={"text": bomb})


def test_a_nas_does_not_ask_for_a_web_application() -> None:
    nas = {"name": "fw", "addresses": ["10.0.0.1"], "secret": {"value": "x" * 32}, "application": "wiki"}
    plain = to_plain(document(BY_HAND))
    with pytest.raises(SettingsError, match=r"nas\[0\].application: no application has the name 'wiki'"):
        parse({**plain, "nas": [nas]})


def test_the_claims_that_a_preset_needs_are_asked_for() -> None:
    told = [str(fault) for fault in doubts(document({**BY_HAND, "preset": "aws"}))]
    assert any(
        "applications[0].claims: the preset aws needs 'https://aws.amazon.com/SAML/Attributes/Role'" in each for each in told
    )
    assert not doubts(document(BY_HAND))


def test_cbc_is_taken_with_a_warning() -> None:
    [doubt] = doubts(document({**BY_HAND, "certificates": [pem(certificate())], "encrypt": "aes256-cbc"}))
    assert "CBC does not protect" in doubt.problem


UNSPECIFIED = {"format": "unspecified", "source": "user_name"}


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"name_id": UNSPECIFIED}, "name_id"),
        ({"name_id": {"format": "email", "template": "{user_name}@acme.test"}}, "name_id"),
        ({"name_id_formats": ["unspecified"]}, "name_id_formats"),
        ({"claims": {"uid": "user_name"}}, "claims.uid"),
        ({"claims": {"uid": "acme-{user_name}"}}, "claims.uid"),
        ({"preset": "salesforce"}, "name_id"),
        ({"preset": "nextcloud", "name_id": {"format": "unspecified", "source": "subject"}}, "claims.uid"),
    ],
)
def test_namesake_in_another_realm_does_not_get_the_account_unseen(changes: dict[str, Any], at: str) -> None:
    [doubt] = doubts(document({**BY_HAND, **changes}, realms=("acme", "beta")))
    assert doubt.path == f"applications[0].{at}"
    assert "one and the same" in doubt.problem
    assert "{user_name}@{realm}" in doubt.problem
    assert not doubts(document({**BY_HAND, **changes}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name_id": {"format": "unspecified", "template": "{user_name}@{realm}"}, "name_id_formats": ["unspecified"]},
        {"claims": {"uid": "subject", "login": "{user_name}@{realm}", "where": "{directory}/{user_name}"}},
    ],
)
def test_names_that_tell_realms_apart_are_not_doubted(changes: dict[str, Any]) -> None:
    assert not doubts(document({**BY_HAND, **changes}, realms=("acme", "beta")))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_stands_on_settings_that_the_document_takes(preset: Any) -> None:
    """Its claims and its name go the way of an operator's own."""
    plain = to_plain(document({**BY_HAND, "preset": preset.name}))
    claims = {name: claim if isinstance(claim, str) else {"constant": claim.constant} for name, claim in preset.claims.items()}
    name_id = {"format": preset.name_id.format} | ({"source": preset.name_id.source} if preset.name_id.source else {})
    parse(
        {
            **plain,
            "applications": [{**BY_HAND, "claims": claims, "name_id": name_id, "sign": preset.sign, "encrypt": preset.encrypt}],
        }
    )
    assert preset.there
    assert preset.own_login
    assert preset.source or preset.name == "generic"


def test_an_entity_id_is_chosen_of_a_document_with_several() -> None:
    inner = metadata() + metadata("https://blog.acme.test/saml", "https://blog.acme.test/acs")
    several = f'<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">{inner}</md:EntitiesDescriptor>'
    assert "several applications: say which, by its entity id" in refused(metadata={"text": several})
    assert settings(metadata={"text": several}, entity_id=ENTITY_ID).entity_id == ENTITY_ID
