"""Colours from one hue: what they must reach, and what happens to one that cannot."""

import re
from pathlib import Path

import pytest

import wardgate.web
from wardgate.brand.colours import (
    BORDER_CONTRAST,
    DARK_GROUNDS,
    LIGHT_GROUNDS,
    ON_BRAND,
    TEXT_CONTRAST,
    contrast,
    contrasts,
    nearest_readable,
    palette_of,
    unreadable,
)

CSS = (Path(wardgate.web.__file__).parent / "static" / "page.css").read_text(encoding="utf-8")
WHEEL = [
    f"#{red:02x}{green:02x}{blue:02x}" for red in range(0, 256, 51) for green in range(0, 256, 51) for blue in range(0, 256, 51)
]


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#1b56ca", "#1b56ca") == 1


def test_grounds_are_those_of_the_style_sheet() -> None:
    tokens = {name: (light, dark) for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", CSS)}
    for name in ("ground", "surface", "surface-2"):
        assert (LIGHT_GROUNDS[name], DARK_GROUNDS[name]) == tokens[name]
    assert tokens["on-brand"] == ON_BRAND


@pytest.mark.parametrize("hue", WHEEL)
def test_every_hue_reaches_its_contrasts_or_names_one_that_does(hue: str) -> None:
    allowed = nearest_readable(hue)
    palette = palette_of(allowed)
    assert unreadable(allowed) is None
    assert (unreadable(hue) is None) == (allowed == hue)
    for number, grounds in enumerate((LIGHT_GROUNDS, DARK_GROUNDS)):
        for ground in grounds.values():
            assert contrast(palette.brand[number], ground) >= TEXT_CONTRAST
            assert contrast(palette.focus[number], ground) >= BORDER_CONTRAST
        assert contrast(palette.on_brand[number], palette.brand[number]) >= TEXT_CONTRAST


def test_yellow_is_refused_and_the_same_hue_darker_is_named() -> None:
    missed = unreadable("#ffd400")
    assert missed is not None
    assert missed.ratio < missed.least == TEXT_CONTRAST
    red, green, blue = (int(nearest_readable("#ffd400")[at : at + 2], 16) for at in (1, 3, 5))
    assert red > green > blue
    assert blue == 0
    # The lightest that can be read: a little lighter cannot.
    assert unreadable(f"#{red + 3:02x}{green + 3:02x}00") is not None


def test_every_pair_is_looked_at_in_both_schemes() -> None:
    told = {each.what for each in contrasts(palette_of("#1b56ca"))}
    assert len(told) == 20
    assert {each.rpartition(", ")[2] for each in told} == {"light", "dark"}


def test_the_style_sheet_holds_six_colours_and_nothing_else() -> None:
    colour = r"#[0-9a-f]{6}"
    rule = rf":root\{{(?:--(?:brand|on-brand|focus):light-dark\({colour},{colour}\);){{3}}\}}\n"
    assert re.fullmatch(rule, palette_of("#C2410C").stylesheet())
