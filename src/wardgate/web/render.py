"""Templates to replies, and what every page knows."""

import secrets
from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from wardgate.audit.timeline import Trail
from wardgate.brand.looks import Look, Looks
from wardgate.clock import offset_of
from wardgate.texts import LANGUAGES, Text, catalogue, render, render_on_page
from wardgate.web import language as words
from wardgate.web.accepting import Form, form_for
from wardgate.web.access import client_address
from wardgate.web.assets import Assets
from wardgate.web.context import WebContext
from wardgate.web.templating import BRAND, environment
from wardgate.web.theme import theme_of_request
from wardgate.web.view import look_of, reason_text

_TEMPLATES = Path(__file__).with_name("templates")
# By which door somebody came to an error page.
_PEOPLE, _OPERATORS = "portal", "admin"
_ERRORS_WITH_A_PAGE = (400, 403, 404, 405, 410, 413, 421, 429, 431, 500, 503)
# What may work when the same page is opened once more.
_MAY_PASS = (429, 500, 503)
# Applications, languages, themes and brands together; each holds some kilobytes.
MAX_KEPT_PAGES = 512
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A page that was drawn, cut where its blanks are. In octets: one character beyond Latin makes encoding it dear."""

    look: Look | None
    pieces: Sequence[bytes]
    headers: Sequence[tuple[bytes, bytes]]


class Pages:
    """Renders pages. What they say comes from the catalogues; nothing that came from outside is ever marked safe."""

    def __init__(self, context: WebContext, assets: Assets, folders: Sequence[Path] = ()) -> None:
        """`folders`: where other rooms keep their templates."""
        self._folders = (_TEMPLATES, *folders)
        self._looks: Callable[[], Looks] | None = None
        self._context = context
        self._kept: dict[tuple[object, ...], _Kept] = {}
        self._same = {"asset": assets.url, "demo": context.demo, "language_names": words.names(), "look_of": look_of}

    def branded(self) -> "Pages":
        """The same for pages that people see: they bear the brand of the realm that the request is known to belong to."""
        others = copy(self)
        others._looks = self._context.looks
        others._kept = {}
        return others

    def page(self, request: Request, template: str, status: int = 200, *, posts: bool = False, **values: Any) -> HTMLResponse:
        """A whole page. `posts`: it carries a form, and browsers then tell us their origin only under a looser referrer policy."""
        language = words.language_of_request(request)
        html = (
            environment(language, self._folders)
            .get_template(template)
            .render(
                **self._speech(language, self._look(request), self._zone(request)),
                path=request.scope["path"],
                theme=theme_of_request(request),
                language_links=_language_links(request),
                asks_questions=getattr(request.state, "asks_questions", False),
                offers_apps=getattr(request.state, "offers_apps", False),
                frozen=_is_frozen(request),
                session_end=getattr(request.state, "session_end", None),
                **values,
            )
        )
        response = _reply(request, language, html, status)
        if posts:
            response.headers["referrer-policy"] = "same-origin"
        return response

    def passing(
        self, request: Request, template: str, same: Mapping[str, Hashable], blanks: Sequence[str], headers: Mapping[str, str]
    ) -> HTMLResponse:
        """A page that is left at once, which thousands pass through: it is drawn once, and then only its blanks are filled.

        It is one of a login. `same`: what it is told beside language, brand and theme. `blanks`: what is another one each time, in
        the order in which the template shows them (`blanks`), each once and as text. `headers`: what the reply bears beside the
        usual, as much the same. It leads to no other language, for the address that would speak it has been used up.
        """
        language, theme, look = words.language_of_request(request), theme_of_request(request), self._look(request)
        # By the very object: another version of the configuration has another look, and keeps nothing of this one's pages.
        of = (template, *same.values(), *headers.values(), len(blanks), language, theme, id(look))
        kept = self._kept.get(of)
        if kept is None or kept.look is not look:
            if len(self._kept) >= MAX_KEPT_PAGES:
                self._kept.clear()
            pieces = self._drawn(template, same, len(blanks), language, theme, look)
            kept = self._kept[of] = _Kept(look, pieces, Headers({**_spoken(language), **headers}).raw)
        filled = [kept.pieces[0]]
        for value, piece in zip(blanks, kept.pieces[1:], strict=True):
            filled += ((value if isinstance(value, Markup) else escape(value)).encode(), piece)
        response = HTMLResponse(b"".join(filled))
        response.raw_headers += kept.headers
        return _remembering(request, language, response)

    def _drawn(
        self, template: str, same: Mapping[str, Hashable], blanks: int, language: str, theme: str, look: Look | None
    ) -> Sequence[bytes]:
        # Nobody who chose a word of the page knows the mark, so that it stands where the blanks are and nowhere else.
        mark = secrets.token_hex(16)
        page = environment(language, self._folders).get_template(template)
        speech = self._speech(language, look)
        whole = page.render(**speech, path="", theme=theme, language_links=(), blanks=[mark] * blanks, **same)
        return [piece.encode() for piece in whole.split(mark)]

    def fragment(self, language: str, template: str, macro: str, *arguments: object) -> str:
        """What a macro makes of `arguments`: one row for a page that is open already."""
        module = environment(language, self._folders).get_template(template).make_module(self._speech(language))
        rendered: str = getattr(module, macro)(*arguments)
        return rendered

    def error(
        self, request: Request, status: int, text: str | None = None, wait_s: int = 60, reference: str | None = None
    ) -> Response:
        """The page of an error: what happened and what to do, the same for everybody. `text`: the id of a closer word.

        `wait_s`: where it is a brake that holds, for how long. `reference`: where one was given already, to the log. A program
        that asks for no page gets the same as JSON or as a line of text.
        """
        text_id = text or (f"page.error_{status}" if status in _ERRORS_WITH_A_PAGE else "page.error_other")
        known, wait_min = catalogue(words.language_of_request(request)), -(-wait_s // 60)
        closer = f"{text_id}_person" if self._looks is not None and f"{text_id}_person" in known else f"{text_id}_what"
        told = self.recorded(request, status, reference)
        form = form_for(request.headers.get("accept", ""))
        if form is not Form.PAGE:
            return _short(request, status, text_id, Text(closer, {"min": wait_min}), told, form)
        again = _this_page(request) if status in _MAY_PASS and request.method == "GET" else ""
        about: dict[str, Any] = {"text_id": text_id, "closer": closer, "error_status": status, "wait_min": wait_min, "again": again}
        return self.page(request, "error.html", status, **about, reference=told)

    def recorded(self, request: Request, status: int, reference: str | None = None) -> str:
        """What whoever sees an error page tells the help desk, where it is found in the live log.

        The address is not kept: a link that works once is part of it.
        """
        trail = Trail(self._context.clock, _PEOPLE if self._looks is not None else _OPERATORS)
        trail.reference = reference or trail.reference
        trail.source = trail.client = client_address(request, self._context.proxies)
        trail.result, trail.reason = "page", f"page_{status}"
        trail.note("an error page was shown", status=status, method=request.method)
        self._context.recorder.page(trail)
        return trail.reference

    def _zone(self, request: Request) -> tzinfo:
        """In which zone times stand before script puts the browser's in their place; operators' pages are in UTC."""
        return self._context.zone_of(realm_of(request)) if self._looks is not None else UTC

    def _look(self, request: Request) -> Look | None:
        return self._looks().of(realm_of(request)) if self._looks is not None else None

    def _speech(self, language: str, brand: Look | None = None, zone: tzinfo = UTC) -> dict[str, object]:
        translate = partial(_translate, language)
        return {
            **self._same,
            "language": language,
            "brand": brand,
            "t": partial(_by_its_own_name, translate, brand.name) if brand is not None and brand.name else translate,
            "say": lambda text: render_on_page(text, language),
            "known_text": catalogue(language).__contains__,
            "number": _in(language, words.number),
            "duration": _in(language, words.duration),
            "round_duration": _in(language, words.round_duration),
            "in_zone": lambda at: at.astimezone(zone),
            "offset_of": offset_of,
            "zone": zone_words(zone, self._context.clock.now()),
            "reason_text": _in(language, reason_text),
        }


def _this_page(request: Request) -> str:
    """The address of this page with its query, on this server: a path of two slashes would lead to another."""
    return "/" + request.url.path.lstrip("/") + (f"?{request.url.query}" if request.url.query else "")


def _short(request: Request, status: int, text_id: str, closer: Text, reference: str, form: Form) -> Response:
    """An error for a program, and for whoever reads what it was told."""
    language = words.language_of_request(request)
    title, what = render(Text(text_id), language), render(closer, language)
    response: Response = (
        JSONResponse({"status": status, "title": title, "detail": what, "reference": reference}, status)
        if form is Form.JSON
        else PlainTextResponse(f"{title}. {what} {render(Text('sign.reference'), language)} {reference}\n", status)
    )
    response.headers.update({"content-language": language, "vary": "accept, accept-language, cookie"})
    return response


def zone_words(zone: tzinfo, now: datetime) -> str:
    """A zone by its name and by how far it is from UTC now."""
    name, offset = str(zone), offset_of(now.astimezone(zone))
    return offset if name == offset else f"{name} ({offset})"


def _translate(language: str, text_id: str, /, **values: str | int) -> str:
    return render_on_page(Text(text_id, values), language)


def _by_its_own_name(translate: Callable[..., str], name: str, text_id: str, /, **values: str | int) -> str:
    """Where a page names us, it names the brand."""
    return name if text_id == BRAND else translate(text_id, **values)


def belongs_to(request: Request, realm: str) -> None:
    """Have the pages that answer this request bear the brand of a realm: that of the session, once it is known."""
    request.state.realm = realm


def asks_questions(request: Request) -> None:
    """Have the pages that answer this request lead to the person's challenge questions."""
    request.state.asks_questions = True


