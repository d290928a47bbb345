"""Logins by RADIUS with users of a real Active Directory, a real OpenLDAP server and a table, and the commands about directories.

One server serves all three. What the person sees tells nothing before the second factor; the timeline tells all.
"""

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests import samba, slapd
from tests.functional.harness import (
    COMMAND,
    SECRET,
    Served,
    Wire,
    cli,
    cli_json,
    ended,
    environment,
    last_login,
    make_installation,
    message_of,
    reason_of,
    serve,
    totp_code,
)
from tests.functional.sms_service import SmsService
from tests.samba_dc import cast
from wardgate.radius.packet import Code, Packet

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd")]

TOTP_HEX = "3132333435363738393031323334353637383930"
HR_PASSWORD = "Hr-Passw0rd"
FILTER_ID = 11

DOCUMENT = """
realms:
  - {{name: acme, default: true, directories: [acme-ad], region: TR, reply_floor_ms: 0}}
  - {{name: ldap, directories: [acme-ldap], reply_floor_ms: 0}}
  - {{name: people, directories: [hr], region: TR, reply_floor_ms: 0}}
directories:
  - name: acme-ad
    kind: active_directory
    servers: ["{ad_url}"]
    ca_file: {ad_ca}
    bind: {{dn: "{ad_dn}", password: {{file: {ad_password}}}}}
    base: "{ad_base}"
    attributes: {{mail: mail, phone: mobile}}
    write_contacts: [phone]
  - name: acme-ldap
    kind: openldap
    servers: ["{ldap_url}"]
    ca_file: {ldap_ca}
    bind: {{dn: "{ldap_dn}", password: {{value: {ldap_password}}}}}
    base: "{ldap_base}"
    write_contacts: [phone]
  - name: hr
    kind: sql
    url: "sqlite:///{hr}"
    table: employee
    columns: {{id: id, username: login, password: pw_hash, mail: email, phone: gsm, disabled: is_disabled}}
    group_statement: "select name from team where login = :username"
gateways:
  - name: sms
    kind: http
    ca_file: {sms_ca}
    secret: {{value: an-sms-password}}
    request:
      url: https://localhost:{sms_port}/send
      headers: {{Authorization: "Bearer {{secret}}"}}
      json: {{to: "{{number}}", text: "{{text}}"}}
nas: [{{name: hq, addresses: [127.0.0.1], secret: {{value: {secret}}}, application: vpn}}]
applications:
  - name: vpn
    policy: remote
    release:
      - {{when: {{group: ["acme-ad:VPN Users"]}}, add: {{Filter-Id: "ad-vpn"}}}}
      - {{when: {{group: ["acme-ldap:cn=staff,ou=groups,dc=acme,dc=test"]}}, add: {{Filter-Id: "ldap-staff"}}}}
      - {{when: {{group: ["hr:accounting"]}}, add: {{Filter-Id: "hr-accounting"}}}}
policies:
  - name: remote
    rules:
      - {{name: by-phone, when: {{group: ["acme-ad:VPN Users", "hr:accounting"]}}, then: {{steps: [[password], [sms]]}}}}
      - {{name: by-app, then: {{steps: [[password], [totp]]}}}}
"""


@pytest.fixture(scope="module")
def domain() -> samba.DomainController:
    return samba.shared()


@pytest.fixture(scope="module")
def ldap() -> slapd.Server:
    return slapd.shared()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, domain: samba.DomainController, ldap: slapd.Server, sms: SmsService
) -> Iterator[Served]:
    """A server with all three; its users of AD and OpenLDAP are the cast's."""
    home = Path(tmp_path_factory.mktemp("directories"))
    (home / "ad.password").write_text(cast.SERVICE_PASSWORD + "\n")
    assert sms.service is not None
    text = DOCUMENT.format(
        ad_url=domain.url,
        ad_ca=domain.ca_file,
        ad_dn=cast.SERVICE_DN,
        ad_password=home / "ad.password",
        ad_base=cast.BASE,
        ldap_url=ldap.ldaps,
        ldap_ca=ldap.ca_file,
        ldap_dn=slapd.SERVICE,
        ldap_password=slapd.SERVICE_PASSWORD,
        ldap_base=slapd.BASE,
        hr=_table(home / "hr.db"),
        sms_ca=sms.authority.ca_file,
        sms_port=sms.service.port,
        secret=SECRET,
    )
    make_installation(home / "data", text)
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


