"""A server with Active Directory, OpenLDAP with a password policy, and our own directory, and the people in them."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests import samba, slapd
from tests.functional.harness import SECRET, Served, cli, make_installation
from tests.functional.sms_service import SmsService
from tests.samba_dc import cast

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
# Everybody in these tests comes from one address.
brakes: {{source_failures: 100000, network_failures: 0}}
nas: [{{name: hq, addresses: [127.0.0.1], secret: {{value: {secret}}}, application: vpn}}]
applications:
  - {{name: vpn, policy: remote}}
{portal}policies:
  - name: remote
    rules: [{{name: all, then: {{steps: [[password], [{second}]]}}}}]
{more}"""


def three_directories(sms: SmsService, second: str, *, portal: str = "", more: str = "") -> str:
    """The configuration. `second`: the factors beside the password; `portal`: its application; `more`: what follows the policy."""
    domain, ldap = samba.shared(), slapd.shared()
    assert sms.service is not None
    return DOCUMENT.format(
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
        second=second,
        portal=portal,
        more=more,
    )


def install_behind_a_proxy(data: Path, document: str) -> None:
    """An installation whose people come through a proxy on this machine; see `from_somewhere`."""
    make_installation(data, document)
    settings = data / "wardgate.toml"
    settings.write_text(settings.read_text().replace("trusted_proxies = []", 'trusted_proxies = ["127.0.0.1"]'))


def from_somewhere() -> dict[str, dict[str, str]]:
    """The options of a browser at an address of its own: how many journeys one address may begin in an hour is limited."""
    return {"extra_http_headers": {"x-forwarded-for": ".".join(("10", *(str(1 + secrets.randbelow(250)) for _ in range(3))))}}


@dataclass(frozen=True)
class Account:
    """Somebody's account. `login`: what he types; `password`: the one that he has, "" for none.

    `binds`: whether another maker's client logs in with a password; `dn`: his entry. Our own directory has neither.
    """

    login: str
    phone: str
    password: str = ""
    binds: Callable[[str], bool] | None = None
    dn: str = ""


def in_active_directory(phone: str, password: str | None = cast.PASSWORD, name: str = "", **attributes: str) -> Account:
    """Somebody new in the domain. `phone`: as it stands in the directory; `name`: one that he has to have."""
    domain, sam = samba.shared(), name or samba.name("pd")
    dn = domain.add_user(sam, password, mobile=phone, **attributes)
    return Account(sam, _number(phone), password or "", lambda tried: domain.bind(dn, tried) == "", dn)


def in_openldap(phone: str, password: str | None = slapd.PASSWORD, name: str = "", **attributes: str) -> Account:
    """Somebody new in OpenLDAP."""
    ldap, uid = slapd.shared(), name or samba.name("pd")
    dn = ldap.add_user(uid, password, mobile=phone, **attributes)
    return Account(f"{uid}@ldap", _number(phone), password or "", lambda tried: ldap.binds(dn, tried), dn)


def in_our_own(served: Served, phone: str, password: str = "") -> Account:
    """Somebody new in our own directory. `password`: "" for none."""
    name = f"own-{secrets.token_hex(3)}"
    kept = ["--password-stdin"] if password else ["--no-password"]
    cli("user", "add", name, *kept, "--phone", phone, "--directory", "local", data=served.data, stdin=password)
    return Account(f"{name}@own", phone, password)


def new_phone(*, local: bool = False) -> str:
    """A number that nobody has had: so many codes a day go to one. `local`: as people write it in the country."""
    digits = f"{secrets.randbelow(10**7):07d}"
    return f"0544 {digits[:3]} {digits[3:5]} {digits[5:]}" if local else f"+90544{digits}"


def _number(phone: str) -> str:
    """A Turkish number as a gateway gets it."""
    return "+90" + phone.replace(" ", "").removeprefix("+90").removeprefix("0")


class PlainVisitor:
    """A browser without script."""

    def __init__(self, served: Served) -> None:
        self._web = served.web()
        self.page = httpx.Response(200)

    def open(self, path: str) -> None:
        """Go to an address."""
        self._go("GET", path, {})

    def send(self, **fields: str) -> None:
        """Send the first form of the page with its hidden fields."""
        hidden = dict(_FIELD.findall(self.page.text.split("<form ")[1]))
        self._go("POST", urlsplit(str(self.page.url)).path, {**hidden, **fields})

    def _go(self, method: str, path: str, fields: dict[str, str]) -> None:
        data = fields if method == "POST" else None
        self.page = self._web.request(method, path, data=data, headers={"sec-fetch-site": "same-origin"}, follow_redirects=True)

    def close(self) -> None:
        """End it."""
        self._web.close()
