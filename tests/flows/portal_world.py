"""The portal over the small world of the flow tests, asked by a browser without script."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.flows.world import World
from wardgate.audit.recorder import Recorder
from wardgate.delivery.port import Channel
from wardgate.directory.realm import Realm, Realms
from wardgate.directory.settings import RealmSettings
from wardgate.engine.runtime import Application, EngineConfiguration, EngineParts, TicketPlace
from wardgate.engine.settings import ApplicationSettings
from wardgate.kerberos.port import TicketChecking
from wardgate.metrics import Metrics
from wardgate.pages.joined import Joining
from wardgate.portal.routes import portal_pages
from wardgate.session.sessions import Sessions
from wardgate.web.app import build_web_app
from wardgate.web.context import WebContext

ORIGIN = "https://login.acme.test"
OURS = {"sec-fetch-site": "same-origin"}
# What two pages that are alike do not have in common.
REFERENCE = re.compile(r'<bdi class="reference">\w{8}</bdi>|ref=\w{8}|"reference":"\w{8}"')
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


@dataclass
class PortalWorld(World):
    """A world whose application is the portal. Refusals leave at once; one test asks for the floor."""

    application: ApplicationSettings = field(default_factory=lambda: ApplicationSettings(name="portal", kind="portal"))
    floor_ms: int = 0
    hosts: frozenset[str] = frozenset()
    origin: str = ORIGIN
    # Where browsers come from that are opened from now on.
    address: str = "203.0.113.7"
    # Whose gateways have all failed lately.
    down: frozenset[Channel] = frozenset()
    tickets: TicketChecking | None = None
    ticket_places: tuple[TicketPlace, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = RealmSettings(name="acme", default=True, directories=("local",), reply_floor_ms=self.floor_ms)
        self.realms = Realms([Realm(settings, (self.directory,))])
        self.sessions = Sessions(self.storage, lambda: self.ring, self.clock)
        self.recorder = Recorder(self.storage, lambda: self.ring, self.clock)

    def configuration(self) -> EngineConfiguration:
        """The configuration in force."""
        applications = {"portal": Application(self.application, self.policy)}
        return replace(self.configured(applications), tickets=self.ticket_places)

    def context(self) -> WebContext:
        """What the pages are given."""
        return WebContext(
            storage=self.storage,
            ring=lambda: self.ring,
            clock=self.clock,
            recorder=self.recorder,
            metrics=Metrics(),
            origin=self.origin,
            ready=list,
            hosts=self.hosts,
            zone_of=lambda realm: self.configuration().zone_of(realm),
        )

    def joining(self) -> Joining | None:
        """A door that is joined to the portal."""
        return None

    @asynccontextmanager
    async def browser(self, **options: Any) -> AsyncIterator["BrowserOfTests"]:
        """A browser with a cookie jar of its own."""
        parts = EngineParts(
            self.storage,
            self.clock,
            lambda: self.ring,
            self.configuration,
            keep_messages=True,
            channel_down=lambda channel: channel in self.down,
            tickets=self.tickets,
        )
        app = build_web_app(self.context(), ("portal",), [portal_pages(parts, self.joining())])
        transport = httpx.ASGITransport(app=app, client=(self.address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=self.origin, **options) as client:
            yield BrowserOfTests(client)


@dataclass
class BrowserOfTests:
    """Follows redirects and keeps the page that it is on."""

    client: httpx.AsyncClient
    page: httpx.Response = field(init=False)

    async def get(self, address: str) -> httpx.Response:
        """Open an address."""
        self.page = await self._follow(await self.client.get(address))
        return self.page

    async def post(self, address: str | None = None, *, form: int = 0, **fields: str) -> httpx.Response:
        """Send a form of the page with its hidden fields, and follow."""
        self.page = await self._follow(await self.client.post(address or self.path, data=self.filled(form, fields), headers=OURS))
        return self.page

    def filled(self, form: int, fields: dict[str, str]) -> dict[str, str]:
        """The hidden fields of a form of this page and what a person puts in."""
        forms = self.page.text.split("<form ")[1:]
        return {**dict(_FIELD.findall(forms[form])), **fields}

    @property
    def path(self) -> str:
        """Where it is."""
        return urlsplit(str(self.page.url)).path

    async def sign_in(self, name: str, password: str = "correct horse", then: str = "") -> httpx.Response:
        """Send user name and password."""
        await self.get("/sign-in" + (f"?then={then}" if then else ""))
        return await self.post("/sign-in", username=name, password=password)

    async def _follow(self, reply: httpx.Response) -> httpx.Response:
        for _ in range(5):
            if reply.status_code != 303:
                return reply
            reply = await self.client.get(reply.headers["location"])
        raise AssertionError("redirected in a circle")
