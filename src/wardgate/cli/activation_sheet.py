"""Start codes as a page to print: one sheet for each person, black on white, in his language.

The file is complete in itself: no picture, font or script of anywhere is asked for when a browser opens it.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from wardgate.texts import Text, language_of, render

_STYLE: Final = """
:root { color-scheme: light; }
body { margin: 0; background: #ffffff; color: #000000; font: 12pt/1.5 system-ui, sans-serif; }
.sheet { box-sizing: border-box; max-width: 180mm; margin: 0 auto; padding: 20mm 10mm; overflow-wrap: anywhere; }
.sheet + .sheet { border-block-start: 1px dashed #000000; }
h1 { font-size: 18pt; line-height: 1.25; margin: 0 0 8mm; }
dl { display: grid; gap: 4mm; margin: 0 0 8mm; }
dt { font-size: 10pt; }
dd { margin: 0; font-weight: 600; }
.code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 18pt; letter-spacing: 0.08em; }
@page { margin: 10mm; }
@media print {
  .sheet { padding: 10mm; break-after: page; break-inside: avoid; }
  .sheet:last-child { break-after: auto; }
  .sheet + .sheet { border: 0; }
}
"""


def html_sheets(issued: Sequence[Mapping[str, Any]]) -> str:
    """All of them, a page of paper for each."""
    first = str(issued[0]["language"]) if issued else "en"
    title = _say("heading", first, brand=str(issued[0]["brand"])) if issued else ""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
    sheets = "\n".join(_sheet(each) for each in issued)
    return f'<!doctype html>\n<html lang="{first}">\n<head>{head}</head>\n<body>\n<main>\n{sheets}\n</main>\n</body>\n</html>\n'


def _sheet(told: Mapping[str, Any]) -> str:
    language = language_of(str(told["language"]))
    rows = (
        ("for", _shown(told["display_name"] or told["user"])),
        ("address", f"<code>{_shown(told['address'])}</code>"),
        ("name", f"<bdi>{_shown(told['login_name'])}</bdi>"),
        ("code", f'<span class="code" dir="ltr">{_shown(told["code"])}</span>'),
    )
    facts = "".join(f"<div><dt>{_say(label, language)}</dt><dd>{value}</dd></div>" for label, value in rows)
    heading = _say("heading", language, brand=str(told["brand"]))
    said = _say("until", language, day=str(told["code_until"])[:10], issued=str(told["issued_at"])[:10])
    body = f"<h1>{heading}</h1><dl>{facts}</dl><p>{said}</p><p>{_say('secret', language)}</p>"
    return f'<section class="sheet" lang="{language}">{body}</section>'


def _say(word: str, language: str, **values: str) -> str:
    return escape(render(Text(f"activate.sheet_{word}", values), language))


def _shown(value: object) -> str:
    return escape(str(value))
