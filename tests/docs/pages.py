"""Reads the repository's Markdown pages: fenced blocks with the mark before them, headings, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[a-z]*)\s*")
_MARK = re.compile(r"\s*<!-- (?P<mark>.+?) -->\s*")
_HEADING = re.compile(r"#{1,6} +(?P<title>.+?) *")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`[^`]*`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `mark`: the comment on the line before it, such as `file: src/x.py`, or empty."""

    page: str
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    """Every fenced block of a page."""
    return tuple(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    before, opened, kept = "", None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if fence is None:
            if opened is None:
                before = line if line.strip() else before
            else:
                kept.append(line)
        elif opened is None:
            mark = _MARK.fullmatch(before)
            opened = (number, fence["language"], mark["mark"] if mark else "", len(fence["indent"]))
        else:
            start, language, found, indent = opened
            yield Block(name_of(page), start, language, found, "".join(f"{each[indent:]}\n" for each in kept))
            before, opened, kept = "", None, []
    assert opened is None, f"{name_of(page)}: the block that begins in line {opened} has no end"


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in these languages."""
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


def prose(page: Path, keep_code: bool = False) -> Iterator[tuple[int, str]]:
    """The lines outside fenced blocks with their numbers, without `code` unless it is wanted."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if _FENCE.fullmatch(line):
            inside = not inside
        elif not inside:
            yield number, line if keep_code else _CODE.sub("", line)


def prose_code() -> Iterator[str]:
    """Every `code` in the sentences of all hand-written pages."""
    for page in PAGES:
        if "reference" not in page.parts:
            for _, line in prose(page, keep_code=True):
                yield from (code.strip("`") for code in _CODE.findall(line))


def links(page: Path) -> list[tuple[int, str]]:
    """Line and target of every link and picture."""
    return [(number, link["target"]) for number, line in prose(page) for link in _LINK.finditer(line)]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a link to a heading of this page may name."""
    found, inside = set(), False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.fullmatch(line):
            inside = not inside
        elif not inside and (heading := _HEADING.fullmatch(line)):
            words = re.sub(r"[^\w\- ]", "", heading["title"].lower())
            found.add(words.replace(" ", "-"))
    return frozenset(found)
