"""The first page: in the demo what to try next, under `serve` only that Wardgate runs."""

import base64
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlencode

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wardgate.web.access import require_known_host, require_local
from wardgate.web.context import DemoFactor, DemoUser, WebContext
from wardgate.web.render import Pages

ISSUER = "Wardgate demo"
_APP_KINDS = ("totp", "hotp")


@dataclass(frozen=True, slots=True)
class AppKey:
    """An authenticator app's key in the forms that an app takes: a picture, a link, groups of four to type."""

    user: str
    uri: str
    groups: str
    picture: Markup


class StartPage:
    """Answers `/`."""

    def __init__(self, context: WebContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/", self.page)]

    async def page(self, request: Request) -> Response:
        """The page."""
        guide = self._context.guide
        if guide is None:
            require_known_host(request, self._context.hosts)
            return self._pages.page(request, "running.html")
        require_local(request)
        keys = {user.name: key for user in guide.users if (key := app_key(user))}
        return self._pages.page(request, "start.html", guide=guide, keys=keys)


@lru_cache(maxsize=100)
def app_key(user: DemoUser) -> AppKey | None:
    """The key of the user's first app or device, or None when there is none."""
    factor = next((each for each in user.factors if each.kind in _APP_KINDS and each.secret), None)
    if factor is None:
        return None
    secret = base64.b32encode(factor.secret).decode().rstrip("=")
    uri = f"otpauth://{factor.kind}/{quote(f'{ISSUER}:{user.name}')}?{urlencode(_parameters(factor, secret), quote_via=quote)}"
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    # No inline style and no fixed size: the style sheet rules both. Dark on white in every scheme, or cameras fail.
    drawing = segno.make(uri, error="m", micro=False).svg_inline(border=4, omitsize=True, light="white", dark="black")
    return AppKey(user.name, uri, groups, Markup(drawing))  # noqa: S704 - drawn here, from modules


def _parameters(factor: DemoFactor, secret: str) -> dict[str, str | int]:
    moving = {"period": factor.period_s} if factor.kind == "totp" else {"counter": 0}
    return {"secret": secret, "issuer": ISSUER, "digits": factor.digits, **moving}
