"""The installation that is attacked: its NAS, each at an address of its own, and its users."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tests.functional.harness import SECRET, Person, cli, csv_of, enrol_devices, people

MAIN = "127.0.2.1"
MAIN_TWIN = "127.0.2.2"
LENIENT = "127.0.2.3"
OTHER = "127.0.2.4"
LATIN = "127.0.2.5"
SHARED = "127.0.2.6"
AUTO = "127.0.2.7"
OPEN_PROXY = "127.0.2.8"
JOINED = "127.0.2.9"
STRANGER = "127.0.2.99"
OTHER_SECRET = "another-secret-of-another-nas"
FIRST_SECRET, SECOND_SECRET = "the-first-behind-one-address", "the-second-behind-one-address"

# A code device whose counter a test may drive.
DEVICE = Person("device", f"pw-{secrets.token_urlsafe(9)}", hotp_hex=secrets.token_hex(20))


def document() -> str:
    """The configuration."""
    return f"""
realms:
  - {{name: default, default: true, directories: [local], reply_floor_ms: 300}}
directories:
  - {{name: local, kind: local, verified_cache_s: 300}}
gateways:
  # Nobody listens there: messages stay in the outbox.
  - {{name: sms, kind: http, request: {{url: "https://127.0.0.1:9/", json: {{to: "{{number}}", text: "{{text}}"}}}}}}
nas:
  - {{name: main, addresses: [{MAIN}, {MAIN_TWIN}], secret: {{value: {SECRET}}}, application: vpn, vendor: paloalto}}
  - {{name: six, addresses: ["::1/128"], secret: {{value: {SECRET}}}, application: vpn}}
  - {{name: lenient, addresses: [{LENIENT}], secret: {{value: {SECRET}}}, application: vpn, message_authenticator: accept_missing}}
  - {{name: other, addresses: [{OTHER}], secret: {{value: {OTHER_SECRET}}}, application: vpn}}
  - {{name: latin, addresses: [{LATIN}], secret: {{value: {SECRET}}}, application: vpn, charset: iso-8859-9}}
  - {{name: first, addresses: [{SHARED}], identifier: first, secret: {{value: {FIRST_SECRET}}}, application: vpn}}
  - {{name: second, addresses: [{SHARED}], identifier: second, secret: {{value: {SECOND_SECRET}}}, application: vpn}}
  - {{name: auto, addresses: [{AUTO}], secret: {{value: {SECRET}}}, application: vpn, message_authenticator: auto}}
  - name: open-proxy
    addresses: [{OPEN_PROXY}]
    secret: {{value: {SECRET}}}
    application: vpn
    message_authenticator: accept_missing
    limit_proxy_state: false
  - {{name: joined, addresses: [{JOINED}], secret: {{value: {SECRET}}}, application: vpn, mode: password_then_code}}
applications:
  - {{name: vpn, title: Acme VPN}}
codes: {{messages_per_hour: 1000, messages_per_day: 1000}}
"""


@dataclass(slots=True)
class Users:
    """Users of the stronghold. Each test takes fresh ones."""

    _free: list[Person] = field(default_factory=lambda: people("ada", 60))
    _all: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._all = [*self._free, DEVICE, *SPECIAL.values()]

    def csv(self) -> str:
        """All of them, for the import."""
        return csv_of(self._all)

    def with_app(self) -> Person:
        """A user with an authenticator app."""
        return self._free.pop()

    @property
    def everybody(self) -> list[Person]:
        """All of them, for the search for their secrets."""
        return list(self._all)


SPECIAL = {
    "umlaut": Person("umlaut", "pässwörd-ığüş-çö", secrets.token_hex(20)),
    "long": Person("long", "x" * 120 + secrets.token_hex(4), secrets.token_hex(20)),
    "phone": Person("phone", f"pw-{secrets.token_urlsafe(9)}", phone="+905321119999"),
    "disabled": Person("locked-out", f"pw-{secrets.token_urlsafe(9)}", secrets.token_hex(20)),
}
USERS = Users()


def enrol_device(data: Path) -> None:
    """Give the device's user its device, and disable the one who shall be disabled."""
    enrol_devices(data, DEVICE)
    cli("user", "disable", SPECIAL["disabled"].name, data=data)
