"""The first visit of a new person on real directories: Active Directory, OpenLDAP with a password policy, and Wardgate's own.

An operator issues a link and a start code by the command line. The person, without script, opens the link that came as a text
message, types the code, chooses the first password and sets up an app; then logs in with both over RADIUS.
"""

import base64
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import samba, slapd
from tests.functional.harness import (
    SECRET,
    Served,
    Wire,
    cli,
    cli_json,
    ended,
    last_login,
    make_installation,
    message_of,
    serve,
    totp_code,
    wait_for,
)
from tests.functional.sms_service import SmsService
from tests.functional.test_portal_directories import DOCUMENT, Visitor
from tests.samba_dc import cast
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd")]

NEW = "Quite-An0ther-phrase of 1816"
NOBODYS = "Made-up at its birth 1x"
VPN = "  - {{name: vpn, policy: remote}}\n"
VPN_AND_PORTAL = VPN + "  - {{name: portal, kind: portal, policy: remote}}\n"


@dataclass(frozen=True)
class NewPerson:
    """Somebody who has an account and no password of his own. `binds`: whether another maker's client logs in with a password."""

    login: str
    phone: str
    binds: Callable[[str], bool] | None = None


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsService]:
    service = SmsService(Path(tmp_path_factory.mktemp("sms")))
    yield service
    service.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sms: SmsService) -> Iterator[Served]:
    """A server with all three directories, whose policy asks everybody for an app."""
    home, domain, ldap = Path(tmp_path_factory.mktemp("new")), samba.shared(), slapd.shared()
    assert sms.service is not None
    text = (
        DOCUMENT.replace("[sms, totp]", "[totp]")
        .replace(VPN, VPN_AND_PORTAL)
        .format(
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
    )
    make_installation(home / "data", text)
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


def told_to_change(served: Served) -> NewPerson:
    domain, name = samba.shared(), samba.name("new")
    dn = domain.add_user(name, NOBODYS, mobile="0544 000 01 01", pwdLastSet="0")
    return NewPerson(name, "+905440000101", lambda password: domain.bind(dn, password) == "")


def without_a_password(served: Served) -> NewPerson:
    domain, name = samba.shared(), samba.name("new")
    dn = domain.add_user(name, None, mobile="0544 000 01 02")
    return NewPerson(name, "+905440000102", lambda password: domain.bind(dn, password) == "")


def in_openldap_to_change(served: Served) -> NewPerson:
    ldap, name = slapd.shared(), samba.name("new")
    dn = ldap.add_user(name, NOBODYS, mobile="+905440000103", pwdReset="TRUE")
    return NewPerson(f"{name}@ldap", "+905440000103", lambda password: ldap.binds(dn, password))


def in_openldap_without_a_password(served: Served) -> NewPerson:
    ldap, name = slapd.shared(), samba.name("new")
    dn = ldap.add_user(name, None, mobile="+905440000104")
    return NewPerson(f"{name}@ldap", "+905440000104", lambda password: ldap.binds(dn, password))


def in_our_own(served: Served) -> NewPerson:
    name = f"new-{secrets.token_hex(3)}"
    cli("user", "add", name, "--no-password", "--phone", "+905440000105", "--directory", "local", data=served.data)
    return NewPerson(f"{name}@own", "+905440000105")


def link_to(sms: SmsService, number: str) -> str:
    """The path of the link that went to a number."""

    def look() -> list[str]:
        found = [re.search(r"https://\S+/activate/\S+", each["text"]) for each in sms.messages() if each["to"] == number]
        return [each.group() for each in found if each is not None]

    return urlsplit(str(wait_for(look)[-1])).path


@pytest.mark.parametrize(
    "made", [told_to_change, without_a_password, in_openldap_to_change, in_openldap_without_a_password, in_our_own]
)
def test_new_person_sets_the_first_password_for_real_and_logs_in(
    served: Served, sms: SmsService, made: Callable[[Served], NewPerson]
) -> None:
    new = made(served)
    [issued] = cli_json("user", "activate", new.login, "--by", "sms", "--by", "print", data=served.data)["issued"]
    assert (issued["login_name"], issued["second_proofs"]) == (new.login, ["start_code"])

    person = Visitor(served)
    person.open(link_to(sms, new.phone))
    person.send()
    person.send(method="activation", act="choose")
    person.send(code=issued["code"], act="answer")
    assert "Choose a new password" in person.page.text, person.page.text
    person.send(new_password="1234", act="password")
    assert person.page.status_code == 422, person.page.text
    person.send(new_password=NEW, act="password")
    person.send(method="totp", act="enrol")
    key = re.search(r"secret=([A-Z2-7]+)", person.page.text)
    assert key is not None, person.page.text
    secret = base64.b32decode(key.group(1))
    person.send(code=shown(secret), act="app")
    person.send(act="saved", saved="yes")
    # Signed in, with the offer to add contacts of his own.
    assert "Add a phone and a private e-mail address now" in person.page.text
    person.open("/account")
    assert urlsplit(str(person.page.url)).path == "/account", person.page.text
    person.close()

    assert new.binds is None or new.binds(NEW)
    with Wire(served) as wire:
        challenge = wire.log_in(new.login, NEW)
        # The code that set the app up is used: the app shows another one in a moment.
        answered = wire.answer(new.login, shown(secret, shift=1), challenge)
        assert answered.code is Code.ACCESS_ACCEPT, message_of(answered)
        assert wire.log_in(new.login, NOBODYS).code is Code.ACCESS_REJECT
    assert cli_json("user", "activation", new.login, data=served.data)["activation"]["state"] == "used"
    for kept in (served.log, str(last_login(served, new.login))):
        assert NEW not in kept
        assert issued["code"] not in kept


def shown(secret: bytes, shift: int = 0) -> str:
    """What the app shows now, or so many steps away."""
    return totp_code(secret.hex(), shift=shift)
