"""A forgotten password on real directories: Active Directory, OpenLDAP with a password policy, and Wardgate's own.

A person without script and with a locked account proves who he is by app and text message, is refused the password that he had,
chooses another, and logs in with that one: by a bind of another maker's client, and over RADIUS.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import samba, slapd
from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    Wire,
    cli,
    csv_of,
    ended,
    last_login,
    make_installation,
    message_of,
    serve,
    totp_code,
    wait_for,
)
from tests.functional.sms_service import SmsService
from tests.samba_dc import cast
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd")]

TOTP_HEX = "3132333435363738393031323334353637383930"
LOCAL_PASSWORD = "the first passphrase of lena"
NEW = "Quite-An0ther-phrase of 1816"
WRONG_PASSWORDS = 5
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')

DOCUMENT = """
realms:
  - {{name: acme, default: true, directories: [acme-ad], region: TR, reply_floor_ms: 0}}
  - {{name: ldap, directories: [acme-ldap], region: TR, reply_floor_ms: 0}}
  - {{name: own, directories: [local], region: TR, reply_floor_ms: 0}}
directories:
  - name: acme-ad
    kind: active_directory
    servers: ["{ad_url}"]
    ca_file: {ad_ca}
    bind: {{dn: "{ad_dn}", password: {{value: {ad_password}}}}}
    base: "{ad_base}"
    emulate_history: true
  - name: acme-ldap
    kind: openldap
    servers: ["{ldap_url}"]
    ca_file: {ldap_ca}
    bind: {{dn: "{ldap_dn}", password: {{value: {ldap_password}}}}}
    base: "{ldap_base}"
  - {{name: local, kind: local}}
gateways:
  - name: sms
    kind: http
    ca_file: {sms_ca}
    request:
      url: https://localhost:{sms_port}/send
      json: {{to: "{{number}}", text: "{{text}}"}}
nas: [{{name: hq, addresses: [127.0.0.1], secret: {{value: {secret}}}, application: vpn}}]
applications:
  - {{name: vpn, policy: remote}}
policies:
  - name: remote
    rules: [{{name: all, then: {{steps: [[password], [sms, totp]]}}}}]
"""


@dataclass(frozen=True)
class Account:
    """Somebody who forgot his password. `login`: what he types; `binds`: whether another maker's client logs in with a password."""

    login: str
    phone: str
    old: str
    lock: Callable[[], None]
    binds: Callable[[str], bool] | None = None


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsService]:
    service = SmsService(Path(tmp_path_factory.mktemp("sms")))
    yield service
    service.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sms: SmsService) -> Iterator[Served]:
    """A server with all three directories and the portal."""
    home, domain, ldap = Path(tmp_path_factory.mktemp("portal")), samba.shared(), slapd.shared()
    assert sms.service is not None
    text = DOCUMENT.format(
        ad_url=domain.url,
        ad_ca=domain.ca_file,
        ad_dn=cast.SERVICE_DN,
        ad_password=cast.SERVICE_PASSWORD,
        ad_base=cast.BASE,
        ldap_url=ldap.ldaps,
        ldap_ca=ldap.ca_file,
        ldap_dn=slapd.SERVICE,
        ldap_password=slapd.SERVICE_PASSWORD,
        ldap_base=slapd.BASE,
        sms_ca=sms.authority.ca_file,
        sms_port=sms.service.port,
        secret=SECRET,
    )
    make_installation(home / "data", text)
    (home / "users.csv").write_text(csv_of([Person("lena", LOCAL_PASSWORD, phone="+905440000003")]))
    cli("user", "import", str(home / "users.csv"), "--directory", "local", data=home / "data")
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


def in_active_directory(served: Served) -> Account:
    domain, name = samba.shared(), samba.name("forgot")
    dn = domain.add_user(name, cast.PASSWORD, mobile="0544 000 00 01")
    return Account(name, "+905440000001", cast.PASSWORD, lambda: domain.lock(dn), lambda password: domain.bind(dn, password) == "")


def in_openldap(served: Served) -> Account:
    ldap, name = slapd.shared(), samba.name("forgot")
    dn = ldap.add_user(name, slapd.PASSWORD, mobile="+905440000002", pwdChangedTime=slapd.ago(3600))

    def lock() -> None:
        for _ in range(WRONG_PASSWORDS):
            assert not ldap.binds(dn, "wrong")

    return Account(f"{name}@ldap", "+905440000002", slapd.PASSWORD, lock, lambda password: ldap.binds(dn, password))


