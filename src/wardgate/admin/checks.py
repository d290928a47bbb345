"""`wardgate check`: what is wrong or weak in an installation, each with what to do about it. Changes nothing that matters."""

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from wardgate.account.authenticator import bound_to
from wardgate.admin.office import Office
from wardgate.admin.user_import import check_foreign_hashes
from wardgate.certificates import valid_until
from wardgate.config.document import Document, map_secrets
from wardgate.config.reference import FileReference, SecretSetting
from wardgate.config.secrets import resolve_all, resolver
from wardgate.config.store import load_current
from wardgate.crypto import MAC_ROOT
from wardgate.delivery.kind import GatewaySettings
from wardgate.delivery.port import Channel
from wardgate.delivery.registry import kind_of
from wardgate.errors import SealError, SettingsError, WardgateError
from wardgate.installation import Installation, Opened
from wardgate.storage.port import Upsert, Where

WEAK_SECRET_CHARS: Final = 12
CERTIFICATE_WARNING: Final = timedelta(days=30)
LOW_DISK_BYTES: Final = 512 * 1024 * 1024
NO_DISK_BYTES: Final = 64 * 1024 * 1024
SAMPLE_ROWS: Final = 200
CONNECT_TIMEOUT_S: Final = 5.0
_OWN_HASH: Final = "argon2id"


class Level(StrEnum):
    """How grave a finding is. Only an error makes the command fail."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or weak, and the cure."""

    level: Level
    what: str
    cure: str


async def check_installation(office: Office, opened: Opened, *, online: bool = False) -> dict[str, Any]:
    """Every finding. With `online`, also whether the gateways' servers take a connection; nothing is sent."""
    findings = list(_files(opened.installation))
    findings += _certificate(office, opened.installation)
    findings += [finding async for finding in _database(opened)]
    findings += [finding async for finding in _keys(office)]
    findings += [finding async for finding in _document(office, online)]
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


# --- files and the database ----------------------------------------------------------------------------------------------


def _files(installation: Installation) -> Iterator[Finding]:
    for path, what in ((installation.data, "the data directory"), (installation.certificate_key, "the TLS key")):
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        if mode & 0o077:
            yield Finding(Level.ERROR, f"{what} {path} is open to others (mode {mode:o})", f"chmod go-rwx {path}")
    try:
        installation.master_key()
    except SettingsError as error:
        yield Finding(Level.ERROR, *_split(error))
    if installation.settings.database.embedded:
        yield from _room(installation)


def _room(installation: Installation) -> Iterator[Finding]:
    """Room for the SQLite file; PostgreSQL may be on another machine."""
    free = shutil.disk_usage(installation.database.parent).free
    if free < LOW_DISK_BYTES:
        level = Level.ERROR if free < NO_DISK_BYTES else Level.WARNING
        what = f"{free // 1024 // 1024} MiB are free beside the database; on a full disk every login is refused"
        yield Finding(level, what, "make room, or move the database")


def _certificate(office: Office, installation: Installation) -> Iterator[Finding]:
    cure = f"put a new certificate and key at {installation.certificate} and {installation.certificate_key}, then restart"
    try:
        until = valid_until(installation.certificate)
    except SettingsError as error:
        yield Finding(Level.ERROR, error.message, cure)
        return
    if until < office.clock.now():
        yield Finding(Level.ERROR, f"the certificate {installation.certificate} ran out on {until:%Y-%m-%d}", cure)
    elif until < office.clock.now() + CERTIFICATE_WARNING:
        yield Finding(Level.WARNING, f"the certificate {installation.certificate} runs out on {until:%Y-%m-%d}", cure)


async def _database(opened: Opened) -> AsyncIterator[Finding]:
    embedded = opened.installation.settings.database.embedded
    problem = await asyncio.to_thread(_integrity, opened.installation.database) if embedded else None
    if problem is not None:
        yield Finding(Level.ERROR, f"the database is damaged: {problem}", "stop the server and restore the last backup")
    try:
        await opened.storage.commit([Upsert("installation", {"name": "last_check", "value": opened.installation.data.name})])
    except WardgateError as error:
        cure = "look at the disk's space and rights" if embedded else "look at PostgreSQL and its log"
        yield Finding(Level.ERROR, f"the database cannot be written: {error.message}", cure)


def _integrity(path: Path) -> str | None:
    """What SQLite finds wrong with the file, or None. By a connection of its own, which cannot write."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=CONNECT_TIMEOUT_S)
        try:
            answer = connection.execute("pragma quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        return str(error)
    return None if answer == ("ok",) else str(answer[0])


async def _keys(office: Office) -> AsyncIterator[Finding]:
    numbers = [row["number"] for row in await office.storage.find("data_key") if row["number"] != MAC_ROOT]
    if len(numbers) > 1:
        yield Finding(Level.WARNING, "a key rotation was cut short", "wardgate key rotate goes on with it")
    rows = await office.storage.find(
        "authenticator", [Where("sealed", "not_null")], order_by="created_at", descending=True, limit=SAMPLE_ROWS
    )
    broken = 0
    for row in rows:
        try:
            office.ring.open(row["sealed"] if isinstance(row["sealed"], bytes) else b"", bound_to(str(row["id"])))
        except SealError:
            broken += 1
    if broken:
        what = f"{broken} of the {len(rows)} newest authenticators do not open: they were changed, or their key is gone"
        yield Finding(Level.ERROR, what, "restore the database and the key file of one backup together")


# --- the document --------------------------------------------------------------------------------------------------------


async def _document(office: Office, online: bool) -> AsyncIterator[Finding]:
    try:
        _, document = await load_current(office.storage)
    except WardgateError as error:
        yield Finding(Level.ERROR, error.message, "wardgate config rollback to a version that this release can use")
        return
    for message in resolve_all(document, office.ring):
        yield Finding(Level.ERROR, *_split(SettingsError(message)))
    for finding in (*_nas(office, document), *_secret_files(document), *_channels(document)):
        yield finding
    if online:
        for gateway in document.gateways:
            for problem in await _unreachable(gateway):
                yield Finding(
                    Level.ERROR, f"gateway {gateway.name}: {problem}", "look at the network, the address and the firewall"
                )


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


def _split(error: SettingsError) -> tuple[str, str]:
    """A message of ours reads `problem: cure`."""
    problem, colon, cure = error.message.rpartition(": ")
    return (problem, cure) if colon else (error.message, "correct it")
