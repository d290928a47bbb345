"""What people read, by id, in every language: one TOML catalogue per language beside this file.

Rooms pass a `Text` (an id and its values) and never a sentence; the door renders it in the person's language as the last
thing it does. Adding a language is one catalogue file and one word in `LANGUAGES`: what it
calls itself and in which direction it is written stand in the catalogue. Imports nothing of ours.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "tr")
DEFAULT_LANGUAGE = "en"
FOLDER = Path(__file__).parent
RIGHT_TO_LEFT = "rtl"
# What stands between these is set by its own direction and turns nothing around it (Unicode annex 9, FSI and PDI).
_ISOLATED = "\u2068{}\u2069"
_SET_APART = re.compile("\u2068[^\u2068\u2069]*\u2069")
_TURNING = frozenset(("R", "AL"))
# Letters that are written from the left, and digits, which always are.
_ONE_WAY = frozenset(("L", "EN", "AN"))


@dataclass(frozen=True, slots=True)
class Text:
    """A message to a person: catalogue id and the values for its places."""

    id: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Mapping[str, str]:
    """All sentences of one language, by id."""
    tables = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{room}.{name}": sentence for room, sentences in tables.items() for name, sentence in sentences.items()}


@lru_cache(maxsize=256)
def language_of(wanted: str | None) -> str:
    """The language that we have for a wish such as `tr-TR`; English when we have none."""
    short = (wanted or "").replace("_", "-").partition("-")[0].lower()
    return short if short in LANGUAGES else DEFAULT_LANGUAGE


def render(text: Text, language: str = DEFAULT_LANGUAGE) -> str:
    """The sentence in `language`. An id that a catalogue lacks is a programming error and raises KeyError.

    A language that speaks of one thing otherwise than of several has a second sentence for that, whose id ends in `_1`.
    """
    sentences = catalogue(language_of(language))
    if 1 in text.values.values() and (single := sentences.get(f"{text.id}_1")):
        return single.format_map(text.values)
    return sentences[text.id].format_map(text.values)


def render_on_page(text: Text, language: str) -> str:
    """The sentence where there is room for what to do next: that of the id with `_page`, where the catalogue has one.

    Sentences of one direction hold values of another there, a date in Hebrew or a Hebrew name in English: not isolated, the parts
    of a date, a telephone number or an address change places.
    """
    sentences = catalogue(language_of(language))
    turns = sentences["page.direction"] == RIGHT_TO_LEFT
    values = {name: _isolated(value, turns) if isinstance(value, str) else value for name, value in text.values.items()}
    return render(Text(longer if (longer := f"{text.id}_page") in sentences else text.id, values), language)


def render_in_message(text: Text, language: str) -> str:
    """The sentence in a mail or a text message, its values isolated as on a page (see `in_message`)."""
    return render(Text(text.id, values_in_message(text.values, language)), language)


def values_in_message(values: Mapping[str, str | int], language: str) -> dict[str, str | int]:
    """Values for a sentence of a mail or a text message."""
    return {name: in_message(value, language) if isinstance(value, str) else value for name, value in values.items()}


def in_message(value: str, language: str) -> str:
    """A value as it stands in a mail or a text message of this language, where it could turn what is around it.

    What is copied or touched stays as it is: a word of letters and digits, such as a code, turns nothing, and phones take a mark
    behind a link for a part of it. So do lines of their own. In a language that is written from the left only what is written from
    the right is marked, which is outside of the narrow alphabet already: no text message takes more parts for an alphabet.
    """
    if "\n" in value or (value.isascii() and (value.isalnum() or "://" in value)):
        return value
    turns = catalogue(language_of(language))["page.direction"] == RIGHT_TO_LEFT
    if turns and _ONE_WAY.isdisjoint(map(unicodedata.bidirectional, _SET_APART.sub("", value))):
        return value
    return _isolated(value, turns)


def _isolated(value: str, turns: bool) -> str:
    if turns or not (value.isascii() or _TURNING.isdisjoint(map(unicodedata.bidirectional, value))):
        return _ISOLATED.format(value)
    return value