def _table(path: Path) -> Path:
    """Users of some other program, whose hashes are crypt(3)'s."""
    with sqlite3.connect(path) as database:
        database.execute(
            "create table employee (id integer primary key, login text, pw_hash text, email text, gsm text, is_disabled int)"
        )
        database.execute("create table team (login text, name text)")
        hashed = slapd.ssha(HR_PASSWORD)
        for number, (login, gsm, disabled) in enumerate(
            [("deniz", "0533 000 11 22", 0), ("emre", "call me", 0), ("fatma", None, 1)]
        ):
            row = (number, login, hashed, f"{login}@acme.test", gsm, disabled)
            database.execute("insert into employee values (?, ?, ?, ?, ?, ?)", row)
            database.execute("insert into team values (?, 'accounting')", (login,))
    return path


def released(reply: Packet) -> list[bytes]:
    """The Filter-Id values of a reply."""
    return list(reply.all(FILTER_ID))


def steps_of(served: Served, user: str) -> str:
    """Everything in the timeline of a user's last login."""
    return json.dumps(last_login(served, user))


def an_account(domain: samba.DomainController, mobile: str = "", **more: Any) -> str:
    """An account of one test's own in Active Directory, with a phone in VPN Users: what others guess at the cast may lock it."""
    name = samba.name("login")
    given = {"mobile": mobile, "groups": [f"CN=VPN Users,{cast.GROUPS}"]} if mobile else {}
    domain.add_user(name, cast.PASSWORD, **{**given, **more})
    return name


# --- logins --------------------------------------------------------------------------------------------------------------


def test_a_code_goes_to_the_phone_of_active_directory(served: Served, domain: samba.DomainController, sms: SmsService) -> None:
    name = an_account(domain, mobile="0532 123 45 99")
    with Wire(served) as wire:
        challenge = wire.log_in(f"ACME\\{name}", cast.PASSWORD)
        assert "** 99" in message_of(challenge)
        granted = wire.answer(f"ACME\\{name}", sms.code_to("+905321234599"), challenge)
    assert granted.code is Code.ACCESS_ACCEPT
    assert released(granted) == [b"ad-vpn"]


def test_a_user_of_openldap_logs_in_with_an_app_and_gets_what_his_nested_group_gets(served: Served) -> None:
    cli("authenticator", "add", "alice@ldap", "totp", "--secret-hex", TOTP_HEX, data=served.data)
    with Wire(served) as wire:
        challenge = wire.log_in("alice@ldap", slapd.PASSWORD)
        granted = wire.answer("alice@ldap", totp_code(TOTP_HEX), challenge)
    assert granted.code is Code.ACCESS_ACCEPT
    assert released(granted) == [b"ldap-staff"]


def test_a_user_of_a_table_gets_his_code_at_its_phone(served: Served, sms: SmsService) -> None:
    with Wire(served) as wire:
        challenge = wire.log_in("deniz@people", HR_PASSWORD)
        granted = wire.answer("deniz@people", sms.code_to("+905330001122"), challenge)
    assert granted.code is Code.ACCESS_ACCEPT
    assert released(granted) == [b"hr-accounting"]


def test_a_malformed_phone_gets_no_code_and_the_timeline_says_why(served: Served, sms: SmsService) -> None:
    with Wire(served) as wire:
        refused = wire.log_in("emre@people", HR_PASSWORD)
    assert refused.code is Code.ACCESS_REJECT
    assert reason_of(served, refused) == "no_factor"
    told = steps_of(served, "emre@people")
    assert "phone number" in told
    assert "call me" not in told


@pytest.mark.parametrize(("told", "reason"), [("has expired", "password_expired"), ("choose a new password", "must_change")])
def test_that_a_password_is_good_for_nothing_more_is_told_after_the_second_factor_only(
    served: Served, domain: samba.DomainController, told: str, reason: str
) -> None:
    if reason == "must_change":
        name = an_account(domain)
        domain.set(_dn(name), pwdLastSet="0")
    else:
        # No password can be made old from outside; of this account of the cast a lock by other tests' guesses is lifted.
        name = "expired"
        domain.set(cast.person(name).dn, lockoutTime="0")
    cli("authenticator", "add", name, "totp", "--secret-hex", TOTP_HEX, "--directory", "acme-ad", data=served.data)
    with Wire(served) as wire:
        challenge = wire.log_in(name, cast.PASSWORD)
        assert challenge.code is Code.ACCESS_CHALLENGE
        assert told not in message_of(challenge)
        refused = wire.answer(name, totp_code(TOTP_HEX), challenge)
    assert refused.code is Code.ACCESS_REJECT
    assert told in message_of(refused)
    assert reason_of(served, refused) == reason


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"control": 514}, "account_disabled"),
        ({"accountExpires": "130000000000000000"}, "account_expired"),
        ({"logonHours": b"\0" * 21}, "account_hours"),
        ({"userWorkstations": "NOWHERE"}, "account_workstation"),
        ({}, "account_locked"),
    ],
    ids=["disabled", "ended", "hours", "workstation", "locked"],
)
def test_why_an_account_may_not_log_in_stands_in_the_timeline_alone(
    served: Served, domain: samba.DomainController, attributes: dict[str, Any], reason: str
) -> None:
    name = an_account(domain, **attributes)
    if reason == "account_locked":
        domain.lock(_dn(name))
    with Wire(served) as wire:
        refused = wire.log_in(name, cast.PASSWORD)
        unknown = wire.log_in(f"nobody-{name}", cast.PASSWORD)
    assert refused.code is unknown.code is Code.ACCESS_REJECT
    assert _without_reference(refused) == _without_reference(unknown)
    assert reason_of(served, refused) == reason


