"""A forgotten password on real directories: Active Directory, OpenLDAP with a password policy, and Wardgate's own.

A person with a locked account proves who he is by app and text message in a real Chromium, is refused the password that he had,
chooses another, and logs in with that one: by a bind of another maker's client, and over RADIUS.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests import samba, slapd
from tests.functional.acceptance import AD, FOURTH, OPENLDAP, OURS, Look, shows
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
from tests.functional.portal_site import Guest
from tests.functional.sms_service import SmsService
from tests.functional.test_account_directories import Portal, set_password
from tests.functional.three_directories import (
    Account,
    PlainVisitor,
    in_active_directory,
    in_openldap,
    in_our_own,
    new_phone,
    three_directories,
)
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd"), pytest.mark.neighbour("chromium")]

TOTP_HEX = "3132333435363738393031323334353637383930"
LOCAL_PASSWORD = "the first passphrase of lena"
NEW = "Quite-An0ther-phrase of 1816"
WRONG_PASSWORDS = 5
Lock = Callable[[], None]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sms: SmsService) -> Iterator[Served]:
    """A server with all three directories and the portal."""
    home = Path(tmp_path_factory.mktemp("portal"))
    make_installation(home / "data", three_directories(sms, "sms, totp"))
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


def locked_in_active_directory(served: Served) -> tuple[Account, Lock]:
    one = in_active_directory(new_phone(local=True))
    return one, lambda: samba.shared().lock(one.dn)


def locked_in_openldap(served: Served) -> tuple[Account, Lock]:
    one = in_openldap(new_phone(), pwdChangedTime=slapd.ago(3600))

    def lock() -> None:
        for _ in range(WRONG_PASSWORDS):
            assert not one.binds("wrong")

    return one, lock


def locked_in_our_own(served: Served) -> tuple[Account, Lock]:
    one = in_our_own(served, new_phone(), LOCAL_PASSWORD)

    def lock() -> None:
        with Wire(served) as wire:
            for number in range(WRONG_PASSWORDS):
                assert wire.log_in(one.login, f"wrong {number}").code is Code.ACCESS_REJECT

    return one, lock


def log_in(served: Served, sms: SmsService, account: Account, password: str) -> Code:
    """A login over RADIUS with a password and the code that comes to the phone."""
    before = len(sms.codes_to(account.phone))
    with Wire(served) as wire:
        challenge = wire.log_in(account.login, password)
        if challenge.code is not Code.ACCESS_CHALLENGE:
            return challenge.code
        answered = wire.answer(account.login, sms.next_code(account.phone, before), challenge)
        assert answered.code is Code.ACCESS_ACCEPT, message_of(answered)
        return answered.code


def is_kept_out(served: Served, account: Account, password: str) -> bool:
    """Whether the right password leads no further: it is refused, or a strong factor is asked for before it is looked at."""
    with Wire(served) as wire:
        reply = wire.log_in(account.login, password)
        return reply.code is Code.ACCESS_REJECT or "sent" not in message_of(reply)


LOCKED = {AD: (locked_in_active_directory,), OPENLDAP: (locked_in_openldap,), OURS: (locked_in_our_own,)}


@shows("A7", FOURTH, on=LOCKED)
def test_forgotten_password_is_set_for_real_and_the_lock_is_gone(
    served: Served, sms: SmsService, browser: Browser, look: Look, made: Callable[[Served], tuple[Account, Lock]]
) -> None:
    account, lock = made(served)
    cli("authenticator", "add", account.login, "totp", "--secret-hex", TOTP_HEX, data=served.data)
    lock()
    assert is_kept_out(served, account, account.password)

    person = Guest(browser, Portal(served.url), look)
    person.secrets = [NEW, account.password]
    person.open("/forgot")
    person.field("sign.user_name").fill(account.login)
    person.press("sign.continue")
    person.choose("totp")
    person.type_code(totp_code(TOTP_HEX))
    person.sees("directory-one-more", person.t("recover.choose_more"))
    before = len(sms.codes_to(account.phone))
    person.choose("sms")
    person.type_code(sms.next_code(account.phone, before))
    person.sees("directory-new-password", person.t("recover.new_password"))
    set_password(person, account.password)
    person.sees("directory-new-password-of-before", person.t("recover.new_password"), status=422, error=True)
    set_password(person, NEW)
    person.sees("directory-password-changed", person.t("recover.done_pw_done"), settled=True)
    person.close()

    assert account.binds is None or account.binds(NEW)
    assert log_in(served, sms, account, NEW) is Code.ACCESS_ACCEPT
    assert log_in(served, sms, account, account.password) is Code.ACCESS_REJECT
    assert NEW not in served.log
    assert NEW not in str(last_login(served, account.login))


def test_old_password_that_active_directory_still_takes_is_refused_by_our_doors(served: Served, sms: SmsService) -> None:
    account = in_active_directory(new_phone(local=True))
    cli("authenticator", "add", account.login, "totp", "--secret-hex", TOTP_HEX, data=served.data)
    person = PlainVisitor(served)
    person.open("/sign-in")
    person.send(username=account.login, password=account.password)
    person.send(code=totp_code(TOTP_HEX), act="answer")
    person.open("/account/password")
    person.send(password=account.password, new_password=NEW)
    assert "Your password is changed" in person.page.text, person.page.text
    person.close()
    assert account.binds is not None
    assert account.binds(account.password), "the domain takes the password of before for an hour"
    assert log_in(served, sms, account, account.password) is Code.ACCESS_REJECT
    assert log_in(served, sms, account, NEW) is Code.ACCESS_ACCEPT


def moved_in_active_directory(phone: str) -> tuple[Account, Callable[[str], None]]:
    """Somebody, and what gives him another number in the domain."""
    one = in_active_directory(phone)
    return one, lambda number: samba.shared().set(one.dn, mobile=number)


def moved_in_openldap(phone: str) -> tuple[Account, Callable[[str], None]]:
    one = in_openldap(phone)
    return one, lambda number: slapd.shared().replace(one.dn, "mobile", number)


MOVED = [
    (moved_in_active_directory, "0544 000 00 31", "+905440000033"),
    (moved_in_openldap, "+905440000032", "+905440000034"),
]


@pytest.mark.parametrize(("made", "phone", "other"), MOVED, ids=("active directory", "openldap"))
def test_thief_who_changes_a_phone_in_the_directory_resets_nothing_with_it(
    served: Served, sms: SmsService, made: Callable[[str], tuple[Account, Callable[[str], None]]], phone: str, other: str
) -> None:
    """He may write there, found a sheet of recovery codes, and asks for a new password the same day."""
    account, move = made(phone)
    cli("authenticator", "add", account.login, "totp", "--secret-hex", TOTP_HEX, data=served.data)
    codes = cli_json("authenticator", "add", account.login, "recovery", data=served.data)["codes"]
    # What the help desk did, he was told of.
    told = wait_for(lambda: [each["text"] for each in sms.messages() if each["to"] == account.phone])
    assert any("The help desk changed your account. Added as a way to sign in: Authenticator app" in each for each in told), told
    owner = PlainVisitor(served)
    owner.open("/sign-in")
    owner.send(username=account.login, password=account.password)
    owner.send(code=totp_code(TOTP_HEX), act="answer")
    assert str(owner.page.url).endswith("/account"), owner.page.text
    owner.close()

    def asked(code: str) -> str:
        thief = PlainVisitor(served)
        thief.open("/forgot")
        thief.send(username=account.login)
        thief.send(method="recovery_code", act="choose")
        thief.send(code=code, act="answer")
        thief.close()
        return thief.page.text

    assert 'value="sms"' in asked(codes[0])
    move(other)
    assert 'value="sms"' not in asked(codes[1])
    assert not sms.codes_to(other)
