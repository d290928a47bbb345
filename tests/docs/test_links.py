"""Every link inside the repository leads somewhere."""

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name_of, prose


def problems(page: Path) -> list[str]:
    found = []
    for line, target in links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            found.append(f"line {line}: {target}: there is no such file")
        elif not path.is_relative_to(ROOT):
            found.append(f"line {line}: {target}: leaves the repository")
        elif anchor and anchor not in anchors(path):
            found.append(f"line {line}: {target}: there is no such heading")
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert problems(page) == []


def targets(page: Path) -> list[Path]:
    """The files that a page links to."""
    names = [target.partition("#")[0] for _, target in links(page) if "://" not in target]
    found = [(page.parent / name).resolve() for name in names if name]
    return [path / "README.md" if path.is_dir() else path for path in found]


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            waiting += targets(page)
    assert [name_of(page) for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_code_in_a_sentence_is_broken_over_lines(page: Path) -> None:
    assert [number for number, line in prose(page, keep_code=True) if line.count("`") % 2] == []
