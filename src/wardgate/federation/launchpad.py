"""The applications of a person, for the launchpad and for the list of his sessions."""

from collections.abc import Sequence

from starlette.requests import Request

from wardgate.engine.session_first import SessionRequest
from wardgate.federation.door import FederationDoor
from wardgate.federation.participants import Participants
from wardgate.federation.purposes import start_place
from wardgate.federation.relying_party import RelyingParty
from wardgate.pages.browser import Browser
from wardgate.pages.joined import Tile
from wardgate.session.sessions import Session
from wardgate.web.language import language_of_request


class Applications:
    """Who may open what is for policy to say: an application that is closed to somebody is not shown to him."""

    def __init__(self, door: FederationDoor, participants: Participants) -> None:
        self._door = door
        self._participants = participants

    def any(self) -> bool:
        """Whether there are any that a launchpad shows."""
        return any(_is_shown(party) for party in self._door.trust.parties().shown(self._door.now_ms()))

    async def tiles(self, request: Request, browser: Browser, session: Session) -> Sequence[Tile]:
        """Those that policy opens to this person, by their titles."""
        parties = [party for party in self._door.trust.parties().shown(self._door.now_ms()) if _is_shown(party)]
        own = self._door.browser
        asked = SessionRequest(own.portal(), session, own.origin(request, browser), own.trail(request))
        opened = await own.engine.opened_by(asked, [party.name for party in parties])
        language = language_of_request(request)
        tiles = [
            Tile(party.name, party.title_in(language), _address(party), party.launchpad.icon, opened[party.name])
            for party in parties
            if party.name in opened
        ]
        return sorted(tiles, key=lambda tile: (tile.title.casefold(), tile.name))

    async def reached(self, sessions: Sequence[Session], language: str) -> dict[str, list[str]]:
        """The titles of the applications that each session was used for."""
        found = await self._participants.of([session.id for session in sessions])
        return {
            session_id: [party.title_in(language) for each in several if (party := self._door.party(each.party)) is not None]
            for session_id, several in found.items()
        }


def _is_shown(party: RelyingParty) -> bool:
    return bool(party.launchpad.address) or party.unsolicited


def _address(party: RelyingParty) -> str:
    """Its own address where it begins by itself, else ours, which begins for it."""
    return party.launchpad.address or start_place(party.name)
