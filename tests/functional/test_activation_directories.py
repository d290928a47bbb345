"""The first visit of a new person on real directories: Active Directory, OpenLDAP with a password policy, and Wardgate's own.

An operator issues a link and a start code by the command line. The person, in a real Chromium, opens the link that came as a text
message, types the code, chooses the first password and sets up an app; then logs in with both over RADIUS.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.functional.acceptance import AD, OPENLDAP, OTHER, OURS, Look, shows
from tests.functional.harness import (
    Served,
    Wire,
    cli_json,
    ended,
    last_login,
    make_installation,
    message_of,
    serve,
    totp_code,
    wait_for,
)
from tests.functional.portal_site import Guest
from tests.functional.sms_service import SmsService
from tests.functional.test_account_directories import Portal, set_password
from tests.functional.test_portal_journeys import key_on
from tests.functional.three_directories import Account, in_active_directory, in_openldap, in_our_own, new_phone, three_directories
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd"), pytest.mark.neighbour("chromium")]

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
    return in_active_directory(new_phone(local=True), NOBODYS, pwdLastSet="0")


def without_a_password(served: Served) -> Account:
    return in_active_directory(new_phone(local=True), None)


def in_openldap_to_change(served: Served) -> Account:
    return in_openldap(new_phone(), NOBODYS, pwdReset="TRUE")


def in_openldap_without_a_password(served: Served) -> Account:
    return in_openldap(new_phone(), None)


def in_our_own_without_a_password(served: Served) -> Account:
    return in_our_own(served, new_phone())


def link_to(sms: SmsService, number: str) -> str:
    """The path of the link that went to a number."""

    def look() -> list[str]:
        found = [re.search(r"https://\S+/activate/\S+", each["text"]) for each in sms.messages() if each["to"] == number]
        return [each.group() for each in found if each is not None]

    return urlsplit(str(wait_for(look)[-1])).path


NEW_HERE = {
    AD: (told_to_change, without_a_password),
    OPENLDAP: (in_openldap_to_change, in_openldap_without_a_password),
    OURS: (in_our_own_without_a_password,),
}


@shows("A6", OTHER, on=NEW_HERE)
def test_new_person_sets_the_first_password_for_real_and_logs_in(
    served: Served, sms: SmsService, browser: Browser, look: Look, made: Callable[[Served], Account]
) -> None:
    new = made(served)
    [issued] = cli_json("user", "activate", new.login, "--by", "sms", "--by", "print", data=served.data)["issued"]
    assert (issued["login_name"], issued["second_proofs"]) == (new.login, ["start_code"])

    person = Guest(browser, Portal(served.url), look)
    person.secrets = [NEW, issued["code"]]
    person.open(link_to(sms, new.phone))
    person.sees("directory-activate", person.t("activate.heading"))
    person.press("activate.start")
    person.choose("activation")
    person.type_code(issued["code"])
    person.sees("directory-first-password", person.t("recover.new_password"))
    set_password(person, "1234")
    person.sees("directory-first-password-refused", person.t("recover.new_password"), status=422, error=True)
    set_password(person, NEW)
    person.choose("totp", "do.set_up")
    secret = key_on(person)
    person.page.locator("#code").fill(shown(secret))
    person.press("account.activate")
    person.page.get_by_role("checkbox").check()
    person.press("sign.continue")
    # Signed in, with the offer to add contacts of his own.
    person.sees("directory-activate-offer", person.t("do.offers"))
    person.open("/account")
    person.sees("directory-activated", person.t("account.overview"))
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
