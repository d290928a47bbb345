"""Asking the engine whether the session of a browser is enough for an application."""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.requests import Request

from wardgate.engine.outcome import Granted, Outcome
from wardgate.engine.session_first import SessionRequest
from wardgate.pages.browser import Browser
from wardgate.pages.door import BrowserDoor
from wardgate.pages.purpose import Purpose
from wardgate.session.sessions import Session
from wardgate.storage.port import Operation

# As a time, in milliseconds: no proof is as young.
_NEVER: Final = 2**62


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
        _fresh_after(session, purpose),
        purpose.asked,
        can_challenge,
        writes,
    )
    counted, outcome = await door.engine.begin_by_session(asked)
    await door.published(trail, outcome)
    return counted, outcome


def _fresh_after(session: Session, purpose: Purpose) -> int:
    """From when on proofs count; 0: as policy ages them.

    A request for a fresh sign-in is met by one that was made for it. Its date alone would not say so: a sign-in for something else
    may come after the request, and one whose password was typed before it may end after it. SAML core section 3.4.1, ForceAuthn.
    """
    if not purpose.fresh:
        return 0
    return session.made_at if session.made_for == purpose.place else _NEVER