def _dn(name: str) -> str:
    return cast.Person(name, ou=cast.SCRATCH).dn


def _without_reference(reply: Packet) -> str:
    return message_of(reply)[:-8]


def test_a_persons_own_phone_takes_the_codes_once_it_is_preferred(
    served: Served, domain: samba.DomainController, sms: SmsService
) -> None:
    own, theirs = "+905449998877", "+905329876544"
    name = an_account(domain, mobile=theirs)
    added = cli_json("user", "contact", "add", name, own, "--verified", data=served.data)
    _validate(added, "user-contact-add")
    assert added["codes_go_to"]["phone"] == theirs
    _validate(cli_json("user", "contact", "prefer", name, own, data=served.data), "user-contact-prefer")
    listed = cli_json("user", "contact", "list", name, data=served.data)
    _validate(listed, "user-contact-list")
    assert listed["codes_go_to"]["phone"] == own
    with Wire(served) as wire:
        challenge = wire.log_in(name, cast.PASSWORD)
        assert wire.answer(name, sms.code_to(own), challenge).code is Code.ACCESS_ACCEPT
    removed = cli_json("user", "contact", "remove", name, own, data=served.data)
    _validate(removed, "user-contact-remove")
    assert removed["codes_go_to"]["phone"] == theirs


def test_a_phone_is_written_to_active_directory_and_gets_the_next_code(
    served: Served, domain: samba.DomainController, sms: SmsService
) -> None:
    name, number = an_account(domain, mobile="not a number"), "+905321112255"
    listed = cli_json("user", "contact", "list", name, data=served.data)
    assert listed["codes_go_to"]["phone"] is None
    assert "mobile" in listed["of_directory"]["unusable"][0]
    cli("user", "contact", "add", name, "0532 111 22 55", "--to-directory", data=served.data)
    assert domain.read(_dn(name), "mobile")["mobile"] == [number]
    with Wire(served) as wire:
        challenge = wire.log_in(name, cast.PASSWORD)
        assert wire.answer(name, sms.code_to(number), challenge).code is Code.ACCESS_ACCEPT


def test_a_phone_is_written_to_openldap(served: Served, ldap: slapd.Server) -> None:
    ldap.add_user("writes", slapd.PASSWORD, mobile="+905321112233")
    written = cli_json("user", "contact", "add", "writes@ldap", "+905321112244", "--to-directory", data=served.data)
    assert written["codes_go_to"]["phone"] == "+905321112244"
    assert ldap.read(slapd.user_dn("writes"), "mobile") == {"mobile": ["+905321112244"]}


# --- the commands --------------------------------------------------------------------------------------------------------


def _validate(told: Any, schema: str) -> None:
    text = resources.files("wardgate.cli").joinpath("schemas", f"{schema}.json").read_text()
    jsonschema.validate(told, json.loads(text))


def test_every_directory_is_listed_with_its_servers(served: Served, ldap: slapd.Server) -> None:
    told = cli_json("directory", "list", data=served.data)
    _validate(told, "directory-list")
    listed = {each["name"]: each for each in told["directories"]}
    assert {name: each["answers"] for name, each in listed.items()} == {"acme-ad": True, "acme-ldap": True, "hr": True}
    [server] = listed["acme-ldap"]["servers"]
    assert (server["server"], server["state"]) == (f"127.0.0.1:{ldap.ldaps_port}", "up")
    shown = cli("directory", "list", data=served.data).stdout
    assert "acme-ad" in shown
    assert "up" in shown


