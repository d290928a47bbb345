"""What is wrong with the settings of a relying party, in sentences that say what to do. Pure: no file and no address is looked
at."""

import ipaddress
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from wardgate.errors import MessageError, SettingsError
from wardgate.federation.building import all_claims, build_party, certificate_of, metadata_by_hand, unfolded
from wardgate.federation.claims import (
    ATTRIBUTE,
    GROUPS,
    MAX_CLAIMS,
    MAX_VALUE_CHARS,
    check_source,
    check_template,
    is_xml_text,
    places_of,
)
from wardgate.federation.presets import preset_of
from wardgate.federation.refusals import cure_of
from wardgate.federation.saml.values import SpMetadata
from wardgate.federation.settings import ClaimSettings, MetadataSettings, NameIdSettings, SamlApplicationSettings
from wardgate.texts import LANGUAGES

Problem = tuple[tuple[str | int, ...], str]

RANGES: Final[Mapping[tuple[type, str], tuple[float, float]]] = {
    (MetadataSettings, "refresh_s"): (300, 604_800),
    (MetadataSettings, "max_age_s"): (3_600, 7_776_000),
    (SamlApplicationSettings, "assertion_life_s"): (30, 3_600),
}
LIST_LIMITS: Final[Mapping[str, int]] = {
    "acs": 64,
    "certificates": 8,
    "name_id_formats": 4,
    "allow": 50,
    "only": 200,
    "constant": 100,
}
MAX_ENTRIES: Final = 1_000
MAX_NAME_CHARS: Final = 512
MAX_FRIENDLY_CHARS: Final = 128
MAX_PATTERN_CHARS: Final = 512
MAX_TITLE_CHARS: Final = 60
MAX_PATH_CHARS: Final = 500
# Bindings, section 3.4.3.
MAX_RELAY_STATE_OCTETS: Final = 80
MAX_ENTITY_ID_CHARS: Final = 1_024
MAX_URL_CHARS: Final = 2_048
MAX_REMEMBERED_OCTETS: Final = 64 * 1024
_ABSOLUTE: Final = "must be an absolute path: the server reads it, wherever it was started"
_APART: Final = frozenset({"realm", "directory", "subject"})
_SAME_NAME: Final = "two people of one user name in two realms, such as ada, are one and the same to the application"
_TOLD_APART: Final = 'where it takes accounts by this, set template: "{user_name}@{realm}"'
_OWN_RULE: Final = 'set name_id: {format: unspecified, template: "{user_name}@{realm}"} where it takes accounts by that'
_BY_HAND: Final = ("acs", "slo", "certificates")


def faults(settings: SamlApplicationSettings) -> Iterator[Problem]:
    """What is wrong, each with where it stands below the application."""
    found = [
        *_preset(settings),
        *_metadata(settings),
        *_addresses(settings),
        *_certificates(settings),
        *_name_id(settings),
        *_claims(settings),
        *_launchpad(settings),
        *_relay_state(settings.relay_state),
    ]
    yield from found or _together(settings)


def doubts(settings: SamlApplicationSettings) -> Iterator[Problem]:
    """What can be applied and hardly be meant."""
    preset = preset_of(settings.preset)
    for name, why in preset.needs.items():
        if name not in settings.claims:
            yield ("claims",), f"the preset {preset.name} needs {name!r}: {why}"
    if settings.encrypt in ("aes256-cbc", "aes128-cbc"):
        yield ("encrypt",), "CBC does not protect what it hides from being changed: take it only where GCM is not understood"


def shared_names(settings: SamlApplicationSettings) -> Iterator[Problem]:
    """Where the application cannot tell two people of one user name apart, who are of two realms."""
    preset = preset_of(settings.preset)
    rule = settings.name_id or preset.name_id
    if _is_shared(rule.source, rule.template):
        yield ("name_id",), f"{_SAME_NAME}: {_TOLD_APART} or name_id: {{format: persistent}}"
    elif rule.format != "unspecified" and "unspecified" in (*preset.name_id_formats, *settings.name_id_formats):
        told = f"asked for an unspecified name, it is told the user name, and {_SAME_NAME}"
        yield ("name_id_formats",), f"{told}: {_OWN_RULE}"
    for name, written in all_claims(settings, preset).items():
        claim = unfolded(written)
        if _is_shared(claim.source, claim.template):
            yield ("claims", name), f"{_SAME_NAME}: {_TOLD_APART} or source: subject"


