"""A door that shares the pages of signing in: what the portal asks of it, and what it is given."""

from collections.abc import Sequence
from typing import Protocol

from starlette.routing import BaseRoute

from wardgate.pages.browser import Browser
from wardgate.pages.purpose import Purposes
from wardgate.pages.sign_in import SignInPages
from wardgate.session.sessions import Session


class Joined(Protocol):
    """Another door on the same listener as the portal."""

    @property
    def purposes(self) -> Purposes:
        """What waits there for a sign-in."""
        ...

    def routes(self, sign_in: SignInPages) -> Sequence[BaseRoute]:
        """Its routes."""
        ...

    async def leaving(self, browser: Browser, session: Session) -> str:
        """Where a browser goes whose session has just ended, to be signed out of applications; empty where there are none.

        `browser`: as it is from now on.
        """
        ...