@pytest.mark.parametrize(
    ("name", "user", "groups"),
    [("acme-ad", "alice", {"VPN Users", "Outer"}), ("acme-ldap", "alice", {"vpn-users", "staff"}), ("hr", "deniz", {"accounting"})],
)
def test_a_user_is_shown_as_wardgate_sees_him(served: Served, name: str, user: str, groups: set[str]) -> None:
    told = cli_json("directory", "test", name, "--user", user, data=served.data)
    _validate(told, "directory-test")
    assert groups <= {each["name"] for each in told["user"]["groups"]}
    assert told["user"]["state"] == "active"
    assert told["codes_go_to"]["phone"].startswith("+90")
    shown = cli("directory", "test", name, "--user", user, data=served.data).stdout
    assert all(group in shown for group in groups)
    for secret in (cast.PASSWORD, slapd.PASSWORD, HR_PASSWORD, "{SSHA}"):
        assert secret not in shown + json.dumps(told)


def test_a_password_is_checked_for_an_operator_and_told_nowhere(served: Served, domain: samba.DomainController) -> None:
    name = an_account(domain)
    right = cli_json("directory", "test", "acme-ad", "--user", name, "--check-password", data=served.data, stdin=cast.PASSWORD)
    assert right["check"]["verdict"] == "right"
    wrong = cli_json("directory", "test", "acme-ad", "--user", name, "--check-password", data=served.data, stdin="not it", expect=1)
    assert wrong["check"]["verdict"] == "wrong"
    assert cast.PASSWORD not in json.dumps([right, wrong]) + served.log


@pytest.mark.parametrize("name", ["acme-ad", "acme-ldap", "hr"])
def test_a_directory_that_is_well_is_examined_without_a_fault(served: Served, name: str) -> None:
    told = cli_json("directory", "doctor", name, data=served.data, expect=None)
    _validate(told, "directory-doctor")
    assert told["reachable"] is True
    bad = [each for each in told["findings"] if each["verdict"] == "bad"]
    assert bad == [], bad
    assert told["ok"] is True
    assert len(told["findings"]) >= 3


def test_what_an_account_may_not_do_is_told_with_the_lines_that_give_it(served: Served, ldap: slapd.Server, tmp_path: Path) -> None:
    """The reader's account in the place of the one that resets."""
    ldap.add_user("scratch", slapd.PASSWORD)
    document = cli("config", "export", data=served.data).stdout
    weaker = yaml.safe_load(document)
    openldap = next(each for each in weaker["directories"] if each["name"] == "acme-ldap")
    openldap["bind"] = {"dn": slapd.READER, "password": {"value": slapd.READER_PASSWORD}}
    scratch = tmp_path / "scratch"
    scratch.write_text(slapd.PASSWORD + "\n")
    try:
        cli("config", "apply", "-", data=served.data, stdin=yaml.safe_dump(weaker))
        options = ["--scratch", "scratch", "--scratch-password-file", str(scratch)]
        told = cli_json("directory", "doctor", "acme-ldap", *options, data=served.data, expect=1)
        shown = cli("directory", "doctor", "acme-ldap", *options, data=served.data, expect=1).stdout
    finally:
        cli("config", "apply", "-", data=served.data, stdin=document)
    _validate(told, "directory-doctor")
    grants = [line for each in told["findings"] if each["verdict"] == "bad" for line in each["grant"]]
    assert any("olcAccess" in line or "by dn.exact" in line for line in grants), told["findings"]
    assert "BAD" in shown
    assert slapd.PASSWORD not in shown


def test_a_directory_that_is_gone_is_unreachable_and_not_merely_bad(served: Served) -> None:
    document = cli("config", "export", data=served.data).stdout
    gone = re.sub(r"ldaps://127\.0\.0\.1:\d+", "ldaps://127.0.0.1:1", document)
    try:
        cli("config", "apply", "-", data=served.data, stdin=gone)
        told = cli_json("directory", "doctor", "acme-ldap", data=served.data, expect=3)
        assert told["reachable"] is False
        listed = cli_json("directory", "list", data=served.data, expect=3)["directories"]
        assert {each["name"]: each["answers"] for each in listed} == {"acme-ad": True, "acme-ldap": False, "hr": True}
        checked = cli_json("check", "--online", data=served.data, expect=1)
        assert any("directory acme-ldap does not answer" in each["what"] for each in checked["findings"])
        with served.web() as web:
            assert web.get("/readyz").status_code == 200
    finally:
        cli("config", "apply", "-", data=served.data, stdin=document)


def test_the_names_of_directories_are_completed(served: Served) -> None:
    words = {"_WARDGATE_COMPLETE": "complete_bash", "COMP_WORDS": "wardgate directory doctor acme", "COMP_CWORD": "3"}
    done = subprocess.run(
        [*COMMAND, "directory", "doctor"],
        env={**environment(), **words, "WARDGATE_DATA": str(served.data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["acme-ad", "acme-ldap"], done.stderr
