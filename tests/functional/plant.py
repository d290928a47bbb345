"""The configured installation of the functional tests: one NAS for each mode, told apart by the address it sends from."""

import secrets
from dataclasses import dataclass, field

from tests.functional.harness import SECRET, Person, csv_of, people

CHALLENGE = "127.0.1.1"
LENIENT = "127.0.1.2"
JOINED = "127.0.1.3"
SEPARATED = "127.0.1.4"
CODE_FIRST = "127.0.1.5"
CODE_ONLY = "127.0.1.6"
BEHIND_PROXY = "127.0.1.7"
PAM = "127.0.1.8"
IPV6 = "::1"

_NAS = f"""
  - {{name: challenge, addresses: [{CHALLENGE}], vendor: paloalto}}
  - {{name: six, addresses: ["{IPV6}/128"]}}
  - {{name: lenient, addresses: [{LENIENT}], message_authenticator: accept_missing}}
  - {{name: joined, addresses: [{JOINED}], mode: password_then_code, message_authenticator: accept_missing}}
  - {{name: separated, addresses: [{SEPARATED}], mode: password_then_code, separator: ","}}
  - {{name: code-first, addresses: [{CODE_FIRST}], mode: code_then_password}}
  - {{name: code-only, addresses: [{CODE_ONLY}], mode: code_only}}
  - {{name: behind-proxy, addresses: [{BEHIND_PROXY}]}}
  - {{name: pam, addresses: [{PAM}], message_authenticator: accept_missing}}
"""


@dataclass(slots=True)
class Users:
    """Users of the plant. Each test takes fresh ones, so that no code and no brake of one test reaches another."""

    _free: list[Person] = field(default_factory=lambda: people("user", 60))
    _by_phone: list[Person] = field(default_factory=lambda: _reachable("phone", 12))
    _by_mail: list[Person] = field(default_factory=lambda: _reachable("mail", 12))
    _bare: list[Person] = field(default_factory=lambda: _reachable("bare", 12))
    _all: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._all = [*self._free, *self._by_phone, *self._by_mail, *self._bare]

    def csv(self) -> str:
        """All of them, for the import."""
        return csv_of(self._all)

    def with_app(self) -> Person:
        """A user with an authenticator app."""
        return self._free.pop()

    def with_phone(self) -> Person:
        """A user whose codes come by SMS."""
        return self._by_phone.pop()

    def with_mail(self) -> Person:
        """A user whose codes come by e-mail."""
        return self._by_mail.pop()

    def without_factor(self) -> Person:
        """A user who has nothing but a password."""
        return self._bare.pop()


def _reachable(kind: str, count: int) -> list[Person]:
    return [
        Person(
            f"{kind}{number}",
            f"pw-{secrets.token_urlsafe(9)}",
            phone=f"+9053211100{number:02d}" if kind == "phone" else "",
            mail=f"{kind}{number}@example.test" if kind == "mail" else "",
        )
        for number in range(count)
    ]


USERS = Users()


def document(gateways: str = "") -> str:
    """The configuration. `gateways`: a YAML list, indented like the others."""
    nas = _NAS.replace("name:", f"secret: {{value: {SECRET}}}, application: vpn, name:")
    return f"""
realms:
  - {{name: default, default: true, directories: [local]}}
directories:
  - {{name: local, kind: local}}
gateways:{gateways or " []"}
nas:{nas}
applications:
  - name: vpn
    title: Acme VPN
    release:
      - when: {{group: ["local:vpn-users"]}}
        add: {{PaloAlto-User-Group: "{{group}}", Class: "OU=staff;", Session-Timeout: 28800}}
"""
