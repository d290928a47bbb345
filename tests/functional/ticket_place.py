"""A server that takes the tickets of the domain of the tests, and people in that domain who have a computer."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests import kerberos, samba
from tests.functional.harness import SECRET, Served, audit_events, ended, make_installation, serve
from tests.kerberos import Computer
from tests.samba_dc import cast

WHERE = "/sign-in/kerberos"
GRANTED = "engine:login:granted"
DOCUMENT = """
realms:
  - {{name: acme, default: true, directories: [acme-ad], region: TR, reply_floor_ms: 0}}
networks:
  - {{name: office, cidr: [127.0.0.0/8]}}
  - {{name: elsewhere, cidr: [203.0.113.0/24]}}
directories:
  - name: acme-ad
    kind: active_directory
    servers: ["{url}"]
    ca_file: {ca}
    bind: {{dn: "{dn}", password: {{value: {password}}}}}
    base: "{base}"
    kerberos: {{keytab: {{file: "{keytab}"}}, principal: HTTP/{host}, networks: [{network}]}}
nas: [{{name: hq, addresses: [127.0.0.1], secret: {{value: {secret}}}, application: vpn}}]
applications:
  - {{name: vpn}}
  - {{name: portal, kind: portal, policy: web}}
policies:
  - name: web
    rules:
      - {{name: careful, when: {{group: ["acme-ad:{careful}"]}}, then: {{steps: [[password, kerberos], [totp]]}}}}
      - {{name: typed, when: {{group: ["acme-ad:{typed}"]}}, then: {{steps: [[password]]}}}}
      - {{name: all, then: {{steps: [[password, kerberos]]}}}}
"""


@dataclass
class Place:
    """A server that takes tickets, and the name that they are for. Two workers; `groups`: careful and typed."""

    served: Served
    host: str
    keytab: Path
    groups: dict[str, str]
    home: Path

    def person(self, *groups: str) -> str:
        """Somebody new in the domain."""
        name = samba.name("tick")
        samba.shared().add_user(name, groups=[self.groups[group] for group in groups])
        return name

    def computer(self, name: str, *options: str) -> Computer:
        """His computer, to which he has signed in."""
        return Computer(self.home / secrets.token_hex(4)).sign_in(name, cast.PASSWORD, *options)

    def send(self, token: bytes | str | None, **headers: str) -> httpx.Response:
        """Open the page on a connection of its own, with this or with nothing."""
        text = base64.b64encode(token).decode() if isinstance(token, bytes) else token
        given = {"authorization": f"Negotiate {text}".strip()} if text is not None else {}
        with self.served.web() as web:
            return web.get(WHERE, headers={**given, **headers})

    def granted(self, name: str) -> list[dict[str, Any]]:
        """What audit says of the logins of this person that were let in."""
        events = audit_events(self.served.data)
        return [each["payload"] for each in events if each["kind"] == GRANTED and each["payload"]["user"] == name]


def document(keytab: Path, host: str, groups: dict[str, str], network: str = "office") -> str:
    """The configuration. `network`: whose browsers are asked for a ticket."""
    domain = samba.shared()
    return DOCUMENT.format(
        url=domain.url,
        ca=domain.ca_file,
        dn=cast.SERVICE_DN,
        password=cast.SERVICE_PASSWORD,
        base=cast.BASE,
        keytab=keytab,
        host=host,
        secret=SECRET,
        network=network,
        **groups,
    )


@contextmanager
def ticket_place(home: Path) -> Iterator[Place]:
    """Such a server, with two workers."""
    host = f"{samba.name('login')}.acme.test"
    keytab = kerberos.keytab(home, host)
    names = {each: samba.name(each) for each in ("careful", "typed")}
    groups = {each: samba.shared().add_group(name) for each, name in names.items()}
    make_installation(home / "data", document(keytab, host, names))
    with ended(serve(home / "data", (), "--workers", "2")) as served:
        yield Place(served, host, keytab, groups, home)
        served.stop()


def signed_in(reply: httpx.Response) -> bool:
    """Whether a reply signs somebody in."""
    return reply.status_code == 303 and "__Host-wg_session" in reply.headers.get("set-cookie", "")
