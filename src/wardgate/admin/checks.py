"""`wardgate check`: what is wrong or weak in an installation, each with what to do about it. Changes nothing that matters."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from wardgate.account.authenticator import bound_to
from wardgate.account.contact_seal import bound_to as contact_bound_to
from wardgate.admin.directories import list_directories
from wardgate.admin.directory_files import unreadable_files, without_library
from wardgate.admin.findings import Finding, Level, split
from wardgate.admin.machine_checks import look_at_machine
from wardgate.admin.office import Office
from wardgate.admin.party_checks import party_findings
from wardgate.admin.questions import question_findings
from wardgate.admin.risk import risk_findings
from wardgate.admin.user_import import check_foreign_hashes
from wardgate.brand.looks import logo_problems
from wardgate.config.document import Document, map_secrets
from wardgate.config.lapses import near_or_past
from wardgate.config.reference import FileReference, SecretSetting
from wardgate.config.secrets import resolve_all, resolver
from wardgate.config.store import load_current
from wardgate.crypto import MAC_ROOT
from wardgate.delivery.kind import GatewaySettings
from wardgate.delivery.port import Channel
from wardgate.delivery.registry import kind_of
from wardgate.errors import SealError, SettingsError, WardgateError
from wardgate.installation import Opened
from wardgate.settings import StartSettings
from wardgate.storage.port import Row, Where

WEAK_SECRET_CHARS: Final = 12
SAMPLE_ROWS: Final = 200
CONNECT_TIMEOUT_S: Final = 5.0
_OWN_HASH: Final = "argon2id"


async def check_installation(office: Office, opened: Opened, *, online: bool = False) -> dict[str, Any]:
    """Every finding. With `online`, also whether directories answer and gateways' servers take a connection; nothing is sent."""
    findings = await look_at_machine(office, opened)
    findings += [finding async for finding in _keys(office)]
    findings += [finding async for finding in _document(office, opened.installation.settings, online)]
    findings += [finding async for finding in _hashes(office)]
    return told(findings)


def told(findings: list[Finding]) -> dict[str, Any]:
    """The result: gravest first."""
    order = list(Level)
    ordered = sorted(findings, key=lambda finding: order.index(finding.level))
    return {
        "ok": all(finding.level is not Level.ERROR for finding in ordered),
        "findings": [{**asdict(finding), "level": finding.level.value} for finding in ordered],
    }


# --- keys ---------------------------------------------------------------------------------------------------------------


async def _keys(office: Office) -> AsyncIterator[Finding]:
    numbers = [row["number"] for row in await office.storage.find("data_key") if row["number"] != MAC_ROOT]
    if len(numbers) > 1:
        yield Finding(Level.WARNING, "a key rotation was cut short", "wardgate key rotate goes on with it")
    for table, sealed_to in _SAMPLES.items():
        rows = await office.storage.find(
            table, [Where("sealed", "not_null")], order_by="created_at", descending=True, limit=SAMPLE_ROWS
        )
        broken = sum(not _opens(office, row, sealed_to(row)) for row in rows)
        if broken:
            what = f"{broken} of the {len(rows)} newest {table}s do not open: they were changed, or their key is gone"
            yield Finding(Level.ERROR, what, "restore the database and the key file of one backup together")


_SAMPLES: Final[Mapping[str, Callable[[Row], str]]] = {
    "authenticator": lambda row: bound_to(str(row["id"])),
    "contact": lambda row: contact_bound_to(str(row["subject_id"]), str(row["kind"]), _octets(row["value_key"])),
}


def _opens(office: Office, row: Row, place: str) -> bool:
    try:
        office.ring.open(_octets(row["sealed"]), place)
    except SealError:
        return False
    return True


