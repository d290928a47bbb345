"""Short links where RADIUS is served by one node and the portal by another: the link, its page, and the code that comes back."""

import asyncio
import re
import secrets
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from tests import postgresql
from tests.flows.portal_world import BrowserOfTests
from tests.flows.test_portal_passkeys import options_on
from tests.flows.test_short_links import CODE, LINK, code_on
from tests.functional.harness import (
    SECRET,
    Person,
    Served,
    Wire,
    cli_json,
    csv_of,
    ended,
    free_udp_ports,
    make_installation,
    wait_for,
)
from tests.hostile.nodes import PATIENCE_S, Phones, gateway, move_to_postgresql, phones, second_node, serve_cheap
from tests.software_passkey import ORIGIN, SoftPasskey
from tests.unit.delivery.fakes import make_authority
from wardgate.radius.packet import Code, Packet, Type
from wardgate.settings import StartSettings, read_settings, render_settings

pytestmark = pytest.mark.neighbour("postgresql")

NAS = "127.0.7.2"
DOCUMENT = f"""
realms: [{{name: default, default: true, directories: [local], reply_floor_ms: 0}}]
directories: [{{name: local, kind: local}}]
nas:
  - {{name: main, addresses: [{NAS}], secret: {{value: {SECRET}}}, application: vpn, vendor: paloalto}}
applications: [{{name: vpn, title: Office VPN, policy: remote, page_link: shown, enrol_by_link: true}}]
policies:
  - {{name: remote, rules: [{{name: staff, then: {{steps: [[password], [totp, passkey]]}}}}]}}
"""


@dataclass(slots=True)
class Apart:
    """The node that takes logins, the one that serves pages, and what text messages said."""

    logins: Served
    pages: Served
    phones: Phones
    people: list[Person]


class Pointed(httpx.AsyncHTTPTransport):
    """Goes to one server, whatever the address says: what a name server does for the portal's public name."""

    def __init__(self, served: Served) -> None:
        super().__init__(verify=ssl.create_default_context(cafile=str(served.ca_file)))
        self._where = httpx.URL(served.url)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sent there with the Host that was asked for; the certificate is the node's own."""
        url = request.url.copy_with(host=self._where.host, port=self._where.port)
        extensions = {**request.extensions, "sni_hostname": "localhost"}
        sent = httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)
        return await super().handle_async_request(sent)


def change(data: Path, how: Callable[[StartSettings], StartSettings]) -> None:
    """Write other settings into `wardgate.toml`."""
    file = data / "wardgate.toml"
    file.write_text(render_settings(how(read_settings(file))))


def takes_logins(settings: StartSettings) -> StartSettings:
    """No pages for people here; where they are is told."""
    server = replace(settings.server, portal_url=ORIGIN)
    return replace(settings, server=server, https=replace(settings.https, doors=("health", "metrics")))


def serves_pages(settings: StartSettings) -> StartSettings:
    """No RADIUS here."""
    https = replace(settings.https, doors=("portal",), public_url=ORIGIN)
    return replace(settings, radius=replace(settings.radius, addresses=()), https=https)


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Both of them, up, over one PostgreSQL."""
    place = tmp_path_factory.mktemp("apart")
    staff = [Person(f"mobile{n}", f"pw-{secrets.token_urlsafe(9)}", phone=f"+9053211166{n:02d}") for n in range(4)]
    authority = make_authority(place, "localhost")
    with ExitStack() as stack:
        service = stack.enter_context(phones(authority.server))
        make_installation(place / "logins", DOCUMENT + gateway(authority.ca_file, service.port), csv_of(staff))
        move_to_postgresql(place / "logins", postgresql.shared())
        second_node(place / "logins", place / "pages")
        change(place / "logins", takes_logins)
        change(place / "pages", serves_pages)
        told = cli_json("check", data=place / "logins")
        assert not [each for each in told["findings"] if "short links" in each["what"]]
        logins = stack.enter_context(ended(serve_cheap(place / "logins", free_udp_ports(2), 1)))
        pages = stack.enter_context(ended(serve_cheap(place / "pages", free_udp_ports(2), 1)))
        yield Apart(logins, pages, service, staff)
        pages.stop()
        logins.stop()


def browser(served: Served) -> httpx.AsyncClient:
    """Somebody who types the portal's public name."""
    return httpx.AsyncClient(transport=Pointed(served), base_url=ORIGIN, timeout=PATIENCE_S)


