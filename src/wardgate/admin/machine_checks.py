"""The part of `wardgate check` that looks at the machine: files, certificates, database, backups, and who does what."""

import asyncio
import ipaddress
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wardgate.admin.backups import LAST_BACKUP, RECIPIENTS
from wardgate.admin.findings import Finding, Level, split
from wardgate.admin.office import Office
from wardgate.certificates import covers, names_of, valid_until
from wardgate.clock import from_ms, to_ms
from wardgate.clock_watch import LARGEST_DIFFERENCE_S, STEP_S, DatabaseClock
from wardgate.delivery.outage import is_note
from wardgate.delivery.outbox import TABLE as OUTBOX
from wardgate.delivery.outbox import OutboxState
from wardgate.errors import SettingsError, WardgateError
from wardgate.installation import Installation, Opened
from wardgate.leases import TABLE as LEASE
from wardgate.storage.port import Find, Upsert, Where

CERTIFICATE_WARNING: Final = timedelta(days=30)
BACKUP_WARNING: Final = timedelta(days=7)
LOW_DISK_BYTES: Final = 512 * 1024 * 1024
NO_DISK_BYTES: Final = 64 * 1024 * 1024
LOCK_WAIT_S: Final = 5.0
# A login waits for several round trips.
SLOW_ROUND_TRIP_S: Final = 0.02
ROUND_TRIPS: Final = 5
# A message that nobody took for so long, though any machine of the role is woken when it comes.
OVERDUE_MS: Final = 60_000
MAX_LEASES: Final = 100


async def look_at_machine(office: Office, opened: Opened) -> list[Finding]:
    """Every finding."""
    installation = opened.installation
    findings = [*_files(installation), *_room(installation), *_certificates(office, installation)]
    findings += [finding async for finding in _database(office, opened)]
    findings += [finding async for finding in _roles(office, installation)]
    if not installation.demo:
        findings += _reached(installation)
        findings += [finding async for finding in _backups(office)]
    return findings


# --- files ---------------------------------------------------------------------------------------------------------------


def _files(installation: Installation) -> Iterator[Finding]:
    keys = dict.fromkeys(installation.data / each.key for each in installation.settings.https_listeners)
    for path, what in ((installation.data, "the data directory"), *((key, "the TLS key") for key in keys)):
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
        if mode & 0o077:
            yield Finding(Level.ERROR, f"{what} {path} is open to others (mode {mode:o})", f"chmod go-rwx {path}")
    try:
        installation.master_key()
    except SettingsError as error:
        yield Finding(Level.ERROR, *split(error))


def _room(installation: Installation) -> Iterator[Finding]:
    """Room for the SQLite file; on PostgreSQL the data directory only holds what a restart needs."""
    embedded = installation.settings.database.embedded
    free = shutil.disk_usage(installation.database.parent if embedded else installation.data).free
    if free >= LOW_DISK_BYTES:
        return
    level = Level.ERROR if free < NO_DISK_BYTES else Level.WARNING
    if embedded:
        what = f"{free // 1024 // 1024} MiB are free beside the database; on a full disk every login is refused"
        yield Finding(level, what, "make room, or move the database")
    else:
        what = f"{free // 1024 // 1024} MiB are free in {installation.data}; settings and keys cannot be replaced on a full disk"
        yield Finding(Level.WARNING, what, "make room")


def _certificates(office: Office, installation: Installation) -> Iterator[Finding]:
    """Those of all HTTPS listeners, each file once."""
    files = dict.fromkeys(
        (installation.data / each.certificate, installation.data / each.key) for each in installation.settings.https_listeners
    )
    now = office.clock.now()
    for certificate, key in files:
        cure = f"put a new certificate and key at {certificate} and {key}, then systemctl reload wardgate"
        try:
            until = valid_until(certificate)
        except SettingsError as error:
            yield Finding(Level.ERROR, error.message, cure)
            continue
        if not key.exists():
            yield Finding(Level.ERROR, f"the TLS key {key} is missing", cure)
        if until < now:
            yield Finding(Level.ERROR, f"the certificate {certificate} ran out on {until:%Y-%m-%d}", cure)
        elif until < now + CERTIFICATE_WARNING:
            yield Finding(Level.WARNING, f"the certificate {certificate} runs out on {until:%Y-%m-%d}", cure)


def _reached(installation: Installation) -> Iterator[Finding]:
    """By which name people reach the portal, and whether the certificate is for that name."""
    for each in installation.settings.https_listeners:
        if "portal" not in each.doors:
            continue
        listener, url = f"the portal at {each.address}:{each.port}", each.public_url
        if not url:
            what = f"{listener} has no public_url: it answers under any name, and links in messages lead to its own address"
            yield Finding(Level.WARNING, what, "set public_url in wardgate.toml, such as https://login.acme.test, and restart")
            continue
        host = urlsplit(url).hostname or ""
        if not _is_name(host):
            what = f"{listener} is reached by {url}, which is no full name: browsers keep no passkeys for it"
            yield Finding(Level.WARNING, what, "set public_url to a name of your own domain, such as https://login.acme.test")
        certificate = installation.data / each.certificate
        if not each.trusted_proxies and certificate.exists() and not _is_for(certificate, host):
            what = f"{listener} is reached by {url}, and the certificate {certificate} is not for {host}: browsers warn of it"
            yield Finding(Level.WARNING, what, f"put a certificate for {host} there, then systemctl reload wardgate")


