"""The brand on the portal's pages, and the help that every page leads to, as a browser without script gets them."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from tests.flows.portal_world import BrowserOfTests, PortalWorld
from tests.unit.brand.test_brand_settings import SVG
from wardgate.brand.looks import PLAIN, Looks, build_looks
from wardgate.brand.settings import BrandSettings, LegalLinkSettings
from wardgate.errors import SettingsError
from wardgate.portal.help import TOPICS, help_pages
from wardgate.portal.markdown import Block, Span, parse
from wardgate.texts import LANGUAGES
from wardgate.web.context import WebContext
from wardgate.web.headers import CONTENT_SECURITY_POLICY
from wardgate.web.theme import THEME_COOKIE


@dataclass
class BrandedWorld(PortalWorld):
    """A portal with looks."""

    looks: Looks = field(default=PLAIN)

    def context(self) -> WebContext:
        return replace(super().context(), looks=lambda: self.looks)


def acme(folder: Path) -> BrandSettings:
    (folder / "logo.svg").write_bytes(SVG)
    return BrandSettings(
        name="Acme <b>",
        hue="#c2410c",
        logo_file=str(folder / "logo.svg"),
        help_text={"en": "Room 12.\n<script>alert(1)</script>", "tr": "12 numaralı oda."},
        help_contact="help@acme.test",
        legal=(LegalLinkSettings(address="https://acme.test/privacy", text={"en": "Privacy", "tr": "Gizlilik"}),),
    )


async def test_sign_in_bears_the_brand_of_the_default_realm_from_our_own_origin(tmp_path: Path) -> None:
    world = BrandedWorld(looks=build_looks(acme(tmp_path), {"acme": None}, "acme"))
    async with world.browser() as browser:
        for address in ("/sign-in", "/forgot", "/unlock", "/help", "/help/sign-in", "/nowhere"):
            page = await browser.get(address)
            title = re.search(r"<title>(.*)</title>", page.text)
            assert title is not None
            assert title[1].endswith("Acme &lt;b&gt;")
            assert 'alt="Acme &lt;b&gt;" width="200" height="24"' in page.text
            assert '<a href="https://acme.test/privacy">Privacy</a>' in page.text
            assert "mailto:help@acme.test" in page.text
            loaded = re.findall(r'(?:src|srcset|rel="stylesheet" href)="([^"]+)"', page.text)
            assert len([each for each in loaded if "/passkey." not in each]) == 4
            assert all(each.startswith(("/static/", "/brand/")) for each in loaded)
            assert "style=" not in page.text
            assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("theme", ["system", "light", "dark"])
async def test_logo_follows_the_theme_that_the_person_chose(tmp_path: Path, theme: str) -> None:
    (tmp_path / "dark.svg").write_bytes(SVG.replace(b'"10"/>', b'"11"/>'))
    both = replace(acme(tmp_path), logo_dark_file=str(tmp_path / "dark.svg"))
    looks = build_looks(both, {"acme": None}, "acme")
    look = looks.of("acme")
    assert look.logo is not None
    assert look.logo_dark is not None
    async with BrandedWorld(looks=looks).browser(cookies={THEME_COOKIE: theme}) as browser:
        page = await browser.get("/sign-in")
    light, dark = f'<img src="{look.logo.file.address}"', f'<img src="{look.logo_dark.file.address}"'
    assert (light in page.text, dark in page.text) == (theme != "dark", theme == "dark")
    assert ("(prefers-color-scheme: dark)" in page.text) == (theme == "system")


async def test_style_sheet_and_logo_are_served_under_their_hash_and_nothing_else_is(tmp_path: Path) -> None:
    world = BrandedWorld(looks=build_looks(acme(tmp_path), {"acme": None}, "acme"))
    async with world.browser() as browser:
        page = await browser.get("/sign-in")
        replies = [await browser.client.get(each) for each in re.findall(r'"(/brand/[^"]+)"', page.text)]
        assert [reply.headers["content-type"] for reply in replies] == ["text/css; charset=utf-8", "image/svg+xml"]
        assert b"--brand:light-dark(#c2410c," in replies[0].content
        assert all("immutable" in reply.headers["cache-control"] for reply in replies)
        # Opened by itself a picture is a document of ours: nothing in it may run.
        assert replies[1].headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert replies[1].headers["x-content-type-options"] == "nosniff"
        for path in ("/brand/logo.svg", "/brand/..%2f..%2fetc%2fpasswd", "/brand/"):
            assert (await browser.client.get(path)).status_code == 404


async def test_page_without_a_brand_is_ours_and_asks_for_nothing_more() -> None:
    async with BrandedWorld().browser() as browser:
        page = await browser.get("/sign-in")
        assert "/brand/" not in page.text
        assert "Wardgate</title>" in page.text
        assert "<footer" not in page.text


async def test_signed_in_person_sees_the_brand_of_the_realm(tmp_path: Path) -> None:
    world = BrandedWorld(
        looks=build_looks(BrandSettings(name="Everybody"), {"public": None, "acme": BrandSettings(name="Labs")}, "public")
    )
    await world.give_totp(await world.person("ada"))
    async with world.browser() as browser:
        assert "Everybody</title>" in (await browser.get("/sign-in")).text
        await browser.sign_in("ada")
        page = await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        for address in (
            "/account",
            "/account/sessions",
            "/account/authenticators",
            "/sign-out",
            "/confirm",
            "/help",
            "/help/account",
        ):
            page = await browser.get(address)
            assert page.status_code == 200
            assert "Labs</title>" in page.text, address


async def test_brand_tells_strangers_nothing_about_the_realm_of_a_name() -> None:
    """Before the sign-in it is the default realm's, whatever name was typed."""
    world = BrandedWorld(
        looks=build_looks(BrandSettings(name="Everybody"), {"public": None, "acme": BrandSettings(name="Labs")}, "public")
    )
    await world.person("ada")
    async with world.browser() as browser:
        for name in ("ada", "nobody", "nobody@acme"):
            page = await browser.sign_in(name, "wrong")
            assert "Everybody</title>" in page.text
            assert "Labs" not in page.text


