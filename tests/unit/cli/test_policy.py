"""`wardgate policy`: why a login is decided as it is, and a failing test stops an apply."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .conftest import Cli

PASSWORD = "a lantern over the lake"
DOCUMENT = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
nas:
  - {name: fw, addresses: [192.0.2.1], secret: {value: s3cret-of-the-firewall}, application: vpn}
  - {name: codes, addresses: [192.0.2.2], secret: {value: s3cret-of-the-firewall}, application: vpn, mode: code_only}
applications: [{name: vpn, policy: remote}, {name: wifi}]
networks: [{name: office, cidr: [198.51.100.0/24]}]
policies:
  - name: remote
    rules:
      - {name: contractors, when: {group: ["local:contractors"]}, then: {deny: true}}
      - name: office
        when: {network: [office], at: {days: [mon-fri], from: "08:00", to: "18:00", zone: Europe/Istanbul}}
        then: {steps: [[password]]}
      - name: staff
        when: {any: [{group: ["local:staff"]}, {user: eve}], not: {enrolled: [hotp]}}
        then: {steps: [[password], [totp, sms]]}
      - {name: rest, then: {deny: true}}
    floors:
      - {name: administrators, when: {group: ["local:admins"]}, then: {strong_factors: 1, never: [sms]}}
    tests:
      - {name: ada outside, given: {user: ada, groups: ["local:staff"], at: "mon 09:00"}, expect: {rule: staff, floors: []}}
      - {given: {from: 198.51.100.7, at: "mon 09:00"}, expect: {rule: office, steps: [[password]]}}
"""
OUTSIDE = """\
ada (local, realm default) for vpn, login, Sun 2026-11-22 03:00 UTC+03:00 (Sun 00:00 UTC)
  from 203.0.113.7, NAS fw
  has sms
policy remote: the first rule that matches decides
  contractors: does not match
    no   group: local:contractors
  office: does not match
    no   network: office
    no   at: mon, tue, wed, thu, fri 08:00 to 18:00 Europe/Istanbul
  staff: matches
    yes  any of
      yes  group: local:staff
      no   user: eve
    yes  not enrolled: hotp
  rest: not reached
floors: all that match count
  administrators: does not match
    no   group: local:admins
asked for, by rule staff:
  1. password
  2. totp or sms; the user has sms
"""


def configured(cli: Cli, tmp_path: Path) -> Path:
    document = tmp_path / "document.yaml"
    document.write_text(DOCUMENT)
    assert cli("config", "apply", str(document)).code == 0
    return document


def person(cli: Cli, name: str, *groups: str) -> None:
    options = [word for group in groups for word in ("--group", group)]
    assert cli("user", "add", name, "--phone", "+90 532 123 45 67", *options, "--password-stdin", stdin=PASSWORD).code == 0


def test_an_explanation_is_the_decision_rule_by_rule(cli: Cli, tmp_path: Path) -> None:
    configured(cli, tmp_path)
    person(cli, "ada", "staff")
    at = "2026-11-22T03:00+03:00"
    asked = ("policy", "explain", "--user", "ada", "--nas", "fw", "--from", "203.0.113.7", "--at", at)
    assert cli(*asked).out == OUTSIDE
    told = cli(*asked, "--json").json("policy-explain")
    assert (told["allowed"], told["rule"], told["reason"]) == (True, "staff", None)
    assert told["steps"] == [{"factors": ["password"], "has": ["password"]}, {"factors": ["totp", "sms"], "has": ["sms"]}]
    assert told["rules"][3] == {"name": "rest", "matches": None, "when": None}


def test_times_networks_floors_and_nas_count(cli: Cli, tmp_path: Path) -> None:
    configured(cli, tmp_path)
    person(cli, "olga", "staff", "admins")
    office = cli(
        "policy", "explain", "--user", "olga", "--application", "vpn", "--from", "198.51.100.7", "--at", "mon 09:00", "--json"
    ).json("policy-explain")
    assert office["rule"] == "office"
    assert [floor["matches"] for floor in office["floors"]] == [True]
    assert office["strong_factors"] == 1
    night = cli("policy", "explain", "--user", "olga", "--application", "vpn", "--from", "198.51.100.7", "--at", "mon 07:00")
    assert "asked for, by rule staff:\n  1. password\n  2. totp; the user has none of these and cannot come in\n" in night.out
    codes = cli("policy", "explain", "--user", "olga", "--nas", "codes", "--at", "mon 07:00", "--json").json()
    assert [step["factors"] for step in codes["steps"]] == [["totp"]]
    assert codes["facts"]["proved_elsewhere"] == ["password"]