def _is_name(host: str) -> bool:
    """Whether it is a host's name with a domain, and no address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host.strip(".")
    return False


def _is_for(certificate: Path, host: str) -> bool:
    """One that cannot be read is told of elsewhere."""
    try:
        return covers(names_of(certificate), host)
    except SettingsError:
        return True


# --- the database --------------------------------------------------------------------------------------------------------


async def _database(office: Office, opened: Opened) -> AsyncIterator[Finding]:
    """That it is whole and takes writes. Opening it has already brought its tables to this release and refused lost syncs."""
    embedded = opened.installation.settings.database.embedded
    if embedded and (problem := await asyncio.to_thread(_integrity, opened.installation.database)) is not None:
        yield Finding(Level.ERROR, f"the database is damaged: {problem}", "stop the server and restore the last backup")
    # Another value each time: a row that is there as it should be is not written, and a full disk would take that.
    row = {"name": "last_check", "value": str(office.clock.now_ms())}
    try:
        await opened.storage.commit([Upsert("installation", row)])
    except WardgateError as error:
        cure = "look at the disk's space and rights" if embedded else "look at PostgreSQL and its log"
        yield Finding(Level.ERROR, f"the database cannot be written: {error.message}", cure)
    if isinstance(opened.storage, DatabaseClock):
        async for finding in _neighbour(office, opened.storage):
            yield finding


def _integrity(path: Path) -> str | None:
    """What SQLite finds wrong with the file, or None. By a connection of its own, which cannot write."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_WAIT_S)) as connection:
            answer = connection.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return None if answer == ("ok",) else str(answer[0])


async def _neighbour(office: Office, database: DatabaseClock) -> AsyncIterator[Finding]:
    """How far away PostgreSQL is, in time: the way there, and the difference of the clocks."""
    shortest_s, differs_s = float("inf"), 0.0
    try:
        for _ in range(ROUND_TRIPS):
            began = office.clock.monotonic()
            theirs_ms = await database.clock_ms()
            took_s = office.clock.monotonic() - began
            if took_s < shortest_s:
                shortest_s, differs_s = took_s, (office.now_ms() - theirs_ms) / 1000 - took_s / 2
    except WardgateError as error:
        yield Finding(Level.ERROR, f"the database does not tell its time: {error.message}", "look at PostgreSQL and its log")
        return
    if abs(differs_s) > STEP_S:
        refused = abs(differs_s) > LARGEST_DIFFERENCE_S
        what = f"the clock of this machine differs from the database's by {differs_s:+.0f} s"
        what += "; no login is decided here" if refused else f"; from {LARGEST_DIFFERENCE_S:.0f} s on no login is decided here"
        yield Finding(Level.ERROR if refused else Level.WARNING, what, "let both follow a time service: timedatectl set-ntp true")
    if shortest_s > SLOW_ROUND_TRIP_S:
        what = f"a round trip to the database takes {shortest_s * 1000:.0f} ms, and a login waits for several"
        yield Finding(Level.WARNING, what, "put this machine nearer to the database, or look at the network")


# --- backups -------------------------------------------------------------------------------------------------------------


async def _backups(office: Office) -> AsyncIterator[Finding]:
    keys, made = await office.storage.read(
        [Find("installation", (Where("name", "=", name),), limit=1) for name in (RECIPIENTS, LAST_BACKUP)]
    )
    if not keys:
        what = "no backup key is set: without a backup a lost disk is the end of every authenticator"
        yield Finding(Level.WARNING, what, "wardgate backup key > operator.key, and keep that file away from this machine")
        return
    text = str(made[0]["value"]) if made else ""
    if not text.isdecimal():
        yield Finding(Level.WARNING, "no backup was ever made", "wardgate backup --to DIRECTORY, every night")
    elif office.clock.now() - (at := from_ms(int(text))) > BACKUP_WARNING:
        yield Finding(Level.WARNING, f"the last backup was made on {at:%Y-%m-%d}", "wardgate backup --to DIRECTORY, every night")


# --- who does what -------------------------------------------------------------------------------------------------------


async def _roles(office: Office, installation: Installation) -> AsyncIterator[Finding]:
    """A machine may leave jobs and delivery to others, if there are others that do them."""
    roles, alone = installation.settings.server.roles, installation.settings.database.embedded
    if "jobs" not in roles and (alone or not await _somebody_holds_a_lease(office)):
        what = "no machine does the scheduled jobs: what is old is not cleared away and the audit heads are not signed"
        yield Finding(Level.WARNING, what, "add jobs to server.roles in wardgate.toml, here or on another node, and restart there")
    if "delivery" not in roles and (alone or await _somebody_waits_for_a_message(office)):
        what = "no machine sends messages: codes by SMS and e-mail do not go out"
        yield Finding(
            Level.WARNING, what, "add delivery to server.roles in wardgate.toml, here or on another node, and restart there"
        )


async def _somebody_holds_a_lease(office: Office) -> bool:
    now_ms = to_ms(office.clock.now())
    leases = await office.storage.find(LEASE, limit=MAX_LEASES)
    return any(int(row["held_until"] or 0) > now_ms and not is_note(row) for row in leases)


async def _somebody_waits_for_a_message(office: Office) -> bool:
    """No lease tells who delivers: any number of workers do. A message that was due long ago tells that none does."""
    overdue = (Where("state", "=", OutboxState.QUEUED.value), Where("next_try_at", "<", office.now_ms() - OVERDUE_MS))
    return bool(await office.storage.find(OUTBOX, overdue, order_by="next_try_at", limit=1))
