"""What a sign-in is for: our own pages, or an application that sent the browser here and waits at an address of ours.

Doors that such requests come in by say which application it is, and what it asks for; the pages of signing in know none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from wardgate.session.sessions import Session
from wardgate.values import quick_value


@quick_value
class Purpose:
    """The application that a sign-in is for. `asked`: as of an `engine.session_first.SessionRequest`.

    `fresh`: only what is proved for this very request counts. `place`: the address of ours where it waits, and where whoever does
    not want to sign in posts so, with a token for `waits`; empty where nobody waits to hear it. `called`: what people call it, by
    their language.
    """

    application: str
    title: str
    fresh: bool = False
    asked: tuple[tuple[str, ...], ...] = ()
    place: str = ""
    waits: str = ""
    called: Callable[[str], str] | None = None

    def title_in(self, language: str) -> str:
        """Its title, as whoever reads this language calls it."""
        return self.called(language) if self.called is not None else self.title


@dataclass(frozen=True, slots=True)
class Aim:
    """What one sign-in is for, where it leads, and whose it has to be.

    `session`: that of the person who is signed in already and has to prove more, or anew: nobody else does that for him.
    `name`: what he would type.
    """

    then: str
    purpose: Purpose
    session: Session | None = None
    name: str = ""


class Purposes(Protocol):
    """What waits at an address of ours for the sign-in of a browser."""

    async def of(self, browser: bytes, then: str) -> Purpose | None:
        """What waits there for this browser; None where nothing does."""
        ...

    async def follow(self, old: bytes, new: bytes) -> None:
        """A browser goes on under a new id, and all that waits for it goes with it."""
        ...


class _Nothing:
    """Nothing waits anywhere."""

    async def of(self, browser: bytes, then: str) -> Purpose | None:
        """None."""
        return None

    async def follow(self, old: bytes, new: bytes) -> None:
        """Nothing goes along."""


NOTHING_WAITS: Final[Purposes] = _Nothing()
