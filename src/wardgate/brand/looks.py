"""The brand of every realm, ready for pages: names, words, and files under names that hold their hash."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from wardgate.brand.colours import palette_of
from wardgate.brand.png import SIGNATURE, clean_png
from wardgate.brand.settings import BrandSettings, contact_address, merged
from wardgate.brand.svg import clean_svg
from wardgate.errors import SettingsError
from wardgate.texts import DEFAULT_LANGUAGE

MAX_LOGO_BYTES: Final = 64 * 1024
SHOWN_WIDTH: Final = 200
SHOWN_HEIGHT: Final = 48
FOLDER: Final = "/brand"
_HASH_CHARS: Final = 16

log = structlog.get_logger("wardgate.brand")


@dataclass(frozen=True, slots=True)
class BrandFile:
    """A file that we serve for a brand."""

    name: str
    content: bytes
    media_type: str

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"{FOLDER}/{self.name}"


@dataclass(frozen=True, slots=True)
class Logo:
    """A cleaned picture and the size at which it is shown."""

    file: BrandFile
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Contact:
    """Where people ask for help: the words, and what the link leads to."""

    words: str
    address: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text by language."""

    by_language: Mapping[str, str]

    def of(self, language: str) -> str:
        """In this language, else in the default one, else in any."""
        texts = self.by_language
        return texts.get(language) or texts.get(DEFAULT_LANGUAGE) or next(iter(texts.values()), "")


@dataclass(frozen=True, slots=True)
class LegalLink:
    """A link at the foot of a page."""

    address: str
    text: Words


@dataclass(frozen=True, slots=True)
class Look:
    """The brand of one realm. Empty where the operator says nothing: then it is ours."""

    name: str = ""
    stylesheet: BrandFile | None = None
    logo: Logo | None = None
    logo_dark: Logo | None = None
    help_text: Words = field(default_factory=lambda: Words({}))
    contact: Contact | None = None
    legal: tuple[LegalLink, ...] = ()


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks of one version of the configuration. `default`: before anybody signed in."""

    default: Look = field(default_factory=Look)
    by_realm: Mapping[str, Look] = field(default_factory=dict)
    files: Mapping[str, BrandFile] = field(default_factory=dict)

    def of(self, realm: str) -> Look:
        """The look of a realm; the default one for a realm that is not there any more."""
        return self.by_realm.get(realm, self.default)


PLAIN: Final = Looks()


def plain_looks() -> Looks:
    """Nobody's brand."""
    return PLAIN


def build_looks(general: BrandSettings, realms: Mapping[str, BrandSettings | None], default: str) -> Looks:
    """The looks of a version. A logo that cannot be used any more is told in the log and not shown: no login waits for it."""
    by_realm = {name: _look(merged(general, own)) for name, own in realms.items()}
    shown = [*by_realm.values()]
    files = [each for look in shown for each in _files(look)]
    return Looks(by_realm.get(default, Look()), by_realm, {each.name: each for each in files})


def logo_problems(general: BrandSettings, realms: Mapping[str, BrandSettings | None]) -> list[str]:
    """What is wrong with the logos that a document names, each with its path in the document."""
    brands = [("brand", general), *((f"realms.{name}.brand", own) for name, own in realms.items() if own is not None)]
    problems = []
    for place, brand in brands:
        for setting in ("logo_file", "logo_dark_file"):
            if (path := getattr(brand, setting)) is not None:
                try:
                    read_logo(path)
                except SettingsError as error:
                    problems.append(f"{place}.{setting}: {path} {error.message}")
    return problems


def read_logo(path: str) -> Logo:
    """Read and clean a picture. Raises SettingsError that says what is wrong with the file."""
    data = _read(path)
    if data.startswith(SIGNATURE):
        png = clean_png(data)
        scale = min(1.0, SHOWN_WIDTH / png.width, SHOWN_HEIGHT / png.height)
        return _logo(png.content, "png", "image/png", png.width * scale, png.height * scale)
    svg = clean_svg(data)
    scale = min(SHOWN_WIDTH / svg.width, SHOWN_HEIGHT / svg.height)
    return _logo(svg.content, "svg", "image/svg+xml", svg.width * scale, svg.height * scale)


def _logo(content: bytes, suffix: str, media_type: str, width: float, height: float) -> Logo:
    return Logo(_file(content, suffix, media_type), max(1, round(width)), max(1, round(height)))


def _file(content: bytes, suffix: str, media_type: str) -> BrandFile:
    return BrandFile(f"{hashlib.sha256(content).hexdigest()[:_HASH_CHARS]}.{suffix}", content, media_type)


def _read(path: str) -> bytes:
    try:
        # A pipe that nobody writes to must not hold the server up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            data = file.read(MAX_LOGO_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or 'unknown reason'}") from error
    if not data:
        raise SettingsError("is empty")
    if len(data) > MAX_LOGO_BYTES:
        raise SettingsError(f"is larger than {MAX_LOGO_BYTES // 1024} KiB")
    return data


def _look(brand: BrandSettings) -> Look:
    stylesheet = _file(palette_of(brand.hue).stylesheet().encode(), "css", "text/css; charset=utf-8") if brand.hue else None
    address = contact_address(brand.help_contact) if brand.help_contact else None
    return Look(
        name=brand.name,
        stylesheet=stylesheet,
        logo=shown_picture(brand.logo_file),
        logo_dark=shown_picture(brand.logo_dark_file),
        help_text=Words(brand.help_text),
        contact=Contact(brand.help_contact, address) if brand.help_contact and address else None,
        legal=tuple(LegalLink(each.address, Words(each.text)) for each in brand.legal),
    )


def shown_picture(path: str | None) -> Logo | None:
    """The cleaned picture of a file; None, told in the log, for one that cannot be used."""
    if path is None:
        return None
    try:
        return read_logo(path)
    except SettingsError as error:
        log.warning("logo_not_shown", file=path, problem=error.message)
        return None


def _files(look: Look) -> Iterable[BrandFile]:
    if look.stylesheet is not None:
        yield look.stylesheet
    for logo in (look.logo, look.logo_dark):
        if logo is not None:
            yield logo.file
