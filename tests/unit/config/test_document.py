"""The document: what passes comes out typed, what does not is named by its path."""

import pytest

from wardgate.config.document import MAX_ITEMS, Document, dump, map_secrets, parse, to_plain
from wardgate.config.reference import ClearValue, EnvReference, FileReference, SealedValue, SecretSetting
from wardgate.delivery.pickup import PickupSettings
from wardgate.delivery.sms.http import HttpSmsSettings
from wardgate.delivery.smtp import SmtpSettings
from wardgate.errors import SettingsError

from .documents import SMALL, WHOLE


def faults(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text)
    return caught.value.message


def without_clear(document: Document) -> Document:
    def seal(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        return SealedValue(sealed="AAAA") if isinstance(setting, ClearValue) else setting

    return map_secrets(document, seal)


def test_a_whole_document_comes_out_typed() -> None:
    document = parse(WHOLE)
    assert [type(gateway) for gateway in document.gateways] == [SmtpSettings, HttpSmsSettings, PickupSettings]
    assert document.realms[0].directories == ("staff", "partners")
    assert document.nas[0].addresses == ("10.0.0.1", "10.0.0.2/31", "2001:db8::/64")
    assert document.nas[1].secret == EnvReference(env="BRANCH")
    assert document.nas[2].secret == FileReference(file="/etc/wardgate/old")
    assert document.policies[0].rules[2].then.steps == (("password",), ("totp", "sms", "email"))
    assert document.codes.life_s == 240
    assert document.brakes.user_source_failures == 4
    assert document.brakes.source_failures == 30


def test_export_and_parse_give_the_same_document_again() -> None:
    document = without_clear(parse(WHOLE))
    assert parse(dump(document)) == document
    assert parse(to_plain(document)) == document
    assert dump(parse(dump(document))) == dump(document)


@pytest.mark.parametrize("word", ["yes", "no", "null", "1", "1.5", "1e3", "0x10", "2026-01-05", "~", "", " a ", "a: b", "# x", "ş"])
def test_a_text_that_looks_like_something_else_comes_back_as_text(word: str) -> None:
    document = parse(SMALL.replace("{name: vpn}", f'{{name: vpn, title: "{word}"}}'))
    assert parse(dump(without_clear(document))).applications[0].title == word


def test_a_clear_secret_is_never_written() -> None:
    with pytest.raises(SettingsError, match=r"nas\[0\]\.secret: a secret in clear is never written"):
        dump(parse(SMALL))


def test_a_clear_secret_is_not_shown_by_repr() -> None:
    assert "s3cret" not in repr(parse(SMALL))


def test_every_fault_is_told_at_once_with_its_path() -> None:
    told = faults(
        SMALL.replace("default: true", "defualt: true")
        .replace("kind: local", "kind: ldpa")
        .replace("application: vpn", "application: vpn, code_digits: '6', mode: ask, status_server: 1")
    )
    assert told.splitlines()[0] == "the document has 5 faults:"
    assert "realms[0].defualt: unknown key; did you mean 'default'?" in told
    assert "directories[0].kind: must be one of active_directory, local" in told
    assert "nas[0].code_digits: must be a whole number" in told
    assert "nas[0].status_server: must be true or false" in told
    assert "nas[0].mode: must be 'challenge', 'password_then_code'" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("realms:", "reamls:"), "reamls: unknown key; did you mean 'realms'?"),
        (("default: true, ", ""), "realms: exactly one realm must have default: true; here 0 have it"),
        (("directories: [staff]", "directories: [stuff]"), "realms[0].directories[0]: no directory has the name 'stuff'"),
        (("directories: [staff]", "directories: []"), "realms[0].directories: must name at least one directory"),
        (("application: vpn", "application: vpm"), "nas[0].application: no application has the name 'vpm'"),
        (("application: vpn", "application: vpn, vendor: palo"), "nas[0].vendor: no vendor has the name 'palo'"),
        (
            ("[10.0.0.1]", "[10.0.0.1, 10.0.0.3/31]"),
            "nas[0].addresses[1]: 10.0.0.3/31 has bits beyond its length: write 10.0.0.2/31",
        ),
        (("[10.0.0.1]", "[fw.acme.test]"), "nas[0].addresses[0]: not an address or network"),
        (("[10.0.0.1]", "['::ffff:10.0.0.1']"), "nas[0].addresses[0]: an IPv4 address inside IPv6: write 10.0.0.1/32"),
        (("[10.0.0.1]", "[]"), "nas[0].addresses: must name at least one address"),
        (("[10.0.0.1]", "10.0.0.1"), "nas[0].addresses: must be a list"),
        (("[10.0.0.1]", "[10.0.0.0/24]"), None),
        (("{value: s3cret-s3cret-s3cret}", "s3cret-s3cret-s3cret"), "nas[0].secret: write one of {env: NAME}"),
        (("{value: s3cret-s3cret-s3cret}", "{env: A, file: /b}"), "nas[0].secret: write one of {env: NAME}"),
        (("{value: s3cret-s3cret-s3cret}", "{env: 'A B'}"), "nas[0].secret.env: must be the name of an environment variable"),
        (("{value: s3cret-s3cret-s3cret}", "{file: secrets/fw}"), "nas[0].secret.file: must be an absolute path"),
        (("{name: vpn}", "{name: 'a:b'}"), "applications[0].name: must be 1 to 64 letters"),
        (("{name: vpn}", "{name: vpn, policy: p}"), "applications[0].policy: no policy has the name 'p': there is none yet"),
        (("{name: vpn}", "{name: vpn}, {name: VPN}"), "applications[1].name: the name 'VPN' is already taken by applications[0]"),
        (("{name: vpn}", "{name: vpn, release: [{add: {Fliter-Id: x}}]}"), "did you mean Filter-Id?"),
        (("{name: vpn}", "{name: vpn, release: [{add: {Message-Authenticator: x}}]}"), "is set by the server itself"),
        (
            ("{name: vpn}", "{name: vpn, release: [{when: {gruop: [a]}, add: {Class: x}}]}"),
            "applications[0].release[0]: when.gruop",
        ),
        (
            ("{name: vpn}", "{name: vpn, release: [{when: {any: [{group: ['stuff:x']}]}, add: {Class: x}}]}"),
            "applications[0].release[0].when.any[0].group: 'stuff:x': no directory or realm has the name 'stuff'",
        ),
        (("nas:", "codes: {life_s: 30}\nnas:"), "codes.life_s: must be between 60 and 600"),
        (("nas:", "codes: {life_s: 601}\nnas:"), "codes.life_s: must be between 60 and 600"),
        (("nas:", "codes: {resend_after_s: [30, 1]}\nnas:"), "codes.resend_after_s[1]: must be between"),
        (("nas:", "codes: {tries: 0}\nnas:"), "codes.tries: must be between"),
        (("nas:", "brakes: {user_source_failures: 0}\nnas:"), "brakes.user_source_failures: must be between"),
        (("nas:", "policies: [{name: p, rules: []}]\nnas:"), "policies[0].rules: must hold at least one rule"),
        (("nas:", "policies: [{name: p, rules: [{name: r, then: {steps: [[totpp]]}}]}]\nnas:"), "unknown factor totpp"),
        (("nas:", "policies: [{name: p, rules: [{name: r, then: {steps: []}}]}]\nnas:"), "policies[0].rules[0]"),
        (("nas:", "gateways: [{name: m, kind: smtp, servers: ['smtp://x'], sender: a, username: u}]\nnas:"), "gateways[0]"),
        (("nas:", "gateways: [{name: m, kind: fax}]\nnas:"), "gateways[0].kind: must be one of http, pickup, smtp"),
        (
            ("nas:", "gateways: [{name: m, kind: http, request: {rul: x}}]\nnas:"),
            "gateways[0].request.rul: unknown key; did you mean 'url'?",
        ),
        (("[{name: staff, kind: local}]", "5"), "directories: must be a list"),
        (("[{name: staff, kind: local}]", "[5]"), "directories[0]: must be keys with values"),
        (("default: true", "default: true, language: de"), "realms[0].language: must be one of en, tr"),
        (("default: true", "default: true, reply_floor_ms: 60000"), "realms[0].reply_floor_ms: must be between 0 and 3000"),
    ],
)
def test_a_fault_is_told_with_its_path_and_its_cure(change: tuple[str, str], told: str | None) -> None:
    assert change[0] in SMALL
    text = SMALL.replace(*change, 1)
    if told is None:
        parse(text)
    else:
        assert told in faults(text)


