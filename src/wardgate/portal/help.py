"""Help for people, one page for each journey, in the language of the page. Open to everybody."""

from functools import cache
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wardgate.pages.door import SESSION_COOKIE, BrowserDoor
from wardgate.portal.markdown import Page, parse
from wardgate.texts import LANGUAGES
from wardgate.web.access import require_known_host
from wardgate.web.language import language_of_request, speaks
from wardgate.web.render import belongs_to

# In the order in which people need them. Each is a file in every language.
TOPICS: Final = (
    "first-visit",
    "sign-in",
    "computer-sign-in",
    "another-way",
    "forgot-password",
    "unlock",
    "forgot-user-name",
    "account",
    "vpn",
    "passkeys",
    "add-app",
    "add-token",
    "recovery-codes",
    "contacts",
    "questions",
    "sessions",
    "applications",
    "not-me",
)
_FOLDER: Final = Path(__file__).with_name("help_pages")


@cache
def help_pages(language: str) -> dict[str, Page]:
    """All pages of a language, by topic, read once."""
    return {topic: parse((_FOLDER / language / f"{topic}.md").read_text(encoding="utf-8")) for topic in TOPICS}


class HelpPages:
    """The pages under `/help`."""

    def __init__(self, door: BrowserDoor) -> None:
        self._door = door
        for language in LANGUAGES:  # now, not when somebody needs help
            help_pages(language)

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/help", self.listed, methods=["GET"]),
            Route("/help/{topic}", self.shown, methods=["GET"]),
        ]

    async def listed(self, request: Request) -> Response:
        """What there is, and where a person helps."""
        await self._look(request)
        pages = help_pages(language_of_request(request))
        topics = [(f"/help/{topic}", page.title) for topic, page in pages.items()]
        return self._door.pages.page(request, "help.html", topics=topics)

    async def shown(self, request: Request) -> Response:
        """One page."""
        await self._look(request)
        page = help_pages(language_of_request(request)).get(request.path_params["topic"])
        if page is None:
            raise HTTPException(404)
        return self._door.pages.page(request, "help_page.html", page=page)

    async def _look(self, request: Request) -> None:
        require_known_host(request, self._door.context.hosts)
        bearer = request.cookies.get(SESSION_COOKIE, "")
        session = await self._door.sessions.find(bearer) if bearer else None
        if session is not None:
            belongs_to(request, session.whose.realm)
            speaks(request, session.whose.language)
