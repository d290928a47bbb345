"""What is wrong or weak in a relying party, as far as it can be seen from here, and what cannot: `relying-party test` and
`check`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from wardgate.admin.findings import Finding, Level
from wardgate.admin.office import Office
from wardgate.admin.relying_parties import find_party, parties_of
from wardgate.brand.looks import read_logo
from wardgate.clock import from_ms
from wardgate.config.document import Document
from wardgate.config.store import load_current
from wardgate.errors import SettingsError
from wardgate.federation.building import build_party, unfolded
from wardgate.federation.checking import doubts, shared_names
from wardgate.federation.claims import GROUPS
from wardgate.federation.presets import preset_of
from wardgate.federation.relying_party import KeyKind, RelyingParty
from wardgate.federation.saml import names
from wardgate.federation.saml.values import Encrypt, Sign
from wardgate.federation.settings import SamlApplicationSettings
from wardgate.federation.signing_keys import DAY_MS, SigningKeys, load_keys
from wardgate.federation.standing import metadata_of
from wardgate.federation.stored_metadata import Stored, load_stored
from wardgate.installation import EPOCH_OPENED_AT
from wardgate.settings import StartSettings

# An application's certificate is changed by somebody else, who has to be asked first.
CERTIFICATE_DAYS: Final = 30
METADATA_DAYS: Final = 3
# How long after a restore our signing keys are doubted aloud.
RESTORED_DAYS: Final = 30
CONNECT_TIMEOUT_S: Final = 5.0
MAX_KINDS_TOLD: Final = 4
HTTPS_PORT: Final = 443


async def examine_party(office: Office, settings: StartSettings, *, name: str, online: bool = False) -> dict[str, Any]:
    """Every finding about one relying party, and what nobody can see from here. With `online`, also whether its addresses
    answer."""
    _, document = await load_current(office.storage)
    found = find_party(document, name)
    stored, now_ms = (await load_stored(office.storage)).get(found.name), office.now_ms()
    keys = await load_keys(office.storage, office.ring)
    findings = [*_place(settings), *_serving(found, stored, now_ms), *_keys(found, keys, now_ms)]
    findings += await _revived(office, keys)
    party = _party(found, stored)
    if party is not None:
        findings += [
            *_certificates(party, now_ms),
            *_addresses(party),
            *_name(party),
            *_nothing_told(party),
            *_unsigned(party),
            *_unencrypted(party),
        ]
        findings += _told(found)
        findings += [finding async for finding in _answering(party)] if online else []
    findings += [*_shared(document, found), *_policy(found), *_initiated(found)]
    order = list(Level)
    ordered = sorted(findings, key=lambda finding: order.index(finding.level))
    return {
        "name": found.name,
        "ok": all(finding.level is not Level.ERROR for finding in ordered),
        "findings": [{**asdict(finding), "level": finding.level.value} for finding in ordered],
        "unseen": _unseen(found),
    }


async def party_findings(office: Office, document: Document, settings: StartSettings) -> list[Finding]:
    """What `wardgate check` tells: of every relying party what keeps it from being served or soon will, and of our keys their
    end."""
    parties = parties_of(document)
    if not parties:
        return []
    now_ms, stored = office.now_ms(), await load_stored(office.storage)
    keys = await load_keys(office.storage, office.ring)
    # That the portal has no public_url is said of its listener already.
    findings = [*_nowhere(settings), *await _revived(office, keys)]
    for each in parties:
        findings += [*_serving(each, stored.get(each.name), now_ms), *_keys(each, keys, now_ms)]
        party = _party(each, stored.get(each.name))
        findings += _certificates(party, now_ms) if party is not None else ()
        findings += _shared(document, each)
        findings += await asyncio.to_thread(list, _icon(each))
    return list(dict.fromkeys(findings))


def unserved(document: Document) -> list[str]:
    """What a document that is put in force would not serve, of what this machine can read now."""
    told = []
    for number, each in enumerate(document.applications):
        if isinstance(each, SamlApplicationSettings) and not (each.metadata is not None and each.metadata.url is not None):
            try:
                build_party(each, metadata_of(each, None))
            except SettingsError as error:
                told.append(f"applications[{number}]: {each.name} is not served: {error.message}")
    return told


def _party(settings: SamlApplicationSettings, stored: Stored | None) -> RelyingParty | None:
    try:
        return build_party(settings, metadata_of(settings, stored))
    except SettingsError:
        return None


# --- what is here ------------------------------------------------------------------------------------------------------


def _nowhere(settings: StartSettings) -> Iterator[Finding]:
    if not any("portal" in each.doors for each in settings.https_listeners):
        what = "no listener here has the portal, where people sign in to applications"
        yield Finding(Level.WARNING, what, "add portal to the doors of [https] in wardgate.toml on the machine that serves it")


def _place(settings: StartSettings) -> Iterator[Finding]:
    yield from _nowhere(settings)
    if not settings.portal_url and any("portal" in each.doors for each in settings.https_listeners):
        what = "the portal has no public_url: our entity id and addresses name this machine"
        cure = (
            "set public_url of [https] in wardgate.toml, such as https://login.acme.test, before any application has our metadata"
        )
        yield Finding(Level.WARNING, what, cure)


def _serving(settings: SamlApplicationSettings, stored: Stored | None, now_ms: int) -> Iterator[Finding]:
    name = f"relying party {settings.name}"
    try:
        party = build_party(settings, metadata_of(settings, stored))
    except SettingsError as error:
        yield Finding(Level.ERROR, f"{name} is not served: {error.message}", _cure(settings))
        return
    if not party.is_valid(now_ms):
        until = from_ms(party.metadata.valid_until or 0)
        yield Finding(Level.ERROR, f"{name} is not served: its metadata ended on {until:%Y-%m-%d}", _cure(settings))
    elif stored is not None and stored.problem:
        until = from_ms(party.metadata.valid_until or now_ms)
        what = f"{name}: its metadata cannot be renewed ({stored.problem}); what there is counts until {until:%Y-%m-%d %H:%M} UTC"
        yield Finding(Level.WARNING, what, _cure(settings))
    elif party.metadata.valid_until is not None and party.metadata.valid_until < now_ms + METADATA_DAYS * DAY_MS and stored is None:
        until = from_ms(party.metadata.valid_until)
        yield Finding(Level.WARNING, f"{name}: its metadata ends on {until:%Y-%m-%d %H:%M} UTC", _cure(settings))


def _icon(settings: SamlApplicationSettings) -> Iterator[Finding]:
    path = settings.launchpad.icon_file
    if path is None:
        return
    try:
        read_logo(path)
    except SettingsError as error:
        what = f"relying party {settings.name}: its icon {path} {error.message}"
        yield Finding(Level.WARNING, what, "put it right, then systemctl reload wardgate; it is shown without one until then")


def _cure(settings: SamlApplicationSettings) -> str:
    metadata = settings.metadata
    if metadata is None:
        return "correct what stands in the document"
    if metadata.url is not None:
        return f"look at {metadata.url}, at metadata.allow where it is inside, and at metadata.authority"
    return f"get the present metadata from the application: wardgate relying-party renew {settings.name} --metadata FILE"


def _keys(settings: SamlApplicationSettings, keys: SigningKeys, now_ms: int) -> Iterator[Finding]:
    if all(key.kind != settings.key for key in keys.all):
        what = f"no {settings.key} key signs yet for relying party {settings.name}"
        yield Finding(Level.WARNING, what, "start the server: it makes the first key of each kind by itself")
    for key in keys.ending(now_ms):
        if key.kind == settings.key:
            what = f"the certificate of our signing key {key.name} ends on {from_ms(key.ends_at):%Y-%m-%d}"
            cure = f"wardgate relying-party roll-key --kind {key.kind.value}, and give our metadata anew to whoever holds a copy"
            yield Finding(Level.WARNING if key.ends_at > now_ms else Level.ERROR, what, cure)


async def _revived(office: Office, keys: SigningKeys) -> list[Finding]:
    """Keys that sign and are older than the epoch: a backup knows nothing of a key that took their place after it was made."""
    row, now_ms = await office.storage.get("installation", {"name": EPOCH_OPENED_AT}), office.now_ms()
    opened_at = int(str(row["value"])) if row is not None else 0
    if not opened_at or now_ms >= opened_at + RESTORED_DAYS * DAY_MS:
        return []
    signing = [key for kind in KeyKind if (key := keys.signing(kind, now_ms)) is not None and key.created_at < opened_at]
    what = f"was restored on {from_ms(opened_at):%Y-%m-%d}: if another had taken its place since the backup, it must not sign"
    cure = f"then wardgate relying-party roll-key --notice 0 --stay 0 --kind KIND; this is said for {RESTORED_DAYS} days"
    return [Finding(Level.WARNING, f"our signing key {key.name} {what}", cure.replace("KIND", key.kind.value)) for key in signing]


# --- what the application says -----------------------------------------------------------------------------------------


def _certificates(party: RelyingParty, now_ms: int) -> Iterator[Finding]:
    known = (*party.metadata.signing_certificates, *party.metadata.encryption_certificates)
    for der in dict.fromkeys(known):
        ends = x509.load_der_x509_certificate(der).not_valid_after_utc
        left = (ends - from_ms(now_ms)).days
        if left < CERTIFICATE_DAYS:
            word = "ended" if ends <= from_ms(now_ms) else "ends"
            what = f"relying party {party.name}: a certificate of its metadata {word} on {ends:%Y-%m-%d}"
            cure = "its keys count as long as its metadata names them; ask whether it changes them, and take the new metadata then"
            yield Finding(Level.WARNING, what, cure)
    if party.metadata.unusable_certificates:
        what = f"relying party {party.name}: {party.metadata.unusable_certificates} keys of its metadata are too weak or unknown"
        yield Finding(Level.WARNING, what, "have it make an RSA key of 2048 bits or more, or P-256")


def _name(party: RelyingParty) -> Iterator[Finding]:
    listed = party.metadata.name_id_formats
    if listed and party.name_id.format not in listed and names.FORMAT_UNSPECIFIED not in listed:
        kinds = ", ".join(each.rpartition(":")[2] for each in listed[:MAX_KINDS_TOLD])
        what = f"{party.name}: it is told names of the kind {_word(party)}, and its metadata takes {kinds}"
        yield Finding(Level.WARNING, what, "set name_id to one of those, or have the application take what it gets")


def _nothing_told(party: RelyingParty) -> Iterator[Finding]:
    if not party.claims:
        what = f"{party.name} is told a person's name there and nothing else"
        cure = "OneLogin's libraries (PHP, Python) refuse a statement without attributes: give it a claim, such as mail"
        yield Finding(Level.INFO, what, cure)


def _unsigned(party: RelyingParty) -> Iterator[Finding]:
    if party.metadata.wants_assertions_signed and party.response.sign is Sign.RESPONSE:
        what = f"{party.name}: its metadata wants assertions signed, and the response alone is"
        yield Finding(Level.WARNING, what, "set sign: both, or assertion")


def _unencrypted(party: RelyingParty) -> Iterator[Finding]:
    if party.metadata.encryption_certificates and party.response.encrypt is Encrypt.NONE:
        what = f"{party.name}: its metadata has a key to encrypt for, and its assertions are not encrypted"
        yield Finding(Level.INFO, what, "where it wants them encrypted, or claims are confidential, set encrypt: aes256-gcm")


def _word(party: RelyingParty) -> str:
    return party.name_id.format.rpartition(":")[2]


def _addresses(party: RelyingParty) -> Iterator[Finding]:
    if party.metadata.unusable_addresses:
        count = party.metadata.unusable_addresses
        what = f"{party.name}: of its metadata's addresses {count} are plain http, and nothing is sent there"
        yield Finding(Level.INFO, what, "have it name https alone; a request that names one of them is refused")
    addresses = [each.url for each in (*party.metadata.acs, *party.metadata.slo)]
    if any(not each.startswith("https:") for each in addresses):
        yield Finding(Level.WARNING, f"{party.name}: an address on this machine is not https", "for trials alone")
    known = preset_of(party.preset).known_consumers
    strange = [each.url for each in party.metadata.acs if known and not each.url.startswith(known)]
    if strange:
        what = f"{party.name}: responses go to {strange[0]}, which is not how addresses of {preset_of(party.preset).title} begin"
        yield Finding(Level.WARNING, what, "compare it with what its own console shows")


async def _answering(party: RelyingParty) -> AsyncIterator[Finding]:
    for url in dict.fromkeys(each.url for each in party.metadata.acs):
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or HTTPS_PORT
        try:
            wait = asyncio.open_connection(host, port, ssl=parts.scheme == "https" or None)
            _, writer = await asyncio.wait_for(wait, CONNECT_TIMEOUT_S)
            writer.close()
        except (OSError, TimeoutError, UnicodeError) as error:
            cause = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
            what = f"{party.name}: {host}:{port} could not be reached from here ({cause})"
            yield Finding(Level.INFO, what, "browsers alone have to reach it; look whether they do")


# --- what it is told ---------------------------------------------------------------------------------------------------


def _told(settings: SamlApplicationSettings) -> Iterator[Finding]:
    for below, problem in doubts(settings):
        yield Finding(Level.WARNING, f"{'.'.join(map(str, below))}: {problem}", "change the document")
    preset = preset_of(settings.preset)
    for name, written in {**preset.claims, **settings.claims}.items():
        claim = unfolded(written)
        if claim.source == GROUPS and not claim.only and not claim.map:
            what = f"{settings.name}: the claim {name} tells every group of a person"
            yield Finding(Level.INFO, what, "limit it with only, or give roles instead with map, if the application needs few")


def _shared(document: Document, settings: SamlApplicationSettings) -> Iterator[Finding]:
    for below, problem in shared_names(settings) if len(document.realms) > 1 else ():
        what = f"relying party {settings.name}: {'.'.join(map(str, below))}: {problem}"
        yield Finding(Level.WARNING, what, "change the document, before anybody has an account there by that name")


def _policy(settings: SamlApplicationSettings) -> Iterator[Finding]:
    if settings.policy is None:
        what = f"{settings.name} has no policy of its own: a password and any enrolled second factor let everybody in"
        yield Finding(Level.INFO, what, "name a policy: who may come in, and with what")


def _initiated(settings: SamlApplicationSettings) -> Iterator[Finding]:
    if settings.idp_initiated:
        what = f"{settings.name} takes responses that it did not ask for, as far as we are concerned"
        cure = "where it can begin the sign-in itself, set idp_initiated: false and launchpad.address"
        yield Finding(Level.INFO, what, cure)


def _unseen(settings: SamlApplicationSettings) -> list[str]:
    """What is at the other end, and nobody can see from here."""
    preset = preset_of(settings.preset)
    told = [f"Whether people can go round us: {preset.own_login}"]
    if preset.source:
        told.append(f"The preset was written from the maker's documents ({preset.source}) and not run against it.")
    return told
