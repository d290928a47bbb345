"""The first visit of a new person on real directories: Active Directory, OpenLDAP with a password policy, and Wardgate's own.

An operator issues a link and a start code by the command line. The person, without script, opens the link that came as a text
message, types the code, chooses the first password and sets up an app; then logs in with both over RADIUS.
"""

import base64
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.functional.harness import (
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
from tests.functional.three_directories import Account, PlainVisitor, in_active_directory, in_openldap, three_directories
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd")]

NEW = "Quite-An0ther-phrase of 1816"
NOBODYS = "Made-up at its birth 1x"
PORTAL = "  - {name: portal, kind: portal, policy: remote}\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sms: SmsService) -> Iterator[Served]:
    """A server with all three directories, whose policy asks everybody for an app."""
    home = Path(tmp_path_factory.mktemp("new"))
    make_installation(home / "data", three_directories(sms, "totp", portal=PORTAL))
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


def told_to_change(served: Served) -> Account:
    return in_active_directory("0544 000 01 01", NOBODYS, pwdLastSet="0")


def without_a_password(served: Served) -> Account:
    return in_active_directory("0544 000 01 02", None)


def in_openldap_to_change(served: Served) -> Account:
    return in_openldap("+905440000103", NOBODYS, pwdReset="TRUE")


def in_openldap_without_a_password(served: Served) -> Account:
    return in_openldap("+905440000104", None)


def in_our_own(served: Served) -> Account:
    name = f"new-{secrets.token_hex(3)}"
    cli("user", "add", name, "--no-password", "--phone", "+905440000105", "--directory", "local", data=served.data)
    return Account(f"{name}@own", "+905440000105")


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
    served: Served, sms: SmsService, made: Callable[[Served], Account]
) -> None:
    new = made(served)
    [issued] = cli_json("user", "activate", new.login, "--by", "sms", "--by", "print", data=served.data)["issued"]
    assert (issued["login_name"], issued["second_proofs"]) == (new.login, ["start_code"])

    person = PlainVisitor(served)
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
