"""Relying parties: add, list, show, remove; what would be told of a person; our signing keys. Edits go into the document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wardgate.admin.office import Office
from wardgate.admin.people import Person as Found
from wardgate.admin.people import found_person
from wardgate.clock import from_ms
from wardgate.config.document import Document
from wardgate.config.store import edit, load_current
from wardgate.directory.realm import Realm, Realms, parse_login_name
from wardgate.errors import AlreadyExists, MessageError, MetadataUnavailable, NotFound, SettingsError, UsageError
from wardgate.federation.building import build_party
from wardgate.federation.checking import is_metadata_url, read_metadata
from wardgate.federation.claims import Person, released
from wardgate.federation.fetching import fetch
from wardgate.federation.name_ids import name_for, persistent_name
from wardgate.federation.presets import preset_of
from wardgate.federation.relying_party import KeyKind, RelyingParty
from wardgate.federation.saml import building, consumers, names
from wardgate.federation.saml.sp_metadata import entity_ids
from wardgate.federation.saml.values import AssertionContent, NameId
from wardgate.federation.settings import MetadataSettings, SamlApplicationSettings
from wardgate.federation.signing_keys import Change, SigningKey, fingerprint, load_keys, roll_key
from wardgate.federation.standing import metadata_of
from wardgate.federation.stored_metadata import Refreshing, Stored, load_stored, signers

# What a text of the document may hold: a larger document stays in a file on the server.
MAX_INLINE_CHARS: Final = 60_000
MAX_TOLD_ENTITIES: Final = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator says of a new relying party: its metadata in one of three ways, or its addresses by hand."""

    name: str
    preset: str = "generic"
    text: str | None = None
    file: str | None = None
    url: str | None = None
    allow: Sequence[str] = ()
    authority: str | None = None
    entity_id: str | None = None
    acs: Sequence[str] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    sign: Literal["assertion", "response", "both"] | None = None
    policy: str | None = None
    title: str | None = None


async def add_party(office: Office, wanted: Wanted, reason: str = "") -> dict[str, Any]:
    """Add a relying party. Its metadata is read, or fetched, before anything is written.

    Raises AlreadyExists, SettingsError, MetadataUnavailable.
    """
    settings = _settings(wanted)
    await _proved(settings)

    def change(document: Document) -> Document:
        if any(each.name.casefold() == wanted.name.casefold() for each in document.applications):
            raise AlreadyExists(f"there is an application {wanted.name} already: wardgate config export shows it")
        return replace(document, applications=(*document.applications, settings))

    version, _ = await edit(office.storage, office.ring, change, office.actor, _why(f"add {wanted.name}", reason), office.clock)
    if settings.metadata is not None and settings.metadata.url is not None:
        await Refreshing(office.storage, office.clock, lambda: (settings,)).fetch(settings, None)
    told = await show_party(office, name=wanted.name)
    return {"version": version, **told}


async def list_parties(office: Office) -> dict[str, Any]:
    """Every relying party, with what keeps it from being served."""
    _, document = await load_current(office.storage)
    stored, told = await load_stored(office.storage), []
    for settings in parties_of(document):
        party, problem = _built(settings, stored.get(settings.name), office.now_ms())
        told.append(
            {
                "name": settings.name,
                "preset": settings.preset,
                "entity_id": party.entity_id if party is not None else settings.entity_id,
                "policy": settings.policy,
                "metadata": _where(settings),
                "valid_until": _time(party.metadata.valid_until) if party is not None else None,
                "problem": problem or None,
            }
        )
    return {"relying_parties": told}


async def show_party(office: Office, *, name: str) -> dict[str, Any]:
    """One relying party in full, and what has to be set at it. Raises NotFound."""
    _, document = await load_current(office.storage)
    settings = find_party(document, name)
    stored = (await load_stored(office.storage)).get(settings.name)
    party, problem = _built(settings, stored, office.now_ms())
    preset = preset_of(settings.preset)
    return {
        "name": settings.name,
        "preset": settings.preset,
        "policy": settings.policy,
        "metadata": _where(settings),
        "fetched_at": _time(stored.fetched_at) if stored is not None and stored.fetched_at else None,
        "problem": problem or (stored.problem if stored is not None else "") or None,
        "party": _described(party) if party is not None else None,
        "there": list(preset.there),
        "own_login": preset.own_login,
        "source": preset.source or None,
    }


