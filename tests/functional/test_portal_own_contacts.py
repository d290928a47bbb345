"""Own contacts, the links of messages and forgotten user names in a real Chromium, each page and state examined."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.functional.acceptance import FOURTH, ONE, OTHER, THIRD, shows
from tests.functional.portal_site import Site, Visit, Visitor
from wardgate.account.contact import Source, create_contact
from wardgate.clock import to_ms
from wardgate.delivery.outbox import OutboxEntry
from wardgate.directory.port import ContactKind

pytestmark = pytest.mark.neighbour("chromium")

HOME = "ada@home.test"
NEW_HOME = "ada@new.test"
NEWER = "+905329876543"


def sent_to(site: Site, to: str) -> list[OutboxEntry]:
    """What went there, newest first."""
    return [each for each in site.run(site.world.messages()) if each.to == to]


def link_to(site: Site, to: str) -> str:
    """The path of the newest link that went there."""
    texts = " ".join(each.text for each in sent_to(site, to))
    found = re.search(re.escape(site.origin) + r"(/l/[\w-]{43})", texts)
    assert found is not None
    return found[1]


def verify(site: Site, ada: Visitor, to: str) -> None:
    """Type the code that went there."""
    ada.field("sign.code").fill(next(each.code for each in sent_to(site, to) if each.code))
    ada.press("contact.verify")


def go(ada: Visitor, link: Locator) -> None:
    """Follow a link."""
    with ada.page.expect_navigation():
        link.click()


@shows("A12", ONE)
def test_contact_is_added_replaced_preferred_and_removed(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    ada.follow("contact.heading")
    ada.sees("contacts", ada.t("contact.heading"))
    ada.follow("contact.add_mail")
    ada.sees("contact-new-mail", ada.t("contact.add_mail"))
    ada.field("contact.kind_mail").fill("ada@acme.test")
    ada.press("contact.send_code")
    ada.sees("contact-refused", ada.t("contact.add_mail"), status=422, error=True)
    ada.field("contact.kind_mail").fill(HOME)
    ada.press("contact.send_code")
    ada.sees("contact-code", ada.t("contact.verify_mail"))
    ada.field("sign.code").fill("000000" if sent_to(site, HOME)[0].code != "000000" else "111111")
    ada.press("contact.verify")
    ada.sees("contact-code-wrong", ada.t("contact.verify_mail"), status=422, error=True)
    verify(site, ada, HOME)
    ada.sees("contact-saved", ada.t("contact.saved"))
    go(ada, ada.page.locator("a.primary"))
    ada.sees("contacts-held", ada.t("contact.heading"))
    ada.secrets.append(HOME)
    go(ada, ada.page.get_by_role("link", name=re.compile("home.test")))
    ada.sees("contact", f"{ada.t('contact.kind_mail')}: a***@home.test")
    ada.press("contact.prefer")
    ada.sees("contacts-preferred", ada.t("contact.heading"))
    go(ada, ada.page.get_by_role("link", name=re.compile("home.test")))
    ada.press("contact.remove_mail")
    ada.sees("contacts-removed", ada.t("contact.heading"))
    ada.open("/account/contacts/add")
    ada.sees("contact-kinds", ada.t("contact.add"))
    ada.follow("contact.add_phone")
    ada.sees("contact-new-phone", ada.t("contact.add_phone"))
    ada.field("contact.kind_phone").fill(NEWER)
    ada.press("contact.send_code")
    ada.sees("contact-code-phone", ada.t("contact.verify_phone"))


@shows("A12", OTHER)
def test_contact_is_replaced_and_the_old_one_stays_until_the_code_was_right(site: Site, visit: Visit) -> None:
    site.ada()
    site.run(give_mail(site, "ada", HOME))
    ada = visit()
    ada.sign_in_by_app()
    ada.open("/account/contacts")
    go(ada, ada.page.get_by_role("link", name=re.compile("home.test")))
    ada.follow("contact.replace_mail")
    ada.sees("contact-replace", ada.t("contact.replace_mail"))
    ada.reads("contact.replace_what")
    ada.field("contact.kind_mail").fill(NEW_HOME)
    ada.press("contact.send_code")
    ada.sees("contact-replace-code", ada.t("contact.verify_mail"))
    ada.open("/account/contacts")
    expect(ada.page.get_by_role("link", name=re.compile("home.test"))).to_have_count(1)
    expect(ada.page.get_by_role("link", name=re.compile("new.test"))).to_have_count(0)
    ada.page.go_back()
    verify(site, ada, NEW_HOME)
    ada.sees("contact-replaced", ada.t("contact.saved"))
    ada.open("/account/contacts")
    expect(ada.page.get_by_role("link", name=re.compile("home.test"))).to_have_count(0)
    expect(ada.page.get_by_role("link", name=re.compile("new.test"))).to_have_count(1)
    # Told at the old place as well, with a link that undoes it.
    link_to(site, HOME)
    assert sent_to(site, NEW_HOME)


@shows("A12", FOURTH)
def test_link_of_a_notice_undoes_the_change_once(site: Site, visit: Visit) -> None:
    site.ada()
    thief, ada = visit(), visit()
    thief.sign_in_by_app()
    thief.open("/account/contacts/add/phone")
    thief.field("contact.kind_phone").fill(NEWER)
    thief.press("contact.send_code")
    verify(site, thief, NEWER)
    link = link_to(site, "ada@acme.test")
    ada.secrets.append(link.removeprefix("/l/"))
    ada.open(link)
    assert "/l/" not in ada.page.url
    ada.sees("link-undo", ada.t("link.heading_undo_contact"))
    ada.press("link.act_undo_contact")
    ada.sees("link-done", ada.t("link.heading_done"))
    ada.open(link)
    ada.sees("link-used", ada.t("link.heading_over"), status=410, error=True)
    thief.open("/account/contacts")
    thief.sees("sign-in-ended", thief.t("sign.in_to", application="portal"))


@shows("A14", THIRD)
def test_not_me_link_asks_before_it_ends_anything(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.sign_in_by_app()
    ada.open("/enrol/recovery-codes")
    ada.press("account.make_codes")
    ada.open(link_to(site, "ada@acme.test"))
    ada.sees("link-not-me", ada.t("link.heading_not_me"))
    ada.press("link.act_not_me")
    ada.sees("link-not-me-done", ada.t("link.heading_done"))


async def give_team_mail(site: Site, name: str) -> None:
    """Somebody who verified a mailbox that he shares."""
    await site.world.person(name)
    await give_mail(site, name, "team@acme.test")


async def give_mail(site: Site, name: str, address: str) -> None:
    """He verified it two days ago."""
    world = site.world
    user = await world.directory.find(name, 1.0)
    assert user is not None
    subject, at_ms = await world.subject_of(user), to_ms(world.clock.now()) - 2 * 86_400_000
    await world.storage.commit(create_contact(world.ring, subject, ContactKind.MAIL, address, Source.PERSON, at_ms, at_ms))


@shows("A11", ONE)
def test_user_name_is_sent_and_the_page_never_shows_it(site: Site, visit: Visit) -> None:
    site.ada()
    for name in ("team-a", "team-b"):
        site.run(give_team_mail(site, name))
    ada = visit()
    ada.open("/sign-in")
    ada.follow("sign.forgot_name")
    ada.sees("username", ada.t("username.heading"))
    said = set()
    for contact in ("ada@acme.test", "team@acme.test", "nobody@acme.test"):
        ada.open("/username")
        ada.field("username.contact").fill(contact)
        ada.press("username.send")
        ada.sees("username-sent", ada.t("username.heading"))
        said.add(ada.words())
    assert len(said) == 1
    sent = {each.to: each.text for each in site.run(site.world.messages())}
    assert set(sent) == {"ada@acme.test", "team@acme.test"}
    assert len(site.run(site.world.messages())) == len(sent)
    assert "team-a" in sent["team@acme.test"]
    assert "team-b" in sent["team@acme.test"]
