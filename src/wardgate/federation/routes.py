"""Puts the door of federation together, for the listener that has the portal: both share the pages of signing in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.routing import BaseRoute

from wardgate.federation.allowance import Allowance
from wardgate.federation.brought import MAX_POST_BYTES
from wardgate.federation.door import SLO_PATH, SSO_PATH, FederationDoor, Trust
from wardgate.federation.launchpad import Applications
from wardgate.federation.own_metadata import MetadataPages
from wardgate.federation.participants import Participants
from wardgate.federation.purposes import WaitingRequests
from wardgate.federation.slo import SloPages
from wardgate.federation.sso import SsoPages
from wardgate.federation.stored_requests import StoredRequests
from wardgate.pages.browser import Browser
from wardgate.pages.door import BrowserDoor
from wardgate.pages.joined import Joining, Tile
from wardgate.pages.purpose import Purposes
from wardgate.pages.sign_in import SignInPages
from wardgate.session.sessions import Session

FOLDER: Final = Path(__file__).with_name("templates")
LARGER: Final[Mapping[str, int]] = {SSO_PATH: MAX_POST_BYTES, SLO_PATH: MAX_POST_BYTES}


def federation_pages(trust: Trust) -> Joining:
    """What the portal is joined by."""
    return Joining(lambda door: FederationPages(door, trust), (FOLDER,), LARGER)


class FederationPages:
    """The door on one listener (`pages.joined`)."""

    def __init__(self, browser: BrowserDoor, trust: Trust) -> None:
        self._door = FederationDoor(browser, trust, Allowance())
        context = browser.context
        self._requests = StoredRequests(context.storage, context.ring, context.clock)
        self._participants = Participants(context.storage, context.ring)
        self._applications = Applications(self._door, self._participants)
        self._logout = SloPages(self._door, self._requests, self._participants)
        self.purposes: Purposes = WaitingRequests(self._door, self._requests)

    def routes(self, sign_in: SignInPages) -> Sequence[BaseRoute]:
        """Its routes."""
        return [
            *SsoPages(self._door, self._requests, self._participants, sign_in).routes(),
            *self._logout.routes(),
            *MetadataPages(self._door).routes(),
        ]

    def has_tiles(self) -> bool:
        """Whether a launchpad has anything to show."""
        return self._applications.any()

    async def tiles(self, request: Request, browser: Browser, session: Session) -> Sequence[Tile]:
        """The applications of a person."""
        return await self._applications.tiles(request, browser, session)

    async def reached(self, sessions: Sequence[Session], language: str) -> Mapping[str, Sequence[str]]:
        """The applications of each session."""
        return await self._applications.reached(sessions, language)

    async def leaving(self, browser: Browser, session: Session) -> str:
        """Where a browser goes whose session has just ended."""
        return await self._logout.leaving(browser, session)