async def remove_party(office: Office, *, name: str, reason: str = "") -> dict[str, Any]:
    """Remove a relying party: nobody is sent there any more. Raises NotFound."""

    def change(document: Document) -> Document:
        going = find_party(document, name)
        return replace(document, applications=tuple(each for each in document.applications if each is not going))

    version, _ = await edit(office.storage, office.ring, change, office.actor, _why(f"remove {name}", reason), office.clock)
    return {"version": version, "name": name, "removed": True}


async def renew_party(office: Office, wanted: Wanted, reason: str = "") -> dict[str, Any]:
    """Take an application's present metadata in the place of the old; all else that is said of it stays.

    `wanted`: its name, and its metadata in one way; none: what its address answers now. It has to be of the same entity, so that
    nobody's claims go to another. Raises NotFound, UsageError, SettingsError, MetadataUnavailable.
    """
    _, document = await load_current(office.storage)
    before, stored = find_party(document, wanted.name), await load_stored(office.storage)
    if wanted.text is None and wanted.file is None and wanted.url is None:
        return await _fetched_now(office, before, stored.get(before.name))
    party, _ = _built(before, stored.get(before.name), office.now_ms())
    metadata = _settings(wanted).metadata or MetadataSettings()
    kept = before.metadata or MetadataSettings()
    metadata = replace(metadata, refresh_s=kept.refresh_s, max_age_s=kept.max_age_s, signed_by=kept.signed_by)

    def renewed(old: SamlApplicationSettings) -> SamlApplicationSettings:
        return replace(old, metadata=metadata, acs=(), slo=None, certificates=())

    after = renewed(before)
    await _proved(after if party is None else replace(after, entity_id=party.entity_id))

    def change(present: Document) -> Document:
        # As it is by now: while an address was asked, somebody else may have said what it is told no more.
        going = find_party(present, wanted.name)
        return replace(present, applications=tuple(renewed(each) if each is going else each for each in present.applications))

    version, _ = await edit(office.storage, office.ring, change, office.actor, _why(f"renew {before.name}", reason), office.clock)
    if metadata.url is not None:
        await Refreshing(office.storage, office.clock, lambda: (after,)).fetch(after, None)
    return {"version": version, **await show_party(office, name=before.name)}


async def _fetched_now(office: Office, settings: SamlApplicationSettings, stored: Stored | None) -> dict[str, Any]:
    if settings.metadata is None or settings.metadata.url is None:
        raise UsageError("give its present metadata (--metadata FILE, https://... or -): it has no address to be read from")
    fetched = await Refreshing(office.storage, office.clock, lambda: (settings,)).fetch(settings, stored)
    if fetched.problem:
        raise MetadataUnavailable(fetched.problem)
    version, _ = await load_current(office.storage)
    return {"version": version, **await show_party(office, name=settings.name)}


async def preview(office: Office, *, name: str, user: str, directory: str | None, issuer: str) -> dict[str, Any]:
    """What the application would be told of this person, now: the name, the claims, and the assertion before it is signed.

    Nobody is signed in by it, and it is no response: it has no signature and names no request.
    """
    _, document = await load_current(office.storage)
    party = await usable_party(office, document, name)
    async with found_person(office, user, directory) as found:
        person = _person(office, document, party, found, user, directory)
    name_id = name_for(party, party.name_id.format, person, issuer)
    if name_id is None:
        raise SettingsError(
            f"{user} has nothing to be named by there: name_id takes {party.name_id.format.name.lower()} from an empty value"
        )
    told = released(party.claims, person)
    assertion = building.assertion(_content(office, party, name_id, told.claims, issuer))
    return {
        "name": party.name,
        "user": person.user_name,
        "directory": person.directory,
        "name_id": {"value": name_id.value, "format": name_id.format},
        "claims": [
            {"name": each.name, "friendly_name": each.friendly_name, "name_format": each.name_format, "values": list(each.values)}
            for each in told.claims
        ],
        "left_out": list(told.left_out),
        "met": found.subject_id is not None,
        "xml": str(assertion),
    }


async def list_keys(office: Office) -> dict[str, Any]:
    """Our signing keys, and what each is for now."""
    keys, now_ms = await load_keys(office.storage, office.ring), office.now_ms()
    return {"keys": [_key(key, keys.signing(key.kind, now_ms) == key, now_ms) for key in keys.all]}