def test_who_is_refused_is_told_by_which_rule(cli: Cli, tmp_path: Path) -> None:
    configured(cli, tmp_path)
    person(cli, "carl", "contractors")
    refused = cli("policy", "explain", "--user", "carl", "--application", "vpn")
    assert refused.code == 0
    assert refused.out.endswith("rest: not reached\nrefused: rule contractors denies\n")
    told = cli("policy", "explain", "--user", "carl", "--application", "wifi", "--json").json("policy-explain")
    assert (told["policy"], told["rule"], told["floors"]) == ("default", "default", [])


def test_what_is_not_there_is_said(cli: Cli, tmp_path: Path) -> None:
    configured(cli, tmp_path)
    person(cli, "ada")
    for arguments in (
        ("--user", "nobody", "--application", "vpn"),
        ("--user", "ada", "--application", "vpm"),
        ("--user", "ada", "--nas", "fv"),
        ("--user", "ada"),
        ("--user", "ada", "--application", "vpn", "--at", "noon"),
        ("--user", "ada", "--application", "vpn", "--goal", "login in"),
    ):
        assert cli("policy", "explain", *arguments).code in (1, 2), arguments


def test_a_failing_test_stops_an_apply_and_tells_what_came(cli: Cli, tmp_path: Path) -> None:
    document = configured(cli, tmp_path)
    document.write_text(DOCUMENT.replace("198.51.100.0/24", "198.51.101.0/24"))
    for arguments in (("config", "apply", str(document)), ("config", "apply", str(document), "--dry-run")):
        refused = cli(*arguments)
        assert refused.code != 0
        told = "policies[0].tests[1]: test number 2 of remote: expected rule office, steps [[password]]; came rule rest, steps []"
        assert f"{document}:24:9: {told}" in refused.err
    assert cli("policy", "test").out == "ok   remote: test ada outside\nok   remote: test number 2\n2 passed, 0 failed.\n"
    failed = cli("policy", "test", str(document), "--json")
    assert failed.code == 1
    told = failed.json("policy-test")
    assert (told["ok"], told["passed"], told["failed"]) == (False, 1, 1)
    assert cli("policy", "test", str(document), "--policy", "other").code != 0


def test_a_document_without_tests_says_so(cli: Cli) -> None:
    assert cli("policy", "test").out == "The policies carry no tests.\n"


