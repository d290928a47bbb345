"""Challenge questions and "this was not me" on real directories, in a real Chromium: Active Directory and OpenLDAP.

What the pages show in each state is examined on a small world. Here the same journeys end in a directory.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests import samba, slapd
from tests.functional.acceptance import AD, FOURTH, ONE, OPENLDAP, OTHER, OURS, THIRD, Look, shows
from tests.functional.harness import Served, Wire, audit_events, cli, cli_json, ended, serve, totp_code
from tests.functional.portal_site import Guest
from tests.functional.sms_service import SmsService
from tests.functional.three_directories import (
    Account,
    from_somewhere,
    in_active_directory,
    in_openldap,
    install_behind_a_proxy,
    new_phone,
    three_directories,
)
from wardgate.radius.packet import Code

pytestmark = [pytest.mark.neighbour("samba"), pytest.mark.neighbour("slapd"), pytest.mark.neighbour("chromium")]

TOTP_HEX = "3132333435363738393031323334353637383930"
NEW = "Quite-An0ther-phrase of 1816"
# Those whom the policy holds to be administrators: one for each journey.
FRANKS = tuple(samba.name("frank") for _ in range(32))
unused_frank = iter(FRANKS)
PORTAL = "  - {name: portal, kind: portal, policy: remote}\n"
# Questions alone reset a password, but an administrator's: what people know from other makers.
MORE = f"""\
    floors: [{{name: administrators, when: {{user: [{", ".join(FRANKS)}]}}, then: {{strong_factors: 2, never: [kba]}}}}]
    self_service:
      reset:
        need: {{proofs: 1, weight: 1, alone: [kba]}}
        accept_weaker: {{reason: as before, until: "{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"}}
kba: {{set: 3, asked: 3, own: 0, preload: true}}
questions:
  - {{name: staff, kind: mandatory, form: digits, texts: {{en: What is your staff number?, tr: Sicil numaranız nedir?}}}}
  - {{name: pet, texts: {{en: What was your first pet called?, tr: İlk hayvanınızın adı neydi?}}}}
  - {{name: street, texts: {{en: What was your first street called?, tr: İlk sokağınızın adı neydi?}}}}
"""
QUESTIONS = {
    "What is your staff number?": "staff",
    "Sicil numaranız nedir?": "staff",
    "What was your first pet called?": "pet",
    "İlk hayvanınızın adı neydi?": "pet",
    "What was your first street called?": "street",
    "İlk sokağınızın adı neydi?": "street",
}
ANSWERS = {"staff": "0012-34", "pet": "İskender Iğdır", "street": "Straße 5"}
# The same, as somebody types them on another keyboard years later.
AS_TYPED = {"staff": "001234", "pet": "ISKENDER iğdir", "street": "STRASSE 5"}


@dataclass(frozen=True)
class Portal:
    """Where the pages are."""

    origin: str


Visit = Callable[[], Guest]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sms: SmsService) -> Iterator[Served]:
    home = Path(tmp_path_factory.mktemp("account"))
    install_behind_a_proxy(home / "data", three_directories(sms, "totp, sms", portal=PORTAL, more=MORE))
    with ended(serve(home / "data")) as server:
        yield server
        server.stop()


@pytest.fixture
def visit(browser: Browser, served: Served, look: Look) -> Iterator[Visit]:
    made: list[Guest] = []
    somewhere = from_somewhere()

    def one() -> Guest:
        made.append(Guest(browser, Portal(served.url), look, **somewhere))
        made[-1].secrets = [*ANSWERS.values(), *AS_TYPED.values(), NEW]
        return made[-1]

    yield one
    for each in made:
        each.close()


def in_ad(name: str = "") -> Account:
    return in_active_directory(new_phone(local=True), name=name)


def in_ldap(name: str = "") -> Account:
    return in_openldap(new_phone(), name=name, pwdChangedTime=slapd.ago(3600))


BOTH = {AD: (in_ad,), OPENLDAP: (in_ldap,)}


def give_app(served: Served, account: Account) -> None:
    cli("authenticator", "add", account.login, "totp", "--secret-hex", TOTP_HEX, data=served.data)


def sign_in(guest: Guest, account: Account, shift: int = 0) -> None:
    """Sign in with the password and the code of this step, or of one so many later."""
    guest.sign_in(account.login, account.password)
    guest.type_code(totp_code(TOTP_HEX, shift=shift))


def forgot(guest: Guest, login: str, kind: str, path: str = "/forgot") -> None:
    """Say that the password is forgotten, or that the account is locked, and choose a proof."""
    guest.open(path)
    guest.page.locator("#username").fill(login)
    guest.press("sign.continue")
    guest.choose(kind)


def asked(guest: Guest) -> list[str]:
    return guest.page.locator("label[for^=answer_]").all_inner_texts()


def answer(guest: Guest, *, wrong: bool = False) -> None:
    """Answer what is asked, the last one wrongly where that is wanted."""
    questions = asked(guest)
    assert len(questions) == len(ANSWERS)
    for number, text in enumerate(questions, start=1):
        right = AS_TYPED[QUESTIONS[text]]
        guest.page.locator(f"#answer_{number}").fill("99 88" if wrong and number == len(questions) else right)
    guest.press("sign.continue")


def set_password(guest: Guest, password: str) -> None:
    guest.page.locator("#new_password").fill(password)
    guest.press("recover.set_password")


def is_changed(served: Served, account: Account) -> None:
    """The new password is the directory's, and the old one opens no door of ours."""
    assert account.binds is not None
    assert account.binds(NEW)
    with Wire(served) as wire:
        assert wire.log_in(account.login, NEW).code is Code.ACCESS_CHALLENGE
        assert wire.log_in(account.login, account.password).code is Code.ACCESS_REJECT


