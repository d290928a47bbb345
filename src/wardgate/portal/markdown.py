"""The little of Markdown that our help pages are written in, as values for a template: nothing here makes HTML.

One title, headings of the second level, paragraphs, lists, numbered lists; in them bold words and links to pages of ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from wardgate.errors import SettingsError

Form = Literal["text", "strong", "link"]
Kind = Literal["heading", "paragraph", "list", "steps"]
_INLINE: Final = re.compile(r"\*\*(?P<strong>[^*]+)\*\*|\[(?P<words>[^\]]+)\]\((?P<address>[^)\s]+)\)")
_ITEM: Final = re.compile(r"(?:-|(?P<number>\d+)\.) +(?P<text>.+)")
# A page of ours by its path, or another help page by its file.
_OWN: Final = re.compile(r"/[a-z0-9/-]*")
_PAGE: Final = re.compile(r"(?P<topic>[a-z-]+)\.md")


@dataclass(frozen=True, slots=True)
class Span:
    """A run of words: as they are, bold, or a link."""

    form: Form
    words: str
    address: str = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A heading or paragraph (one line), or a list (a line for each entry)."""

    kind: Kind
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page."""

    title: str
    blocks: tuple[Block, ...]


def parse(text: str) -> Page:
    """The page in this text. Raises SettingsError for what the little language does not know."""
    title, *paragraphs = [each for each in re.split(r"\n\s*\n", text.strip()) if each.strip()]
    if not title.startswith("# ") or "\n" in title:
        raise SettingsError("a help page begins with one line: # and its title")
    return Page(title[2:].strip(), tuple(_block(each) for each in paragraphs))


def _block(text: str) -> Block:
    if text.startswith("## ") and "\n" not in text:
        return Block("heading", (_line(text[3:]),))
    if text.startswith("#"):
        raise SettingsError(f"not a heading of a help page: {text[:40]!r}")
    items = [_ITEM.fullmatch(line) for line in text.splitlines()]
    if items[0] is None:
        return Block("paragraph", (_line(" ".join(text.split())),))
    lines = tuple(_line(item["text"]) for item in items if item is not None)
    if len(lines) != len(items):
        raise SettingsError(f"each entry of a list stands on a line of its own: {text[:40]!r}")
    return Block("steps" if items[0]["number"] else "list", lines)


def _line(text: str) -> Line:
    return tuple(_spans(text.strip()))


def _spans(text: str) -> Iterator[Span]:
    at = 0
    for found in _INLINE.finditer(text):
        if found.start() > at:
            yield Span("text", text[at : found.start()])
        yield Span("strong", found["strong"]) if found["strong"] else Span("link", found["words"], _address(found["address"]))
        at = found.end()
    if at < len(text):
        yield Span("text", text[at:])


def _address(target: str) -> str:
    page = _PAGE.fullmatch(target)
    if page is not None:
        return f"/help/{page['topic']}"
    if not _OWN.fullmatch(target) or "//" in target:
        raise SettingsError(f"a help page links to our own pages only, not to {target[:60]!r}")
    return target