async def change_key(office: Office, *, kind: str, bits: int, notice_days: int, stay_days: int) -> dict[str, Any]:
    """Publish the next signing key of a kind. Raises UsageError, Conflict."""
    if kind not in list(KeyKind):
        raise UsageError(f"a signing key is of one kind of {', '.join(KeyKind)}")
    key = await roll_key(
        office.storage, office.ring, office.clock, Change(KeyKind(kind), bits, notice_days, stay_days), office.actor
    )
    return {"key": _key(key, key.signs_from <= office.now_ms(), office.now_ms())}


# --- finding and building ----------------------------------------------------------------------------------------------


def parties_of(document: Document) -> tuple[SamlApplicationSettings, ...]:
    """The relying parties of a document."""
    return tuple(each for each in document.applications if isinstance(each, SamlApplicationSettings))


def find_party(document: Document, name: str) -> SamlApplicationSettings:
    """One by its name. Raises NotFound."""
    found = next((each for each in parties_of(document) if each.name.casefold() == name.casefold()), None)
    if found is None:
        raise NotFound(f"there is no relying party {name[:64]}: wardgate relying-party list shows them")
    return found


async def usable_party(office: Office, document: Document, name: str) -> RelyingParty:
    """One that could be served now. Raises NotFound, and SettingsError that says what keeps it from that."""
    settings = find_party(document, name)
    party, problem = _built(settings, (await load_stored(office.storage)).get(settings.name), office.now_ms())
    if party is None or problem:
        raise SettingsError(f"{settings.name} cannot be used: {problem}")
    return party


def _built(settings: SamlApplicationSettings, stored: Stored | None, now_ms: int) -> tuple[RelyingParty | None, str]:
    """The party as far as it can be built, and what keeps it from being served."""
    try:
        party = build_party(settings, metadata_of(settings, stored))
    except SettingsError as error:
        return None, error.message
    return party, "" if party.is_valid(now_ms) else f"its metadata ended {_time(party.metadata.valid_until)}"


def _settings(wanted: Wanted) -> SamlApplicationSettings:
    try:
        preset_of(wanted.preset)
    except SettingsError as error:
        raise UsageError(error.message) from error
    ways = [each for each in (wanted.text, wanted.file, wanted.url) if each is not None]
    if len(ways) > 1:
        raise UsageError("give its metadata in one way: a file, an address or standard input")
    if not ways and not (wanted.entity_id and wanted.acs):
        raise UsageError("give its metadata (--metadata FILE, https://... or -), or --entity-id and --acs by hand")
    if wanted.url is not None and not is_metadata_url(wanted.url):
        raise UsageError("the address of its metadata must be https://HOST/... without a user name, or give the file")
    if wanted.text is not None and len(wanted.text) > MAX_INLINE_CHARS:
        told = f"the metadata is longer than {MAX_INLINE_CHARS} characters: copy it to the server and name it there"
        raise UsageError(f"{told}, --metadata-file /etc/wardgate/{wanted.name}.xml")
    metadata = MetadataSettings(
        text=wanted.text, file=wanted.file, url=wanted.url, allow=tuple(wanted.allow), authority=wanted.authority
    )
    return SamlApplicationSettings(
        name=wanted.name,
        kind="saml",
        preset=wanted.preset,
        metadata=metadata if ways else None,
        entity_id=wanted.entity_id,
        acs=tuple(wanted.acs),
        claims=dict(wanted.claims),
        sign=wanted.sign,
        policy=wanted.policy,
        title=wanted.title,
    )


async def _proved(settings: SamlApplicationSettings) -> None:
    """That a party can be built of it, before it is written down. What is wrong with the settings, the document itself tells."""
    metadata = settings.metadata
    if metadata is None:
        return
    if metadata.url is not None:
        document = await fetch(metadata)
    elif metadata.text is not None:
        document = metadata.text.encode()
    else:
        build_party(settings, metadata_of(settings, None))
        return
    try:
        found = read_metadata(document, settings.entity_id or "", signers(metadata))
    except SettingsError as error:
        raise SettingsError(f"{settings.name}: its metadata {error.message}{_several(document)}") from error
    try:
        build_party(settings, found)
    except SettingsError as error:
        raise SettingsError(f"{settings.name}: {error.message}") from error