async def made(served: Served, path: str, passkey: SoftPasskey) -> str:
    """Set a passkey up on the page of a link; the code that the page ends with."""
    async with browser(served) as client:
        person = BrowserOfTests(client)
        assert "Office VPN" in (await person.get(path)).text
        await person.post(act="start")
        page = await person.post(act="enrol", method="passkey")
        page = await person.post(passkey=passkey.made(options_on(page)), nickname="Phone")
        assert "recovery-codes.txt" in page.text, page.text
        return code_on(await person.post(act="saved", saved="yes"))


async def confirmed(served: Served, path: str, passkey: SoftPasskey) -> str:
    """Confirm a login on the page of its link; the code that the page ends with."""
    async with browser(served) as client:
        person = BrowserOfTests(client)
        page = await person.get(path)
        return code_on(await person.post(passkey=passkey.signed(options_on(page))))


def said(reply: Packet) -> str:
    """What the window shows."""
    return b"".join(reply.all(Type.REPLY_MESSAGE)).decode()


def linked_in(text: str) -> str:
    """The path of the link in a text, which bears the portal's public address."""
    found = LINK.search(text)
    assert found is not None, text
    return found[1]


def test_what_is_set_up_and_confirmed_on_the_pages_of_one_node_lets_in_at_the_other(apart: Apart) -> None:
    person, passkey = apart.people.pop(), SoftPasskey()
    with Wire(apart.logins, source=NAS) as window:
        asked = window.log_in(person.name, person.password)
        assert said(asked).startswith("Set up your second step: open the link sent to"), said(asked)
        [message] = wait_for(lambda: apart.phones.to(person.phone or ""), PATIENCE_S)
        code = asyncio.run(made(apart.pages, linked_in(message["text"]), passkey))
        assert window.answer(person.name, code, asked).code is Code.ACCESS_ACCEPT
        asked = window.log_in(person.name, person.password)
        assert said(asked).startswith(f"Open {ORIGIN}/approve/"), said(asked)
        code = asyncio.run(confirmed(apart.pages, linked_in(said(asked)), passkey))
        assert window.answer(person.name, code, asked).code is Code.ACCESS_ACCEPT


def test_a_code_of_the_page_is_taken_once_and_for_its_own_login(apart: Apart) -> None:
    person, passkey = apart.people.pop(), SoftPasskey()
    with Wire(apart.logins, source=NAS) as window, Wire(apart.logins, source=NAS) as other:
        asked = window.log_in(person.name, person.password)
        [message] = wait_for(lambda: apart.phones.to(person.phone or ""), PATIENCE_S)
        code = asyncio.run(made(apart.pages, linked_in(message["text"]), passkey))
        assert window.answer(person.name, code, asked).code is Code.ACCESS_ACCEPT
        assert window.answer(person.name, code, asked).code is Code.ACCESS_REJECT
        again = other.log_in(person.name, person.password)
        assert again.code is Code.ACCESS_CHALLENGE
        assert other.answer(person.name, code, again).code is not Code.ACCESS_ACCEPT


def test_this_was_not_me_on_the_pages_of_one_node_ends_the_login_at_the_other(apart: Apart) -> None:
    person = apart.people.pop()

    async def not_me(path: str) -> str:
        async with browser(apart.pages) as client:
            somebody = BrowserOfTests(client)
            await somebody.get(path)
            return (await somebody.post(form=1, act="not_me")).text

    with Wire(apart.logins, source=NAS) as window:
        asked = window.log_in(person.name, person.password)
        [message] = wait_for(lambda: apart.phones.to(person.phone or ""), PATIENCE_S)
        assert "was ended" in asyncio.run(not_me(linked_in(message["text"])))
        assert window.answer(person.name, "123456", asked).code is Code.ACCESS_REJECT


def test_pages_answer_to_no_other_name_and_the_node_of_logins_has_none(apart: Apart) -> None:
    path = "/approve/" + re.sub(r"(.{4})", r"\1-", secrets.token_hex(4).upper()).rstrip("-")
    with apart.pages.web() as web:
        assert web.get(path).status_code == 421
    with apart.logins.web() as web:
        reply = web.get(path, headers={"host": "login.acme.test"})
        assert reply.status_code == 404
        assert CODE.search(reply.text) is None
