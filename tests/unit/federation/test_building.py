"""From settings and metadata to a relying party."""

from typing import Any

import pytest

from tests.unit.federation.parties import ACS, ENTITY_ID, certificate, metadata, pem, settings
from wardgate.errors import SettingsError
from wardgate.federation.building import build_party, certificate_of
from wardgate.federation.presets import preset_of
from wardgate.federation.relying_party import KeyKind, NameIdFormat, RelyingParty
from wardgate.federation.saml import names
from wardgate.federation.saml.values import Binding, Encrypt, Endpoint, Sign
from wardgate.federation.standing import Configured, assemble, metadata_of


def party(**changes: Any) -> RelyingParty:
    found = settings(**changes)
    return build_party(found, metadata_of(found, None))


def test_the_least_that_an_operator_says_makes_a_careful_party() -> None:
    made = party()
    assert made.entity_id == ENTITY_ID
    assert made.metadata.acs == (Endpoint(ACS, Binding.POST, 0, True),)
    assert made.name_id.format is NameIdFormat.PERSISTENT
    assert made.response.sign is Sign.BOTH
    assert made.response.encrypt is Encrypt.NONE
    assert made.key_kind is KeyKind.RSA
    assert made.claims == ()
    assert made.title_in("tr") == "wiki"


def test_what_the_metadata_says_is_taken_up() -> None:
    made = party(metadata={"text": metadata(role=' AuthnRequestsSigned="true"', keys=(certificate(),))}, encrypt="aes256-gcm")
    assert made.requires_signed_requests
    assert made.metadata.signing_certificates == (certificate(),)
    assert made.response.encryption_certificate == certificate()


def test_the_operator_overrules_the_metadata() -> None:
    text = metadata(role=' AuthnRequestsSigned="true"', keys=(certificate(),))
    assert not party(metadata={"text": text}, signed_requests=False).requires_signed_requests


def test_an_assertion_is_encrypted_for_the_first_key_that_can_be_encrypted_for() -> None:
    made = party(metadata={"text": metadata(keys=(certificate("p256"), certificate()))}, encrypt="aes128-gcm")
    assert made.response.encryption_certificate == certificate()


def test_requests_are_not_held_to_a_signature_that_nobody_could_check() -> None:
    with pytest.raises(SettingsError, match="no certificate to check them with"):
        party(metadata={"text": metadata(role=' AuthnRequestsSigned="true"')})


def test_the_documents_claims_stand_over_the_presets() -> None:
    made = party(preset="nextcloud", claims={"mail": "{user_name}@acme.test", "more": "phone"})
    assert [claim.name for claim in made.claims] == [*preset_of("nextcloud").claims, "more"]
    assert next(claim for claim in made.claims if claim.name == "mail").values.template == "{user_name}@acme.test"
    assert made.response.sign is Sign.BOTH


def test_a_claims_name_tells_its_format() -> None:
    formats = {claim.name: claim.name_format for claim in party(claims={"mail": "mail", "urn:oid:0.9": "mail"}).claims}
    assert formats == {"mail": names.ATTRIBUTE_BASIC, "urn:oid:0.9": names.ATTRIBUTE_URI}
    [claim] = party(claims={"x": {"source": "mail", "name_format": "unspecified", "friendly_name": "y"}}).claims
    assert (claim.name_format, claim.friendly_name) == (names.ATTRIBUTE_UNSPECIFIED, "y")


def test_an_email_name_comes_from_the_mail_address_unless_it_is_said_otherwise() -> None:
    assert party(name_id={"format": "email"}).name_id.values.source == "mail"
    assert party(name_id={"format": "email", "template": "{user_name}@x"}).name_id.values.template == "{user_name}@x"


def test_name_is_of_a_kind_that_the_application_says_it_takes() -> None:
    def told(*listed: str, **changes: Any) -> NameIdFormat:
        formats = "".join(f"<md:NameIDFormat>{each}</md:NameIDFormat>" for each in listed)
        return party(metadata={"text": metadata(inside=formats)}, **changes).name_id.format

    kerberos = "urn:oasis:names:tc:SAML:2.0:nameid-format:kerberos"
    assert told(kerberos, names.FORMAT_EMAIL, names.FORMAT_TRANSIENT) is NameIdFormat.EMAIL
    assert told(names.FORMAT_TRANSIENT) is NameIdFormat.TRANSIENT
    for fine in ((), (names.FORMAT_EMAIL, names.FORMAT_PERSISTENT), (names.FORMAT_EMAIL, names.FORMAT_UNSPECIFIED), (kerberos,)):
        assert told(*fine) is NameIdFormat.PERSISTENT
    assert told(names.FORMAT_EMAIL, name_id={"format": "persistent"}) is NameIdFormat.PERSISTENT
    assert told(names.FORMAT_EMAIL, preset="nextcloud") is NameIdFormat.PERSISTENT


def test_titles_come_from_the_document_and_then_from_the_application() -> None:
    ui = (
        f'<md:Extensions><mdui:UIInfo xmlns:mdui="{names.METADATA_UI}"><mdui:DisplayName xml:lang="tr">Viki</mdui:DisplayName>'
        "</mdui:UIInfo></md:Extensions>"
    )
    text = metadata().replace("<md:Assertion", f"{ui}<md:Assertion", 1)
    assert party(metadata={"text": text}).title_in("tr") == "Viki"
    assert party(metadata={"text": text}, title="Wiki").title_in("tr") == "Wiki"
    assert party(metadata={"text": text}, launchpad={"title": {"en": "Pages"}}).title_in("tr") == "Pages"


def test_a_certificate_may_stand_without_its_frame() -> None:
    body = "".join(line for line in pem(certificate()).splitlines() if "-----" not in line)
    assert certificate_of(body) == certificate_of(pem(certificate())) == certificate()


def test_a_certificate_with_its_issuers_is_not_guessed_at() -> None:
    with pytest.raises(SettingsError, match="several certificates"):
        certificate_of(pem(certificate()) + pem(certificate("p256")))


def test_one_party_that_cannot_be_built_keeps_nobody_from_the_others(tmp_path: Any) -> None:
    broken = settings(name="broken", metadata={"file": str(tmp_path / "gone.xml")})
    parties = assemble(Configured((broken, settings())), {})
    assert [each.name for each in parties] == ["wiki"]
    assert "gone.xml cannot be read: No such file or directory" in parties.problems["broken"]


def test_metadata_is_read_from_a_file(tmp_path: Any) -> None:
    file = tmp_path / "wiki.xml"
    file.write_text(metadata())
    assert party(metadata={"file": str(file)}).entity_id == ENTITY_ID
    file.write_text("x" * (2 * 1024 * 1024 + 1))
    assert "larger than 2048 KiB" in assemble(Configured((settings(metadata={"file": str(file)}),)), {}).problems["wiki"]


def test_an_icon_is_named_by_where_we_serve_it() -> None:
    [made] = assemble(Configured((settings(),), {"wiki": "/brand/abc.svg"}), {})
    assert made.launchpad.icon == "/brand/abc.svg"
