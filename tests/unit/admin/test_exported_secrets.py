"""An export holds no secret in clear, whatever its class and wherever it stands; elsewhere it says which values do not open."""

import json
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from wardgate.admin.configuration import apply_document, diff_versions, export_document
from wardgate.admin.office import Office
from wardgate.config.document import LISTS, SECRET_CLASSES, Document, parse, secrets_of, settings_classes
from wardgate.config.reference import ClearValue
from wardgate.config.sources import Source
from wardgate.config.store import first_document, load_current, save
from wardgate.crypto import KeyRing, new_key
from wardgate.errors import SettingsError

CLEAR = [f"clear-secret-number-{number}" for number in range(4)]
TEXT = """
include: [nas/*.yaml]
realms: [{name: default, default: true, directories: [local, ldap]}]
directories:
  - {name: local, kind: local}
  - name: ldap
    kind: openldap
    servers: ["ldaps://ldap.acme.test"]
    bind: {dn: "cn=us,dc=acme,dc=test", password: {value: clear-secret-number-0}}
    base: "dc=acme,dc=test"
gateways:
  - name: mail
    kind: smtp
    servers: ["smtps://mail.acme.test:465"]
    username: us
    password: {value: clear-secret-number-1}
    sender: us@acme.test
  - name: sms
    kind: http
    request: {url: "https://sms.acme.test/", headers: {Authorization: "Bearer {secret}"}, json: {to: "{number}", text: "{text}"}}
    secret: {env: SMS_TOKEN_OF_A_TEST}
applications: [{name: vpn}]
"""
INCLUDED = """
nas:
  - {name: one, addresses: [10.0.0.1], secret: {value: clear-secret-number-2}, application: vpn}
  - {name: two, addresses: [10.0.0.2], secret: {file: FILE}, application: vpn}
"""


@pytest.fixture
async def applied(office: Office, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Office:
    """A document with every class of secret, some of it in an included file."""
    monkeypatch.setenv("SMS_TOKEN_OF_A_TEST", CLEAR[3])
    (tmp_path / "secret").write_text("clear-secret-number-3")
    await save(office.storage, first_document(demo=False), "test", "", 0, office.clock, office.ring)
    included = [Source("nas/all.yaml", INCLUDED.replace("FILE", str(tmp_path / "secret")))]
    assert (await apply_document(office, text=TEXT, name="wardgate.yaml", included=included))["applied"]
    return office


async def exported(office: Office) -> str:
    result = await export_document(office)
    assert parse(result["yaml"]) == parse(result["document"])
    return str(result["yaml"])


def all_secrets(document: Document) -> dict[str, object]:
    return {place: value for section in LISTS for item in getattr(document, section) for place, value in secrets_of(section, item)}


async def test_no_secret_is_exported_in_clear_and_references_stay_references(applied: Office) -> None:
    text = await exported(applied)
    for version in (1, 2):
        result = await export_document(applied, version=version)
        assert not any(each in json.dumps(result) for each in CLEAR)
    difference = json.dumps(await diff_versions(applied))
    assert not any(each in difference for each in CLEAR)
    found = {place: type(value).__name__ for place, value in all_secrets(parse(text)).items()}
    assert found == {
        "config:directories:ldap:bind.password": "SealedValue",
        "config:gateways:mail:password": "SealedValue",
        "config:gateways:sms:secret": "EnvReference",
        "config:nas:one:secret": "SealedValue",
        "config:nas:two:secret": "FileReference",
    }
    assert {*found.values()} == {each.__name__ for each in SECRET_CLASSES} - {ClearValue.__name__}


async def test_what_is_stored_holds_no_secret_in_clear(applied: Office) -> None:
    for row in await applied.storage.find("configuration"):
        assert not any(each in str(row["document"]) for each in CLEAR)
    for row in await applied.storage.find("audit_event"):
        assert not any(each in str(row["payload"]) for each in CLEAR)


async def test_an_export_applied_at_home_changes_nothing(applied: Office) -> None:
    assert not (await apply_document(applied, text=await exported(applied)))["applied"]


async def test_another_installation_tells_every_sealed_value_that_does_not_open_there(applied: Office) -> None:
    text = await exported(applied)
    elsewhere = Office(applied.storage, KeyRing({0: new_key(), 1: new_key()}), applied.clock, applied.hasher, "operator:olga")
    before = await load_current(applied.storage)
    with pytest.raises(SettingsError) as refused:
        await apply_document(elsewhere, text=text, name="wardgate.yaml")
    lines = refused.value.message.splitlines()
    assert len(lines) == 3
    for line, path in zip(lines, ("directories[1].bind.password", "gateways[0].password", "nas[0].secret"), strict=True):
        # Each with the file and line where it stands.
        assert line.startswith("wardgate.yaml:")
        assert path in line
        assert "does not open here: it was sealed by another installation" in line
        assert "Write the secret again" in line
    assert not any(each in refused.value.message for each in CLEAR)
    assert await load_current(applied.storage) == before


# --- no secret where sealing does not reach ------------------------------------------------------------------------------


def hides_secret(annotation: Any) -> bool:
    """Whether a secret stands inside a list or a mapping, which sealing does not walk."""
    if get_origin(annotation) in (tuple, list, dict) or str(get_origin(annotation)).endswith("Mapping'>"):
        return any(bears_secret(each) for each in get_args(annotation))
    if is_dataclass(annotation) and isinstance(annotation, type):
        return any(hides_secret(each) for each in get_type_hints(annotation).values())
    return any(hides_secret(each) for each in get_args(annotation))


def bears_secret(annotation: Any) -> bool:
    if annotation in SECRET_CLASSES:
        return True
    if is_dataclass(annotation) and isinstance(annotation, type):
        return any(bears_secret(each) for each in get_type_hints(annotation).values())
    return any(bears_secret(each) for each in get_args(annotation))


def test_no_settings_hold_a_secret_where_sealing_does_not_reach() -> None:
    found = [cls for section in LISTS for cls in settings_classes(section).values() if hides_secret(cls)]
    assert found == []
    # A section that is no list has no name to bind a sealed value to.
    single = [each.name for each in fields(Document) if each.name not in LISTS]
    assert [name for name in single if bears_secret(get_type_hints(Document)[name])] == []
    assert any(bears_secret(cls) for section in LISTS for cls in settings_classes(section).values())