def _is_shared(source: str | None, template: str | None) -> bool:
    """Whether it is filled from the user name and from nothing that tells realms apart."""
    places = {source, *places_of(template or "")}
    return "user_name" in places and places.isdisjoint(_APART)


def inline_metadata(text: str, entity_id: str) -> SpMetadata:
    """The metadata that stands in the document itself, read as strictly as any other, whenever it ends. Raises SettingsError."""
    return read_metadata(text.encode(), entity_id)


def read_metadata(document: bytes, entity_id: str, trusted: tuple[bytes, ...] = ()) -> SpMetadata:
    """The application in a metadata document, whenever it ends. Raises SettingsError in an operator's words."""
    return (_remembered if len(document) <= MAX_REMEMBERED_OCTETS else _read)(document, entity_id, trusted)


def _read(document: bytes, entity_id: str, trusted: tuple[bytes, ...]) -> SpMetadata:
    # Imported here: a command that reads a document without a relying party needs no XML.
    from wardgate.federation.saml.sp_metadata import parse_sp_metadata

    try:
        return parse_sp_metadata(document, 0, entity_id, trusted)
    except MessageError as error:
        cure = cure_of(error.code)
        raise SettingsError(f"is not taken: {error.message} ({error.code}){': ' if cure else ''}{cure}") from error


# A document is parsed again and again while it is edited, and large metadata is few.
_remembered: Final = lru_cache(maxsize=256)(_read)


def _preset(settings: SamlApplicationSettings) -> Iterator[Problem]:
    try:
        preset_of(settings.preset)
    except SettingsError as error:
        yield ("preset",), error.message


# --- where it is -------------------------------------------------------------------------------------------------------


def _metadata(settings: SamlApplicationSettings) -> Iterator[Problem]:
    metadata = settings.metadata
    if settings.entity_id is not None and not _is_entity_id(settings.entity_id):
        yield (
            ("entity_id",),
            f"must be 1 to {MAX_ENTITY_ID_CHARS} visible characters without blanks, such as https://wiki.acme.test/saml",
        )
    if metadata is None:
        for name in ("entity_id", "acs"):
            if not getattr(settings, name):
                yield (name,), "is missing: give metadata (file, text or url), or entity_id and acs by hand"
        return
    for name in _BY_HAND:
        if getattr(settings, name):
            yield (name,), "stands in the metadata: take it out here, or leave metadata out"
    given = [name for name in ("file", "text", "url") if getattr(metadata, name) is not None]
    if len(given) != 1:
        yield ("metadata",), "must have exactly one of file, text and url"
    for name in ("file", "authority", "signed_by"):
        path = getattr(metadata, name)
        if path is not None and not _is_path(path):
            yield ("metadata", name), _ABSOLUTE
    if metadata.text is not None:
        try:
            inline_metadata(metadata.text, settings.entity_id or "")
        except SettingsError as error:
            yield ("metadata", "text"), error.message
    yield from _address(metadata)


def _address(metadata: MetadataSettings) -> Iterator[Problem]:
    if metadata.url is not None and not is_metadata_url(metadata.url):
        yield (
            ("metadata", "url"),
            "must be https://HOST/... without a user name: metadata that others could change opens every door",
        )
    if metadata.url is None:
        for name in ("allow", "authority"):
            if getattr(metadata, name):
                yield ("metadata", name), "is for metadata by url"
    for number, text in enumerate(metadata.allow):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield ("metadata", "allow", number), "not an address or network: write 10.1.2.3, 10.1.2.0/24 or fd00::/8"


def is_metadata_url(url: str) -> bool:
    """Whether metadata may be fetched from it, as far as the address itself tells."""
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or any(each in url for each in " \"'<>\\`"):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False


