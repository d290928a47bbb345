"""Moving an installation from its SQLite file to PostgreSQL, with the server stopped.

The source stays in force until everything is copied, compared and opened at its new place: the last step, one rename, puts the
new settings in force. A move that is cut short anywhere before can be run again. The SQLite file is left as it is.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wardgate.audit.trail import verify
from wardgate.errors import SettingsError, StorageError, UsageError
from wardgate.installation import Installation
from wardgate.settings import FILE_NAME, StartSettings, checked_settings, parse_settings, render_settings
from wardgate.storage.settings import DatabaseSettings, has_password

Advance = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """What was done: rows of each table, audit events whose chain was verified at the new place, and the file that was left."""

    tables: Mapping[str, int]
    events: int
    settings: Path
    kept: Path


def target_settings(installation: Installation, url: str, password_file: Path | None) -> DatabaseSettings:
    """The database to move to. Raises UsageError, SettingsError."""
    if not installation.settings.database.embedded:
        raise SettingsError("database.url: the installation is on PostgreSQL already")
    if has_password(url):
        # Whoever lists the processes of this machine reads the command line, and it would stand in the settings in clear.
        raise UsageError("--to must not hold a password: put it into a file of mode 600 and name that with --password-file")
    file = "" if password_file is None else str(password_file.absolute())
    target = replace(installation.settings.database, url=url, password_file=file)
    checked_settings(replace(installation.settings, database=target), "--to")
    if target.embedded:
        raise UsageError("--to names a SQLite file: storage moves to postgresql://USER@HOST/NAME")
    return target


async def move(installation: Installation, target: DatabaseSettings, advance: Advance = lambda done, word: None) -> Moved:
    """Copy, verify, and put the new settings in force. Hold the instance lock. Raises WardgateError."""
    # Only here: whoever stays on SQLite need not load asyncpg.
    from wardgate.storage.postgres_copy import copy_into
    from wardgate.storage.snapshot_sqlite import SqliteSnapshot

    identifier = await _identifier(installation)
    async with SqliteSnapshot(installation.database) as source:
        tables = await copy_into(target, installation.data, source, identifier, advance)
    events = await _proved(installation, target, advance)
    settings = put_in_force(installation, target)
    return Moved(tables, events, settings, installation.database)


async def _identifier(installation: Installation) -> str:
    """The id of the installation; opening it brings its tables to this release and proves that the key file belongs to it."""
    opened = await installation.connect()
    try:
        row = await opened.storage.get("installation", {"name": "id"})
    finally:
        await opened.storage.close()
    return "" if row is None else str(row["value"])


async def _proved(installation: Installation, target: DatabaseSettings, advance: Advance) -> int:
    """Open the copy as a server would: its keys open and its audit chains hold."""
    from wardgate.storage.postgres import PostgresStorage

    storage = await PostgresStorage.open(target, installation.data, unfinished=True)
    try:
        ring = await installation.unlock(storage)
        verification = await verify(storage, ring, progress=lambda events: advance(events, "audit chain"))
    finally:
        await storage.close()
    if verification.findings:
        first = verification.findings[0]
        raise StorageError(
            f"the audit trail does not verify (event {first.seq} of {first.writer}: {first.problem}): nothing was put in force; "
            "wardgate audit verify says whether the source is at fault"
        )
    return verification.events


# --- wardgate.toml ---------------------------------------------------------------------------------------------------


def put_in_force(installation: Installation, target: DatabaseSettings) -> Path:
    """Write `[database]` of wardgate.toml anew, whole or not at all; what else stands there stays, comments included."""
    path = installation.data / FILE_NAME
    wanted = replace(installation.settings, database=target)
    text = _with_database(path.read_text(encoding="utf-8"), wanted)
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path


def _with_database(text: str, wanted: StartSettings) -> str:
    """The text with another `[database]`; all of it written anew when it is set in a way that is not found there."""
    whole = render_settings(wanted)
    begin, end = _section(whole)
    section = whole.splitlines()[begin:end]
    lines = text.splitlines()
    begin, end = _section(text)
    changed = "\n".join([*lines[:begin], *section, *lines[end:]]) + "\n"
    return changed if _means(changed, wanted) else whole


def _section(text: str) -> tuple[int, int]:
    """Where the lines of `[database]` begin and end; the end of the text when there is none."""
    lines = text.splitlines()
    begin = next((n for n, line in enumerate(lines) if line.strip() == "[database]"), len(lines))
    end = next((n for n in range(begin + 1, len(lines)) if lines[n].lstrip().startswith("[")), len(lines))
    return begin, end


def _means(text: str, wanted: StartSettings) -> bool:
    try:
        return parse_settings(tomllib.loads(text)) == wanted
    except (tomllib.TOMLDecodeError, SettingsError):
        return False
