"""What an operator may say about the brand, and what is wrong with it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

from wardgate.brand.colours import is_colour, nearest_readable, unreadable
from wardgate.texts import LANGUAGES

MAX_NAME_CHARS: Final = 60
MAX_HELP_CHARS: Final = 1_000
MAX_ADDRESS_CHARS: Final = 500
MAX_LINK_CHARS: Final = 60
MAX_LEGAL: Final = 6
_MAIL: Final = re.compile(r"[A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
_PHONE: Final = re.compile(r"\+[0-9](?:[ -]?[0-9]){5,18}")

Problem = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalLinkSettings:
    """A link at the foot of every page: imprint, privacy, terms."""

    address: str = field(metadata={"help": "where it leads: https://... or mailto:..."})
    text: Mapping[str, str] = field(metadata={"help": "its words by language, such as {en: Privacy, tr: Gizlilik}"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandSettings:
    """How the portal looks and what it says of whoever runs it. A realm's own `brand` replaces what it names and nothing else."""

    name: str = field(default="", metadata={"help": "what stands above every page and in its title; empty: Wardgate"})
    logo_file: str | None = field(
        default=None, metadata={"help": "SVG or PNG in place of the name, shown at most 200 x 48; an absolute path on the server"}
    )
    logo_dark_file: str | None = field(default=None, metadata={"help": "the logo for dark pages; default: the same"})
    hue: str | None = field(
        default=None,
        metadata={
            "help": "the one colour of buttons, links and focus, such as #1b56ca; all others are derived from it and checked"
        },
    )
    help_text: Mapping[str, str] = field(
        default_factory=dict, metadata={"help": "what the help page says of your help desk, by language; plain text"}
    )
    help_contact: str | None = field(
        default=None, metadata={"help": "where people ask for help: a mail address, a phone number with +, or https://..."}
    )
    legal: tuple[LegalLinkSettings, ...] = field(default=(), metadata={"help": "links at the foot of every page"})


def merged(general: BrandSettings, own: BrandSettings | None) -> BrandSettings:
    """The general brand with what a realm says of its own."""
    named = {each.name: value for each in fields(BrandSettings) if (value := getattr(own, each.name, None))}
    return replace(general, **_with_dark(named))


def _with_dark(named: dict[str, Any]) -> dict[str, Any]:
    """A realm with a logo of its own must not be shown with the dark one of another."""
    return {"logo_dark_file": None, **named} if "logo_file" in named else named


def faults(brand: BrandSettings) -> Iterator[Problem]:
    """What is wrong, each with where it stands below the brand. Files are looked at when the document is applied."""
    yield from _line(("name",), brand.name, MAX_NAME_CHARS)
    yield from _hue(brand.hue)
    for name in ("logo_file", "logo_dark_file"):
        path = getattr(brand, name)
        if path is not None and (not path.startswith("/") or "\0" in path or len(path) > MAX_ADDRESS_CHARS):
            yield (name,), "must be an absolute path: the server reads it, wherever it was started"
    yield from _by_language(("help_text",), brand.help_text, MAX_HELP_CHARS, lines=True)
    if brand.help_contact is not None and contact_address(brand.help_contact) is None:
        yield ("help_contact",), "must be a mail address, a phone number that begins with +, or an https address"
    if len(brand.legal) > MAX_LEGAL:
        yield ("legal",), f"holds {len(brand.legal)} links, more than {MAX_LEGAL}"
    for number, link in enumerate(brand.legal):
        if not is_address(link.address):
            yield ("legal", number, "address"), "must be https://... or mailto:... and nothing else"
        if not link.text:
            yield ("legal", number, "text"), f"must have words in at least one language: {', '.join(LANGUAGES)}"
        yield from _by_language(("legal", number, "text"), link.text, MAX_LINK_CHARS)


def contact_address(contact: str) -> str | None:
    """What a link to the help desk leads to; None when this is nothing that we would link to."""
    if len(contact) <= MAX_ADDRESS_CHARS and _MAIL.fullmatch(contact):
        return f"mailto:{contact}"
    if _PHONE.fullmatch(contact):
        return "tel:" + re.sub(r"[ -]", "", contact)
    return contact if contact.startswith("https://") and is_address(contact) else None


def is_address(text: str) -> bool:
    """Whether a page may link to it: https with a host and no user, or a mail address."""
    if len(text) > MAX_ADDRESS_CHARS or not text.isascii() or not text.isprintable() or any(each in text for each in " \"'<>\\`"):
        return False
    if text.startswith("mailto:"):
        return _MAIL.fullmatch(text.removeprefix("mailto:")) is not None
    try:
        url = urlsplit(text)
        return url.scheme == "https" and bool(url.hostname) and url.username is None and url.port != 0
    except ValueError:
        return False


def _hue(hue: str | None) -> Iterator[Problem]:
    if hue is None:
        return
    if not is_colour(hue):
        yield ("hue",), "must be a colour as #1b56ca: # and six hexadecimal digits"
    elif (missed := unreadable(hue)) is not None:
        told = f"{missed.what}: contrast {missed.ratio:.2f}, at least {missed.least:g} is needed"
        yield ("hue",), f"{hue.lower()} cannot be read ({told}); the nearest allowed value is {nearest_readable(hue)}"


def _by_language(at: tuple[str | int, ...], texts: Mapping[str, str], most: int, *, lines: bool = False) -> Iterator[Problem]:
    for language, text in texts.items():
        if language not in LANGUAGES:
            yield (*at, language), f"must be one of {', '.join(LANGUAGES)}"
        elif not text.strip():
            yield (*at, language), "must not be empty"
        else:
            yield from _line((*at, language), text.replace("\n", " ") if lines else text, most)


def _line(at: tuple[str | int, ...], text: str, most: int) -> Iterator[Problem]:
    """Printable characters: no control, and none that turns the direction of writing."""
    if len(text) > most or not text.isprintable():
        yield at, f"must be at most {most} printable characters"
