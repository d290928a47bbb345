"""The settings as they stand in the configuration document."""

from typing import Any

import pytest

from wardgate.config.document import parse
from wardgate.crypto import Secret
from wardgate.directory.openldap.password_modify import request
from wardgate.directory.openldap.settings import OpenLdapSettings
from wardgate.errors import SettingsError

LINE = """
realms:
  - {name: acme, default: true, directories: [acme-ldap]}
directories:
  - {name: acme-ldap, kind: openldap, servers: ["ldaps://127.0.0.20:636"], ca_file: /etc/wardgate/ldap-ca.pem, bind: {dn: "uid=svc-sspr,ou=service,dc=acme,dc=test", password: {file: /run/secrets/ldap}}, base: "dc=acme,dc=test"}
"""  # noqa: E501 - one line in the document


def document(**given: Any) -> dict[str, Any]:
    """The smallest document with one directory."""
    directory = {
        "name": "ldap",
        "kind": "openldap",
        "servers": ["ldaps://127.0.0.1:636"],
        "bind": {"dn": "cn=svc", "password": {"env": "LDAP"}},
        "base": "dc=acme,dc=test",
        **given,
    }
    return {"realms": [{"name": "acme", "default": True, "directories": ["ldap"]}], "directories": [directory]}


def test_a_directory_needs_no_more_than_where_it_is_and_who_asks() -> None:
    (settings,) = parse(LINE).directories

    assert isinstance(settings, OpenLdapSettings)
    assert (settings.attributes.user_name, settings.attributes.id) == ("uid", "entryUUID")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"user_filter": "objectClass=person"}, "user_filter"),
        ({"user_filter": "(&(objectClass=person)"}, "user_filter"),
        ({"attributes": {"user_name": "uid)(x=*"}}, "attributes.user_name"),
        ({"attributes": {"id": ""}}, "attributes.id"),
        ({"attributes": {"more": ["title", "userPassword"]}}, "attributes.more"),
        ({"attributes": {"phone": "pwdHistory"}}, "attributes.phone"),
        ({"groups": {"base": "not a dn"}}, "groups.base"),
        ({"groups": {"depth": 21}}, "groups.depth"),
        ({"groups": {"cache_s": -1}}, "groups.cache_s"),
        ({"groups": {"kinds": ["nisNetgroup"]}}, "groups.kinds"),
        ({"default_policy": ""}, "default_policy"),
        ({"servers": ["ldap://127.0.0.1"]}, "servers"),
        ({"verified_cache_s": 10_000}, "verified_cache_s"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse(document(**given))


def test_a_password_modify_request_is_as_the_rfc_has_it() -> None:
    """RFC 3062 section 2: userIdentity [0], oldPasswd [1], newPasswd [2], each optional."""
    assert request(None, None, Secret("n")) == bytes.fromhex("3003 82016e".replace(" ", ""))
    assert request("d", Secret("o"), Secret("n")) == bytes.fromhex("3009 800164 81016f 82016e".replace(" ", ""))
