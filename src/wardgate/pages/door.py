"""What the pages of a login are given, and how a browser's request becomes the engine's."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from wardgate.audit.recorder import Recorder
from wardgate.audit.timeline import Trail
from wardgate.clock import Clock
from wardgate.crypto import KeyRing
from wardgate.engine.engine import Engine
from wardgate.engine.outcome import Challenge, Denied, Origin, Outcome
from wardgate.engine.runtime import EngineConfiguration, EngineParts
from wardgate.metrics import Metrics
from wardgate.pages.browser import Browser
from wardgate.pages.purpose import NOTHING_WAITS, Purpose, Purposes
from wardgate.pages.site import site_of
from wardgate.session.sessions import Sessions
from wardgate.storage.port import Storage
from wardgate.web.access import client_address
from wardgate.web.context import WebContext
from wardgate.web.language import language_of_request
from wardgate.web.render import Pages

DOOR = "portal"
PORTAL_KIND = "portal"
SESSION_COOKIE = "__Host-wg_session"
# A refusal leaves at its moment, and no browser waits longer than this for it.
LONGEST_HOLD_S = 5.0
_ADDRESS = "wardgate.address"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserDoor:
    """Everything that a page of a login needs. `purposes`: what waits for a sign-in beside our own pages.

    `has_applications`: whether there is a launchpad.
    """

    context: WebContext
    pages: Pages
    engine: Engine
    configuration: Callable[[], EngineConfiguration]
    sessions: Sessions
    parts: EngineParts
    purposes: Purposes = NOTHING_WAITS
    has_applications: Callable[[], bool] = lambda: False

    @property
    def storage(self) -> Storage:
        """Where steps are."""
        return self.context.storage

    @property
    def ring(self) -> Callable[[], KeyRing]:
        """The keys."""
        return self.context.ring

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.context.clock

    @property
    def recorder(self) -> Recorder:
        """Where trails go."""
        return self.context.recorder

    @property
    def metrics(self) -> Metrics:
        """Where logins are counted."""
        return self.context.metrics

    def masks_answers(self) -> bool:
        """Whether answers to challenge questions are typed like passwords."""
        questioner = self.configuration().questioner
        return questioner is not None and questioner.catalogue.settings.masked

    def portal(self) -> str:
        """The application that a sign-in to our own pages is for."""
        found = [name for name, each in self.configuration().applications.items() if each.settings.kind == PORTAL_KIND]
        return found[0]

    def own_purpose(self) -> Purpose:
        """That of a sign-in to our own pages."""
        name = self.portal()
        return Purpose(name, self.configuration().applications[name].title)

    def address(self, request: Request) -> str:
        """Where the request comes from, worked out once for all who ask."""
        known: str | None = request.scope.get(_ADDRESS)
        if known is None:
            known = request.scope[_ADDRESS] = client_address(request, self.context.proxies)
        return known

    def trail(self, request: Request) -> Trail:
        """The timeline of one request."""
        trail = Trail(self.clock, DOOR)
        trail.source = trail.client = self.address(request)
        return trail

    def origin(self, request: Request, browser: Browser) -> Origin:
        """Where the request came in. A handle belongs to the browser that was given it."""
        address = self.address(request)
        return Origin(
            door=DOOR,
            binding=f"browser:{browser.mac(self.ring()).hex()}",
            source=address,
            client=address or None,
            language=language_of_request(request),
            shows_pages=True,
            site=site_of(request, self.context),
        )

    async def published(self, trail: Trail, outcome: Outcome) -> None:
        """Hold what nobody has proved anything for back until it may leave; then the request is over."""
        if isinstance(outcome, Denied | Challenge) and outcome.not_before is not None:
            await asyncio.sleep(min(LONGEST_HOLD_S, max(0.0, outcome.not_before - self.clock.monotonic())))
        self.metrics.login(trail.result or "dropped", DOOR)
        self.recorder.publish(trail)
