"""Groups in conditions: whose they are must be said; what follows the first colon may be a name, a DN or a SID."""

import pytest

from wardgate.config.document import parse
from wardgate.errors import SettingsError

DOCUMENT = """
realms: [{{name: acme, default: true, directories: [staff]}}]
directories: [{{name: staff, kind: local}}]
applications: [{{name: vpn, policy: p, release: [{{when: {{group: ['{group}']}}, add: {{Class: '{{group}}'}}}}]}}]
policies: [{{name: p, rules: [{{name: r, when: {{group: ['{group}']}}, then: {{steps: [[password]]}}}}]}}]
"""


@pytest.mark.parametrize(
    "group",
    [
        "staff:VPN Users",
        "STAFF:vpn",
        "acme:VPN Users",
        "staff:CN=VPN Users,OU=Groups,DC=acme,DC=test",
        r"staff:CN=Smith\, Pat: team,OU=Groups,DC=acme,DC=test",
        "staff:S-1-5-21-1004336348-1177238915-682003330-1108",
    ],
)
def test_a_group_is_named_by_name_dn_or_sid(group: str) -> None:
    document = parse(DOCUMENT.format(group=group))
    assert document.policies[0].rules[0].when == {"group": [group]}


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ("VPN Users", "does not say whose group it is; write directory:"),
        ("CN=VPN Users,OU=Groups,DC=acme,DC=test", "does not say whose group it is"),
        ("S-1-5-21-1004336348-1108", "does not say whose group it is"),
        ("CN=a: b,DC=acme", "no directory or realm has the name 'CN=a'"),
        ("acme-ad:VPN Users", "no directory or realm has the name 'acme-ad'"),
    ],
)
def test_a_group_of_nobody_is_refused(group: str, told: str) -> None:
    with pytest.raises(SettingsError, match=r"policies\[0\]\.rules\[0\]") as refused:
        parse(DOCUMENT.format(group=group))
    assert told in refused.value.message
