"""Pages that store a row before anything came of them take turns: of one source, or of one person, only so many.

So neither reloading nor sending a form again fills a table.
"""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request

from wardgate.account.subject import SubjectId
from wardgate.clock import to_ms
from wardgate.engine import brakes, turns
from wardgate.pages.door import BrowserDoor
from wardgate.storage.port import Refused

# What an office behind one address needs on the day on which everybody enrols.
STEPS_AN_HOUR: Final = 120
STEPS_A_DAY: Final = 600
# What one person needs who types everything wrong before he types it right.
OWN_STEPS_AN_HOUR: Final = 60
OWN_STEPS_A_DAY: Final = 240
_BRAKE: Final = "page_step_source"
_OWN_BRAKE: Final = "page_step_person"


async def take_step_turn(door: BrowserDoor, request: Request) -> None:
    """One more step of this source; where its hour or day is full, the page of 429, which says how long to wait."""
    source = brakes.asker(door.address(request), "")
    await _take(door, _BRAKE, source, STEPS_AN_HOUR, STEPS_A_DAY)


async def take_own_turn(door: BrowserDoor, subject_id: SubjectId) -> None:
    """One more step of somebody who is signed in; the same where his hour or day is full."""
    await _take(door, _OWN_BRAKE, subject_id, OWN_STEPS_AN_HOUR, OWN_STEPS_A_DAY)


async def _take(door: BrowserDoor, brake: str, whose: str, an_hour: int, a_day: int) -> None:
    key = door.ring().mac(f"brake-{brake}", whose.encode())
    taken = await door.storage.commit([turns.take_turn(brake, key, to_ms(door.clock.now()), an_hour, a_day)])
    wait_s = 60 if isinstance(taken, Refused) else int(str(taken.results[0]))
    if wait_s:
        raise HTTPException(429, headers={"retry-after": str(wait_s)})
