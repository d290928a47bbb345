"""What an operator may say of his brand, in the document; and what comes of it for each realm."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.brand.test_png import png
from wardgate.brand.looks import MAX_LOGO_BYTES, build_looks, logo_problems, read_logo
from wardgate.brand.settings import BrandSettings, LegalLinkSettings, merged
from wardgate.config.document import Document, dump, parse
from wardgate.errors import SettingsError

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 48"><rect width="10" height="10"/></svg>'


def document(brand: object, realm_brand: object = None) -> Document:
    realm: dict[str, Any] = {"name": "acme", "default": True, "directories": ["local"]}
    realm |= {"brand": realm_brand} if realm_brand is not None else {}
    return parse({"realms": [realm], "directories": [{"name": "local", "kind": "local"}], "brand": brand})


def problem(**brand: object) -> str:
    with pytest.raises(SettingsError) as error:
        document(brand)
    return error.value.message


def test_brand_is_read_and_written_as_it_was_said() -> None:
    said = {
        "name": "Acme",
        "hue": "#c2410c",
        "help_text": {"en": "Room 12.\nBring your badge.", "tr": "12 numaralı oda."},
        "help_contact": "+90 212 555 01 02",
        "legal": [{"address": "https://acme.test/privacy?lang=en#data", "text": {"en": "Privacy"}}],
    }
    whole = document(said, {"name": "Acme Labs"})
    assert parse(dump(whole)) == whole
    assert whole.realms[0].brand == BrandSettings(name="Acme Labs")


def test_hue_that_fails_contrast_is_refused_with_the_nearest_allowed_value() -> None:
    message = problem(hue="#ffd400")
    assert "brand.hue: #ffd400 cannot be read" in message
    nearest = message.rpartition(" ")[2]
    assert document({"hue": nearest}).brand.hue == nearest
    with pytest.raises(SettingsError, match=r"realms\[0\]\.brand\.hue: .*nearest allowed"):
        document({}, {"hue": "#ffffff"})


@pytest.mark.parametrize("hue", ["red", "#12345", "#1b56ca;}body{display:none", "var(--x)", "", "#1b56cag"])
def test_style_in_place_of_a_colour_is_refused(hue: str) -> None:
    assert "brand.hue: must be a colour" in problem(hue=hue)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://acme.test/",
        "//acme.test",
        "/account",
        "https://",
        "https://ada:pw@acme.test/",
        'https://acme.test/"onclick=',
        "https://acme.test/a b",
        "https://аcme.test/",
        "mailto:",
        "mailto:a@b.test?bcc=all@b.test",
        "https://acme.test:99999/",
        "https://" + "a" * 600 + ".test",
    ],
)
def test_legal_link_to_anything_but_https_or_mail_is_refused(address: str) -> None:
    assert "legal[0].address" in problem(legal=[{"address": address, "text": {"en": "Privacy"}}])
    assert "help_contact" in problem(help_contact=address)


@pytest.mark.parametrize("contact", ["help@acme.test", "+902125550102", "+90 212-555 01 02", "https://help.acme.test/"])
def test_help_desks_are_reached_by_mail_phone_or_web(contact: str) -> None:
    assert document({"help_contact": contact}).brand.help_contact == contact


def test_words_that_hide_or_turn_others_are_refused() -> None:
    assert "brand.name" in problem(name="Acme\u202egro.live")
    assert "brand.name" in problem(name="x" * 61)
    assert "brand.name" in problem(name="Acme\n<b>")
    assert "brand.help_text.en" in problem(help_text={"en": "x" * 1001})
    assert "brand.help_text.en" in problem(help_text={"en": " "})
    assert "brand.help_text.de" in problem(help_text={"de": "Hilfe"})
    assert "legal[0].text" in problem(legal=[{"address": "https://acme.test/", "text": {}}])
    assert "brand.legal" in problem(legal=[{"address": "https://acme.test/", "text": {"en": "x"}}] * 7)
    assert "brand.logo_file" in problem(logo_file="logo.svg")


def test_realm_replaces_what_it_names_and_nothing_else() -> None:
    link = LegalLinkSettings(address="https://acme.test/", text={"en": "Terms"})
    general = BrandSettings(name="Acme", hue="#c2410c", logo_file="/a.svg", logo_dark_file="/d.svg", legal=(link,))
    assert merged(general, None) == general
    assert merged(general, BrandSettings(hue="#1b56ca")) == replace(general, hue="#1b56ca")
    own = merged(general, BrandSettings(logo_file="/b.svg"))
    assert (own.logo_file, own.logo_dark_file) == ("/b.svg", None)


# --- logos ---------------------------------------------------------------------------------------------------------------


def test_logo_is_shown_no_larger_than_the_page_has_room(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_bytes(SVG)
    (tmp_path / "small.png").write_bytes(png(20, 10))
    (tmp_path / "large.png").write_bytes(png(800, 96))
    sizes = {name: read_logo(str(tmp_path / name)) for name in ("a.svg", "small.png", "large.png")}
    assert {name: (logo.width, logo.height) for name, logo in sizes.items()} == {
        "a.svg": (200, 24),
        "small.png": (20, 10),
        "large.png": (200, 24),
    }
    assert sizes["a.svg"].file.media_type == "image/svg+xml"
    assert sizes["a.svg"].file.address == f"/brand/{sizes['a.svg'].file.name}"


def test_logo_that_cannot_be_used_is_told_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "script.svg").write_bytes(SVG.replace(b"<rect", b"<script/><rect"))
    (tmp_path / "huge.svg").write_bytes(SVG + b" " * MAX_LOGO_BYTES)
    (tmp_path / "empty.svg").touch()
    os.mkfifo(tmp_path / "pipe")
    names = {
        "script.svg": "<script>",
        "huge.svg": "KiB",
        "empty.svg": "empty",
        "none": "No such file",
        "pipe": "empty",
        ".": "directory",
    }
    for name, told in names.items():
        path = str(tmp_path / name)
        [message] = logo_problems(BrandSettings(), {"acme": BrandSettings(logo_file=path), "other": None})
        assert message.startswith(f"realms.acme.brand.logo_file: {path} ")
        assert told in message


def test_login_does_not_wait_for_a_logo_that_is_gone(tmp_path: Path) -> None:
    looks = build_looks(BrandSettings(name="Acme", logo_file=str(tmp_path / "gone.svg")), {"acme": None}, "acme")
    assert looks.default.logo is None
    assert looks.default.name == "Acme"
    assert looks.files == {}


def test_each_realm_has_its_look_and_the_default_one_is_for_strangers(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_bytes(SVG)
    general = BrandSettings(name="Acme", hue="#c2410c", logo_file=str(tmp_path / "a.svg"))
    looks = build_looks(general, {"acme": None, "labs": BrandSettings(name="Labs", hue="#1b56ca")}, "acme")
    assert (looks.default.name, looks.of("labs").name, looks.of("gone").name) == ("Acme", "Labs", "Acme")
    assert looks.default.stylesheet is not None
    assert looks.of("labs").stylesheet != looks.default.stylesheet
    assert sorted(name.rpartition(".")[2] for name in looks.files) == ["css", "css", "svg"]
