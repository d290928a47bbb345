"""The settings of an Active Directory, and what is refused in them."""

from dataclasses import replace
from typing import Any

import pytest

from wardgate.config.document import dump, parse
from wardgate.config.reference import FileReference
from wardgate.directory.active_directory.settings import ActiveDirectoryAttributes, ActiveDirectorySettings, check
from wardgate.directory.ldap.settings import BindSettings
from wardgate.errors import SettingsError

GOOD = ActiveDirectorySettings(
    name="acme-ad",
    kind="active_directory",
    servers=("ldaps://dc1.acme.test:636",),
    bind=BindSettings(dn="CN=svc-sspr,OU=Service,DC=acme,DC=test", password=FileReference(file="/run/secrets/ad")),
    base="DC=acme,DC=test",
)

# As it stands in the request for it.
ISSUE = """
realms:
  - {name: acme, default: true, directories: [acme-ad]}
directories:
  - name: acme-ad
    kind: active_directory
    servers: ["ldaps://dc1.acme.test:636", "ldaps://127.0.0.11:636"]
    ca_file: /etc/wardgate/acme-ca.pem
    bind: {dn: "CN=svc-sspr,OU=Service,DC=acme,DC=test", password: {file: /run/secrets/ad}}
    base: "DC=acme,DC=test"
    attributes: {mail: mail, phone: mobile}
    timeouts: {connect_s: 3, operation_s: 5}
"""


def test_the_document_of_an_operator_is_taken_as_it_stands() -> None:
    document = parse(ISSUE)
    (settings,) = document.directories

    assert isinstance(settings, ActiveDirectorySettings)
    assert settings.servers == ("ldaps://dc1.acme.test:636", "ldaps://127.0.0.11:636")
    assert settings.bind.password == FileReference(file="/run/secrets/ad")
    assert (settings.attributes.phone, settings.timeouts.connect_s) == ("mobile", 3)
    check(settings)
    assert parse(dump(document)) == document


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"servers": ()}, "servers"),
        ({"servers": ("ldap://dc1.acme.test",)}, "servers"),
        ({"base": " "}, "base"),
        ({"base": "acme.test"}, "base"),
        ({"bind": replace(GOOD.bind, dn="svc-sspr")}, "bind.dn"),
        ({"user_filter": "department=IT"}, "user_filter"),
        ({"user_filter": "(a=b)(c=d)"}, "user_filter"),
        ({"attributes": ActiveDirectoryAttributes(mail="mail)(cn=*")}, "attributes.mail"),
        ({"attributes": ActiveDirectoryAttributes(phone="")}, "attributes.phone"),
        ({"attributes": ActiveDirectoryAttributes(more=("unicodePwd",))}, "attributes.more"),
        ({"attributes": ActiveDirectoryAttributes(more=("a",) * 51)}, "attributes.more"),
        ({"attributes": ActiveDirectoryAttributes(other_phones=("mobile;range=0-1",))}, "attributes.other_phones"),
        ({"domains": ("acme", "")}, "domains[1]"),
        ({"down_grace_s": -1}, "down_grace_s"),
        ({"verified_cache_s": 10**6}, "verified_cache_s"),
    ],
)
def test_what_cannot_work_is_refused_by_name(given: dict[str, Any], setting: str) -> None:
    check(GOOD)
    with pytest.raises(SettingsError) as raised:
        check(replace(GOOD, **given))

    assert raised.value.message.startswith(f"directories.acme-ad.{setting}")
