"""What waits at `/saml/continue/{id}` for a sign-in, as the pages of signing in need to know it."""

from typing import Final
from urllib.parse import quote, unquote

from wardgate.federation.contexts import Wanted
from wardgate.federation.door import CONTINUE_PATH, START_PATH, FederationDoor
from wardgate.federation.relying_party import RelyingParty
from wardgate.federation.stored_requests import SIGN_IN, StoredRequests, Waiting
from wardgate.pages.purpose import Purpose

_PREFIX: Final = f"{CONTINUE_PATH}/"
_STARTS: Final = f"{START_PATH}/"


class WaitingRequests:
    """The requests of applications, as purposes of a sign-in."""

    def __init__(self, door: FederationDoor, requests: StoredRequests) -> None:
        self._door = door
        self._requests = requests

    async def of(self, browser: bytes, then: str) -> Purpose | None:
        """What waits there for this browser; None where nothing does, or nothing any more."""
        if then.startswith(_STARTS):
            return self._to_start(unquote(then.removeprefix(_STARTS)))
        if not then.startswith(_PREFIX):
            return None
        waiting = await self._requests.find(browser, then.removeprefix(_PREFIX))
        if waiting is None or waiting.used or not waiting.bound or waiting.asked.kind != SIGN_IN:
            return None
        party = self._door.party(waiting.asked.party)
        return purpose_of(party, waiting) if party is not None else None

    def _to_start(self, name: str) -> Purpose | None:
        """An application that we begin for. Its policy counts, and nothing on the page tells whether there is one of this name."""
        party = self._door.party(name)
        if party is None or not party.unsolicited:
            return None
        return Purpose(party.name, self._door.browser.own_purpose().title)

    async def follow(self, old: bytes, new: bytes) -> None:
        """A browser goes on under a new id."""
        await self._requests.follow(old, new)


def start_place(name: str) -> str:
    """The address at which we begin for an application of this name."""
    return _STARTS + quote(name, safe="")


def purpose_of(party: RelyingParty, waiting: Waiting) -> Purpose:
    """What a sign-in for this request is for."""
    asked = waiting.asked
    wanted = Wanted(asked.contexts, asked.comparison)
    return Purpose(party.name, party.title, asked.fresh, wanted.asked, _PREFIX + waiting.id, waiting.id, party.title_in)
