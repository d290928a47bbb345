"""Language and look: what a person chooses for this browser. Messages that pages send follow the language of the page."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from wardgate.pages.browser import browser_of, form_of, is_ours
from wardgate.pages.door import BrowserDoor
from wardgate.portal.gate import Gate, Present
from wardgate.texts import LANGUAGES, Text
from wardgate.web.language import language_of_request, names, remember_language
from wardgate.web.theme import SYSTEM, THEMES, remember_theme, theme_of_request

ADDRESS: Final = "/account/preferences"
_FORM: Final = "preferences"


class PreferencePages:
    """The page of a person's preferences."""

    def __init__(self, door: BrowserDoor, gate: Gate) -> None:
        self._door = door
        self._gate = gate

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route(ADDRESS, self.ask, methods=["GET"]), Route(ADDRESS, self.choose, methods=["POST"])]

    async def ask(self, request: Request) -> Response:
        """What is chosen now."""
        present = await self._gate.enter(request)
        return present if isinstance(present, Response) else self._page(request, present)

    async def choose(self, request: Request) -> Response:
        """Remember the choice. Nothing of the account changes, so that no proof is asked for."""
        present = await self._gate.enter(request)
        if isinstance(present, Response):
            return present
        form = await form_of(request)
        if not is_ours(request, browser_of(request), self._door.ring(), form, _FORM, self._door.context.origin):
            return self._page(request, present, Text("form.old"), 422)
        language, theme = form.fields.get("language", ""), form.fields.get("theme", SYSTEM)
        if language not in LANGUAGES or theme not in THEMES:
            return self._page(request, present, Text("preferences.choose"), 422)
        response = RedirectResponse(ADDRESS, status_code=303)
        remember_language(response, language)
        remember_theme(response, theme)
        return response

    def _page(self, request: Request, present: Present, error: Text | None = None, status: int = 200) -> Response:
        browser = browser_of(request)
        response = self._door.pages.page(
            request,
            "preferences.html",
            status,
            posts=True,
            csrf=browser.csrf(self._door.ring(), _FORM),
            session=present.session,
            user=present.user,
            error=error,
            languages=list(names().items()),
            chosen_language=language_of_request(request),
            themes=THEMES,
            chosen_theme=theme_of_request(request),
        )
        browser.keep(response)
        return response
