"""Whole replies that no handler makes: to what cannot be parsed, and where a worker has more to do than it takes.

Of the first nothing is known, so every language is in it. Nothing of them is recorded, so they bear no reference.
"""

from functools import lru_cache
from html import escape
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from wardgate.texts import LANGUAGES, catalogue
from wardgate.web.language import language_of_request, wished

_HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "connection": "close",
}
_BUSY = ("page.busy", "page.busy_what")
# Connections end within seconds.
_BUSY_AGAIN_S = "5"


@lru_cache(maxsize=4)
def early_reply(status: int) -> bytes:
    """Head and body. `status`: one that has a page."""
    body = _page(f"page.error_{status}", f"page.error_{status}_what", LANGUAGES)
    headers = [f"{name}: {value}" for name, value in {**_HEADERS, "content-length": len(body)}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *headers, "", ""]).encode("ascii") + body


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of a worker that takes no more: 503, in the reader's language where the request names one."""
    request = Request(scope)
    knows = wished(request) or "accept-language" in request.headers
    body = _page(*_BUSY, (language_of_request(request),) if knows else LANGUAGES)
    headers = {**_HEADERS, "content-length": str(len(body)), "retry-after": _BUSY_AGAIN_S, "vary": "accept-language, cookie"}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": HTTPStatus.SERVICE_UNAVAILABLE.value, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


@lru_cache(maxsize=16)
def _page(title_id: str, words_id: str, languages: tuple[str, ...]) -> bytes:
    title = escape(catalogue(languages[0])[title_id])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    said = "".join(_said(language, title_id, words_id) for language in languages)
    return f'<!doctype html><html lang="{languages[0]}"><head>{head}</head><body>{said}</body></html>'.encode()


def _said(language: str, title_id: str, words_id: str) -> str:
    said = catalogue(language)
    words = f"<h1>{escape(said[title_id])}</h1><p>{escape(said[words_id])}</p>"
    return f'<div lang="{language}" dir="{said["page.direction"]}">{words}</div>'