@shows("A13", THIRD, on=BOTH)
def test_questions_are_set_and_reset_a_password_for_real(served: Served, visit: Visit, made: Callable[..., Account]) -> None:
    account = made()
    give_app(served, account)
    ada = visit()
    sign_in(ada, account)
    ada.page.wait_for_url("**/account")
    ada.open("/account/questions/set")
    for chosen, given in ((False, "x"), (True, ANSWERS["street"])):
        for number, question in enumerate(("pet", "street"), start=2):
            ada.page.locator(f"#question_{number}").select_option(question)
            ada.page.locator(f"#answer_{number}").fill(ANSWERS[question])
        ada.page.locator("#answer_1").fill(ANSWERS["staff"])
        ada.page.locator("#answer_3").fill(given)
        ada.press("kba.save")
        if not chosen:
            ada.sees("directory-questions-broken", ada.t("kba.set"), status=422, error=True)
    ada.sees("directory-questions-set", ada.t("kba.heading"))

    later = visit()
    forgot(later, account.login, "kba")
    answer(later, wrong=True)
    later.sees("directory-questions-wrong", later.t("sign.step_kba"), status=422, error=True)
    later.reads("kba.wrong", left=2)
    answer(later)
    set_password(later, account.password)
    later.sees("directory-password-of-before", later.t("recover.new_password"), status=422, error=True)
    set_password(later, NEW)
    later.sees("directory-reset-by-questions", later.t("recover.done_pw_done"), settled=True)
    is_changed(served, account)
    kept = served.log + str(audit_events(served.data))
    assert [each for each in (*ANSWERS.values(), *AS_TYPED.values(), NEW) if each in kept] == []


@shows("A9", OTHER, on=BOTH)
def test_right_answers_of_an_administrator_reset_nothing(
    served: Served, visit: Visit, tmp_path: Path, made: Callable[..., Account]
) -> None:
    account = made(next(unused_frank))
    rows = ["username,question,answer", *(f'{account.login},{question},"{text}"' for question, text in ANSWERS.items())]
    (tmp_path / "answers.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert cli_json("kba", "import", str(tmp_path / "answers.csv"), data=served.data)["set"] == len(ANSWERS)
    frank = visit()
    forgot(frank, account.login, "kba")
    answer(frank)
    frank.sees("directory-answers-not-enough", frank.t("recover.closed_heading"), status=410)
    expect(frank.page.get_by_role("main")).to_contain_text(frank.t("reset.not_enough", ref="").rstrip())
    assert account.binds is not None
    assert account.binds(account.password)


def nobody_in_ad() -> str:
    return f"nobody-{secrets.token_hex(4)}"


def nobody_in_ldap() -> str:
    return f"nobody-{secrets.token_hex(4)}@ldap"


def nobody_in_our_own() -> str:
    return f"nobody-{secrets.token_hex(4)}@own"


@shows("A8", ONE, on={AD: (nobody_in_ad,), OPENLDAP: (nobody_in_ldap,), OURS: (nobody_in_our_own,)})
def test_name_of_nobody_is_asked_steady_questions(visit: Visit, made: Callable[[], str]) -> None:
    seen, name = [], made()
    for _ in range(2):
        stranger = visit()
        forgot(stranger, name, "kba")
        seen.append(asked(stranger))
        assert stranger.page.get_by_role("heading", level=1).inner_text() == stranger.t("sign.step_kba")
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(ANSWERS)


@shows("A14", FOURTH, on=BOTH)
def test_frozen_account_is_reset_by_no_phone_and_lifted_by_the_older_app(
    served: Served, sms: SmsService, visit: Visit, made: Callable[..., Account]
) -> None:
    account = made()
    give_app(served, account)
    ada = visit()
    sign_in(ada, account)
    ada.page.wait_for_url("**/account")
    ada.disputes_the_newest()
    ada.reads("session.frozen")

    thief, before = visit(), len(sms.codes_to(account.phone))
    forgot(thief, account.login, "sms")
    thief.type_code(sms.next_code(account.phone, before))
    thief.sees("directory-reset-frozen", thief.t("recover.closed_heading"), status=410)
    thief.reads("freeze.on")
    assert account.binds is not None
    assert account.binds(account.password)

    sign_in(ada, account, shift=1)
    ada.sees("directory-lift", ada.t("recover.new_password"))
    ada.reads("freeze.lift")
    set_password(ada, NEW)
    ada.page.wait_for_url("**/account")
    is_changed(served, account)
    kinds = [each["kind"] for each in audit_events(served.data) if each["payload"].get("user") == account.login.partition("@")[0]]
    assert [each for each in kinds if each.startswith("account:freeze:")] == ["account:freeze:set", "account:freeze:lifted"]
