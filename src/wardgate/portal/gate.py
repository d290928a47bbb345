"""Lets a signed-in person in, with his account as it is now."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from wardgate.account import directory_contact
from wardgate.account.authenticator import active_and_held, kept_authenticators
from wardgate.account.contact import kept_contacts
from wardgate.account.freeze import asked
from wardgate.account.subject import SubjectId, account_named, accounts_in, accounts_of
from wardgate.clock import to_ms
from wardgate.directory.port import AccountState, DirectoryUser
from wardgate.engine.accounts import directory_of
from wardgate.engine.holders import holder_of
from wardgate.engine.self_service.start_code import KIND as ACTIVATED
from wardgate.engine.stepping_up import confirming_kinds, is_stepped_up, may_add
from wardgate.pages.browser import browser_of, drop_cookie
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.pages.site import site_of
from wardgate.pages.steps import LONGEST_MS
from wardgate.session.sessions import Session, end_all, left_ms
from wardgate.storage.port import Row
from wardgate.web.access import require_known_host
from wardgate.web.language import speaks
from wardgate.web.render import asks_questions, belongs_to, offers_apps, tell_of_end, tell_of_freeze

DIRECTORY_TIMEOUT_S: Final = 3.0
# How long a proof that it is him lets a person change what protects his account; it is not prolonged.
CONFIRMED_FOR_S: Final = 300
# An account that is switched off is out within this time, on every page of every worker.
ACCOUNT_FRESH_S: Final = 1.0
MAX_REMEMBERED: Final = 2000
# The purpose of the form by which somebody says that he is still there; it stands on every page of the account.
STAYING: Final = "staying"


@dataclass(frozen=True, slots=True)
class Present:
    """Who is signed in: the session, its bearer value, and the account as its directory tells it now.

    `confirms`: what he has that is strongest, of which he proves one before he changes what protects the account. What he has set
    up since his last proof is not among it: by that proof he may go on and make recovery codes. `client`: where he is.
    """

    session: Session
    bearer: str
    user: DirectoryUser
    confirms: tuple[str, ...] = ()
    client: str = ""


class Gate:
    """Asked by every page of the account."""

    def __init__(self, door: BrowserDoor) -> None:
        self._door = door
        self._known: OrderedDict[tuple[str, str, str], tuple[float, DirectoryUser | None]] = OrderedDict()

    async def enter(self, request: Request, *, to_leave: bool = False) -> Present | Response:
        """Who is signed in; or the way to the sign-in page, and back here afterwards. `to_leave`: only to sign out.

        Raises DirectoryUnavailable while the account cannot be looked at: nobody is let in on what was true yesterday.
        """
        require_known_host(request, self._door.context.hosts)
        bearer = request.cookies.get(SESSION_COOKIE, "")
        session = await self._door.sessions.find(bearer)
        if session is None:
            return self._to_sign_in(request, bearer, await self._door.sessions.why_ended(bearer))
        if session.application != self._door.portal() and not to_leave:
            # It was begun for another application, whose policy may ask for less than that of these pages.
            return RedirectResponse(f"/sign-in?then={quote(request.url.path)}", status_code=303)
        user = await self._account(session)
        if user is None or user.state is not AccountState.ACTIVE:
            await self._door.storage.commit([end_all(session.whose.subject_id)])
            return self._to_sign_in(request, bearer)
        belongs_to(request, session.whose.realm)
        left_s = -(-left_ms(session, to_ms(self._door.clock.now())) // 1000)
        tell_of_end(request, left_s, browser_of(request).csrf(self._door.ring(), STAYING))
        speaks(request, session.whose.language)
        if self._door.configuration().questioner is not None:
            asks_questions(request)
        if self._door.has_applications():
            offers_apps(request)
        subject_id = session.whose.subject_id
        told = directory_contact.asked(subject_id, user.directory)
        finds = [asked(subject_id), kept_authenticators(subject_id), kept_contacts(subject_id), told]
        frozen, rows, contacts, seen = await self._door.storage.read(finds)
        await self._note_contacts(subject_id, user, seen)
        if frozen:
            tell_of_freeze(request)
        proved_from = _proved_from(session)
        older = [row for row in rows if int(row["created_at"] or 0) < proved_from]
        reach = [row for row in contacts if int(row["verified_at"] or row["created_at"] or 0) < proved_from]
        holder = holder_of(self._door.ring(), subject_id, user, *active_and_held(older), reach)
        has_site = site_of(request, self._door.context) is not None
        confirms = confirming_kinds(holder, has_site, self._door.configuration(), self._door.parts.channel_down)
        return Present(session, bearer, user, confirms, self._door.address(request))

    async def _note_contacts(self, subject_id: SubjectId, user: DirectoryUser, seen: Sequence[Row]) -> None:
        """Remember which contacts the directory tells of who is signed in, where they are new."""
        directory = directory_of(self._door.configuration(), user.directory)
        if directory is not None:
            about = (self._door.ring(), subject_id, directory, user, seen, to_ms(self._door.clock.now()))
            noted = directory_contact.sighting(*about)
            if noted:
                await self._door.storage.commit(noted)

    def is_fresh(self, present: Present, *, adds: bool = False) -> bool:
        """Whether the person has proved in this session, a short while ago, that it is him. Asked by every POST that changes.

        By the strongest that he has: who signed in by less proves that first. `adds`: something new is set up and nothing that is
        there goes, for which a recovery code is enough.
        """
        session, now_ms = present.session, to_ms(self._door.clock.now())
        lately = [kind for kind, at_ms in session.proofs.items() if 0 <= now_ms - at_ms < CONFIRMED_FOR_S * 1000]
        enough = may_add if adds else is_stepped_up
        return 0 <= now_ms - session.confirmed_at < CONFIRMED_FOR_S * 1000 and enough(present.confirms, lately)

    async def is_frozen(self, present: Present) -> bool:
        """Whether the account is frozen, for what a page says: what refuses a change is a condition of the change itself."""
        [rows] = await self._door.storage.read([asked(present.session.whose.subject_id)])
        return bool(rows)

    def to_confirm(self, then: str) -> Response:
        """The way to prove it, and back here afterwards."""
        return RedirectResponse(f"/confirm?then={then}", status_code=303)

    async def _account(self, session: Session) -> DirectoryUser | None:
        # Of a person with several accounts, each session is one account's.
        whose, now = session.whose, self._door.clock.monotonic()
        account = whose.subject_id, whose.directory, whose.user_name
        at, known = self._known.get(account, (-ACCOUNT_FRESH_S, None))
        if now - at < ACCOUNT_FRESH_S:
            return known
        user = await self._asked(session)
        self._known[account] = (now, user)
        self._known.move_to_end(account)
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return user

    async def _asked(self, session: Session) -> DirectoryUser | None:
        """By the immutable id of the link: a new person with an old name has no session."""
        whose = session.whose
        [links] = await self._door.storage.read([accounts_of(whose.subject_id, whose.directory)])
        realms = self._door.configuration().realms
        directory = next((each for realm in realms for each in realm.directories if each.name == whose.directory), None)
        if directory is None:
            return None
        return await account_named(directory, accounts_in(links), whose.user_name, DIRECTORY_TIMEOUT_S)

    def _to_sign_in(self, request: Request, bearer: str, why: str = "ended") -> Response:
        why = f"&why={why}" if bearer else ""
        response = RedirectResponse(f"/sign-in?then={quote(request.url.path)}{why}", status_code=303)
        if bearer:
            drop_cookie(response, SESSION_COOKIE)
        return response


def _proved_from(session: Session) -> int:
    """What he has set up from then on is not asked for, as long as his last proof counts: that was made with it or before it.

    An activation is proved first, and then the login that it opens sets up an app, which shows its code, before there is a session.
    """
    first_visit = session.proofs.get(ACTIVATED) == session.confirmed_at
    return session.confirmed_at - LONGEST_MS if first_visit else session.confirmed_at
