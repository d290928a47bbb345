"""What is compared of how a page looks: where each word and control stands, not its pixels.

A page is taken down once, on a desktop in the light scheme, and compared with that in every other view. Fonts and browsers may be
renewed without a reference picture to paint again: no picture is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

# Rounding of letters' widths.
NEAR_PX = 2.0

# Whatever shows words of its own or is a control. `line`: it stands within a line of text, whose other words it may touch.
_BOXES = """() => [...document.querySelectorAll("header *, main *, footer *, body > form *")].flatMap((e, at, all) => {
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  if (!e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || e.closest(".unseen, .skip, svg")) return [];
  const words = [...e.childNodes].filter(n => n.nodeType === Node.TEXT_NODE).map(n => n.data.trim()).filter(Boolean).join(" ");
  const control = e.matches("input:not([type=hidden]), select, textarea, button");
  if ((!words && !control) || box.width < 1 || box.height < 1) return [];
  const around = e.parentElement && all.indexOf(e.parentElement);
  return [{
    what: control ? `${e.tagName.toLowerCase()} ${e.name || words}` : words, line: style.display === "inline",
    x: box.left, y: box.top + window.scrollY, wide: box.width, high: box.height,
    inside: all.flatMap((other, number) => other !== e && other.contains(e) ? [number] : []), at,
    cut: e.scrollWidth > e.clientWidth + 1 && style.display !== "inline" && !control,
  }];
})"""


@dataclass(frozen=True, slots=True)
class Box:
    """Something that is seen on a page. `inside`: what it is a part of."""

    what: str
    line: bool
    x: float
    y: float
    wide: float
    high: float
    inside: frozenset[int]
    at: int
    cut: bool

    def covers(self, other: "Box") -> bool:
        """Whether the two lie upon each other, though neither is a part of the other."""
        if self.at in other.inside or other.at in self.inside:
            return False
        across = min(self.x + self.wide, other.x + other.wide) - max(self.x, other.x)
        down = min(self.y + self.high, other.y + other.high) - max(self.y, other.y)
        return across > NEAR_PX and down > NEAR_PX

    def is_at(self, x: float, other: "Box") -> bool:
        """Whether it is where and as large as the other is, `x` being the side from which it is measured."""
        near = ((x, other.x), (self.y, other.y), (self.wide, other.wide), (self.high, other.high))
        return all(abs(one - another) <= NEAR_PX for one, another in near)


def boxes(page: Page) -> list[Box]:
    """What is seen on the page that is open, in the order in which it is read."""
    found: list[dict[str, Any]] = page.evaluate(_BOXES)
    return [Box(**{**each, "inside": frozenset(each["inside"])}) for each in found]


def faults(found: Sequence[Box], width: int) -> list[str]:
    """What is cut, covered, or out of the page."""
    cut = [f"cut: {each.what}" for each in found if each.cut]
    out = [f"outside: {each.what}" for each in found if each.x < -NEAR_PX or each.x + each.wide > width + NEAR_PX]
    placed = [each for each in found if not each.line]
    covered = [
        f"upon each other: {one.what} | {other.what}"
        for number, one in enumerate(placed)
        for other in placed[number + 1 :]
        if one.covers(other)
    ]
    return cut + out + covered


def moved(found: Sequence[Box], reference: Sequence[Box]) -> list[str]:
    """What is not where it is in the reference."""
    pairs = zip(found, reference, strict=True)
    return [f"{one.what}: {one.x}, {one.y}" for one, other in pairs if one.what != other.what or not one.is_at(one.x, other)]


def unmirrored(found: Sequence[Box], reference: Sequence[Box], width: int) -> list[str]:
    """What does not stand on the line of the reference, in a page that is turned around."""
    if [each.what for each in found] != [each.what for each in reference]:
        return ["other words"]
    return [one.what for one, other in zip(found, reference, strict=True) if abs(one.y - other.y) > NEAR_PX]


def lost(found: Sequence[Box], reference: Sequence[Box]) -> list[str]:
    """What the reference shows and the page does not."""
    there = {each.what for each in found}
    return [each.what for each in reference if each.what not in there]