def second_nas(fields: str) -> str:
    return SMALL + "  - {name: other, secret: {env: A}, application: vpn, " + fields + "}\n"


def test_two_nas_at_one_address_need_an_identifier() -> None:
    assert "nas[1].addresses[0]: 10.0.0.1/32 already belongs to 'fw'" in faults(second_nas("addresses: [10.0.0.1/32]"))
    parse(second_nas("addresses: [10.0.0.1], identifier: other"))
    parse(second_nas("addresses: [10.0.0.0/24]"))


def test_a_network_never_learns_its_message_authenticator_policy() -> None:
    told = faults(second_nas("addresses: [10.1.0.0/30], message_authenticator: auto"))
    assert "nas[1].addresses[0]: auto learns from one device" in told
    parse(second_nas("addresses: [10.1.0.1/32, '2001:db8::1'], message_authenticator: auto"))


def test_one_name_leads_to_one_realm() -> None:
    text = SMALL.replace("directories: [staff]}", "directories: [staff], domains: [lab]}, {name: Lab, directories: [staff]}")
    assert "realms[1].domains: 'Lab' already leads to the realm 'acme'" in faults(text)


def test_a_secret_in_the_wrong_place_is_not_repeated_in_the_message() -> None:
    for change in (
        ("{value: s3cret-s3cret-s3cret}", "hunter2hunter2"),
        ("{value: s3cret-s3cret-s3cret}", "{value: [hunter2hunter2]}"),
    ):
        assert "hunter2" not in faults(SMALL.replace(*change))


def test_lists_have_limits() -> None:
    many = ", ".join(f"{{name: p{n}, kind: pickup, channel: sms}}" for n in range(MAX_ITEMS["gateways"] + 1))
    assert "gateways: holds 101 entries, more than 100" in faults(SMALL + f"gateways: [{many}]\n")
    addresses = ", ".join(f"10.2.0.{n}" for n in range(257) if n < 256) + ", 10.3.0.1"
    assert "nas[0].addresses: holds 257 entries" in faults(SMALL.replace("[10.0.0.1]", f"[{addresses}]"))


def test_only_some_faults_of_very_many_are_listed() -> None:
    nas = "".join(f"  - {{name: n{n}, addresses: [x], secret: {{env: A}}, application: vpn}}\n" for n in range(200))
    told = faults(SMALL + nas)
    assert "and 150 more" in told
    assert len(told.splitlines()) == 52


@pytest.mark.parametrize("text", ["5", "[]", "a", "", "null"])
def test_what_is_no_document_is_refused(text: str) -> None:
    faults(text)