def test_a_half_written_test_is_refused_with_its_place(cli: Cli, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(DOCUMENT.replace("expect: {rule: office, ", "expect: {rul: office, "))
    refused = cli("config", "apply", str(document))
    assert "policies[0].tests[1]: expect.rul: unknown" in refused.err


# As far ahead as may be, or nearly.
UNTIL = f"{datetime.now(UTC) + timedelta(days=300):%Y-%m-%d}"
FOLLOWING = """
realms: [{name: default, default: true, directories: [local]}]
directories: [{name: local, kind: local}]
nas: [{name: fw, addresses: [192.0.2.1], secret: {value: s3cret-of-the-firewall}, application: vpn}]
applications: [{name: vpn, policy: remote}, {name: jump, policy: strict}]
policies:
  - name: remote
    rules:
      - {name: risky, when: {risk: [high]}, then: {deny: true, text: {en: Call the help desk., tr: Yardım masasını arayın.}}}
      - name: managed
        when: {device: {os: {matches: "windows.*"}}, country: tr, known_device: true}
        then: {steps: [[password]]}
      - {name: staff, then: {steps: [[password], [totp, sms]], text: {en: Welcome}}}
    floors:
      - {name: administrators, when: {group: ["local:admins"]}, then: {strong_factors: 2, never: [sms, email]}}
    actions:
      - name: app
        when: {not: {group: ["local:service"]}}
        then: [{enrol: [totp, hotp], level: forced}, {enrol: sms}, {confirm: contact, every: 180d}]
    lifetimes:
      - {name: contractors, when: {group: ["local:contractors"]}, then: {session: 1h}}
      - {name: everybody, then: {session: 8h, idle: 15m, trusted_device: 1d}}
    fail: {directory_down: closed}
    self_service:
      reset: {rules: [{name: eve, when: {user: eve}, then: {proofs: 3}}]}
      unlock: {accept_weaker: {reason: migration, until: UNTIL}}
  - name: strict
    rules: [{name: all, then: {steps: [[password], [totp, hotp]]}}]
""".replace("UNTIL", UNTIL)
STAFF = """\
lifetimes: the first that matches decides
  contractors: does not match
    no   group: local:contractors
  everybody: matches
    always
asked for, by rule staff:
  1. password
  2. totp or sms; the user has sms
then demanded:
  enrol totp or hotp: forced, may be put off 3 times, the user does not have it
  confirm contact: optional, every 180d, asked for when it is due
  enrol sms: met, the user has it
lasting: session 8h, idle 15m, trusted device 1d
while a directory is down: closed; while no gateway sends: closed
the person is told (en): Welcome
"""
RESET = """\
allowed, by rule staff
the person is told (en): Welcome
what reset needs: the first of its rules that matches decides
  eve: does not match
    no   user: eve
reset needs:
  independent proofs: 2; weight together: 3
  no less than the login: strong factors 1, weight 2
presented:
  sms +905321234567: weight 2
  sms +905321234567 counts nothing: another came from the same source
  email ada@home.test counts nothing: it is too new
  recovery_code: weight 2, strong
enough
"""


def following(cli: Cli, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(FOLLOWING)
    assert cli("config", "apply", str(document)).code == 0


def test_what_follows_a_login_is_told(cli: Cli, tmp_path: Path) -> None:
    following(cli, tmp_path)
    person(cli, "ada", "staff")
    told = cli("policy", "explain", "--user", "ada", "--nas", "fw")
    assert told.out.endswith(STAFF)
    assert "actions: the first that matches decides\n  app: matches\n" in told.out
    as_json = cli("policy", "explain", "--user", "ada", "--nas", "fw", "--json").json("policy-explain")
    assert [(each["action"], each["met"]) for each in as_json["demands"]] == [
        ("enrol:totp+hotp", False),
        ("confirm:contact", None),
        ("enrol:sms", True),
    ]
    assert (as_json["lasting"]["name"], as_json["lasting"]["trusted_device_s"]) == ("everybody", 86_400)
    assert as_json["self_service"] is None
    person(cli, "olga", "admins")
    assert "lasting: session 8h, idle 15m, no device is trusted\n" in cli("policy", "explain", "--user", "olga", "--nas", "fw").out


def test_machine_country_and_risk_can_be_asked_about(cli: Cli, tmp_path: Path) -> None:
    following(cli, tmp_path)
    person(cli, "ada", "staff")
    asked = ("policy", "explain", "--user", "ada", "--nas", "fw")
    known = cli(*asked, "--country", "TR", "--known-device", "--device", "os=Windows 11", "--risk", "low")
    assert "  country tr, a known device, risk low, os Windows 11\n" in known.out
    assert "asked for, by rule managed:" in known.out
    refused = cli(*asked, "--risk", "high")
    assert refused.out.endswith(
        "refused: rule risky denies\nthe person is told (en): Call the help desk.\n"
        "the person is told (tr): Yardım masasını arayın.\n"
    )
    for wrong in (("--country", "turkey"), ("--risk", "big"), ("--device", "colour=red"), ("--device", "windows")):
        assert cli(*asked, *wrong).code in (1, 2)


def test_what_nobody_knows_is_no_no(cli: Cli, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    asked = (
        "{not: {country: [kp]}, any: [{risk: high}, {network: [192.0.2.0/24]}, {all: [{user: ada}, {not: {any: [{user: eve}]}}]}]}"
    )
    document.write_text(FOLLOWING.replace("{risk: [high]}", asked))
    assert cli("config", "apply", str(document)).code == 0
    person(cli, "ada", "staff")
    asked_for = ("policy", "explain", "--user", "ada", "--nas", "fw")
    assert (
        """\
  risky: matches
    yes  not country: kp (unknown country)
    yes  any of
      unknown  risk: high
      unknown  network: 192.0.2.0/24
      yes  all of
        yes  user: ada
        yes  none of
          no   user: eve
"""
        in cli(*asked_for).out
    )
    known = cli(*asked_for, "--country", "tr", "--risk", "low", "--from", "203.0.113.7").out
    assert "    yes  not country: kp\n    yes  any of\n      no   risk: high\n      no   network: 192.0.2.0/24\n" in known
    assert cli(*asked_for, "--from", "203.0.113.300").code == 1


def test_a_risk_that_is_given_counts_instead_of_the_score_and_says_so(cli: Cli, tmp_path: Path) -> None:
    document = tmp_path / "document.yaml"
    document.write_text(FOLLOWING + "risk: {enabled: true}\n")
    assert cli("config", "apply", str(document)).code == 0
    person(cli, "ada", "staff")
    asked = ("policy", "explain", "--user", "ada", "--nas", "fw", "--from", "203.0.113.7")
    given = cli(*asked, "--risk", "high").out
    assert "; not counted, since risk high was given\n" in given
    assert "refused: rule risky denies" in given
    assert "not counted" not in cli(*asked).out


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("sun 03:00 America/New_York", "03:00 America/New_York (Sun 0"),
        ("2026-11-22T03:00", "Sun 2026-11-22 03:00 Europe/Istanbul (Sun 00:00 UTC)\n"),
        ("2026-11-22T01:00Z", "Sun 2026-11-22 01:00 UTC\n"),
        ("2026-11-22T01:00+03:00", "Sun 2026-11-22 01:00 UTC+03:00 (Sat 22:00 UTC)\n"),
    ],
)
def test_a_moment_is_told_on_the_clocks_that_it_was_asked_on(cli: Cli, tmp_path: Path, at: str, told: str) -> None:
    configured(cli, tmp_path)
    person(cli, "ada", "staff")
    asked = cli("policy", "explain", "--user", "ada", "--nas", "fw", "--at", at)
    assert told in asked.out.splitlines(keepends=True)[0]


def test_a_reset_is_told_with_what_its_proofs_count_for(cli: Cli, tmp_path: Path) -> None:
    """The login to `jump` takes no text message: two of them, and a new mailbox, would not do."""
    following(cli, tmp_path)
    person(cli, "ada", "staff")
    asked = ("policy", "explain", "--user", "ada", "--application", "vpn", "--goal")
    proofs = ("--proof", "sms=+90 532 123 45 67", "--proof", "sms=+905321234567", "--proof", "email=Ada@Home.test,age=2h")
    assert cli(*asked, "reset", *proofs, "--proof", "recovery_code").out.endswith(RESET)
    weak = cli(*asked, "reset", *proofs, "--json").json("policy-explain")["self_service"]
    assert not weak["enough"]
    assert {"what": "login_strong_factors", "has": 0, "needed": 1} in weak["missing"]
    assert [each["why_not"] for each in weak["proofs"]] == [None, "same_source", "held"]
    unlock = cli(*asked, "unlock", "--proof", "sms=+905321234567")
    assert f"  may be weaker than the login until {UNTIL}: migration\n" in unlock.out
    assert unlock.out.endswith("  sms +905321234567: weight 2\nenough\n")
    bare = cli(*asked, "reset").out
    assert bare.endswith(
        "reset needs:\n  independent proofs: 2; weight together: 3\n  no less than the login: strong factors 1, weight 2\n"
    )
    assert cli(*asked, "recover_name").out.endswith("recover_name needs:\n  no proof\n")
    light = cli(*asked, "unlock", "--proof", "email=ada@home.test").out
    assert "  one proof that weighs 2 by itself\n" in light
    assert light.endswith("not enough:\n  weight together: 1 of 2\n  one proof must weigh 2 by itself; the heaviest weighs 1\n")


def test_activation_is_explained_for_the_portal_that_no_document_names(cli: Cli) -> None:
    person(cli, "grace")
    asked = ("policy", "explain", "--user", "grace", "--application", "portal", "--goal", "activate", "--proof", "activation")
    alone = cli(*asked)
    assert alone.out.endswith("not enough:\n  independent proofs: 1 of 2\n  weight together: 2 of 3\n")
    both = cli(*asked, "--proof", "sms=+905321234567")
    assert "activate needs:\n  independent proofs: 2; weight together: 3\n" in both.out
    assert both.out.endswith("enough\n")
    new = cli(*asked, "--proof", "sms=+905321234567,age=2h")
    assert "sms +905321234567 counts nothing: it is too new" in new.out
    assert cli(*asked, "--proof", "sms=+905321234567,age=2h,vouched").out.endswith("enough\n")
    told = cli(*asked, "--json").json("policy-explain")
    assert told["facts"]["door"] == "portal"
    assert told["application"] == "portal"


def test_a_proof_that_cannot_be_meant_is_refused(cli: Cli, tmp_path: Path) -> None:
    following(cli, tmp_path)
    person(cli, "ada", "staff")
    asked = ("policy", "explain", "--user", "ada", "--application", "vpn", "--goal", "reset")
    for wrong in ("fax=1", "sms=12", "sms=+905321234567,age=soon", "totp,strong", "totp," + "x" * 400):
        assert cli(*asked, "--proof", wrong).code == 2, wrong
    assert cli(*asked, *(word for _ in range(21) for word in ("--proof", "totp"))).code == 2
    login = cli("policy", "explain", "--user", "ada", "--application", "vpn", "--proof", "totp")
    assert login.code == 2
    assert "self-service" in login.err