def _several(document: bytes) -> str:
    """The applications to choose from, where a document has several."""
    try:
        found = entity_ids(document)
    except MessageError:
        # What is wrong with it was told already.
        return ""
    shown = ", ".join(found[:MAX_TOLD_ENTITIES]) + (" ..." if len(found) > MAX_TOLD_ENTITIES else "")
    return f"; in it are {shown}: choose with --entity-id" if len(found) > 1 else ""


def _why(what: str, reason: str) -> str:
    return f"relying-party {what}" + (f": {reason}" if reason.strip() else "")


# --- telling -----------------------------------------------------------------------------------------------------------


def _where(settings: SamlApplicationSettings) -> str:
    metadata = settings.metadata
    if metadata is None:
        return "by hand"
    if metadata.url is not None:
        return metadata.url
    return f"file {metadata.file}" if metadata.file is not None else "in the document"


def _described(party: RelyingParty) -> dict[str, Any]:
    metadata = party.metadata
    return {
        "entity_id": party.entity_id,
        "title": party.title,
        "acs": [
            {"url": each.url, "index": each.index, "default": each == consumers.default_consumer(metadata)} for each in metadata.acs
        ],
        "slo": [{"url": each.url, "binding": each.binding, "response_url": each.response_url} for each in metadata.slo],
        "certificates": {
            "signing": [_certificate(each) for each in metadata.signing_certificates],
            "encryption": [_certificate(each) for each in metadata.encryption_certificates],
        },
        "signed_requests": party.requires_signed_requests,
        "sign": party.response.sign.value,
        "encrypt": party.response.encrypt.value,
        "key": party.key_kind.value,
        "name_id": party.name_id.format.value,
        "name_id_formats": [each.value for each in party.name_id_formats],
        "claims": [each.name for each in party.claims],
        "assertion_life_s": party.assertion_life_s,
        "idp_initiated": party.unsolicited,
        "logout": party.slo_wanted and bool(metadata.slo),
        "valid_until": _time(metadata.valid_until),
    }


def _certificate(der: bytes) -> dict[str, Any]:
    found = x509.load_der_x509_certificate(der)
    return {"sha256": fingerprint(der), "ends_at": found.not_valid_after_utc.isoformat()}


def _key(key: SigningKey, signs: bool, now_ms: int) -> dict[str, Any]:
    return {
        "name": key.name,
        "kind": key.kind.value,
        "state": "signs" if signs else "next" if key.signs_from > now_ms else "old",
        "signs_from": _time(key.signs_from),
        "published_until": _time(key.published_until),
        "certificate": {
            "sha256": fingerprint(key.certificate),
            "ends_at": _time(key.ends_at),
            "pem": x509.load_der_x509_certificate(key.certificate).public_bytes(Encoding.PEM).decode(),
        },
    }


def _time(at_ms: int | None) -> str | None:
    return from_ms(at_ms).isoformat(timespec="seconds") if at_ms is not None else None


def _person(office: Office, document: Document, party: RelyingParty, found: Found, user: str, directory: str | None) -> Person:
    """The facts that the door would fill claims from; of somebody whom nobody has met, with a name that he will not keep."""
    told = found.user
    return Person(
        subject=persistent_name(office.ring, party.entity_id, found.subject_id or "nobody has met him yet"),
        user_name=told.name,
        realm=_realm(document, user, told.directory, directory),
        directory=told.directory,
        display_name=told.display_name,
        mail=told.mail or "",
        phone=told.phone or "",
        language=told.language or "",
        groups=told.groups,
        group_aliases=told.group_aliases,
        attributes=told.attributes,
    )


def _realm(document: Document, user: str, owner: str, directory: str | None) -> str:
    if directory is None:
        realm, _ = parse_login_name(user, Realms([Realm(each, ()) for each in document.realms]))
        return realm.name
    return next((realm.name for realm in document.realms if owner in realm.directories), "")


def _content(office: Office, party: RelyingParty, name_id: NameId, claims: Any, issuer: str) -> AssertionContent:
    now_ms = office.now_ms()
    return AssertionContent(
        response_id="_preview-response",
        assertion_id="_preview",
        issuer=issuer,
        recipient=consumers.default_consumer(party.metadata).url,
        in_response_to="",
        audience=party.entity_id,
        name_id=name_id,
        attributes=claims,
        issued_at=now_ms,
        authn_instant=now_ms,
        session_index="_preview-session",
        session_not_on_or_after=None,
        context_class=names.CONTEXT_UNSPECIFIED,
        not_before=now_ms,
        not_on_or_after=now_ms + party.assertion_life_s * 1000,
    )