# --- help ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
async def test_help_opens_for_strangers_in_their_language_and_every_link_leads_somewhere(language: str) -> None:
    async with PortalWorld().browser() as browser:
        page = await browser.get(f"/help?lang={language}")
        assert f'<html lang="{language}">' in page.text
        addresses = re.findall(r'<li><a href="(/help/[a-z-]+)">', page.text)
        assert [each.removeprefix("/help/") for each in addresses] == list(TOPICS)
        seen = set()
        for address in addresses:
            page = await browser.get(address)
            assert page.status_code == 200
            assert page.text.count("<h1>") == 1
            assert help_pages(language)[address.removeprefix("/help/")].title in page.text
            seen |= set(re.findall(r'<a href="(/[^"?]*)"', page.text))
        # The page of applications is the federation's, which this world does not serve.
        for each in seen - {"/apps"}:
            assert (await browser.get(each)).status_code == 200, each


async def test_help_stands_in_the_same_place_of_every_page() -> None:
    """WCAG 3.2.6: beside the languages, before them."""
    world = PortalWorld()
    await world.give_totp(await world.person("ada"))
    pages: list[httpx.Response] = []
    async with world.browser() as browser:
        pages += [await browser.get(each) for each in ("/sign-in", "/forgot", "/unlock", "/help", "/help/unlock", "/nowhere")]
        pages.append(await browser.sign_in("ada"))
        await browser.post(code=world.totp(), act="answer")
        assert browser.path == "/account"
        pages += [await browser.get(each) for each in ("/account", "/account/sessions", "/account/authenticators", "/confirm")]
    for page in pages:
        assert re.search(
            r'<p class="help"><a href="/help"(?: aria-current="page")?>Help</a></p>\s*<ul class="languages"', page.text
        )


async def test_unknown_help_page_is_not_found_and_no_path_leads_out_of_the_folder() -> None:
    async with PortalWorld().browser() as browser:
        for path in ("/help/nothing", "/help/..%2fen%2fsign-in", "/help/sign-in.md", "/help/en/sign-in"):
            assert (await browser.get(path)).status_code == 404


async def test_help_answers_under_its_own_name_only() -> None:
    async with PortalWorld(hosts=frozenset({"login.acme.test"})).browser() as browser:
        for path in ("/help", "/help/sign-in", "/.well-known/change-password"):
            assert (await browser.client.get(path, headers={"host": "evil.test"})).status_code == 421


def test_help_pages_of_all_languages_say_the_same_in_as_many_parts() -> None:
    shapes = [
        {topic: [(block.kind, len(block.lines)) for block in page.blocks] for topic, page in help_pages(language).items()}
        for language in LANGUAGES
    ]
    assert shapes[0] == shapes[1]


def test_little_markdown_is_read_as_it_is_meant() -> None:
    page = parse("# Title\n\nOne **two**\nthree [four](other-page.md).\n\n## Head\n\n1. a\n2. [b](/forgot)\n\n- c\n")
    assert page.title == "Title"
    spans = (Span("text", "One "), Span("strong", "two"), Span("text", " three "), Span("link", "four", "/help/other-page"))
    assert page.blocks == (
        Block("paragraph", ((*spans, Span("text", ".")),)),
        Block("heading", ((Span("text", "Head"),),)),
        Block("steps", ((Span("text", "a"),), (Span("link", "b", "/forgot"),))),
        Block("list", ((Span("text", "c"),),)),
    )


@pytest.mark.parametrize(
    "text", ["no title", "# T\n\n### deep", "# T\n\n- a\nb", "# T\n\n[x](https://evil.test)", "# T\n\n[x](//evil.test)"]
)
def test_help_page_that_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse(text)


# --- where a password is changed -----------------------------------------------------------------------------------------


async def test_password_managers_are_led_to_where_a_password_is_changed() -> None:
    async with PortalWorld().browser() as browser:
        reply = await browser.client.get("/.well-known/change-password")
        assert reply.status_code == 303
        assert reply.headers["location"] in ("/account/password", "/forgot")
        assert (await BrowserOfTests(browser.client).get("/.well-known/change-password")).status_code == 200
