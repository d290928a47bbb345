"""A sign-out on its way through the applications of a session: which are still to be told, and what became of each.

It is a row behind an address (`pages.steps`) of the browser that signed out. Our LogoutRequests bear ids that only we can make for
this sign-out and this application, so that an answer names its place by itself.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from wardgate.federation.answers import session_index
from wardgate.federation.door import FederationDoor
from wardgate.federation.participants import Participant
from wardgate.federation.relying_party import RelyingParty
from wardgate.federation.saml.consumers import logout_endpoint
from wardgate.federation.saml.values import NameId
from wardgate.federation.stored_requests import Asked, asked_of
from wardgate.jsons import dumps, loads
from wardgate.pages.steps import Step, Steps
from wardgate.session.sessions import Session
from wardgate.texts import Text, render

FLOW: Final = "sign-out"
# What became of an application: it said so; it said no; it was passed over; it has no address for this, or wants none.
DONE, FAILED, NO_ANSWER, CANNOT = "done", "failed", "no_answer", "cannot"
RESULTS: Final = (DONE, FAILED, NO_ANSWER, CANNOT)


@dataclass(frozen=True, slots=True)
class Left:
    """An application of the session that ended. `result`: empty while it is still to be told; `entity_id`: whose it was then."""

    participant: Participant
    title: str
    result: str = ""
    entity_id: str = ""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A sign-out. `asked`: by an application, which is answered at the end; None: by the person."""

    step: Step
    left: tuple[Left, ...]
    asked: Asked | None = None

    @property
    def next(self) -> Left | None:
        """The application that is told now."""
        return next((each for each in self.left if not each.result), None)

    @property
    def is_partial(self) -> bool:
        """Whether some may still be signed in."""
        return any(each.result != DONE for each in self.left)


class Leavings:
    """All of them."""

    def __init__(self, door: FederationDoor) -> None:
        self._door = door
        browser = door.browser
        self._steps = Steps(browser.storage, browser.ring, browser.clock)

    async def begin(
        self, browser: bytes, session: Session, participants: Sequence[Participant], asked: Asked | None = None
    ) -> Leaving:
        """Begin one, for the browser as it is from now on."""
        language = session.whose.language
        left = tuple(self._left(each, session, language) for each in participants)
        step = Step("", 0, "", "", "", language, "/signed-out", None, "closed", Text("flow.signed_out"), flow=FLOW)
        stored = await self._steps.begin(browser, step.changed(pending=_dumped(left, asked)))
        return Leaving(stored, left, asked)

    async def find(self, browser: bytes, leaving_id: str) -> Leaving | None:
        """The sign-out of this address, if it is this browser's."""
        step = await self._steps.find(browser, leaving_id)
        return _loaded(step) if step is not None and step.flow == FLOW else None

    async def note(self, browser: bytes, leaving: Leaving, party: str, result: str) -> None:
        """Note what became of an application. What another request noted first stands."""
        left = tuple(
            replace(each, result=result) if each.participant.party == party and not each.result else each for each in leaving.left
        )
        await self._steps.move(browser, leaving.step, leaving.step.changed(pending=_dumped(left, leaving.asked)))

    def message_id(self, leaving_id: str, party: str) -> str:
        """The id of the LogoutRequest to this application."""
        mac = self._door.browser.ring().mac("saml-logout-request", leaving_id.encode(), party.encode())
        return f"_{mac.hex()[:40]}"

    def _left(self, participant: Participant, session: Session, language: str) -> Left:
        party = self._door.party(participant.party)
        if party is None:
            return Left(participant, participant.party, CANNOT)
        if not is_known_to(self._door, session, party, participant):
            return Left(participant, render(Text("logout.unknown"), language), CANNOT)
        reachable = party.slo_wanted and logout_endpoint(party.metadata) is not None
        return Left(participant, party.title_in(language), "" if reachable else CANNOT, party.entity_id)


def is_known_to(door: FederationDoor, session: Session, party: RelyingParty, participant: Participant) -> bool:
    """Whether whoever bears the application's name now is who was told of the session.

    An operator may give the name to another relying party while sessions live: what the former one calls the person is none of its
    business. The index is made of the entity id, so that it tells the two apart.
    """
    return participant.index == session_index(door, session, party)


def _dumped(left: Sequence[Left], asked: Asked | None) -> str:
    return dumps({"left": [asdict(each) for each in left], "asked": asdict(asked) if asked is not None else None})


def _loaded(step: Step) -> Leaving:
    body = loads(step.pending)
    left = tuple(
        Left(
            Participant(each["participant"]["party"], NameId(**each["participant"]["name_id"]), each["participant"]["index"]),
            each["title"],
            each["result"],
            each["entity_id"],
        )
        for each in body["left"]
    )
    return Leaving(step, left, asked_of(body["asked"]) if body["asked"] is not None else None)