def offers_apps(request: Request) -> None:
    """Have the pages that answer this request lead to the launchpad."""
    request.state.offers_apps = True


def tell_of_freeze(request: Request) -> None:
    """Have the pages of the account that answer this request say that it is frozen."""
    request.state.frozen = True


def tell_of_end(request: Request, left_s: int, csrf: str) -> None:
    """Have the pages of the account that answer this request warn before the session ends. `csrf`: of the form to stay by."""
    request.state.session_end = {"left_s": left_s, "csrf": csrf}


def _is_frozen(request: Request) -> bool:
    return bool(getattr(request.state, "frozen", False))


def realm_of(request: Request) -> str:
    """The realm that the request is known to belong to; empty before anybody signed in."""
    # From the state's own dictionary: the state raises for what was not noted.
    realm: str = request.scope.get("state", _NOTHING).get("realm", "")
    return realm


def _reply(request: Request, language: str, html: str, status: int) -> HTMLResponse:
    return _remembering(request, language, HTMLResponse(html, status_code=status, headers=_spoken(language)))


def _spoken(language: str) -> dict[str, str]:
    return {"content-language": language, "vary": "accept-language, cookie"}


def _remembering(request: Request, language: str, response: HTMLResponse) -> HTMLResponse:
    """A language that was just chosen is chosen for what follows."""
    if words.chosen(request):
        words.remember_language(response, language)
    return response


def _in(language: str, function: Callable[..., str]) -> Callable[..., str]:
    return lambda *arguments: function(*arguments, language)


def _language_links(request: Request) -> list[tuple[str, str]]:
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return [(language, "?" + urlencode([*others, ("lang", language)])) for language in LANGUAGES]