def in_our_own(served: Served) -> Account:
    def lock() -> None:
        with Wire(served) as wire:
            for number in range(WRONG_PASSWORDS):
                assert wire.log_in("lena@own", f"wrong {number}").code is Code.ACCESS_REJECT

    return Account("lena@own", "+905440000003", LOCAL_PASSWORD, lock)


class Visitor:
    """A browser without script."""

    def __init__(self, served: Served) -> None:
        self._web = served.web()
        self.page = httpx.Response(200)

    def open(self, path: str) -> None:
        self._go("GET", path, {})

    def send(self, **fields: str) -> None:
        """Send the first form of the page with its hidden fields."""
        hidden = dict(_FIELD.findall(self.page.text.split("<form ")[1]))
        self._go("POST", urlsplit(str(self.page.url)).path, {**hidden, **fields})

    def _go(self, method: str, path: str, fields: dict[str, str]) -> None:
        data = fields if method == "POST" else None
        self.page = self._web.request(method, path, data=data, headers={"sec-fetch-site": "same-origin"}, follow_redirects=True)

    def close(self) -> None:
        self._web.close()


def codes_to(sms: SmsService, number: str) -> list[str]:
    """The codes that went to a number; notices bear none."""
    found = (re.search(r"\b\d{6}\b", each["text"]) for each in sms.messages() if each["to"] == number)
    return [each.group() for each in found if each is not None]


def next_code(sms: SmsService, number: str, before: int) -> str:
    """The code that was sent after so many."""
    return str(wait_for(lambda: codes_to(sms, number)[before:])[0])


def log_in(served: Served, sms: SmsService, account: Account, password: str) -> Code:
    """A login over RADIUS with a password and the code that comes to the phone."""
    before = len(codes_to(sms, account.phone))
    with Wire(served) as wire:
        challenge = wire.log_in(account.login, password)
        if challenge.code is not Code.ACCESS_CHALLENGE:
            return challenge.code
        answered = wire.answer(account.login, next_code(sms, account.phone, before), challenge)
        assert answered.code is Code.ACCESS_ACCEPT, message_of(answered)
        return answered.code


def is_kept_out(served: Served, account: Account, password: str) -> bool:
    """Whether the right password leads no further: it is refused, or a strong factor is asked for before it is looked at."""
    with Wire(served) as wire:
        reply = wire.log_in(account.login, password)
        return reply.code is Code.ACCESS_REJECT or "sent" not in message_of(reply)


@pytest.mark.parametrize("made", [in_active_directory, in_openldap, in_our_own])
def test_forgotten_password_is_set_for_real_and_the_lock_is_gone(
    served: Served, sms: SmsService, made: Callable[[Served], Account]
) -> None:
    account = made(served)
    cli("authenticator", "add", account.login, "totp", "--secret-hex", TOTP_HEX, data=served.data)
    account.lock()
    assert is_kept_out(served, account, account.old)

    person = Visitor(served)
    person.open("/forgot")
    person.send(username=account.login)
    person.send(method="totp", act="choose")
    person.send(code=totp_code(TOTP_HEX), act="answer")
    assert "One more proof" in person.page.text
    before = len(codes_to(sms, account.phone))
    person.send(method="sms", act="choose")
    person.send(code=next_code(sms, account.phone, before), act="answer")
    assert "Choose a new password" in person.page.text
    person.send(new_password=account.old, act="password")
    assert person.page.status_code == 422, person.page.text
    assert 'aria-invalid="true"' in person.page.text
    person.send(new_password=NEW, act="password")
    assert "Your password is changed" in person.page.text, person.page.text
    person.close()

    assert account.binds is None or account.binds(NEW)
    assert log_in(served, sms, account, NEW) is Code.ACCESS_ACCEPT
    assert log_in(served, sms, account, account.old) is Code.ACCESS_REJECT
    assert NEW not in served.log
    assert NEW not in str(last_login(served, account.login))


def test_old_password_that_active_directory_still_takes_is_refused_by_our_doors(served: Served, sms: SmsService) -> None:
    account = in_active_directory(served)
    cli("authenticator", "add", account.login, "totp", "--secret-hex", TOTP_HEX, data=served.data)
    person = Visitor(served)
    person.open("/sign-in")
    person.send(username=account.login, password=account.old)
    person.send(code=totp_code(TOTP_HEX), act="answer")
    person.open("/account/password")
    person.send(password=account.old, new_password=NEW)
    assert "Your password is changed" in person.page.text, person.page.text
    person.close()
    assert account.binds is not None
    assert account.binds(account.old), "the domain takes the password of before for an hour"
    assert log_in(served, sms, account, account.old) is Code.ACCESS_REJECT
    assert log_in(served, sms, account, NEW) is Code.ACCESS_ACCEPT
