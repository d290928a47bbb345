"""Whether pages are light or dark: as the system is, or as the person chose for this browser."""

from starlette.requests import Request
from starlette.responses import Response

THEME_COOKIE = "__Host-wg_theme"
THEME_LIFE_S = 365 * 24 * 3600
SYSTEM = "system"
THEMES = (SYSTEM, "light", "dark")


def theme_of_request(request: Request) -> str:
    """What was chosen; anything else counts as the system's."""
    wanted = request.cookies.get(THEME_COOKIE, SYSTEM)
    return wanted if wanted in THEMES else SYSTEM


def remember_theme(response: Response, theme: str) -> None:
    """Keep the choice in this browser, or forget it where it is the system's."""
    if theme == SYSTEM:
        response.delete_cookie(THEME_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    elif theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, max_age=THEME_LIFE_S, path="/", secure=True, httponly=True, samesite="lax")
