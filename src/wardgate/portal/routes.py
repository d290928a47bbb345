"""Puts the portal's pages together, for the listeners that have this door."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from wardgate.engine.engine import Engine
from wardgate.engine.runtime import EngineParts
from wardgate.engine.self_service.activating import Activating
from wardgate.engine.self_service.contacts import OwnContacts
from wardgate.engine.self_service.engine import SelfService
from wardgate.engine.self_service.names import UserNames
from wardgate.engine.self_service.own_questions import OwnQuestions
from wardgate.engine.self_service.undoing import Undoing
from wardgate.pages.door import BrowserDoor
from wardgate.pages.joined import Joining
from wardgate.pages.sign_in import SignInPages
from wardgate.portal.account import AccountPages
from wardgate.portal.activation import ActivationPages
from wardgate.portal.activity import ActivityPages
from wardgate.portal.approve import ApprovePages
from wardgate.portal.apps import AppPages
from wardgate.portal.contacts import ContactPages
from wardgate.portal.devices import DevicePages
from wardgate.portal.enrolment import EnrolmentPages
from wardgate.portal.gate import Gate
from wardgate.portal.help import HelpPages
from wardgate.portal.links import LinkPages
from wardgate.portal.names import NamePages
from wardgate.portal.passkeys import PasskeyPages
from wardgate.portal.password import PasswordPages
from wardgate.portal.preferences import PreferencePages
from wardgate.portal.questions import QuestionPages
from wardgate.portal.recovery import RecoveryPages
from wardgate.portal.renaming import RenamingPages
from wardgate.portal.staying import StayingPages
from wardgate.portal.tokens import TokenPages
from wardgate.portal.well_known import well_known_routes
from wardgate.session.sessions import Sessions
from wardgate.web.access import require_known_host
from wardgate.web.app import MorePages
from wardgate.web.branding import BrandFiles
from wardgate.web.context import WebContext
from wardgate.web.render import Pages

FOLDERS: Final = (Path(__file__).with_name("templates"), Path(__file__).parents[1] / "pages" / "templates")


def portal_pages(parts: EngineParts, joining: Joining | None = None) -> MorePages:
    """Everything behind the door `portal`, and the door that is joined to it."""

    def routes(context: WebContext, pages: Pages) -> Sequence[BaseRoute]:
        # Links in messages lead to the address that is configured for these pages.
        own = replace(parts, public_url=context.origin)
        sessions = Sessions(context.storage, context.ring, context.clock)
        door = BrowserDoor(
            context=context,
            pages=pages,
            engine=Engine(own),
            configuration=parts.configuration,
            sessions=sessions,
            parts=own,
        )
        joined = joining.make(door) if joining is not None else None
        if joined is not None:
            door = replace(door, purposes=joined.purposes, has_applications=joined.has_tiles)
        gate, undoing = Gate(door), Undoing(own)
        activity = ActivityPages(door, gate, undoing)

        async def start(request: Request) -> Response:
            require_known_host(request, context.hosts)
            return RedirectResponse("/apps" if door.has_applications() else "/account", status_code=303)

        sign_in, service = SignInPages(door), SelfService(own)
        recovery = RecoveryPages(door, service, sign_in.go_on_waiting)
        routes: list[BaseRoute] = [
            *sign_in.routes(),
            *recovery.routes(),
            *ActivationPages(door, Activating(own, service), recovery).routes(),
            *activity.routes(),
            *AccountPages(door, gate, activity, joined).routes(),
            *EnrolmentPages(door, gate).routes(),
            *TokenPages(door, gate).routes(),
            *RenamingPages(door, gate).routes(),
            *PasswordPages(door, gate).routes(),
            *DevicePages(door, gate).routes(),
            *PreferencePages(door, gate).routes(),
            *StayingPages(door, gate).routes(),
            *ContactPages(door, gate, OwnContacts(own)).routes(),
            *ApprovePages(door).routes(),
            *QuestionPages(door, gate, OwnQuestions(own)).routes(),
            *LinkPages(door, undoing).routes(),
            *NamePages(door, UserNames(own)).routes(),
            *PasskeyPages(door, gate).routes(),
            *HelpPages(door).routes(),
            *((*joined.routes(sign_in), *AppPages(door, gate, joined).routes()) if joined is not None else ()),
            *BrandFiles(context).routes(),
            Route("/", start),
        ]
        return [*routes, *well_known_routes(context, routes)]

    if joining is None:
        return MorePages("portal", routes, FOLDERS)
    return MorePages("portal", routes, (*FOLDERS, *joining.folders), joining.larger)
