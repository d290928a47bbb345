"""Asking the engine whether the session of a browser is enough for an application."""

from collections.abc import Callable, Sequence

from starlette.requests import Request

from wardgate.engine.outcome import Granted, Outcome
from wardgate.engine.session_first import SessionRequest
from wardgate.pages.browser import Browser
from wardgate.pages.door import BrowserDoor
from wardgate.pages.purpose import Purpose
from wardgate.session.sessions import Session
from wardgate.storage.port import Operation


async def ask_engine(
    door: BrowserDoor,
    request: Request,
    browser: Browser,
    session: Session,
    purpose: Purpose,
    writes: Callable[[Granted], Sequence[Operation] | None],
    *,
    can_challenge: bool = True,
) -> tuple[tuple[str, ...], Outcome]:
    """What of the session counts there, and the outcome. `writes`: as of a `SessionRequest`."""
    trail, origin = door.trail(request), door.origin(request, browser)
    asked = SessionRequest(
        purpose.application,
        session,
        origin,
        trail,
        purpose.fresh_after,
        purpose.asked,
        can_challenge,
        writes,
    )
    counted, outcome = await door.engine.begin_by_session(asked)
    await door.published(trail, outcome)
    return counted, outcome
