"""An SVG as a logo: read element by element, and written anew from an allow-list of shapes, gradients and their attributes.

An SVG is a document that can carry scripts, styles, links and pictures from elsewhere. What could do anything but be drawn is
refused by name, so that the operator learns of it; what editors leave behind and nobody sees is left out. Nothing of the file
itself is served, only what was written here.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from wardgate.errors import SettingsError

MAX_ELEMENTS: Final = 2_000
MAX_DEPTH: Final = 20
MAX_VALUE_CHARS: Final = 32_768
_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "http://www.w3.org/1999/xlink"
# What drawing programs write for themselves.
_EDITORS: Final = (
    "http://www.inkscape.org/",
    "http://sodipodi.sourceforge.net/",
    "http://ns.adobe.com/",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "http://creativecommons.org/ns#",
    "http://purl.org/dc/",
    "http://www.bohemiancoding.com/sketch/",
    "http://www.serif.com/",
)
_GRADIENTS: Final = ("linearGradient", "radialGradient")
_SHAPES: Final = ("path", "rect", "circle", "ellipse", "line", "polyline", "polygon")
_ALLOWED: Final = frozenset({"svg", "g", "defs", "stop", "clipPath", *_SHAPES, *_GRADIENTS})
_UNSEEN: Final = frozenset({"title", "desc", "metadata"})

_NUMBER: Final = r"[-+]?(?:\d{1,9}\.?\d{0,9}|\.\d{1,9})(?:[eE][-+]?\d{1,2})?"
_PAINT: Final = re.compile(
    r"[a-zA-Z]{3,24}|#[0-9a-fA-F]{3,8}|(?:rgb|rgba|hsl|hsla)\([\d.,%\s]{1,40}\)|url\(#[A-Za-z_][\w.-]{0,63}\)", re.ASCII
)
# By their signs only: a pattern of numbers one after the other could be made to try for ever.
_NUMBERS: Final = re.compile(r"(?:[-+.,%\d\seE]|px){1,400}", re.ASCII)
_WORD: Final = re.compile(r"[a-zA-Z-]{1,24}", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)
_LOCAL: Final = re.compile(r"url\(#[A-Za-z_][\w.-]{0,63}\)", re.ASCII)
_PATH: Final = re.compile(r"[MmZzLlHhVvCcSsQqTtAaEe0-9\s.,+-]*", re.ASCII)
_POINTS: Final = re.compile(r"[\d\s.,+eE-]*", re.ASCII)
_TRANSFORM: Final = re.compile(
    r"(?:\s*(?:matrix|translate|scale|rotate|skewX|skewY)\s*\([\d\s.,+eE-]{1,120}\)[\s,]*){1,8}", re.ASCII
)
_ATTRIBUTES: Final = {
    "id": _ID,
    "d": _PATH,
    "points": _POINTS,
    "transform": _TRANSFORM,
    "gradientTransform": _TRANSFORM,
    "clip-path": _LOCAL,
    **dict.fromkeys(("fill", "stroke", "stop-color", "color"), _PAINT),
    **dict.fromkeys(
        (
            "fill-rule",
            "clip-rule",
            "stroke-linecap",
            "stroke-linejoin",
            "gradientUnits",
            "spreadMethod",
            "clipPathUnits",
            "display",
        ),
        _WORD,
    ),
    **dict.fromkeys(
        (
            *("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy", "width", "height", "offset", "opacity"),
            *("fill-opacity", "stroke-opacity", "stop-opacity", "stroke-width", "stroke-miterlimit", "stroke-dasharray"),
            "stroke-dashoffset",
        ),
        _NUMBERS,
    ),
}
# By `style="..."` an attribute of drawing may be set, and nothing that says where or what something is.
_PROPERTIES: Final = frozenset(
    name for name, form in _ATTRIBUTES.items() if form in (_PAINT, _WORD, _LOCAL) or "-" in name or name == "opacity"
)
_SIZE: Final = re.compile(rf"({_NUMBER})(?:px)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Svg:
    """The drawing as it was written anew, and how large it says that it is."""

    content: bytes
    width: float
    height: float


def clean_svg(data: bytes) -> Svg:
    """The drawing in this file. Raises SettingsError that names the first thing that no logo may hold."""
    drawing = _Drawing()
    parser = expat.ParserCreate("utf-8", " ")
    parser.StartElementHandler = drawing.begin
    parser.EndElementHandler = drawing.end
    parser.StartDoctypeDeclHandler = drawing.document_type
    parser.EntityDeclHandler = drawing.entity
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise SettingsError(f"is no well-formed SVG (line {error.lineno})") from error
    return Svg("".join(drawing.written).encode("ascii"), drawing.width, drawing.height)


@dataclass(slots=True)
class _Drawing:
    """What was read so far. `dropped`: how deep we are in something that is left out."""

    written: list[str] = field(default_factory=list)
    width: float = 0.0
    height: float = 0.0
    depth: int = 0
    dropped: int = 0
    elements: int = 0

    def document_type(self, *_: object) -> None:
        raise SettingsError("holds a document type (<!DOCTYPE>), which may bring entities: save it without")

    def entity(self, *_: object) -> None:
        raise SettingsError("declares an entity")

    def begin(self, qualified: str, attributes: dict[str, str]) -> None:
        self.depth, self.elements = self.depth + 1, self.elements + 1
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS:
            raise SettingsError(f"holds more than {MAX_ELEMENTS} elements, or deeper than {MAX_DEPTH}")
        space, _, name = qualified.rpartition(" ")
        if self.dropped or space.startswith(_EDITORS) or (space == _SVG and name in _UNSEEN):
            self.dropped += 1
            return
        if space != _SVG or name not in _ALLOWED or (name == "svg") != (self.depth == 1):
            raise SettingsError(f"holds <{name[:40]}>, which no logo may: only shapes and gradients (turn text into paths)")
        kept = self._root(attributes) if name == "svg" else {}
        kept |= {key: value for key, value in _drawn(name, attributes).items() if name != "svg" or key not in _PLACED}
        told = "".join(f" {key}={quoteattr(value)}" for key, value in kept.items())
        self.written.append(f"<{name}{told}>")

    def end(self, qualified: str) -> None:
        self.depth -= 1
        if self.dropped:
            self.dropped -= 1
        else:
            self.written.append(f"</{qualified.rpartition(' ')[2]}>")

    def _root(self, attributes: dict[str, str]) -> dict[str, str]:
        box = [float(each) for each in re.findall(_NUMBER, attributes.get("viewBox", "")[:200])]
        if len(box) != 4:
            sides = [_SIZE.fullmatch(attributes.get(side, "").strip()) for side in ("width", "height")]
            box = [0.0, 0.0, *(float(each[1]) if each else 0.0 for each in sides)]
        if not all(map(math.isfinite, box)) or not (0 < box[2] < 1e6 and 0 < box[3] < 1e6):
            raise SettingsError("says no size: it needs a viewBox, or width and height in px")
        self.width, self.height = box[2], box[3]
        return {"xmlns": _SVG, "viewBox": " ".join(f"{each:g}" for each in box)}


_PLACED: Final = ("x", "y", "width", "height", "transform", "id")


def _drawn(element: str, attributes: dict[str, str]) -> dict[str, str]:
    """The attributes of an element that are allowed."""
    kept: dict[str, str] = {}
    for qualified, value in attributes.items():
        space, _, name = qualified.rpartition(" ")
        if name.lower().startswith("on"):
            raise SettingsError(f"holds the event attribute {name[:40]}")
        if len(value) > MAX_VALUE_CHARS:
            raise SettingsError(f"holds an attribute of more than {MAX_VALUE_CHARS} characters")
        if name.lower() in ("href", "src", "base") and not space.startswith(_EDITORS):
            kept |= _reference(element, space, name, value)
        elif name == "style" and not space:
            kept |= _styled(value)
        elif not space:
            kept |= _kept(name, value)
    return kept


def _reference(element: str, space: str, name: str, value: str) -> dict[str, str]:
    """A gradient may take its colours from another of the same drawing. Nothing else refers to anything."""
    local = value.startswith("#") and _ID.fullmatch(value[1:])
    if name != "href" or space not in ("", _XLINK) or element not in _GRADIENTS or not local:
        raise SettingsError(f"refers to something outside the drawing ({name[:40]})")
    return {"href": value}


def _styled(style: str) -> dict[str, str]:
    if "\\" in style or "@" in style or "/*" in style:
        raise SettingsError("holds a style that is more than properties with values")
    kept: dict[str, str] = {}
    for declaration in style.split(";"):
        name, _, value = declaration.partition(":")
        found = _kept(name.strip(), value.strip())
        kept |= {key: each for key, each in found.items() if key in _PROPERTIES}
    return kept


def _kept(name: str, value: str) -> dict[str, str]:
    """An attribute that is on the list with a value of its form; whatever else it is, it must not lead out of the drawing."""
    value = " ".join(value.split())
    if "url(" in value.replace(" ", "").lower() and not _LOCAL.fullmatch(value):
        raise SettingsError(f"refers to something outside the drawing ({name[:40]})")
    form = _ATTRIBUTES.get(name)
    return {name: value} if form is not None and form.fullmatch(value) else {}
