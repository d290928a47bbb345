"""Every preset has a page, and the page says what the preset says."""

import pytest

from tests.docs.pages import ROOT
from wardgate.federation.presets import PRESETS
from wardgate.federation.presets.preset import Preset

PAGES = ROOT / "docs" / "federation" / "presets"


def flowing(text: str) -> str:
    """Without the line ends of the page."""
    return " ".join(text.split())


def test_there_are_no_pages_without_a_preset() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == {preset.name for preset in PRESETS}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_has_a_page_that_says_the_same(preset: Preset) -> None:
    page = flowing((PAGES / f"{preset.name}.md").read_text(encoding="utf-8"))
    for said in (*preset.there, preset.own_login, *preset.needs.values()):
        assert flowing(said) in page
    assert all(f"claim `{name}`" in page for name in preset.claims)
    assert f"| signed | {preset.sign} |" in page
    assert f"| name | {preset.name_id.format}" in page
    assert ("Read in the vendor's documents, not run." in page) == bool(preset.source)
    assert preset.source in page


def test_the_page_about_relying_parties_leads_to_every_preset() -> None:
    page = (PAGES.parent / "relying-parties.md").read_text(encoding="utf-8")
    for preset in PRESETS:
        assert f"| `{preset.name}` |" in page
        assert f"presets/{preset.name}.md" in page
