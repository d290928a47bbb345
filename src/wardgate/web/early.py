"""Whole replies to what cannot be parsed: no handler sees it, and nothing of it is known, so every language is in them."""

from functools import lru_cache
from html import escape
from http import HTTPStatus

from wardgate.texts import LANGUAGES, catalogue

_HEADERS = (
    "content-type: text/html; charset=utf-8",
    "cache-control: no-store",
    "content-security-policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy: no-referrer",
    "x-content-type-options: nosniff",
    "x-frame-options: DENY",
    "connection: close",
)


@lru_cache(maxsize=4)
def early_reply(status: int) -> bytes:
    """Head and body. `status`: one that has a page; there is no reference, because nothing is recorded of it."""
    said = [_said(language, f"page.error_{status}") for language in LANGUAGES]
    title = escape(catalogue(LANGUAGES[0])[f"page.error_{status}"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    body = f'<!doctype html><html lang="{LANGUAGES[0]}"><head>{head}</head><body>{"".join(said)}</body></html>'.encode()
    lines = (f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *_HEADERS, f"content-length: {len(body)}", "", "")
    return "\r\n".join(lines).encode("ascii") + body


def _said(language: str, text_id: str) -> str:
    said = catalogue(language)
    words = f"<h1>{escape(said[text_id])}</h1><p>{escape(said[text_id + '_what'])}</p>"
    return f'<div lang="{language}" dir="{said["page.direction"]}">{words}</div>'
