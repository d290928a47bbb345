"""What happened in a person's account, in plain words, and "this was not me" beside what may have been somebody else.

Everything is told as the audit trail has it, of this person alone. An address of a network that is not the one he sits in now is
shown in part: a list that somebody reads over his shoulder, or in a stolen session, must not tell where he usually is.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.account.mail_link import LIFE_MS
from wardgate.audit.events import Kind
from wardgate.audit.own_events import OwnEvents, events_at, own_events, place_of, stored
from wardgate.audit.search import payload_of
from wardgate.clock import from_ms, to_ms
from wardgate.engine.self_service.disputing import Disputed
from wardgate.engine.self_service.undoing import Undoing
from wardgate.engine.wording import Whom
from wardgate.pages.browser import browser_of, drop_cookie, form_of, is_ours, new_browser
from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.portal.gate import Gate, Present
from wardgate.storage.port import Row
from wardgate.texts import Text
from wardgate.web.paths import NUMBER

PAGE: Final = "/account/activity"
LAST: Final = 3
# Of an event of so long ago, as a link in a message lives, it is said without a proof that this is the person.
UNASKED_MS: Final = LIFE_MS
_FORM: Final = "activity"
_DONE, _OPEN, _REFUSED, _PROTECTED = "done", "open", "refused", "protected"
# Each kind of event that a person is told of: what it is called, and what came of it.
_SIGN_INS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.LOGIN_GRANTED: ("login_granted", _DONE),
    Kind.LOGIN_CHALLENGED: ("login_open", _OPEN),
    Kind.LOGIN_ACTION_REQUIRED: ("login_open", _OPEN),
}
# Told where nothing else beside it says so: that a new password or a hold ended them stands there already.
_ENDINGS: Final[Mapping[Kind, tuple[str, str]]] = {Kind.SESSION_ENDED: ("session_ended", _DONE)}
_ENDED_BY: Final = frozenset(("signed_out", "ended_by_person", "application", "account", "too_many"))
_REFUSALS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.LOGIN_DENIED: ("login_denied", _REFUSED),
    Kind.LOGIN_ANSWER_WRONG: ("answer_wrong", _REFUSED),
    Kind.BRAKE_LOCKED: ("brake_locked", _PROTECTED),
    Kind.PASSWORD_REFUSED: ("password_refused", _REFUSED),
    Kind.SELF_SERVICE_BEGUN: ("recovery_open", _OPEN),
    Kind.SELF_SERVICE_STEP: ("recovery_open", _OPEN),
}
_CHANGES: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.SELF_SERVICE_DONE: ("recovery_done", _DONE),
    Kind.PASSWORD_SET: ("password_set", _DONE),
    Kind.AUTHENTICATOR_ADDED: ("authenticator_added", _DONE),
    Kind.AUTHENTICATOR_REVOKED: ("authenticator_revoked", _DONE),
    Kind.AUTHENTICATOR_RENAMED: ("authenticator_renamed", _DONE),
    Kind.AUTHENTICATOR_RELEASED: ("authenticator_released", _DONE),
    Kind.QUESTIONS_SET: ("questions_set", _DONE),
    Kind.QUESTIONS_CLEARED: ("questions_cleared", _DONE),
    Kind.DEVICE_TRUSTED: ("device_trusted", _DONE),
    Kind.DEVICE_RENAMED: ("device_renamed", _DONE),
    Kind.CONTACT_ADDED: ("contact_added", _DONE),
    Kind.CONTACT_REMOVED: ("contact_removed", _DONE),
    Kind.CONTACT_PREFERRED: ("contact_preferred", _DONE),
    Kind.CONTACT_WRITTEN: ("contact_written", _DONE),
    Kind.USER_CHANGED: ("user_changed", _DONE),
}
# What protects him is no doing that he could dispute.
_PROTECTIONS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.QUESTIONS_CLOSED: ("questions_closed", _PROTECTED),
    Kind.DEVICE_FORGOTTEN: ("device_forgotten", _PROTECTED),
    Kind.CONTACT_UNDONE: ("contact_undone", _PROTECTED),
    Kind.ACCOUNT_FROZEN: ("frozen", _PROTECTED),
    Kind.ACCOUNT_UNFROZEN: ("unfrozen", _DONE),
}
_ALL: Final = {**_SIGN_INS, **_ENDINGS, **_REFUSALS, **_CHANGES, **_PROTECTIONS}
FILTERS: Final[Mapping[str, frozenset[str]]] = {
    "all": stored([*_ALL]),
    "sign_ins": stored([*_SIGN_INS, *_ENDINGS]),
    "changes": stored([*_CHANGES, *_PROTECTIONS]),
    "refused": stored([*_REFUSALS]),
}
# The overview has room for a few: how sessions ended is on the page of its own.
_LATELY: Final = FILTERS["all"] - stored([*_ENDINGS])
_WORDS: Final = {kind.stored: words for kind, words in _ALL.items()}
_DISPUTABLE: Final = stored([*_SIGN_INS, *_CHANGES, Kind.SELF_SERVICE_BEGUN, Kind.SELF_SERVICE_STEP])
_ENDED: Final = stored([*_ENDINGS])
_ICONS: Final = {_DONE: "granted", _OPEN: "challenged", _REFUSED: "denied", _PROTECTED: "gate"}
# How much of an address of another network is shown.
_SHOWN_BITS: Final = {4: 16, 6: 32}
_NETWORK_BITS: Final = {4: 24, 6: 48}


class ActivityPages:
    """The pages under `/account/activity`."""

    def __init__(self, door: BrowserDoor, gate: Gate, undoing: Undoing) -> None:
        self._door = door
        self._gate = gate
        self._undoing = undoing

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(PAGE, self.listed, methods=["GET"]),
            Route(f"{PAGE}/{{at:{NUMBER}}}", self.ask, methods=["GET"]),
            Route(f"{PAGE}/{{at:{NUMBER}}}", self.dispute, methods=["POST"]),
        ]

    async def listed(self, request: Request) -> Response:
        """What happened, a page of it. An address that names no place shows the newest."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        shown = request.query_params.get("show", "all")
        shown = shown if shown in FILTERS else "all"
        place = place_of(request.query_params.get("before", ""))
        now_ms = to_ms(self._door.clock.now())
        found = await own_events(self._door.storage, present.session.whose.subject_id, FILTERS[shown], now_ms, place)
        kept = {"show": shown} if shown != "all" else {}
        values = {
            "rows": self.rows(present, found),
            "shown": shown,
            "filters": list(FILTERS),
            "older": f"{PAGE}?{urlencode({**kept, 'before': str(found.older)})}" if found.older is not None else "",
            "newest": f"{PAGE}?{urlencode(kept)}" if place is not None else "",
        }
        return self._page(request, present, "activity.html", 200, values)

    async def last(self, present: Present) -> list[dict[str, Any]]:
        """The newest few, for the overview."""
        subject_id, now_ms = present.session.whose.subject_id, to_ms(self._door.clock.now())
        return self.rows(present, await own_events(self._door.storage, subject_id, _LATELY, now_ms, most=LAST))

    # --- "this was not me" -----------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """What the button does, in words. Changes nothing."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        return await self._ask(request, present)

    async def dispute(self, request: Request) -> Response:
        """Freeze the account. Nothing more is asked for that: stopping is always allowed.

        Except where the event is longer ago than a link in a message could say: all that was set up since goes with it, and whoever
        sits at somebody's open browser must not throw away the factors of months.
        """
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        browser, form = browser_of(request), await form_of(request)
        row = await self._disputable(request, present)
        if not is_ours(request, browser, self._door.ring(), form, _FORM, self._door.context.origin):
            return await self._ask(request, present, Text("form.old"), 422)
        at_ms = int(row["created_at"] or 0)
        if at_ms < to_ms(self._door.clock.now()) - UNASKED_MS and not self._gate.is_fresh(present):
            return self._gate.to_confirm(f"{PAGE}/{at_ms}")
        trail, whose = self._door.trail(request), present.session.whose
        whom = Whom(whose.subject_id, present.user.name, self._door.portal(), "", trail.reference, whose.language, whose.realm)
        disputed = Disputed(at_ms, str(row["reference"] or ""))
        done = await self._undoing.dispute(whom, present.user, disputed, trail)
        self._door.recorder.publish(trail)
        if not done:
            return await self._ask(request, present, Text("down.ours", {"ref": trail.reference}), 503)
        response = RedirectResponse("/sign-in?why=frozen", status_code=303)
        drop_cookie(response, SESSION_COOKIE)
        new_browser().keep(response)
        return response

    async def _ask(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        row = await self._disputable(request, present)
        [shown] = self.rows(present, OwnEvents((row,), {}, None))
        return self._page(request, present, "not_me.html", status, {"row": shown, "error": error})

    async def _disputable(self, request: Request, present: Present) -> Row:
        at_ms = int(request.path_params["at"])
        oldest = to_ms(self._door.clock.now()) - 90 * 86_400_000
        rows = []
        if oldest <= at_ms <= to_ms(self._door.clock.now()):
            rows = await events_at(self._door.storage, present.session.whose.subject_id, at_ms)
        row = next((each for each in rows if each["kind"] in _DISPUTABLE), None)
        if row is None:
            raise HTTPException(404)
        return row

    # --- rows ------------------------------------------------------------------------------------------------------

    def rows(self, present: Present, found: OwnEvents) -> list[dict[str, Any]]:
        """Events as their page tells them."""
        told = [row for row in found.rows if row["kind"] not in _ENDED or row["payload"] is None or _ended_by(row)]
        return [self._row(present, row, found.sessions.get(str(row["reference"]))) for row in told]

    def _row(self, present: Present, row: Row, session: Row | None) -> dict[str, Any]:
        told = payload_of(str(row["payload"] or ""))
        began = payload_of(str(session["payload"] or "")) if session is not None else {}
        words, result = _WORDS[str(row["kind"])]
        words = f"session_{by}" if row["kind"] in _ENDED and (by := _ended_by(row)) else words
        address = _text(told, "client") or _text(told, "source")
        at_ms = int(row["created_at"] or 0)
        return {
            "what": f"activity.{words}",
            "at": from_ms(at_ms),
            "at_ms": at_ms,
            "erased": row["payload"] is None,
            "detail": _detail(told),
            "factors": _factors(told),
            "where": _shown_address(address, present.session.address),
            "country": self._country(address),
            "device": _text(began, "device") or _text(told, "nas"),
            "application": self._title(_text(told, "application")),
            "result": f"activity.result_{result}",
            "icon": _ICONS[result],
            "tone": result,
            "reference": str(row["reference"] or ""),
            "disputable": row["kind"] in _DISPUTABLE,
        }

    def _country(self, address: str) -> str:
        """Of the operator's file, where there is one."""
        assessor = self._door.configuration().risk
        return assessor.country_of(address) if assessor is not None and _parsed(address) is not None else ""

    def _title(self, name: str) -> str:
        application = self._door.configuration().applications.get(name)
        return application.title if application is not None else name

    def _page(self, request: Request, present: Present, template: str, status: int, values: Mapping[str, object]) -> Response:
        browser = browser_of(request)
        csrf = browser.csrf(self._door.ring(), _FORM)
        response = self._door.pages.page(
            request, template, status, posts=True, csrf=csrf, session=present.session, user=present.user, **values
        )
        browser.keep(response)
        return response


def _ended_by(row: Row) -> str:
    """By what a session ended, where it is told; else nothing."""
    why = _text(payload_of(str(row["payload"] or "")), "why")
    return why if why in _ENDED_BY else ""


def _detail(told: Mapping[str, Any]) -> str:
    """What it was about, as the trail has it: masked there already, or a person's own name for it."""
    return _text(told, "value") or _text(told, "back")


def _factors(told: Mapping[str, Any]) -> list[str]:
    found = told.get("factors") or told.get("proofs")
    if isinstance(found, list):
        return [each for each in found if isinstance(each, str)]
    kind = _text(told, "kind") or _text(told, "factor")
    return [kind] if kind else []


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value if isinstance(value, str) else ""


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _shown_address(address: str, here: str) -> str:
    """Whole where it is of the network that the person sits in, else its beginning. What is no address is not shown."""
    found, own = _parsed(address), _parsed(here)
    if found is None:
        return ""
    if own is not None and own.version == found.version:
        bits = _NETWORK_BITS[own.version]
        if found in ipaddress.ip_network(f"{own}/{bits}", strict=False):
            return str(found)
    shown = str(ipaddress.ip_network(f"{found}/{_SHOWN_BITS[found.version]}", strict=False).network_address)
    return f"{'.'.join(shown.split('.')[:2])}.•••" if found.version == 4 else f"{shown.removesuffix('::')}:•••"
