"""Policies in the document: networks by name, names that conditions may use, and tests."""

import pytest

from wardgate.config.document import dump, parse
from wardgate.errors import SettingsError

START = """
realms: [{name: acme, default: true, directories: [staff]}]
directories: [{name: staff, kind: local}]
applications: [{name: vpn, policy: p}]
"""


def with_rule(when: str, networks: str = "{name: Office, cidr: [192.0.2.0/24]}") -> str:
    return f"{START}networks: [{networks}]\npolicies: [{{name: p, rules: [{{name: r, when: {when}, then: {{deny: true}}}}]}}]"


def faults(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    return caught.value.message


def test_networks_and_tests_come_back_as_they_were() -> None:
    document = parse(with_rule("{network: [office]}"))
    assert document.networks[0].cidr == ("192.0.2.0/24",)
    assert parse(dump(document)) == document
    tested = parse(START + "policies: [{name: p, rules: [{name: r, then: {deny: true}}], tests: [{given: {}, expect: {rule: r}}]}]")
    assert parse(dump(tested)) == tested
    assert tested.policies[0].tests[0].expect == {"rule": "r"}


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("{network: [offise]}", "policies[0].rules[0]: policies.p.r.when.network"),
        ("{application: vpm}", "policies[0].rules[0].when.application: no application has the name 'vpm'"),
        ("{not: {application: [vpn, vpm]}}", "policies[0].rules[0].when.not.application"),
        ("{any: [{user: ada}, {nas: fw}]}", "policies[0].rules[0].when.any[1].nas: no nas has the name 'fw'"),
        (
            '{ou: ["stuff:ou=x,dc=t"]}',
            "policies[0].rules[0].when.ou: 'stuff:ou=x,dc=t': no directory or realm has the name 'stuff'",
        ),
    ],
)
def test_names_that_nothing_has_are_refused(when: str, told: str) -> None:
    assert told in faults(with_rule(when))


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("{name: 10.0.0.1, cidr: [192.0.2.0/24]}", "networks[0].name: reads as an address"),
        ("{name: a, cidr: []}", "networks[0].cidr: must hold at least one"),
        ("{name: a, cidr: [192.0.2.1/24]}", "networks[0].cidr[0]: 192.0.2.1/24 has bits beyond its length"),
        ("{name: a, cidr: [everywhere]}", "networks[0].cidr[0]: not an address or network"),
        ("{name: a, cidr: [192.0.2.1]}, {name: A, cidr: [192.0.2.1]}", "networks[1].name: the name 'A' is already taken"),
    ],
)
def test_networks_that_are_none_are_refused(network: str, told: str) -> None:
    assert told in faults(with_rule("{user: ada}", network))
