"""A door that shares the pages of signing in: what the portal asks of it, and what it is given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from starlette.requests import Request
from starlette.routing import BaseRoute

from wardgate.pages.browser import Browser
from wardgate.pages.door import BrowserDoor
from wardgate.pages.purpose import Purposes
from wardgate.pages.sign_in import SignInPages
from wardgate.session.sessions import Session


@dataclass(frozen=True, slots=True)
class Tile:
    """An application that a person may open. `icon`: its picture at our own address, empty where it has none.

    `asks`: he has to prove something more for it.
    """

    name: str
    title: str
    address: str
    icon: str = ""
    asks: bool = False


class Joined(Protocol):
    """Another door on the same listener as the portal."""

    @property
    def purposes(self) -> Purposes:
        """What waits there for a sign-in."""
        ...

    def routes(self, sign_in: SignInPages) -> Sequence[BaseRoute]:
        """Its routes."""
        ...

    def has_tiles(self) -> bool:
        """Whether it has applications to show to anybody."""
        ...

    async def tiles(self, request: Request, browser: Browser, session: Session) -> Sequence[Tile]:
        """The applications that policy opens to this person, by their titles."""
        ...

    async def reached(self, sessions: Sequence[Session], language: str) -> Mapping[str, Sequence[str]]:
        """The titles of the applications that each session was used for, by the session's id."""
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
