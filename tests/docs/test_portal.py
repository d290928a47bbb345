"""The portal's pages for operators say what the code does: settings, colours, needs, addresses."""

import re
import tomllib
from dataclasses import fields

import pytest
from starlette.routing import Route

from tests.docs.pages import ROOT, Block, all_blocks, links
from tests.flows.portal_world import PortalWorld
from wardgate.brand.settings import BrandSettings, faults
from wardgate.engine.runtime import EngineParts
from wardgate.policy.needs import NEEDS, WEIGHTS
from wardgate.portal.help import TOPICS
from wardgate.portal.routes import portal_pages
from wardgate.session.sessions import DEFAULT_IDLE_S, DEFAULT_LIFE_S
from wardgate.settings import parse_settings
from wardgate.texts import LANGUAGES
from wardgate.web.app import build_web_app
from wardgate.web.paths import each_route

FOLDER = ROOT / "docs" / "portal"
OPERATORS = FOLDER / "README.md"
BRANDING = FOLDER / "branding.md"
HELP = ROOT / "src" / "wardgate" / "portal" / "help_pages"


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_an_example_of_the_start_settings_is_one(block: Block) -> None:
    parse_settings(tomllib.loads(block.text))


def test_the_refusal_of_a_colour_reads_as_the_page_shows_it() -> None:
    [(_, told)] = faults(BrandSettings(hue="#ffd400"))
    assert f"brand.hue: {told}" in [block.text.strip() for block in all_blocks("text") if block.page == "docs/portal/branding.md"]


def test_every_setting_of_the_brand_is_on_its_page() -> None:
    text = BRANDING.read_text(encoding="utf-8")
    assert [each.name for each in fields(BrandSettings) if not re.search(rf"\b{each.name}\b", text)] == []


def test_the_needs_on_the_page_are_the_defaults() -> None:
    assert (NEEDS["reset"].proofs, NEEDS["reset"].weight) == (2, 3)
    assert (NEEDS["unlock"].proofs, NEEDS["unlock"].weight, NEEDS["unlock"].strongest) == (1, 2, 2)
    told = {"passkey": 4, "totp": 2, "hotp": 2, "recovery_code": 2, "sms": 2, "email": 1}
    assert {kind: WEIGHTS[kind] for kind in told} == told


def test_the_life_of_a_session_is_what_the_page_says() -> None:
    text = OPERATORS.read_text(encoding="utf-8")
    assert f"lasts {DEFAULT_LIFE_S // 3600} hours, and ends after {DEFAULT_IDLE_S // 60} minutes" in text


def test_every_address_of_the_table_is_there() -> None:
    world = PortalWorld()
    parts = EngineParts(world.storage, world.clock, lambda: world.ring, world.configuration)
    app = build_web_app(world.context(), ("portal",), [portal_pages(parts)])
    there = {each.path for each in each_route(app.routes) if isinstance(each, Route)}
    rows = [line.split("|")[1] for line in OPERATORS.read_text(encoding="utf-8").splitlines() if line.startswith("| `/")]
    named = [path for row in rows for path in re.findall(r"`(/[^`]+)`", row)]
    assert len(named) >= 10
    assert [path for path in named if path not in there] == []


def test_every_help_page_is_linked_and_there_in_every_language() -> None:
    linked = {target.rpartition("/")[2].removesuffix(".md") for _, target in links(OPERATORS) if "/help_pages/en/" in target}
    assert linked == set(TOPICS)
    for language in LANGUAGES:
        assert {each.stem for each in (HELP / language).glob("*.md")} == set(TOPICS)
