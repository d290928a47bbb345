"""A door that shares the pages of signing in: what the portal asks of it, and what it is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.routing import BaseRoute

from wardgate.pages.browser import Browser
from wardgate.pages.door import BrowserDoor
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


@dataclass(frozen=True, slots=True)
class Joining:
    """How such a door is made for a listener, where its templates are, and which of its paths take a larger body, in bytes."""

    make: Callable[[BrowserDoor], Joined]
    folders: Sequence[Path]
    larger: Mapping[str, int]