def _addresses(settings: SamlApplicationSettings) -> Iterator[Problem]:
    from wardgate.federation.saml.addresses import checked_url

    places: list[tuple[tuple[str | int, ...], str]] = [(("acs", number), url) for number, url in enumerate(settings.acs)]
    places += [(("slo",), settings.slo)] if settings.slo else []
    for at, url in places:
        try:
            checked_url(url)
        except MessageError as error:
            yield at, f"{error.message}: write https://HOST/..."
    if len(set(settings.acs)) != len(settings.acs):
        yield ("acs",), "one address stands twice"


def _certificates(settings: SamlApplicationSettings) -> Iterator[Problem]:
    for number, text in enumerate(settings.certificates):
        try:
            certificate_of(text)
        except SettingsError as error:
            yield ("certificates", number), error.message


def _together(settings: SamlApplicationSettings) -> Iterator[Problem]:
    """What only settings and metadata together tell; of metadata by file or url the server hears it when it reads them."""
    metadata = settings.metadata
    if metadata is not None and metadata.text is None:
        return
    try:
        known = (
            inline_metadata(metadata.text or "", settings.entity_id or "") if metadata is not None else metadata_by_hand(settings)
        )
        build_party(settings, known)
    except SettingsError as error:
        yield (), error.message


# --- what it is told ---------------------------------------------------------------------------------------------------


def _name_id(settings: SamlApplicationSettings) -> Iterator[Problem]:
    rule = settings.name_id
    if rule is None:
        return
    given = [name for name in ("source", "template") if getattr(rule, name) is not None]
    if rule.format in ("persistent", "transient") and given:
        yield ("name_id", given[0]), f"a {rule.format} name is made by us: take it out, or write format: unspecified"
    elif rule.format == "unspecified" and len(given) != 1:
        yield ("name_id",), "an unspecified name needs exactly one of source and template, such as source: user_name"
    elif len(given) > 1:
        yield ("name_id",), "must have source or template, not both"
    yield from _name_source(rule)


def _name_source(rule: NameIdSettings) -> Iterator[Problem]:
    try:
        if rule.source is not None:
            if rule.source == GROUPS:
                raise SettingsError("a person has one name, and groups are many")
            check_source(rule.source)
        if rule.template is not None:
            check_template(rule.template)
    except SettingsError as error:
        yield ("name_id", "source" if rule.source is not None else "template"), error.message


def _claims(settings: SamlApplicationSettings) -> Iterator[Problem]:
    if len(settings.claims) > MAX_CLAIMS:
        yield ("claims",), f"holds {len(settings.claims)} claims, more than {MAX_CLAIMS}"
    for name, claim in settings.claims.items():
        if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
            yield ("claims", name), f"a claim's name is 1 to {MAX_NAME_CHARS} printable characters"
        for below, problem in _claim(unfolded(claim)):
            yield ("claims", name, *(() if isinstance(claim, str) else below)), problem


def _claim(claim: ClaimSettings) -> Iterator[Problem]:
    given = [name for name in ("source", "template", "constant") if getattr(claim, name) is not None]
    if len(given) != 1:
        yield (), "must have exactly one of source, template and constant"
        return
    if claim.source is None and (claim.only or claim.map or claim.unmapped != "drop"):
        yield (), "only, map and unmapped shape what comes from a source"
    if claim.qualified and claim.source != GROUPS:
        yield ("qualified",), "is for source: groups"
    if claim.unmapped == "keep" and not claim.map:
        yield ("unmapped",), "means nothing without map"
    if len(claim.friendly_name) > MAX_FRIENDLY_CHARS or not claim.friendly_name.isprintable():
        yield ("friendly_name",), f"must be at most {MAX_FRIENDLY_CHARS} printable characters"
    yield from _where_from(claim)
    yield from _shaped(claim)


def _where_from(claim: ClaimSettings) -> Iterator[Problem]:
    try:
        if claim.source is not None:
            check_source(claim.source)
        if claim.template is not None:
            check_template(claim.template)
    except SettingsError as error:
        yield ("source" if claim.source is not None else "template",), error.message
    constants = (claim.constant,) if isinstance(claim.constant, str) else claim.constant or ()
    for value in (*constants, *(claim.map.values()), claim.template or "-"):
        if not 0 < len(value) <= MAX_VALUE_CHARS or not is_xml_text(value):
            yield (), f"every value is 1 to {MAX_VALUE_CHARS} characters, without control characters"
    if claim.constant is not None and not constants:
        yield ("constant",), "must have a value"


