"""Signing in, a password that must change and a lock on Active Directory and OpenLDAP, in a real Chromium."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests import samba, slapd
from tests.functional.acceptance import AD, FOURTH, ONE, OPENLDAP, OTHER, THIRD, Look, shows
from tests.functional.harness import Served, ended, message_of, serve, totp_code, wait_for
from tests.functional.harness import Wire as RadiusWire
from tests.functional.portal_site import Guest
from tests.functional.sms_service import SmsService
from tests.functional.test_account_directories import Portal, forgot, give_app, set_password
from tests.functional.test_account_directories import sign_in as sign_in_with_app
from tests.functional.three_directories import (
    Account,
    from_somewhere,
    in_active_directory,
    in_openldap,
    install_behind_a_proxy,
    new_phone,
    three_directories,
)
from wardgate.directory.openldap.ppolicy import LOCKED_FOR_GOOD
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd"), pytest.mark.neighbour("chromium")]

TOTP_HEX = "3132333435363738393031323334353637383930"
PORTAL = "  - {name: portal, kind: portal, policy: remote}\n"
NEW = "Quite-An0ther-phrase of 1816"
WRONG = "none of theirs"
DISABLED = 514
Visit = Callable[[], Guest]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sms: SmsService) -> Iterator[Served]:
    home = Path(tmp_path_factory.mktemp("sign-in"))
    install_behind_a_proxy(home / "data", three_directories(sms, "totp, sms", portal=PORTAL))
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


@pytest.fixture
def visit(browser: Browser, served: Served, look: Look) -> Iterator[Visit]:
    made: list[Guest] = []
    somewhere = from_somewhere()

    def one() -> Guest:
        made.append(Guest(browser, Portal(served.url), look, **somewhere))
        made[-1].secrets = [NEW]
        return made[-1]

    yield one
    for each in made:
        each.close()


def in_ad(**attributes: str) -> Account:
    return in_active_directory(new_phone(local=True), **attributes)


def in_ldap(**attributes: str) -> Account:
    return in_openldap(new_phone(), **{"pwdChangedTime": slapd.ago(3600), **attributes})


def lock(account: Account) -> None:
    """As too many wrong passwords do."""
    if account.login.endswith("@ldap"):
        slapd.shared().replace(account.dn, "pwdAccountLockedTime", slapd.ago(1))
    else:
        samba.shared().lock(account.dn)


def close(account: Account) -> None:
    """As an administrator does."""
    if account.login.endswith("@ldap"):
        slapd.shared().replace(account.dn, "pwdAccountLockedTime", LOCKED_FOR_GOOD)
    else:
        samba.shared().set(account.dn, userAccountControl=str(DISABLED))


def demand_change(account: Account) -> None:
    """As an administrator does who has set the password himself."""
    if account.login.endswith("@ldap"):
        slapd.shared().replace(account.dn, "pwdReset", "TRUE")
    else:
        samba.shared().set(account.dn, pwdLastSet="0")


def is_locked(account: Account) -> bool:
    """What stands in the directory, as its own administrator reads it."""
    if account.login.endswith("@ldap"):
        return "pwdAccountLockedTime" in slapd.shared().read(account.dn, "pwdAccountLockedTime")
    return samba.shared().read(account.dn, "lockoutTime").get("lockoutTime", ["0"]) != ["0"]


BOTH = {AD: (in_ad,), OPENLDAP: (in_ldap,)}


@shows("A1", ONE, on=BOTH)
def test_wrong_unknown_closed_and_locked_see_one_page(visit: Visit, made: Callable[..., Account]) -> None:
    ada, bob, dave = made(), made(), made()
    close(bob)
    lock(dave)
    # A name that was tried too often would be told to wait.
    nobody = f"nobody-{secrets.token_hex(4)}" + ("@ldap" if ada.login.endswith("@ldap") else "")
    pages = set()
    for login, password in ((ada.login, WRONG), (nobody, WRONG), (bob.login, bob.password), (dave.login, dave.password)):
        one = visit()
        one.open("/sign-in")
        one.page.locator("#username").fill(login)
        one.page.locator("#password").fill(password)
        with one.page.expect_response(lambda reply: reply.request.method == "POST") as replied:
            one.press("sign.in")
        bare = re.sub(rf'name="csrf" value="\w+"|value="{re.escape(login)}"|(Reference|Referans) \w{{8}}', "", replied.value.text())
        pages.add((replied.value.status, bare, str(sorted(replied.value.headers))))
    assert len(pages) == 1
    one.sees("directory-sign-in-wrong", one.t("sign.in_to", application="portal"), status=422, error=True)


@shows("A4", THIRD, on=BOTH)
def test_password_that_must_change_is_changed_after_the_factor(
    served: Served, sms: SmsService, visit: Visit, made: Callable[..., Account]
) -> None:
    erin = made()
    demand_change(erin)
    give_app(served, erin)
    visitor, told = visit(), len([each for each in sms.messages() if each["to"] == erin.phone])
    visitor.sign_in(erin.login, erin.password)
    visitor.sees("directory-must-change-code", visitor.t("sign.step_totp"))
    assert visitor.t("pw.must_change") not in visitor.words()
    visitor.type_code(totp_code(TOTP_HEX))
    visitor.sees("directory-must-change", visitor.t("recover.new_password"))
    visitor.reads("pw.must_change")
    set_password(visitor, erin.password)
    visitor.sees("directory-must-change-refused", visitor.t("recover.new_password"), status=422, error=True)
    set_password(visitor, NEW)
    visitor.sees("directory-must-change-done", visitor.t("account.overview"))
    assert erin.binds is not None
    assert erin.binds(NEW)
    with RadiusWire(served) as wire:
        challenge = wire.log_in(erin.login, NEW)
        answered = wire.answer(erin.login, totp_code(TOTP_HEX, shift=1), challenge)
        assert answered.code is Code.ACCESS_ACCEPT, message_of(answered)
    wait_for(lambda: [each for each in sms.messages() if each["to"] == erin.phone][told:])


@shows("A10", OTHER, on=BOTH)
def test_lock_is_lifted_in_the_directory_and_an_open_account_is_told(
    served: Served, visit: Visit, made: Callable[..., Account]
) -> None:
    dave = made()
    give_app(served, dave)
    lock(dave)
    assert dave.binds is not None
    assert not dave.binds(dave.password)
    for name, words, shift in (("unlocked", "unlock_done", 0), ("not-locked", "unlock_not_needed", 1)):
        one = visit()
        forgot(one, dave.login, "totp", "/unlock")
        assert one.t(f"recover.done_{words}") not in one.words()
        one.type_code(totp_code(TOTP_HEX, shift=shift))
        one.sees(f"directory-{name}", one.t(f"recover.done_{words}"))
        assert not is_locked(dave)
    assert dave.binds(dave.password)
    back = visit()
    back.sign_in(dave.login, dave.password)
    back.page.wait_for_url("**/step/*")


@shows("A10", FOURTH, on=BOTH)
def test_account_that_an_administrator_closed_is_told_after_the_proof_and_stays_closed(
    served: Served, visit: Visit, made: Callable[..., Account]
) -> None:
    bob = made()
    give_app(served, bob)
    signed_in = visit()
    sign_in_with_app(signed_in, bob)
    signed_in.page.wait_for_url("**/account")
    close(bob)
    one = visit()
    forgot(one, bob.login, "totp", "/unlock")
    one.type_code("000000")
    one.sees("directory-closed-wrong", one.t("sign.step_totp"), status=422, error=True)
    assert one.t("unlock.refused", ref="")[:20] not in one.words()
    one.type_code(totp_code(TOTP_HEX, shift=1))
    one.sees("directory-closed", one.t("recover.closed_heading"), status=410)
    assert one.t("unlock.refused", ref="").split(":")[0][:30] in one.words()
    assert bob.binds is not None
    assert not bob.binds(bob.password)
    signed_in.open("/account")
    signed_in.page.wait_for_url("**/sign-in?**")
