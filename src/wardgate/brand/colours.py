"""Colours from one hue: derived in OKLCH, written as sRGB, and held to the contrasts of WCAG 2.2.

In light the operator's colour is used as it is, because it is his; in dark it keeps hue and chroma and becomes lighter. A colour
that cannot be read on our light grounds is refused, and the nearest one that can is named: the same hue, darker.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

TEXT_CONTRAST: Final = 4.5
BORDER_CONTRAST: Final = 3.0
# What the derived colour of dark pages aims at: lighter than it needs, as our own is.
_DARK_AIM: Final = 6.0
# The grounds that stand under brand colours, as `page.css` has them; a test compares.
LIGHT_GROUNDS: Final = {"ground": "#f5f8fc", "surface": "#ffffff", "surface-2": "#f3f5f9"}
DARK_GROUNDS: Final = {"ground": "#0c1118", "surface": "#141a23", "surface-2": "#1d232e"}
ON_BRAND: Final = ("#ffffff", "#0c1118")
_HEX: Final = re.compile(r"#[0-9a-fA-F]{6}")
_STEPS: Final = 256

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Lch:
    """A colour in OKLCH: lightness 0 to 1, chroma from 0, hue in radians."""

    lightness: float
    chroma: float
    hue: float


@dataclass(frozen=True, slots=True)
class Palette:
    """The brand's colours, each for light and for dark pages."""

    brand: tuple[str, str]
    on_brand: tuple[str, str]
    focus: tuple[str, str]

    def stylesheet(self) -> str:
        """The rules that put them in the place of ours."""
        pairs = (("brand", self.brand), ("on-brand", self.on_brand), ("focus", self.focus))
        return ":root{" + "".join(f"--{name}:light-dark({light},{dark});" for name, (light, dark) in pairs) + "}\n"


@dataclass(frozen=True, slots=True)
class Contrast:
    """One pair that people have to tell apart, its contrast, and the least that it needs."""

    what: str
    ratio: float
    least: float

    @property
    def enough(self) -> bool:
        """Whether it has it."""
        return self.ratio >= self.least


def is_colour(text: str) -> bool:
    """Whether this is a colour as `#1b56ca`."""
    return _HEX.fullmatch(text) is not None


def palette_of(hue: str) -> Palette:
    """The colours that are derived from one. It must be a colour; whether they can be read is told by `contrasts`."""
    light, dark = hue.lower(), _lighter(_lch(_rgb(hue)))
    return Palette((light, dark), ON_BRAND, (light, dark))


def contrasts(palette: Palette) -> Iterator[Contrast]:
    """Every pair that has to hold: text and buttons in the brand's colour, borders and the ring of the focus."""
    for number, (scheme, grounds) in enumerate((("light", LIGHT_GROUNDS), ("dark", DARK_GROUNDS))):
        brand, focus = palette.brand[number], palette.focus[number]
        yield Contrast(f"text on a button, {scheme}", contrast(palette.on_brand[number], brand), TEXT_CONTRAST)
        for name, ground in grounds.items():
            yield Contrast(f"links on {name}, {scheme}", contrast(brand, ground), TEXT_CONTRAST)
            yield Contrast(f"borders on {name}, {scheme}", contrast(brand, ground), BORDER_CONTRAST)
            yield Contrast(f"focus on {name}, {scheme}", contrast(focus, ground), BORDER_CONTRAST)


def unreadable(hue: str) -> Contrast | None:
    """The worst pair of this colour that misses its contrast; None when all hold."""
    missed = [each for each in contrasts(palette_of(hue)) if not each.enough]
    return min(missed, key=lambda each: each.ratio / each.least) if missed else None


def nearest_readable(hue: str) -> str:
    """The colour itself when it can be read, else the lightest of the same hue that can."""
    if unreadable(hue) is None:
        return hue.lower()
    wanted = _lch(_rgb(hue))
    for step in range(_STEPS + 1):
        darker = _hex(Lch(wanted.lightness * (1 - step / _STEPS), wanted.chroma, wanted.hue))
        if unreadable(darker) is None:
            return darker
    return "#000000"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.2, definition of contrast ratio)."""
    lighter, darker = sorted((_luminance(_rgb(one)), _luminance(_rgb(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _lighter(colour: Lch) -> str:
    """The same hue, light enough for dark pages."""
    for step in range(_STEPS + 1):
        tried = _hex(Lch(colour.lightness + (1 - colour.lightness) * step / _STEPS, colour.chroma, colour.hue))
        if min(contrast(tried, ground) for ground in DARK_GROUNDS.values()) >= _DARK_AIM:
            return tried
    return "#ffffff"


# --- colour spaces: https://www.w3.org/TR/css-color-4/, sections 10 and 18 ----------------------------------------------


def _rgb(text: str) -> Rgb:
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> float:
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _luminance(colour: Rgb) -> float:
    red, green, blue = map(_linear, colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _lch(colour: Rgb) -> Lch:
    red, green, blue = map(_linear, colour)
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    return Lch(lightness, math.hypot(a, b), math.atan2(b, a))


def _linear_rgb(colour: Lch) -> Rgb:
    a, b = colour.chroma * math.cos(colour.hue), colour.chroma * math.sin(colour.hue)
    long = (colour.lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (colour.lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (colour.lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _hex(colour: Lch) -> str:
    """As sRGB. What a screen cannot show loses chroma, never hue or lightness."""
    lightness, least, most = min(1.0, max(0.0, colour.lightness)), 0.0, colour.chroma
    found = Lch(lightness, most, colour.hue)
    if not _shown(found):
        for _ in range(24):
            middle = (least + most) / 2
            least, most = (middle, most) if _shown(Lch(lightness, middle, colour.hue)) else (least, middle)
        found = Lch(lightness, least, colour.hue)
    return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, value)))):02x}" for value in _linear_rgb(found))


def _shown(colour: Lch) -> bool:
    return all(-1e-4 <= value <= 1 + 1e-4 for value in _linear_rgb(colour))
