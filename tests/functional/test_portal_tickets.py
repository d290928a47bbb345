"""The pages of signing in by a ticket, in a real Chromium that has none: it is offered, asked for, and falls back to the form."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.flows.portal_world import PortalWorld
from tests.functional.acceptance import ONE, OTHER, shows
from tests.functional.chromium import Loop
from tests.functional.portal_site import RULES, Site, Visit
from wardgate.directory.memory import MemoryDirectory
from wardgate.engine.runtime import TicketPlace
from wardgate.kerberos.port import NotTaken, Service, Why
from wardgate.pages.ticket import KERBEROS_FIRST

pytestmark = pytest.mark.neighbour("chromium")


class NoTickets:
    """Takes none."""

    async def check(self, service: Service, shown: bytes, bindings: bytes) -> NotTaken:
        return NotTaken(Why.INVALID)


@pytest.fixture
def site(loop: Loop, tmp_path: Path) -> Iterator[Site]:
    """A portal that asks browsers of this machine for a ticket."""
    world = PortalWorld(directory=MemoryDirectory("local", policy=RULES), tickets=NoTickets())
    service, networks = Service("HTTP/localhost@ACME.TEST", "/etc/keytab"), (ip_network("127.0.0.0/8"),)
    world.ticket_places = (TicketPlace(world.directory, world.realms.default, service, networks, 36_000),)
    one = Site(loop, tmp_path, world)
    yield one
    one.close()


@shows("A1", ONE)
def test_browser_without_a_ticket_is_offered_it_and_gets_the_form(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.open("/sign-in?then=/account/sessions")
    heading = ada.t("sign.in_to", application="portal")
    ada.sees("sign-in-ticket", heading)
    ada.follow("kerberos.sign_in")
    ada.sees("sign-in-no-ticket", heading, status=401)
    ada.reads("kerberos.none")
    ada.field("sign.user_name").fill("ada")
    ada.field("sign.password").fill("correct horse")
    ada.press("sign.in")
    ada.type_code(site.world.totp())
    ada.page.wait_for_url("**/account/sessions")


@shows("A1", OTHER)
def test_ticket_that_is_not_taken_ends_at_the_form(site: Site, visit: Visit) -> None:
    site.ada()
    ada = visit()
    ada.page.set_extra_http_headers({"authorization": "Negotiate TlRMTVNTUAABAAAA"})
    ada.open(KERBEROS_FIRST)
    ada.sees("sign-in-ticket-not-taken", ada.t("sign.in_to", application="portal"), status=403)
    ada.reads("kerberos.not_taken")
