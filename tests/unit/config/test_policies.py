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
        ("{network: [offise]}", "policies[0].rules[0].when.network: 'offise' does not appear to be"),
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


def with_policy(part: str) -> str:
    return f"{START}policies: [{{name: p, rules: [{{name: r, then: {{deny: true}}}}], {part}}}]"


def test_what_follows_a_login_comes_back_as_it_was() -> None:
    document = parse(
        with_policy(
            "actions: [{name: a, when: {enrolled_not: [totp]}, then: [{enrol: [totp, hotp], level: forced}, {enrol: sms}]}],"
            "lifetimes: [{name: l, then: {session: 4h, code: 120, trusted_device: 0}}], fail: {directory_down: closed},"
            "self_service: {weights: {sms: 3}, reset: {need: {proofs: 1}, accept_weaker: {reason: x, until: 2027-06-30}}}"
        )
    )
    assert parse(dump(document)) == document
    [policy] = document.policies
    assert policy.actions[0].then[0].enrol == ("totp", "hotp")
    assert (policy.lifetimes[0].then.session, policy.lifetimes[0].then.code) == ("4h", 120)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("actions: [{name: a, then: [{enroll: totp}]}]", "actions[0].then[0].enroll: unknown key; did you mean 'enrol'?"),
        ("actions: [{name: a, then: [{enrol: totpp}]}]", "actions[0].then[0].enrol: unknown factor totpp; known are email"),
        ("actions: [{name: a, then: [{confirm: contact}, {}]}]", "actions[0].then[1]: exactly one of enrol"),
        ("actions: [{name: a, then: [{enrol: totp, level: force}]}]", "actions[0].then[0].level: must be 'off'"),
        ("actions: [{name: a, then: [{enrol: totp, deferrals: 101}]}]", "actions[0].then[0].deferrals: must be between 0 and 100"),
        ("actions: [{name: a, then: [{enrol: totp, remind: true}]}]", "actions[0].then[0].remind: must be text"),
        ("actions: [{name: a, then: [{enrol: [5]}]}]", "actions[0].then[0].enrol[0]: must be text"),
        ("actions: [{name: a}, {name: A}]", "actions[1].name: the name 'A' is already taken"),
        ("actions: [{name: a, when: {application: vpm}}]", "actions[0].when.application: no application has the name 'vpm'"),
        ("lifetimes: [{name: l, then: {sesion: 4h}}]", "lifetimes[0].then.sesion: unknown key; did you mean 'session'?"),
        ("lifetimes: [{name: l, then: {code: 11m}}]", "lifetimes[0].then.code: 11m is not between 1m and 10m"),
        ("lifetimes: [{name: l, when: {risk: big}, then: {}}]", "lifetimes[0].when.risk: unknown band 'big'; known are safe, low"),
        ("lifetimes: [{name: l, when: {country: xyz}, then: {}}]", "lifetimes[0].when.country: 'xyz' is no country"),
        (
            'lifetimes: [{name: l, when: {group: ["stuff:x"]}, then: {}}]',
            "lifetimes[0].when.group: 'stuff:x': no directory or realm",
        ),
        ("fail: {gateway_down: open}", "fail.gateway_down: must be 'closed' or 'skip'"),
        ("self_service: {weights: {smss: 2}}", "self_service.weights: unknown proof smss; known are activation"),
        ("self_service: {reset: {need: {proofs: 6}}}", "self_service.reset.need.proofs: must be between 0 and 5"),
        ("self_service: {resets: {count: 101}}", "self_service.resets.count: must be between 1 and 100"),
        ("self_service: {reset: {need: {weight: 0}}}", "self_service.reset.need.weight: must be between 1 and 30"),
        (
            "self_service: {reset: {accept_weaker: {reason: x, until: soon}}}",
            "self_service.reset.accept_weaker.until: a day such as",
        ),
        (
            "self_service: {unlock: {rules: [{name: x, then: {}}, {name: y, then: {never: [fax]}}]}}",
            "self_service.unlock.rules[1].then.never: unknown proof fax",
        ),
        (
            "self_service: {unlock: {rules: [{name: x, when: {nas: fw}, then: {}}]}}",
            "self_service.unlock.rules[0].when.nas: no nas has the name 'fw'",
        ),
    ],
)
def test_faults_of_what_follows_a_login_have_their_place(part: str, told: str) -> None:
    assert f"policies[0].{told}" in faults(with_policy(part))


def test_one_fault_is_told_once() -> None:
    assert "1 fault" in faults(with_policy("self_service: {resets: {count: 101}}"))


def test_words_are_in_a_language_that_there_is() -> None:
    text = f"{START}policies: [{{name: p, rules: [{{name: r, then: {{deny: true, text: {{en: No, fr: Non}}}}}}]}}]"
    assert "policies[0].rules[0].then.text.fr: no language has the name 'fr': en, tr" in faults(text)
