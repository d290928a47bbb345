"""Pages whose GET stores a row take turns: of one source only so many, so that reloading fills no table."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from wardgate.clock import to_ms
from wardgate.engine import brakes
from wardgate.pages.door import BrowserDoor
from wardgate.storage.port import Refused
from wardgate.web.access import client_address

# What an office behind one address needs on the day on which everybody enrols.
STEPS_AN_HOUR: Final = 120
STEPS_A_DAY: Final = 600
_BRAKE: Final = "page_step_source"


async def take_step_turn(door: BrowserDoor, request: Request) -> None:
    """One more step of this source; where its hour or day is full, the page of 429, which says how long to wait."""
    source = brakes.asker(client_address(request, door.context.proxies), "")
    key = door.ring().mac(f"brake-{_BRAKE}", source.encode())
    taken = await door.storage.commit([brakes.take_turn(_BRAKE, key, to_ms(door.clock.now()), STEPS_AN_HOUR, STEPS_A_DAY)])
    wait_s = 60 if isinstance(taken, Refused) else int(str(taken.results[0]))
    if wait_s:
        raise HTTPException(429, headers={"retry-after": str(wait_s)})