def _octets(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


# --- the document --------------------------------------------------------------------------------------------------------


async def _document(office: Office, settings: StartSettings, online: bool) -> AsyncIterator[Finding]:
    try:
        _, document = await load_current(office.storage)
    except WardgateError as error:
        yield Finding(Level.ERROR, error.message, "wardgate config rollback to a version that this release can use")
        return
    for message in resolve_all(document, office.ring):
        yield Finding(Level.ERROR, *split(SettingsError(message)))
    found = [*_directory_files(document), *_nas(office, document), *_secret_files(document), *_channels(document)]
    for finding in (*found, *_links(document, settings), *_logos(document), *_lapses(office, document)):
        yield finding
    for finding in await party_findings(office, document, settings):
        yield finding
    for finding in await asyncio.to_thread(risk_findings, document):
        yield finding
    for finding in await asyncio.to_thread(lambda: [*question_findings(document)]):
        yield finding
    if online:
        async for finding in _silent_directories(office, document):
            yield finding
        for gateway in document.gateways:
            for problem in await _unreachable(gateway):
                yield Finding(
                    Level.ERROR, f"gateway {gateway.name}: {problem}", "look at the network, the address and the firewall"
                )


def _links(document: Document, settings: StartSettings) -> Iterator[Finding]:
    """Short links that cannot be given out, because this machine does not know where the portal is."""
    here = any("portal" in each.doors for each in settings.https_listeners)
    if here or settings.portal_url or not settings.radius_addresses:
        return
    led = [each.name for each in document.applications if each.page_link != "off" or each.enrol_by_link]
    if led:
        what = f"no short links for {', '.join(led)}: no listener here has the portal, and nothing says where it is"
        cure = "set server.portal_url in wardgate.toml to the portal's public_url, such as https://login.acme.test, and restart"
        yield Finding(Level.WARNING, what, cure)


def _lapses(office: Office, document: Document) -> Iterator[Finding]:
    for message in near_or_past(document, office.clock.now().date()):
        yield Finding(Level.WARNING, message, "take accept_weaker out; where it is needed still, give it another day and a reason")


def _directory_files(document: Document) -> Iterator[Finding]:
    for message in without_library(document):
        yield Finding(Level.ERROR, message, "without it everybody signs in with a password, as if it were not configured")
    for directory in document.directories:
        for message in unreadable_files(directory):
            yield Finding(Level.ERROR, message, "put it there, readable for the server's user; the directory is down until then")


async def _silent_directories(office: Office, document: Document) -> AsyncIterator[Finding]:
    listed = await list_directories(office, document=document)
    for each in listed["directories"]:
        if not each["answers"]:
            what = f"directory {each['name']} does not answer: {each['problem']}"
            yield Finding(Level.ERROR, what, f"wardgate directory doctor {each['name']} says where it fails")


def _nas(office: Office, document: Document) -> Iterator[Finding]:
    if not document.nas:
        yield Finding(Level.INFO, "no NAS is configured: nobody can log in by RADIUS", "wardgate nas add NAME --address ADDRESS")
    for nas in document.nas:
        try:
            weak = len(resolver("nas", nas, office.ring)(nas.secret).reveal()) < WEAK_SECRET_CHARS
        except SettingsError:
            weak = False
        if weak:
            what = f"NAS {nas.name}: its secret is shorter than {WEAK_SECRET_CHARS} characters and can be guessed from one packet"
            yield Finding(Level.WARNING, what, "give it 16 or more random characters, here and on the device")
        if nas.message_authenticator == "accept_missing":
            what = f"NAS {nas.name}: requests without Message-Authenticator are accepted (CVE-2024-3596)"
            yield Finding(Level.WARNING, what, "update the device, then set message_authenticator: require")


def _secret_files(document: Document) -> Iterator[Finding]:
    named: dict[str, None] = {}

    def note(place: str, setting: SecretSetting, path: str) -> SecretSetting:
        if isinstance(setting, FileReference):
            named[setting.file] = None
        return setting

    map_secrets(document, note)
    for file in filter(os.path.exists, named):
        mode = stat.S_IMODE(os.stat(file).st_mode)
        if mode & 0o007:
            yield Finding(Level.WARNING, f"{file} can be read by everybody (mode {mode:o})", f"chmod o-rwx {file}")


def _logos(document: Document) -> Iterator[Finding]:
    cure = "put it right, then systemctl reload wardgate; the name stands in its place until then"
    for problem in logo_problems(document.brand, {realm.name: realm.brand for realm in document.realms}):
        yield Finding(Level.WARNING, problem, cure)


def _channels(document: Document) -> Iterator[Finding]:
    there = {kind_of(each).channel(each) for each in document.gateways}
    for channel, shown in ((Channel.SMS, "SMS"), (Channel.EMAIL, "e-mail")):
        if channel not in there:
            yield Finding(
                Level.INFO, f"no gateway for {shown}: codes cannot go out that way", "add one under gateways in the document"
            )


async def _unreachable(gateway: GatewaySettings) -> list[str]:
    problems = []
    for endpoint in kind_of(gateway).endpoints(gateway):
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(endpoint.host, endpoint.port), CONNECT_TIMEOUT_S)
            writer.close()
        except (OSError, TimeoutError, UnicodeError) as error:
            cause = getattr(error, "strerror", None) or type(error).__name__
            problems.append(f"{endpoint.host}:{endpoint.port} takes no connection ({cause})")
    return problems


async def _hashes(office: Office) -> AsyncIterator[Finding]:
    counts = await check_foreign_hashes(office.storage)
    foreign = {scheme: count for scheme, count in counts.items() if scheme != _OWN_HASH}
    if foreign:
        listed = ", ".join(f"{count} {scheme}" for scheme, count in sorted(foreign.items()))
        what = f"passwords are kept under hashes from elsewhere: {listed}"
        yield Finding(
            Level.WARNING, what, "they are upgraded at the next login, but those imported with --keep-hashes: import again without"
        )