def _shaped(claim: ClaimSettings) -> Iterator[Problem]:
    for name, limit, patterns in (("only", LIST_LIMITS["only"], claim.only), ("map", MAX_ENTRIES, tuple(claim.map))):
        if len(patterns) > limit:
            yield (name,), f"holds {len(patterns)} entries, more than {limit}"
        for place, pattern in enumerate(patterns):
            at: tuple[str | int, ...] = (name, place) if name == "only" else (name, pattern)
            if not 0 < len(pattern) <= MAX_PATTERN_CHARS:
                yield at, f"must be 1 to {MAX_PATTERN_CHARS} characters"
            elif claim.source == GROUPS and ":" not in pattern and pattern != "*":
                # Whoever may create a group in any directory would otherwise have the role of another's.
                yield at, f"whose group is it? Write it with its directory or realm, such as acme-ad:{pattern[:64]}"


def owners_of(settings: SamlApplicationSettings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The directories and realms that the document's claims name before a group, each with its place; a pattern names none."""
    for name, written in settings.claims.items():
        claim = unfolded(written)
        places: list[tuple[tuple[str | int, ...], str]] = [(("only", place), each) for place, each in enumerate(claim.only)]
        places += [(("map", each), each) for each in claim.map]
        for below, pattern in places if claim.source == GROUPS else ():
            owner, colon, _ = pattern.partition(":")
            if colon and "*" not in owner:
                yield ("claims", name, *below), owner


def entity_id_of(settings: SamlApplicationSettings) -> str:
    """What settings without a fault call the application in messages; empty where only a file or an address says it."""
    if settings.entity_id:
        return settings.entity_id
    text = settings.metadata.text if settings.metadata is not None else None
    return inline_metadata(text, "").entity_id if text is not None else ""


def attributes_of(settings: SamlApplicationSettings) -> Iterator[tuple[str, str]]:
    """The directory's attributes that the document's claims take, each with the claim's name."""
    for name, written in settings.claims.items():
        claim = unfolded(written)
        for source in (claim.source or "", *places_of(claim.template or "")):
            if source.startswith(ATTRIBUTE):
                yield name, source.removeprefix(ATTRIBUTE)


# --- what people see ---------------------------------------------------------------------------------------------------


def _launchpad(settings: SamlApplicationSettings) -> Iterator[Problem]:
    launchpad = settings.launchpad
    for language, title in launchpad.title.items():
        if language not in LANGUAGES:
            yield ("launchpad", "title", language), f"must be one of {', '.join(LANGUAGES)}"
        elif not title.strip() or len(title) > MAX_TITLE_CHARS or not title.isprintable():
            yield ("launchpad", "title", language), f"must be 1 to {MAX_TITLE_CHARS} printable characters"
    if launchpad.icon_file is not None and not _is_path(launchpad.icon_file):
        yield ("launchpad", "icon_file"), _ABSOLUTE
    if launchpad.address and not is_metadata_url(launchpad.address):
        yield ("launchpad", "address"), "must be https://HOST/..."
    if launchpad.shown and not launchpad.address and not settings.idp_initiated:
        yield (
            ("launchpad", "address"),
            "is missing: with idp_initiated: false it is where people open the application, or set shown: false",
        )


def _relay_state(relay_state: str) -> Iterator[Problem]:
    if len(relay_state.encode()) > MAX_RELAY_STATE_OCTETS or not relay_state.isprintable():
        yield ("relay_state",), f"must be at most {MAX_RELAY_STATE_OCTETS} octets, printable (SAML bindings, section 3.4.3)"


def _is_entity_id(text: str) -> bool:
    return 0 < len(text) <= MAX_ENTITY_ID_CHARS and text.isprintable() and " " not in text


def _is_path(path: str) -> bool:
    return path.startswith("/") and "\0" not in path and len(path) <= MAX_PATH_CHARS
